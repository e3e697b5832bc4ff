"""Lamps and shutters of a Micro-Manager core: dark before any other device of it is used."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, get_args

from drivers import Device
from instrument.bench.opening import all_or_every_failure
from instrument.bench.safety import UnsafeBench, make_all_safe
from instrument.config import BenchConfig, Config, EmitterRole, ShutterRole

if TYPE_CHECKING:
    from drivers.micromanager import MicroManager

_log = logging.getLogger(__name__)


def lights_first(bench: BenchConfig) -> list[str]:
    """Names of roles in the order in which they are made safe: lights, shutters, all others.

    A light of a core that exposes, or hangs, keeps whoever switches it off waiting, and so comes
    after the lights that have a line of their own.
    """
    kinds = get_args(EmitterRole)

    def rank(name: str) -> tuple[int, bool]:
        role = bench.roles[name]
        fitting = (n for n, kind in enumerate(kinds) if isinstance(role, kind))
        return next(fitting, len(kinds)), bench.block_of(role) == "micromanager"

    return sorted(bench.roles, key=rank)


def open_emitters(config: Config, manager: MicroManager) -> dict[str, Device]:
    """Open the lights and shutters of a core and make them safe, lights first.

    Parameters
    ----------
    config
        The whole bench file.
    manager
        With the devices loaded, and nobody knows in which state.

    Raises
    ------
    ConnectError
        One line a device that could not be opened or does not fit its role; the others are dark.
    UnsafeBench
        One could not be made safe.
    """
    roles = config.bench.roles
    wanted: dict[str, EmitterRole] = {}
    for name in lights_first(config.bench):
        role = roles[name]
        if isinstance(role, EmitterRole) and config.bench.block_of(role) == "micromanager":
            wanted[name] = role
    emitters: dict[str, Device] = {}

    def open_one(name: str, role: EmitterRole) -> None:
        emitters[name] = _open(role, manager)

    try:
        all_or_every_failure({
            f"bench.roles.{name}": lambda n=name, r=role: open_one(n, r)
            for name, role in wanted.items()
        })
    finally:
        make_dark(emitters)  # those that could be opened, also where another could not
    _warn_of_autoshutter(manager)
    return emitters


def make_dark(emitters: Mapping[str, Device]) -> None:
    """Make them safe in their order; raise `UnsafeBench` with what stays lit."""
    unsafe = make_all_safe(list(emitters.items()))
    if unsafe:
        raise UnsafeBench(unsafe)


def _open(role: EmitterRole, manager: MicroManager) -> Device:
    from drivers.micromanager import MicroManagerLight, MicroManagerShutter, Switch

    if isinstance(role, ShutterRole):
        return MicroManagerShutter(manager, role.device)
    switch = None
    if role.switch is not None:
        switch = Switch(property=role.switch.property, on=role.switch.on, off=role.switch.off)
    return MicroManagerLight(
        manager,
        role.device,
        level=role.quantity(),
        switch=switch,
        limits=role.limits,
        safe=role.safe,
        unit=role.unit,
    )


def _warn_of_autoshutter(manager: MicroManager) -> None:
    unattended = manager.autoshutter()
    if unattended is not None:
        _log.warning(
            "%s: Micro-Manager opens this shutter by itself for every frame, and no safe state "
            "knows it; add shutter: {device: %s} to bench.roles",
            unattended,
            unattended,
        )
