"""Which earlier values a value may depend on: found from the data, or told by who knows the optics.

The autoregressive density sees a table of neighbours and the place of every value. By default both
come from the frames: near pixels, pixels at distances where the frames are correlated (other copies
of the point-spread function), the distance to the edges, the shot. A mosaic of filters, a sinogram
or a fly's-eye has a geometry that a window cannot find; `Geometry` tells it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int, Int32

from estimation.errors import EstimationError

EDGE_CLASSES = 6
"""Distances to an edge that are told apart: nearer than this, pixels."""

ALWAYS_NEAR = 2.3
"""Neighbours nearer than this, pixels, are always seen."""

CORRELATION_VALUES = 2**20
CHANCE_SIGMAS = 5.0

Offsets = Int[np.ndarray, "neighbours 3"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """What is known of the order of values in a patch; values count in the order shot, row, column.

    Parameters
    ----------
    neighbours
        For every value, the numbers of the earlier values that say most about it, -1 where there
        are fewer; replaces the window found from the data.
    classes
        Class of every pixel, 0, 1, ... (the filter above it, say), or of every pixel of every shot.
        Pixels of one class are treated alike.

    Raises
    ------
    EstimationError
        If a neighbour is not earlier than its value, or classes are negative.
    """

    neighbours: Int[np.ndarray, "patch_values neighbours"] | None = None
    classes: Int[np.ndarray, "height width"] | Int[np.ndarray, "shots height width"] | None = None

    def __post_init__(self) -> None:
        if self.neighbours is not None:
            table = _integers(self.neighbours, "neighbours", dimensions=(2,))
            late = (table >= np.arange(len(table))[:, None]) | (table < -1)
            if late.any():
                value, place = (int(i) for i in np.argwhere(late)[0])
                raise EstimationError(
                    f"geometry: value {value} names {int(table[value, place])} as a neighbour; "
                    f"only earlier values (0 to {value - 1}, in the order shot, row, column) or -1 "
                    "for none are due"
                )
        if self.classes is not None:
            lowest = int(_integers(self.classes, "classes", dimensions=(2, 3)).min())
            if lowest < 0:
                raise EstimationError(f"geometry: a class of {lowest} came; 0, 1, 2, ... are due")

    def check(self, shape: tuple[int, int, int]) -> None:
        """Raise `EstimationError` if this is not the geometry of patches of `shape`."""
        values = int(np.prod(shape))
        if self.neighbours is not None and len(self.neighbours) != values:
            raise EstimationError(
                f"geometry: neighbours of {len(self.neighbours)} values came, but a patch has "
                f"{values} (shots x height x width = {shape}); give one row a value, and as patch "
                "the size they were made for"
            )
        if self.classes is not None and np.shape(self.classes) not in (shape, shape[-2:]):
            raise EstimationError(
                f"geometry: classes of shape {np.shape(self.classes)} came, but a patch has "
                f"{shape[0]} shots of {shape[1]} x {shape[2]} pixels; give as patch the size they "
                "were made for (a multiple of the mosaic)"
            )


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """Tables by which a density looks at a patch.

    Attributes
    ----------
    table
        Neighbours of every value; -1 outside the patch.
    place
        Indicators of where a value lies: edges, shot, class.
    class_of
        Class of every value.
    asked
        Neighbours and reach that a window was found for; `None` where the table was told.
    """

    table: Int32[np.ndarray, "patch_values neighbours"]
    place: Float32[np.ndarray, "patch_values places"]
    class_of: Int32[np.ndarray, " patch_values"]
    asked: tuple[int, int] | None = None

    @classmethod
    def of(
        cls,
        rows: np.ndarray,
        shape: tuple[int, int, int],
        *,
        neighbours: int,
        reach: int,
        geometry: Geometry | None = None,
    ) -> Neighbourhood:
        """Build the tables for patches `rows` (objects, positions, patch values)."""
        geometry = geometry or Geometry()
        geometry.check(shape)
        if geometry.neighbours is None:
            offsets = causal_offsets(rows, shape, neighbours=neighbours, reach=reach)
            table = offset_table(offsets, shape)
        else:
            table = np.asarray(geometry.neighbours, dtype=np.int32)
        classes = np.zeros(shape[-2:], int) if geometry.classes is None else geometry.classes
        class_of = np.broadcast_to(classes, shape).ravel().astype(np.int32)
        shot, row, column = (i.ravel() for i in np.indices(shape))
        place = [
            _indicators(np.minimum(row, EDGE_CLASSES - 1), EDGE_CLASSES),
            _indicators(np.minimum(column, EDGE_CLASSES - 1), EDGE_CLASSES),
            _indicators(np.minimum(shape[2] - 1 - column, EDGE_CLASSES - 1), EDGE_CLASSES),
            _indicators(shot, shape[0]),
            _indicators(class_of, int(class_of.max()) + 1),
        ]
        told = geometry.neighbours is not None or geometry.classes is not None
        return cls(
            table,
            np.concatenate(place, axis=1).astype(np.float32),
            class_of,
            None if told else (neighbours, reach),
        )


def causal_offsets(
    rows: np.ndarray, shape: tuple[int, int, int], *, neighbours: int, reach: int
) -> Offsets:
    """Choose which earlier pixels the network sees: the most correlated, else the nearest.

    Several copies of the point-spread function show as correlation at their distances, so the
    window reaches the other copies without being told where they are. Correlation that may be
    chance does not count: near pixels say more than that even where they are uncorrelated.
    """
    shots, height, width = shape
    down, across = min(reach, height - 1), min(reach, width - 1)
    correlation, chance = _correlation(rows, shape)
    grid = np.stack(
        np.meshgrid(
            np.arange(-(shots - 1), 1),
            np.arange(-down, down + 1),
            np.arange(-across, across + 1),
            indexing="ij",
        ),
        axis=-1,
    ).reshape(-1, 3)
    shot, row, column = grid.T
    earlier = (shot < 0) | (row < 0) | ((row == 0) & (column < 0))
    grid = grid[earlier]
    shot, row, column = grid.T
    distance = np.hypot(row, column) + np.abs(shot)
    seen = np.abs(correlation) - CHANCE_SIGMAS * chance
    rank = np.maximum(seen[shot, row, column], 0.0) - 1e-6 * distance
    rank = np.where(distance <= ALWAYS_NEAR, rank + 1.0, rank)
    chosen = grid[np.argsort(-rank, kind="stable")[:neighbours]]
    return chosen[np.lexsort(chosen.T[::-1])].astype(np.int32)


def offset_table(
    offsets: Offsets, shape: tuple[int, int, int]
) -> Int32[np.ndarray, "patch_values neighbours"]:
    """Return the number of the value at every offset from every value, -1 outside the patch."""
    _, height, width = shape
    shot, row, column = (i.ravel().astype(np.int32) for i in np.indices(shape))
    table = np.full((len(row), len(offsets)), -1, dtype=np.int32)
    for k, (shots, rows, columns) in enumerate(np.asarray(offsets, int).reshape(-1, 3).tolist()):
        to_shot, to_row, to_column = shot + shots, row + rows, column + columns
        inside = (to_shot >= 0) & (to_row >= 0) & (to_row < height)
        inside &= (to_column >= 0) & (to_column < width)
        table[inside, k] = ((to_shot * height + to_row) * width + to_column)[inside]
    return table


def _correlation(rows: np.ndarray, shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Autocorrelation over (shot, row, column) lags, negative ones at the ends, and its error."""
    flat = (rows - rows.mean(axis=0)).reshape(-1, *shape)
    flat = flat[:: max(1, flat.size // CORRELATION_VALUES)]
    padded = [2 * size - 1 for size in shape]
    power = np.zeros(padded)
    for start in range(0, len(flat), 64):
        waves = np.fft.fftn(flat[start : start + 64], padded, axes=(1, 2, 3))
        power += np.square(np.abs(waves)).sum(axis=0)
    pairs = np.fft.ifftn(np.abs(np.fft.fftn(np.ones(shape), padded, axes=(0, 1, 2))) ** 2).real
    pairs = np.maximum(np.rint(pairs), 1)
    covariance = np.fft.ifftn(power).real / pairs
    correlation = covariance / max(float(covariance[0, 0, 0]), 1e-12)
    return correlation, 1.0 / np.sqrt(pairs * len(flat))


def _integers(table: np.ndarray, name: str, *, dimensions: tuple[int, ...]) -> np.ndarray:
    found = np.asarray(table)
    if found.ndim not in dimensions or found.size == 0 or found.dtype.kind not in "iu":
        raise EstimationError(
            f"geometry: {name} of shape {found.shape} and type {found.dtype} came; whole numbers "
            f"in {' or '.join(map(str, dimensions))} dimensions are due"
        )
    return found


def _indicators(number: np.ndarray, classes: int) -> np.ndarray:
    return number[:, None] == np.arange(classes)[None]
