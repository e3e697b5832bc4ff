"""Thermal scenes: photographs read as temperature, with a few hot points."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from drivers.virtual.objects.pictures import Split, raw_photographs

RMS_K = 3.0
HOT_FRACTION = 0.002
HOT_K = 15.0


def thermal_scenes(
    count: int, side: int, *, rng: np.random.Generator, split: Split = "train"
) -> Float[np.ndarray, "objects side side"]:
    """Draw kelvin above the background: 3 K rms over all scenes, and .2 % of pixels 15 K hotter."""
    picture = raw_photographs(count, side, rng=rng, split=split)
    kelvin = picture - picture.mean(axis=(1, 2), keepdims=True)
    kelvin *= RMS_K / kelvin.std()
    return kelvin + HOT_K * (rng.random(kelvin.shape) < HOT_FRACTION)
