"""The radio array's bench: a switch that says which stations observe, and a correlator."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from drivers.virtual.objects import rings
from drivers.virtual.options import InterferometerBench
from drivers.virtual.sensor import Correlator
from drivers.virtual.twins.interferometer import Interferometer
from drivers.virtual.worlds.plate import Plate
from drivers.virtual.worlds.twin_world import TwinWorld

SIDE = 24
SIGMA_ADU, OFFSET_ADU = 6.0, 32768.0


class InterferometerWorld(TwinWorld):
    """A frame is a day's visibilities: a row of real and a row of imaginary parts.

    As wide as the array with the most visibilities needs; where there are fewer, the last columns
    hold noise.
    """

    def __init__(self, options: InterferometerBench, *, seed: int):
        for_objects, for_frames = np.random.default_rng(seed).spawn(2)
        choice = Interferometer(count=options.stations, side=SIDE)
        self.choices = tuple(choice.hand_made())
        self._seen_by = [_visibilities_of(choice, chosen.split("+")) for chosen in self.choices]
        images = objects_of(options, options.sites**2, rng=for_objects)
        super().__init__(
            # All stations observe, and a choice is which of their visibilities are kept.
            choice.with_values({"stations": np.ones(len(choice.names))}).annealed(0.0),
            Plate.of(images.astype(np.float32), across=options.sites),
            Correlator(
                shape=(2, max(map(len, self._seen_by))), sigma_adu=SIGMA_ADU, offset_adu=OFFSET_ADU
            ),
            frame_rng=for_frames,
        )
        self.choice = 0

    def choose(self, choice: int) -> None:
        """Let the stations of `choices[choice]` observe."""
        self.choice = choice

    def expected(self, exposure_s: float) -> Float[np.ndarray, "2 visibilities"]:
        """Return visibilities in standard deviations of thermal noise."""
        kept = self._seen_by[self.choice]
        frame = np.zeros(self.sensor.shape)
        frame[:, : len(kept)] = super().expected(exposure_s)[:, kept]
        return frame

    def _share(self, exposure_s: float) -> float:  # noqa: ARG002 - a scan lasts what it lasts
        return 1.0

    def _frames(self, seen: Float[np.ndarray, "objects shots height width"]) -> np.ndarray:
        """Real and imaginary parts are rows of one frame here, not shots."""
        return seen.reshape(len(seen), 2, -1)


def objects_of(
    options: InterferometerBench,  # noqa: ARG001 - as the other domains'
    count: int,
    *,
    rng: np.random.Generator,
) -> Float[np.ndarray, "objects rows columns"]:
    """Draw what the array watches, jansky a pixel."""
    return rings(count, SIDE, rng=rng)


def _visibilities_of(array: Interferometer, chosen: Sequence[str]) -> Int[np.ndarray, " kept"]:
    """Return the indices of the visibilities that these stations see together."""
    takes_part = np.isin(array.names, chosen)
    first, second = array.stations_of_visibilities
    return np.flatnonzero(takes_part[first] & takes_part[second])
