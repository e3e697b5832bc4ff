"""A lit disc on a modulator: an aperture stop, a pinhole, an illumination cone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from instrument.bench.patterns._plane import Plane
from instrument.design import DesignError

DISC_LABELS = ("centre y", "centre x", "radius")
DISC_BOUNDS = ((-1.0, 1.0), (-1.0, 1.0), (1e-3, 1.5))
"""The unit square's; a radius below a thousandth lights the nearest pixel like any other."""


class DiscBasis:
    """One disc of one grey level, all else 0; y down and x right, each -1 to 1 over the modulator.

    Parameters
    ----------
    plane
        Of the modulator.
    grey
        Level inside the disc.
    """

    def __init__(self, plane: Plane, *, grey: int = 255):
        height, width = plane.shape
        self._y = (2 * plane.y + 1) / height - 1
        self._x = (2 * plane.x + 1) / width - 1
        self._grey = grey

    def field(self, components: Sequence[float]) -> Float[np.ndarray, "height width"]:
        """Pixels whose centres lie inside the disc, and always the one nearest to its centre.

        Raises
        ------
        DesignError
            For components out of `DISC_BOUNDS`.
        """
        if len(components) != len(DISC_LABELS):
            raise DesignError(f"{len(components)} values came, {', '.join(DISC_LABELS)} due")
        for label, value, (low, high) in zip(DISC_LABELS, components, DISC_BOUNDS, strict=True):
            if not low <= value <= high:  # also catches NaN
                raise DesignError(f"{label} of a disc is {value:g}, allowed {low:g} to {high:g}")
        centre_y, centre_x, radius = components
        distance = np.hypot(self._y - centre_y, self._x - centre_x)
        inside = distance <= radius
        inside[np.unravel_index(np.argmin(distance), inside.shape)] = True
        return np.where(inside, float(self._grey), 0.0)
