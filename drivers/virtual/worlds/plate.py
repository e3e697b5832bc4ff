"""A plate of seeded objects under the sample stage: one set of objects a site of a square grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drivers.virtual.travel import Axes

SPACING_UM = 100.0
SPEED_UM_PER_S = 200_000.0


@dataclass(frozen=True, slots=True)
class Plate:
    """Objects on a square grid of sites, `SPACING_UM` apart, its middle at (0, 0).

    Attributes
    ----------
    objects
        (sites, objects in one field of view, *object shape), row by row.
    across
        Sites of a side.
    """

    objects: np.ndarray
    across: int

    def __post_init__(self) -> None:
        if len(self.objects) != self.across**2:
            raise ValueError(f"{len(self.objects)} sites, {self.across} x {self.across} needed")

    @classmethod
    def of(cls, objects: np.ndarray, *, across: int) -> Plate:
        """Lay out objects (count, *object shape), equally many at every site."""
        return cls(objects.reshape(across**2, -1, *objects.shape[1:]), across)

    def stage(self) -> Axes:
        """Return a stage that reaches every site."""
        half_um = 0.5 * self.across * SPACING_UM
        return Axes(((-half_um, half_um),) * 2, speed_per_s=SPEED_UM_PER_S)

    def site(self, x_um: float, y_um: float) -> int:
        """Return the index of the nearest site; beyond the edge, that of the edge.

        An odd number of grid positions has sites at whole multiples of the spacing, an even one
        half way between, so the plate has its sites where a centred grid of its own size has them.
        """
        offset = 0.5 * (self.across - 1)
        column, row = (
            int(np.clip(np.floor(place / SPACING_UM + offset + 0.5), 0, self.across - 1))
            for place in (x_um, y_um)
        )
        return row * self.across + column
