"""The phase-contrast microscope's bench: an LED array as a modulator, cells in a well plate."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8

from drivers.virtual.objects import cells
from drivers.virtual.options import PhaseBench
from drivers.virtual.sensor import VirtualSensor
from drivers.virtual.travel import Axes
from drivers.virtual.twins.phase import LEDS_ACROSS, PhaseContrast
from drivers.virtual.worlds.plate import Plate
from drivers.virtual.worlds.twin_world import TwinWorld

FIELD, SIDE = 32, 16
WELLS_ACROSS = 4
Z_TRAVEL_UM = (-20.0, 20.0)
Z_SPEED_UM_PER_S = 20_000.0
DEFOCUS_RAD_PER_UM = 0.3
SENSOR = {"gain": 1.0, "offset": 100.0, "read_noise": 1.6, "bit_depth": 16}


class PhaseWorld(TwinWorld):
    """Wells side by side in a frame, a cell in each, and a focus stage."""

    slm_shape = (LEDS_ACROSS, LEDS_ACROSS)

    def __init__(self, options: PhaseBench, *, seed: int):
        for_objects, for_frames = np.random.default_rng(seed).spawn(2)
        in_view = WELLS_ACROSS**2
        seen = objects_of(options, options.sites**2 * in_view, rng=for_objects)
        super().__init__(
            PhaseContrast(
                dose_e=options.electrons_per_ms,
                exposure=options.exposure,
                field=FIELD,
                side=SIDE,
            ),
            Plate.of(seen.astype(np.float32), across=options.sites),
            VirtualSensor.even((WELLS_ACROSS * SIDE, WELLS_ACROSS * SIDE), **SENSOR),
            rows=WELLS_ACROSS,
            frame_rng=for_frames,
        )
        self.z = Axes((Z_TRAVEL_UM,), speed_per_s=Z_SPEED_UM_PER_S)
        self._z_um = 0.0
        self.show(np.zeros(self.slm_shape, np.uint8))

    def show(self, pattern: UInt8[np.ndarray, "15 15"]) -> None:
        """Drive the LEDs; those that the objective does not see do nothing."""
        drive = drives_of(pattern)
        is_dark = not drive.any()
        self.change({} if is_dark else {"sources": drive[None]}, is_dark=is_dark)

    def expected(self, exposure_s: float) -> Float[np.ndarray, "height width"]:
        """Return expected photo-electrons at the present focus."""
        z_um = self.z.position()[0]
        if z_um != self._z_um:
            self._z_um = z_um
            self.change({"defocus_rad": DEFOCUS_RAD_PER_UM * z_um})
        return super().expected(exposure_s)


def objects_of(
    options: PhaseBench,  # noqa: ARG001 - as the other domains'
    count: int,
    *,
    rng: np.random.Generator,
) -> Float[np.ndarray, "objects 2 rows columns"]:
    """Draw what lies under the objective: phase in rad, and absorption."""
    return cells(count, FIELD, rng=rng)[0]


def drives_of(pattern: UInt8[np.ndarray, "15 15"]) -> Float[np.ndarray, " leds"]:
    """Return the drive, 0 to 1, of the LEDs that the objective sees."""
    axis = np.linspace(-1.0, 1.0, LEDS_ACROSS)
    return pattern[np.hypot(axis[:, None], axis) <= 1.0] / 255.0
