"""CMA-ES for many continuous dimensions, from the present setting with a local spread.

The `cmaes` package is used directly, not through Optuna: Optuna's sampler pickles its state into
every trial and is dropping the two arguments that a bench needs most, start and first spread
(`x0` and `sigma0`, deprecated in 4.9). Same algorithm: Optuna's sampler wraps this package.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from cmaes import CMA, SepCMA
from jaxtyping import Float

from instrument.design import Design, DesignSpace
from instrument.search.engines._observed import Observed
from instrument.search.engines._seed import trial_seed
from instrument.search.protocol import Observation, Wait

SPREAD = 0.15
"""First standard deviation as a fraction of each range."""
FULL_COVARIANCE_DIMENSIONS = 200
"""Above this, an eigenvalue decomposition a generation costs more than a capture: separable."""


class CovarianceAdaptation:
    """CMA-ES on the unit box; the first trial is the space's start.

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
        self._generation: list[tuple[Float[np.ndarray, " components"], float]] = []
        strategy = CMA if space.dimension <= FULL_COVARIANCE_DIMENSIONS else SepCMA
        self._strategy = strategy(
            mean=self._to_unit(space.start),
            sigma=SPREAD,
            bounds=np.tile([0.0, 1.0], (space.dimension, 1)),
            seed=trial_seed(seed, 0),
        )

    def ask(self, trial: int, pending: Sequence[Design] = ()) -> Design | Wait | None:
        """Propose the start, then a draw of the present generation, seeded by the trial.

        A generation that is complete but for pending scores is waited for.
        """
        asked = self._observed.count + len(pending)
        if asked >= self._budget:
            return None
        if asked == 0:
            return self._space.start
        drawn = len(pending) - (self._observed.count == 0)  # the start is of no generation
        if len(self._generation) + drawn >= self._strategy.population_size:
            return Wait.WAIT
        return self._draw(trial)

    def tell(self, observation: Observation) -> None:
        """Collect this generation's own draws; a failed one counts as its worst."""
        if self._observed.count > 0 and observation.design == self._draw(observation.trial):
            loss = np.inf if observation.score is None else -observation.score
            self._generation.append((self._to_unit(observation.design), loss))
        self._observed.add(observation)
        if len(self._generation) == self._strategy.population_size:
            if any(np.isfinite(loss) for _, loss in self._generation):
                self._strategy.tell(self._generation)
            self._generation = []  # a generation without a score ranks nothing

    def best(self) -> Design | None:
        """Return the mean of the distribution once it has moved, until then the best seen."""
        if self._strategy.generation == 0:
            return self._observed.best()
        return self._from_unit(self._strategy.mean)

    def _draw(self, trial: int) -> Design:
        """Return the draw that belongs to a trial number in the present generation."""
        self._strategy.reseed_rng(trial_seed(self._seed, trial))
        return self._from_unit(self._strategy.ask())

    def _to_unit(self, design: Design) -> Float[np.ndarray, " components"]:
        """Scale a design to the unit box."""
        lower, upper = self._space.lower, self._space.upper
        return (self._space.to_vector(design) - lower) / (upper - lower)

    def _from_unit(self, unit: Float[np.ndarray, " components"]) -> Design:
        """Scale back; rounding must not leave the bounds."""
        lower, upper = self._space.lower, self._space.upper
        return self._space.from_vector(np.clip(lower + unit * (upper - lower), lower, upper))
