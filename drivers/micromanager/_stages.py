"""Stages of a Micro-Manager core: one axis that moves or turns, and two axes.

Micro-Manager knows no degrees: a rotation stage is a one-axis stage whose adapter counts in them.
"""

from __future__ import annotations

import math

from drivers.devices import DeviceDescription, Position
from drivers.errors import LimitViolation
from drivers.micromanager._core import MicroManager


class _Axis:
    """A single axis; the subclass says in which unit its adapter counts."""

    _kind: str
    _unit: str

    def __init__(self, manager: MicroManager, label: str):
        manager.require(label, "stage")
        self.name = label
        self._manager = manager
        self._core = manager.core
        self._limits = manager.property_limits(label, "Position")

    def describe(self) -> DeviceDescription:
        """Identity, travel and every property."""
        limits = {f"position_{self._unit}": self._limits}
        return self._manager.describe(self.name, self._kind, **limits)

    def check(self, target: float) -> None:
        """Refuse a position beyond the travel the device declares."""
        _check_travel(self.name, target, self._limits, self._unit)

    def start(self, target: float) -> None:
        """Start moving."""
        self.check(target)
        self._manager.call(
            f"{self.name}: move to {target:g} {self._unit}",
            lambda: self._core.setPosition(self.name, target),
        )

    def wait(self, *, timeout_s: float) -> None:
        """Wait for the end of the move."""
        self._manager.wait(self.name, timeout_s=timeout_s)

    def read_back(self) -> float:
        """Present position."""
        return self._manager.call(
            f"{self.name}: position", lambda: float(self._core.getPosition(self.name))
        )

    def make_safe(self) -> None:
        """Stay."""

    def close(self) -> None:
        """Nothing of its own to release; the core is closed by its owner."""


class MicroManagerStage(_Axis):
    """A single axis in micrometres (`drivers.devices.Stage`)."""

    _kind, _unit = "stage", "um"

    @property
    def limits_um(self) -> tuple[float, float] | None:
        """Travel the device declares, or None."""
        return self._limits


class MicroManagerRotation(_Axis):
    """A single axis in degrees (`drivers.devices.RotationStage`)."""

    _kind, _unit = "rotation", "deg"

    @property
    def limits_deg(self) -> tuple[float, float] | None:
        """Travel the device declares, or None."""
        return self._limits


class MicroManagerXYStage:
    """Two axes in micrometres (`drivers.devices.XYStage`); Micro-Manager declares no travel."""

    limits_um = None

    def __init__(self, manager: MicroManager, label: str):
        manager.require(label, "xy_stage")
        self.name = label
        self._manager = manager
        self._core = manager.core

    def describe(self) -> DeviceDescription:
        """Identity and every property."""
        return self._manager.describe(self.name, "xy_stage")

    def check(self, target: Position) -> None:
        """Refuse what is not a number."""
        for value in target:
            _check_travel(self.name, value, None, "um")

    def start(self, target: Position) -> None:
        """Start moving."""
        self.check(target)
        x_um, y_um = target
        self._manager.call(
            f"{self.name}: move to ({x_um:g}, {y_um:g}) um",
            lambda: self._core.setXYPosition(self.name, x_um, y_um),
        )

    def wait(self, *, timeout_s: float) -> None:
        """Wait for the end of the move."""
        self._manager.wait(self.name, timeout_s=timeout_s)

    def read_back(self) -> Position:
        """Present position in micrometres."""

        def read() -> Position:
            x_um, y_um = self._core.getXYPosition(self.name)
            return float(x_um), float(y_um)

        return self._manager.call(f"{self.name}: position", read)

    def make_safe(self) -> None:
        """Stay."""

    def close(self) -> None:
        """Nothing of its own to release; the core is closed by its owner."""


def _check_travel(name: str, target: float, limits: tuple[float, float] | None, unit: str) -> None:
    low, high = limits or (-math.inf, math.inf)
    if not (math.isfinite(target) and low <= target <= high):
        raise LimitViolation(
            f"{name}: position {target:g} {unit} asked, the device travels {low:g} to {high:g} "
            f"{unit}"
        )
