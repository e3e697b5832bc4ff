"""Which lit levels may be used for the gain: below saturation, below a second gain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from estimation.calibration.errors import NoUsableLevels
from estimation.calibration.findings import CalibrationWarning, Finding
from estimation.calibration.moments import LevelMoments

HIGHEST_SHARE = 0.85
"""Share of saturation up to which a level is used: at 95 % the gain is off by 0.4 %, at 98 by 4."""

CLEARANCE_SIGMAS = 5.0
TURNOVER = 0.8
"""A level whose variance per signal is below this share of the lower levels' saturates."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Levels to use, each with the pixels that are below the limit; saturation in ADU or None."""

    levels: tuple[LevelMoments, ...]
    masks: tuple[np.ndarray, ...]
    saturation: float | None
    warnings: tuple[CalibrationWarning, ...]


def choose_levels(
    lit: Sequence[LevelMoments],
    *,
    offset: np.ndarray,
    dark_variance: float,
    good: np.ndarray,
    top: float,
    second_gain_adu: float | None,
) -> Choice:
    """Choose the levels that lie clear of saturation in more than half of the good pixels.

    Raises
    ------
    NoUsableLevels
        If none does, or none has two frames.
    """
    usable = sorted(
        (level for level in lit if level.frames > 1), key=lambda lv: float(lv.mean[good].mean())
    )
    if not usable:
        raise NoUsableLevels(
            f"{len(lit)} lit levels came, none with two frames or more; the gain comes from the "
            "noise of lit frames: give 10 levels or more between dark and 85 % of saturation"
        )
    ratios = [_variance_per_signal(lv, offset, dark_variance, good) for lv in usable]
    saturation = _saturation(usable, ratios, good, top)
    gain = float(np.median(ratios[: max(1, len(ratios) // 2)]))
    ceiling = saturation if saturation is not None else top
    limit = HIGHEST_SHARE * ceiling
    for edge in (ceiling, second_gain_adu):
        if edge is not None:
            clear = _clear_of(edge, limit, float(np.median(offset)), max(gain, 0.0), dark_variance)
            limit = min(limit, clear)
    masks = [good & (level.mean < limit) for level in usable]
    enough = [bool(m.sum() > 0.5 * good.sum()) for m in masks]
    if not any(enough):
        raise NoUsableLevels(
            f"all {len(usable)} lit levels lie above {limit:.0f} ADU, too near saturation; use "
            "less light or a shorter exposure"
        )
    return Choice(
        levels=tuple(lv for lv, ok in zip(usable, enough, strict=True) if ok),
        masks=tuple(m for m, ok in zip(masks, enough, strict=True) if ok),
        saturation=saturation,
        warnings=_warnings(usable, enough, saturation),
    )


def _variance_per_signal(
    level: LevelMoments, offset: np.ndarray, dark_variance: float, good: np.ndarray
) -> float:
    signal = level.mean - offset
    mean = float(signal[good].mean())
    excess = float(level.noise_variance(signal)[good].mean()) - dark_variance
    return excess / mean if mean > 0 else 0.0


def _saturation(
    levels: Sequence[LevelMoments], ratios: Sequence[float], good: np.ndarray, top: float
) -> float | None:
    """Return the converter's top if it was reached, else where the variance turned over."""
    if any(level.tops > 1e-4 * level.mean.size * level.frames for level in levels):
        return top
    for index in range(2, len(levels)):
        if ratios[index] < TURNOVER * np.median(ratios[:index]):
            return float(np.median(levels[-1].mean[good]))
    return None


def _clear_of(
    edge: float, highest: float, offset: float, gain: float, dark_variance: float
) -> float:
    """Return the mean, ADU, up to which a pixel's noise does not reach the edge."""
    mean = min(highest, edge)
    for _ in range(5):
        noise = np.sqrt(gain * max(mean - offset, 0.0) + dark_variance)
        mean = edge - CLEARANCE_SIGMAS * noise
    return float(mean)


def _warnings(
    levels: Sequence[LevelMoments], enough: Sequence[bool], saturation: float | None
) -> tuple[CalibrationWarning, ...]:
    found = []
    left_out = [str(lv.light) for lv, ok in zip(levels, enough, strict=True) if not ok]
    if left_out:
        found.append(
            CalibrationWarning(
                Finding.SATURATED_LEVELS,
                f"{len(left_out)} levels (light {', '.join(left_out)}) lie too near saturation, or "
                "above a second gain, and are left out",
            )
        )
    if saturation is None:
        found.append(
            CalibrationWarning(
                Finding.SATURATION_NOT_REACHED,
                "no level saturates, so saturation and dynamic range are not known; add one "
                "overexposed level",
            )
        )
    return tuple(found)
