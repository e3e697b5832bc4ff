"""What an estimate of information holds, and how a known entropy of the objects caps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Float64

from estimation.decoder import LowerBound
from estimation.errors import EstimationError, NotFinite


@dataclass(frozen=True, slots=True, kw_only=True)
class InformationEstimate:
    """What one batch says about its objects. All numbers are finite.

    Attributes
    ----------
    bits_per_pixel
        Information per value read out (one pixel of one shot), given the rest of its patch.
    standard_error
        Repeatability over fresh objects and fresh frames: the spread of `per_object_bits` over the
        square root of the number of objects, bits/pixel. It contains the error of the fit to first
        order; not contained: misfit of the density, calibration error.
    interval
        Bootstrap over objects, at `confidence`, widened for few objects (Student's t), bits/pixel.
    frame_noise_standard_error
        Repeatability over fresh frames of the same objects, bits/pixel: what is left of
        `standard_error` when designs are compared on the same objects. `None` where the density has
        no precision matrix, or where patches are too few to tell.
    bits_per_measurement
        `bits_per_pixel` times all values of a measurement (shots x height x width); compare designs
        by this one when shots or pixels differ.
    entropy
        Upper bound of H(Y), bits/pixel.
    conditional_entropy
        H(Y|X), bits/pixel.
    density
        Which density gave the bound.
    patch
        Height and width, pixels. Estimates at different patches are not comparable.
    per_object_bits
        Contribution of every object in the order they came, bits/pixel; the mean is
        `bits_per_pixel`.
    confidence
        Of `interval`.
    diagnostics
        Plain values: fractions clipped, kurtosis, `is_misspecified`, `is_undersampled`,
        `is_converged` and `remaining_gap_bits` of a trained density, degrees of freedom, all
        densities tried.
    is_capped
        Whether `bits_per_pixel` is the known entropy of the objects, because the density's bound
        lay above it (it is in `diagnostics["uncapped_bits_per_pixel"]`).
    lower_bound
        Of a decoder, where one was given.
    fitted
        What a trained density has learnt: `AutoregressiveMixture(start=estimate.fitted)` goes on
        from there on the next measurements of the same objects.
    """

    bits_per_pixel: float
    standard_error: float
    interval: tuple[float, float]
    frame_noise_standard_error: float | None
    bits_per_measurement: float
    entropy: float
    conditional_entropy: float
    density: str
    patch: tuple[int, int]
    per_object_bits: Float64[np.ndarray, " objects"]
    confidence: float
    diagnostics: Mapping[str, Any] = field(default_factory=dict)
    is_capped: bool = False
    lower_bound: LowerBound | None = None
    fitted: Any = field(default=None, repr=False, compare=False)

    @property
    def bracket(self) -> tuple[float, float] | None:
        """Lower and upper bound, bits/measurement; `None` without a decoder's bound."""
        if self.lower_bound is None:
            return None
        return self.lower_bound.bits_per_measurement, self.bits_per_measurement

    def __str__(self) -> str:
        text = (
            f"{self.bits_per_pixel:.4g} +- {self.standard_error:.2g} bits/pixel "
            f"({self.bits_per_measurement:.4g} bits/measurement, density {self.density})"
        )
        if self.is_capped:
            text += ", capped by the entropy of the objects"
        if self.bracket is not None:
            text += f", bracket [{self.bracket[0]:.4g}, {self.bracket[1]:.4g}] bits/measurement"
        return text

    def __post_init__(self) -> None:
        numbers = [self.bits_per_pixel, self.standard_error, *self.interval, self.entropy]
        if not (np.all(np.isfinite(numbers)) and np.all(np.isfinite(self.per_object_bits))):
            raise NotFinite(
                "an estimate came out NaN or infinite; please report the batch: inputs are "
                "checked, so "
                "this is an error of the estimator"
            )


def capped(
    estimate: InformationEstimate, object_entropy: float, *, values: int
) -> InformationEstimate:
    """Apply I <= H(object): the mean comes down to the cap, the interval ends there.

    Parameters
    ----------
    estimate
        Of measurements of `values` values each.
    object_entropy
        Bits/measurement.
    values
        Shots x height x width.

    Raises
    ------
    EstimationError
        If the entropy is negative or not finite.
    """
    if not (np.isfinite(object_entropy) and object_entropy >= 0):
        raise EstimationError(f"object_entropy {object_entropy!r} came; bits, 0 or more, are due")
    cap = object_entropy / values
    diagnostics = {**estimate.diagnostics, "object_entropy": object_entropy}
    excess = estimate.bits_per_pixel - cap
    low, high = estimate.interval
    if excess <= 0:
        return replace(estimate, interval=(low, min(high, cap)), diagnostics=diagnostics)
    return replace(
        estimate,
        bits_per_pixel=cap,
        bits_per_measurement=object_entropy,
        interval=(min(low, cap), cap),
        per_object_bits=estimate.per_object_bits - excess,
        diagnostics={**diagnostics, "uncapped_bits_per_pixel": estimate.bits_per_pixel},
        is_capped=True,
    )
