"""Where the bins of integer counts lie in a coordinate in which the noise is alike everywhere.

The noise variance of a value is close to `a + b v` (read noise and shot noise), so

    t(v) = 2/b sqrt(a + b v),        dt/dv = 1 / noise sigma,

has noise of standard deviation one (Anscombe's 3/8 keeps Poisson counts of zero away from the
singularity; below it `t` goes on along its tangent). `t` is monotone and known, so the bin
[k - 1/2, k + 1/2] of an integer count stays an interval and its probability needs no Jacobian. The
lowest and the clipping count own all that lies beyond them, hence clipped counts have a likelihood.

Real values are only shifted to a mean of zero (float32 comes later) and divided by the noise sigma.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from estimation.ensemble import Ensemble

ANSCOMBE = 0.375
LARGEST_FIT = 2**18
TINY = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """What a density has to give a probability to; all in stabilised units.

    Attributes
    ----------
    middle
        Middle of the bin, or the value itself.
    half_width
        Half the width of the bin; 0 for real values.
    is_lowest, is_highest
        Bins without lower or upper end.
    nats_to_values
        What to add to the negative log-likelihood in `t` (of a bin: its probability) to have the
        one in the measure of `Ensemble.values`.
    """

    middle: Float64[np.ndarray, "objects shots height width"]
    half_width: Float64[np.ndarray, "objects shots height width"]
    is_lowest: Bool[np.ndarray, "objects shots height width"]
    is_highest: Bool[np.ndarray, "objects shots height width"]
    nats_to_values: Float64[np.ndarray, "#objects #shots #height #width"]


@dataclass(frozen=True, slots=True)
class Stabiliser:
    """The map `t`, the same for all pixels: noise variance `intercept + slope * value`."""

    intercept: float
    slope: float
    origin: float = 0.0
    """Value at which `t` is 0, where the slope is 0."""

    @classmethod
    def of(cls, ensemble: Ensemble) -> Stabiliser:
        """Fit the line through noise variance over value."""
        if ensemble.counts is None:
            return cls(float(ensemble.noise_variance.mean()), 0.0, float(ensemble.values.mean()))
        step = max(1, ensemble.values.size // LARGEST_FIT)
        value = ensemble.values.reshape(-1)[::step]
        variance = ensemble.noise_variance.reshape(-1)[::step]
        spread = float(np.var(value))
        slope = float(np.mean((value - value.mean()) * variance)) / max(spread, TINY)
        if slope < 1e-3:  # no shot noise to speak of
            return cls(max(float(variance.mean()), TINY), 0.0)
        at_zero = float(variance.mean() - slope * value.mean())
        return cls(max(at_zero, ANSCOMBE * slope**2), slope)

    def __call__(self, value: np.ndarray) -> np.ndarray:
        """Return `t(value)`."""
        if not self.slope:
            return (value - self.origin) / np.sqrt(self.intercept)
        return stabilised(value, self.intercept, self.slope)

    def targets(self, ensemble: Ensemble) -> Targets:
        """Return the bins of all counts, or the real values."""
        if ensemble.counts is None:
            middle = self(ensemble.values)
            never = np.zeros((), dtype=bool)
            return Targets(
                middle=middle,
                half_width=np.broadcast_to(0.0, middle.shape),
                is_lowest=np.broadcast_to(never, middle.shape),
                is_highest=np.broadcast_to(never, middle.shape),
                nats_to_values=np.full((1, 1, 1, 1), 0.5 * np.log(self.intercept)),
            )
        counts = ensemble.counts.astype(np.float64)
        low = self((counts - 0.5 - ensemble.offset) / ensemble.scale)
        high = self((counts + 0.5 - ensemble.offset) / ensemble.scale)
        ceiling = np.inf if ensemble.ceiling is None else ensemble.ceiling
        return Targets(
            middle=0.5 * (low + high),
            half_width=0.5 * (high - low),
            is_lowest=ensemble.counts <= 0,
            is_highest=counts >= ceiling,
            nats_to_values=-np.log(np.broadcast_to(ensemble.scale, counts.shape[-2:]))[None, None],
        )


def stabilised(value: Any, intercept: Any, slope: Any, *, array_module: Any = np) -> Any:
    """Return `t(value)` where there is shot noise; NumPy or JAX."""
    radicand = intercept + slope * value
    kink = 0.25 * intercept
    root = array_module.sqrt(array_module.maximum(radicand, kink))
    below = array_module.minimum(radicand - kink, 0.0) / (2.0 * array_module.sqrt(kink))
    return 2.0 / slope * (root + below)
