"""The colour camera's bench: a mosaic of filters that can be changed, as a modulator of indices."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8

from drivers.virtual.objects import colour_photographs
from drivers.virtual.options import ColourBench
from drivers.virtual.sensor import VirtualSensor
from drivers.virtual.twins.colour import FILTERS, PERIOD, Colour
from drivers.virtual.worlds.plate import Plate
from drivers.virtual.worlds.twin_world import TwinWorld

SIDE = 64
SENSOR = {"gain": 1.0, "offset": 100.0, "read_noise": 1.5, "bit_depth": 16}


class ColourWorld(TwinWorld):
    """An 8 x 8 mosaic, repeated; grey level 0, 1, 2, 3 of a pixel is red, green, blue, white."""

    slm_shape = (PERIOD, PERIOD)

    def __init__(self, options: ColourBench, *, seed: int):
        for_objects, for_frames = np.random.default_rng(seed).spawn(2)
        super().__init__(
            Colour(electrons=options.electrons_per_ms, side=SIDE),
            Plate.of(
                objects_of(options, options.sites**2, rng=for_objects).astype(np.float32),
                across=options.sites,
            ),
            VirtualSensor.even((SIDE, SIDE), **SENSOR),
            frame_rng=for_frames,
        )
        self.show(np.zeros(self.slm_shape, np.uint8))

    def show(self, pattern: UInt8[np.ndarray, "8 8"]) -> None:
        """Put the filters in place.

        Raises
        ------
        ValueError
            For a grey level that is no filter.
        """
        self.change({"preference": preference_of_filters(pattern)})


def objects_of(
    options: ColourBench, count: int, *, rng: np.random.Generator
) -> Float[np.ndarray, "objects 3 rows columns"]:
    """Draw what stands in front of the camera."""
    return colour_photographs(
        count, SIDE, rng=rng, is_chroma_independent=options.is_chroma_independent
    )


def preference_of_filters(pattern: UInt8[np.ndarray, "8 8"]) -> Float[np.ndarray, "8 8 4"]:
    """Return the twin's parameter for a mosaic of filter indices."""
    if int(pattern.max()) >= len(FILTERS):
        raise ValueError(
            f"filter {int(pattern.max())} asked; there are {len(FILTERS)}, numbered from 0: "
            f"{', '.join(FILTERS)}"
        )
    return 2.0 * np.eye(len(FILTERS))[pattern] - 1.0
