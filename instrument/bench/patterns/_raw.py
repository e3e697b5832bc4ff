"""One component a pixel: all of a modulator, or a rectangle of it, as one named array."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.ndimage import map_coordinates

from instrument.bench.patterns._plane import Plane
from instrument.config import Region
from instrument.design import DesignError

MOST_COMPONENTS = 2**18
"""512 x 512; of more, the record alone of each trial would be tens of megabytes of text."""


class RawBasis:
    """Values pixel by pixel, row by row; 0 outside the region.

    Parameters
    ----------
    plane
        Of the modulator.
    region
        Where the pixels are; all of the modulator by default.
    order
        Of the spline between pixels where the modulator is registered (`scipy.ndimage`): 0 takes
        the nearest pixel, 1 interpolates linearly. Neither leaves the range of the values.

    Raises
    ------
    DesignError
        The region is not on the modulator, or has too many pixels.
    """

    def __init__(self, plane: Plane, *, region: Region | None = None, order: int = 0):
        self._rectangle = plane.rectangle(region)
        self._size = (self._rectangle.height, self._rectangle.width)
        check_count(self._size)
        self._order = order
        self._is_interpolated = plane.is_registered and order > 0
        self._place = self._rectangle.cells(self._size)

    def field(self, components: Sequence[float]) -> Float[np.ndarray, "height width"]:
        """Value at every pixel; raises `DesignError` for another number of components."""
        height, width = self._size
        if len(components) != height * width:
            raise DesignError(
                f"{len(components)} values came, one a pixel ({height} x {width}) due"
            )
        values = np.asarray(components, dtype=np.float64).reshape(self._size)
        if self._is_interpolated:
            points = np.stack([
                self._rectangle.down * height - 0.5,
                self._rectangle.across * width - 0.5,
            ])
            between = map_coordinates(values, points, order=self._order, mode="nearest")
            return np.where(self._rectangle.inside, between, 0.0)
        return np.where(self._place >= 0, values.ravel()[self._place], 0.0)


def raw_labels(shape: tuple[int, int], region: Region | None) -> tuple[str, ...]:
    """`pixel 0,0`, `pixel 0,1`, ... row by row, counted within the region."""
    height, width = shape if region is None else (region.height, region.width)
    check_count((height, width))
    return tuple(f"pixel {row},{column}" for row in range(height) for column in range(width))


def check_count(size: tuple[int, int]) -> None:
    """Raise `DesignError` for more pixels than a design can hold."""
    if size[0] * size[1] > MOST_COMPONENTS:
        raise DesignError(
            f"raw: {size[0]} x {size[1]} pixels are more than {MOST_COMPONENTS} components; name a "
            "smaller region, or let superpixels or modes share them"
        )
