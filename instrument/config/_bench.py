"""The `bench` section: where the devices are, and what must hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args

from pydantic import (
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    create_model,
    model_validator,
)

from drivers.virtual.options import VIRTUAL_BENCHES, VirtualBenchOptions
from instrument.config._beside_core import DisplayConfig, SlmsuiteConfig
from instrument.config._roles import (
    LightRole,
    PropertyRole,
    PropertyValue,
    Role,
    SelectorRole,
)
from instrument.config._section import Duration, Finite, Positive, Section

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


def _require_setting(value: object) -> bool | float | str:
    if isinstance(value, (bool, str)):
        return value
    if isinstance(value, (int, float)) and math.isfinite(value):
        return float(value)
    raise ValueError("a setting is a number, a word, or true or false")


Setting = Annotated[bool | float | str, PlainValidator(_require_setting)]
"""What a channel of an instrument is set to."""


class VisaConfig(Section):
    """One VISA instrument: which declaration describes it and where it listens.

    `address` is a VISA resource name, or `virtual` for the virtual bench's own instrument of this
    name. `settings` are channels that are set once, in their order, when the bench connects and
    its lights are dark: a number, a word of a choice, or true or false of a switch that is no
    light's.
    """

    declaration: str
    address: str
    backend: str = "@py"
    settings: dict[str, Setting] = Field(default_factory=dict)


class DriverConfig(Section):
    """One device of a third party's driver (`infoloop devices` lists those installed).

    `options` are the driver's own; its model checks them with the rest of the file.
    """

    driver: str
    options: dict[str, Any] = Field(default_factory=dict)


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


class InterlockConfig(Section):
    """A condition that must hold while light is on: a reading strictly within bounds.

    What is read is a `channel` of an instrument (`led.temperature_c`) or a driver's meter by its
    name, where a `role` is (`focus`, `sample.x`), or a property of its Micro-Manager device
    (`camera.CCDTemperature`, in `unit`). Once it did not hold, it holds again only `hysteresis`
    inside its bounds. `pause` switches the light off and waits, at most `longest_pause_s`; `abort`
    ends the run.
    """

    channel: str | None = Field(default=None, pattern=r"^[^.]+(\.[^.]+)?$")
    role: str | None = None
    unit: str = "1"
    below: Finite | None = None
    above: Finite | None = None
    hysteresis: Duration = 0.0
    action: Literal["pause", "abort"] = "abort"
    longest_pause_s: Positive = 600.0

    @property
    def name(self) -> str:
        """What is read, as the file says it."""
        return self.channel or self.role or ""

    @property
    def role_and_part(self) -> tuple[str, str]:
        """The role that is read and what of it; both empty for a channel, the latter for all."""
        role, _, part = (self.role or "").partition(".")
        return role, part

    @model_validator(mode="after")
    def _one_reading(self) -> InterlockConfig:
        if (self.channel is None) == (self.role is None):
            raise ValueError("an interlock needs either `channel` or `role`")
        return self

    @model_validator(mode="after")
    def _has_a_bound(self) -> InterlockConfig:
        if self.below is None and self.above is None:
            raise ValueError("an interlock needs `below`, `above` or both")
        low = -math.inf if self.above is None else self.above + self.hysteresis
        high = math.inf if self.below is None else self.below - self.hysteresis
        if not low < high:
            raise ValueError(
                f"nothing is above {self.above:g} and below {self.below:g} with a hysteresis of "
                f"{self.hysteresis:g} at either end"
            )
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


Block = Literal["micromanager", "visa", "drivers", "displays", "slmsuite"]


class BenchConfig(Section):
    """Devices, what they are for, and what must hold."""

    micromanager: MicroManagerConfig | None = None  # pyright: ignore[reportInvalidTypeForm]
    visa: dict[str, VisaConfig] = Field(default_factory=dict)
    drivers: dict[str, DriverConfig] = Field(default_factory=dict)
    displays: dict[str, DisplayConfig] = Field(default_factory=dict)
    slmsuite: dict[str, SlmsuiteConfig] = Field(default_factory=dict)
    roles: dict[str, Role]
    interlocks: tuple[InterlockConfig, ...] = ()

    def block_of(self, role: Role) -> Block:
        """Return the block that opens the device of a role."""
        if isinstance(role, SelectorRole) and role.group is not None:
            return "micromanager"
        blocks: tuple[tuple[Block, Mapping[str, object]], ...] = (
            ("drivers", self.drivers),
            ("displays", self.displays),
            ("slmsuite", self.slmsuite),
        )
        for name, block in blocks:
            if role.device in block:
                return name
        if isinstance(role, LightRole) and role.channel is not None:
            return "visa"
        if isinstance(role, PropertyRole | SelectorRole) and role.device in self.visa:
            return "visa"
        return "micromanager"
