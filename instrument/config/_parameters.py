"""The `design` section: what the search may change, and within which bounds.

`of` of a parameter is the kind of its role and is filled in by `_load`; the patterns of a modulator
are told apart by their `basis`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from instrument.config._section import Finite, Range, Section

Grey = Annotated[int, Field(ge=0, le=255)]
Count = Annotated[int, Field(ge=1, le=1024)]


class _Parameter(Section):
    """What all parameters may say: `per_shot` gives every shot of a measurement its own value."""

    role: str
    per_shot: bool = False


class ZernikeParameter(_Parameter):
    """A pattern of Zernike modes `modes[0]` to `modes[1]` (Noll), in rad rms."""

    of: Literal["slm"] = "slm"
    basis: Literal["zernike"]
    modes: tuple[int, int]
    bounds_rad: Range
    start_rad: Finite = 0.0

    @model_validator(mode="after")
    def _modes_in_order(self) -> ZernikeParameter:
        first, last = self.modes
        if not 1 <= first <= last <= 231:
            raise ValueError(f"modes {first} to {last}: Noll numbers from 1 to 231, in order")
        return self


class SuperpixelParameter(_Parameter):
    """A pattern of (rows, columns) `cells` of one grey level each, repeated `tiles` times.

    With `choices` a cell takes one of these grey levels and no other; then there are no bounds.
    """

    of: Literal["slm"] = "slm"
    basis: Literal["superpixel"]
    cells: tuple[Count, Count]
    tiles: tuple[Count, Count] = (1, 1)
    bounds_grey: tuple[Grey, Grey] = (0, 255)
    start_grey: Grey | None = None
    choices: tuple[Grey, ...] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> SuperpixelParameter:
        if self.choices is not None:
            _several("choices", self.choices)
            if "bounds_grey" in self.model_fields_set and self.bounds_grey != (0, 255):
                raise ValueError("choices and bounds_grey exclude each other; keep one of them")
            if self.start_grey is not None and self.start_grey not in self.choices:
                raise ValueError(f"start_grey {self.start_grey} is none of choices")
        elif not self.bounds_grey[0] < self.bounds_grey[1]:
            raise ValueError("bounds_grey: the first number must be below the second")
        return self


class DiscParameter(_Parameter):
    """A lit disc of level `grey` on a modulator: centre y, centre x and radius, unit square.

    Centres lie in [-1, 1], the radius in [0.001, 1.5]; the basis fixes these bounds.
    """

    of: Literal["slm"] = "slm"
    basis: Literal["disc"]
    grey: Annotated[int, Field(ge=1, le=255)] = 255
    start: tuple[
        Annotated[float, Field(ge=-1, le=1)],
        Annotated[float, Field(ge=-1, le=1)],
        Annotated[float, Field(ge=1e-3, le=1.5)],
    ] = (0.0, 0.0, 0.5)


class PositionParameter(_Parameter):
    """A position of a one-axis stage."""

    of: Literal["stage"] = "stage"
    bounds_um: Range
    start_um: Finite | None = None


class AngleParameter(_Parameter):
    """An angle of a rotation stage."""

    of: Literal["rotation"] = "rotation"
    bounds_deg: Range
    start_deg: Finite | None = None


class ChoiceParameter(_Parameter):
    """One of a selector's positions: `all` of them, or some by number or by label."""

    of: Literal["selector"] = "selector"
    choices: Literal["all"] | tuple[int | str, ...]
    start: int | str | None = None

    @model_validator(mode="after")
    def _start_is_a_choice(self) -> ChoiceParameter:
        if self.choices != "all":
            _several("choices", self.choices)
            if self.start is not None and self.start not in self.choices:
                raise ValueError(f"start {self.start!r} is none of choices {list(self.choices)}")
        return self


class PropertyParameter(_Parameter):
    """A numeric property of a device, in the unit of its role."""

    of: Literal["property"] = "property"
    bounds: Range
    start: Finite | None = None


class ExposureParameter(_Parameter):
    """Exposure of the camera."""

    of: Literal["camera"] = "camera"
    bounds_ms: Range
    start_ms: Finite | None = None

    @model_validator(mode="after")
    def _above_zero(self) -> ExposureParameter:
        if not self.bounds_ms[0] > 0:
            raise ValueError(f"bounds_ms {list(self.bounds_ms)}: an exposure is above 0 ms")
        return self


class LightParameter(_Parameter):
    """Level of a light, in the unit of its channel."""

    of: Literal["light"] = "light"
    bounds: Range
    start: Finite | None = None


PatternParameter = ZernikeParameter | SuperpixelParameter | DiscParameter
"""A pattern on a modulator, in one of the bases."""

ParameterConfig = Annotated[
    Annotated[PatternParameter, Field(discriminator="basis")]
    | PositionParameter
    | AngleParameter
    | ChoiceParameter
    | PropertyParameter
    | ExposureParameter
    | LightParameter,
    Field(discriminator="of"),
]


def _several(key: str, choices: tuple[int | str, ...]) -> None:
    if len(choices) < 2:
        raise ValueError(f"{key}: {len(choices)} given; a choice is among two or more")
    if len(set(choices)) != len(choices):
        raise ValueError(f"{key}: one of {list(choices)} is there twice")
