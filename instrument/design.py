"""A design and the space it lives in: the value that `bench` and `search` both understand.

A parameter is a named vector with a unit, bounds and one label a component, so that a 12-mode
Zernike correction or a thousand-pixel pattern is one named parameter. Engines see a flat vector;
the bench sees names.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


class DesignError(ValueError):
    """A design that does not fit its space; says which parameter, what came and what is allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One named quantity of a design.

    Parameters
    ----------
    name
        Key in the `design` block of the bench file.
    unit
        Unit of every component (`rad`, `um`, `mW`).
    lower, upper
        Bounds of every component, finite, `lower < upper`.
    labels
        One label a component; their number is the parameter's size.
    start
        Where the search starts: the present setting of the bench unless the file says otherwise.
    modal
        Whether the components are (nearly) orthogonal modes around an optimum, so that a
        three-point parabola a component is the right search.
    """

    name: str
    unit: str
    lower: float
    upper: float
    labels: tuple[str, ...]
    start: tuple[float, ...]
    modal: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.lower) and math.isfinite(self.upper)):
            raise DesignError(f"design.{self.name}: bounds must be finite numbers of {self.unit}")
        if not self.lower < self.upper:
            raise DesignError(
                f"design.{self.name}: bounds {self.lower:g} to {self.upper:g} {self.unit} are "
                "empty; the first must be below the second"
            )
        if not self.labels or len(self.labels) != len(self.start):
            raise DesignError(
                f"design.{self.name}: {len(self.labels)} labels and {len(self.start)} start values"
            )
        for label, value in zip(self.labels, self.start, strict=True):
            if not self.lower <= value <= self.upper:
                raise DesignError(
                    f"design.{self.name}: start of {label} is {value:g} {self.unit}, outside its "
                    f"bounds {self.lower:g} to {self.upper:g} {self.unit}"
                )

    @property
    def size(self) -> int:
        """Number of components."""
        return len(self.labels)


@dataclass(frozen=True, slots=True)
class Design:
    """One point of a design space: parameter name to its components, in the parameter's unit."""

    values: Mapping[str, tuple[float, ...]]

    def to_json(self) -> str:
        """Return canonical JSON; equal designs give equal text."""
        return json.dumps({k: list(v) for k, v in sorted(self.values.items())}, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Design:
        """Inverse of `to_json`."""
        return cls({k: tuple(map(float, v)) for k, v in json.loads(text).items()})


@dataclass(frozen=True, slots=True)
class DesignSpace:
    """Named parameters in a fixed order.

    Raises
    ------
    DesignError
        From every method, when a design or a vector does not fit.
    """

    parameters: tuple[Parameter, ...]

    def __post_init__(self) -> None:
        names = [parameter.name for parameter in self.parameters]
        if not names:
            raise DesignError("design: the space has no parameter; name at least one")
        if len(set(names)) != len(names):
            raise DesignError(f"design: a parameter is named twice among {', '.join(names)}")

    @property
    def dimension(self) -> int:
        """Number of components of all parameters together."""
        return sum(parameter.size for parameter in self.parameters)

    @property
    def labels(self) -> tuple[str, ...]:
        """One `parameter.component` label a dimension."""
        return tuple(f"{p.name}.{label}" for p in self.parameters for label in p.labels)

    @property
    def lower(self) -> Float[np.ndarray, " components"]:
        """Lower bounds, flat."""
        return np.concatenate([np.full(p.size, p.lower) for p in self.parameters])

    @property
    def upper(self) -> Float[np.ndarray, " components"]:
        """Upper bounds, flat."""
        return np.concatenate([np.full(p.size, p.upper) for p in self.parameters])

    @property
    def start(self) -> Design:
        """Where the search starts."""
        return Design({p.name: p.start for p in self.parameters})

    def check(self, design: Design) -> None:
        """Raise `DesignError` unless every value is there, finite and within bounds."""
        unknown = set(design.values) - {p.name for p in self.parameters}
        if unknown:
            raise DesignError(f"design: unknown parameter {', '.join(sorted(unknown))}")
        for p in self.parameters:
            components = design.values.get(p.name)
            if components is None:
                raise DesignError(f"design: parameter {p.name} is missing")
            if len(components) != p.size:
                raise DesignError(f"design.{p.name}: {len(components)} values, {p.size} needed")
            for label, value in zip(p.labels, components, strict=True):
                if not p.lower <= value <= p.upper:  # also catches NaN
                    raise DesignError(
                        f"design.{p.name}: {label} = {value:g} {p.unit}, allowed "
                        f"{p.lower:g} to {p.upper:g} {p.unit}"
                    )

    def to_vector(self, design: Design) -> Float[np.ndarray, " components"]:
        """Flatten a checked design."""
        self.check(design)
        return np.concatenate([np.asarray(design.values[p.name]) for p in self.parameters])

    def from_vector(self, vector: Sequence[float] | Float[np.ndarray, " components"]) -> Design:
        """Clip nothing: a vector outside the bounds is an error, not a design."""
        flat = np.asarray(vector, dtype=np.float64)
        if flat.shape != (self.dimension,):
            raise DesignError(f"design: vector of shape {flat.shape}, ({self.dimension},) needed")
        values: dict[str, tuple[float, ...]] = {}
        offset = 0
        for p in self.parameters:
            values[p.name] = tuple(float(v) for v in flat[offset : offset + p.size])
            offset += p.size
        design = Design(values)
        self.check(design)
        return design
