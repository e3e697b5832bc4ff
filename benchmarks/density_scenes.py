"""Scenes and exact entropies shared by the density benchmarks."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from scipy.special import gammaln
from skimage import data

PHOTOGRAPHS = (
    "astronaut", "camera", "coffee", "chelsea", "rocket", "coins", "page", "moon", "brick",
    "grass", "gravel", "text", "immunohistochemistry", "retina", "hubble_deep_field", "clock",
)  # fmt: skip


def poisson_entropy_bits(mean: np.ndarray) -> np.ndarray:
    """Exact sums on a grid, interpolated; the asymptotic series above 500."""
    grid = np.unique(np.concatenate([np.linspace(0, 30, 1200), np.geomspace(30, 30000, 800)]))
    nats = np.zeros_like(grid)
    for i, m in enumerate(grid):
        if m > 500:
            nats[i] = 0.5 * np.log(2 * np.pi * np.e * m) - 1 / (12 * m) - 1 / (24 * m * m)
        elif m > 0:
            k = np.arange(int(m + 14 * np.sqrt(m) + 30))
            log_p = -m + k * np.log(m) - gammaln(k + 1)
            nats[i] = -(np.exp(log_p) * log_p).sum()
    return np.interp(mean, grid, nats / np.log(2))


def photograph_patches(
    number: int, rng: np.random.Generator, *, size: int, is_test: bool
) -> np.ndarray:
    """Crops of scikit-image's photographs; tests come from the right quarter of each."""
    images = []
    for name in PHOTOGRAPHS:
        image = np.asarray(getattr(data, name)(), dtype=float)
        images.append(image[..., :3].mean(-1) if image.ndim == 3 else image)
    patches = np.empty((number, size, size))
    for i in range(number):
        image = images[rng.integers(len(images))]
        height, width = image.shape
        border = int(0.75 * width)
        low, high = (border, width - size) if is_test else (0, border - size)
        row, column = rng.integers(height - size + 1), rng.integers(low, high + 1)
        patches[i] = image[row : row + size, column : column + size]
    return patches


def lenslet_beads(
    lenses: int, fill: float, number: int, rng: np.random.Generator, *, size: int = 24
) -> np.ndarray:
    """Mean photons of independent beads on a 48 x 48 field: 100 a pixel on average, plus 10."""
    field, sigma = 48, 1.0
    positions_rng = np.random.default_rng(100 + lenses)
    while True:
        positions = positions_rng.uniform(-9, 9, (lenses, 2)) * (lenses > 1)
        apart = np.hypot(*(positions[:, None] - positions[None]).transpose(2, 0, 1))
        if (apart + 99 * np.eye(lenses)).min() > 4:
            break
    axis = np.fft.fftfreq(field) * field
    psf = np.zeros((field, field))
    for row, column in positions:
        squared = (axis[:, None] - row) ** 2 + (axis[None] - column) ** 2
        psf += np.exp(-squared / (2 * sigma**2))
    wave = np.fft.rfft2(psf / psf.sum())
    beads = (rng.random((number, field, field)) < fill) * (100.0 / fill)
    mean = np.fft.irfft2(np.fft.rfft2(beads) * wave, (field, field))
    cut = (field - size) // 2
    return np.maximum(mean[:, cut : cut + size, cut : cut + size], 0) + 10.0


@contextmanager
def stopwatch() -> Iterator[dict[str, float]]:
    """Wall and processor seconds: the machine is shared, so both are kept."""
    seconds: dict[str, float] = {}
    wall, processor = time.perf_counter(), time.process_time()
    yield seconds
    seconds["wall_s"] = round(time.perf_counter() - wall, 2)
    seconds["cpu_s"] = round(time.process_time() - processor, 2)
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds["peak_memory_mib"] = round(peak_kib / 1024)
