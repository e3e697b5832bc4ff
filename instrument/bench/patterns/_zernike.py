"""Zernike modes on a phase modulator.

Noll's numbering and normalisation (unit rms over the unit disc; R. J. Noll, J. Opt. Soc. Am. 66,
207, 1976), on the largest centred disc of the modulator. Phase is wrapped into one turn, and one
turn is all the grey levels: the 2 pi look-up table of a calibrated modulator.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8


class ZernikeBasis:
    """Zernike modes on a modulator of a given shape; components are coefficients in rad rms.

    Parameters
    ----------
    first, last
        Noll numbers of the first and the last mode.
    shape
        (height, width) of the modulator in pixels.
    levels
        Grey levels of one turn of phase.
    """

    def __init__(self, first: int, last: int, *, shape: tuple[int, int], levels: int = 256):
        self._levels = levels
        height, width = shape
        radius = min(shape) / 2
        y = (np.arange(height) - (height - 1) / 2)[:, None] / radius
        x = (np.arange(width) - (width - 1) / 2)[None, :] / radius
        self._modes = np.stack([noll_mode(j, x, y) for j in range(first, last + 1)])

    def phase_rad(self, coefficients_rad: Sequence[float]) -> Float[np.ndarray, "height width"]:
        """Sum of the modes, unwrapped, zero outside the disc."""
        return np.tensordot(np.asarray(coefficients_rad), self._modes, axes=1)

    def pattern(self, coefficients_rad: Sequence[float]) -> UInt8[np.ndarray, "height width"]:
        """Grey levels of the wrapped phase, rounded to the nearest level."""
        turns = self.phase_rad(coefficients_rad) / (2 * math.pi)
        return (np.rint(turns * self._levels) % self._levels).astype(np.uint8)


def noll_mode(
    number: int, x: Float[np.ndarray, "#h #w"], y: Float[np.ndarray, "#h #w"]
) -> Float[np.ndarray, "h w"]:
    """One mode on points of the plane, zero outside the unit disc (Noll 1976, equations 1 to 3)."""
    radial_order, azimuthal = noll_indices(number)
    m = abs(azimuthal)
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    radial = sum(
        (-1) ** s
        * math.comb(radial_order - s, s)
        * math.comb(radial_order - 2 * s, (radial_order - m) // 2 - s)
        * radius ** (radial_order - 2 * s)
        for s in range((radial_order - m) // 2 + 1)
    )
    norm = math.sqrt((radial_order + 1) * (1 if m == 0 else 2))
    turn = np.cos(m * angle) if azimuthal >= 0 else np.sin(m * angle)
    return np.where(radius <= 1, norm * radial * turn, 0.0)


def noll_indices(number: int) -> tuple[int, int]:
    """Radial order n and signed azimuthal order m (negative: sine) of a Noll number from 1."""
    order = int((math.sqrt(8 * number - 7) - 1) / 2)
    rest = number - order * (order + 1) // 2 - 1
    m = 2 * ((rest + 1) // 2) if order % 2 == 0 else 2 * (rest // 2) + 1
    return order, -m if m and number % 2 else m


def zernike_labels(first: int, last: int) -> tuple[str, ...]:
    """`Z4`, `Z5`, ..."""
    return tuple(f"Z{number}" for number in range(first, last + 1))
