"""What the interlocks of a bench file read: channels, drivers' meters, positions, properties."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from drivers import Actuator, Device
from drivers.visa import VisaInstrument, VisaMeter
from instrument.bench.driven import as_meter
from instrument.bench.interlocks import Interlock, PositionReading, Reading
from instrument.bench.opening import all_or_every_failure
from instrument.bench.slew import unit_of
from instrument.config import Config, InterlockConfig, XYStageRole

if TYPE_CHECKING:
    from drivers.micromanager import MicroManager


def open_interlocks(
    config: Config,
    instruments: Mapping[str, VisaInstrument],
    driven: Mapping[str, Device],
    manager: MicroManager | None,
    devices: Mapping[str, Device],
) -> list[Interlock]:
    """Return the interlocks of the file, in its order.

    Parameters
    ----------
    config
        The whole bench file.
    instruments, driven, manager
        VISA instruments and third parties' devices by name, and the Micro-Manager core.
    devices
        By role.

    Raises
    ------
    ConnectError
        One line an interlock that has nothing to read.
    """

    def meter(entry: InterlockConfig) -> Reading:
        if entry.channel is not None:
            name, _, channel = entry.channel.partition(".")
            if not channel:
                return as_meter(driven[name])
            return VisaMeter(instruments[name], channel=channel)
        name, part = entry.role_and_part
        role = config.bench.roles[name]
        if part and not isinstance(role, XYStageRole):
            from drivers.micromanager import MicroManagerMeter

            assert manager is not None  # noqa: S101 - the config's checks
            return MicroManagerMeter(manager, role.device, part, unit=entry.unit)
        return PositionReading(cast("Actuator[Any]", devices[name]), part, unit_of(role))

    def is_behind_core(entry: InterlockConfig) -> bool:
        name, _ = entry.role_and_part
        role = config.bench.roles.get(name)
        return role is not None and config.bench.block_of(role) == "micromanager"

    def open_one(entry: InterlockConfig) -> Interlock:
        name, part = entry.role_and_part
        reading = meter(entry)
        is_position = isinstance(reading, PositionReading)
        return Interlock(
            name=entry.name,
            meter=reading,
            below=entry.below,
            above=entry.above,
            hysteresis=entry.hysteresis,
            action=entry.action,
            longest_pause_s=entry.longest_pause_s,
            role=name if is_position else None,
            axis=part if is_position else "",
            is_behind_core=is_behind_core(entry),
        )

    opened = all_or_every_failure({
        f"bench.interlocks.{index}": lambda e=entry: open_one(e)
        for index, entry in enumerate(config.bench.interlocks)
    })
    return list(opened.values())
