"""Noise with at most one parameter: ideal photon counting, and additive Gaussian noise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from estimation.errors import InvalidCalibration
from estimation.noise.arrays import as_floating, as_means
from estimation.noise.checks import check_counts, check_not_empty, check_values
from estimation.noise.closed_form import ROUNDING_VARIANCE, gaussian_entropy_bits
from estimation.noise.lookup import EntropyLookUp
from estimation.noise.protocol import FixedPattern


@dataclass(frozen=True, slots=True)
class PoissonNoise:
    """Ideal photon counting: counts are photons, with shot noise and nothing else.

    `entropy_at` a known mean is exact. From noisy counts no exact rule exists, because the entropy
    is not analytic at zero photons; the bias left is listed in `estimation.noise.table`.
    """

    @property
    def is_discrete(self) -> bool:
        """Counts are integers."""
        return True

    def check(self, measurements: np.ndarray) -> dict[str, float]:
        """Raise `InvalidMeasurements` unless these are counts that vary."""
        check_counts(measurements)
        return {}

    def fixed_pattern(self, height: int, width: int) -> FixedPattern:
        """Return an empty pattern: all pixels are equal."""
        return no_pattern(height, width)

    def entropy_map(self, measurements: np.ndarray) -> np.ndarray:
        """Return bits per pixel value, same shape as the counts."""
        return _photon_entropies().of_counts(np.asarray(measurements))

    def conditional_entropy(self, measurements: np.ndarray) -> np.ndarray:
        """Return bits/pixel of each image, shape `measurements.shape[:-2]`."""
        counts = np.asarray(measurements)
        check_counts(counts)
        return np.asarray(self.entropy_map(counts).mean(axis=(-2, -1)))

    def entropy_at(self, mean_electrons: Any) -> Any:
        """Return bits at a known mean number of photons; NumPy or JAX, differentiable."""
        array_module, mean, _ = as_means(mean_electrons)
        return _photon_entropies().at_mean(mean, array_module)

    def variance(self, measurements: np.ndarray) -> np.ndarray:
        """Return the counts themselves, as float: the unbiased estimate of a Poisson variance."""
        return np.asarray(measurements, dtype=np.float64)

    def variance_slope(self, measurements: np.ndarray) -> np.ndarray:
        """Return one where there are counts."""
        return (np.asarray(measurements) > 0).astype(np.float64)

    def moments_at(self, mean_electrons: Any) -> tuple[Any, Any]:
        """Return mean and variance of dequantised counts at known mean photons; NumPy or JAX."""
        _, means, _ = as_means(mean_electrons)
        return means, means + ROUNDING_VARIANCE

    def sample(self, mean_electrons: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw counts with the given means, int64."""
        return rng.poisson(mean_electrons)


@dataclass(frozen=True, slots=True)
class GaussianNoise:
    """Additive Gaussian noise of known `sigma` on real or complex values.

    For complex values `sigma` is the standard deviation of the real and of the imaginary part,
    each, and entropies are per complex sample: `log2(2 pi e sigma**2)`. The entropies are
    differential, in the units of the values.

    Parameters
    ----------
    sigma
        Standard deviation, in units of the values; above zero.

    Raises
    ------
    InvalidCalibration
        If `sigma` is not a finite number above zero.
    """

    sigma: float

    def __post_init__(self) -> None:
        if np.ndim(self.sigma) or not (np.isfinite(self.sigma) and self.sigma > 0):
            raise InvalidCalibration(f"sigma {self.sigma!r} came; one finite number above 0 is due")

    @property
    def is_discrete(self) -> bool:
        """Values are real."""
        return False

    def check(self, measurements: np.ndarray) -> dict[str, float]:
        """Raise `InvalidMeasurements` unless these are finite numbers that vary."""
        check_values(measurements)
        return {}

    def fixed_pattern(self, height: int, width: int) -> FixedPattern:
        """Return an empty pattern: all pixels are equal."""
        return no_pattern(height, width)

    def entropy_map(self, measurements: np.ndarray) -> np.ndarray:
        """Return the same bits for every value (per complex sample if complex)."""
        parts = 2 if np.iscomplexobj(measurements) else 1
        return np.full(np.shape(measurements), parts * gaussian_entropy_bits(self.sigma**2))

    def conditional_entropy(self, measurements: np.ndarray) -> np.ndarray:
        """Return bits/pixel of each image, shape `measurements.shape[:-2]`."""
        values = np.asarray(measurements)
        check_not_empty(values)
        return np.asarray(self.entropy_map(values).mean(axis=(-2, -1)))

    def entropy_at(self, mean_electrons: Any) -> Any:
        """Return the same bits for every mean."""
        array_module, mean = as_floating(mean_electrons)
        bits = float(self.entropy_map(np.zeros((), dtype=mean.dtype)))
        return array_module.full_like(array_module.real(mean), bits)

    def variance(self, measurements: np.ndarray) -> np.ndarray:
        """Return `sigma**2` for every real number."""
        return np.full(np.shape(measurements), self.sigma**2)

    def variance_slope(self, measurements: np.ndarray) -> np.ndarray:
        """Return zero: the noise does not depend on the value."""
        return np.zeros(np.shape(measurements))

    def moments_at(self, mean: Any) -> tuple[Any, Any]:
        """Return mean and variance of real values; NumPy or JAX."""
        array_module, values = as_floating(mean)
        return values, array_module.full_like(values, self.sigma**2)

    def sample(self, mean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw values around the given means; complex means get complex noise."""
        noise = rng.normal(scale=self.sigma, size=np.shape(mean))
        if np.iscomplexobj(mean):
            noise = noise + 1j * rng.normal(scale=self.sigma, size=np.shape(mean))
        return np.asarray(mean) + noise


@cache
def _photon_entropies() -> EntropyLookUp:
    return EntropyLookUp.of_photons()


def no_pattern(height: int, width: int) -> FixedPattern:
    """Return the pattern of a sensor whose pixels are all equal and good."""
    return FixedPattern(
        offset=np.zeros((height, width)),
        scale=np.ones((height, width)),
        usable=np.ones((height, width), dtype=bool),
    )
