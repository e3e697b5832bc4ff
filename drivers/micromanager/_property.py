"""A numeric property of a Micro-Manager device, as a quantity that can be set and read back."""

from __future__ import annotations

import math

from drivers.devices import DeviceDescription
from drivers.errors import LimitViolation, ProtocolError
from drivers.micromanager._core import MicroManager

_INTEGER = "Integer"
_NUMERIC = ("Float", _INTEGER)
_UNTYPED = "Undef"  # of a Python device whose property was declared without a type


class MicroManagerProperty:
    """One numeric property of a device (`drivers.devices.NumericProperty`).

    Parameters
    ----------
    manager
        Owner of the core.
    label, property_name
        Of the device, and of its property.

    Raises
    ------
    ConnectionLost, ProtocolError
        If there is no such device or property, or it is no number that can be set.
    """

    def __init__(self, manager: MicroManager, label: str, property_name: str):
        manager.require_property(label, property_name)
        self.name = f"{label}.{property_name}"
        self._label = label
        self._property = property_name
        self._manager = manager
        self._core = manager.core
        self.is_integer, is_read_only, self._allowed = manager.call(
            f"{self.name}: type", self._read_type
        )
        if is_read_only:
            raise ProtocolError(f"{self.name} can be read but not set; name another property")
        self.limits = manager.property_limits(label, property_name)

    def describe(self) -> DeviceDescription:
        """Identity of the device, the property's limits, and every property."""
        described = self._manager.describe(self._label, "property", **{self._property: self.limits})
        return DeviceDescription(
            name=self.name,
            kind=described.kind,
            identity=described.identity,
            limits=described.limits,
            properties=described.properties,
        )

    def check(self, target: float) -> None:
        """Refuse what the device would refuse, clip or round."""
        low, high = self.limits or (-math.inf, math.inf)
        if not (math.isfinite(target) and low <= target <= high):
            raise LimitViolation(
                f"{self.name}: {target:g} asked, the device allows {low:g} to {high:g}"
            )
        if self.is_integer and target != round(target):
            raise LimitViolation(f"{self.name}: {target:g} asked, it takes whole numbers only")
        if self._allowed and target not in self._allowed:
            allowed = ", ".join(f"{value:g}" for value in self._allowed)
            raise LimitViolation(f"{self.name}: {target:g} asked, it takes one of {allowed}")

    def start(self, target: float) -> None:
        """Set the property."""
        self.check(target)
        # As text: the C++ core would print a float with four decimals.
        text = str(round(target)) if self.is_integer else repr(float(target))
        self._manager.call(
            f"{self.name}: set to {text}",
            lambda: self._core.setProperty(self._label, self._property, text),
        )

    def wait(self, *, timeout_s: float) -> None:
        """Wait until the device is not busy."""
        self._manager.wait(self._label, timeout_s=timeout_s)

    def read_back(self) -> float:
        """Present value of the property."""
        return self._manager.call(f"{self.name}: value", self._read)

    def make_safe(self) -> None:
        """Stay."""

    def close(self) -> None:
        """Nothing of its own to release; the core is closed by its owner."""

    def _read(self) -> float:
        text = self._core.getProperty(self._label, self._property)
        try:
            value = float(text)
        except ValueError as error:
            raise ProtocolError(
                f"{self.name}: {text!r} read, which is no number; name a numeric property"
            ) from error
        if not math.isfinite(value):
            raise ProtocolError(f"{self.name}: {text!r} read, which is not finite")
        return value

    def _read_type(self) -> tuple[bool, bool, tuple[float, ...]]:
        core = self._core
        found = core.getPropertyType(self._label, self._property).name
        if found not in (*_NUMERIC, _UNTYPED):
            raise ProtocolError(f"{self.name} is of type {found}; name a numeric property")
        self._read()
        allowed = core.getAllowedPropertyValues(self._label, self._property)
        return (
            found == _INTEGER,
            bool(core.isPropertyReadOnly(self._label, self._property)),
            tuple(float(value) for value in allowed),
        )
