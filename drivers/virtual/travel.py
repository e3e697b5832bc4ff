"""How virtual stages move: in a straight line at constant speed, in real time."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Travel:
    """A straight move at constant speed, all axes arriving together; any unit of length or angle.

    Attributes
    ----------
    origin, target
        Positions, one entry an axis.
    started_s, duration_s
        On the clock of `time.perf_counter`.
    """

    origin: tuple[float, ...]
    target: tuple[float, ...]
    started_s: float
    duration_s: float

    @classmethod
    def plan(
        cls, origin: tuple[float, ...], target: tuple[float, ...], speed_per_s: float
    ) -> Travel:
        """Start now from `origin`; `speed_per_s` in units of the positions."""
        distance = max(abs(b - a) for a, b in zip(origin, target, strict=True))
        return cls(origin, target, time.perf_counter(), distance / speed_per_s)

    def is_done(self) -> bool:
        """Whether the target is reached by now."""
        return time.perf_counter() - self.started_s >= self.duration_s

    def position(self) -> tuple[float, ...]:
        """Where the stage is now."""
        elapsed_s = time.perf_counter() - self.started_s
        if elapsed_s >= self.duration_s:
            return self.target
        fraction = elapsed_s / self.duration_s
        return tuple(a + fraction * (b - a) for a, b in zip(self.origin, self.target, strict=True))


class Axes:
    """One or two axes with limits and a speed; may be read and moved from different threads.

    Parameters
    ----------
    limits
        (low, high) of every axis.
    speed_per_s
        Of all axes, in units of the limits.
    unit
        For messages: "um", "deg".
    """

    def __init__(
        self, limits: tuple[tuple[float, float], ...], *, speed_per_s: float, unit: str = "um"
    ):
        self.limits, self.unit = limits, unit
        self._speed_per_s = speed_per_s
        self._lock = threading.Lock()
        zero = tuple(0.0 for _ in limits)
        self._travel = Travel(zero, zero, 0.0, 0.0)

    def move(self, *target: float) -> None:
        """Start towards `target`.

        Raises
        ------
        ValueError
            If it is beyond the travel, or not a number.
        """
        for value, (low, high) in zip(target, self.limits, strict=True):
            if not low <= value <= high:
                asked = target[0] if len(target) == 1 else target
                raise ValueError(
                    f"position {asked} {self.unit}, travel {low} to {high} {self.unit}"
                )
        with self._lock:
            self._travel = Travel.plan(self._travel.position(), target, self._speed_per_s)

    def position(self) -> tuple[float, ...]:
        """Where the axes are now."""
        with self._lock:
            return self._travel.position()

    def is_done(self) -> bool:
        """Whether they have arrived."""
        with self._lock:
            return self._travel.is_done()

    @property
    def target(self) -> tuple[float, ...]:
        """Where they are or go."""
        with self._lock:
            return self._travel.target
