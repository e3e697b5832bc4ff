"""What a Micro-Manager core tells by itself, kept for whoever asks.

Signals arrive on the core's notification thread or on whatever thread called the core, so nothing
is done there but keeping them. Adapters tell what they like: a device that is silent is only known
by reading it back.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from drivers.events import EXPOSURE, POSITION, HardwareEvent
from drivers.micromanager._core import MicroManager

MOST_EVENTS = 10_000
"""Kept between two calls of `take`; older ones are dropped."""


class MicroManagerEvents:
    """A subscription to a core's signals (`drivers.events.EventSource`).

    Parameters
    ----------
    manager
        Owner of the core; its `close` silences the core, which otherwise aborts the process.
    most
        Events that are kept.
    """

    def __init__(self, manager: MicroManager, *, most: int = MOST_EVENTS):
        self._kept: deque[HardwareEvent] = deque(maxlen=most)
        self._lock = threading.Lock()
        signals = manager.core.events
        self._connected: list[tuple[Any, Callable[..., None]]] = [
            (signals.stagePositionChanged, self._stage),
            (signals.XYStagePositionChanged, self._sample),
            (signals.exposureChanged, self._exposure),
            (signals.propertyChanged, self._property),
        ]
        for signal, slot in self._connected:
            signal.connect(slot)

    def take(self) -> list[HardwareEvent]:
        """Return what came since the last call, oldest first; never waits."""
        with self._lock:
            taken = list(self._kept)
            self._kept.clear()
        return taken

    def close(self) -> None:
        """End the subscription. Idempotent."""
        while self._connected:
            signal, slot = self._connected.pop()
            signal.disconnect(slot)

    def _stage(self, device: str, position: float) -> None:
        self._keep(device, POSITION, repr(float(position)))

    def _sample(self, device: str, x_um: float, y_um: float) -> None:
        self._keep(device, POSITION, f"{float(x_um)!r}, {float(y_um)!r}")

    def _exposure(self, device: str, exposure_ms: float) -> None:
        self._keep(device, EXPOSURE, repr(float(exposure_ms)))

    def _property(self, device: str, name: str, value: object) -> None:
        self._keep(device, name, str(value))

    def _keep(self, device: str, what: str, value: str) -> None:
        with self._lock:
            self._kept.append(HardwareEvent(device=str(device), what=str(what), value=value))
