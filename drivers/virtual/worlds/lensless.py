"""The lensless camera's bench: a mask whose cells say how much light goes to a spot each."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float, UInt8

from drivers.virtual.objects import beads, digits, photographs
from drivers.virtual.options import LenslessBench
from drivers.virtual.sensor import VirtualSensor
from drivers.virtual.twins.lensless import Lensless
from drivers.virtual.worlds.plate import Plate
from drivers.virtual.worlds.twin_world import TwinWorld

FIELD, SIDE = 64, 48
REACH_PX = 10.0
SIGMA_PX = 0.8
BACKGROUND_E = 10.0
PIXELS_PER_CELL = 4
SENSOR = {"gain": 2.0, "offset": 100.0, "read_noise": 1.5, "bit_depth": 12}


def twin_of(options: LenslessBench) -> Lensless:
    """Return the twin with a spot a cell, the light shared equally."""
    rows, columns = options.cells
    places = np.stack(np.meshgrid(_spread(rows), _spread(columns), indexing="ij"), axis=-1)
    return Lensless(
        places.reshape(-1, 2),
        sigma_px=SIGMA_PX,
        electrons=options.electrons_per_ms,
        background_e=BACKGROUND_E,
        field=FIELD,
        side=SIDE,
        smallest_sigma_px=SIGMA_PX,
        reach_px=REACH_PX,
    )


def objects_of(
    options: LenslessBench, count: int, *, rng: np.random.Generator
) -> Float[np.ndarray, "objects rows columns"]:
    """Draw what stands in front of the camera."""
    make: Mapping[str, Callable[[], np.ndarray]] = {
        "beads": lambda: beads(count, FIELD, fill=options.fill, rng=rng),
        "digits": lambda: digits(count, FIELD, rng=rng),
        "photographs": lambda: photographs(count, FIELD, rng=rng),
    }
    return make[options.objects]()


class LenslessWorld(TwinWorld):
    """A mask of `cells`, the brightness of each the share of light in its spot."""

    def __init__(self, options: LenslessBench, *, seed: int):
        for_objects, for_frames = np.random.default_rng(seed).spawn(2)
        self._cells = options.cells
        super().__init__(
            twin_of(options),
            Plate.of(
                objects_of(options, options.sites**2, rng=for_objects).astype(np.float32),
                across=options.sites,
            ),
            VirtualSensor.even((SIDE, SIDE), **SENSOR),
            frame_rng=for_frames,
        )
        rows, columns = options.cells
        self.slm_shape = (rows * PIXELS_PER_CELL, columns * PIXELS_PER_CELL)

    def show(self, pattern: UInt8[np.ndarray, "rows columns"]) -> None:
        """Let the mask pass light as `pattern` says."""
        self.change({"weights": shares_of(pattern, self._cells)})


def shares_of(
    pattern: UInt8[np.ndarray, "rows columns"], cells: tuple[int, int]
) -> Float[np.ndarray, " spots"]:
    """Return the share of light of every cell; equal shares for a mask that is dark all over."""
    rows, columns = cells
    grey = pattern.reshape(rows, PIXELS_PER_CELL, columns, PIXELS_PER_CELL).mean(axis=(1, 3))
    grey = grey.ravel() if grey.any() else np.ones(rows * columns)
    return grey / grey.sum()


def _spread(count: int) -> Float[np.ndarray, " places"]:
    """Places of spots along one axis, pixels, centred."""
    if count == 1:
        return np.zeros(1)
    # A little uneven, so that no two distances between spots are alike on both sides of the middle.
    even = np.linspace(-0.9 * REACH_PX, 0.9 * REACH_PX, count)
    return np.rint(even)
