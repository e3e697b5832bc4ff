"""Channels of VISA instruments that have a role of their own: numbers and choices to be moved."""

from __future__ import annotations

from collections.abc import Mapping

from drivers import Device
from drivers.visa import VisaChoice, VisaInstrument, VisaNumber
from instrument.bench.opening import all_or_every_failure, within_limits
from instrument.config import Config, LightRole, PropertyRole, Role, SelectorRole


def open_visa_roles(config: Config, instruments: Mapping[str, VisaInstrument]) -> dict[str, Device]:
    """Return the instruments' numbers and choices by role; nothing is sent.

    The lights are `instruments.open_lights`'s, opened and dark before.

    Raises
    ------
    ConnectError
        One line a channel that does not fit its role.
    """

    def open_one(role: Role) -> Device:
        assert isinstance(role, PropertyRole | SelectorRole)  # noqa: S101 - `block_of`
        instrument = instruments[role.device]
        if isinstance(role, PropertyRole):
            return within_limits(
                VisaNumber(instrument, channel=role.property), role.limits, "limits"
            )
        return VisaChoice(instrument, channel=role.channel or "")

    return all_or_every_failure({
        f"bench.roles.{name}": lambda r=role: open_one(r)
        for name, role in config.bench.roles.items()
        if config.bench.block_of(role) == "visa" and not isinstance(role, LightRole)
    })
