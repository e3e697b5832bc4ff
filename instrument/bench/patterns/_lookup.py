"""The phase that each grey level of a modulator gives, measured, and its inverse.

A modulator of a turn or more shows any phase: what lies beyond the measured range is brought inside
it by whole turns. One of less than a turn shows what lies within its range, and nothing else.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Shaped, UInt8

from instrument.config import FULL_SCALE
from instrument.design import DesignError

TURN_RAD = 2 * math.pi
_ROUNDING_RAD = 1e-9


class LookupTable:
    """Grey levels of phases, by linear interpolation between measured levels.

    Parameters
    ----------
    grey
        Measured levels, whole numbers from 0 to 255, ascending.
    phase_rad
        Phase of each, at the wavelength used; rising or falling throughout.

    Raises
    ------
    ValueError
        The table is none of this; says which line.
    """

    def __init__(
        self, grey: Shaped[np.ndarray, " levels"], phase_rad: Float[np.ndarray, " levels"]
    ):
        _check_table(grey, phase_rad)
        falls = phase_rad[-1] < phase_rad[0]
        self._grey = np.asarray(grey[::-1] if falls else grey, dtype=np.float64)
        self._phase_rad = np.asarray(phase_rad[::-1] if falls else phase_rad, dtype=np.float64)
        self.range_rad = float(self._phase_rad[0]), float(self._phase_rad[-1])
        """Lowest and highest measured phase."""
        mean_step = (self.range_rad[1] - self.range_rad[0]) / abs(self._grey[-1] - self._grey[0])
        self._half_step = mean_step / 2 + _ROUNDING_RAD

    @property
    def is_full_turn(self) -> bool:
        """Whether every phase is within half a grey level of a measured one, modulo a turn."""
        low, high = self.range_rad
        return high - low + 2 * self._half_step >= TURN_RAD

    def covers(self, low_rad: float, high_rad: float) -> bool:
        """Whether all phases between two are shown, modulo a turn and within half a grey level."""
        low, high = self.range_rad
        return self.is_full_turn or (
            low_rad >= low - self._half_step and high_rad <= high + self._half_step
        )

    def levels(
        self, phase_rad: Float[np.ndarray, "height width"]
    ) -> UInt8[np.ndarray, "height width"]:
        """Grey level nearest to each phase.

        Raises
        ------
        DesignError
            A phase that the modulator does not show, nor it and any number of turns.
        """
        low, high = self.range_rad
        half = self._half_step
        is_direct = (phase_rad >= low - half) & (phase_rad <= high + half)
        above_low = np.mod(phase_rad - low, TURN_RAD)
        above_low = np.where(above_low > TURN_RAD - half, 0.0, above_low)
        shown = np.where(is_direct, phase_rad, low + above_low)
        if not np.all(shown <= high + half):  # also catches NaN
            wrong = phase_rad[~(shown <= high + half)].flat[0]
            raise DesignError(
                f"a phase of {wrong:.4g} rad asked, the look-up table goes from {low:.4g} to "
                f"{high:.4g} rad; narrow bounds_rad"
            )
        return np.rint(np.interp(shown, self._phase_rad, self._grey)).astype(np.uint8)


def _check_table(grey: np.ndarray, phase_rad: np.ndarray) -> None:
    if len(grey) < 2:
        raise ValueError(f"{len(grey)} levels; two at least are needed")
    if not np.all(np.isin(grey, np.arange(FULL_SCALE + 1))) or np.any(np.diff(grey) <= 0):
        raise ValueError(f"grey levels must be whole numbers from 0 to {FULL_SCALE}, ascending")
    if not np.all(np.isfinite(phase_rad)):
        raise ValueError(f"the phase of grey level {grey[~np.isfinite(phase_rad)][0]:g} is none")
    steps = np.diff(phase_rad) * np.sign(phase_rad[-1] - phase_rad[0])
    if not np.all(steps > 0):
        here = int(np.flatnonzero(~(steps > 0))[0])
        raise ValueError(
            "the phase must rise or fall throughout, and from grey level "
            f"{grey[here]:g} to {grey[here + 1]:g} it goes the other way or nowhere: "
            f"{phase_rad[here]:.4g} to {phase_rad[here + 1]:.4g} rad"
        )
