"""Walsh-Hadamard modes on blocks: every block +1 or -1, ordered by sequency.

A mode is the product of a Walsh function down and one across. Half its changes of sign is the
sequency of a Walsh function (H. F. Harmuth, "Transmission of Information by Orthogonal Functions",
Springer 1969); modes are ordered by the changes in both directions together, coarse ones first.
They are orthogonal over blocks, and over pixels where blocks divide the region's sides.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.linalg import hadamard

from instrument.bench.patterns._modes import PlacedModes
from instrument.bench.patterns._plane import Plane
from instrument.config import Region
from instrument.design import DesignError


def hadamard_modes(
    blocks: tuple[int, int],
    first: int,
    last: int,
    plane: Plane,
    *,
    region: Region | None = None,
    mean: float = 0.0,
) -> PlacedModes:
    """Return modes `first` to `last` on (rows, columns) `blocks`, powers of two.

    Raises
    ------
    DesignError
        The region is not on the modulator, or has fewer pixels than blocks.
    """
    rectangle = plane.rectangle(region)
    if blocks[0] > rectangle.height or blocks[1] > rectangle.width:
        raise DesignError(
            f"{blocks[0]} x {blocks[1]} blocks on {rectangle.height} x {rectangle.width} pixels; a "
            "block needs a pixel at least"
        )
    down, across = (walsh_functions(count) for count in blocks)
    modes = [
        np.outer(down[row], across[column]).ravel()
        for row, column in _orders(blocks)[first : last + 1]
    ]
    return PlacedModes(np.array(modes), rectangle.cells(blocks), mean=mean)


def hadamard_labels(blocks: tuple[int, int], first: int, last: int) -> tuple[str, ...]:
    """`H 0,1`, `H 1,0`, ...: changes of sign down and across."""
    return tuple(f"H {row},{column}" for row, column in _orders(blocks)[first : last + 1])


def walsh_functions(count: int) -> Float[np.ndarray, "{count} {count}"]:
    """Return the Walsh functions of a power of two of places; function s changes sign s times."""
    natural = hadamard(count).astype(np.float64)
    sequency = np.count_nonzero(np.diff(natural, axis=1), axis=1)
    return natural[np.argsort(sequency)]


def _orders(blocks: tuple[int, int]) -> list[tuple[int, int]]:
    """Sequencies down and across, by their sum and then by the one down."""
    return sorted(np.ndindex(*blocks), key=lambda order: (sum(order), order))
