"""Responsivity, PRNU and linearity from the means of lit levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from estimation.calibration.darks import ROUNDING_VARIANCE, DarkMeans
from estimation.calibration.moments import LevelMoments

LEAST_FOR_LINEARITY = 3
"""Levels of known relative exposure that a line and a deviation from it need."""


@dataclass(frozen=True, kw_only=True)
class Linearity:
    """Largest relative deviation from a line, and the standard error of that level's."""

    error: float
    standard_error: float


@dataclass(frozen=True, kw_only=True)
class Responsivity:
    """Relative responsivity (mean 1 over the good pixels) and its pixel-to-pixel error, maps."""

    values: np.ndarray
    errors: np.ndarray


def fit_responsivity(
    levels: Sequence[LevelMoments],
    means: DarkMeans,
    *,
    read_variance: np.ndarray,
    offset_errors: np.ndarray,
    gain: float,
    good: np.ndarray,
) -> Responsivity:
    """Regress the signal of each pixel on the mean signal, weighted by the model variance."""
    total, scale, weight_sum = np.zeros(good.shape), 0.0, 0.0
    error2 = np.zeros(good.shape)
    read = np.maximum(read_variance, 0.0) + ROUNDING_VARIANCE
    for level in levels:
        light = level.mean - means.at(level.exposure_s)
        flux = float(light[good].mean())
        variance = read + gain * np.maximum(level.mean - means.offset, 0.0)
        weight = level.frames * flux / float(np.median(variance))
        total += weight * light
        scale += weight * flux
        weight_sum += weight
        error2 += weight**2 * variance / level.frames
    error2 += (weight_sum * offset_errors) ** 2
    return Responsivity(values=total / scale, errors=np.sqrt(error2) / scale)


def excess_spread(values: np.ndarray, errors: np.ndarray) -> float:
    """Return the standard deviation over pixels, the part that is only noise taken out."""
    return float(np.sqrt(max(0.0, np.var(values, ddof=1) - np.mean(np.square(errors)))))


def fit_linearity(
    levels: Sequence[LevelMoments],
    means: DarkMeans,
    *,
    good: np.ndarray,
    lowest_adu: float,
    offset_error: float,
) -> Linearity | None:
    """Return the largest relative deviation from the line of signal on exposure x flux.

    Its error is that of the level's mean: how far frame means scatter (noise and lamp), and
    `offset_error`, ADU, of all pixels together. Only `good` pixels count: the same in every level.

    Levels of known flux are one series; levels of one label and several exposures are another. The
    line minimises relative residuals (EMVA 1288, linearity). None if no series has 3 levels.
    """
    series: dict[str, list[tuple[float, float, float]]] = {}
    if not good.any():
        return None
    for level in levels:
        signal = float((level.mean - means.at(level.exposure_s))[good].mean())
        if signal >= lowest_adu:
            known = not isinstance(level.light, str)
            dose = level.exposure_s * (float(level.light) if known else 1.0)
            series.setdefault("" if known else f"={level.light}", []).append((
                dose,
                signal,
                float(np.hypot(np.sqrt(level.common / level.frames), offset_error)) / signal,
            ))
    found = [e for points in series.values() if (e := _largest_deviation(points)) is not None]
    return max(found, key=lambda one: one.error) if found else None


def _largest_deviation(points: Sequence[tuple[float, float, float]]) -> Linearity | None:
    dose, signal, relative_error = np.asarray(points).T
    if len(points) < LEAST_FOR_LINEARITY or np.unique(dose).size < LEAST_FOR_LINEARITY:
        return None
    slope, intercept = np.polyfit(dose, signal, 1, w=1.0 / signal)
    model = intercept + slope * dose
    deviation = np.abs(signal - model) / np.abs(model)
    worst = int(np.argmax(deviation))
    return Linearity(error=float(deviation[worst]), standard_error=float(relative_error[worst]))
