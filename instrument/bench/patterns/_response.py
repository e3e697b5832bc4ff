"""From what a pattern means, phase or grey level, to the 8-bit levels that a modulator is sent.

The one place where a phase is wrapped: by whole turns, and only here. Grey levels never are.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, UInt8

from instrument.bench.patterns._plane import Plane
from instrument.config import FULL_SCALE
from instrument.design import DesignError

TURN_RAD = 2 * math.pi
LEVELS = FULL_SCALE + 1
_ROUNDING = 1e-9
"""Grey levels by which a sum within its bounds may miss them."""


class Response:
    """What a modulator makes of a pattern.

    Parameters
    ----------
    plane
        What its pixels show of the plane that patterns are drawn in.
    """

    def __init__(self, plane: Plane):
        self.plane = plane

    def of_phase(
        self, phase_rad: Float[np.ndarray, "height width"]
    ) -> UInt8[np.ndarray, "height width"]:
        """Grey levels of a phase in rad, any number of turns: 256 levels are one turn."""
        return (np.rint(phase_rad / TURN_RAD * LEVELS) % LEVELS).astype(np.uint8)

    def of_grey(self, grey: Float[np.ndarray, "height width"]) -> UInt8[np.ndarray, "height width"]:
        """Whole grey levels of a pattern of grey levels.

        Raises
        ------
        DesignError
            A level that 8 bits do not hold: none is wrapped or clipped.
        """
        low, high = float(grey.min()), float(grey.max())
        if not (low >= -_ROUNDING and high <= FULL_SCALE + _ROUNDING):  # also catches NaN
            raise DesignError(f"grey levels {low:g} to {high:g} came, 0 to {FULL_SCALE} due")
        return np.rint(np.clip(grey, 0, FULL_SCALE)).astype(np.uint8)


def plain_response(shape: tuple[int, int]) -> Response:
    """Return the response of a modulator of (height, width) pixels about which nothing is known."""
    return Response(Plane.of(shape))
