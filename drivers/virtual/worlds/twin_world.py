"""A bench whose physics is a twin: what it expects of the objects under the stage, then a sensor.

When the design changes, the twin looks once at every object of the plate (a few hundredths of a
second); an exposure then costs only its noise.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Float, UInt16

from drivers.virtual.sensor import noise_of
from drivers.virtual.twins.twin import Twin
from drivers.virtual.worlds.plate import Plate
from drivers.virtual.worlds.protocol import Detector

_BYTES_AT_ONCE = 2**25


@eqx.filter_jit
def _look(twin: Twin, objects: Any) -> Any:
    return twin(objects)


class TwinWorld:
    """State and physics of a twin's bench; a domain adds the controls that change the design.

    Parameters
    ----------
    twin
        Under the design that the bench has when it is switched on.
    plate
        Objects; several in one field of view are seen side by side, in `rows` rows.
    sensor
        With a shape of `rows` times the twin's frame.
    rows
        Of objects in a field of view.
    frame_rng
        Source of the noise.
    """

    def __init__(
        self,
        twin: Twin,
        plate: Plate,
        sensor: Detector,
        *,
        rows: int = 1,
        frame_rng: np.random.Generator,
    ):
        self.plate, self.sensor = plate, sensor
        self.xy = plate.stage()
        self._rows = rows
        self._frame_rng = self._frame_rng_at_start = frame_rng
        self._lock = threading.Lock()
        self._twin = twin
        self._is_dark = False
        self._seen: Float[np.ndarray, "sites height width"] | None = None

    @property
    def twin(self) -> Twin:
        """The twin under the present design."""
        with self._lock:
            return self._twin

    def prepare(self) -> None:
        """Let the twin be compiled, so that the first exposure is in time."""
        self._look_at_plate()

    def bring_to(self, twin: Twin) -> None:
        """Go on with another twin."""
        with self._lock:
            self._twin, self._seen = twin, None

    def change(self, values: Mapping[str, Any], *, is_dark: bool | None = None) -> None:
        """Change some parameters of the design; unless `is_dark` says so, the light stays."""
        with self._lock:
            self._twin, self._seen = self._twin.with_values(values), None
            self._is_dark = self._is_dark if is_dark is None else is_dark

    def seed_noise(self, trial: int, part: int = 0) -> None:
        """Draw the noise of the exposures that follow from the seed and these numbers alone."""
        self._frame_rng = noise_of(self._frame_rng_at_start, trial=trial, part=part)

    def expose(self, exposure_s: float) -> UInt16[np.ndarray, "height width"]:
        """Draw one frame of raw counts, (height, width) uint16, under the present state."""
        expected = self.expected(exposure_s)
        return self.sensor.expose(expected, exposure_s=exposure_s, rng=self._frame_rng)

    def expected(self, exposure_s: float) -> Float[np.ndarray, "height width"]:
        """Return what the sensor would show without noise, float64; in photo-electrons.

        The twin's values are those of an exposure of one millisecond.
        """
        site = self.plate.site(*self.xy.position())
        with self._lock:
            if self._is_dark:
                return np.zeros(self.sensor.shape)
            if self._seen is None:
                self._seen = self._look_at_plate()
            return self._seen[site] * self._share(exposure_s)

    def _share(self, exposure_s: float) -> float:
        """Exposure in units of the twin's."""
        return exposure_s * 1e3

    def _frames(self, seen: Float[np.ndarray, "objects shots height width"]) -> np.ndarray:
        """Return what the sensor sees of each object, (objects, height, width)."""
        return seen[:, 0]

    def truth(self) -> dict[str, float]:
        """Return the mean of what is expected in a millisecond over the plate and the sensor."""
        with self._lock:
            if self._is_dark:
                return {"mean_expected_per_ms": 0.0}
            if self._seen is None:
                self._seen = self._look_at_plate()
            return {"mean_expected_per_ms": float(np.mean(self._seen))}

    def _look_at_plate(self) -> Float[np.ndarray, "sites height width"]:
        sites, together, *shape = self.plate.objects.shape
        # Equal pieces, so that all but the last share one compilation.
        piece = max(1, _BYTES_AT_ONCE // (self.plate.objects[0].nbytes)) * together
        flat = self.plate.objects.reshape(-1, *shape)
        frames = [
            self._frames(np.asarray(_look(self._twin, flat[first : first + piece]), np.float64))
            for first in range(0, len(flat), piece)
        ]
        return side_by_side(np.concatenate(frames), sites=sites, rows=self._rows)


def side_by_side(
    frames: Float[np.ndarray, "frames height width"], *, sites: int, rows: int
) -> Float[np.ndarray, "sites rows_height columns_width"]:
    """Put the frames of each site into `rows` rows of one large frame."""
    _, height, width = frames.shape
    tiled = frames.reshape(sites, rows, -1, height, width).swapaxes(2, 3)
    return tiled.reshape(sites, rows * height, -1)
