"""A gain for each pixel, only when the frames carry it (empirical Bayes).

A pixel's own slope of variance on mean scatters by sqrt(2 / frames): 1 % needs 20 000 frames, while
pixels of one amplifier differ by less than that. So the spread beyond the scatter, tau, is tested
first; then g_i = m + B_i (slope_i - m), B_i = tau^2 / (tau^2 + error_i^2), m the mean slope.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from estimation.calibration.darks import ROUNDING_VARIANCE
from estimation.calibration.moments import LevelMoments

SPREAD_SIGMAS = 5.0
LEAST_SHRINKAGE = 0.2
LEAST_PIXELS = 1000
"""A map is made if the spread is this sure, the median B at least this, of so many pixels."""


@dataclass(frozen=True, kw_only=True)
class PixelGains:
    """Spread of gains over pixels, ADU/e-, and the map if the frames carry one."""

    spread: float
    values: np.ndarray | None


def fit_pixel_gains(
    levels: Sequence[LevelMoments],
    *,
    offset: np.ndarray,
    read_variance: np.ndarray,
    read_variance_se: np.ndarray,
    gain: float,
    good: np.ndarray,
) -> PixelGains:
    """Return the shrunk gains; pixels that are not `good` keep the mean."""
    slopes, errors = _slopes(levels, offset, read_variance, read_variance_se, gain)
    # dark corners and dead pixels would swamp the spread of the others
    good = good & (errors < 3 * np.median(errors[good]))
    mean = float(np.average(slopes[good], weights=1 / np.square(errors[good])))
    noise2 = float(np.mean(np.square(errors[good])))
    spread2 = float(np.var(slopes[good])) - noise2
    sure = spread2 > SPREAD_SIGMAS * np.sqrt(2 / np.count_nonzero(good)) * noise2
    spread2 = max(spread2, 0.0)
    shrinkage = spread2 / (spread2 + np.square(errors))
    spread = float(np.sqrt(spread2))
    if (
        not sure
        or mean <= 0
        or good.sum() < LEAST_PIXELS
        or np.median(shrinkage[good]) < LEAST_SHRINKAGE
    ):
        return PixelGains(spread=spread, values=None)
    values = np.where(good, mean + shrinkage * (slopes - mean), mean)
    return PixelGains(spread=spread, values=np.maximum(values, mean / 4))


def _slopes(
    levels: Sequence[LevelMoments],
    offset: np.ndarray,
    read_variance: np.ndarray,
    read_variance_se: np.ndarray,
    gain: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Return each pixel's slope and error, ADU/e-, weighted by the model variance."""
    over, under, lever = (np.zeros(offset.shape) for _ in range(3))
    dark = read_variance + ROUNDING_VARIANCE
    usual = max(float(np.median(dark)), ROUNDING_VARIANCE)
    for level in levels:
        signal = level.mean - offset
        mean = float(np.mean(signal))
        signal = np.maximum(signal, 0.01 * mean)  # pixels that see nothing get a large error
        model = usual + gain * mean
        # third cumulant of the shot noise: counts of few electrons scatter more
        scatter = 2 * model**2 / level.freedom + gain**2 * (model - usual) / level.frames
        over += signal * (level.noise_variance(signal) - dark) / scatter
        under += signal**2 / scatter
        lever += signal / scatter
    error2 = 1 / under + np.square(lever * read_variance_se / under)
    return over / under, np.sqrt(error2)
