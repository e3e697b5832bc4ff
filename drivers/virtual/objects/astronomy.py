"""Shadows of black holes: a ring, brighter on one side, and a blob beside it."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

FIELD_UAS = 128.0


def rings(
    count: int, side: int, *, rng: np.random.Generator
) -> Float[np.ndarray, "objects side side"]:
    """Draw images of total flux 1 Jy, Jy a pixel, in a field of 128 microarcseconds.

    Ring diameters of 32 to 50 microarcseconds, as found for M87 (Event Horizon Telescope
    Collaboration, ApJL 875, L4, 2019), and more.
    """
    place = (np.arange(side) - (side - 1) / 2) * FIELD_UAS / side

    def column(low: float, high: float) -> Float[np.ndarray, "objects 1 1"]:
        return rng.uniform(low, high, (count, 1, 1))

    y = place[:, None] - column(-6.0, 6.0)
    x = place[None, :] - column(-6.0, 6.0)
    radius, width = column(16.0, 25.0), column(3.0, 7.0)
    asymmetry, direction = column(0.0, 0.9), column(0.0, 2 * np.pi)
    around = 1.0 + asymmetry * np.cos(np.arctan2(y, x) - direction)
    ring = around * np.exp(-0.5 * ((np.hypot(y, x) - radius) / width) ** 2)
    ring /= ring.sum(axis=(1, 2), keepdims=True)
    away, where, size = column(0.0, 30.0), column(0.0, 2 * np.pi), column(3.0, 10.0)
    squared = (y - away * np.sin(where)) ** 2 + (x - away * np.cos(where)) ** 2
    blob = np.exp(-0.5 * squared / size**2)
    blob /= blob.sum(axis=(1, 2), keepdims=True)
    share = column(0.0, 0.4)
    return (1.0 - share) * ring + share * blob
