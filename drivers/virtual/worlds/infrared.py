"""The thermal camera's bench: a lens with two motors; the exposure is the integration time."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from drivers.virtual.objects import thermal_scenes
from drivers.virtual.options import InfraredBench
from drivers.virtual.sensor import VirtualSensor
from drivers.virtual.twins.infrared import Infrared
from drivers.virtual.worlds.plate import Plate
from drivers.virtual.worlds.twin_world import TwinWorld

FIELD, SIDE = 64, 48
SENSOR = {
    "gain": 0.00091,
    "offset": 0.0,
    "read_noise": 800.0,
    "bit_depth": 14,
    "residual_pattern": 0.0005,
}
F_NUMBERS = (1.0, 6.0)
CUBIC_WAVES = (-3.0, 3.0)


class InfraredWorld(TwinWorld):
    """A lens whose F-number and cubic phase can be set, in focus."""

    def __init__(self, options: InfraredBench, *, seed: int):
        for_objects, for_frames = np.random.default_rng(seed).spawn(2)
        scenes = objects_of(options, options.sites**2, rng=for_objects)
        super().__init__(
            Infrared(2.0, 1.0, 0.0, 0.0, field=FIELD, side=SIDE),
            Plate.of(scenes.astype(np.float32), across=options.sites),
            VirtualSensor.even((SIDE, SIDE), **SENSOR),
            frame_rng=for_frames,
        )

    @property
    def f_number(self) -> float:
        """Focal length over aperture."""
        return float(self.twin.values()["f_number"])

    @f_number.setter
    def f_number(self, value: float) -> None:
        self.change({"f_number": value})

    @property
    def cubic_waves(self) -> float:
        """Cubic phase at the pupil's edge, waves."""
        return float(self.twin.values()["cubic_waves"])

    @cubic_waves.setter
    def cubic_waves(self, value: float) -> None:
        self.change({"cubic_waves": value})


def objects_of(
    options: InfraredBench,  # noqa: ARG001 - as the other domains'
    count: int,
    *,
    rng: np.random.Generator,
) -> Float[np.ndarray, "objects rows columns"]:
    """Draw what stands in front of the camera, kelvin above the background."""
    return thermal_scenes(count, FIELD, rng=rng)
