"""Zernike modes on a phase modulator.

Noll's numbering and normalisation (unit rms over the unit disc; R. J. Noll, J. Opt. Soc. Am. 66,
207, 1976), on a stated pupil or the largest centred disc of the modulator.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from instrument.bench.patterns._modes import PlacedModes, numbered
from instrument.bench.patterns._plane import Plane
from instrument.config import Pupil
from instrument.design import DesignError


def zernike_modes(
    first: int, last: int, plane: Plane, *, pupil: Pupil | None = None
) -> PlacedModes:
    """Return modes `first` to `last` (Noll), zero outside the pupil; coefficients in rad rms.

    Parameters
    ----------
    first, last
        Noll numbers of the first and the last mode.
    plane
        Of the modulator.
    pupil
        Disc that the modes are defined on; by default the largest centred one of the modulator.

    Raises
    ------
    DesignError
        No pixel of the modulator lies in the pupil.
    """
    disc = _largest_disc(plane.shape) if pupil is None else pupil
    y, x = (plane.y - disc.y_px) / disc.radius_px, (plane.x - disc.x_px) / disc.radius_px
    inside = np.hypot(y, x) <= 1
    if not inside.any():
        raise DesignError(
            f"pupil of radius {disc.radius_px:g} px at x {disc.x_px:g}, y {disc.y_px:g} px is not "
            f"on the modulator of {plane.shape[0]} x {plane.shape[1]} pixels"
        )
    y, x = y[inside], x[inside]
    modes = np.stack([noll_mode(j, x, y) for j in range(first, last + 1)])
    return PlacedModes(modes, numbered(inside))


def _largest_disc(shape: tuple[int, int]) -> Pupil:
    height, width = shape
    return Pupil(x_px=(width - 1) / 2, y_px=(height - 1) / 2, radius_px=min(shape) / 2)


def noll_mode(
    number: int, x: Float[np.ndarray, " *#points"], y: Float[np.ndarray, " *#points"]
) -> Float[np.ndarray, " *points"]:
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
