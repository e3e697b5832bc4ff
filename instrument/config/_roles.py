"""The roles of a bench: what a device is for, its limits, and how it is brought to a target.

`kind` chooses the model; it is filled in from what the file says anyway (`_load`), so that nobody
has to write it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from instrument.config._modulator import SlmRole
from instrument.config._section import Duration, Finite, Positive, Range, Section

OWN_KEYS = {"Exposure": "exposure_ms", "Binning": "binning", "PixelType": "pixel_type"}
"""Properties of a camera that have a key of their own in its role."""


def _is_roi(roi: object) -> object:
    if roi == "full":
        return None
    numbers = roi if isinstance(roi, (list, tuple)) else ()
    whole = [n for n in numbers if isinstance(n, int) and not isinstance(n, bool) and n >= 0]
    if roi is not None and not (len(numbers) == len(whole) == 4 and whole[2] and whole[3]):
        raise ValueError("a region is [x, y, width, height] in binned pixels, or full")
    return roi


def _is_property_value(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("YAML reads this as true or false; put the word in quotes: 'On'")
    if not isinstance(value, (str, int, float)) or (isinstance(value, float) and value - value):
        raise ValueError("a property is a number or a word")
    return value


Roi = Annotated[tuple[int, int, int, int] | None, BeforeValidator(_is_roi)]
PropertyValue = Annotated[str | int | float, BeforeValidator(_is_property_value)]


class Slew(Section):
    """How fast a role may change: `most` of its unit per move, or per second.

    What goes farther is done in steps (`ramp`), or not at all (`refuse`). A rate can only be
    ramped: how fast a device goes by itself is not known before it has moved.
    """

    most: Positive
    per: Literal["move", "s"] = "move"
    beyond: Literal["ramp", "refuse"] = "ramp"

    @model_validator(mode="after")
    def _a_rate_is_ramped(self) -> Slew:
        if self.per == "s" and self.beyond == "refuse":
            raise ValueError("`per: s` can only be ramped; use `beyond: ramp`, or `per: move`")
        return self


class CameraRole(Section):
    """Role of a camera, and the mode it is brought to when the bench connects.

    `roi` is in binned pixels, the whole sensor unless given; `binning`, `pixel_type` and
    `properties` (gain, readout mode, trigger, in this order) are left alone where they are not
    given. `temperature` names the property that is read with every batch. Of several cameras the
    `scored` one gives the frames that are scored; the others are exposed with it.
    """

    kind: Literal["camera"] = "camera"
    device: str
    exposure_ms: Positive
    scored: bool = False
    roi: Roi = None
    binning: int | None = Field(default=None, ge=1, le=64)
    pixel_type: str | None = None
    properties: dict[str, PropertyValue] = Field(default_factory=dict)
    temperature: str | None = None
    sequence_buffer_mb: int | None = Field(default=None, ge=1, le=1_000_000)

    @field_validator("properties")
    @classmethod
    def _has_no_key_of_its_own(cls, properties: dict[str, object]) -> dict[str, object]:
        for name in properties:
            if name in OWN_KEYS:
                raise ValueError(f"{name} has a key of its own: write `{OWN_KEYS[name]}`")
        return properties


class StageRole(Section):
    """Role of a one-axis stage."""

    kind: Literal["stage"] = "stage"
    device: str
    limits_um: Range
    tolerance_um: Positive = 0.5
    settle_ms: Duration = 0.0
    slew: Slew | None = None


class RotationRole(Section):
    """Role of a one-axis stage that turns."""

    kind: Literal["rotation"] = "rotation"
    device: str
    limits_deg: Range
    tolerance_deg: Positive = 0.1
    settle_ms: Duration = 0.0
    slew: Slew | None = None


class XYStageRole(Section):
    """Role of a two-axis stage."""

    kind: Literal["xy_stage"] = "xy_stage"
    device: str
    limits_um: tuple[Range, Range]
    tolerance_um: Positive = 0.5
    settle_ms: Duration = 0.0
    slew: Slew | None = None


class SelectorRole(Section):
    """Role of a device with numbered positions (filter wheel, turret, state device).

    `group` instead of `device` names a config group of Micro-Manager, whose presets are the
    positions; it is then the `device` as well. `channel` is a VISA instrument's: which choice.
    """

    kind: Literal["selector"] = "selector"
    device: str
    channel: str | None = None
    group: str | None = None
    settle_ms: Duration = 0.0

    @model_validator(mode="before")
    @classmethod
    def _a_group_stands_for_a_device(cls, raw: object) -> object:
        if not isinstance(raw, dict) or raw.get("group") is None:
            return raw
        if raw.get("device", raw["group"]) != raw["group"]:
            raise ValueError("`device` or `group`, not both")
        return {**raw, "device": raw["group"]}


class PropertyRole(Section):
    """Role of one numeric property of a Micro-Manager device, in the property's own unit.

    Of a VISA instrument, `property` is the channel. Of a driver's device, which is one number, it
    is what to call it.
    """

    kind: Literal["property"] = "property"
    device: str
    property: str
    limits: Range
    unit: str = "1"
    tolerance: Positive
    settle_ms: Duration = 0.0
    slew: Slew | None = None


class SwitchConfig(Section):
    """The property that switches a lamp of Micro-Manager, and its values for on and off."""

    property: str
    on: PropertyValue
    off: PropertyValue

    @model_validator(mode="before")
    @classmethod
    def _yaml_reads_on_as_true(cls, raw: object) -> object:
        if not isinstance(raw, dict):
            return raw
        return {{True: "on", False: "off"}.get(key, key): value for key, value in raw.items()}


class LightRole(Section):
    """Role of a light: `level` while frames are taken, `safe` at all other times.

    A VISA light has a `channel` (and an `output` that switches it); one of Micro-Manager has a
    numeric `property` (and a `switch`), in `unit`; a driver's light knows all of that itself.
    """

    kind: Literal["light"] = "light"
    device: str
    channel: str | None = None
    output: str | None = "output"
    property: str | None = None
    switch: SwitchConfig | None = None
    unit: str = "1"
    level: Finite
    limits: Range
    safe: Finite = 0.0
    settle_ms: Duration = 0.0
    slew: Slew | None = None

    def quantity(self) -> str:
        """Name of what the level is: a channel or a property."""
        return self.channel or self.property or ""

    @model_validator(mode="after")
    def _level_within_limits(self) -> LightRole:
        low, high = self.limits
        if not low <= self.level <= high:
            raise ValueError(f"level {self.level:g} is outside limits {low:g} to {high:g}")
        return self

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> LightRole:
        if self.channel is not None and self.property is not None:
            raise ValueError(
                "say what sets its level: `channel` of a VISA instrument, or `property` of a "
                "Micro-Manager device, not both"
            )
        if self.property is None and (self.switch is not None or self.unit != "1"):
            raise ValueError(
                "`switch` and `unit` go with `property`; the switch of a VISA light is `output`, "
                "its unit the declaration's"
            )
        if self.property is not None and self.output not in {None, "output"}:
            raise ValueError("`output` goes with `channel`; the switch of a lamp is `switch`")
        return self


class ShutterRole(Section):
    """Role of a Micro-Manager shutter: open while frames are taken, closed at all other times."""

    kind: Literal["shutter"] = "shutter"
    device: str
    settle_ms: Duration = 0.0
    level: ClassVar[float] = 1.0
    safe: ClassVar[float] = 0.0


EmitterRole = LightRole | ShutterRole
"""Roles that let light out, and are dark but for frames; in the order in which they go dark."""

Role = Annotated[
    CameraRole
    | SlmRole
    | StageRole
    | RotationRole
    | XYStageRole
    | SelectorRole
    | PropertyRole
    | LightRole
    | ShutterRole,
    Field(discriminator="kind"),
]


def scored_camera(roles: Mapping[str, Role]) -> str | None:
    """Name of the camera whose frames are scored, or None if that is not said.

    The only one, the one with `scored: true`, or the one whose role is named `camera`.
    """
    cameras = {name: role for name, role in roles.items() if isinstance(role, CameraRole)}
    chosen = [name for name, role in cameras.items() if role.scored]
    if len(chosen) == 1:
        return chosen[0]
    if chosen:
        return None
    if len(cameras) == 1:
        return next(iter(cameras))
    return "camera" if "camera" in cameras else None
