"""From what a pattern means, phase or grey level, to the 8-bit levels that a modulator is sent.

The one place where a phase is wrapped: by whole turns, after the modulator's own shape has been
added, and only for a phase. Grey levels are never wrapped or clipped.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from instrument.bench.patterns._files import read_flatness, read_lookup_table
from instrument.bench.patterns._lookup import TURN_RAD, LookupTable
from instrument.bench.patterns._plane import Plane
from instrument.config import FULL_SCALE, SlmRole
from instrument.design import DesignError

LEVELS = FULL_SCALE + 1
_ROUNDING = 1e-9
"""Grey levels by which a sum within its bounds may miss them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What a modulator makes of a pattern.

    Parameters
    ----------
    plane
        What its pixels show of the plane that patterns are drawn in.
    order
        Of the spline between the pixels of a raw pattern, where the plane is registered.
    lookup
        Its measured phases; None where 256 levels are one turn.
    flatness_rad
        Phase added to every phase pattern, (height, width).
    on_off
        Grey levels of a binary device; None where every level is shown.
    """

    plane: Plane
    order: int = 0
    lookup: LookupTable | None = None
    flatness_rad: Float[np.ndarray, "height width"] | None = None
    on_off: tuple[int, int] | None = None

    def of_phase(
        self, phase_rad: Float[np.ndarray, "height width"]
    ) -> UInt8[np.ndarray, "height width"]:
        """Grey levels of a phase in rad, any number of turns.

        Raises
        ------
        DesignError
            A phase that the look-up table does not hold, nor it and any number of turns.
        """
        asked = phase_rad if self.flatness_rad is None else phase_rad + self.flatness_rad
        if not np.all(np.isfinite(asked)):
            raise DesignError("a phase that is no finite number was asked of a modulator")
        if self.lookup is not None:
            return self.lookup.levels(asked)
        return (np.rint(asked / TURN_RAD * LEVELS) % LEVELS).astype(np.uint8)

    def of_grey(self, grey: Float[np.ndarray, "height width"]) -> UInt8[np.ndarray, "height width"]:
        """Whole grey levels of a pattern of grey levels; of a binary device, on or off.

        Raises
        ------
        DesignError
            A level that 8 bits do not hold: none is wrapped or clipped.
        """
        low, high = float(grey.min()), float(grey.max())
        if not (low >= -_ROUNDING and high <= FULL_SCALE + _ROUNDING):  # also catches NaN
            raise DesignError(f"grey levels {low:g} to {high:g} came, 0 to {FULL_SCALE} due")
        if self.on_off is not None:
            on, off = self.on_off
            return np.where(grey > FULL_SCALE / 2, np.uint8(on), np.uint8(off))
        return np.rint(np.clip(grey, 0, FULL_SCALE)).astype(np.uint8)

    @property
    def shows_any_phase(self) -> bool:
        """Whether every phase is shown, modulo a turn."""
        return self.lookup is None or self.lookup.is_full_turn

    def check_phases(self, low_rad: float, high_rad: float) -> None:
        """Raise `DesignError` unless all phases from `low_rad` to `high_rad` can be shown."""
        flatness = self.flatness_rad
        if flatness is not None:
            low_rad, high_rad = low_rad + float(flatness.min()), high_rad + float(flatness.max())
        if self.lookup is not None and not self.lookup.covers(low_rad, high_rad):
            low, high = self.lookup.range_rad
            raise DesignError(
                f"the bounds allow phases from {low_rad:.4g} to {high_rad:.4g} rad, flatness "
                f"included, and the modulator shows {low:.4g} to {high:.4g} rad, less than a turn, "
                "so that nothing can be wrapped; narrow bounds_rad, or add a constant to flatness"
            )


def plain_response(shape: tuple[int, int]) -> Response:
    """Return the response of a modulator of (height, width) pixels about which nothing is known."""
    return Response(plane=Plane.of(shape))


def make_response(name: str, role: SlmRole, shape: tuple[int, int]) -> Response:
    """Return the response of a modulator as its role in the bench file describes it.

    Parameters
    ----------
    name
        Of the role, for messages.
    role
        With absolute paths.
    shape
        (height, width) of the modulator in pixels.

    Raises
    ------
    ModulatorFileError
        A calibration file cannot be used.
    """
    key = f"bench.roles.{name}"
    lookup = None if role.lut is None else read_lookup_table(role.lut, key=f"{key}.lut")
    flatness_rad = None
    if role.flatness is not None:
        flatness_rad = read_flatness(role.flatness, shape=shape, key=f"{key}.flatness")
    return Response(
        plane=Plane.of(shape, role.affine),
        order=role.affine_order,
        lookup=lookup,
        flatness_rad=flatness_rad,
        on_off=None if role.on_value is None else (role.on_value, role.off_value),
    )
