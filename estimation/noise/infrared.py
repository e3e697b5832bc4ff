"""A bright, cooled thermal sensor: shot noise, read noise, and what two-point correction leaves.

After offset and gain of every pixel have been corrected at two temperatures, a pattern of relative
size `p` remains; it drifts, so no calibration takes it out, and it counts as noise of the frame:

    counts = clip(round(offset + K (Poisson(e) + N(0, r^2) + N(0, (p e)^2))), 0, top)
    variance, e-^2:  v(e) = e + r^2 + p^2 e^2 + 1 / (12 K^2)

(D. Scribner et al., Proc. SPIE 1308, 224, 1990). At the 1e5 electrons and more of such a sensor the
sum is normal, so that H(Y|X) is the entropy of a rounded normal value, 1/2 log2(2 pi e K^2 v). Left
out of H(Y|X), the pattern would count as information about the scene.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from estimation.errors import InvalidCalibration, InvalidMeasurements, SaturatedMeasurements
from estimation.noise.arrays import as_means
from estimation.noise.checks import check_counts
from estimation.noise.closed_form import (
    LOG2_E,
    ROUNDING_VARIANCE,
    censored_moments,
    clipped_entropy,
    clipping_correction,
    gaussian_entropy_bits,
)
from estimation.noise.protocol import FixedPattern
from estimation.noise.simple import no_pattern

MAX_CLIPPED_FRACTION = 0.01
LEAST_VARIANCE_ADU2 = 0.25
"""Of read noise: with less the lattice of counts shows, and a rounded normal value is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InfraredNoise:
    """Noise of a thermal camera after two-point correction; every parameter is one number.

    Parameters
    ----------
    gain
        ADU/e-, above 0.
    offset
        Counts of a dark frame, ADU.
    read_noise
        e- rms; half a count or more.
    residual_pattern
        Relative size of the pattern that correction leaves, 0 or more.
    bit_depth
        Bits of the converter, 1 to 32.

    Raises
    ------
    InvalidCalibration
        For a value out of its range.
    """

    gain: float
    offset: float
    read_noise: float
    residual_pattern: float
    bit_depth: int = 14

    def __post_init__(self) -> None:
        numbers = (self.gain, self.offset, self.read_noise, self.residual_pattern)
        if not (np.all(np.isfinite(numbers)) and self.gain > 0 and self.residual_pattern >= 0):
            raise InvalidCalibration(
                f"{self} came; finite numbers, a gain above 0 and a pattern of 0 or more are due"
            )
        if (self.gain * self.read_noise) ** 2 < LEAST_VARIANCE_ADU2:
            raise InvalidCalibration(
                f"read noise {self.read_noise:g} e- is {self.gain * self.read_noise:.2g} ADU; half "
                "a count or more is due for this model, else use SensorNoise"
            )
        if not 1 <= self.bit_depth <= 32:
            raise InvalidCalibration(f"bit_depth {self.bit_depth!r} came; 1 to 32 is due")

    @property
    def is_discrete(self) -> bool:
        """Counts are integers."""
        return True

    @property
    def clip_level_adu(self) -> np.ndarray:
        """Largest count of the converter, ADU."""
        return np.asarray(2.0**self.bit_depth - 1.0)

    def check(self, measurements: np.ndarray) -> dict[str, float]:
        """Raise for frames this sensor cannot have made, or with more than 1 % clipped pixels."""
        check_counts(measurements)
        if int(measurements.max()) > self.clip_level_adu:
            raise InvalidMeasurements(
                f"a count of {int(measurements.max())} came, but {self.bit_depth} bits end at "
                f"{self.clip_level_adu:.0f}; set bit_depth to the camera's"
            )
        saturated = float(np.mean(measurements >= self.clip_level_adu))
        zero = float(np.mean(measurements == 0))
        if max(saturated, zero) > MAX_CLIPPED_FRACTION:
            raise SaturatedMeasurements(
                f"{saturated:.1%} of the pixels are saturated and {zero:.1%} are 0; at most "
                f"{MAX_CLIPPED_FRACTION:.0%} may be; shorten the integration"
            )
        return {"saturated_fraction": saturated, "zero_fraction": zero}

    def fixed_pattern(self, height: int, width: int) -> FixedPattern:
        """Return an empty pattern: what is known of it was corrected, what is left is noise."""
        return no_pattern(height, width)

    def entropy_map(self, measurements: np.ndarray) -> np.ndarray:
        """Return bits per pixel from single noisy counts, unbiased to second order (Jensen)."""
        counts = np.asarray(measurements, dtype=np.float64)
        electrons = np.maximum((counts - self.offset) / self.gain, 0.0)
        variance = self._variance_e2(electrons)
        slope, bend = 1.0 + 2.0 * self.residual_pattern**2 * electrons, 2 * self.residual_pattern**2
        jensen = 0.25 * LOG2_E * (slope**2 / variance - bend)
        bits = gaussian_entropy_bits(self.gain**2 * variance) + jensen
        room = (self.clip_level_adu - 0.5 - counts) / (self.gain * np.sqrt(variance))
        bits = bits + clipping_correction(np.maximum(room, 0.0))
        return np.where(counts >= self.clip_level_adu, 0.0, bits)

    def conditional_entropy(self, measurements: np.ndarray) -> np.ndarray:
        """Return bits/pixel of each image, shape `measurements.shape[:-2]`."""
        self.check(np.asarray(measurements))
        return np.asarray(self.entropy_map(measurements).mean(axis=(-2, -1)))

    def entropy_at(self, mean_electrons: Any) -> Any:
        """Return bits at known mean electrons; NumPy or JAX, differentiable."""
        array_module, mean, normal_cdf = as_means(mean_electrons)
        variance = self.gain**2 * self._variance_e2(mean)
        free = self.offset + self.gain * mean
        room = (self.clip_level_adu - 0.5 - free) / array_module.sqrt(variance)
        bits = gaussian_entropy_bits(variance, array_module=array_module)
        return clipped_entropy(bits, room, array_module=array_module, normal_cdf=normal_cdf)

    def moments_at(self, mean_electrons: Any) -> tuple[Any, Any]:
        """Return mean and variance of dequantised counts at known mean electrons, ADU, ADU^2."""
        array_module, mean, normal_cdf = as_means(mean_electrons)
        top = float(self.clip_level_adu)
        shortfall, variance = censored_moments(
            top - (self.offset + self.gain * mean),
            self.gain**2 * self._variance_e2(mean),
            array_module=array_module,
            normal_cdf=normal_cdf,
        )
        return top - shortfall, variance + ROUNDING_VARIANCE

    def variance(self, measurements: np.ndarray) -> np.ndarray:
        """Return an estimate of the noise variance of every count, ADU^2."""
        counts = np.asarray(measurements, dtype=np.float64)
        electrons = np.maximum((counts - self.offset) / self.gain, 0.0)
        return self.gain**2 * self._variance_e2(electrons)

    def variance_slope(self, measurements: np.ndarray) -> np.ndarray:
        """Return d variance / d count, ADU."""
        electrons = (np.asarray(measurements, dtype=np.float64) - self.offset) / self.gain
        slope = self.gain * (1.0 + 2.0 * self.residual_pattern**2 * electrons)
        return np.where(electrons > 0.0, slope, 0.0)

    def sample(self, mean_electrons: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw raw counts around known mean electrons, uint16 (uint32 above 16 bits)."""
        mean = np.asarray(mean_electrons, dtype=np.float64)
        electrons = rng.poisson(mean) + self.read_noise * rng.standard_normal(mean.shape)
        electrons = electrons + self.residual_pattern * mean * rng.standard_normal(mean.shape)
        counts = np.rint(self.offset + self.gain * electrons)
        clipped = np.clip(counts, 0.0, self.clip_level_adu)
        return clipped.astype(np.uint16 if self.bit_depth <= 16 else np.uint32)

    def _variance_e2(self, electrons: Any) -> Any:
        pattern = (self.residual_pattern * electrons) ** 2
        return electrons + self.read_noise**2 + pattern + ROUNDING_VARIANCE / self.gain**2
