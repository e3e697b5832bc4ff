"""The phase-contrast microscope's bench: an LED array as a modulator, cells in a well plate."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8

from drivers.virtual.objects import cells
from drivers.virtual.options import PhaseBench
from drivers.virtual.sensor import VirtualSensor
from drivers.virtual.twins.phase import LEDS_ACROSS, PhaseContrast
from drivers.virtual.worlds.plate import Plate
from drivers.virtual.worlds.twin_world import TwinWorld

FIELD, SIDE = 32, 16
WELLS_ACROSS = 4
SENSOR = {"gain": 1.0, "offset": 100.0, "read_noise": 1.6, "bit_depth": 16}


class PhaseWorld(TwinWorld):
    """Wells side by side in a frame, a cell in each; the LEDs' supply keeps the dose.

    However few LEDs are on, the cells get the same light in a millisecond.
    """

    slm_shape = (LEDS_ACROSS, LEDS_ACROSS)

    def __init__(self, options: PhaseBench, *, seed: int):
        for_objects, for_frames = np.random.default_rng(seed).spawn(2)
        in_view = WELLS_ACROSS**2
        seen = objects_of(options, options.sites**2 * in_view, rng=for_objects)
        super().__init__(
            PhaseContrast(dose_e=options.electrons_per_ms, field=FIELD, side=SIDE),
            Plate.of(seen.astype(np.float32), across=options.sites),
            VirtualSensor.even((WELLS_ACROSS * SIDE, WELLS_ACROSS * SIDE), **SENSOR),
            rows=WELLS_ACROSS,
            frame_rng=for_frames,
        )
        self.show(np.zeros(self.slm_shape, np.uint8))

    def show(self, pattern: UInt8[np.ndarray, "15 15"]) -> None:
        """Drive the LEDs; those that the objective does not see do nothing."""
        drive = drives_of(pattern)
        if drive.any():
            self.bring_to(self.twin.with_values({"sources": drive[None] / drive.sum()}))
        else:
            self.bring_to(self.twin, is_dark=True)


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
