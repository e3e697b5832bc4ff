"""The design that all scores together point to: a Gaussian process with known noise.

The best observed score is also the luckiest. One regression over every trial of a campaign, with
each trial's own standard error, averages the luck away, and its continuous maximum lies between
the points that were measured: the largest single gain of a campaign (`optimizer.md`, section 2).

Measured choices: one length scale for all components (with one each, 13 of them fitted to 80 scores
send some seeds far off), and the maximum of mean minus one standard deviation, inside the box of
the data, so that the process cannot promise a peak where nobody has looked. What comes back is a
candidate, not a result: `confirm.py` measures it against the others.

The regression's time grows with the cube of the trials: of a campaign of thousands it sees
`MOST_SCORES`, the best half of them and an even thinning of all others in the order they came. The
best were chosen by their luck too, so that what it expects of its maximum is a little too high
then; the confirmation does not depend on it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

from instrument.design import Design, DesignSpace
from instrument.search.protocol import Observation

MINIMUM_SCORES = 3
"""Fewer scores have no maximum between them."""
MOST_SCORES = 400
"""Of them a fit takes 1 s, and of twice as many three times as long (12 modes, one core)."""
CAUTION = 1.0
"""Standard deviations taken off the mean when looking for the maximum."""
STARTS = 5
"""Best scores from which the maximum is sought."""
DIFFERENCE_STEP = 1e-5
"""Of the unit box, for central differences of the posterior."""

Objective = Callable[[Float[np.ndarray, " components"]], tuple[float, np.ndarray]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """A design worth confirming, with the score the regression expects and its uncertainty.

    Parameters
    ----------
    design
        Maximiser, within the bounds and the box of the observed designs.
    score
        Posterior mean there, in the unit of the scores.
    standard_deviation
        Posterior standard deviation of the noise-free score there, if the process is right about
        the shape: 1 to 2 times too small after modal sweeps, up to 4 times at a peak that noisy
        trials in 12 dimensions only surround. Confirm before believing.
    """

    design: Design
    score: float
    standard_deviation: float


def recommend(
    space: DesignSpace, observations: Sequence[Observation], *, seed: int
) -> Recommendation | None:
    """Return the maximiser of a Gaussian process through the scored observations.

    Parameters
    ----------
    space
        Space of the designs.
    observations
        All trials of the campaign; failed ones are skipped, and of more than `MOST_SCORES` some.
    seed
        Seed of the restarts of the hyperparameter fit.

    Returns
    -------
    Recommendation or None
        None if there are too few scores, all of them are equal, or the space has choices: between
        two stations there is no smooth way.

    References
    ----------
    C. E. Rasmussen and C. K. I. Williams, Gaussian Processes for Machine Learning (2006), ch. 2.
    """
    if space.is_categorical.any():
        return None
    scored = [(o.design, o.score, o.standard_error) for o in observations if o.score is not None]
    if len(scored) < MINIMUM_SCORES or np.ptp([score for _, score, _ in scored]) == 0:
        return None
    scored = _at_most(MOST_SCORES, scored)
    lower, width = space.lower, space.upper - space.lower
    units = np.array([(space.to_vector(design) - lower) / width for design, _, _ in scored])
    scores = np.array([score for _, score, _ in scored])
    centre, scale = float(np.mean(scores)), float(np.std(scores))
    errors = np.array([error for _, _, error in scored]) / scale
    process = _fit(units, (scores - centre) / scale, errors, seed=seed)
    unit = _maximise(process, units, (scores - centre) / scale)
    mean, deviation = process.predict(unit[np.newaxis], return_std=True)[:2]
    return Recommendation(
        design=space.from_vector(np.clip(lower + unit * width, lower, space.upper)),
        score=centre + scale * float(mean[0]),
        standard_deviation=scale * float(deviation[0]),
    )


def _at_most(
    most: int, scored: Sequence[tuple[Design, float, float]]
) -> Sequence[tuple[Design, float, float]]:
    """Keep the best half of `most` scores, and others evenly spread over the campaign; in order."""
    if len(scored) <= most:
        return scored
    by_score = sorted(range(len(scored)), key=lambda index: -scored[index][1])
    best, others = by_score[: most // 2], sorted(by_score[most // 2 :])
    spread = np.linspace(0, len(others) - 1, most - len(best)).round().astype(int)
    return [scored[index] for index in sorted([*best, *(others[place] for place in spread)])]


def _fit(
    units: Float[np.ndarray, "trials components"],
    scores: Float[np.ndarray, " trials"],
    errors: Float[np.ndarray, " trials"],
    *,
    seed: int,
) -> GaussianProcessRegressor:
    """Fit amplitude and length scale to standardised scores."""
    length = 0.15 * np.sqrt(units.shape[1])  # a third of the distance of two random points
    covariance = ConstantKernel(1.0, (1e-2, 1e3)) * Matern(length, (0.03, 30.0), nu=2.5)
    process = GaussianProcessRegressor(
        covariance,
        # The stubs say less than the documentation; the floor keeps noise-free repeats invertible.
        alpha=errors**2 + 1e-8,  # pyright: ignore[reportArgumentType]
        optimizer=_minimise,  # pyright: ignore[reportArgumentType]
        n_restarts_optimizer=2,
        random_state=seed,
    )
    with warnings.catch_warnings():
        # A length scale at its bound is an answer: the scores are flat or jagged at this spacing.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return process.fit(units, scores)


def _minimise(
    objective: Objective,
    initial_theta: Float[np.ndarray, " hyperparameters"],
    bounds: Float[np.ndarray, "hyperparameters 2"],
) -> tuple[np.ndarray, float]:
    """Bounded L-BFGS with fewer steps than scikit-learn's 15000."""
    found = minimize(
        objective,
        initial_theta,
        jac=True,
        bounds=bounds,
        method="L-BFGS-B",
        options={"maxiter": 60},
    )
    return found.x, float(found.fun)


def _maximise(
    process: GaussianProcessRegressor,
    units: Float[np.ndarray, "trials components"],
    scores: Float[np.ndarray, " trials"],
) -> Float[np.ndarray, " components"]:
    """Climb the cautious posterior from the best scores, inside the box of the data."""
    box = np.stack([units.min(axis=0), units.max(axis=0)], axis=1)
    starts = units[np.argsort(-scores)[:STARTS]]
    objective = _cautious(process, units.shape[1])
    climbs = [
        minimize(
            objective, start, jac=True, bounds=box, method="L-BFGS-B", options={"maxiter": 100}
        )
        for start in starts
    ]
    return min(climbs, key=lambda climb: float(climb.fun)).x


def _cautious(process: GaussianProcessRegressor, components: int) -> Objective:
    """Return minus (mean - caution * deviation) and its central differences."""
    shifts = DIFFERENCE_STEP * np.eye(components)
    stencil = np.concatenate([np.zeros((1, components)), shifts, -shifts])

    def objective(unit: Float[np.ndarray, " components"]) -> tuple[float, np.ndarray]:
        mean, deviation = process.predict(unit + stencil, return_std=True)[:2]
        value = CAUTION * np.asarray(deviation) - np.asarray(mean)
        slope = (value[1 : components + 1] - value[components + 1 :]) / (2 * DIFFERENCE_STEP)
        return float(value[0]), slope

    return objective
