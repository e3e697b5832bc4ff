"""Is the calibrated noise the noise of these frames? Repeats of a static scene answer alone.

Repeats show each pixel's variance without any noise model. In the measure of integer counts, and as
far as the noise is Gaussian, its entropy is (reference/noise.md, section 4c)

    h = 1/2 log2(2 pi e s^2) - 1/2 log2(e) (digamma(nu/2) - ln(nu/2)),   nu = repeats - 1

where the second term is the bias of the logarithm of a sample variance (-.28 bit at 4 repeats). Two
more traps: a pixel whose few counts are all alike has s^2 = 0, so counts are dequantised by uniform
noise of one count, whose 1/12 ADU^2 is taken out again; and what all pixels do together (a lamp's
flicker, a wandering black level) is no noise of a pixel, so each frame's line on the mean image is
taken out first.

Shot noise is not quite Gaussian: at 1 to 30 e- the model-free entropy is up to .009 bit too high
(benchmarks/self_check.py), well below the .02 of the alarm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt16
from scipy.special import digamma

from estimation.errors import InvalidMeasurements, SaturatedMeasurements
from estimation.noise import SensorNoise

ALARM_BITS = 0.02
"""Difference that is an alarm, bits/pixel: read noise wrong by 4 % in the dark, gain by 3 % in
light (reference/noise.md, section 5)."""

LEAST_REPEATS = 4
SURE = 3.0
"""Standard errors by which a difference must be beyond doubt to be an alarm."""

CLEAR_OF_CLIPPING = 5.0
"""Noise standard deviations that a pixel's mean must keep from 0 and from saturation."""

DRIFT_RATIO = 0.9
"""Von Neumann ratio (1: repeats do not remember each other, 0: a ramp) below which they drift."""

DITHER_VARIANCE = 1.0 / 12.0
LOG2_E = float(np.log2(np.e))


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfCheck:
    """What repeats of one static scene say of a calibration; bits are bits/pixel.

    Attributes
    ----------
    repeats, pixels
        Frames, and pixels of each that were used.
    model_free_bits, calibrated_bits
        Entropy from the repeats' variance, and H(Y|X) by the calibrated noise.
    standard_error
        Of their difference, from its scatter over pixels.
    light_change
        Change of the frame mean over the repeats beyond noise, rms, relative to the signal. It is
        taken out, and told for the person.
    drift_ratio
        Half the mean squared step from repeat to repeat, over the variance: 1 if repeats are
        independent, less if the scene drifts.
    """

    repeats: int
    pixels: int
    model_free_bits: float
    calibrated_bits: float
    standard_error: float
    light_change: float
    drift_ratio: float

    @property
    def difference_bits(self) -> float:
        """Model-free minus calibrated: what the scores are too high by, if nothing moved."""
        return self.model_free_bits - self.calibrated_bits

    @property
    def is_alarm(self) -> bool:
        """Whether the difference is above `ALARM_BITS`, and beyond doubt."""
        return abs(self.difference_bits) > max(ALARM_BITS, SURE * self.standard_error)

    @property
    def is_conclusive(self) -> bool:
        """Whether a difference of `ALARM_BITS` would have been an alarm."""
        return SURE * self.standard_error <= ALARM_BITS

    @property
    def sentence(self) -> str:
        """The verdict for a person, with the remedy."""
        numbers = (
            f"{self.repeats} repeats of one scene have {self.model_free_bits:.3f} bits/px of noise "
            f"(standard error {self.standard_error:.3f}), the calibration says "
            f"{self.calibrated_bits:.3f}"
        )
        if self.is_alarm:
            return f"{numbers}: {self._accusation()}"
        if not self.is_conclusive:
            return (
                f"{numbers}: no alarm, but {self.pixels} pixels and {self.repeats} repeats are too "
                f"few to see a difference of {ALARM_BITS:g}; ask for more repeats"
            )
        return numbers

    def _accusation(self) -> str:
        if self.difference_bits < 0:
            return (
                f"the frames are quieter than calibrated and every score is "
                f"{-self.difference_bits:.3f} bits/px too low. Look for denoising, averaging or "
                "repeated frames in the camera, or another gain; then calibrate again"
            )
        drifts = self.drift_ratio < DRIFT_RATIO
        cause = "the scene drifts from repeat to repeat" if drifts else "it does not drift"
        return (
            f"the frames are noisier than calibrated and every score is "
            f"{self.difference_bits:.3f} bits/px too high, unless the scene moved meanwhile "
            f"({cause}). Keep sample and light still, check the camera's gain, mode and "
            "temperature, and calibrate again"
        )


def check_repeats(
    counts: UInt16[np.ndarray, "repeats height width"],
    noise: SensorNoise,
    *,
    rng: np.random.Generator,
) -> SelfCheck:
    """Compare the noise of repeated frames with the calibrated noise.

    Parameters
    ----------
    counts
        Raw counts of one static scene, ADU; 4 repeats or more, 8 for a frame of 10 000 pixels.
    noise
        Of the sensor and exposure the frames come from.
    rng
        Source of the dequantisation.

    Raises
    ------
    InvalidMeasurements
        Too few repeats, or counts this sensor cannot have made.
    SaturatedMeasurements, CalibrationMismatch
        See `SensorNoise.check`; or no pixel keeps clear of clipping.
    """
    repeats = len(counts)
    if counts.ndim != 3 or repeats < LEAST_REPEATS:
        raise InvalidMeasurements(
            f"repeats of shape {counts.shape} came; (repeats, height, width) with "
            f"{LEAST_REPEATS} repeats or more are due: two equal counts of two say nothing"
        )
    noise.check(counts)
    used = _clear_pixels(counts, noise)
    variance, light_change, drift_ratio = _own_variance(_dequantised(counts, used, rng))
    model_variance = noise.variance(counts.mean(axis=0))[used]
    freedom = repeats - 1
    model_free = 0.5 * np.log2(2 * np.pi * np.e * variance)
    model_free -= 0.5 * LOG2_E * float(digamma(freedom / 2) - np.log(freedom / 2))
    model_free -= 0.5 * np.log2(1 + DITHER_VARIANCE / model_variance)
    calibrated = np.mean([noise.entropy_map(frame)[used] for frame in counts], axis=0)
    pixels = int(np.count_nonzero(used))
    mean_signal = float((counts.mean(axis=0) - noise.offset)[used].mean())
    return SelfCheck(
        repeats=repeats,
        pixels=pixels,
        model_free_bits=float(model_free.mean()),
        calibrated_bits=float(calibrated.mean()),
        standard_error=float(np.std(model_free - calibrated)) / pixels**0.5,
        light_change=light_change / mean_signal if mean_signal > 0 else 0.0,
        drift_ratio=drift_ratio,
    )


def _clear_pixels(counts: np.ndarray, noise: SensorNoise) -> np.ndarray:
    """Return the usable pixels whose mean keeps clear of both ends of the converter."""
    mean = counts.mean(axis=0)
    reach = CLEAR_OF_CLIPPING * np.sqrt(noise.variance(mean))
    clear = (mean - reach > 0) & (mean + reach < noise.clip_level_adu)
    used = clear & noise.fixed_pattern(*mean.shape).usable
    if np.count_nonzero(used) < 0.5 * used.size:
        raise SaturatedMeasurements(
            f"{np.count_nonzero(used)} of {used.size} pixels are usable and keep clear of 0 and of "
            "saturation, too few to check the noise on; change the light or the exposure"
        )
    return used


def _dequantised(counts: np.ndarray, used: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return (repeats, pixels), float32: exact below 2^16, and half the memory."""
    chosen = counts[:, used].astype(np.float32)
    chosen += rng.random(chosen.shape, dtype=np.float32) - np.float32(0.5)
    return chosen


def _own_variance(counts: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Return variance over repeats without what pixels do together, ADU^2 (pixels,).

    And the change of the frame mean beyond noise, ADU rms, and the von Neumann ratio.
    """
    repeats, pixels = counts.shape
    image = counts.mean(axis=0, dtype=np.float64)
    contrast = image - image.mean()
    power = float(contrast @ contrast)
    total, steps, means, before = np.zeros(pixels), np.zeros(pixels), [], None
    for frame in counts:
        own = frame - image
        means.append(own.mean())
        own -= means[-1]
        if power:
            own -= (own @ contrast / power) * contrast
        total += own**2
        if before is not None:
            steps += (own - before) ** 2
        before = own
    variance = total / (repeats - 1)
    excess = float(np.var(means, ddof=1)) - float(variance.mean()) / pixels
    ratio = float(steps.mean()) / (2 * (repeats - 1)) / float(variance.mean())
    return variance, float(np.sqrt(max(excess, 0.0))), ratio
