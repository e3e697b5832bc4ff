"""What is tried next: the start, the engine's search, the confirmation; rebuilt from the ledger.

One `ask`/`tell` over all phases, so that a resumed campaign only replays. Room for the confirmation
is kept from the engine's budget. Contenders are chosen when every search trial is told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from instrument.config import Config, SearchConfig
from instrument.design import Design, DesignSpace
from instrument.search.confirm import Confirmation, Decision
from instrument.search.engines import make_engine
from instrument.search.protocol import Observation, Wait
from instrument.search.recommend import recommend

CONTENDERS = 3
"""Best observed, the engine's own best, the recommender's maximiser."""


Hindsight = Callable[[Sequence[Observation]], Sequence[Observation]]


@dataclass(frozen=True, slots=True)
class Proposal:
    """A design to try, and in which phase.

    Parameters
    ----------
    phase, design
        As the engines know it, and as the ledger records it.
    applied
        What the bench is brought to, where that is not the design itself: the same design where
        the bench has drifted to.
    plan
        What else was decided, for the ledger.
    notice
        What the person at the bench should know of it.
    """

    phase: str
    design: Design
    applied: Design | None = None
    plan: Mapping[str, Any] = field(default_factory=dict[str, Any])
    notice: str | None = None

    @property
    def on_bench(self) -> Design:
        """What the bench is brought to."""
        return self.applied or self.design


def reserved_for_confirmation(search: SearchConfig) -> int:
    """Trials that are kept for repeats of the contenders."""
    return min(CONTENDERS * search.confirm.repeats, max(0, search.trials - 2))


class Plan:
    """Phases of a campaign.

    Parameters
    ----------
    config
        `search` section: engine, trials, seed, steps, confirm.
    space
        The campaign's space, with the start it was created with.
    contenders
        Of a run that had reached its confirmation: a regression done again on another machine
        may differ in its last digits, and repeats must be of the very same designs.
    """

    def __init__(
        self,
        config: Config,
        space: DesignSpace,
        *,
        contenders: Mapping[str, Design] | None = None,
    ):
        search = config.search
        self._space = space
        self._search = search
        budget = search.trials - reserved_for_confirmation(search)
        self._engine = make_engine(
            search.engine, space, seed=search.seed, budget=budget, steps=search.steps
        )
        self._budget = budget
        self._observations: list[Observation] = []
        self._confirmation: Confirmation | None = None
        self._searched = 0
        self.contenders = contenders
        self.hindsight: Hindsight = list
        """How all trials look now that later ones are known; used to choose and to decide."""

    @property
    def trials(self) -> int:
        """Most trials this campaign can take."""
        return self._search.trials

    def ask(self, pending: Sequence[Proposal] = ()) -> Proposal | Wait | None:
        """Return the next design, or None when the campaign needs no more.

        Parameters
        ----------
        pending
            Asked for and not told yet, oldest first. `Wait` comes back where the oldest of them
            must be told before anything can be proposed; never with nothing pending.
        """
        number = len(self._observations) + len(pending)
        designs = [proposal.design for proposal in pending]
        if number == 0:
            return Proposal("initial", self._space.start)
        if self._confirmation is None:
            design = self._engine.ask(number, designs) if number < self._budget else None
            if isinstance(design, Design):
                return Proposal("search", design)
            if design is Wait.WAIT or pending:
                return Wait.WAIT
            self._searched = number
            self._confirmation = self._start_confirmation()
        design = self._confirmation.ask(number, designs) if number < self.trials else None
        return None if design is None else Proposal("confirm", design)

    def is_search_over(self, pending: Sequence[Proposal] = ()) -> bool:
        """Whether what follows is the confirmation, for which contenders are chosen."""
        number = len(self._observations) + len(pending)
        if number == 0 or self._confirmation is not None:
            return False
        designs = [proposal.design for proposal in pending]
        return number >= self._budget or self._engine.ask(number, designs) is None

    def tell(self, observation: Observation) -> None:
        """Take the outcome of the oldest design asked for and not told."""
        self._observations.append(observation)
        if self._confirmation is None:
            self._engine.tell(observation)
        else:
            self._confirmation.tell(observation)

    def best_observed(self) -> Observation | None:
        """Return the trial with the highest score: the luckiest, good enough to show meanwhile."""
        return _best(self._observations)

    def decision(self) -> Decision | None:
        """Return what the repeats say so far; None before the confirmation."""
        if self._confirmation is None:
            return None
        again = self._start_confirmation()
        for observation in self.hindsight(self._observations)[self._searched :]:
            again.tell(observation)
        return again.decide()

    def _start_confirmation(self) -> Confirmation:
        if self.contenders is None:
            self.contenders = self._choose_contenders()
        confirm = self._search.confirm
        return Confirmation(self.contenders, repeats=confirm.repeats, sigma=confirm.sigma)

    def _choose_contenders(self) -> dict[str, Design]:
        seen = self.hindsight(self._observations)
        observed = _best(seen)
        contenders = {"best observed": observed.design if observed else self._space.start}
        engine_best = self._engine.best()
        if engine_best is not None:
            contenders["engine"] = engine_best
        recommended = recommend(self._space, seen, seed=self._search.seed)
        if recommended is not None:
            contenders["recommender"] = recommended.design
        return contenders


def _best(observations: Sequence[Observation]) -> Observation | None:
    scored = [seen for seen in observations if seen.score is not None]
    return max(scored, key=lambda seen: seen.score or 0.0, default=None)
