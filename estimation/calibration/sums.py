"""Exact sums over the frames of one level; the only module that adds up counts.

Per pixel it keeps sum(y), sum(y^2) and sum((y_t - y_t-1)^2), for darks also sum(y^3) and sum(y^4);
per level the sums of frame totals and of neighbour products of successive differences. All are
integers, so that adding in any order, merging and resuming give the same bits as one batch.

Nothing is shifted while streaming: the sums are taken modulo 2^64, and the shift to each pixel's
own mean is done exactly, in the same arithmetic, when moments are read (`central_sums`). Central
sums need only fit 64 bits themselves, so this is as good as a reference frame, and merging is
plain addition.

Speed (2048 x 2048): tiles that stay in the cache, 32-bit partial sums over a few frames, and the
neighbour products and code histogram on at most `SAMPLED_PIXELS` pixels of a frame.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

TILE_PIXELS = 32768
"""Pixels worked on at once: four uint32 arrays of it stay in a 1 MB cache."""

SAMPLED_PIXELS = 2**18
"""Most pixels of a frame used for neighbour products and the code histogram."""

BAND_ROWS = 16
"""Height of the bands a large frame is sampled in, rows."""

THREADED_PIXELS = 2**20
THREADS = 2
"""Frames of at least so many pixels are added by so many threads."""

LAGS = ((0, 0), (0, 1), (1, 0), (1, 1), (1, -1))
"""Neighbour offsets (row, column); the other four of the 3 x 3 are their mirror images."""

SCALARS = (
    "frames", "pairs", "total", "total2", "step2", "sampled_step2", "row_step2", "column_step2",
    "zeros", "tops", "outliers", "repeated",
)  # fmt: skip


@dataclass(kw_only=True)
class LevelSums:
    """Sums of one level (one exposure, one light); `shape` is (height, width).

    Attributes
    ----------
    frames, pairs
        Frames, and pairs of frames that followed each other in one call.
    total, total2, step2
        Sums over frames of T, T^2 and (T_t - T_t-1)^2, with T the sum of all pixels, ADU.
    sampled_step2
        Sum over pairs of the squared sum of differences over the sampled pixels, ADU^2.
    row_step2, column_step2
        The same of every sampled row, and of every column over the sampled rows, summed; ADU^2.
    zeros, tops
        Samples at 0 and at the converter's top.
    outliers, repeated
        Frames that were left out: black, torn or flashed, and sent twice (`glitches`).
    maps
        uint64 (pixels,): `y1 y2 d2`, for darks also `y3 y4`; modulo 2^64.
    lag_products
        Sums over pairs of d(p) d(p + lag) on the sampled pixels, one for each of `LAGS`, ADU^2.
    codes
        Histogram of the sampled counts, (2**bit_depth,).
    """

    shape: tuple[int, int]
    bit_depth: int
    higher: bool
    frames: int = 0
    pairs: int = 0
    total: int = 0
    total2: int = 0
    step2: int = 0
    sampled_step2: int = 0
    row_step2: int = 0
    column_step2: int = 0
    zeros: int = 0
    tops: int = 0
    outliers: int = 0
    repeated: int = 0
    lag_products: list[int] = field(default_factory=lambda: [0] * len(LAGS))
    maps: dict[str, np.ndarray] = field(default_factory=dict)
    codes: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    def __post_init__(self) -> None:
        names = ("y1", "y2", "d2", "y3", "y4") if self.higher else ("y1", "y2", "d2")
        pixels = self.shape[0] * self.shape[1]
        for name in names:
            self.maps.setdefault(name, np.zeros(pixels, np.uint64))
        if not self.codes.size:
            self.codes = np.zeros(2**self.bit_depth, np.int64)

    @property
    def pixels(self) -> int:
        """Pixels of a frame."""
        return self.shape[0] * self.shape[1]

    def merge(self, other: LevelSums) -> None:
        """Add another level's sums; exact, in any order."""
        for name in SCALARS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.lag_products = [
            a + b for a, b in zip(self.lag_products, other.lag_products, strict=True)
        ]
        for name, one in self.maps.items():
            one += other.maps[name]
        self.codes += other.codes

    def add(self, chunk: np.ndarray, *, has_previous: bool) -> None:
        """Add frames, uint16 (frames, pixels); the first only precedes the others if so said."""
        fresh = chunk[1:] if has_previous else chunk
        self._add_scalars(chunk, fresh)
        first = 1 if has_previous else 0
        starts = range(0, self.pixels, TILE_PIXELS)
        tiles = [slice(start, min(start + TILE_PIXELS, self.pixels)) for start in starts]
        if self.pixels < THREADED_PIXELS:
            sums = [self._add_tile(chunk, tile, first) for tile in tiles]
        else:  # tiles share no pixel, and NumPy lets go of the interpreter while it adds
            with ThreadPoolExecutor(THREADS) as pool:
                sums = list(pool.map(lambda tile: self._add_tile(chunk, tile, first), tiles))
        self._add_totals([int(t) for t in np.sum(sums, axis=0)], first)

    def _add_totals(self, totals: list[int], first: int) -> None:
        fresh = totals[first:]
        steps = [b - a for a, b in pairwise(totals)]
        self.frames += len(fresh)
        self.pairs += len(steps)
        self.total += sum(fresh)
        self.total2 += sum(t * t for t in fresh)
        self.step2 += sum(s * s for s in steps)

    def _add_scalars(self, chunk: np.ndarray, fresh: np.ndarray) -> None:
        top = 2**self.bit_depth - 1
        for frame in fresh:
            if not frame.all():
                self.zeros += int(frame.size - np.count_nonzero(frame))
            if frame.max() == top:
                self.tops += int(np.count_nonzero(frame == top))
        bands = [sampled(frame.reshape(self.shape)) for frame in chunk]
        for band in bands[len(chunk) - len(fresh) :]:
            self.codes += np.bincount(band.reshape(-1), minlength=self.codes.size)
        for before, after in pairwise(bands):
            self._add_neighbours(after.astype(np.float64) - before)

    def _add_neighbours(self, step: np.ndarray) -> None:
        # float64 holds these integers exactly: 2^18 products of 2^32 stay below 2^53
        rows, columns = (step.sum(axis=axis).astype(np.int64).reshape(-1) for axis in (2, (0, 1)))
        self.sampled_step2 += int(rows.sum()) ** 2
        self.row_step2 += int(rows @ rows)
        self.column_step2 += int(columns @ columns)
        for index, (row, column) in enumerate(LAGS):
            self.lag_products[index] += int(_lag_product(step, row, column))

    def _add_tile(self, chunk: np.ndarray, tile: slice, first: int) -> np.ndarray:
        """Add one tile of all frames; return its total in each frame."""
        top = 2**self.bit_depth - 1
        flush = max(1, (2**32 - 1) // top**2)  # frames whose squares fit 32 bits together
        size = tile.stop - tile.start
        y1, y2, d2 = (np.zeros(size, np.uint32) for _ in range(3))
        now, before, work = (np.empty(size, np.uint32) for _ in range(3))
        pending = 0
        totals = np.zeros(len(chunk), np.uint64)
        for index in range(len(chunk)):
            before, now = now, before
            np.copyto(now, chunk[index, tile])
            totals[index] = np.add.reduce(now, dtype=np.uint32)
            if index:
                np.subtract(now, before, out=work)  # wraps; its square modulo 2^32 does not
                np.multiply(work, work, out=work)
                d2 += work
            if index >= first:
                y1 += now
                np.multiply(now, now, out=work)
                y2 += work
                if self.higher:
                    self._add_higher(now, work, tile)
            pending += 1
            if pending == flush or index == len(chunk) - 1:
                self.maps["y2"][tile] += y2
                self.maps["d2"][tile] += d2
                y2[:], d2[:], pending = 0, 0, 0
        self.maps["y1"][tile] += y1
        return totals

    def _add_higher(self, count: np.ndarray, square: np.ndarray, tile: slice) -> None:
        square64 = square.astype(np.uint64)
        self.maps["y3"][tile] += square64 * count
        self.maps["y4"][tile] += square64 * square64


def sampled(image: np.ndarray) -> np.ndarray:
    """Return the sampled rows of a frame, (bands, rows, width)."""
    height, width = image.shape
    if image.size <= SAMPLED_PIXELS:
        return image[None]
    bands = max(1, SAMPLED_PIXELS // (BAND_ROWS * width))
    rows = min(BAND_ROWS, height)
    starts = np.linspace(0, height - rows, bands).astype(int)
    return np.stack([image[s : s + rows] for s in starts])


def sampled_counts(shape: tuple[int, int]) -> list[int]:
    """Return how many products each of `LAGS` has in one pair of frames of `shape`."""
    probe = sampled(np.broadcast_to(np.uint8(1), shape)).shape
    return [max(1, probe[0] * (probe[1] - r) * (probe[2] - abs(c))) for r, c in LAGS]


def lag_means(image: np.ndarray) -> np.ndarray:
    """Return the mean of x(p) x(p + lag) over the sampled rows of a map, one for each of `LAGS`."""
    rows = sampled(image)
    products = [_lag_product(rows, row, column) for row, column in LAGS]
    return np.asarray(products) / sampled_counts((image.shape[0], image.shape[1]))


def _lag_product(step: np.ndarray, row: int, column: int) -> float:
    rows, columns = step.shape[1:]
    a = step[:, : rows - row, max(0, -column) : columns - max(0, column)]
    b = step[:, row:, max(0, column) : columns - max(0, -column)]
    return float(np.einsum("bij,bij->", a, b))
