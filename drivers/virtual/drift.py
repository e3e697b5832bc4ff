"""How a virtual bench drifts: its lamp ages and its focus creeps, by a clock that may run fast.

The clock is the wall clock since `began_at`, so that a bench that is switched off and on again, or
a process that is killed and resumed, finds the drift where it would be.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np

from drivers.virtual.options import DriftOptions

Clock = Callable[[], datetime]


def _now() -> datetime:
    return datetime.now(UTC)


class Drift:
    """Lamp factor and focus offset at the present time.

    Parameters
    ----------
    options
        Rates and clock.
    clock
        Says the time.
    """

    def __init__(self, options: DriftOptions, *, clock: Clock = _now):
        self._options = options
        self._clock = clock

    def hours(self) -> float:
        """Hours of drift since it began; a clock that was set back gives 0."""
        elapsed_s = (self._clock() - self._options.began_at).total_seconds()
        return max(0.0, elapsed_s) * self._options.hours_per_second

    def lamp_factor(self) -> float:
        """Light on the sample now, relative to when the drift began: compounded by the hour."""
        return (1.0 + self._options.lamp_per_hour) ** self.hours()

    def focus_um(self) -> float:
        """How far the sample has crept through the focus, um: steadily, or slowing down."""
        hours, settles_h = self.hours(), self._options.focus_settles_h
        if settles_h is not None:
            hours = settles_h * float(-np.expm1(-hours / settles_h))
        return self._options.focus_um_per_hour * hours
