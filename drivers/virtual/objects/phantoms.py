"""Head phantoms for tomography: a skull-like ellipse with a few smaller ones inside.

In the manner of L. A. Shepp and B. F. Logan, IEEE Trans. Nucl. Sci. 21, 21 (1974).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

ATTENUATION_PER_PIXEL = 0.12
BONE_RATIO = 1.8
MOST_INSIDE = 5


def ellipses(
    count: int, side: int, *, rng: np.random.Generator
) -> Float[np.ndarray, "objects side side"]:
    """Draw attenuation maps, 1/pixel, non-negative, zero at the edges of the field."""
    half = side / 2
    middle = rng.normal(scale=0.02 * half, size=(count, 2))
    axes = half * np.stack([rng.uniform(0.72, 0.86, count), rng.uniform(0.58, 0.74, count)], axis=1)
    turn = rng.uniform(0, np.pi, count)
    outer = _ellipse(side, middle, axes, turn)
    inner = _ellipse(side, middle, axes - 0.09 * half, turn)
    phantom = BONE_RATIO * (outer - inner) + inner
    many = rng.integers(2, MOST_INSIDE + 1, count)
    for number in range(MOST_INSIDE):
        place = middle + rng.uniform(-0.36, 0.36, (count, 2)) * half
        small = half * rng.uniform(0.08, 0.26, (count, 2))
        spot = _ellipse(side, place, small, rng.uniform(0, np.pi, count))
        change = rng.choice([-0.6, -0.3, 0.3, 0.6], count) * (number < many)
        phantom += change[:, None, None] * spot * inner
    return ATTENUATION_PER_PIXEL * np.maximum(phantom, 0.0)


def _ellipse(
    side: int, centre: np.ndarray, axes: np.ndarray, turn: np.ndarray
) -> Float[np.ndarray, "objects side side"]:
    """Ellipses with an edge about one pixel wide, as a detector of pixels would see them."""
    axis = np.arange(side) - (side - 1) / 2
    y = axis[:, None] - centre[:, 0, None, None]
    x = axis[None, :] - centre[:, 1, None, None]
    cosine, sine = np.cos(turn)[:, None, None], np.sin(turn)[:, None, None]
    along = (x * cosine + y * sine) / axes[:, 1, None, None]
    across = (y * cosine - x * sine) / axes[:, 0, None, None]
    pixels_inside = (1.0 - np.hypot(along, across)) * axes.min(axis=1)[:, None, None]
    return np.clip(pixels_inside + 0.5, 0.0, 1.0)
