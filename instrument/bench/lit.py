"""How long the lights of a bench were on, at which level, and where the sample was meanwhile.

Time counts from before a light is told to come on until it is verified dark, and a change of level
counts as the higher of the two until the light is there: never less than what left it. It counts
where the sample was last sent, the way there included.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from drivers import Position


@dataclass(frozen=True, slots=True)
class Lit:
    """Seconds of light, and level times seconds in the light's unit, of one role at one place."""

    seconds: float = 0.0
    level_seconds: float = 0.0


Place = Position | None
"""Where the sample was sent, um; None while this program had not sent it anywhere."""


class LitTime:
    """Adds up light, by role and place.

    Parameters
    ----------
    clock
        Seconds that never run backwards.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._lock = threading.Lock()
        self._place: Place = None
        self._levels: dict[str, float] = {}
        self._since_s = 0.0
        self._sums: defaultdict[tuple[str, Place], Lit] = defaultdict(Lit)

    def bring(self, role: str, level: float) -> None:
        """Say that a light is at `level` from now on, or on its way there."""
        with self._lock:
            self._count()
            self._levels[role] = level

    def bring_from(self, role: str, level: float) -> None:
        """Say that a light leaves its level for `level`: the higher counts until `bring`."""
        self.bring(role, max(level, self._levels.get(role, level)))

    def dark(self) -> None:
        """Say that all lights are off, and were read to be."""
        with self._lock:
            self._count()
            self._levels.clear()

    def sent(self, place: Position) -> None:
        """Say that the sample is sent to a place."""
        with self._lock:
            self._count()
            self._place = place

    def sums(self) -> dict[tuple[str, Place], Lit]:
        """Return what came together so far, by role and place."""
        with self._lock:
            self._count()
            return dict(self._sums)

    def _count(self) -> None:
        now_s = self._clock()
        seconds = now_s - self._since_s
        for role, level in self._levels.items():
            earlier = self._sums[role, self._place]
            self._sums[role, self._place] = Lit(
                earlier.seconds + seconds, earlier.level_seconds + seconds * level
            )
        self._since_s = now_s
