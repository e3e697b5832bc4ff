"""What the frames could not support, each with what to add to them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from estimation.calibration import checks
from estimation.calibration.darks import DarkMeans
from estimation.calibration.findings import CalibrationWarning, Defect, Finding
from estimation.calibration.flats import Linearity
from estimation.calibration.levels import Choice
from estimation.calibration.maps import Maps
from estimation.calibration.moments import LevelMoments

FEW_DARKS = 20

LEAST_INTERPOLATED = 5e-4
"""Share of pixels that must look interpolated; chance makes up to 3e-4, in a dim scene."""


def level_warnings(
    darks: Sequence[LevelMoments], choice: Choice, means: DarkMeans, gain: float
) -> list[CalibrationWarning]:
    """Return what the light and the black level did while frames were taken."""
    found = []
    for level in [*darks, *reversed(choice.levels)]:  # the brightest shows most
        signal = float(np.mean(level.mean - means.offset))
        found += checks.check_common(level, signal=signal, gain=gain)
    return found


def support_warnings(
    darks: Sequence[LevelMoments],
    lit: Sequence[LevelMoments],
    maps: Maps,
    interpolated: int,
    linearity: Linearity | None,
    second_gain_adu: float | None,
) -> list[CalibrationWarning]:
    """Return what the frames could not support, with what to add."""
    found = []

    def warn(name: Finding, sentence: str) -> None:
        found.append(CalibrationWarning(name, sentence))

    frames = sum(dark.frames for dark in darks)
    if frames < FEW_DARKS:
        warn(
            Finding.FEW_DARKS,
            f"{frames} darks give the read noise of a pixel to {1 / np.sqrt(2 * frames):.0%}; "
            "take 100 or more",
        )
    if maps.dark_current is None:
        warn(
            Finding.DARK_CURRENT_UNKNOWN,
            "darks have one exposure, so dark current is not known, and offset and read noise "
            "contain it; take darks at four exposures",
        )
        times = {level.exposure_s for level in lit}
        if any(not np.isclose(t, darks[0].exposure_s, rtol=0.01) for t in times):
            warn(
                Finding.DARK_EXPOSURE_DIFFERS,
                f"darks have {darks[0].exposure_s:g} s, lit levels {sorted(times)} s; take darks "
                "at those exposures",
            )
    if float(np.median(maps.read_variance)) < 0.4**2:
        warn(
            Finding.READ_NOISE_BELOW_ROUNDING,
            "the read noise is below 0.4 ADU, where rounding hides it; raise the camera's gain",
        )
    if linearity is None:
        warn(
            Finding.LINEARITY_UNKNOWN,
            "fewer than three usable levels of known relative exposure; give `light` as a number, "
            "or one label at three exposures",
        )
    elif linearity.error > 0.01:
        warn(Finding.NOT_LINEAR, f"the signal deviates by {linearity.error:.1%} from a line")
    if second_gain_adu is not None:
        warn(
            Finding.DUAL_GAIN,
            f"codes are missing above {second_gain_adu:.0f} ADU: the camera joins two gains; the "
            "calibration holds below that only. Use a single-gain mode, or stay below",
        )
    if interpolated > max(3, LEAST_INTERPOLATED * maps.defects.size):
        warn(
            Finding.PIXEL_INTERPOLATION,
            f"{interpolated} pixels are the mean of their neighbours: the camera replaces pixels, "
            "whose noise is then not their own; switch its defect correction off",
        )
    n_telegraph = int(np.count_nonzero(maps.defects & int(Defect.TELEGRAPH)))
    if n_telegraph:
        warn(
            Finding.TELEGRAPH_PIXELS,
            f"{n_telegraph} pixels switch between levels (random telegraph noise) and are masked",
        )
    return found
