"""The full Gaussian for few objects: a covariance pulled towards the stationary one.

    Sigma_s = (1 - s) S + s T(S)

with `S` the sample covariance of the patches and `T` its average over equal lags (block Toeplitz,
`linear_predictor`), which few objects know well. The share `s` is the one that scores held-out
objects best; the mean image is pulled towards one number the same way.

The score is the combination of `crossfit`. It was made for a fit without shrinkage, and is right
here too: to second order a share `s` costs held-out objects `B s^2 + V (1 - s)^2` (misfit of `T`,
scatter of `S`), and half the gap to the objects seen is `V (1 - s)`. Their difference vanishes at
the best share `s = V / (B + V)`, so nothing is taken away twice.

Eigenvalues below half the noise variance are raised to it: noise alone makes none smaller. That is
still a normal density, so the score stays an upper bound; no likelihood is floored.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float64
from scipy.linalg import solve_triangular

from estimation.density import crossfit
from estimation.density.fitted_gaussian import FittedGaussian
from estimation.density.linear_predictor import (
    LARGEST_EXACT,
    SHRINKAGES,
    lag_numbers,
    shrunk_mean,
    toeplitz,
)
from estimation.density.protocol import DensityScore
from estimation.ensemble import Ensemble
from estimation.errors import TooFewObjects

MIN_OBJECTS = 12
"""Fewer do not tell which share is best: of 8 objects, scores were .2 to .7 bit too high."""

NOISE_FLOOR = 0.5
"""Smallest eigenvalue admitted, relative to the mean noise variance (as in `stationary`)."""

LARGEST_GAP_NATS = 0.3
"""Gap between unseen and seen objects above which nothing is taken away.

The second order fails there: 30 objects of a field with a gap of .44 came out .1 bit too low.
"""

TINY = 1e-9
"""The same relative to the mean variance, for counts that are 0 and so seem without noise."""


def fit_shrunk(ensemble: Ensemble, shrinkage: float) -> FittedGaussian:
    """Return the density with the given share of the stationary covariance."""
    rows = ensemble.patches()
    mean = shrunk_mean(rows)
    flat = (rows - mean).reshape(-1, rows.shape[-1])
    covariance = flat.T @ flat / len(flat)
    lags = lag_numbers((ensemble.values.shape[1], *ensemble.patch))
    covariance = (1 - shrinkage) * covariance + shrinkage * toeplitz(covariance, lags)
    return FittedGaussian(mean, _factor(covariance, floor=_floor(ensemble)))


def score_shrunk(ensemble: Ensemble, *, name: str) -> DensityScore:
    """Return the corrected entropy bound with the best share, under `name`.

    Raises
    ------
    TooFewObjects
        For fewer than 12 objects, or patches of more than 1536 values.
    """
    check_enough_to_shrink(ensemble)
    held_out = {s: _held_out(ensemble, s) for s in SHRINKAGES}
    best = min(SHRINKAGES, key=lambda s: held_out[s].mean())
    fitted = fit_shrunk(ensemble, best)
    inverse = solve_triangular(
        fitted.cholesky, np.eye(len(fitted.cholesky)), lower=True, check_finite=False
    )
    score = crossfit.combine(
        name,
        fitted.negative_log_likelihood(ensemble),
        held_out[best],
        precision=inverse.T @ inverse,
    )
    is_correctable = score.diagnostics["fit_gap_nats"] <= LARGEST_GAP_NATS
    return replace(
        score,
        per_object_nats=score.per_object_nats if is_correctable else held_out[best],
        diagnostics={**score.diagnostics, "shrinkage": best},
    )


def best_shrinkage(ensemble: Ensemble) -> float:
    """Return the share that scores held-out objects best."""
    check_enough_to_shrink(ensemble)
    return min(SHRINKAGES, key=lambda s: float(_held_out(ensemble, s).mean()))


def check_enough_to_shrink(ensemble: Ensemble) -> None:
    """Raise `TooFewObjects` where no share can be chosen."""
    if ensemble.objects < MIN_OBJECTS or ensemble.patch_values > LARGEST_EXACT:
        raise TooFewObjects(
            f"density 'gaussian': {ensemble.objects} objects with {ensemble.positions} patches of "
            f"{ensemble.patch_values} values each came; at least {MIN_OBJECTS} objects and patches "
            f"of at most {LARGEST_EXACT} values are needed where independent patches are fewer "
            "than 1.25 for every value; capture more objects, use a smaller patch, or "
            "density='stationary'"
        )


def _held_out(ensemble: Ensemble, shrinkage: float) -> Float64[np.ndarray, " objects"]:
    return crossfit.held_out_by_folds(
        ensemble, lambda train: fit_shrunk(ensemble.take(train), shrinkage)
    )


def _floor(ensemble: Ensemble) -> float:
    noise = NOISE_FLOOR * float(ensemble.noise_variance.mean(where=ensemble.usable))
    return max(noise, TINY * float(ensemble.values.var(where=ensemble.usable)))


def _factor(covariance: np.ndarray, *, floor: float) -> np.ndarray:
    try:
        # A cheap test of the floor, passed by nearly all that are pulled at all.
        np.linalg.cholesky(covariance - floor * np.eye(len(covariance)))
    except np.linalg.LinAlgError:
        eigenvalues, vectors = np.linalg.eigh(covariance)
        covariance = (vectors * np.maximum(eigenvalues, floor)) @ vectors.T
    return np.linalg.cholesky(covariance)
