"""Which pixels are not like the others.

Telegraph pixels (random switching between two levels) are found on the darks: fast switching by
skewness and kurtosis beyond what a Gaussian with Poisson dark current has, slow switching by
successive differences that are too small for the variance (von Neumann's ratio).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from estimation.calibration.findings import Defect
from estimation.calibration.moments import LevelMoments

HOT_E_PER_S = 5.0
HOT_RATIO = 10.0
"""Hot: dark current above both 5 e-/s and 10 x the median; four standard errors in favour of a flag
so that none is missed."""

NOISY_RATIO = 3.0
"""Noisy: read noise above 3 x the median by three standard errors."""

DEAD_RATIO = 0.5
"""Dead: responsivity below half of the median of its 5 x 5 neighbours."""

LEAST_TELEGRAPH_FRAMES = 50
LEAST_INTERPOLATION_FRAMES = 100
INTERPOLATED_VARIANCE = 0.6
"""The mean of two neighbours has half their variance, of four a quarter."""

RATIO_SIGMAS = 6.0
FLAT_SIGMAS = -5.0
"""Even switching has no skew and a flat top; the kurtosis scatters little to this side."""


def find_stuck(levels: Sequence[LevelMoments]) -> np.ndarray:
    """Return pixels that never change within a level although a usual pixel does, bool map."""
    stuck = np.ones(levels[0].mean.shape, bool)
    for level in levels:
        if level.variance is not None and np.median(level.variance) > 0:
            stuck &= level.variance == 0
    lit = [level for level in levels if not level.is_dark]
    if lit and len(levels) > len(lit):  # and does not answer to light either
        brightest = max(lit, key=lambda level: float(np.median(level.mean))).mean
        dark = next(level for level in levels if level.is_dark).mean
        stuck &= np.abs(brightest - dark) < 0.1 * np.median(brightest - dark)
    elif not any(lv.variance is not None and np.median(lv.variance) > 0 for lv in levels):
        stuck[:] = False
    return stuck


def find_telegraph(dark: LevelMoments, *, gain: float, offset: np.ndarray) -> np.ndarray:
    """Return pixels that switch between levels, bool map; none below 50 darks."""
    none = np.zeros(dark.mean.shape, bool)
    n = dark.frames
    if n < LEAST_TELEGRAPH_FRAMES or dark.skew is None or dark.kurtosis is None:
        return none
    assert dark.variance is not None  # noqa: S101 - more than one frame
    variance = np.maximum(dark.variance, 1e-12)
    if np.median(variance) < 0.3:
        return none  # rounding alone is skewed here
    shot = gain * np.maximum(dark.mean - offset, 0.0)
    skewness = (dark.skew - gain * shot) / variance**1.5 / np.sqrt(6 / n)
    kurtosis = (dark.kurtosis - gain**2 * shot) / variance**2 / np.sqrt(24 / n)
    # 40 + 10000/n: below one false pixel in 1e5 Gaussian ones, simulated for n = 50 to 1000
    found = (skewness**2 + kurtosis**2 > 40.0 + 10000.0 / n) | (kurtosis < FLAT_SIGMAS)
    if dark.step_variance is not None and dark.pairs > 0.9 * n - 1:
        slow = dark.step_variance - dark.step_common
        found |= slow < (variance - dark.common) * (1 - RATIO_SIGMAS / np.sqrt(n))
    return found & (dark.variance > 0)


def find_interpolated(dark: LevelMoments, lit: Sequence[LevelMoments]) -> np.ndarray:
    """Return pixels the camera seems to replace by the mean of their neighbours, bool map.

    Such a pixel has their mean in dark and in light, and a fraction of their variance in both: in
    the dark alone, a quiet pixel among noisier ones has that, too. Cameras do it to hot pixels; the
    pixels are no longer independent, and their noise is not their own.

    Parameters
    ----------
    dark
        With most frames.
    lit
        Usable levels, the brightest last.
    """
    none = np.zeros(dark.mean.shape, bool)
    if dark.frames < LEAST_INTERPOLATION_FRAMES or min(dark.mean.shape) < 3:
        return none
    assert dark.variance is not None  # noqa: S101 - more than one frame
    # of the median, as one noisy neighbour would make many pixels look quiet
    usual = np.median(_sides(dark.variance), axis=0)
    found = dark.variance < INTERPOLATED_VARIANCE * usual
    variance = np.sum([level.freedom * level.noise_variance() for level in lit], axis=0)
    found &= variance < INTERPOLATED_VARIANCE * np.median(_sides(variance), axis=0)
    for level in (dark, lit[-1]):
        around = _sides(level.mean).mean(axis=0)
        # half a count for the rounding, and for truncation; else the same numbers are averaged
        found &= np.abs(level.mean - around) < 0.6
    return found


def _sides(image: np.ndarray) -> np.ndarray:
    """Return the four neighbours of every pixel, (4, height, width); edges are repeated."""
    padded = np.pad(image, 1, mode="edge")
    return np.stack([padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]])


def find_defects(
    *,
    stuck: np.ndarray,
    telegraph: np.ndarray,
    read_noise: np.ndarray,
    read_noise_se: np.ndarray,
    responsivity: np.ndarray,
    dark_current: np.ndarray | None,
    dark_current_se: np.ndarray | None,
) -> np.ndarray:
    """Return the bit mask of `Defect`, int32 (height, width)."""
    mask = np.zeros(stuck.shape, np.int32)
    mask[stuck] |= Defect.STUCK
    mask[telegraph] |= Defect.TELEGRAPH
    mask[read_noise - 3 * read_noise_se > NOISY_RATIO * np.median(read_noise)] |= Defect.NOISY
    around = ndimage.median_filter(responsivity, size=5, mode="nearest")
    mask[responsivity < DEAD_RATIO * around] |= Defect.DEAD
    if dark_current is not None and dark_current_se is not None:
        limit = max(HOT_E_PER_S, HOT_RATIO * float(np.median(dark_current)))
        mask[dark_current > limit - 4 * dark_current_se] |= Defect.HOT
    return mask
