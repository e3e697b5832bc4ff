"""Offset, dark current and read noise, per pixel, from dark levels (reference/noise.md, section 3).

    mean_i(t) = o_i + s_i t,   variance_i(t) = K^2 sigma_i^2 + 1/12 + K s_i t

with o the offset (ADU), s the dark slope (ADU/s), sigma the read noise (e-), K the gain (ADU/e-).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from estimation.calibration.moments import LevelMoments

ROUNDING_VARIANCE = 1.0 / 12.0
"""Variance of rounding to whole counts, ADU^2."""


@dataclass(frozen=True, kw_only=True)
class DarkMeans:
    """Line through the dark means of every pixel.

    Attributes
    ----------
    offset
        ADU at zero exposure; with one exposure only, at that exposure.
    slope
        ADU/s, None with one exposure.
    offset_weights, slope_weights
        How the level means were combined.
    """

    offset: np.ndarray
    slope: np.ndarray | None
    offset_weights: np.ndarray
    slope_weights: np.ndarray

    def at(self, exposure_s: float) -> np.ndarray:
        """Return the mean dark counts at an exposure, ADU."""
        return self.offset if self.slope is None else self.offset + self.slope * exposure_s


def fit_dark_means(darks: Sequence[LevelMoments]) -> DarkMeans:
    """Fit offset and dark slope by weighted least squares, one weight a level."""
    times = np.asarray([dark.exposure_s for dark in darks])
    precision = np.asarray([
        dark.frames / max(np.median(dark.noise_variance()), ROUNDING_VARIANCE) for dark in darks
    ])
    flat = precision / precision.sum()
    centred = times - flat @ times
    spread = precision @ centred**2
    means = [dark.mean for dark in darks]
    if not spread > 0:
        nothing = np.zeros_like(flat)
        return DarkMeans(
            offset=_combine(flat, means),
            slope=None,
            offset_weights=flat,
            slope_weights=nothing,
        )
    slope_weights = precision * centred / spread
    offset_weights = flat - (flat @ times) * slope_weights
    return DarkMeans(
        offset=_combine(offset_weights, means),
        slope=_combine(slope_weights, means),
        offset_weights=offset_weights,
        slope_weights=slope_weights,
    )


def fit_read_variance(
    darks: Sequence[LevelMoments], means: DarkMeans, *, gain: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return K^2 sigma^2 and its standard error, ADU^2, maps; rounding and dark shot noise out.

    Weights come from the dark signal, never from the sample variance itself, which would bias low;
    and from a pixel's own signal only if it is clearly hot, as its error is in the sum, too.
    """
    shortest = min(darks, key=lambda dark: dark.exposure_s)
    floor = max(float(np.median(shortest.noise_variance())), ROUNDING_VARIANCE)
    shots = [gain * (dark.mean - means.offset) for dark in darks]
    weights = [
        dark.freedom / np.square(floor + _robust(shot, gain * np.sqrt(2 * floor / dark.frames)))
        for dark, shot in zip(darks, shots, strict=True)
    ]
    total = np.sum(weights, axis=0)
    parts = zip(weights, darks, shots, strict=True)
    variance = sum(w * (dark.noise_variance() - shot) for w, dark, shot in parts) / total
    error = sum(
        np.square(w * (np.maximum(variance, ROUNDING_VARIANCE) + np.maximum(shot, 0.0)))
        * 2.0
        / dark.freedom
        for w, dark, shot in zip(weights, darks, shots, strict=True)
    )
    return variance - ROUNDING_VARIANCE, np.sqrt(error) / total


def _robust(shot: np.ndarray, error: float) -> np.ndarray:
    """Return dark shot noise for weights, ADU^2: the median, or the own of a pixel far above."""
    usual = max(float(np.median(shot)), 0.0)
    return np.where(shot > usual + 6 * error, shot, usual)


def mean_errors(
    darks: Sequence[LevelMoments],
    means: DarkMeans,
    *,
    read_variance: np.ndarray,
    gain: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Return standard errors of offset (ADU) and dark slope (ADU/s), maps, from the noise model."""
    squares = []
    for dark in darks:
        shot = gain * np.maximum(dark.mean - means.offset, 0.0)
        squares.append((np.maximum(read_variance, 0.0) + ROUNDING_VARIANCE + shot) / dark.frames)
    return (
        np.sqrt(_combine(means.offset_weights**2, squares)),
        np.sqrt(_combine(means.slope_weights**2, squares)),
    )


def common_error(darks: Sequence[LevelMoments]) -> float:
    """Return how well the offset of all pixels together is known, ADU: the black level wanders.

    Frames of a slow wander are not independent; their number then flatters this error.
    """
    frames = sum(dark.frames for dark in darks)
    mean_square = sum(dark.common * dark.frames for dark in darks) / frames
    return float(np.sqrt(mean_square / frames))


def _combine(weights: np.ndarray, maps: Sequence[np.ndarray]) -> np.ndarray:
    total = np.zeros_like(maps[0])
    for weight, one in zip(weights, maps, strict=True):
        total += weight * one
    return total
