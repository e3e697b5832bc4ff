"""What `estimate_information` asks of a noise model, and what some models offer beyond."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float64


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedPattern:
    """Known per-pixel structure: `values = (counts - offset) / scale`, an invertible map.

    `scale` has geometric mean one over a frame, so that values stay in units of one count; what a
    crop changes of that mean is put back as `log2(scale)` bits per pixel.
    """

    offset: Float64[np.ndarray, "height width"]
    scale: Float64[np.ndarray, "height width"]
    usable: Bool[np.ndarray, "height width"]


@runtime_checkable
class NoiseModel(Protocol):
    """How a known mean becomes a noisy value. Shapes: any leading axes, then height and width."""

    @property
    def is_discrete(self) -> bool:
        """Whether values are integers: entropies are discrete, counts are dequantised."""
        ...

    def check(self, measurements: np.ndarray) -> dict[str, float]:
        """Raise `InvalidMeasurements` for what this noise cannot have made; return figures."""
        ...

    def fixed_pattern(self, height: int, width: int) -> FixedPattern:
        """Return the known structure of a `height` x `width` frame; raise `CalibrationMismatch`."""
        ...

    def entropy_map(self, measurements: np.ndarray) -> np.ndarray:
        """Return the noise entropy of every pixel, bits, from single noisy values."""
        ...

    def conditional_entropy(self, measurements: np.ndarray) -> np.ndarray:
        """Return `entropy_map` averaged over the usable pixels of each image, bits/pixel."""
        ...

    def entropy_at(self, mean_electrons: Any) -> Any:
        """Return the noise entropy where the mean is known, bits, same shape."""
        ...

    def variance(self, measurements: np.ndarray) -> np.ndarray:
        """Return an estimate of the noise variance of every value, in values squared."""
        ...

    def variance_slope(self, measurements: np.ndarray) -> np.ndarray:
        """Return d variance / d value (the shot-noise part), broadcastable to the measurements."""
        ...


@runtime_checkable
class SimulatedNoise(NoiseModel, Protocol):
    """A noise model to draw from, and to differentiate, where the mean is known (a twin)."""

    def sample(self, mean: Any, rng: np.random.Generator, /) -> np.ndarray:
        """Draw values around known means, same shape."""
        ...

    def moments_at(self, mean: Any, /) -> tuple[Any, Any]:
        """Return mean and variance of dequantised values at known means; NumPy or JAX."""
        ...


@runtime_checkable
class CalibratedNoise(Protocol):
    """A noise model whose parameters were measured, with errors of their own."""

    def calibration_uncertainty(self, measurements: np.ndarray) -> dict[str, float]:
        """Return the standard error of H(Y|X) due to each parameter, bits/pixel; see the model."""
        ...
