"""Error bars by resampling objects, never patches: those of one object are alike."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64
from scipy.special import ndtri, stdtrit

RESAMPLES = 2000
MAX_DRAWS_AT_ONCE = 2**21


def bootstrap_means(
    values: Float64[np.ndarray, "series objects"], *, seed: int
) -> Float64[np.ndarray, "series resamples"]:
    """Return the means of each series over resampled objects, the same objects for all series."""
    series, objects = values.shape
    rng = np.random.default_rng([seed, 1])  # stream 1: bootstrap
    means = np.empty((series, RESAMPLES))
    step = max(1, MAX_DRAWS_AT_ONCE // (series * objects))
    for start in range(0, RESAMPLES, step):
        chosen = rng.integers(objects, size=(min(step, RESAMPLES - start), objects))
        means[:, start : start + step] = values[:, chosen].mean(axis=-1)
    return means


def widened_quantiles(
    means: Float64[np.ndarray, " resamples"], centre: float, *, objects: int, confidence: float
) -> tuple[float, float]:
    """Return the percentile interval of bootstrap means, widened as Student's t asks."""
    tail = 0.5 * (1.0 - confidence)
    low, high = np.quantile(means, [tail, 1.0 - tail])
    # The bootstrap's variance is (n-1)/n of the right one, and its tails are normal.
    widen = np.sqrt(objects / (objects - 1)) * stdtrit(objects - 1, tail) / ndtri(tail)
    return float(centre + widen * (low - centre)), float(centre + widen * (high - centre))
