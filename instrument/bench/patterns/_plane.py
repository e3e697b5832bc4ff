"""Where the pixels of a modulator lie in the plane that a pattern is drawn in.

Pixel centres are whole numbers: row r and column c of an unregistered modulator is y = r, x = c,
y down. A registration moves what is drawn, so that every pixel looks up the point it shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from instrument.config import Region
from instrument.design import DesignError

Affine = Sequence[Sequence[float]]
"""Two rows of three: x' and y' of a modulator's pixel from x, y and 1 of the pattern."""


@dataclass(frozen=True, slots=True)
class Plane:
    """Points of the pattern that the pixels of a modulator show, in pixels.

    Parameters
    ----------
    y, x
        One point a pixel.
    is_registered
        Whether the points are other than the pixels themselves.
    """

    y: Float[np.ndarray, "height width"]
    x: Float[np.ndarray, "height width"]
    is_registered: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the modulator in pixels."""
        height, width = self.y.shape
        return height, width

    @classmethod
    def of(cls, shape: tuple[int, int], affine: Affine | None = None) -> Plane:
        """Return the plane of a modulator of (height, width) pixels.

        Parameters
        ----------
        shape
            Of the modulator.
        affine
            2 x 3 matrix that takes (x, y, 1) of the pattern to (x, y) of the modulator, in pixels.

        Raises
        ------
        DesignError
            The matrix cannot be inverted.
        """
        y, x = np.indices(shape, dtype=np.float64)
        if affine is None:
            return cls(y, x)
        matrix = np.asarray(affine, dtype=np.float64)
        if abs(np.linalg.det(matrix[:, :2])) < 1e-9:
            raise DesignError(f"affine {matrix.tolist()} maps the plane onto a line")
        inverse = np.linalg.inv(matrix[:, :2])
        from_left, from_top = x - matrix[0, 2], y - matrix[1, 2]
        return cls(
            inverse[1, 0] * from_left + inverse[1, 1] * from_top,
            inverse[0, 0] * from_left + inverse[0, 1] * from_top,
            is_registered=True,
        )

    def rectangle(self, region: Region | None) -> Rectangle:
        """Return a region, or all of the modulator, as its pixels see it.

        Raises
        ------
        DesignError
            The region is not on the modulator: not all of it, where there is no registration, or
            nothing of it.
        """
        height, width = self.shape
        here = Region(height=height, width=width) if region is None else region
        fits = here.top + here.height <= height and here.left + here.width <= width
        rectangle = Rectangle(
            down=(self.y - here.top + 0.5) / here.height,
            across=(self.x - here.left + 0.5) / here.width,
            height=here.height,
            width=here.width,
        )
        if not (fits or self.is_registered) or not rectangle.inside.any():
            raise DesignError(
                f"region of rows {here.top} to {here.top + here.height - 1} and columns "
                f"{here.left} to {here.left + here.width - 1} is not on the modulator of "
                f"{height} x {width} pixels"
            )
        return rectangle


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A region of (height, width) pixels: how far down and across it each pixel lies, 0 to 1."""

    down: Float[np.ndarray, "h w"]
    across: Float[np.ndarray, "h w"]
    height: int
    width: int

    @property
    def inside(self) -> Bool[np.ndarray, "h w"]:
        """Whether a pixel lies in it."""
        return (self.down >= 0) & (self.down < 1) & (self.across >= 0) & (self.across < 1)

    def cells(
        self, cells: tuple[int, int], tiles: tuple[int, int] = (1, 1)
    ) -> Int[np.ndarray, "h w"]:
        """Return the number of the cell that each pixel lies in, row by row; -1 outside.

        Shares of cells differ by a pixel at most. Cells repeat `tiles` times, down and across.
        """
        row = _cell(self.down, self.height, cells[0], tiles[0])
        column = _cell(self.across, self.width, cells[1], tiles[1])
        return np.where(self.inside, row * cells[1] + column, -1)


def _cell(
    share: Float[np.ndarray, "h w"], pixels: int, cells: int, tiles: int
) -> Int[np.ndarray, "h w"]:
    """Cell of each pixel along one side, by its whole number so that shares are even."""
    pixel = np.floor(share * pixels).astype(np.int64)
    return (pixel * cells * tiles // pixels) % cells
