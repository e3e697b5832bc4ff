"""What a calibration noticed: a name a program can branch on, and a sentence for a person."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntFlag, StrEnum


class Finding(StrEnum):
    """Names of everything a calibration can notice without refusing."""

    NEAR_ZERO = "near_zero"
    SATURATED_LEVELS = "saturated_levels"
    SATURATION_NOT_REACHED = "saturation_not_reached"
    LAMP_FLICKER = "lamp_flicker"
    LIGHT_DRIFT = "light_drift"
    LIGHT_UNSTABLE = "light_unstable"
    DARK_DRIFT = "dark_drift"
    PIXEL_DRIFT = "pixel_drift"
    NEIGHBOUR_CORRELATION = "neighbour_correlation"
    DUAL_GAIN = "dual_gain"
    MISFIT = "misfit"
    NOT_LINEAR = "not_linear"
    LINEARITY_UNKNOWN = "linearity_unknown"
    DARK_CURRENT_UNKNOWN = "dark_current_unknown"
    DARK_EXPOSURE_DIFFERS = "dark_exposure_differs"
    READ_NOISE_BELOW_ROUNDING = "read_noise_below_rounding"
    FEW_DARKS = "few_darks"
    GAIN_UNCERTAIN = "gain_uncertain"
    PIXEL_INTERPOLATION = "pixel_interpolation"
    TELEGRAPH_PIXELS = "telegraph_pixels"
    GLITCH_FRAMES = "glitch_frames"
    ROW_NOISE = "row_noise"
    COLUMN_NOISE = "column_noise"
    SAMPLE_IN_VIEW = "sample_in_view"


@dataclass(frozen=True, slots=True)
class CalibrationWarning:
    """One thing noticed: `name` to branch on, `sentence` with the number and the remedy."""

    name: Finding
    sentence: str

    def __str__(self) -> str:
        return f"{self.name}: {self.sentence}"


def merge_alike(warnings: Iterable[CalibrationWarning]) -> list[CalibrationWarning]:
    """Return one warning of each name: the first sentence, with how many others there were."""
    groups: dict[Finding, list[str]] = {}
    for warning in warnings:
        groups.setdefault(warning.name, []).append(warning.sentence)
    return [
        CalibrationWarning(name, s[0] + (f" (and at {len(s) - 1} more levels)" if s[1:] else ""))
        for name, s in groups.items()
    ]


class Defect(IntFlag):
    """Classes of pixels that are not like the others; a pixel may have several."""

    HOT = 1
    DEAD = 2
    NOISY = 4
    TELEGRAPH = 8
    STUCK = 16


UNUSABLE = Defect.DEAD | Defect.TELEGRAPH | Defect.STUCK
"""What a shot-plus-Gaussian model with the pixel's own parameters cannot describe; hot and noisy
pixels it can, so they stay in use with their own dark current and read noise."""
