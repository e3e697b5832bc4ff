"""Trials that are captured and not told yet, oldest first."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from instrument.campaign.estimating import Scored
from instrument.campaign.ledger import Ledger
from instrument.campaign.plan import Proposal
from instrument.search.protocol import Observation


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a trial came to, acknowledged by the ledger.

    Parameters
    ----------
    score
        None if it has none; `why` says why.
    seconds
        Of proposing, capturing and scoring together, whatever went on beside.
    """

    score: Scored | None
    seconds: float
    why: str | None = None


def acknowledge(
    ledger: Ledger,
    number: int,
    score: Scored | None,
    why: str | None,
    seconds: float,
    timings: Mapping[str, float],
    beside: Mapping[str, Any],
) -> Told:
    """Have the ledger hold what came of a trial: its score and what is beside it, or why not."""
    if score is None:
        why = why or "no score"
        ledger.fail(number, why=why, seconds=seconds)
        return Told(score=None, seconds=seconds, why=why)
    ledger.score(
        number,
        score=score.objective,
        standard_error=score.standard_error,
        estimate={**score.estimate, **beside},
        seconds=seconds,
        timings=timings,
    )
    return Told(score=score, seconds=seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class InFlight:
    """One trial under way.

    Parameters
    ----------
    number, proposal
        Which trial.
    finish
        Waits for its outcome and has it acknowledged.
    at_s
        When it was captured, seconds since the first trial began.
    """

    number: int
    proposal: Proposal
    at_s: float
    finish: Callable[[], Told | Observation]
    """An observation is of an earlier session, which has told the world of it."""


class Queue:
    """Trials in flight: told in the order they were captured, never another way."""

    def __init__(self) -> None:
        self._trials: deque[InFlight] = deque()

    def __len__(self) -> int:
        return len(self._trials)

    @property
    def proposals(self) -> Sequence[Proposal]:
        """What is pending, oldest first."""
        return [trial.proposal for trial in self._trials]

    def add(self, trial: InFlight) -> None:
        """Take a trial whose frames are durable."""
        self._trials.append(trial)

    def finish_oldest(self) -> tuple[InFlight, Told | Observation]:
        """Wait for the outcome of the oldest; it stays in the queue if that raises."""
        oldest = self._trials[0]
        outcome = oldest.finish()
        self._trials.popleft()
        return oldest, outcome
