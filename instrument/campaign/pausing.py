"""Waiting in the dark and going on: for an interlock to hold, or for a person to resume."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from typing import TypeVar

from instrument.bench.bench import Bench
from instrument.bench.holding import PauseAsked
from instrument.bench.interlocks import InterlockTripped
from instrument.campaign.control import Control
from instrument.campaign.events import EventBus, Resumed, Suspended
from instrument.campaign.states import State

INTERLOCK_POLL_S = 1.0
"""Between two looks at an interlock; the light stays off for at least as long."""

ResultT = TypeVar("ResultT")


class Pauses:
    """What becomes of a tripped interlock, or of a pause, during one piece of work, a batch say.

    All suspensions by one interlock together last at most its `longest_pause_s`, so that one which
    trips whenever the light comes on ends the run instead of blinking for ever. While a person has
    paused the campaign no interlock's time runs; a pause lasts at most `safety.longest_pause_s`.

    Parameters
    ----------
    bench
        Its light is off when an interlock has tripped or a pause is asked.
    bus
        Is told of every suspension and its end.
    control
        Knows the state, and what people want.
    """

    def __init__(self, bench: Bench, bus: EventBus, *, control: Control):
        self._bench = bench
        self._bus = bus
        self._control = control
        self._suspended_s: defaultdict[str, float] = defaultdict(float)

    def wait(self, held: InterlockTripped | PauseAsked) -> None:
        """Return when the work may go on.

        Raises
        ------
        InterlockTripped
            Its action is `abort`, or its time is over.
        AbortAsked
            Somebody wants the campaign to end, or nobody resumed it in time.
        """
        if isinstance(held, PauseAsked):
            self._wait_for_a_person()
        else:
            self._wait_for_interlocks(held)

    def again(self, work: Callable[[], ResultT]) -> ResultT:
        """Do something that goes on where it was, or begins again, after every wait."""
        while True:
            try:
                return work()
            except (InterlockTripped, PauseAsked) as held:
                self.wait(held)

    def _wait_for_a_person(self) -> None:
        longest_s = self._bench.config.safety.longest_pause_s
        self._control.wait_while_paused(longest_s=longest_s)

    def _wait_for_interlocks(self, tripped: InterlockTripped) -> None:
        interlock = tripped.interlock
        left_s = interlock.longest_pause_s - self._suspended_s[interlock.name]
        if interlock.action != "pause" or left_s <= 0:
            raise tripped
        before = self._control.state
        self._control.enter(State.SUSPENDED, str(tripped))
        self._bus.emit(
            Suspended(
                text=f"paused, light off: {tripped}", interlock=interlock.name, longest_s=left_s
            )
        )
        seconds = self._seconds_until_all_hold(tripped, left_s)
        self._suspended_s[interlock.name] += seconds
        text = f"interlock {interlock.name} holds again after {seconds:.0f} s"
        self._bus.emit(Resumed(text=text, interlock=interlock.name, seconds=seconds))
        self._control.enter(before, text)

    def _seconds_until_all_hold(self, tripped: InterlockTripped, longest_s: float) -> float:
        """Look again and again; the time that a person has paused the campaign does not count."""
        waited_s = 0.0
        while waited_s < longest_s:
            began_s = time.monotonic()
            try:
                self._control.wait(INTERLOCK_POLL_S)
            except PauseAsked:
                waited_s += time.monotonic() - began_s
                self._wait_for_a_person()
                continue
            waited_s += time.monotonic() - began_s
            try:
                self._bench.check_interlocks()
            except InterlockTripped as still:
                if still.interlock.action != "pause":
                    raise
                continue
            return waited_s
        raise tripped
