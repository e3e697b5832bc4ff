"""Commands from any thread to the one that runs the loop: pause, resume, abort.

A command only leaves a wish; the loop comes by `checkpoint` before every exposure and between two
trials, and does what is wished where no device is in the middle of something. So nobody but the
loop changes the state, and a command never waits.

Commands may come from a signal handler, which may interrupt the loop at any instruction, also
inside this module. So there is no lock here: a wish is one assignment, and the loop is woken
through `queue.SimpleQueue`, whose `put` is reentrant by its documentation (`Event.set` is not).
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from dataclasses import dataclass

from instrument.bench.holding import PauseAsked
from instrument.campaign.states import State, check_transition

OnChange = Callable[[State, State, str | None], None]
"""Takes the state before, the state now, and why."""

_WHEN_DARK = {
    State.IDLE: "before any light comes on",
    State.CONNECTING: "before any light comes on",
    State.PAUSED: "the light is off already",
    State.SUSPENDED: "the light is off already",
}
_GOES_ON_BY_ITSELF = {
    State.PAUSED: ", and goes on by itself",  # nobody asked for it: the disk is full
    State.SUSPENDED: ", until its interlock holds",
}
_AT_THE_NEXT_EXPOSURE = "the light is off after the exposure under way"


class AbortAsked(Exception):  # noqa: N818 - it is a wish, not an error
    """Somebody wants the campaign to end; no device is in the middle of something."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a command: whether it was taken, and a sentence for whoever gave it."""

    is_taken: bool
    text: str


def _tell_nobody(_before: State, _now: State, _why: str | None) -> None:
    return


class Control:
    """State of one campaign, and the commands to it.

    `pause`, `resume` and `abort` may be called from any thread and from a signal handler, any
    number of times; they return at once. `enter`, `checkpoint`, `wait` and `wait_while_paused` are
    for the thread that runs the loop.

    Parameters
    ----------
    on_change
        Called by the loop's thread after every change of state; may be set later.
    """

    def __init__(self, *, on_change: OnChange = _tell_nobody):
        self.on_change = on_change
        self._state = State.IDLE
        self._pause: str | None = None
        self._abort: str | None = None
        self._wakes: queue.SimpleQueue[None] = queue.SimpleQueue()

    @property
    def state(self) -> State:
        """What the campaign does now."""
        return self._state

    @property
    def is_pause_asked(self) -> bool:
        """Whether a pause is wished or going on."""
        return self._pause is not None

    @property
    def is_abort_asked(self) -> bool:
        """Whether the campaign is to end."""
        return self._abort is not None

    # ---- commands, from anywhere

    def pause(self, why: str) -> Answer:
        """Ask for the light to go off and the campaign to wait until `resume`."""
        refused = self._why_too_late()
        if refused is not None:
            return refused
        if self._pause is not None:
            return Answer(False, f"nothing to pause: it was asked before ({self._pause})")
        self._pause = why
        self._wakes.put(None)
        when = _WHEN_DARK.get(self._state, _AT_THE_NEXT_EXPOSURE)
        return Answer(True, f"pausing ({why}): {when}")

    def resume(self) -> Answer:
        """Let a paused campaign go on."""
        refused = self._why_too_late()
        if refused is not None:
            return refused
        if self._pause is None:
            reason = _GOES_ON_BY_ITSELF.get(self._state, "")
            return Answer(False, f"nothing to resume: the campaign is {self._state}{reason}")
        self._pause = None
        self._wakes.put(None)
        return Answer(True, "going on")

    def abort(self, why: str) -> Answer:
        """Ask for the campaign to end: after the exposure under way, or at once where it waits."""
        refused = self._why_too_late()
        if refused is not None:
            return refused
        self._abort = why
        self._wakes.put(None)
        when = _WHEN_DARK.get(self._state, _AT_THE_NEXT_EXPOSURE)
        return Answer(True, f"ending the run ({why}): {when}")

    def _why_too_late(self) -> Answer | None:
        if self._state.has_ended:
            return Answer(False, f"too late: the campaign has {_ENDED[self._state]}")
        if self._abort is not None:
            return Answer(False, f"too late: the campaign is ending ({self._abort})")
        return None

    # ---- for the thread of the loop

    def enter(self, state: State, why: str | None = None) -> None:
        """Change the state and tell `on_change`; the present one again is no change.

        Raises
        ------
        IllegalTransition
            `state` may not follow the present one.
        """
        before = self._state
        if state == before:
            return
        check_transition(before, state)
        self._state = state
        self.on_change(before, state, why)

    def checkpoint(self) -> None:
        """Come by between two exposures or trials.

        Raises
        ------
        PauseAsked
            Make it dark, then call `wait_while_paused`.
        AbortAsked
            End the campaign.
        """
        if self._abort is not None:
            raise AbortAsked(self._abort)
        if self._pause is not None:
            raise PauseAsked(self._pause)

    def wait(self, seconds: float) -> None:
        """Let time go by in the dark; a command ends it at once.

        Raises
        ------
        PauseAsked, AbortAsked
            As `checkpoint`.
        """
        ends_s = time.monotonic() + seconds
        self._forget_wakes()
        self.checkpoint()
        while (left_s := ends_s - time.monotonic()) > 0:
            self._sleep(left_s)
            self.checkpoint()

    def wait_while_paused(self, *, longest_s: float) -> float:
        """Wait in the dark until `resume`; return to the state before. Returns the seconds waited.

        Raises
        ------
        AbortAsked
            The campaign is to end: `abort` was called, or nobody resumed it within `longest_s`.
        """
        began_s, before, why = time.monotonic(), self._state, self._pause
        self._forget_wakes()
        if why is not None and self._abort is None:
            self.enter(State.PAUSED, why)
        while self._pause is not None and self._abort is None:
            left_s = began_s + longest_s - time.monotonic()
            if left_s <= 0:
                self._abort = (
                    f"nobody resumed it within {longest_s:g} s (safety.longest_pause_s), "
                    f"paused by: {why}"
                )
                break
            self._sleep(left_s)
        if self._abort is not None:
            raise AbortAsked(self._abort)
        self.enter(before, "resumed")
        return time.monotonic() - began_s

    def _sleep(self, seconds: float) -> None:
        try:
            self._wakes.get(timeout=min(seconds, _LONGEST_SLEEP_S))
        except queue.Empty:
            return

    def _forget_wakes(self) -> None:
        """Forget what woke nobody; a wish is set before its wake, so none is missed after this."""
        while not self._wakes.empty():
            self._wakes.get_nowait()


_ENDED = {State.FINISHED: "finished", State.ABORTED: "been aborted", State.FAILED: "failed"}
_LONGEST_SLEEP_S = 0.5  # on Windows Ctrl-C does not end a wait, and is seen after it
