"""What every virtual world promises to the devices of a bench."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from jaxtyping import Float, UInt16

from drivers.virtual.travel import Axes


class Detector(Protocol):
    """A sensor: what is expected in, raw counts out; shares no code with `estimation`."""

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        ...

    @property
    def bit_depth(self) -> int:
        """Bits of its counts."""
        ...

    def expose(
        self,
        expected: Float[np.ndarray, "height width"],
        *,
        exposure_s: float,
        rng: np.random.Generator,
    ) -> UInt16[np.ndarray, "height width"]:
        """Draw one frame."""
        ...


class World(Protocol):
    """State and physics of a virtual bench; devices write its controls, the camera exposes it."""

    @property
    def sensor(self) -> Detector:
        """The camera's chip."""
        ...

    @property
    def xy(self) -> Axes:
        """The sample stage, um."""
        ...

    def expose(self, exposure_s: float) -> UInt16[np.ndarray, "height width"]:
        """Draw one frame of raw counts under the present state."""
        ...

    def seed_noise(self, trial: int, part: int = 0) -> None:
        """Draw the noise of the exposures that follow from the seed and these numbers alone."""
        ...

    def truth(self) -> dict[str, float]:
        """Return what only the simulator knows of the present state."""
        ...
