"""What every search engine promises: ask for designs, tell their scores, nothing else.

An engine holds no file and pickles nothing: it is rebuilt by replaying the ledger. Hence the one
law of this room: what `ask` proposes depends on the space, the seed, the trial number and the
observations told so far, in their order, and on nothing else. Asking changes nothing, so that a
replay needs only the `tell`s, and a proposal that was lost with the process is simply asked again.

Scores may come late: `pending` are designs asked for and not told yet, oldest first. What is
proposed then depends on them too, and a replay must ask again where it was asked before. An engine
that cannot go on without their scores answers `Wait.WAIT`, and is asked again when one is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from instrument.design import Design


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """A scored design, as an engine and the recommender see it.

    Parameters
    ----------
    trial
        Number of the trial in its campaign.
    design
        The design as it was asked for, not its read-back: engines know their proposals by it.
    score
        Objective, higher is better (bits); None if the trial failed and has no score.
    standard_error
        Known standard error of the score, in the same unit.
    cost_s
        Seconds the trial took.
    at_s
        When it was captured, seconds since the campaign's first capture.
    """

    trial: int
    design: Design
    score: float | None
    standard_error: float
    cost_s: float
    at_s: float = 0.0


class Wait(Enum):
    """Answer of an engine that must be told the score of a pending design first."""

    WAIT = "wait"


class Optimizer(Protocol):
    """Ask/tell engine over a design space."""

    def ask(self, trial: int, pending: Sequence[Design] = ()) -> Design | Wait | None:
        """Propose the design of trial number `trial`, or None when the engine has nothing left.

        The first proposal is the space's start. With nothing pending the answer is never `Wait`.
        """
        ...

    def tell(self, observation: Observation) -> None:
        """Take the score of a design (asked for here or not); a failed trial has score None.

        The first observation may be the space's start, measured before any engine was asked.
        """
        ...

    def best(self) -> Design | None:
        """Return the design the engine itself believes in, or None before any score."""
        ...
