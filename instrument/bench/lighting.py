"""The lights of a bench: on for the length of a block, never with an interlock open, off for sure.

Three may switch them off: the loop at the end of the block, the patrol that reads the interlocks
while the loop is busy, and the watchdog when somebody is not heard of. After the latter two nobody
can switch them on again within that block; the loop learns why at its next step.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from drivers import DeviceError, LightSource
from instrument.bench.guardian import BEAT_S, Guardian
from instrument.bench.interlocks import Interlocks, InterlockTripped
from instrument.bench.lit import LitTime
from instrument.bench.safety import (
    Interrupted,
    UnsafeBench,
    make_all_safe,
    recall_main_thread,
    signals_wait,
)
from instrument.bench.slew import pause_s, waypoints
from instrument.bench.timing import Stopwatch
from instrument.bench.watchdog import Watchdog, WatchdogTripped
from instrument.config import EmitterRole

LIGHT_TIMEOUT_S = 5.0
_LOOP = "the loop, between two steps"


class Lighting:
    """Switches the lights of a bench, and sees that they do not stay on unwatched.

    Parameters
    ----------
    lights, roles
        By role, shutters last: in this order they come on, and go dark.
    interlocks
        What must hold while they are on.
    patience_s
        How much longer than it is known to need something may take while they are on.
    guardian
        Switches them off if this process dies.
    """

    def __init__(
        self,
        lights: Mapping[str, LightSource],
        roles: Mapping[str, EmitterRole],
        interlocks: Interlocks,
        *,
        patience_s: float,
        guardian: Guardian | None = None,
    ):
        self.lights = dict(lights)
        self.level = {role: roles[role].level for role in lights}
        """Level by role while frames are taken, in the light's unit: the file's or the design's."""
        self.is_lit = False
        self.lit_time = LitTime()
        self._roles = roles
        self._interlocks = interlocks
        self._patience_s = patience_s
        self._guardian = guardian
        self._watchdog: Watchdog | None = None
        self._orders = threading.Lock()
        self._put_out_by: InterlockTripped | WatchdogTripped | None = None

    @contextmanager
    def on(
        self, levels: Mapping[str, float], *, stopwatch: Stopwatch, settle: Callable[[], None]
    ) -> Iterator[None]:
        """Light on for the length of the block, off and verified off afterwards, come what may.

        A light that `levels` leaves out stays dark, and is made safe with the others.

        Raises
        ------
        InterlockTripped
            Before any light leaves, or as soon as an interlock does not hold.
        WatchdogTripped
            Something took too long with the light on.
        """
        self._interlocks.check()
        self._watchdog = self._new_watchdog()
        try:
            with (
                self._watchdog.on_duty(),
                self._interlocks.patrolled(self._watchdog, self._put_out),
                self._lit(stopwatch),
            ):
                with stopwatch.measure("light"):
                    for role in [name for name in self.lights if name in levels]:
                        self.bring(role, levels[role], here=self._roles[role].safe)
                with stopwatch.measure("settle"), self.expecting("the light's settling"):
                    settle()
                yield
                self.raise_if_put_out()
        except (DeviceError, Interrupted) as error:
            tripped = self._put_out_by
            if isinstance(tripped, WatchdogTripped) and not isinstance(error, UnsafeBench):
                raise tripped from (None if error is tripped else error)  # it names what hangs
            raise
        finally:
            self._watchdog, self._put_out_by = None, None

    def _new_watchdog(self) -> Watchdog:
        is_main = threading.current_thread() is threading.main_thread()
        return Watchdog(
            self._put_out,
            patience_s=self._patience_s,
            on_stuck=recall_main_thread if is_main else lambda: None,
            beat=self._guardian.beat if self._guardian else lambda: None,
            beat_s=BEAT_S,
        )

    @contextmanager
    def _lit(self, stopwatch: Stopwatch) -> Iterator[None]:
        """Let lights come on within the block; off, and verified off, after it."""
        if self._guardian is not None:
            self._guardian.lit()
        self.is_lit = True
        try:
            yield
        finally:
            self.is_lit = False
            with signals_wait(), stopwatch.measure("light"):
                self._darken()
                if self._guardian is not None:
                    self._guardian.dark()

    def bring(self, role: str, level: float, *, here: float) -> None:
        """Bring a light to a level, in steps where its slew limit wants that."""
        light, pause = self.lights[role], pause_s(self._roles[role])
        for target in waypoints(role, self._roles[role], here, level, unit=light.unit):
            with self.expecting(f"{light.name} (role {role})", need_s=LIGHT_TIMEOUT_S):
                with self._orders:  # who puts out waits for this, and nothing comes after it
                    self.raise_if_put_out()
                    self.lit_time.bring_from(role, target)
                    light.start(target)
                light.wait(timeout_s=LIGHT_TIMEOUT_S)
                self.lit_time.bring(role, target)
                if target is not level:
                    time.sleep(pause)  # the pace of the ramp, which the instrument does not know

    def on_the_way(self, role: str) -> None:
        """Let a ramp that a light's own driver makes take its next step.

        Raises
        ------
        InterlockTripped, WatchdogTripped
            It must not: an interlock is open, or the lights were put out.
        """
        self.raise_if_put_out()
        self._interlocks.check()
        if self._watchdog is not None:
            what = f"a step of the ramp of {self.lights[role].name} (role {role})"
            self._watchdog.report("loop", what, need_s=LIGHT_TIMEOUT_S)

    @contextmanager
    def expecting(self, what: str, *, need_s: float = 0.0) -> Iterator[None]:
        """Tell the watchdog what is done in the block and how long it is known to need.

        Raises
        ------
        InterlockTripped, WatchdogTripped
            The lights were put out meanwhile; what was done in the block does not count.
        """
        watchdog = self._watchdog
        if watchdog is None:
            yield
            return
        watchdog.report("loop", what, need_s=need_s)
        try:
            yield
        finally:
            watchdog.report("loop", _LOOP)
        self.raise_if_put_out()

    def raise_if_put_out(self) -> None:
        """Raise what put the lights out, if anything did."""
        if self._put_out_by is not None:
            raise self._put_out_by

    def _put_out(self, reason: InterlockTripped | WatchdogTripped) -> None:
        """Switch off, from another thread than the loop's; the first reason is the one told."""
        if self._put_out_by is None:
            self._put_out_by = reason
        # An order under way ends first, or it would come after the darkness; a hung one does not
        # end, and is not waited for. It may be a ramp, which the first darkness stops at once.
        is_mine = self._orders.acquire(blocking=False)
        if not is_mine:
            make_all_safe(list(self.lights.items()))
            is_mine = self._orders.acquire(timeout=self._patience_s)
        try:
            make_all_safe(list(self.lights.items()))
        finally:
            if is_mine:
                self._orders.release()

    def _darken(self) -> None:
        unsafe = make_all_safe(list(self.lights.items()))
        if unsafe:
            raise UnsafeBench(unsafe)
        self.lit_time.dark()
