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
    second-order term and stays. `A` was fitted to the same patches, which makes that term too large
    where they are few: `_second_order` is what is taken off. The error is None where that leaves
    nothing: what such few patches say of it is not usable.
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
    already = _second_order(
        precision,
        mean_variance,
        rows=variance.shape[0] * variance.shape[1],
        degrees=score.diagnostics.get("degrees_of_freedom"),
    )
    values = variance.size
    if already >= total:
        return kurtosis, None
    error = np.sqrt(total - already) / values * ensemble.reals_per_sample / np.log(2)
    return kurtosis, float(error)


def _second_order(
    precision: np.ndarray, variance: np.ndarray, *, rows: int, degrees: float | None
) -> float:
    """Return half of what the noise already in `rows` patches adds to the sum of squares.

    That is `rows tr(V A V A) / 2` for a precision `A` that is known. The inverse of a covariance
    fitted with `degrees` of freedom to `d` values is too large: with c = d / degrees, and to
    leading order, E A = A_0 / (1 - c) and

        tr(V A_0 V A_0) = (1 - c)^2 tr(V A V A) - (1 - c) tr(V A)^2 / degrees

    (moments of the inverse Wishart distribution: D. von Rosen, Scand. J. Stat. 15, 97, 1988). The
    orders beyond the second are common to all directions. They are chosen such that patches of
    nothing but noise have the variance of half their log determinant, -ln(1 - c) / 2 (D. Jonsson,
    J. Multivariate Anal. 12, 1, 1982), from a first-order sum of c / (1 - c): a factor
    2 / (1 - c) + ln(1 - c) / c, 1 for many patches. Weak noise needs no correction at all.
    """
    squared = float(variance @ np.square(precision) @ variance)
    if degrees is None:  # not fitted freely: as good as known
        return 0.5 * rows * squared
    share = len(variance) / degrees
    trace = float(variance @ np.diag(precision))
    known = (1 - share) ** 2 * squared - (1 - share) * trace**2 / degrees
    beyond = 2 / (1 - share) + np.log1p(-share) / share
    return 0.5 * degrees * beyond * max(known, 0.0)
