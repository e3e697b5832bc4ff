"""What the precision matrix of a Gaussian density tells besides its score."""

from __future__ import annotations

import numpy as np

from estimation.density.protocol import DensityScore
from estimation.ensemble import Ensemble, as_real_shots, cut_patches
from estimation.noise import NoiseModel

TINY = 1e-12


def gaussian_diagnostics(
    score: DensityScore, ensemble: Ensemble, stack: np.ndarray, noise: NoiseModel
) -> tuple[float | None, float | None]:
    """Return excess kurtosis of decorrelated patches and the standard error due to frame noise.

    To first order one value `y_i` moves the score by `(A y)_i - g'(y_i)` with `A` the precision and
    `g` the noise entropy, so fresh noise of variance `v_i` moves it by `sum_i v_i ((A y)_i -
    g')^2`; the noise already in `y` adds `sum_ij v_i v_j A_ij^2` to that, half of which is the
    second-order term and stays.
    """
    if score.precision is None:
        return None, None
    precision = score.precision
    rows = ensemble.patches()
    rows -= rows.mean(axis=0)
    # The sums need no more digits than float32 has, and this is the largest product of all.
    flat = rows.reshape(-1, rows.shape[-1]).astype(np.float32)
    pulled = (flat @ precision.astype(np.float32)).reshape(rows.shape)
    decorrelated = pulled / np.sqrt(np.diag(precision)).astype(np.float32)
    squared = np.square(decorrelated)
    kurtosis = float(
        np.mean(np.square(squared), dtype=np.float64) / np.mean(squared, dtype=np.float64) ** 2 - 3
    )

    scale = noise.fixed_pattern(*stack.shape[-2:]).scale
    slope = noise.variance_slope(as_real_shots(stack)[0]) / scale
    variance = cut_patches(ensemble.noise_variance, ensemble.origins, ensemble.patch)
    entropy_slope = cut_patches(
        0.5 * slope / np.maximum(ensemble.noise_variance, TINY), ensemble.origins, ensemble.patch
    )
    mean_variance = variance.mean(axis=(0, 1))
    total = float(np.sum(variance * np.square(pulled - entropy_slope)))
    already = (
        0.5
        * variance.shape[0]
        * variance.shape[1]
        * float(mean_variance @ np.square(precision) @ mean_variance)
    )
    values = variance.size
    error = np.sqrt(max(total - already, 0.0)) / values * ensemble.reals_per_sample / np.log(2)
    return kurtosis, float(error)
