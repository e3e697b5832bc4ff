"""What a calibration hands on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from estimation.calibration.findings import CalibrationWarning, Finding

if TYPE_CHECKING:
    from estimation.calibration.photon_transfer import Point
    from estimation.noise import SensorNoise


@dataclass(frozen=True, kw_only=True, eq=False)
class CalibrationResult:
    """A calibrated sensor with one-sigma uncertainties; all maps are float64 (height, width).

    Attributes
    ----------
    noise
        Ready for the scores. `noise.defects` holds dead, stuck and telegraph pixels only: hot and
        noisy ones are described by their own dark current and read noise, and stay in use.
    gain, gain_se
        ADU/e-, corrected for coupling between pixels where that was seen.
    gain_map, gain_spread
        Gain of each pixel, ADU/e-, shrunk to the mean; None (the rule) unless thousands of frames
        carry one. The spread over pixels beyond the scatter, ADU/e-.
    offset, offset_se
        ADU at zero exposure (with darks of one exposure: at that exposure).
    read_noise, read_noise_se
        e- rms, rounding and dark-current noise taken out. The error holds the gain's.
    responsivity, responsivity_se
        Relative, mean 1 over usable pixels; the lamp's shading is in it.
    dark_current, dark_current_se
        e-/s, not clipped at 0; None with a warning if darks have one exposure.
    defects
        int32 bit mask of `Defect`.
    prnu, dsnu
        Spread over pixels of responsivity (relative) and offset (e-), temporal noise taken out.
    linearity_error
        Largest relative deviation from a line, None if no series of 3 levels had known exposures.
    saturation
        Counts at which pixels clip, ADU; None if no level reached it.
    dynamic_range
        Saturation capacity over absolute sensitivity threshold, both in e- (EMVA 1288); or None.
    correlation
        Neighbour correlation of shot noise; None without frames that follow each other.
    linearity_error_se, correlation_se, row_noise_se, column_noise_se
        Standard errors of the scalars of those names.
    row_noise, column_noise
        What rows and columns do as a whole in the dark, e- rms, pixel noise taken out; None for
        frames of a few lines, or without frames that follow each other.
    curve, curve_residuals
        Points of the photon-transfer fit, and their relative residuals.
    warnings
        Everything noticed; `warned(name)` asks for one.
    """

    noise: SensorNoise
    gain: float
    gain_se: float
    gain_map: np.ndarray | None
    gain_spread: float
    offset: np.ndarray
    offset_se: np.ndarray
    read_noise: np.ndarray
    read_noise_se: np.ndarray
    responsivity: np.ndarray
    responsivity_se: np.ndarray
    dark_current: np.ndarray | None
    dark_current_se: np.ndarray | None
    defects: np.ndarray
    prnu: float
    dsnu: float
    linearity_error: float | None
    saturation: float | None
    dynamic_range: float | None
    correlation: float | None
    curve: tuple[Point, ...]
    curve_residuals: np.ndarray
    warnings: tuple[CalibrationWarning, ...]
    linearity_error_se: float | None = None
    correlation_se: float | None = None
    row_noise: float | None = None
    row_noise_se: float | None = None
    column_noise: float | None = None
    column_noise_se: float | None = None

    def warned(self, name: Finding | str) -> bool:
        """Return whether something of this name was noticed."""
        return any(warning.name == name for warning in self.warnings)
