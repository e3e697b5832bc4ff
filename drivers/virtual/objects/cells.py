"""White blood cells, thin and nearly transparent: a body, a nucleus of 1 to 3 lobes, granules."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

PHASE_RAD = (0.35, 0.9)
ABSORPTION_PER_RAD = 0.08
CLASSES = 3


def cells(
    count: int, side: int, *, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "objects 2 side side"], Int[np.ndarray, " objects"]]:
    """Draw phase (rad) and absorption (nepers of amplitude), and the number of lobes less one.

    For a field of 32 pixels; the sizes scale with `side`.
    """
    scale = side / 32.0
    lobes = rng.integers(1, CLASSES + 1, size=count)
    centre = rng.normal(scale=1.2 * scale, size=(count, 2))
    radius = rng.uniform(7.0, 9.5, size=count) * scale
    body = _discs(side, centre, radius, edge=1.2 * scale)
    turn = rng.uniform(0, 2 * np.pi, size=count)
    nucleus = np.zeros_like(body)
    for lobe in range(CLASSES):
        angle = turn + 2 * np.pi * lobe / np.maximum(lobes, 1)
        away = np.where(lobes == 1, 0.8, 0.42 * radius)[:, None]
        place = centre + away * np.stack([np.sin(angle), np.cos(angle)], axis=1)
        size = radius * np.array([0.0, 0.5, 0.36, 0.30])[lobes] * rng.uniform(0.9, 1.1, count)
        blob = _discs(side, place, size, edge=0.8 * scale)
        nucleus = np.maximum(nucleus, blob * (lobe < lobes)[:, None, None])
    granules = _blurred(rng.random((count, side, side)) < 0.04)
    low, high = PHASE_RAD
    peak = rng.uniform(low, high, size=count)[:, None, None]
    phase = peak * (0.45 * body + 0.55 * nucleus + 0.25 * body * granules)
    absorption = ABSORPTION_PER_RAD * peak * (nucleus + 0.5 * body * granules)
    return np.stack([phase, absorption], axis=1), lobes - 1


def _discs(
    side: int, centre: np.ndarray, radius: np.ndarray, *, edge: float
) -> Float[np.ndarray, "objects side side"]:
    """Discs around the middle of the field with edges softer than a pixel."""
    axis = np.arange(side) - (side - 1) / 2
    y = axis[:, None] - centre[:, 0, None, None]
    x = axis[None, :] - centre[:, 1, None, None]
    return 0.5 * (1.0 + np.tanh((radius[:, None, None] - np.hypot(y, x)) / edge))


def _blurred(points: np.ndarray) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    return 4.0 * gaussian_filter(points.astype(float), (0, 0.7, 0.7), mode="wrap")
