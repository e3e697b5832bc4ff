"""What IDEAL asks of a twin and of a density: seams, so that neither has to import the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from jaxtyping import Array, Float

from estimation.noise import SimulatedNoise

Forward = Callable[[Any], Any]
"""Objects (objects, ...) to expected photo-electrons (objects, shots, height, width)."""

Patch = tuple[int, int]


@runtime_checkable
class RangedParameter(Protocol):
    """A named parameter of a design, with the range of its entries."""

    @property
    def low(self) -> float:
        """Least value that can be built."""
        ...

    @property
    def high(self) -> float:
        """Largest value that can be built."""
        ...


@runtime_checkable
class DifferentiableTwin(Protocol):
    """A forward model in JAX with named parameters; `drivers.virtual.twins` has one a domain."""

    def __call__(self, objects: Any) -> Any:
        """Return expected photo-electrons, (objects, shots, height, width)."""
        ...

    @property
    def parameters(self) -> Mapping[str, RangedParameter]:
        """Ranges of the parameters by name."""
        ...

    def values(self) -> dict[str, Array]:
        """Return the design as arrays by name."""
        ...

    def with_values(self, values: Mapping[str, Any]) -> Self:
        """Return the twin under another design."""
        ...

    def projected(self) -> Self:
        """Return the nearest twin that can be built."""
        ...

    def hand_made(self) -> Mapping[str, Mapping[str, Any]]:
        """Return designs that a person would try first, by name."""
        ...


@runtime_checkable
class AnnealedTwin(Protocol):
    """A twin that hardens from a smooth relaxation (0) to what can be built (1)."""

    def annealed(self, progress: Any) -> Self:
        """Return the twin at this share of an optimisation, 0 to 1."""
        ...


@runtime_checkable
class Surrogate(Protocol):
    """A differentiable stand-in for H(Y) while a design is sought; it need not be the best bound.

    A surrogate that needs samples draws fresh noise from `key`; one that knows the noise's variance
    averages over it exactly and leaves `key` alone. Those with arrays are pytrees (`eqx.Module`).
    """

    @property
    def name(self) -> str:
        """The word under which designs report it."""
        ...

    def entropy_nats(
        self, forward: Forward, objects: Any, noise: SimulatedNoise, *, patch: Patch, key: Any
    ) -> Any:
        """Return a bound on H(Y) of patches of the measurements of `objects`, nats per value."""
        ...


class Fit(Protocol):
    """What a fit leaves: a surrogate of one design."""

    @property
    def surrogate(self) -> Surrogate:
        """The stand-in, frozen."""
        ...


@runtime_checkable
class RefittedSurrogate(Protocol):
    """A family of surrogates, each fitted to the measurements of one design and frozen until later.

    Fits of equal sizes are pytrees of equal structure, so that a step is compiled once.
    """

    @property
    def name(self) -> str:
        """The word under which designs report it."""
        ...

    @property
    def every(self) -> int:
        """Steps of an ascent between two fits."""
        ...

    @property
    def check_every(self) -> int:
        """Steps between two validations; each takes a fit from the start."""
        ...

    @property
    def objects(self) -> int:
        """Objects that one fit sees, at most."""
        ...

    def fitted(
        self,
        electrons: Float[np.ndarray, "objects shots height width"],
        noise: SimulatedNoise,
        *,
        patch: Patch,
        seed: list[int],
        last: Any = None,
    ) -> Fit:
        """Fit to a design with these expected photo-electrons, from `last` if there is one."""
        ...
