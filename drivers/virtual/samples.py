"""Virtual samples: large seeded maps of relative brightness with mean 1, periodic at the edges."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import get_args

import numpy as np
from jaxtyping import Float
from scipy import fft, ndimage

from drivers.virtual.options import SampleKind

SAMPLE_KINDS: tuple[str, ...] = get_args(SampleKind)
BEAD_RADIUS_PIXELS = 0.8

SampleMap = Float[np.ndarray, "side side"]


def sample_map(
    kind: SampleKind, side: int, *, rng: np.random.Generator, fill: float = 0.02
) -> Float[np.ndarray, "side side"]:
    """Draw a (side, side) float32 map, non-negative, mean 1.

    Parameters
    ----------
    kind
        `texture`: log-normal noise with a 1/f spectrum; `beads`: points of equal brightness;
        `cells`: discs with darker rims, a nucleus and granules.
    side
        Height and width in pixels.
    fill
        `beads` only: fraction of pixels that hold a bead, in (0, 1).
    rng
        Source of all randomness.
    """
    if kind not in SAMPLE_KINDS:
        raise ValueError(f"sample {kind!r}: choose one of {', '.join(SAMPLE_KINDS)}")
    if not 0 < fill < 1:
        raise ValueError(f"fill {fill!r}: the fraction of pixels with a bead lies between 0 and 1")
    makers: dict[str, Callable[[], SampleMap]] = {
        "texture": lambda: _texture(side, rng),
        "beads": lambda: _beads(side, fill, rng),
        "cells": lambda: _cells(side, rng),
    }
    brightness = makers[kind]()
    return (brightness / brightness.mean()).astype(np.float32)


@functools.lru_cache(maxsize=1)
def sample_of(seed: int, kind: SampleKind, side: int, fill: float) -> SampleMap:
    """Return the map of a bench's seed, read only: drawn from the first generator it spawns.

    It is the one large thing of a virtual bench, and drawing it takes several times its memory: a
    bench that is opened again, after a fault say, has it already.
    """
    (rng,) = np.random.default_rng(seed).spawn(1)
    drawn = sample_map(kind, side, rng=rng, fill=fill)
    drawn.flags.writeable = False
    return drawn


def _texture(side: int, rng: np.random.Generator) -> SampleMap:
    rows = fft.fftfreq(side)[:, None]
    columns = fft.rfftfreq(side)[None, :]
    frequency = np.hypot(rows, columns)
    frequency[0, 0] = np.inf
    white = np.asarray(fft.rfft2(rng.standard_normal((side, side), dtype=np.float32), workers=-1))
    noise = np.asarray(fft.irfft2(white / np.maximum(frequency, 0.01), s=(side, side), workers=-1))
    return np.exp(0.5 * noise / noise.std())


def _beads(side: int, fill: float, rng: np.random.Generator) -> SampleMap:
    points = (rng.random((side, side), dtype=np.float32) < fill).astype(np.float32)
    return ndimage.gaussian_filter(points, BEAD_RADIUS_PIXELS, mode="wrap")


def _cells(side: int, rng: np.random.Generator) -> SampleMap:
    brightness = np.full((side, side), 0.05, np.float32)
    for _ in range(side * side // 900):
        radius = rng.uniform(8, 16)
        _stamp(brightness, _cell(radius, rng), rng.integers(0, side, 2))
    granules = rng.random((side, side), dtype=np.float32) < 0.01
    return brightness * (1 + 2 * ndimage.gaussian_filter(granules.astype(np.float32), 0.7))


def _cell(radius: float, rng: np.random.Generator) -> SampleMap:
    half = int(np.ceil(1.3 * radius))
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    stretch = rng.uniform(0.8, 1.25)
    turn = rng.uniform(0, np.pi)
    along = (x * np.cos(turn) + y * np.sin(turn)) * stretch / radius
    across = (y * np.cos(turn) - x * np.sin(turn)) / stretch / radius
    distance = np.hypot(along, across)
    body = np.clip(4 * (1 - distance), 0, 1)
    nucleus = np.clip(6 * (0.4 - np.hypot(along - 0.15, across)), 0, 1)
    return (0.4 * body + 0.8 * nucleus).astype(np.float32)


def _stamp(canvas: SampleMap, patch: SampleMap, centre: np.ndarray) -> None:
    side = canvas.shape[0]
    rows = (np.arange(patch.shape[0]) + centre[0]) % side
    columns = (np.arange(patch.shape[1]) + centre[1]) % side
    canvas[np.ix_(rows, columns)] += patch
