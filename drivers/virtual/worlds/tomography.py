"""The scanner's bench: a rotation stage, and a detector with a line for every slice."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from drivers.virtual.objects import ellipses
from drivers.virtual.options import TomographyBench
from drivers.virtual.sensor import VirtualSensor
from drivers.virtual.travel import Axes
from drivers.virtual.twins.tomography import Tomography
from drivers.virtual.worlds.plate import Plate
from drivers.virtual.worlds.twin_world import TwinWorld

SIDE = 24
SENSOR = {"gain": 1.0, "offset": 100.0, "read_noise": 5.0, "bit_depth": 16}
ROTATION_DEG = (0.0, 180.0)
ROTATION_DEG_PER_S = 50_000.0


class TomographyWorld(TwinWorld):
    """Every exposure is one view, from where the rotation stage stands."""

    def __init__(self, options: TomographyBench, *, seed: int):
        for_objects, for_frames = np.random.default_rng(seed).spawn(2)
        twin = Tomography([0.0], [1.0], dose_e=options.photons_per_ms, side=SIDE)
        phantoms = objects_of(options, options.sites**2 * options.slices, rng=for_objects)
        super().__init__(
            twin,
            Plate.of(phantoms.astype(np.float32), across=options.sites),
            VirtualSensor.even((options.slices, twin.detectors), **SENSOR),
            rows=options.slices,
            frame_rng=for_frames,
        )
        self._angle_rad = 0.0
        self.rotation = Axes((ROTATION_DEG,), speed_per_s=ROTATION_DEG_PER_S, unit="deg")

    def expected(self, exposure_s: float) -> Float[np.ndarray, "height width"]:
        """Return what the detector would count without noise, seen from the present direction."""
        angle_rad = np.deg2rad(self.rotation.position()[0])
        if angle_rad != self._angle_rad:
            self._angle_rad = angle_rad
            self.change({"angles_rad": np.array([angle_rad])})
        return super().expected(exposure_s)


def objects_of(
    options: TomographyBench,  # noqa: ARG001 - as the other domains'
    count: int,
    *,
    rng: np.random.Generator,
) -> Float[np.ndarray, "objects rows columns"]:
    """Draw what lies in the scanner, attenuation per pixel."""
    return ellipses(count, SIDE, rng=rng)
