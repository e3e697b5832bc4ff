"""What every twin is: objects in, expected photo-electrons out, with named parameters.

A twin is a pytree: its parameters are leaves, so `jax.jit`, `jax.grad` and `jax.vmap` work on it;
only what chooses a code path (sizes, modes) is static. All methods return a new twin.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self, runtime_checkable

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """What one named parameter of a design means: its unit, and the range that can be built.

    Attributes
    ----------
    unit
        "um", "rad", "1" for a ratio.
    low, high
        Bounds of every entry, in `unit`; finite.
    meaning
        One line for a person.
    """

    unit: str
    low: float
    high: float
    meaning: str


class Twin(eqx.Module):
    """A differentiable forward model of a bench under one design.

    Parameters of the design are attributes with the names in `parameters`; everything else about
    the bench (light, sensor size) is fixed when the twin is made.
    """

    @abc.abstractmethod
    def __call__(self, objects: Array) -> Float[Array, "objects shots height width"]:
        """Return expected photo-electrons, without noise, of objects (objects, *object_shape)."""

    @property
    @abc.abstractmethod
    def object_shape(self) -> tuple[int, ...]:
        """Shape of one object."""

    @property
    @abc.abstractmethod
    def parameters(self) -> Mapping[str, Parameter]:
        """Named parameters of the design."""

    @abc.abstractmethod
    def hand_made(self) -> Mapping[str, Mapping[str, Any]]:
        """Return values of designs that a person would try first, by name."""

    def values(self) -> dict[str, Array]:
        """Return the design: every parameter's values."""
        return {name: jnp.asarray(getattr(self, name)) for name in self.parameters}

    def with_values(self, values: Mapping[str, Any]) -> Self:
        """Return the twin under another design; parameters not named stay as they are.

        Raises
        ------
        ValueError
            For a name that is no parameter, or values of another shape.
        """
        now = self.values()
        for name, value in values.items():
            if name not in now:
                raise ValueError(f"{name!r} is no parameter; choose among {', '.join(now)}")
            if jnp.shape(value) != now[name].shape:
                raise ValueError(f"{name} has shape {jnp.shape(value)}, {now[name].shape} is due")
        names = tuple(values)
        return eqx.tree_at(
            lambda twin: [getattr(twin, name) for name in names],
            self,
            [jnp.asarray(values[name], now[name].dtype) for name in names],
        )

    def projected(self) -> Self:
        """Return the nearest twin that can be built; here: every entry within its bounds."""
        return self.with_values({
            name: jnp.clip(getattr(self, name), parameter.low, parameter.high)
            for name, parameter in self.parameters.items()
        })


@runtime_checkable
class Annealed(Protocol):
    """A twin that hardens from a smooth relaxation (0) to what can be built (1)."""

    def annealed(self, progress: Any) -> Self:
        """Return the twin at this share of an optimisation, 0 to 1."""
        ...
