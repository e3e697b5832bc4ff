"""Additive Gaussian noise on counts: outputs of a correlator, a lock-in, anything that rounds.

    counts = clip(round(offset + signal + N(0, sigma^2)), 0, top)

Rounding adds 1/12 count^2 to the variance of signal and noise alike, so it is part of both
entropies and their difference is that of the values before rounding, to second order in 1/sigma
(at the least sigma allowed, one count, the lattice is worth 3e-9 bit).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from estimation import GaussianNoise, InvalidCalibration, InvalidMeasurements, SaturatedMeasurements
from estimation.noise import FixedPattern

ROUNDING_VARIANCE_ADU2 = 1.0 / 12.0
LEAST_SIGMA_ADU = 1.0
MAX_CLIPPED_FRACTION = 0.005
"""Share of counts at either end above which a Gaussian takes clipping for a sharp scene."""


@dataclass(frozen=True, kw_only=True)
class GaussianCounts:
    """`GaussianNoise` for the counts of a bench (an `estimation.NoiseModel`).

    Parameters
    ----------
    sigma_adu
        Standard deviation before rounding, counts, 1 or more.
    offset
        Count that stands for zero.
    bit_depth
        Of the counts: they clip at 0 and at `2**bit_depth - 1`.

    Raises
    ------
    InvalidCalibration
        For a sigma below one count.
    """

    sigma_adu: float
    offset: float
    bit_depth: int

    def __post_init__(self) -> None:
        if not LEAST_SIGMA_ADU <= self.sigma_adu < math.inf:
            raise InvalidCalibration(
                f"sigma_adu {self.sigma_adu!r} came; {LEAST_SIGMA_ADU:g} count or more is due: "
                "below, rounding hides the noise; scale the counts up"
            )

    @cached_property
    def _rounded(self) -> GaussianNoise:
        return GaussianNoise(math.sqrt(self.sigma_adu**2 + ROUNDING_VARIANCE_ADU2))

    @property
    def is_discrete(self) -> bool:
        """Counts are scored as the real numbers they were rounded from."""
        return False

    @property
    def clip_level_adu(self) -> np.ndarray:
        """Largest count."""
        return np.asarray(2.0**self.bit_depth - 1.0)

    def check(self, measurements: np.ndarray) -> dict[str, float]:
        """Raise for what are no such counts, and for clipped ones: both ends are checked."""
        if measurements.dtype.kind not in "ui":
            raise InvalidMeasurements(f"counts came as {measurements.dtype}; integers are due")
        self._rounded.check(measurements)
        if int(measurements.max()) > self.clip_level_adu:
            raise InvalidMeasurements(
                f"a count of {int(measurements.max())} came, but {self.bit_depth} bits end at "
                f"{self.clip_level_adu:.0f}; check the camera's bit depth"
            )
        saturated = float(np.mean(measurements >= self.clip_level_adu))
        zero = float(np.mean(measurements == 0))
        if max(saturated, zero) > MAX_CLIPPED_FRACTION:
            raise SaturatedMeasurements(
                f"{saturated:.1%} of the counts are at the top and {zero:.1%} are 0; at most "
                f"{MAX_CLIPPED_FRACTION:.1%} may be: a clipped count has no noise to know its "
                "signal by. Lower the scale of the counts, or move their offset"
            )
        return {"saturated_fraction": saturated, "zero_fraction": zero}

    def fixed_pattern(self, height: int, width: int) -> FixedPattern:
        """Return an empty pattern: all pixels are equal."""
        return self._rounded.fixed_pattern(height, width)

    def entropy_map(self, measurements: np.ndarray) -> np.ndarray:
        """Return the same bits for every count."""
        return self._rounded.entropy_map(measurements)

    def conditional_entropy(self, measurements: np.ndarray) -> np.ndarray:
        """Return bits/pixel of each image, shape `measurements.shape[:-2]`."""
        self.check(np.asarray(measurements))
        return self._rounded.conditional_entropy(measurements)

    def entropy_at(self, mean_electrons: Any) -> Any:
        """Return the same bits for every mean."""
        return self._rounded.entropy_at(mean_electrons)

    def variance(self, measurements: np.ndarray) -> np.ndarray:
        """Return the noise variance of every count with its rounding, ADU^2."""
        return self._rounded.variance(measurements)

    def variance_slope(self, measurements: np.ndarray) -> np.ndarray:
        """Return zero: the noise does not depend on the count."""
        return self._rounded.variance_slope(measurements)
