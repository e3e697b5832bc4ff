"""The `bench` section: where the devices are, what they are for, and what must hold.

`kind` of a role chooses its model; it is filled in from what the file says anyway (`_load`), so
that nobody has to write it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Union, get_args

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    create_model,
    field_validator,
    model_validator,
)

from drivers.virtual.options import VIRTUAL_BENCHES, VirtualBenchOptions
from instrument.config._section import Duration, Finite, Positive, Range, Section

VirtualMicroManager = VirtualBenchOptions
"""`micromanager: {virtual: NAME}`, any of them; the seed is the campaign's unless given."""


def virtual_name(options: type[VirtualBenchOptions]) -> str:
    """Return the word after `virtual:` that chooses a model."""
    return get_args(options.model_fields["virtual"].annotation)[0]


def _with_optional_seed(options: type[VirtualBenchOptions]) -> type[VirtualBenchOptions]:
    """Return the model as it stands in a file: its seed may be left to the campaign."""
    seed: Any = (int | None, Field(default=None, ge=0))
    return create_model(options.__name__, __base__=options, __doc__=options.__doc__, seed=seed)


VIRTUAL_MODELS: dict[str, type[VirtualBenchOptions]] = {
    virtual_name(options): _with_optional_seed(options) for options in VIRTUAL_BENCHES
}
"""Models of the virtual benches by the word that chooses them."""


class VisaConfig(Section):
    """One VISA instrument: which declaration describes it and where it listens.

    `address` is a VISA resource name, or `virtual` for the virtual bench's own instrument of this
    name.
    """

    declaration: str
    address: str
    backend: str = "@py"


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


class LoadedMicroManager(Section):
    """`micromanager: {config: bench.cfg}`: devices that Micro-Manager's wizard configured.

    `adapters` names the folder of a Micro-Manager installation, where pymmcore-plus does not find
    it by itself. `presets` of its config groups (`Channel: FITC`) are set when the bench connects.
    """

    config: Path
    adapters: Path | None = None
    presets: dict[str, str] = Field(default_factory=dict)


class ListedDevice(Section):
    """One device of `micromanager: {devices: ...}`: a device adapter's library and name in it."""

    adapter: str
    name: str
    properties: dict[str, PropertyValue] = Field(default_factory=dict)
    hub: str | None = None


class ListedMicroManager(Section):
    """`micromanager: {devices: {Camera: {adapter: DemoCamera, name: DCam}}}`, without a `.cfg`.

    Devices are loaded and initialised in the order of the file; a `hub` stands before what hangs
    on it.
    """

    devices: dict[str, ListedDevice] = Field(min_length=1)
    adapters: Path | None = None

    @model_validator(mode="after")
    def _hubs_come_first(self) -> ListedMicroManager:
        before: list[str] = []
        for label, device in self.devices.items():
            if device.hub is not None and device.hub not in before:
                raise ValueError(
                    f"the hub of {label}, {device.hub!r}, is no device above it in `devices`"
                )
            before.append(label)
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


class SlmRole(Section):
    """Role of a spatial light modulator; `settle_ms` is waited after its read-back."""

    kind: Literal["slm"] = "slm"
    device: str
    settle_ms: Duration = 0.0


class StageRole(Section):
    """Role of a one-axis stage."""

    kind: Literal["stage"] = "stage"
    device: str
    limits_um: Range
    tolerance_um: Positive = 0.5
    settle_ms: Duration = 0.0


class RotationRole(Section):
    """Role of a one-axis stage that turns."""

    kind: Literal["rotation"] = "rotation"
    device: str
    limits_deg: Range
    tolerance_deg: Positive = 0.1
    settle_ms: Duration = 0.0


class XYStageRole(Section):
    """Role of a two-axis stage."""

    kind: Literal["xy_stage"] = "xy_stage"
    device: str
    limits_um: tuple[Range, Range]
    tolerance_um: Positive = 0.5
    settle_ms: Duration = 0.0


class SelectorRole(Section):
    """Role of a device with numbered positions (filter wheel, turret, state device).

    `group` instead of `device` names a config group of Micro-Manager, whose presets are the
    positions; it is then the `device` as well.
    """

    kind: Literal["selector"] = "selector"
    device: str
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
    """Role of one numeric property of a Micro-Manager device, in the property's own unit."""

    kind: Literal["property"] = "property"
    device: str
    property: str
    limits: Range
    unit: str = "1"
    tolerance: Positive
    settle_ms: Duration = 0.0


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
    numeric `property` (and a `switch`), in `unit`.
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
        if (self.channel is None) == (self.property is None):
            raise ValueError(
                "say what sets its level: `channel` of a VISA instrument, or `property` of a "
                "Micro-Manager device"
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


class InterlockConfig(Section):
    """A condition that must hold while light is on: `channel` (`led.temperature_c`) within bounds.

    `pause` switches the light off and waits, at most `longest_pause_s`, until it holds again;
    `abort` ends the run.
    """

    channel: str = Field(pattern=r"^[^.]+\.[^.]+$")
    below: Finite | None = None
    above: Finite | None = None
    action: Literal["pause", "abort"] = "abort"
    longest_pause_s: Positive = 600.0

    @model_validator(mode="after")
    def _has_a_bound(self) -> InterlockConfig:
        if self.below is None and self.above is None:
            raise ValueError("an interlock needs `below`, `above` or both")
        return self


def _which_micromanager(value: object) -> object:
    if isinstance(value, dict):
        return value.get("virtual", LISTED if "devices" in value else LOADED)
    if isinstance(value, ListedMicroManager):
        return LISTED
    return value.virtual if isinstance(value, VirtualBenchOptions) else LOADED  # pyright: ignore[reportAttributeAccessIssue]


LOADED, LISTED = "loaded", "listed"
_VIRTUAL: Any = tuple(Annotated[model, Tag(name)] for name, model in VIRTUAL_MODELS.items())
MicroManagerConfig = Annotated[
    Union[
        (
            *_VIRTUAL,
            Annotated[LoadedMicroManager, Tag(LOADED)],
            Annotated[ListedMicroManager, Tag(LISTED)],
        )
    ],
    Discriminator(_which_micromanager),
]


class BenchConfig(Section):
    """Devices, what they are for, and what must hold."""

    micromanager: MicroManagerConfig  # pyright: ignore[reportInvalidTypeForm]
    visa: dict[str, VisaConfig] = Field(default_factory=dict)
    roles: dict[str, Role]
    interlocks: tuple[InterlockConfig, ...] = ()
