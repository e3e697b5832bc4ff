"""Spatial light modulator of a Micro-Manager core."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from drivers.devices import DeviceDescription
from drivers.errors import InstrumentReported, LimitViolation
from drivers.micromanager._core import MicroManager


class MicroManagerSLM:
    """A modulator of 8-bit grey levels (`drivers.devices.SpatialLightModulator`)."""

    levels = 256

    def __init__(self, manager: MicroManager, label: str):
        manager.require(label, "slm")
        self.name = label
        self._manager = manager
        self._core = manager.core
        self.shape = manager.call(f"{label}: format", self._read_shape)
        self._shown: NDArray[np.uint8] | None = None

    def describe(self) -> DeviceDescription:
        """Identity and every property."""
        return self._manager.describe(self.name, "slm", grey_level=(0, self.levels - 1))

    def check(self, target: NDArray[np.uint8]) -> None:
        """Refuse anything but uint8 of the exact shape: the core would wrap or stretch it."""
        pattern = np.asarray(target)
        if pattern.dtype != np.uint8 or pattern.shape != self.shape:
            raise LimitViolation(
                f"{self.name}: a pattern of {pattern.dtype} {pattern.shape} asked, "
                f"uint8 {self.shape} needed"
            )

    def start(self, target: NDArray[np.uint8]) -> None:
        """Load and show a pattern."""
        self.check(target)
        pattern = np.ascontiguousarray(target)

        def show() -> None:
            self._core.setSLMImage(self.name, pattern)
            self._core.displaySLMImage(self.name)

        self._manager.call(f"{self.name}: show a pattern", show)
        self._shown = pattern.copy()

    def wait(self, *, timeout_s: float) -> None:
        """Wait until the device is not busy; the crystal settles later (`settle_ms`)."""
        self._manager.wait(self.name, timeout_s=timeout_s)

    def read_back(self) -> NDArray[np.uint8]:
        """Pattern last shown; most modulators cannot be read, so this is what was sent."""
        if self._shown is None:
            raise InstrumentReported(f"{self.name}: no pattern has been shown yet")
        return self._shown.copy()

    def make_safe(self) -> None:
        """Flat."""
        self.start(np.zeros(self.shape, np.uint8))

    def close(self) -> None:
        """Nothing of its own to release; the core is closed by its owner."""

    def _read_shape(self) -> tuple[int, int]:
        core = self._core
        if core.getSLMBytesPerPixel(self.name) != 1:
            raise ValueError("only 8-bit modulators are supported so far")
        return core.getSLMHeight(self.name), core.getSLMWidth(self.name)
