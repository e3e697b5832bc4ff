"""Objects with a known law: white noise, beads on a grid, textures with a power-law spectrum."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.special import xlogy

Fields = Float[np.ndarray, "objects side side"]


def white(
    count: int, side: int, *, variance: float, rng: np.random.Generator
) -> Float[np.ndarray, "objects side side"]:
    """Draw independent Gaussian pixels of mean 0: information in closed form, no real scene."""
    return rng.normal(scale=np.sqrt(variance), size=(count, side, side))


def beads(
    count: int, side: int, *, fill: float, rng: np.random.Generator
) -> Float[np.ndarray, "objects side side"]:
    """Draw pixels that are lit, independently, with probability `fill`; brightness of mean 1."""
    if not 0 < fill < 1:
        raise ValueError(f"fill {fill!r}: the fraction of lit pixels lies between 0 and 1")
    return (rng.random((count, side, side)) < fill) / fill


def bead_entropy_bits(fill: float) -> float:
    """Return the entropy of one pixel of `beads`, bits: no measurement says more about it."""
    return float(-(xlogy(fill, fill) + xlogy(1 - fill, 1 - fill)) / np.log(2))


def textures(
    count: int, side: int, *, rng: np.random.Generator, exponent: float = 2.0, contrast: float = 0.5
) -> Float[np.ndarray, "objects side side"]:
    """Draw log-normal textures, periodic at the edges, with power falling as 1 / f ** exponent.

    `contrast` is the standard deviation of the logarithm of brightness; the mean of each is 1.
    """
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :])
    frequency[0, 0] = np.inf
    waves = np.fft.rfft2(rng.standard_normal((count, side, side))) * frequency ** (-exponent / 2)
    field = np.fft.irfft2(waves, s=(side, side))
    field /= field.std(axis=(1, 2), keepdims=True)
    brightness = np.exp(contrast * field)
    return brightness / brightness.mean(axis=(1, 2), keepdims=True)
