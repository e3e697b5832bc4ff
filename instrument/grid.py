"""Stage positions of an object ensemble: a square grid, in the order it is visited."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

Positions = tuple[tuple[float, float], ...]


def grid_positions(
    count: int,
    *,
    spacing_um: float,
    centre_um: tuple[float, float],
    order: Literal["snake", "shuffled"],
    seed: int,
) -> Positions:
    """Return `count` positions (x, y) in um, centred on `centre_um`.

    Parameters
    ----------
    count, spacing_um, centre_um
        Positions on the smallest square grid that holds them all.
    order
        `snake` travels least; `shuffled` decouples objects from slow drift, the same order for
        every design so that designs stay paired.
    seed
        Of the shuffling.
    """
    side = math.ceil(math.sqrt(count))
    offset = (side - 1) / 2
    cells = [
        (column if row % 2 == 0 else side - 1 - column, row)
        for row in range(side)
        for column in range(side)
    ][:count]
    if order == "shuffled":
        cells = [cells[i] for i in np.random.default_rng(seed).permutation(count)]
    return tuple(
        (
            centre_um[0] + (column - offset) * spacing_um,
            centre_um[1] + (row - offset) * spacing_um,
        )
        for column, row in cells
    )


def extent_um(positions: Positions) -> tuple[tuple[float, float], tuple[float, float]]:
    """Smallest and largest x, smallest and largest y."""
    xs, ys = zip(*positions, strict=True)
    return (min(xs), max(xs)), (min(ys), max(ys))
