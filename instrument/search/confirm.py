"""Which design is really better: repeat captures of a few contenders, then one decision.

Searching picks the luckiest score, so its gain is biased upwards. Only captures made after the
choice count here. Every round measures each contender once, forth and back in turn (A B C, C B A,
...), so that a bench that drifts steadily favours nobody; differences are taken within rounds.

The rule: the contender with the highest mean paired gain over the incumbent wins, the incumbent if
no gain is positive. The best guess is right more often than a threshold: a threshold would keep a
worse design whenever the evidence is thin. Whether the gain is beyond doubt is a separate claim,
`is_significant`: at least `sigma` standard errors over the incumbent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from instrument.design import Design
from instrument.search.protocol import Observation


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How much better one design scored than another, in bits."""

    bits: float
    standard_error: float

    @property
    def sigmas(self) -> float:
        """Difference in standard errors; infinite for a noise-free difference."""
        if self.standard_error > 0:
            return self.bits / self.standard_error
        return float(np.copysign(np.inf, self.bits)) if self.bits else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Outcome of a confirmation.

    Parameters
    ----------
    winner, design
        Name and design of the contender to keep.
    score, standard_error
        Mean score of its repeats and the standard error of that mean, bits.
    gain
        Over the incumbent: zero if the incumbent won, None if the incumbent has no score.
    runner_up, lead
        Next best contender and the lead over it; None if nobody else has a score.
    is_significant
        Whether the gain is at least the configured number of standard errors.
    """

    winner: str
    design: Design
    score: float
    standard_error: float
    gain: Difference | None
    runner_up: str | None
    lead: Difference | None
    is_significant: bool


def by_known_errors(ours: Observation, theirs: Observation) -> Difference:
    """Compare two scored trials as if their errors were independent.

    An upper bound on the error when both trials saw the same objects: much of each standard error
    is then common to both. Pass a comparison object by object where one is at hand.
    """
    if ours.score is None or theirs.score is None:
        raise ValueError(f"trials {ours.trial} and {theirs.trial}: a failed trial has no score")
    return Difference(
        bits=ours.score - theirs.score,
        standard_error=float(np.hypot(ours.standard_error, theirs.standard_error)),
    )


class Confirmation:
    """Ask/tell like an engine, so that it is rebuilt by replaying the ledger.

    Parameters
    ----------
    contenders
        Designs by name, the incumbent first; a design that is there twice is measured once.
    repeats
        Captures of each contender.
    sigma
        Standard errors that make a gain significant.
    compare
        Difference of two scored trials of one round.
    """

    def __init__(
        self,
        contenders: Mapping[str, Design],
        *,
        repeats: int = 3,
        sigma: float = 2.0,
        compare: Callable[[Observation, Observation], Difference] = by_known_errors,
    ) -> None:
        if not contenders or repeats < 1:
            raise ValueError(f"confirm: {len(contenders)} contenders, {repeats} repeats; 1 needed")
        self._contenders = _distinct(contenders)
        self._incumbent = next(iter(self._contenders))
        self._order = _order(list(self._contenders), repeats)
        self._sigma = sigma
        self._compare = compare
        self._seen: dict[str, list[Observation]] = {name: [] for name in self._contenders}
        self._told = 0

    @property
    def trials(self) -> int:
        """Number of captures the whole confirmation needs."""
        return len(self._order)

    def ask(self, trial: int, pending: Sequence[Design] = ()) -> Design | None:  # noqa: ARG002  # the order is the plan's own
        """Return the design to capture next, or None when every repeat is told or pending."""
        asked = self._told + len(pending)
        return None if asked >= len(self._order) else self._contenders[self._order[asked]]

    def tell(self, observation: Observation) -> None:
        """Take a repeat in its turn; other designs are left alone, a failure counts as a repeat."""
        if observation.design == self.ask(observation.trial):
            self._seen[self._order[self._told]].append(observation)
            self._told += 1

    def best(self) -> Design | None:
        """Return the winner so far, or None before any score."""
        decision = self.decide()
        return decision.design if decision else None

    def decide(self) -> Decision | None:
        """Return the decision on the repeats so far, or None if none of them has a score."""
        ranking = sorted(filter(self._scores, self._contenders), key=self._rank, reverse=True)
        if not ranking:
            return None
        winner, runner_up = ranking[0], ranking[1] if len(ranking) > 1 else None
        gain = self._difference(winner, self._incumbent)
        scored = self._scores(winner)
        errors = np.array([observation.standard_error for observation in scored.values()])
        return Decision(
            winner=winner,
            design=self._contenders[winner],
            score=self._mean(winner),
            standard_error=float(np.sqrt(np.sum(errors**2)) / len(errors)),
            gain=gain,
            runner_up=runner_up,
            lead=self._difference(winner, runner_up) if runner_up else None,
            is_significant=gain is not None and gain.sigmas >= self._sigma,
        )

    def _rank(self, name: str) -> float:
        """Gain over the incumbent, or the plain mean if the incumbent has none to compare with."""
        gain = self._difference(name, self._incumbent)
        return self._mean(name) if gain is None else gain.bits

    def _difference(self, name: str, other: str) -> Difference | None:
        """Mean difference over the rounds in which both have a score, else of their means."""
        if name == other:
            return Difference(bits=0.0, standard_error=0.0)
        ours, theirs = self._scores(name), self._scores(other)
        rounds = sorted(set(ours) & set(theirs))
        pairs = [(ours[r], theirs[r]) for r in rounds] or [
            (a, b) for a in ours.values() for b in theirs.values()
        ]
        return _mean_difference([self._compare(a, b) for a, b in pairs])

    def _scores(self, name: str) -> dict[int, Observation]:
        """Scored repeats by round."""
        return {r: seen for r, seen in enumerate(self._seen[name]) if seen.score is not None}

    def _mean(self, name: str) -> float:
        """Mean score of the repeats that have one."""
        scores = [seen.score for seen in self._seen[name] if seen.score is not None]
        return float(np.mean(scores))


def _distinct(contenders: Mapping[str, Design]) -> dict[str, Design]:
    """Drop designs that are there already under an earlier name."""
    kept: dict[str, Design] = {}
    for name, design in contenders.items():
        if design not in kept.values():
            kept[name] = design
    return kept


def _order(names: list[str], repeats: int) -> list[str]:
    """Whole rounds, every second one backwards."""
    return [name for r in range(repeats) for name in (names[::-1] if r % 2 else names)]


def _mean_difference(differences: list[Difference]) -> Difference | None:
    """Average independent differences."""
    if not differences:
        return None
    errors = np.array([difference.standard_error for difference in differences])
    return Difference(
        bits=float(np.mean([difference.bits for difference in differences])),
        standard_error=float(np.sqrt(np.sum(errors**2)) / len(errors)),
    )
