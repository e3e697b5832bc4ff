"""Clipped counts: what a Gaussian must not be fitted to.

A clipped pixel has no noise, so a Gaussian takes saturation for a sharp scene: at 97 % saturation
it calls the worst design the best. A discretised density gives the clipped count the probability
of all that lies above it and needs no such check.
"""

from __future__ import annotations

import numpy as np

from estimation.ensemble import Ensemble
from estimation.errors import SaturatedMeasurements

MAX_CLIPPED_FRACTION = 0.005
"""Above this share of saturated values a Gaussian is refused."""


def clipped_fraction(ensemble: Ensemble) -> float:
    """Return the share of usable values at the clip level."""
    if ensemble.counts is None or ensemble.ceiling is None:
        return 0.0
    at_top = ensemble.counts >= ensemble.ceiling
    return float(at_top.mean(where=np.broadcast_to(ensemble.usable, at_top.shape)))


def check_unclipped(ensemble: Ensemble, name: str) -> None:
    """Raise `SaturatedMeasurements` for clipped counts."""
    fraction = clipped_fraction(ensemble)
    if fraction > MAX_CLIPPED_FRACTION:
        raise SaturatedMeasurements(
            f"density {name!r}: {fraction:.1%} of the values are saturated, at most "
            f"{MAX_CLIPPED_FRACTION:.1%} may be: a Gaussian takes saturation for a sharp scene; "
            "lower the exposure, or use density='autoregressive'"
        )
