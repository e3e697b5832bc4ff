"""The `design` section: what the search may change, and within which bounds.

`of` of a parameter is the kind of its role and is filled in by `_load`; the patterns of a modulator
are told apart by their `basis`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from instrument.config._patterns import ParameterOfRole, PatternParameter, several
from instrument.config._section import Finite, Range


def _position(given: object) -> object:
    """Refuse what pydantic would make a position of: YAML reads `On` and `Off` as yes and no."""
    if given is not None and (isinstance(given, bool) or not isinstance(given, (int, str))):
        raise ValueError(
            f"{given!r} is no position; give its number, or its label (in quotes, if YAML reads it "
            "as anything but text)"
        )
    return given


def _positions(given: object) -> object:
    if given == "all":
        return given
    if not isinstance(given, (list, tuple)):
        raise ValueError("say all, or list numbers or labels (in quotes) of positions")
    for each in given:
        if each is None:
            raise ValueError("an empty entry is no position; give a number or a label (in quotes)")
        _position(each)
    return given


class PositionParameter(ParameterOfRole):
    """A position of a one-axis stage."""

    of: Literal["stage"] = "stage"
    bounds_um: Range
    start_um: Finite | None = None


class AngleParameter(ParameterOfRole):
    """An angle of a rotation stage."""

    of: Literal["rotation"] = "rotation"
    bounds_deg: Range
    start_deg: Finite | None = None


class ChoiceParameter(ParameterOfRole):
    """One of a selector's positions: `all` of them, or some by number or by label."""

    of: Literal["selector"] = "selector"
    choices: Annotated[Literal["all"] | tuple[int | str, ...], BeforeValidator(_positions)]
    start: Annotated[int | str | None, BeforeValidator(_position)] = None

    @model_validator(mode="after")
    def _start_is_a_choice(self) -> ChoiceParameter:
        if self.choices != "all":
            several("choices", self.choices)
            if self.start is not None and self.start not in self.choices:
                raise ValueError(f"start {self.start!r} is none of choices {list(self.choices)}")
        return self


class PropertyParameter(ParameterOfRole):
    """A numeric property of a device, in the unit of its role."""

    of: Literal["property"] = "property"
    bounds: Range
    start: Finite | None = None


class ExposureParameter(ParameterOfRole):
    """Exposure of the camera."""

    of: Literal["camera"] = "camera"
    bounds_ms: Range
    start_ms: Finite | None = None

    @model_validator(mode="after")
    def _above_zero(self) -> ExposureParameter:
        if not self.bounds_ms[0] > 0:
            raise ValueError(f"bounds_ms {list(self.bounds_ms)}: an exposure is above 0 ms")
        return self


class LightParameter(ParameterOfRole):
    """Level of a light, in the unit of its channel."""

    of: Literal["light"] = "light"
    bounds: Range
    start: Finite | None = None


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
