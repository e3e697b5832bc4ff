"""Low spatial frequencies on a rectangle, as cosines and sines with real coefficients.

sqrt(2) cos 2 pi (v down + u across) and the sine of the same, v periods down and u periods across
the region: orthogonal on its pixels and of rms 1 each, the real discrete Fourier transform, as long
as no frequency reaches half a period a pixel. Of a frequency and its negative one is enough. The
mean is not among them.

A wave is a product of a function of the row and one of the column, registered or not, because
registrations are affine: all waves of a modulator of a million pixels are a few vectors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Complex, Float

from instrument.bench.patterns._plane import Plane
from instrument.config import Region
from instrument.design import DesignError


class FourierBasis:
    """Sums of cosines and sines, in the order of `fourier_labels`; 0 outside the region.

    Parameters
    ----------
    cycles
        Most periods down and across the region.
    plane
        Of the modulator.
    region
        Where the waves are; all of the modulator by default.
    mean
        Of the pattern, in its unit.

    Raises
    ------
    DesignError
        The region is not on the modulator, or has too few pixels for the periods.
    """

    def __init__(
        self,
        cycles: tuple[int, int],
        plane: Plane,
        *,
        region: Region | None = None,
        mean: float = 0.0,
    ):
        rectangle = plane.rectangle(region)
        for periods, pixels in zip(cycles, (rectangle.height, rectangle.width), strict=True):
            if periods and 2 * periods >= pixels:
                raise DesignError(
                    f"{periods} cycles on {pixels} pixels: more than two pixels a cycle are "
                    "needed; lower cycles"
                )
        self._inside = rectangle.inside
        self._mean = mean
        frequencies = np.array(_frequencies(cycles))
        down, across = _affine(rectangle.down), _affine(rectangle.across)
        origin, a_row, a_column = (frequencies @ pair for pair in zip(down, across, strict=True))
        rows, columns = (np.arange(n) for n in plane.shape)
        self._down: Complex[np.ndarray, "height waves"]
        self._down = np.exp(2j * math.pi * (origin + np.outer(rows, a_row)))
        self._across: Complex[np.ndarray, "waves width"]
        self._across = np.exp(2j * math.pi * np.outer(a_column, columns))

    def field(self, coefficients: Sequence[float]) -> Float[np.ndarray, "height width"]:
        """Sum of the waves at every pixel.

        Raises
        ------
        DesignError
            For another number of coefficients.
        """
        waves = len(self._across)
        if len(coefficients) != 2 * waves:
            raise DesignError(f"{len(coefficients)} coefficients came, {2 * waves} are due")
        of_cos, of_sin = np.asarray(coefficients, dtype=np.float64).reshape(waves, 2).T
        amplitude = math.sqrt(2) * (of_cos - 1j * of_sin)
        values = ((self._down * amplitude) @ self._across).real
        return np.where(self._inside, self._mean + values, 0.0)

    def reach(self, low: float, high: float) -> tuple[float, float]:
        """Lowest and highest value at any pixel, of all coefficients between `low` and `high`."""
        lowest, highest = (np.full(self._inside.shape, self._mean) for _ in range(2))
        for down, across in zip(self._down.T, self._across, strict=True):
            wave = math.sqrt(2) * np.outer(down, across)
            for part in (wave.real, wave.imag):
                lowest += np.minimum(low * part, high * part)
                highest += np.maximum(low * part, high * part)
        return (
            float(np.where(self._inside, lowest, 0.0).min()),
            float(np.where(self._inside, highest, 0.0).max()),
        )


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


def _affine(values: Float[np.ndarray, "height width"]) -> tuple[float, float, float]:
    """Return the first value, and the steps from row to row and from column to column."""
    origin = float(values[0, 0])
    a_row = float(values[-1, 0] - origin) / max(values.shape[0] - 1, 1)
    a_column = float(values[0, -1] - origin) / max(values.shape[1] - 1, 1)
    return origin, a_row, a_column
