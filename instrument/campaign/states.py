"""The states of a campaign, and which may follow which.

In `idle`, `paused`, `suspended` and the three ends no light is on; the other three switch it on and
off as they need it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class State(StrEnum):
    """What a campaign does now; `docs/concepts/campaign.md` draws it."""

    IDLE = "idle"
    """Not begun."""
    CONNECTING = "connecting"
    """Opens the bench, or opens it again after a fault."""
    CALIBRATING = "calibrating"
    """Measures the noise of the camera, or checks it."""
    RUNNING = "running"
    """Proposes, captures, scores."""
    PAUSED = "paused"
    """Waits in the dark for a person to resume, or for room on the disk."""
    SUSPENDED = "suspended"
    """Waits in the dark for an interlock to hold."""
    FINISHED = "finished"
    """Spent its budget."""
    ABORTED = "aborted"
    """Ended because somebody asked."""
    FAILED = "failed"
    """Ended because it could not go on."""

    @property
    def has_ended(self) -> bool:
        """Whether nothing follows."""
        return not NEXT[self]


_WORKING = frozenset({State.CONNECTING, State.CALIBRATING, State.RUNNING})
_WAITING = frozenset({State.PAUSED, State.SUSPENDED})
_BROKEN_OFF = frozenset({State.ABORTED, State.FAILED})

NEXT: Mapping[State, frozenset[State]] = {
    State.IDLE: _WORKING | _BROKEN_OFF,
    State.CONNECTING: _WORKING | _WAITING | _BROKEN_OFF,
    State.CALIBRATING: _WORKING | _WAITING | _BROKEN_OFF,
    State.RUNNING: _WORKING | _WAITING | _BROKEN_OFF | {State.FINISHED},
    State.PAUSED: _WORKING | _WAITING | _BROKEN_OFF,
    State.SUSPENDED: _WORKING | _WAITING | _BROKEN_OFF,
    State.FINISHED: frozenset(),
    State.ABORTED: frozenset(),
    State.FAILED: frozenset(),
}
"""States that may follow a state; itself is not among them, or not a change."""


class IllegalTransition(RuntimeError):  # noqa: N818 - it is a mistake of the program
    """A state was to follow one that it cannot follow."""

    def __init__(self, before: State, now: State):
        allowed = ", ".join(sorted(NEXT[before])) or "nothing"
        super().__init__(f"a campaign that is {before} cannot be {now} next; {allowed} may follow")
        self.before = before
        self.now = now


def check_transition(before: State, now: State) -> None:
    """Raise `IllegalTransition` unless `now` may follow `before`."""
    if now not in NEXT[before]:
        raise IllegalTransition(before, now)
