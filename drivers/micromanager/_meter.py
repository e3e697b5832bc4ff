"""A numeric property of a Micro-Manager device that is only read: a sensor's temperature, say."""

from __future__ import annotations

import math

from drivers.devices import DeviceDescription
from drivers.errors import ProtocolError
from drivers.micromanager._core import MicroManager


class MicroManagerMeter:
    """One property of a device as a reading (`drivers.devices.Meter`).

    Parameters
    ----------
    manager
        Owner of the core.
    label, property_name
        Of the device, and of its property; it may be read-only.
    unit
        Of the reading: Micro-Manager's properties have none.

    Raises
    ------
    ConnectionLost, ProtocolError
        If there is no such device or property, or it reads no number.
    """

    def __init__(self, manager: MicroManager, label: str, property_name: str, *, unit: str = "1"):
        manager.require_property(label, property_name)
        self.name = f"{label}.{property_name}"
        self.unit = unit
        self._label = label
        self._property = property_name
        self._manager = manager
        self.read()

    def describe(self) -> DeviceDescription:
        """Identity and properties of the device."""
        return self._manager.describe(self._label, "meter")

    def read(self) -> float:
        """One reading in `unit`; raises `DeviceError`, never NaN."""
        text = self._manager.call(
            f"{self.name}: reading",
            lambda: self._manager.core.getProperty(self._label, self._property),
        )
        try:
            value = float(text)
        except ValueError as error:
            raise ProtocolError(
                f"{self.name}: {text!r} read, which is no number; name a numeric property"
            ) from error
        if not math.isfinite(value):
            raise ProtocolError(f"{self.name}: {text!r} read, which is not finite")
        return value

    def make_safe(self) -> None:
        """Nothing: a reading does no harm."""

    def close(self) -> None:
        """Nothing of its own to release; the core is closed by its owner."""
