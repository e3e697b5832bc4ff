"""What lets light out of a Micro-Manager bench: shutters, and lamps that are made of properties."""

from __future__ import annotations

import time
from dataclasses import dataclass

from drivers.devices import DeviceDescription
from drivers.errors import DeviceTimeout, LimitViolation, ProtocolError
from drivers.micromanager._core import MicroManager
from drivers.micromanager._property import MicroManagerProperty
from drivers.micromanager._settings import (
    PRINTED,
    ROUNDED,
    PropertyValue,
    check_properties,
    same_value,
    verify_properties,
)

OPEN, CLOSED = 1.0, 0.0
SHUTTER_TIMEOUT_S = 5.0
_POLL_S = 1e-3


class MicroManagerShutter:
    """A shutter, as a light of two levels, 1 open and 0 closed (`drivers.devices.LightSource`).

    It is opened and closed by us and by nobody else: Micro-Manager's autoshutter is switched off,
    which opens the shutter before a sequence and leaves it open where the sequence does not start
    (mmCoreAndDevices #901).

    Parameters
    ----------
    manager
        Owner of the core.
    label
        Device label.

    Raises
    ------
    ConnectionLost, ProtocolError
        If there is no such shutter, or the autoshutter stays on.
    """

    unit = "1"
    limits = (CLOSED, OPEN)

    def __init__(self, manager: MicroManager, label: str):
        manager.require(label, "shutter")
        self.name = label
        self._manager = manager
        self._core = manager.core
        self._target = CLOSED
        manager.switch_autoshutter_off()

    def describe(self) -> DeviceDescription:
        """Identity and every property."""
        return self._manager.describe(self.name, "shutter")

    def check(self, target: float) -> None:
        """Refuse what is neither open nor closed."""
        if target not in {CLOSED, OPEN}:  # nor NaN
            raise LimitViolation(
                f"{self.name}: {target:g} asked; a shutter is open (1) or closed (0)"
            )

    def start(self, target: float) -> None:
        """Start to open (1) or to close (0)."""
        self.check(target)
        self._target = target
        self._manager.call(
            f"{self.name}: {self._word}",
            lambda: self._core.setShutterOpen(self.name, target == OPEN),
        )

    def wait(self, *, timeout_s: float) -> None:
        """Return when it says that it is there; `DeviceTimeout` after `timeout_s`."""
        deadline_s = time.monotonic() + timeout_s
        self._manager.wait(self.name, timeout_s=timeout_s)
        while self.read_back() != self._target:
            if time.monotonic() > deadline_s:
                raise DeviceTimeout(
                    f"{self.name}: asked to be {self._word}, it says that it is not after "
                    f"{timeout_s:g} s; check its power and its interlock"
                )
            time.sleep(_POLL_S)  # the core offers no event that may be relied on

    def read_back(self) -> float:
        """1 if the device says that it is open, 0 if it is closed."""
        is_open = self._manager.call(
            f"{self.name}: open?", lambda: self._core.getShutterOpen(self.name)
        )
        return OPEN if is_open else CLOSED

    def is_on(self) -> bool:
        """Whether light can pass now."""
        return self.read_back() == OPEN

    def make_safe(self) -> None:
        """Close, and verify that it says so."""
        self.start(CLOSED)
        self.wait(timeout_s=SHUTTER_TIMEOUT_S)

    def close(self) -> None:
        """Nothing of its own to release; the core is closed by its owner, the shutter before."""

    @property
    def _word(self) -> str:
        return "open" if self._target == OPEN else "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """The property that switches a lamp, and its values for on and off."""

    property: str
    on: PropertyValue
    off: PropertyValue


class MicroManagerLight:
    """A lamp that is a property of a device, with a switch or without (`drivers.LightSource`).

    Parameters
    ----------
    manager
        Owner of the core.
    label
        Of the device.
    level
        Numeric property that sets how bright it is.
    switch
        What switches it; without one the lamp is off at its safe level.
    limits
        The bench's limits in the property's unit; only narrower than the device's own.
    safe
        The dark level.
    unit
        Of the level.

    Raises
    ------
    ConnectionLost, ProtocolError, LimitViolation
        There is no such device or property, it is no number that can be set, or it cannot take
        the limits, the safe level or the switch's values.
    """

    def __init__(
        self,
        manager: MicroManager,
        label: str,
        *,
        level: str,
        switch: Switch | None,
        limits: tuple[float, float],
        safe: float,
        unit: str = "1",
    ):
        self._level = MicroManagerProperty(manager, label, level)
        for value in (*limits, safe):
            self._level.check(value)
        if switch is not None:
            for value in (switch.on, switch.off):
                check_properties(manager, label, {switch.property: value})
            if same_value(str(switch.on), switch.off):
                raise LimitViolation(
                    f"{label}.{switch.property}: {switch.on!r} is on and off at once; correct "
                    "`switch`"
                )
        self.name = self._level.name
        self.unit = unit
        self.limits = limits
        self._manager = manager
        self._label = label
        self._switch = switch
        self._safe = safe
        manager.switch_autoshutter_off()  # it may take this very device for the shutter

    def describe(self) -> DeviceDescription:
        """Identity of the device, the limits in force, and every property."""
        said = self._level.describe()
        return DeviceDescription(
            name=self.name,
            kind="light",
            identity=said.identity,
            limits={f"level ({self.unit})": self.limits},
            properties={**said.properties, "safe": f"{self._safe:g}"},
        )

    def check(self, target: float) -> None:
        """Raise `LimitViolation` if `target` is outside the limits; the safe level is allowed."""
        if target == self._safe:
            return
        low, high = self.limits
        if not low <= target <= high:  # refuses NaN too
            raise LimitViolation(
                f"{self.name}: {target:g} asked, {low:g} to {high:g} allowed here; narrow the "
                "bounds of the design"
            )
        self._level.check(target)

    def start(self, target: float) -> None:
        """Check, bring the level to `target` and verify it, and only then switch on.

        When this raises, the lamp may be in any state: make it safe.
        """
        self.check(target)
        if target in {self._safe, 0.0}:
            self.make_safe()
            return
        self._bring_level(target)
        if self._switch is not None:
            self._put_switch(self._switch.on)

    def wait(self, *, timeout_s: float) -> None:
        """Wait until the device is not busy."""
        self._manager.wait(self._label, timeout_s=timeout_s)

    def read_back(self) -> float:
        """Level that leaves the lamp now; the safe level while it is switched off."""
        return self._safe if self._is_switched_off() else self._level.read_back()

    def is_on(self) -> bool:
        """Whether light can leave it now: not switched off, and brighter than its safe level."""
        if self._is_switched_off():
            return False
        level = self._level.read_back()
        return level > 0 and (self._switch is not None or not self._is_near(level, self._safe))

    def make_safe(self) -> None:
        """Switch off, then level to safe, verify both; the level is tried even if the switch fails.

        Raises
        ------
        DeviceError
            The lamp may still be on.
        """
        try:
            if self._switch is not None:
                self._put_switch(self._switch.off)
        finally:
            self._bring_level(self._safe)

    def close(self) -> None:
        """Nothing of its own to release; the core is closed by its owner, the lamp dark before."""

    def _is_switched_off(self) -> bool:
        switch = self._switch
        if switch is None:
            return False
        said = self._manager.call(
            f"{self._label}.{switch.property}: on?",
            lambda: str(self._manager.core.getProperty(self._label, switch.property)),
        )
        return same_value(said, switch.off)  # whatever is not off counts as on

    def _put_switch(self, value: PropertyValue) -> None:
        assert self._switch is not None  # noqa: S101 - the callers have looked
        name = self._switch.property
        self._manager.call(  # sent even if it reads so already: an adapter may remember, not read
            f"{self._label}.{name}: set to {value}",
            lambda: self._manager.core.setProperty(self._label, name, str(value)),
        )
        self._manager.wait(self._label, timeout_s=SHUTTER_TIMEOUT_S)
        verify_properties(self._manager, self._label, {name: value})

    def _bring_level(self, target: float) -> None:
        self._level.start(target)
        self._level.wait(timeout_s=SHUTTER_TIMEOUT_S)
        there = self._level.read_back()
        if not self._is_near(there, target):
            raise ProtocolError(
                f"{self.name}: {target:g} asked, {there:g} read back; look for an interlock, or "
                "write what the device takes"
            )

    @staticmethod
    def _is_near(there: float, target: float) -> bool:
        return abs(there - target) <= PRINTED + ROUNDED * abs(target)
