"""A design and the space it lives in: the value that `bench` and `search` both understand.

A parameter is a named vector with a unit, bounds and one label a component, so that a 12-mode
Zernike correction or a thousand-pixel pattern is one named parameter. Engines see a flat vector;
the bench sees names. A component that is a choice (a filter, a station) is the whole number of what
it chooses.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float


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
        Bounds of every component, finite, `lower < upper`; of a choice, 0 and the last index.
    labels
        One label a component; their number is the parameter's size.
    start
        Where the search starts: the present setting of the bench unless the file says otherwise.
    modal
        Whether the components are (nearly) orthogonal modes around an optimum, so that a
        three-point parabola a component is the right search.
    bounds
        (low, high) of each component, where they are not all alike: within `lower` and `upper`.
    choices
        What a component chooses from, one label each. Its values are then indices, whole numbers
        from 0, whose order and distance mean nothing. Empty for a quantity.
    """

    name: str
    unit: str
    lower: float
    upper: float
    labels: tuple[str, ...]
    start: tuple[float, ...]
    modal: bool = False
    bounds: tuple[tuple[float, float], ...] = ()
    choices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not (math.isfinite(self.lower) and math.isfinite(self.upper)):
            raise DesignError(f"design.{self.name}: bounds must be finite numbers of {self.unit}")
        if self.choices:
            self._check_choices()
        for low, high in self.bounds or ((self.lower, self.upper),):
            if not self.lower <= low < high <= self.upper:
                raise DesignError(
                    f"design.{self.name}: bounds {low:g} to {high:g} {self.unit} are empty, or "
                    f"beyond {self.lower:g} to {self.upper:g}; the first must be below the second"
                )
        if not self.labels or len(self.labels) != len(self.start):
            raise DesignError(
                f"design.{self.name}: {len(self.labels)} labels and {len(self.start)} start values"
            )
        if self.bounds and len(self.bounds) != len(self.labels):
            raise DesignError(
                f"design.{self.name}: {len(self.labels)} labels and {len(self.bounds)} bounds"
            )
        try:
            self.check(self.start)
        except DesignError as error:
            raise DesignError(f"{error} (its start)") from error

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Parameter:
        """Return the parameter that `dataclasses.asdict` wrote, also after JSON made lists."""
        return cls(
            name=plain["name"],
            unit=plain["unit"],
            lower=plain["lower"],
            upper=plain["upper"],
            labels=tuple(plain["labels"]),
            start=tuple(plain["start"]),
            modal=plain["modal"],
            bounds=tuple((low, high) for low, high in plain.get("bounds", ())),
            choices=tuple(plain.get("choices", ())),
        )

    @property
    def size(self) -> int:
        """Number of components."""
        return len(self.labels)

    @property
    def is_categorical(self) -> bool:
        """Whether the components are choices: indices without order."""
        return bool(self.choices)

    @property
    def component_bounds(self) -> tuple[tuple[float, float], ...]:
        """Return (low, high) of every component."""
        return self.bounds or ((self.lower, self.upper),) * self.size

    def check(self, components: Sequence[float]) -> None:
        """Raise `DesignError` unless there is one allowed value a component."""
        if len(components) != self.size:
            raise DesignError(f"design.{self.name}: {len(components)} values, {self.size} needed")
        for label, value, (low, high) in zip(
            self.labels, components, self.component_bounds, strict=True
        ):
            if not low <= value <= high:  # also catches NaN
                raise DesignError(
                    f"design.{self.name}: {label} = {value:g}{self._unit_shown}, allowed "
                    f"{low:g} to {high:g}{self._unit_shown}"
                )
            if self.choices and value != int(value):
                raise DesignError(
                    f"design.{self.name}: {label} = {value:g}, but it chooses among "
                    f"{', '.join(self.choices)} by a whole number from 0 to {high:g}"
                )

    @property
    def _unit_shown(self) -> str:
        """Unit after a number; `1` and the numbers of choices have none."""
        return "" if self.unit == "1" or self.choices else f" {self.unit}"

    def _check_choices(self) -> None:
        if len(self.choices) < 2:
            raise DesignError(
                f"design.{self.name}: {', '.join(self.choices)} is no choice; name two or more"
            )
        if self.modal or self.bounds or (self.lower, self.upper) != (0.0, len(self.choices) - 1):
            raise DesignError(
                f"design.{self.name}: {len(self.choices)} choices are the whole numbers 0 to "
                f"{len(self.choices) - 1}, without modes or bounds of their own"
            )


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
        return np.array([low for p in self.parameters for low, _ in p.component_bounds])

    @property
    def upper(self) -> Float[np.ndarray, " components"]:
        """Upper bounds, flat."""
        return np.array([high for p in self.parameters for _, high in p.component_bounds])

    @property
    def is_categorical(self) -> Bool[np.ndarray, " components"]:
        """Mark the components that are choices, flat."""
        return np.array([p.is_categorical for p in self.parameters for _ in p.labels])

    @property
    def combinations(self) -> int | None:
        """Number of different designs, or None where some component is a quantity."""
        if not all(p.is_categorical for p in self.parameters):
            return None
        return math.prod(len(p.choices) ** p.size for p in self.parameters)

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
            p.check(components)

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

    def from_unit(self, unit: Sequence[float] | Float[np.ndarray, " components"]) -> Design:
        """Return the design at a point of the unit box: scaled, or the choice it falls on.

        Each choice has an equal share of its side. Rounding does not leave the bounds.
        """
        share = np.asarray(unit, dtype=np.float64)
        lower, upper = self.lower, self.upper
        chosen = np.minimum(np.floor(share * (upper + 1.0)), upper)
        scaled = lower + share * (upper - lower)
        return self.from_vector(
            np.clip(np.where(self.is_categorical, chosen, scaled), lower, upper)
        )
