"""Devices that neither Micro-Manager nor VISA opens: `bench.displays` and `bench.slmsuite`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field

from instrument.config._section import Section

if TYPE_CHECKING:
    from instrument.config._model import Config


def _number_or_name(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        raise ValueError("give the number of a monitor (0 is the primary one) or its name")
    if isinstance(value, int) and value < 0:
        raise ValueError("monitors are counted from 0, the primary one")
    return value


def _auto_or_shape(value: object) -> object:
    if value is None or value == "auto":
        return None
    sides = tuple(value) if isinstance(value, list | tuple) else ()
    if len(sides) != 2 or not all(type(side) is int and side > 0 for side in sides):
        raise ValueError("write [height, width] in pixels, or auto for what the monitor has")
    return sides


class DisplayConfig(Section):
    """A modulator or micromirror device that is a monitor to the computer.

    `monitor` is its number, 0 being the primary one, or its name (`infoloop devices` lists both).
    `shape` is the [height, width] it must have; None, or `auto`, takes what the system has set.
    """

    monitor: Annotated[int | str, BeforeValidator(_number_or_name)]
    shape: Annotated[tuple[int, int] | None, BeforeValidator(_auto_or_shape)] = None


class SlmsuiteConfig(Section):
    """A modulator or camera of any make that slmsuite drives.

    `driver` is the full name of slmsuite's class, `options` are its keyword arguments in slmsuite's
    words and units (width before height, seconds). Arguments that are themselves devices of this
    block stand in `devices`: `{slm: NAME}` for a simulated camera.
    """

    driver: str = Field(pattern=r"^slmsuite\.hardware\.(slms|cameras)\.[a-z]\w*\.[A-Za-z]\w*$")
    options: dict[str, Any] = Field(default_factory=dict)
    devices: dict[str, str] = Field(default_factory=dict)

    @property
    def kind(self) -> str:
        """Kind of role that it can have."""
        return "slm" if self.driver.startswith("slmsuite.hardware.slms.") else "camera"


def problems_beside_core(config: Config) -> list[str]:
    """One sentence for every monitor used twice and every role that a device cannot have."""
    return [
        *_one_display_a_monitor(config),
        *_devices_of_devices(config),
        *_roles_of_another_kind(config),
    ]


def _roles_of_another_kind(config: Config) -> Iterator[str]:
    kinds = dict.fromkeys(config.bench.displays, ("a display", "slm"))
    kinds |= {name: ("of slmsuite", device.kind) for name, device in config.bench.slmsuite.items()}
    for name, role in config.bench.roles.items():
        what, kind = kinds.get(role.device, ("", role.kind))
        if role.kind not in {kind, "light"}:  # of a light that is no instrument others speak
            yield (
                f"`bench.roles.{name}.device` = {role.device!r} is {what} and can only have a "
                f"role of kind {kind}, not {role.kind}"
            )


def _one_display_a_monitor(config: Config) -> Iterator[str]:
    first_on: dict[int | str, str] = {}
    for name, display in config.bench.displays.items():
        earlier = first_on.setdefault(display.monitor, name)
        if earlier != name:
            yield (
                f"`bench.displays.{name}.monitor` = {display.monitor!r} is already that of "
                f"{earlier!r}; one display a monitor"
            )


def _devices_of_devices(config: Config) -> Iterator[str]:
    known: list[str] = []
    for name, device in config.bench.slmsuite.items():
        for argument, wanted in device.devices.items():
            key = f"bench.slmsuite.{name}.devices.{argument}"
            if argument in device.options:
                yield f"`{key}` = {wanted!r} is also in its options; say it once"
            if wanted not in known:
                yield (
                    f"`{key}` = {wanted!r} is no device above it in bench.slmsuite; there is "
                    f"{', '.join(known) or 'none'}"
                )
        known.append(name)
