"""The watchdog: light does not stay on when whoever switched it on is no longer heard of.

A camera that never returns, a stage that never arrives, a loop that is stuck: none of them may
leave a laser on. Everyone who has something to do while light is on says what it is and how long it
is known to need; who overdraws that by `patience_s` is reported, once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from drivers import DeviceError

JOIN_TIMEOUT_S = 5.0
RECALL_S = 5.0
"""After the light is off: until the loop is called back from where it is stuck."""


class WatchdogTripped(DeviceError):  # noqa: N818 - it is a state of the bench
    """Something took too long with the light on; the light was switched off."""


@dataclass(frozen=True, slots=True)
class _Duty:
    what: str
    due_s: float
    allowed_s: float


class Watchdog:
    """Reports, from a thread of its own, who has not reported in time.

    Parameters
    ----------
    on_trip
        Called once, on the watchdog's thread, with the error that names the late one.
    patience_s
        How much longer than it is known to need something may take.
    on_stuck
        Called when the watch has not ended `RECALL_S` after that.
    beat, beat_s
        Called every so often while nobody is late.
    """

    def __init__(
        self,
        on_trip: Callable[[WatchdogTripped], None],
        *,
        patience_s: float,
        on_stuck: Callable[[], None] = lambda: None,
        beat: Callable[[], None] = lambda: None,
        beat_s: float = 1.0,
    ):
        self._on_trip = on_trip
        self._on_stuck = on_stuck
        self._beat = beat
        self._beat_s = beat_s
        self._patience_s = patience_s
        self._changed = threading.Condition()
        self._duties: dict[str, _Duty] = {}
        self._is_over = False

    @contextmanager
    def on_duty(self) -> Iterator[None]:
        """Watch for the length of the block."""
        thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        thread.start()
        try:
            yield
        finally:
            with self._changed:
                self._is_over = True
                self._changed.notify_all()
            thread.join(JOIN_TIMEOUT_S)

    def report(self, who: str, what: str = "", *, need_s: float = 0.0) -> None:
        """Say that `who` is alive, and busy with `what` for `need_s` to come."""
        allowed_s = need_s + self._patience_s
        duty = _Duty(what or who, time.monotonic() + allowed_s, allowed_s)
        with self._changed:
            self._duties[who] = duty
            self._changed.notify_all()

    def retire(self, who: str) -> None:
        """Say that `who` has nothing more to report."""
        with self._changed:
            self._duties.pop(who, None)
            self._changed.notify_all()

    def _watch(self) -> None:
        duty = self._first_late()
        if duty is None:
            return
        self._on_trip(
            WatchdogTripped(
                f"{duty.what}: no sign of life for {duty.allowed_s:g} s with the light on, so the "
                "watchdog has switched it off; look what hangs, or raise safety.watchdog_s if this "
                "device is as slow as that"
            )
        )
        with self._changed:
            has_ended = self._changed.wait_for(lambda: self._is_over, RECALL_S)
        if not has_ended:
            self._on_stuck()

    def _first_late(self) -> _Duty | None:
        """Return who is late first, or None at the end of the watch."""
        while True:
            self._beat()
            with self._changed:
                if self._is_over:
                    return None
                now_s = time.monotonic()
                late = [duty for duty in self._duties.values() if duty.due_s <= now_s]
                if late:
                    return late[0]
                waits = [duty.due_s - now_s for duty in self._duties.values()]
                self._changed.wait(min([*waits, self._beat_s]))
