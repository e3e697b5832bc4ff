"""Interlocks: readings that must lie within bounds while light is on, and who keeps reading them.

A reading that fails counts as one out of bounds: a meter that is not there protects nobody.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from drivers import Actuator, DeviceError, LimitViolation, ProtocolError
from instrument.bench.limits import amount
from instrument.bench.watchdog import Watchdog

AXES = ("x", "y")
JOIN_TIMEOUT_S = 5.0


class Reading(Protocol):
    """Anything that gives a number: a meter, or where a device is."""

    @property
    def unit(self) -> str:
        """Unit of the number; `1` for none."""
        ...

    def read(self) -> float:
        """One reading; raises `DeviceError`, never NaN."""
        ...


class PositionReading:
    """Where a role's device says it is.

    Parameters
    ----------
    device
        Of the role.
    axis
        `x` or `y` of a two-axis stage; empty for a device with one number.
    unit
        Of the number.
    """

    def __init__(self, device: Actuator[Any], axis: str, unit: str):
        self._device = device
        self._axis = axis
        self.unit = unit

    def read(self) -> float:
        """Read back the position in `unit`."""
        value = component(self._device.read_back(), self._axis)
        if not math.isfinite(value):
            raise ProtocolError(f"{self._device.name}: position {value} read, which is not finite")
        return value


def component(position: Any, axis: str) -> float:
    """Return one number of a position or target: that of `axis`, or all there is."""
    return float(position[AXES.index(axis)]) if axis else float(position)


class InterlockTripped(Exception):  # noqa: N818 - it is a state of the bench
    """A condition on the bench does not hold; says which, and what was read (None: nothing)."""

    def __init__(self, text: str, interlock: Interlock, *, reading: float | None = None):
        super().__init__(text)
        self.interlock = interlock
        self.reading = reading


@dataclass(slots=True, kw_only=True)
class Interlock:
    """A reading that must lie strictly within bounds while light is on.

    Parameters
    ----------
    name
        What is read, as the bench file says it: `led.temperature_c`, `focus`, `sample.x`.
    meter
        Reads it.
    below, above, hysteresis
        Bounds in the meter's unit. Once it did not hold, it holds again only `hysteresis` inside.
    action, longest_pause_s
        What the campaign does when it does not hold.
    role, axis
        Whose position is read, if it is one: targets beyond the bounds are refused.
    is_behind_core
        Whether it cannot be read while Micro-Manager exposes.
    """

    name: str
    meter: Reading
    below: float | None = None
    above: float | None = None
    hysteresis: float = 0.0
    action: Literal["pause", "abort"] = "abort"
    longest_pause_s: float = 600.0
    role: str | None = None
    axis: str = ""
    is_behind_core: bool = False
    is_open: bool = field(default=False, init=False)

    def check(self) -> float:
        """Read, and return what was read; raise `InterlockTripped` if the bounds do not hold."""
        try:
            value = float(self.meter.read())
        except Exception as error:  # a third party's meter raises what it likes
            self.is_open = True
            said = str(error) if isinstance(error, DeviceError) else repr(error)
            raise InterlockTripped(
                f"interlock {self.name} could not be read and so counts as open: {said}", self
            ) from error
        margin = self.hysteresis if self.is_open else 0.0
        broken = self._broken(value, margin)
        self.is_open = broken is not None
        if broken is not None:
            raise InterlockTripped(
                f"interlock {self.name}: {amount(value, self.meter.unit)}, must be {broken}",
                self,
                reading=value,
            )
        return value

    def check_target(self, role: str, target: Any) -> None:
        """Raise `LimitViolation` if it would not hold with the role's device at `target`."""
        if role != self.role:
            return
        value = component(target, self.axis)
        broken = self._broken(value, 0.0)
        if broken is not None:
            raise LimitViolation(
                f"{self.name}: {amount(value, self.meter.unit)} asked, the interlock over it wants "
                f"it {broken}; correct the design's bounds, or the entry in bench.interlocks"
            )

    def bounds_shown(self) -> str:
        """Say in words what must hold, and from where it holds again."""
        unit = self.meter.unit
        parts = []
        if self.below is not None:
            parts.append(f"below {amount(self.below, unit)}")
        if self.above is not None:
            parts.append(f"above {amount(self.above, unit)}")
        again = f" (again {amount(self.hysteresis, unit)} inside)" if self.hysteresis else ""
        return " and ".join(parts) + again

    def _broken(self, value: float, margin: float) -> str | None:
        """Return the bound that does not hold, in words; NaN breaks any."""
        after = f" to hold again (hysteresis {self.hysteresis:g})" if margin else ""
        unit = self.meter.unit
        if self.below is not None and not value < self.below - margin:
            return f"below {amount(self.below - margin, unit)}{after}"
        if self.above is not None and not value > self.above + margin:
            return f"above {amount(self.above + margin, unit)}{after}"
        return None


class Interlocks:
    """All interlocks of a bench, read one after the other, by one thread at a time.

    Parameters
    ----------
    interlocks
        In the order of the bench file.
    interval_s
        Longest time that light may be on without all of them having been read.
    """

    def __init__(self, interlocks: Sequence[Interlock], *, interval_s: float):
        self.all = tuple(interlocks)
        self.interval_s = interval_s
        self._lock = threading.RLock()
        self._held_at_s = -math.inf
        self._exposing = threading.Lock()

    def __iter__(self) -> Iterator[Interlock]:
        return iter(self.all)

    def check(self) -> None:
        """Raise `InterlockTripped` for the first that does not hold."""
        self._check(self.all)

    def check_target(self, role: str, target: Any) -> None:
        """Raise `LimitViolation` where an interlock over a position forbids a target."""
        for interlock in self.all:
            interlock.check_target(role, target)

    @contextmanager
    def unread_while_exposing(self) -> Iterator[None]:
        """Leave those behind the core unread for the block: it exposes, and answers nobody."""
        with self._exposing:
            yield

    @property
    def are_behind_core(self) -> bool:
        """Whether some cannot be read while Micro-Manager exposes."""
        return any(interlock.is_behind_core for interlock in self.all)

    @contextmanager
    def patrolled(
        self, watchdog: Watchdog, on_trip: Callable[[InterlockTripped], None]
    ) -> Iterator[None]:
        """Keep reading on a thread of its own, for as long as the block lasts.

        It reads only what nobody has read for `interval_s`, so it is silent while a loop of short
        exposures reads before each of them. The watchdog sees to it that it goes on.
        """
        if not self.all:
            yield
            return
        over = threading.Event()
        thread = threading.Thread(
            target=self._patrol, args=(over, watchdog, on_trip), name="interlocks", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(JOIN_TIMEOUT_S)

    def _patrol(
        self,
        over: threading.Event,
        watchdog: Watchdog,
        on_trip: Callable[[InterlockTripped], None],
    ) -> None:
        while True:
            watchdog.report("the interlocks", need_s=self.interval_s)
            left_s = self._held_at_s + self.interval_s - time.monotonic()
            if over.wait(max(left_s, 0.0)):
                watchdog.retire("the interlocks")
                return
            if time.monotonic() - self._held_at_s < self.interval_s:
                continue  # the loop has read them meanwhile
            try:
                self._check_now_possible()
            except InterlockTripped as tripped:
                on_trip(tripped)
                watchdog.retire("the interlocks")
                return

    def _check_now_possible(self) -> None:
        if self._exposing.acquire(blocking=False):
            try:
                self._check(self.all)
            finally:
                self._exposing.release()
        else:
            self._check([i for i in self.all if not i.is_behind_core])

    def _check(self, interlocks: Sequence[Interlock]) -> None:
        with self._lock:
            began_s = time.monotonic()
            for interlock in interlocks:
                interlock.check()
            self._held_at_s = began_s
