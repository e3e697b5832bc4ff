"""Which design is better: differences over the same objects, far sharper than two intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from estimation.bootstrap import bootstrap_means, widened_quantiles
from estimation.errors import EstimationError, InvalidMeasurements
from estimation.estimate import InformationEstimate
from estimation.information import estimate_information
from estimation.noise import NoiseModel


@dataclass(frozen=True, slots=True, kw_only=True)
class DesignComparison:
    """Designs compared on the same objects, in bits per measurement.

    Attributes
    ----------
    names
        Of the designs, in the order given; indexes all arrays.
    estimates
        One for each design.
    bits_per_measurement
        One for each design.
    difference
        [a, b] is design a minus design b, bits/measurement.
    standard_error
        Of `difference`, over objects, paired.
    low, high
        Ends of the interval of `difference` at `confidence`.
    probability_best
        Share of bootstrap resamples of the objects in which a design is the best; sums to one.
    confidence
        Of the intervals, each pair by itself.
    remaining_gap
        What each design's bound may still lose by longer training, bits/measurement; 0 for
        densities that are not trained, infinite where it is not known.
    is_better
        [a, b] is true where design a beats design b at `confidence` even if all that training may
        still take away comes off a. Elsewhere no ranking should be reported.
    """

    names: tuple[str, ...]
    estimates: Mapping[str, InformationEstimate]
    bits_per_measurement: Float64[np.ndarray, " designs"]
    difference: Float64[np.ndarray, "designs designs"]
    standard_error: Float64[np.ndarray, "designs designs"]
    low: Float64[np.ndarray, "designs designs"]
    high: Float64[np.ndarray, "designs designs"]
    probability_best: Float64[np.ndarray, " designs"]
    confidence: float
    remaining_gap: Float64[np.ndarray, " designs"]
    is_better: Bool[np.ndarray, "designs designs"]

    @property
    def best(self) -> str:
        """Name of the design with the most bits per measurement."""
        return self.names[int(np.argmax(self.bits_per_measurement))]


def compare_designs(
    batches: Mapping[str, np.ndarray],
    noise: NoiseModel | Mapping[str, NoiseModel],
    *,
    density: Any = "auto",
    patch: int | tuple[int, int] = 16,
    seed: int = 0,
    confidence: float = 0.95,
) -> DesignComparison:
    """Estimate every design and compare them over the same objects.

    Parameters
    ----------
    batches
        Measurements of each design by name; object k must be the same object in all.
    noise
        One for all, or one for each design by name.
    density
        As in `estimate_information`; `"auto"` settles on the one density that bounds all designs
        lowest together, so that differences are differences of designs.
    patch, seed, confidence
        As in `estimate_information`.

    Raises
    ------
    EstimationError
        Fewer than two designs, and whatever `estimate_information` raises.
    InvalidMeasurements
        Designs with different numbers of objects.
    """
    names = tuple(batches)
    if len(names) < 2:
        raise EstimationError(f"designs {list(names)} came; two or more are due")
    numbers = {name: len(batches[name]) for name in names}
    if any(a != b for a, b in pairwise(numbers.values())):
        raise InvalidMeasurements(
            f"numbers of objects differ: {numbers}; a paired comparison needs the same objects, "
            "in the "
            "same order, in every batch"
        )

    def estimate_all(chosen: Any) -> dict[str, InformationEstimate]:
        return {
            name: estimate_information(
                batches[name],
                noise[name] if isinstance(noise, Mapping) else noise,
                density=chosen,
                patch=patch,
                seed=seed,
                confidence=confidence,
            )
            for name in names
        }

    estimates = estimate_all(density)
    if len({e.density for e in estimates.values()}) > 1:
        estimates = estimate_all(_common_density(estimates))
    sizes = np.array([np.size(batches[name]) / numbers[name] for name in estimates])
    values = np.stack([e.per_object_bits for e in estimates.values()]) * sizes[:, None]
    return _compare(names, estimates, values, sizes, seed=seed, confidence=confidence)


def _common_density(estimates: Mapping[str, InformationEstimate]) -> str:
    bounds = [e.diagnostics["entropy_bits"] for e in estimates.values()]
    shared = set.intersection(*(set(b) for b in bounds))
    return min(sorted(shared), key=lambda name: sum(b[name] for b in bounds))


def _compare(
    names: tuple[str, ...],
    estimates: Mapping[str, InformationEstimate],
    values: Float64[np.ndarray, "designs objects"],
    sizes: Float64[np.ndarray, " designs"],
    *,
    seed: int,
    confidence: float,
) -> DesignComparison:
    designs, objects = values.shape
    paired = values[:, None, :] - values[None, :, :]
    difference = paired.mean(axis=-1)
    means = bootstrap_means(values, seed=seed)
    low, high = np.zeros((2, designs, designs))
    for a, b in np.ndindex(designs, designs):
        if a != b:
            low[a, b], high[a, b] = widened_quantiles(
                means[a] - means[b], difference[a, b], objects=objects, confidence=confidence
            )
    gaps = np.array([_gap_bits(e) for e in estimates.values()]) * sizes
    return DesignComparison(
        names=names,
        estimates=estimates,
        bits_per_measurement=values.mean(axis=1),
        difference=difference,
        standard_error=paired.std(axis=-1, ddof=1) / np.sqrt(objects),
        low=low,
        high=high,
        probability_best=np.bincount(means.argmax(axis=0), minlength=designs) / means.shape[1],
        confidence=confidence,
        remaining_gap=gaps,
        is_better=low > gaps[:, None],
    )


def _gap_bits(estimate: InformationEstimate) -> float:
    gap = estimate.diagnostics.get("remaining_gap_bits", 0.0)
    return np.inf if gap is None else gap
