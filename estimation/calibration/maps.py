"""All maps of a calibration, computed in the order they need each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import digamma

from estimation.calibration.darks import (
    DarkMeans,
    common_error,
    fit_read_variance,
    mean_errors,
)
from estimation.calibration.defects import find_defects, find_telegraph
from estimation.calibration.findings import UNUSABLE
from estimation.calibration.flats import fit_responsivity
from estimation.calibration.levels import Choice
from estimation.calibration.moments import LevelMoments
from estimation.calibration.pixel_gain import fit_pixel_gains
from estimation.noise import SensorNoise

LEAST_FREEDOM = 4.0
"""Degrees of freedom that a pixel's read noise is taken to have at least."""


class Maps:
    """All maps of the result, computed in the order they need each other.

    `raw_gain` is ADU^2 of variance per ADU of signal, which is what takes dark shot noise out of a
    pixel's own variance; `gain` turns ADU into electrons.
    """

    def __init__(
        self,
        darks: Sequence[LevelMoments],
        choice: Choice,
        means: DarkMeans,
        *,
        raw_gain: float,
        gain: float,
        gain_se: float,
        stuck: np.ndarray,
    ) -> None:
        self.means, self.gain, self.gain_se = means, gain, gain_se
        variance, variance_se = fit_read_variance(darks, means, gain=raw_gain)
        self.read_variance, self.read_variance_se = variance, variance_se
        self.clear = _clear_levels(choice, ~stuck)
        self.pixel_gains = fit_pixel_gains(
            self.clear,
            offset=means.offset,
            read_variance=variance,
            read_variance_se=variance_se,
            gain=raw_gain,
            good=~stuck,
        )
        own_gain = self.pixel_gains.values
        self.gain_map = None if own_gain is None else own_gain * (gain / raw_gain)
        per_e = gain if self.gain_map is None else self.gain_map
        self.read_noise = np.sqrt(np.maximum(variance, 0.0)) / per_e
        own_error = variance_se / (2 * np.sqrt(np.maximum(variance, variance_se))) / per_e
        self.common_read_noise_se = float(np.sqrt(np.mean(own_error**2) / own_error.size))
        self.common_offset_se = common_error(darks)
        self.read_noise_se = np.hypot(own_error, self.read_noise * gain_se / gain)
        self.offset_se, slope_se = mean_errors(darks, means, read_variance=variance, gain=raw_gain)
        self.dark_current = self.dark_current_se = None
        if means.slope is not None:
            self.dark_current = means.slope / per_e
            self.dark_current_se = np.hypot(slope_se, means.slope * gain_se / gain) / per_e
        self.responsivity = fit_responsivity(
            self.clear,
            means,
            read_variance=variance,
            offset_errors=self.offset_se,
            gain=raw_gain,
            good=~stuck,
        )
        best = max(darks, key=lambda dark: (dark.frames, -dark.exposure_s))
        self.defects = find_defects(
            stuck=stuck,
            telegraph=find_telegraph(best, gain=raw_gain, offset=means.offset),
            read_noise=self.read_noise,
            read_noise_se=self.read_noise_se,
            responsivity=self.responsivity.values,
            dark_current=self.dark_current,
            dark_current_se=self.dark_current_se,
        )

    @property
    def good(self) -> np.ndarray:
        """Pixels the noise model holds for."""
        return (self.defects & int(UNUSABLE)) == 0

    def noise(self, saturation: float | None, bit_depth: int) -> SensorNoise:
        """Return the sensor for the scores; masked pixels get plain, unused values."""
        # clipped at 0 as no current is negative; the offset stays what it is at zero exposure
        dark_current = None if self.dark_current is None else np.maximum(self.dark_current, 0.0)
        good = self.good & (self.responsivity.values > 0)
        relative, gain = np.where(good, self.responsivity.values, 1.0), self.gain
        if self.gain_map is not None:  # the signal's scale holds the pixel's gain already
            relative, gain = relative * self.gain / self.gain_map, self.gain_map
        return SensorNoise(
            gain=gain,
            offset=self.means.offset,
            read_noise=self.read_noise * self._log_correction(),
            bit_depth=bit_depth,
            responsivity=relative,
            dark_current=dark_current,
            saturation=saturation,
            defects=~good,
            gain_standard_error=self.gain_se,
            read_noise_standard_error=self.common_read_noise_se,
            offset_standard_error=self.common_offset_se,
        )

    def _log_correction(self) -> np.ndarray:
        """Return what makes the logarithm of read noise right on average instead of its square.

        The scores average logarithms of the noise, and that of a variance from nu degrees of
        freedom is too low by ln(nu/2) - digamma(nu/2): .015 bit a pixel with 50 darks.
        """
        relative2 = np.square(self.read_variance_se / np.maximum(self.read_variance, 1e-12))
        freedom = 2.0 / np.clip(relative2, 1e-9, 2.0 / LEAST_FREEDOM)
        return np.exp(0.5 * (np.log(freedom / 2) - digamma(freedom / 2)))


def _clear_levels(choice: Choice, good: np.ndarray) -> Sequence[LevelMoments]:
    """Return the levels in which (nearly) every good pixel is below saturation."""
    pairs = zip(choice.levels, choice.masks, strict=True)
    clear = [lv for lv, mask in pairs if mask.sum() > 0.999 * good.sum()]
    return clear or choice.levels[:1]
