"""Suspend and resume: in the dark, the campaign waits for an interlock to hold, and says so."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import TypeVar

from instrument.bench.bench import Bench
from instrument.bench.interlocks import InterlockTripped
from instrument.campaign.events import EventBus, Resumed, Suspended

INTERLOCK_POLL_S = 1.0
"""Between two looks at an interlock; the light stays off for at least as long."""

ResultT = TypeVar("ResultT")


class Pauses:
    """What becomes of a tripped interlock during one piece of work, a batch say.

    All pauses of one interlock together last at most its `longest_pause_s`, so that one which trips
    whenever the light comes on ends the run instead of blinking for ever.

    Parameters
    ----------
    bench
        Its light is off when an interlock has tripped.
    bus
        Is told of every pause and its end.
    stop
        Ends a pause when set.
    """

    def __init__(self, bench: Bench, bus: EventBus, *, stop: threading.Event):
        self._bench = bench
        self._bus = bus
        self._stop = stop
        self._paused_s: defaultdict[str, float] = defaultdict(float)

    def wait(self, tripped: InterlockTripped) -> None:
        """Return when all interlocks hold again.

        Raises
        ------
        InterlockTripped
            Its action is `abort`, its time is over, or somebody wants the campaign to stop.
        """
        interlock = tripped.interlock
        left_s = interlock.longest_pause_s - self._paused_s[interlock.name]
        if interlock.action != "pause" or left_s <= 0:
            raise tripped
        self._bus.emit(
            Suspended(
                text=f"paused, light off: {tripped}", interlock=interlock.name, longest_s=left_s
            )
        )
        began_s = time.monotonic()
        while not self._stop.wait(INTERLOCK_POLL_S) and time.monotonic() - began_s < left_s:
            try:
                self._bench.check_interlocks()
            except InterlockTripped as still:
                if still.interlock.action != "pause":
                    raise
                continue
            seconds = time.monotonic() - began_s
            self._paused_s[interlock.name] += seconds
            text = f"interlock {interlock.name} holds again after {seconds:.0f} s"
            self._bus.emit(Resumed(text=text, interlock=interlock.name, seconds=seconds))
            return
        raise tripped

    def again(self, work: Callable[[], ResultT]) -> ResultT:
        """Do something that goes on where it was, or begins again, after every pause."""
        while True:
            try:
                return work()
            except InterlockTripped as tripped:
                self.wait(tripped)
