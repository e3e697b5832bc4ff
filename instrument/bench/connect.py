"""From a bench file to a connected bench: lights first, and dark, before anything else is touched.

After a kill -9 nobody knows what the last process left on. So the VISA instruments and the lights
of third parties' drivers are opened and made safe before the Micro-Manager core is even loaded, the
core's own lights as soon as it is, and only then what moves. Independent failures are all reported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import numpy as np

from drivers import Device, LimitViolation
from drivers.events import EventSource
from instrument.bench.bench import Bench
from instrument.bench.beside_core import open_beside_core
from instrument.bench.driven import driven_roles, open_lamps, open_others
from instrument.bench.emitters import open_emitters
from instrument.bench.guardian import Guardian
from instrument.bench.instruments import (
    guard_ramps,
    open_instruments,
    open_lights,
    set_channels,
    start_guardian,
)
from instrument.bench.interlock_meters import open_interlocks
from instrument.bench.interlocks import Interlock
from instrument.bench.micromanager import (
    listen,
    open_core_roles,
    open_micromanager,
    open_virtual,
)
from instrument.bench.opening import ConnectError
from instrument.bench.patterns import ModulatorFileError
from instrument.bench.presets import set_presets
from instrument.bench.safety import UnsafeBench
from instrument.bench.triggered import check_triggers
from instrument.bench.visa_roles import open_visa_roles
from instrument.config import Config
from instrument.design import DesignError

if TYPE_CHECKING:
    from drivers.virtual.bench import VirtualBench

__all__ = ["ConnectError", "check_reachable", "connect"]

BETWEEN = 1 / 3**0.5
"""Share of a range that no device counts in."""


def connect(config: Config) -> Bench:
    """Open every device, lights first and dark, and check what each role needs of it.

    Raises
    ------
    ConnectError
        One line a device that could not be opened or does not fit its role. Everything that was
        opened is safe and closed again.
    UnsafeBench
        A light could not be switched off.
    """
    with ExitStack() as undo:
        # Closed last: when the window goes, the desktop shines on the modulator.
        displays = undo.enter_context(ExitStack())
        virtual = open_virtual(config, undo)
        guardian = start_guardian(config, undo)  # ends after the instruments are closed
        try:
            instruments = open_instruments(config, virtual, undo)
            devices = open_lights(config, instruments)
        except (ConnectError, UnsafeBench):
            with suppress(ConnectError):  # what is missing is said; what is there goes dark
                open_lamps(config, undo)
            raise
        driven = open_lamps(config, undo)
        manager = open_micromanager(config, virtual, undo)
        if manager is not None:
            emitters = open_emitters(config, manager)
            set_presets(config, manager, emitters)
            devices |= emitters
        set_channels(config, instruments)  # lights are dark: it may be what a level means
        driven |= open_others(config, undo) | open_beside_core(config, displays)
        devices |= driven_roles(config, driven) | open_visa_roles(config, instruments)
        if manager is not None:
            devices |= open_core_roles(config, manager)
        interlocks = open_interlocks(config, instruments, driven, manager, devices)
        events = listen(manager, undo)
        return _build(config, devices, interlocks, virtual, guardian, events, undo)


def _build(
    config: Config,
    devices: Mapping[str, Device],
    interlocks: Sequence[Interlock],
    virtual: VirtualBench | None,
    guardian: Guardian | None,
    events: EventSource | None,
    undo: ExitStack,
) -> Bench:
    """Put the bench together, and see that its devices can do what the design may ask of them."""
    kept = ExitStack()  # empty until all is well: before, `undo` closes what was opened
    try:
        bench = Bench(
            config,
            {role: devices[role] for role in config.bench.roles},
            interlocks=interlocks,
            closers=[kept.close],
            truth=virtual.truth if virtual else None,
            seed_noise=virtual.seed_noise if virtual else None,
            guardian=guardian,
            events=events,
        )
    except ModulatorFileError as error:
        raise ConnectError([str(error)]) from error
    except DesignError as error:
        raise ConnectError([f"`design`: {error}"]) from error
    except LimitViolation as error:
        raise ConnectError([f"`bench.roles`: {error}"]) from error
    check_reachable(bench)
    check_triggers(bench)
    guard_ramps(bench.lighting)
    kept.enter_context(undo.pop_all())
    return bench


def check_reachable(bench: Bench) -> None:
    """Check that the devices take both bounds of every parameter, and a value between them.

    A property may take a few values only, the bounds among them: better said now than in the
    middle of a run.

    Raises
    ------
    ConnectError
        With what a device refused. Nothing has moved.
    """
    try:
        space = bench.space()
        for share in (0.0, 1.0, BETWEEN):
            bench.check_values(space.from_unit(np.full(space.dimension, share)), space=space)
    except (DesignError, LimitViolation) as error:
        raise ConnectError([f"`design`: {error}"]) from error
