"""Every combination of choices once, in an order shuffled by the seed.

For spaces of choices that the budget covers: nothing else is as sure, and a shuffled order keeps a
drifting bench from favouring what happens to be listed first.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from instrument.design import Design, DesignSpace
from instrument.search.engines._observed import Observed
from instrument.search.engines._seed import trial_seed
from instrument.search.protocol import Observation


class Exhaustive:
    """Ask for each combination that has not been told yet; the first is the space's start.

    Parameters
    ----------
    space
        Of choices only.
    seed
        Seed of the campaign.
    budget
        Most trials to propose.
    """

    def __init__(self, space: DesignSpace, *, seed: int, budget: int) -> None:
        sides = [range(int(high) + 1) for high in space.upper]
        designs = [space.from_vector(list(vector)) for vector in itertools.product(*sides)]
        shuffled = np.random.default_rng(trial_seed(seed, 0)).permutation(len(designs))
        self._order = [space.start, *(d for i in shuffled if (d := designs[i]) != space.start)]
        self._budget = budget
        self._told: set[str] = set()
        self._observed = Observed()

    def ask(self, trial: int, pending: Sequence[Design] = ()) -> Design | None:  # noqa: ARG002  # what was told decides
        """Propose the next combination, or None when each has been told or is pending."""
        if self._observed.count + len(pending) >= self._budget:
            return None
        known = self._told.union(design.to_json() for design in pending)
        return next((d for d in self._order if d.to_json() not in known), None)

    def tell(self, observation: Observation) -> None:
        """Cross a combination off; a failed one is not asked for again."""
        self._told.add(observation.design.to_json())
        self._observed.add(observation)

    def best(self) -> Design | None:
        """Return the best observed combination."""
        return self._observed.best()
