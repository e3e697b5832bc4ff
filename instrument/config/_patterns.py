"""Patterns of a modulator, told apart by their `basis`; part of the `design` section.

The unit is in the key: `bounds_rad` asks for a phase, which goes through the role's look-up table
and may be wrapped by whole turns; `bounds_grey` asks for grey levels, which never are.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from instrument.config._section import Finite, Positive, Range, Section, no_yes_or_no

FULL_SCALE = 255
MEAN_GREY = FULL_SCALE / 2
Grey = Annotated[int, Field(ge=0, le=FULL_SCALE), BeforeValidator(no_yes_or_no)]
Count = Annotated[int, Field(ge=1, le=1024)]
Cycles = Annotated[int, Field(ge=0, le=32)]
Pixel = Annotated[int, Field(ge=0)]
Pixels = Annotated[int, Field(ge=1)]


class ParameterOfRole(Section):
    """What all parameters may say: `per_shot` gives every shot of a measurement its own value."""

    role: str
    per_shot: bool = False


class _Pattern(ParameterOfRole):
    """A pattern on a modulator."""

    @property
    def is_phase(self) -> bool:
        """Whether it is a phase in rad, and not grey levels."""
        return False


class Pupil(Section):
    """A disc on a modulator in pixels; the first pixel's centre is x 0, y 0; y points down."""

    x_px: Finite
    y_px: Finite
    radius_px: Positive


class Region(Section):
    """A rectangle of a modulator in pixels: its first row and column, and its size."""

    top: Pixel = 0
    left: Pixel = 0
    height: Pixels
    width: Pixels


class ZernikeParameter(_Pattern):
    """A phase of Zernike modes `modes[0]` to `modes[1]` (Noll), in rad rms.

    `pupil` is the disc that the modes are defined on, by default the largest centred one.
    """

    of: Literal["slm"] = "slm"
    basis: Literal["zernike"]
    modes: tuple[int, int]
    bounds_rad: Range
    start_rad: Finite = 0.0
    pupil: Pupil | None = None

    @property
    def is_phase(self) -> bool:
        """It is a phase."""
        return True

    @model_validator(mode="after")
    def _modes_in_order(self) -> ZernikeParameter:
        first, last = self.modes
        if not 1 <= first <= last <= 231:
            raise ValueError(f"modes {first} to {last}: Noll numbers from 1 to 231, in order")
        return self


class SuperpixelParameter(_Pattern):
    """A pattern of (rows, columns) `cells` of one grey level each, repeated `tiles` times.

    With `choices` a cell takes one of these grey levels and no other; then there are no bounds.
    With `bounds_rad` a cell has a phase and no grey level.
    """

    of: Literal["slm"] = "slm"
    basis: Literal["superpixel"]
    cells: tuple[Count, Count]
    tiles: tuple[Count, Count] = (1, 1)
    bounds_grey: tuple[Grey, Grey] = (0, 255)
    start_grey: Grey | None = None
    choices: tuple[Grey, ...] | None = None
    bounds_rad: Range | None = None
    start_rad: Finite | None = None

    @property
    def is_phase(self) -> bool:
        """Whether its cells have phases."""
        return self.bounds_rad is not None

    @model_validator(mode="after")
    def _consistent(self) -> SuperpixelParameter:
        says_grey = self.choices or self.start_grey is not None or self.bounds_grey != (0, 255)
        if self.is_phase and says_grey:
            raise ValueError("bounds_rad makes phases of the cells; leave grey levels out")
        if self.start_rad is not None and not self.is_phase:
            raise ValueError("start_rad is for phases: give bounds_rad")
        if self.choices is not None:
            several("choices", self.choices)
            if "bounds_grey" in self.model_fields_set and self.bounds_grey != (0, 255):
                raise ValueError("choices and bounds_grey exclude each other; keep one of them")
            if self.start_grey is not None and self.start_grey not in self.choices:
                raise ValueError(f"start_grey {self.start_grey} is none of choices")
        elif not self.bounds_grey[0] < self.bounds_grey[1]:
            raise ValueError("bounds_grey: the first number must be below the second")
        return self


class DiscParameter(_Pattern):
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


class _PhaseOrGrey(_Pattern):
    """A pattern in the unit of the bounds that it has: rad of phase, or grey levels."""

    bounds_rad: Range | None = None
    bounds_grey: Range | None = None
    start_rad: Finite | None = None
    start_grey: Finite | None = None

    @model_validator(mode="after")
    def _one_unit(self) -> _PhaseOrGrey:
        if (self.bounds_rad is None) == (self.bounds_grey is None):
            raise ValueError(
                "give bounds_rad for a phase or bounds_grey for grey levels, one of the two"
            )
        wrong = self.start_grey if self.unit == "rad" else self.start_rad
        if wrong is not None:
            raise ValueError(f"the bounds are in {self.unit}: write start_{self.unit}")
        return self

    @property
    def unit(self) -> Literal["rad", "grey"]:
        """Unit of bounds and start."""
        return "grey" if self.bounds_rad is None else "rad"

    @property
    def is_phase(self) -> bool:
        """Whether its unit is rad."""
        return self.unit == "rad"

    @property
    def bounds(self) -> tuple[float, float]:
        """Bounds of every component, in `unit`."""
        bounds = self.bounds_grey if self.bounds_rad is None else self.bounds_rad
        assert bounds is not None  # noqa: S101 - the validator looked
        return bounds

    @property
    def start(self) -> float | None:
        """Start of every component, in `unit`, if the file says one."""
        return self.start_grey if self.unit == "grey" else self.start_rad


class RawParameter(_PhaseOrGrey):
    """A pattern of one component a pixel, of all pixels or of a `region`, row by row."""

    of: Literal["slm"] = "slm"
    basis: Literal["raw"]
    region: Region | None = None

    @model_validator(mode="after")
    def _greys_there_are(self) -> RawParameter:
        if self.bounds_grey is not None:
            low, high = self.bounds_grey
            if low < 0 or high > FULL_SCALE:
                raise ValueError(f"bounds_grey {low:g} to {high:g}: there are 0 to {FULL_SCALE}")
        return self


class _ModalParameter(_PhaseOrGrey):
    """Coefficients of orthogonal modes of a `region`; as grey levels they lie around `mean_grey`.

    Every mode has an rms of 1 over the region, so that a coefficient is the rms of what it adds.
    """

    region: Region | None = None
    mean_grey: Annotated[float, Field(ge=0, le=FULL_SCALE)] | None = None

    @model_validator(mode="after")
    def _mean_of_greys(self) -> _ModalParameter:
        if self.mean_grey is not None and self.unit == "rad":
            raise ValueError("mean_grey is for grey levels; the bounds here are in rad")
        return self

    @property
    def mean(self) -> float:
        """What the pattern is where all coefficients are 0, in `unit`."""
        if self.unit == "rad":
            return 0.0
        return MEAN_GREY if self.mean_grey is None else self.mean_grey


class FourierParameter(_ModalParameter):
    """Cosines and sines of up to `cycles` periods, down and across the region, without the mean."""

    of: Literal["slm"] = "slm"
    basis: Literal["fourier"]
    cycles: tuple[Cycles, Cycles]

    @model_validator(mode="after")
    def _some_cycles(self) -> FourierParameter:
        if self.cycles == (0, 0):
            raise ValueError("cycles [0, 0] leave no component; give one cycle at least")
        return self


class HadamardParameter(_ModalParameter):
    """Walsh-Hadamard modes of (rows, columns) `blocks`, powers of two, in order of sequency.

    Mode 0 is flat; `modes` are the first and the last one, by default all but the flat one.
    """

    of: Literal["slm"] = "slm"
    basis: Literal["hadamard"]
    blocks: tuple[Count, Count]
    modes: tuple[int, int] | None = None

    @model_validator(mode="after")
    def _modes_of_blocks(self) -> HadamardParameter:
        rows, columns = self.blocks
        if rows & (rows - 1) or columns & (columns - 1) or rows * columns < 2:
            raise ValueError(
                f"blocks {list(self.blocks)}: powers of two (1, 2, 4, ...), two blocks at least"
            )
        first, last = self.first_and_last
        if not 0 <= first <= last < rows * columns:
            raise ValueError(f"modes {first} to {last}: 0 to {rows * columns - 1}, in order")
        return self

    @property
    def first_and_last(self) -> tuple[int, int]:
        """Numbers of the first and the last mode."""
        return (1, self.blocks[0] * self.blocks[1] - 1) if self.modes is None else self.modes


PatternParameter = (
    ZernikeParameter
    | SuperpixelParameter
    | DiscParameter
    | RawParameter
    | FourierParameter
    | HadamardParameter
)
"""A pattern on a modulator, in one of the bases."""


def several(key: str, choices: tuple[int | str, ...]) -> None:
    """Raise `ValueError` unless there are two or more different choices."""
    if len(choices) < 2:
        raise ValueError(f"{key}: {len(choices)} given; a choice is among two or more")
    if len(set(choices)) != len(choices):
        raise ValueError(f"{key}: one of {list(choices)} is there twice")
