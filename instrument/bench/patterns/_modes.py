"""A pattern that is a sum of modes, each given on few places; every pixel shows one place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from instrument.design import DesignError


class PlacedModes:
    """Modes on places, and the place that every pixel shows.

    Parameters
    ----------
    modes
        Value of each mode at each place.
    place
        Number of a pixel's place; -1 where it shows none and is `outside`.
    mean
        What a place shows where all coefficients are 0, in the unit of the pattern.
    outside
        What the other pixels show.
    """

    def __init__(
        self,
        modes: Float[np.ndarray, "modes places"],
        place: Int[np.ndarray, "height width"],
        *,
        mean: float = 0.0,
        outside: float = 0.0,
    ):
        self._modes = modes
        self._place = place
        self._mean = mean
        self._outside = outside

    def field(self, coefficients: Sequence[float]) -> Float[np.ndarray, "height width"]:
        """Sum of the modes at every pixel.

        Raises
        ------
        DesignError
            For another number of coefficients.
        """
        if len(coefficients) != len(self._modes):
            raise DesignError(f"{len(coefficients)} coefficients came, {len(self._modes)} are due")
        values = self._mean + np.asarray(coefficients, dtype=np.float64) @ self._modes
        return np.where(self._place >= 0, values[self._place], self._outside)

    def reach(self, low: float, high: float) -> tuple[float, float]:
        """Lowest and highest value at any pixel, of all coefficients between `low` and `high`."""
        lowests, highests = (np.full(self._modes.shape[1], self._mean) for _ in range(2))
        for mode in self._modes:  # one by one: all of them are the largest array there is
            lowests += np.minimum(low * mode, high * mode)
            highests += np.maximum(low * mode, high * mode)
        lowest, highest = float(lowests.min()), float(highests.max())
        if np.any(self._place < 0):
            return min(lowest, self._outside), max(highest, self._outside)
        return lowest, highest


def numbered(inside: np.ndarray) -> Int[np.ndarray, "height width"]:
    """Give every pixel inside a place of its own, row by row; -1 outside."""
    return np.where(inside, np.cumsum(inside).reshape(inside.shape) - 1, -1)
