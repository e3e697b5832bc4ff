"""Space-filling baselines: what a search must beat. The first trial is the space's start."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import qmc

from instrument.design import Design, DesignSpace
from instrument.search.engines._observed import Observed
from instrument.search.engines._seed import trial_seed
from instrument.search.protocol import Observation


class SpaceFilling:
    """Scrambled Sobol points or independent uniform ones over the whole box.

    Parameters
    ----------
    space
        What may be changed.
    seed
        Seed of the campaign.
    budget
        Most trials to propose.
    is_sobol
        Sobol points, otherwise uniform random ones.
    """

    def __init__(self, space: DesignSpace, *, seed: int, budget: int, is_sobol: bool) -> None:
        self._space = space
        self._seed = seed
        self._budget = budget
        self._is_sobol = is_sobol
        self._observed = Observed()

    def ask(self, trial: int, pending: Sequence[Design] = ()) -> Design | None:
        """Propose the start, then the point of this trial number, whatever is pending."""
        asked = self._observed.count + len(pending)
        if asked >= self._budget:
            return None
        if asked == 0:
            return self._space.start
        return self._space.from_unit(self._unit(trial))

    def tell(self, observation: Observation) -> None:
        """Remember the score."""
        self._observed.add(observation)

    def best(self) -> Design | None:
        """Return the best observed design."""
        return self._observed.best()

    def _unit(self, trial: int) -> np.ndarray:
        """Return the trial's point of the unit box."""
        if self._is_sobol:
            sobol = qmc.Sobol(self._space.dimension, scramble=True, rng=self._seed)
            return sobol.fast_forward(trial + 1).random(1)[0]  # SciPy cannot skip 0 points
        return np.random.default_rng(trial_seed(self._seed, trial)).random(self._space.dimension)
