"""Where images lie on the canvas: side by side, equally high. No Qt, no drawing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_GAP = 0.08  # between two images, as a fraction of their height


@dataclass(frozen=True, slots=True)
class Place:
    """Scale and upper left corner of an image, in pixels of the first one."""

    scale: float
    left: float


def side_by_side(shapes: Sequence[tuple[int, ...]]) -> list[Place]:
    """Return a place for each (height, width), all as high as the first."""
    places: list[Place] = []
    left = 0.0
    for height, width in shapes:
        scale = shapes[0][0] / height
        places.append(Place(scale, left))
        left += width * scale + _GAP * shapes[0][0]
    return places
