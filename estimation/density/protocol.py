"""What a density is: fitted on some objects, it scores others. Add yours by these two methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64

from estimation.ensemble import Ensemble


@runtime_checkable
class FittedDensity(Protocol):
    """A density whose parameters are known."""

    def negative_log_likelihood(self, ensemble: Ensemble) -> Float64[np.ndarray, " objects"]:
        """Return the mean over an object's patches, nats per patch value, in object order."""
        ...


@runtime_checkable
class Density(Protocol):
    """A family of densities of patches."""

    @property
    def name(self) -> str:
        """The word under which estimates report it."""
        ...

    def fit(self, ensemble: Ensemble) -> FittedDensity:
        """Fit to all objects of `ensemble`; raise `TooFewObjects` where that cannot be done."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DensityScore:
    """The entropy bound of one density, free of the error of fitting it to few objects.

    Attributes
    ----------
    name
        Of the density.
    per_object_nats
        Corrected negative log-likelihood of every object, nats per patch value, in object order;
        the mean is the entropy bound.
    held_out_nats
        Mean over objects scored by a fit that has not seen them, nats per patch value: an upper
        bound without any correction.
    precision
        Inverse covariance of a Gaussian density (patch values x patch values), else `None`.
    diagnostics
        Plain numbers worth keeping with the estimate.
    fitted
        What a later score of the same objects may start from, where the density can use it.
    """

    name: str
    per_object_nats: Float64[np.ndarray, " objects"]
    held_out_nats: float
    precision: np.ndarray | None = None
    diagnostics: Mapping[str, Any] = field(default_factory=dict)
    fitted: Any = None

    @property
    def entropy_nats(self) -> float:
        """The corrected entropy bound, nats per patch value."""
        return float(self.per_object_nats.mean())


@runtime_checkable
class SelfScoring(Protocol):
    """A density that knows a better finite-sample correction than `cross_fit`."""

    def score(self, ensemble: Ensemble) -> DensityScore:
        """Fit, score all objects and correct."""
        ...


def lowest(scores: Sequence[DensityScore]) -> DensityScore:
    """Return the lowest bound, each half of the objects by the score chosen on the other half.

    A minimum over scores of the same objects is a little too low; a choice made on other objects
    is not. The name and all else is of the lowest on all objects; mostly both halves agree.
    """
    best = min(scores, key=lambda s: s.entropy_nats)
    nats = best.per_object_nats.copy()
    for half in (0, 1):
        chosen = min(scores, key=lambda s: float(s.per_object_nats[1 - half :: 2].mean()))
        nats[half::2] = chosen.per_object_nats[half::2]
    return replace(best, per_object_nats=nats)
