"""VISA instruments and the lights behind them: opened and dark before anything else of a bench."""

from __future__ import annotations

import functools
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from drivers import Device
from drivers.visa import VisaInstrument, VisaLight, load_declaration
from instrument.bench.emitters import make_dark
from instrument.bench.guardian import GuardedLight, Guardian
from instrument.bench.lighting import Lighting
from instrument.bench.opening import ConnectError, all_or_every_failure
from instrument.bench.visa_settings import setters
from instrument.config import Config, LightRole, VisaConfig

if TYPE_CHECKING:
    from drivers.virtual.bench import VirtualBench

SILENCE_S = 15.0
"""Beyond the watchdog's patience: after that this process is beyond help."""


def open_instruments(
    config: Config, virtual: VirtualBench | None, undo: ExitStack
) -> dict[str, VisaInstrument]:
    """Open every instrument, by its name in the file; `undo` closes them.

    Raises
    ------
    ConnectError
        One line an instrument that could not be opened. The lights of the others are dark.
    UnsafeBench
        One of those could not be switched off.
    """
    opened: dict[str, VisaInstrument] = {}

    def open_one(name: str, visa: VisaConfig) -> VisaInstrument:
        address = visa.address
        if address == "virtual" and virtual is not None:
            address = virtual.address(name)
        declaration = load_declaration(Path(visa.declaration))
        instrument = VisaInstrument.open(declaration, address, name=name, backend=visa.backend)
        undo.callback(instrument.close)
        opened[name] = instrument
        return instrument

    try:
        return all_or_every_failure({
            f"bench.visa.{name}": lambda n=name, v=v: open_one(n, v)
            for name, v in config.bench.visa.items()
        })
    except ConnectError:
        with suppress(ConnectError):  # closing alone goes by the declaration, not by the role
            open_lights(config, opened)
        raise


def open_lights(config: Config, instruments: dict[str, VisaInstrument]) -> dict[str, Device]:
    """Return the lights of these instruments by role, dark.

    Raises
    ------
    ConnectError
        One line a light that does not fit its role.
    UnsafeBench
        One could not be switched off.
    """

    def open_one(role: LightRole, channel: str) -> VisaLight:
        return VisaLight(
            instruments[role.device],
            level=channel,
            output=role.output,
            limits=role.limits,
            safe=role.safe,
        )

    lights: dict[str, Device] = {}

    def keep(name: str, role: LightRole, channel: str) -> None:
        lights[name] = open_one(role, channel)

    try:
        all_or_every_failure({
            f"bench.roles.{name}": lambda n=name, r=role, c=channel: keep(n, r, c)
            for name, role, channel in _visa_lights(config)
            if role.device in instruments
        })
    finally:  # also where another does not fit its role
        make_dark(lights)
    return lights


def set_channels(config: Config, instruments: dict[str, VisaInstrument]) -> None:
    """Set the channels that the file sets once; raises `ConnectError`, a line a failure."""
    all_or_every_failure(setters(config, instruments))


def guard_ramps(lighting: Lighting) -> None:
    """Have the lighting asked before every step of a ramp that an instrument's channel makes."""
    for role, light in lighting.lights.items():
        if isinstance(light, VisaLight):
            light.guard_ramps(functools.partial(lighting.on_the_way, role))


def start_guardian(config: Config, undo: ExitStack) -> Guardian | None:
    """Start the process that switches lights off if this one dies; none for virtual ones.

    It reaches lights behind VISA only: a second process cannot open a Micro-Manager core or a
    third party's driver while this one may still hold its port.
    """
    lights = [
        GuardedLight(
            name=name,
            declaration=config.bench.visa[role.device].declaration,
            address=config.bench.visa[role.device].address,
            backend=config.bench.visa[role.device].backend,
            channel=channel,
            output=role.output,
            limits=role.limits,
            safe=role.safe,
        )
        for name, role, channel in _visa_lights(config)
        if config.bench.visa[role.device].address != "virtual"
    ]
    if not lights or not config.safety.guardian:
        return None
    guardian = Guardian(lights, silence_s=config.safety.watchdog_s + SILENCE_S)
    undo.callback(guardian.close)
    return guardian


def _visa_lights(config: Config) -> list[tuple[str, LightRole, str]]:
    return [
        (name, role, role.channel)
        for name, role in config.bench.roles.items()
        if isinstance(role, LightRole) and role.channel is not None
    ]
