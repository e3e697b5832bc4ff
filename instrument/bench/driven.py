"""Devices of third parties' drivers: opened, the lights first and dark, and held to their roles.

A driver's device is held to what its role's kind promises, and to the role's soft limits, before
anything is asked of it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, TypeVar

from drivers import (
    Camera,
    Device,
    DeviceError,
    LightSource,
    Meter,
    NumericProperty,
    ProtocolError,
    RotationStage,
    Selector,
    SpatialLightModulator,
    Stage,
    XYStage,
)
from drivers.registry import close_device, missing_abilities, open_device
from instrument.bench.actuators import as_kind
from instrument.bench.opening import all_or_every_failure, within_limits
from instrument.bench.safety import UnsafeBench, make_all_safe
from instrument.config import Config, LightRole, Role, XYStageRole

_log = logging.getLogger(__name__)
TargetT = TypeVar("TargetT")
PROTOCOL_OF_KIND: Mapping[str, type[Any]] = {
    "camera": Camera,
    "slm": SpatialLightModulator,
    "stage": Stage,
    "xy_stage": XYStage,
    "rotation": RotationStage,
    "selector": Selector,
    "property": NumericProperty,
    "light": LightSource,
}
"""What a device must be to have a role of a kind."""


def open_lamps(config: Config, undo: ExitStack) -> dict[str, Device]:
    """Open the drivers' devices that are lights, and switch off each that opens.

    Parameters
    ----------
    config
        The whole bench file.
    undo
        Takes what closes them.

    Raises
    ------
    UnsafeBench
        One of them could not be switched off.
    ConnectError
        One line a device that could not be opened.
    """
    lit = [name for name in config.bench.drivers if name in _lamps(config)]
    opened: dict[str, Device] = {}
    try:
        all_or_every_failure(_openers(config, lit, opened, undo))
    finally:  # nobody knows what the last process left on: dark, whatever became of the others
        unsafe = make_all_safe(list(opened.items()))
        if unsafe:
            raise UnsafeBench(unsafe)
    return opened


def open_others(config: Config, undo: ExitStack) -> dict[str, Device]:
    """Open the drivers' devices that are no lights; `undo` closes them. Raises `ConnectError`."""
    others = [name for name in config.bench.drivers if name not in _lamps(config)]
    opened: dict[str, Device] = {}
    all_or_every_failure(_openers(config, others, opened, undo))
    return opened


def driven_roles(config: Config, driven: Mapping[str, Device]) -> dict[str, Device]:
    """Return devices that no core has by role, as what it needs; raises `ConnectError`."""
    return all_or_every_failure({
        f"bench.roles.{name}": lambda n=name, r=role: as_role(driven[r.device], n, r)
        for name, role in config.bench.roles.items()
        if role.device in driven
    })


def as_role(device: Device, name: str, role: Role) -> Device:
    """Return a driver's device as what its role needs of it.

    Raises
    ------
    ProtocolError
        It is not of the role's kind.
    LimitViolation
        The role's soft limits are wider than the device's own.
    """
    fitting: Any = _as_protocol(device, PROTOCOL_OF_KIND[role.kind], name)
    if isinstance(role, XYStageRole):
        return within_limits(fitting, tuple(zip(*role.limits_um, strict=True)), "limits_um")
    for key in ("limits_um", "limits_deg", "limits"):
        limits = getattr(role, key, None)
        if limits is not None:
            return within_limits(fitting, limits, key)
    return fitting


def as_meter(device: Device) -> Meter:
    """Return a driver's device as a meter of an interlock; raise `ProtocolError` if it is none."""
    return _as_protocol(device, Meter, "interlock")


def _lamps(config: Config) -> set[str]:
    """Return the names of devices that have the role of a light."""
    return {role.device for role in config.bench.roles.values() if isinstance(role, LightRole)}


def _openers(
    config: Config, names: Sequence[str], opened: dict[str, Device], undo: ExitStack
) -> dict[str, Callable[[], Device]]:
    """Return what opens each device and notes it in `opened`."""

    def open_one(name: str) -> Device:
        block = config.bench.drivers[name]
        device = open_device(name, block.driver, block.options)
        undo.push(_closing(device))
        opened[name] = device
        return device

    return {f"bench.drivers.{name}": lambda n=name: open_one(n) for name in names}


def _closing(device: Device) -> Callable[..., None]:
    """Return what closes a device, and lets an error that is on its way out be the louder one."""

    def close(_kind: object, error: BaseException | None, _trace: object) -> None:
        try:
            close_device(device)
        except DeviceError as failure:
            if error is None:
                raise
            _log.critical("%s", failure)

    return close


def _as_protocol(device: Device, protocol: type[TargetT], role: str) -> TargetT:
    """Like `as_kind`, and name what a driver's author forgot."""
    try:
        return as_kind(device, protocol, role)
    except ProtocolError as error:
        missing = ", ".join(missing_abilities(device, protocol))
        raise ProtocolError(f"{error}; it has no {missing}") from error
