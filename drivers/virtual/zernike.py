"""Zernike modes 4 to 15 of the virtual microscope's hidden aberration, written out by hand.

Noll's numbering and normalisation (unit rms over the unit disc): R. J. Noll, J. Opt. Soc. Am. 66,
207 (1976), table I. Typed from the table on purpose, not generated: the bench's own Zernike basis
(`instrument.bench.patterns`) uses the general formula, and a test holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float

Polar = Callable[
    [Float[np.ndarray, "side side"], Float[np.ndarray, "side side"]],
    Float[np.ndarray, "side side"],
]

FIRST_MODE, LAST_MODE = 4, 15

_MODES: dict[int, Polar] = {
    4: lambda r, _: np.sqrt(3) * (2 * r**2 - 1),
    5: lambda r, t: np.sqrt(6) * r**2 * np.sin(2 * t),
    6: lambda r, t: np.sqrt(6) * r**2 * np.cos(2 * t),
    7: lambda r, t: np.sqrt(8) * (3 * r**3 - 2 * r) * np.sin(t),
    8: lambda r, t: np.sqrt(8) * (3 * r**3 - 2 * r) * np.cos(t),
    9: lambda r, t: np.sqrt(8) * r**3 * np.sin(3 * t),
    10: lambda r, t: np.sqrt(8) * r**3 * np.cos(3 * t),
    11: lambda r, _: np.sqrt(5) * (6 * r**4 - 6 * r**2 + 1),
    12: lambda r, t: np.sqrt(10) * (4 * r**4 - 3 * r**2) * np.cos(2 * t),
    13: lambda r, t: np.sqrt(10) * (4 * r**4 - 3 * r**2) * np.sin(2 * t),
    14: lambda r, t: np.sqrt(10) * r**4 * np.cos(4 * t),
    15: lambda r, t: np.sqrt(10) * r**4 * np.sin(4 * t),
}


def pupil_grid(side: int) -> tuple[Float[np.ndarray, "side side"], Float[np.ndarray, "side side"]]:
    """Return x (along columns) and y (along rows) of pixel centres on [-1, 1]."""
    axis = (np.arange(side) - (side - 1) / 2) / (side / 2)
    y, x = np.meshgrid(axis, axis, indexing="ij")
    return x, y


def aperture(side: int) -> Bool[np.ndarray, "side side"]:
    """Return the pixels whose centre lies in the unit disc."""
    x, y = pupil_grid(side)
    return x**2 + y**2 <= 1


def noll_modes(side: int) -> Float[np.ndarray, "modes side side"]:
    """Return modes 4 to 15 in radians a unit coefficient, zero outside the unit disc."""
    x, y = pupil_grid(side)
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    inside = aperture(side)
    return np.stack([np.where(inside, mode(radius, angle), 0.0) for mode in _MODES.values()])
