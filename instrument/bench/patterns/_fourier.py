"""Low spatial frequencies on a rectangle, as cosines and sines with real coefficients.

sqrt(2) cos 2 pi (v down + u across) and the sine of the same, v periods down and u periods across
the region: orthogonal on its pixels and of rms 1 each, the real discrete Fourier transform, as long
as no frequency reaches half a period a pixel. Of a frequency and its negative one is enough. The
mean is not among them.
"""

from __future__ import annotations

import math

import numpy as np

from instrument.bench.patterns._modes import PlacedModes, numbered
from instrument.bench.patterns._plane import Plane
from instrument.config import Region
from instrument.design import DesignError


def fourier_modes(
    cycles: tuple[int, int],
    plane: Plane,
    *,
    region: Region | None = None,
    mean: float = 0.0,
) -> PlacedModes:
    """Return cosine and sine of every frequency, in the order of `fourier_labels`.

    Parameters
    ----------
    cycles
        Most periods down and across the region.
    plane
        Of the modulator.
    region
        Where the modes are; all of the modulator by default.
    mean
        Of the pattern, in its unit.

    Raises
    ------
    DesignError
        The region is not on the modulator, or has too few pixels for the periods.
    """
    rectangle = plane.rectangle(region)
    for periods, pixels in zip(cycles, (rectangle.height, rectangle.width), strict=True):
        if periods and 2 * periods >= pixels:
            raise DesignError(
                f"{periods} cycles on {pixels} pixels: more than two pixels a cycle are needed; "
                "lower cycles"
            )
    inside = rectangle.inside
    down, across = rectangle.down[inside], rectangle.across[inside]
    waves = [2 * math.pi * (v * down + u * across) for v, u in _frequencies(cycles)]
    modes = np.array([turn(wave) for wave in waves for turn in (np.cos, np.sin)])
    return PlacedModes(math.sqrt(2) * modes, numbered(inside), mean=mean)


def fourier_labels(cycles: tuple[int, int]) -> tuple[str, ...]:
    """`cos 0,1`, `sin 0,1`, ...: periods down and across, low frequencies first."""
    return tuple(f"{part} {v},{u}" for v, u in _frequencies(cycles) for part in ("cos", "sin"))


def _frequencies(cycles: tuple[int, int]) -> list[tuple[int, int]]:
    """Half of the frequencies, by their distance from zero."""
    down, across = cycles
    half = [
        (v, u)
        for v in range(down + 1)
        for u in range(-across, across + 1)
        if v > 0 or (v == 0 and u > 0)
    ]
    return sorted(half, key=lambda f: (f[0] ** 2 + f[1] ** 2, f))
