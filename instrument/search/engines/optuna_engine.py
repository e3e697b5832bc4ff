"""Tree-structured Parzen estimator through Optuna, for few and not modal dimensions, and choices.

Optuna keeps no record here: each proposal comes from a sampler seeded with campaign seed and trial
number, over exactly the scores told so far. Asking is therefore repeatable and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
)
from optuna.trial import TrialState, create_trial

from instrument.design import Design, DesignSpace
from instrument.search.engines._observed import Observed
from instrument.search.engines._seed import trial_seed
from instrument.search.protocol import Observation


class TreeParzen:
    """Multivariate TPE over quantities and choices; the first trial is the space's start.

    Parameters
    ----------
    space
        What may be changed.
    seed
        Seed of the campaign.
    budget
        Most trials to propose.
    """

    def __init__(self, space: DesignSpace, *, seed: int, budget: int) -> None:
        self._space = space
        self._seed = seed
        self._budget = budget
        self._observed = Observed()
        self._box: dict[str, BaseDistribution] = {
            label: _distribution(float(low), float(high), is_categorical=bool(is_categorical))
            for label, low, high, is_categorical in zip(
                space.labels, space.lower, space.upper, space.is_categorical, strict=True
            )
        }
        with _quiet():
            self._study = optuna.create_study(direction="maximize")

    def ask(self, trial: int, pending: Sequence[Design] = ()) -> Design | None:
        """Propose the design of a trial: the start, ten random ones, then the estimator's.

        Pending designs are no obstacle: every trial has a seed of its own.
        """
        asked = self._observed.count + len(pending)
        if asked >= self._budget:
            return None
        if asked == 0:
            return self._space.start
        self._study.sampler = optuna.samplers.TPESampler(
            multivariate=True, seed=trial_seed(self._seed, trial)
        )
        drawn = self._study.ask(self._box)
        self._study.tell(drawn, state=TrialState.FAIL)  # its score comes back through `tell`
        return self._space.from_vector([drawn.params[label] for label in self._space.labels])

    def tell(self, observation: Observation) -> None:
        """Hand a score to the study; a failed trial tells the estimator nothing."""
        self._observed.add(observation)
        if observation.score is None:
            return
        vector = self._space.to_vector(observation.design)
        self._study.add_trial(
            create_trial(
                params=dict(zip(self._space.labels, map(float, vector), strict=True)),
                distributions=self._box,
                value=observation.score,
            )
        )

    def best(self) -> Design | None:
        """Return the best observed design."""
        return self._observed.best()


def _distribution(low: float, high: float, *, is_categorical: bool) -> BaseDistribution:
    """Return the numbers a component may have: an interval, or indices without an order."""
    if is_categorical:
        return CategoricalDistribution([float(index) for index in range(int(high) + 1)])
    return FloatDistribution(low, high)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna from announcing a study on standard error; its level is put back."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)
