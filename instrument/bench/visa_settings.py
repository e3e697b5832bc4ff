"""Channels of VISA instruments that a bench file sets once, when every light is dark."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from drivers.visa import (
    ChoiceChannel,
    DeclarationError,
    NumberChannel,
    SwitchChannel,
    VisaInstrument,
)
from instrument.config import Config, LightRole


def setters(
    config: Config, instruments: Mapping[str, VisaInstrument]
) -> dict[str, Callable[[], object]]:
    """Give what sets each channel, and reads it back, by its key in the bench file."""

    def setter(name: str, channel: str, value: bool | float | str) -> Callable[[], object]:
        return lambda: _set(config, instruments[name], channel, value)

    return {
        f"bench.visa.{name}.settings.{channel}": setter(name, channel, value)
        for name, visa in config.bench.visa.items()
        for channel, value in visa.settings.items()
    }


def _set(
    config: Config, instrument: VisaInstrument, channel: str, value: bool | float | str
) -> None:
    for name, role in config.bench.roles.items():
        if not isinstance(role, LightRole) or role.device != instrument.name:
            continue
        if channel in {role.channel, role.output}:
            raise DeclarationError(
                f"{instrument}: `{channel}` {value!r} asked as a setting, but it is what the role "
                f"{name!r} switches; give its `level` and `limits` there"
            )
    match instrument.channel(channel), value:
        case (NumberChannel(), float() | int()) if not isinstance(value, bool):
            instrument.set(channel, value)
        case (ChoiceChannel(), str()):
            instrument.choose(channel, value)
        case (SwitchChannel(), bool()):
            instrument.set(channel, float(value))
        case (declared, _):
            wanted = {"number": "a number", "choice": "a word", "switch": "true or false"}
            raise DeclarationError(
                f"{instrument}: `{channel}` {value!r} asked, but it is a {declared.kind}; "
                f"write {wanted[declared.kind]}"
            )
