"""Cells of one level or phase each: a modulator, or an array of lamps, seen as few big pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from instrument.bench.patterns._plane import Plane
from instrument.config import FULL_SCALE
from instrument.design import DesignError


class SuperpixelBasis:
    """(rows, columns) cells, spread over a modulator as evenly as its pixels allow.

    Parameters
    ----------
    cells
        Rows and columns of cells; components are their grey levels or phases, row by row.
    plane
        Of the modulator.
    tiles
        How often the cells repeat, down and across.
    choices
        Grey levels that a component's whole number chooses from; None where components are grey
        levels themselves, 0 to 255, rounded to the nearest.
    is_phase
        Whether components are phases in rad, and no grey levels.

    Raises
    ------
    DesignError
        If the modulator has fewer pixels than cells, down or across.
    """

    def __init__(
        self,
        cells: tuple[int, int],
        plane: Plane,
        *,
        tiles: tuple[int, int] = (1, 1),
        choices: Sequence[int] | None = None,
        is_phase: bool = False,
    ):
        for pixels, n_cells, n_tiles in zip(plane.shape, cells, tiles, strict=True):
            if n_cells * n_tiles > pixels:
                raise DesignError(
                    f"{cells[0]} x {cells[1]} cells, {tiles[0]} x {tiles[1]} tiles asked of a "
                    f"modulator of {plane.shape[0]} x {plane.shape[1]} pixels; a cell needs a "
                    "pixel at least"
                )
        self._cell = plane.rectangle(None).cells(cells, tiles)
        self._size = cells[0] * cells[1]
        self._choices = None if choices is None else tuple(choices)
        self._is_phase = is_phase

    def field(self, components: Sequence[float]) -> Float[np.ndarray, "height width"]:
        """Grey levels of every pixel, whole numbers, or phases; 0 off the registered plane.

        Raises
        ------
        DesignError
            For another number of components, or a level that 8 bits do not hold: none is wrapped.
        """
        if len(components) != self._size:
            raise DesignError(f"{len(components)} values came, one a cell ({self._size}) due")
        levels = np.asarray(components, dtype=np.float64)
        if not self._is_phase:
            levels = self._greys(levels)
        return np.where(self._cell >= 0, levels[self._cell], 0.0)

    def _greys(self, levels: np.ndarray) -> np.ndarray:
        if self._choices is not None:
            levels = self._chosen(levels)
        if not (np.all(levels >= 0) and np.all(levels <= FULL_SCALE)):  # also catches NaN
            raise DesignError(
                f"grey levels {levels.min():g} to {levels.max():g} came, 0 to {FULL_SCALE} due"
            )
        return np.rint(levels)

    def _chosen(self, indices: np.ndarray) -> np.ndarray:
        assert self._choices is not None  # noqa: S101 - the caller looked
        if not np.all(np.isin(indices, np.arange(len(self._choices)))):
            raise DesignError(
                f"{indices} are not all whole numbers of {len(self._choices)} grey levels"
            )
        return np.asarray(self._choices, dtype=np.float64)[indices.astype(int)]


def superpixel_labels(cells: tuple[int, int]) -> tuple[str, ...]:
    """`cell 0,0`, `cell 0,1`, ... row by row."""
    return tuple(f"cell {row},{column}" for row in range(cells[0]) for column in range(cells[1]))
