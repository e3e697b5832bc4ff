"""The best linear guess of every pixel from the pixels before it: where the network starts.

With covariance `Sigma = L L^T` of a patch, the pixel `i` given all earlier ones is normal with mean
`y_i - L_ii e_i` and standard deviation `L_ii`, where `e = L^-1 (y - mean)`. A network that adds
nothing to this scores exactly as the Gaussian does.

Few objects leave a noisy `Sigma`, so it is pulled towards its average over equal lags (block
Toeplitz); how far is chosen on held-out objects. Patches too large for a matrix (whole frames) get
one windowed regression for all pixels instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float32, Float64
from scipy.linalg import solve_triangular

from estimation.density.geometry import Neighbourhood

LARGEST_EXACT = 1536
"""Patch values up to which the covariance is factored (as in the stationary density)."""

SHRINKAGES = (0.0, 0.1, 0.3, 0.6, 0.9, 1.0)
FOLDS = 4

SMALLEST_VARIANCE = 0.05
"""Smallest eigenvalue admitted, in units of the noise variance (which is one here)."""

RIDGE = 1e-3
REGRESSION_PIXELS = 2**17


class LinearPredictor(Protocol):
    """A Gaussian density, pixel after pixel."""

    @property
    def log_sigma(self) -> Float64[np.ndarray, " patch_values"]:
        """Logarithm of the standard deviation of each pixel given the earlier ones."""
        ...

    def predict(self, rows: np.ndarray) -> Float32[np.ndarray, "objects positions patch_values"]:
        """Return the mean of each pixel given the earlier ones."""
        ...


@dataclass(frozen=True, slots=True)
class CholeskyPredictor:
    """Uses all earlier pixels of the patch."""

    mean: Float64[np.ndarray, "positions patch_values"]
    factor: Float64[np.ndarray, "patch_values patch_values"]
    shrinkage: float

    @property
    def log_sigma(self) -> Float64[np.ndarray, " patch_values"]:
        """See `LinearPredictor`."""
        return np.log(np.diag(self.factor))

    def innovations(self, rows: np.ndarray) -> np.ndarray:
        """Return (y - mean given the earlier ones) / sigma."""
        flat = (rows - self.mean).reshape(-1, rows.shape[-1])
        white = solve_triangular(self.factor, flat.T, lower=True, check_finite=False)
        return white.T.reshape(rows.shape)

    def predict(self, rows: np.ndarray) -> Float32[np.ndarray, "objects positions patch_values"]:
        """See `LinearPredictor`."""
        return (rows - np.diag(self.factor) * self.innovations(rows)).astype(np.float32)

    def nats(self, rows: np.ndarray) -> float:
        """Return the mean Gaussian negative log-likelihood per value, less a constant."""
        return float(self.log_sigma.mean() + 0.5 * np.square(self.innovations(rows)).mean())


@dataclass(frozen=True, slots=True)
class WindowedPredictor:
    """Uses the neighbours in a table, alike for all values of a class; outside is the mean."""

    mean: Float64[np.ndarray, "positions patch_values"]
    around: Neighbourhood
    weights: Float64[np.ndarray, "classes neighbours"]
    sigma: Float64[np.ndarray, " classes"]

    @property
    def log_sigma(self) -> Float64[np.ndarray, " patch_values"]:
        """See `LinearPredictor`."""
        return np.log(self.sigma)[self.around.class_of]

    def predict(self, rows: np.ndarray) -> Float32[np.ndarray, "objects positions patch_values"]:
        """See `LinearPredictor`."""
        centred = (rows - self.mean).astype(np.float32)
        guess = self.mean.astype(np.float32) + np.zeros_like(centred)
        weights = self.weights.astype(np.float32)[self.around.class_of]
        for weight, source in zip(weights.T, self.around.table.T, strict=True):
            inside = np.flatnonzero(source >= 0)
            guess[..., inside] += weight[inside] * np.take(centred, source[inside], axis=-1)
        return guess


def fit_linear(
    rows: Float64[np.ndarray, "objects positions patch_values"],
    shape: tuple[int, int, int],
    around: Neighbourhood,
    *,
    rounding_variance: float,
    like: LinearPredictor | None = None,
) -> tuple[LinearPredictor, np.ndarray]:
    """Return the predictor, and its guesses for `rows` made without the object guessed.

    A network must not learn from guesses that have seen the answer: they are better than the ones
    it will get for fresh objects. The shrinkage of an earlier predictor, `like`, is kept.
    """
    if rows.shape[-1] > LARGEST_EXACT:
        windowed = _fit_window(rows, around)
        return windowed, windowed.predict(rows)
    tried = (like.shrinkage,) if isinstance(like, CholeskyPredictor) else SHRINKAGES
    return _fit_cholesky(rows, shape, tried, rounding_variance=rounding_variance)


def _fit_cholesky(
    rows: np.ndarray,
    shape: tuple[int, int, int],
    tried: tuple[float, ...],
    *,
    rounding_variance: float,
) -> tuple[CholeskyPredictor, np.ndarray]:
    mean = shrunk_mean(rows)
    folds = min(FOLDS, len(rows))
    fold_of = np.arange(len(rows)) % folds
    scatters = [_second_moment(rows[fold_of == k] - mean) for k in range(folds)]
    whole = sum(scatters)
    lags = lag_numbers(shape)
    values = rows.shape[0] * rows.shape[1]
    without = [
        (whole - scatters[k]) / max(1, rows.shape[1] * np.sum(fold_of != k)) for k in range(folds)
    ]

    def predictor(covariance: np.ndarray, shrinkage: float) -> CholeskyPredictor:
        return CholeskyPredictor(
            mean,
            _factor(covariance, lags, shrinkage, rounding_variance=rounding_variance),
            shrinkage,
        )

    best = tried[0]
    if len(tried) > 1:
        first = rows[fold_of == 0]
        best = min(tried, key=lambda s: predictor(without[0], s).nats(first))
    guesses = np.empty(rows.shape, dtype=np.float32)
    for k in range(folds):
        guesses[fold_of == k] = predictor(without[k], best).predict(rows[fold_of == k])
    return predictor(whole / values, best), guesses


def _factor(
    covariance: np.ndarray, lags: np.ndarray, shrinkage: float, *, rounding_variance: float
) -> np.ndarray:
    if shrinkage:
        covariance = (1 - shrinkage) * covariance + shrinkage * toeplitz(covariance, lags)
    covariance = covariance + rounding_variance * np.eye(len(covariance))
    try:
        np.linalg.cholesky(covariance - SMALLEST_VARIANCE * np.eye(len(covariance)))
    except np.linalg.LinAlgError:
        eigenvalues, vectors = np.linalg.eigh(covariance)
        covariance = (vectors * np.maximum(eigenvalues, SMALLEST_VARIANCE)) @ vectors.T
    return np.linalg.cholesky(covariance)


def _fit_window(rows: np.ndarray, around: Neighbourhood) -> WindowedPredictor:
    mean = shrunk_mean(rows)
    centred = (rows - mean).reshape(-1, rows.shape[-1])
    picture = centred[: max(1, REGRESSION_PIXELS // rows.shape[-1])]
    weights, sigmas = [], []
    for k in range(int(around.class_of.max()) + 1):
        values = np.flatnonzero(around.class_of == k)
        source = around.table[values]
        columns = np.where(source >= 0, picture[:, np.maximum(source, 0)], 0.0)
        flat, target = columns.reshape(-1, source.shape[1]), picture[:, values].reshape(-1)
        gram = flat.T @ flat
        ridge = RIDGE * max(float(np.trace(gram)) / max(1, len(gram)), 1.0)
        weight = np.linalg.solve(gram + ridge * np.eye(len(gram)), flat.T @ target)
        weights.append(weight)
        sigmas.append(np.sqrt(np.mean(np.square(target - flat @ weight)) + SMALLEST_VARIANCE))
    return WindowedPredictor(mean, around, np.array(weights), np.array(sigmas))


def shrunk_mean(rows: np.ndarray) -> Float64[np.ndarray, "positions patch_values"]:
    """Return the mean image, pulled towards one number as far as it is noise of few objects."""
    mean = rows.mean(axis=0)
    flat = float(mean.mean())
    seen = float(np.var(mean))
    noise = float(rows.var(axis=0).mean()) / max(1, len(rows) - 1)
    keep = max(0.0, 1.0 - noise / seen) if seen > 0 else 0.0
    return flat + keep * (mean - flat)


def lag_numbers(shape: tuple[int, int, int]) -> np.ndarray:
    """Return one number for all pairs of patch values of equal shots and distance."""
    _, rows, columns = shape
    shot, row, column = (i.ravel() for i in np.indices(shape))
    number = shot[:, None] * shape[0] + shot
    number = number * (2 * rows - 1) + (row - row[:, None] + rows - 1)
    return number * (2 * columns - 1) + (column - column[:, None] + columns - 1)


def toeplitz(covariance: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """Average a covariance over equal lags."""
    flat = lags.ravel()
    sums, pairs = np.bincount(flat, weights=covariance.ravel()), np.bincount(flat)
    return (sums / np.maximum(pairs, 1))[lags]


def _second_moment(rows: np.ndarray) -> np.ndarray:
    flat = rows.reshape(-1, rows.shape[-1])
    return flat.T @ flat
