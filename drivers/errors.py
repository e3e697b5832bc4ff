"""What can go wrong with a device: one tree, so that one `except DeviceError` catches it all.

Every message is written for the person at the bench: which device (and role), what was asked,
what came back, what to do.
"""

from __future__ import annotations


class DeviceError(Exception):
    """Root of everything a driver raises."""


class DeviceTimeout(DeviceError):  # noqa: N818 - the word of DESIGN section 4
    """The device did not answer or did not arrive in time; its state is unknown until read back."""


class ConnectionLost(DeviceError):  # noqa: N818
    """The device cannot be reached (any more)."""


class ProtocolError(DeviceError):
    """The device answered, but not with what its declaration or its adapter promises."""


class InstrumentReported(DeviceError):  # noqa: N818
    """The instrument's own error queue (or the core) reported an error."""


class LimitViolation(DeviceError):  # noqa: N818
    """A value outside what the device, or the bench file, allows. Nothing has moved."""


class FrameLoss(DeviceError):  # noqa: N818
    """Fewer frames arrived than were asked for."""


class DriverUnavailable(DeviceError):  # noqa: N818
    """A driver is not installed, cannot be imported, or is not what a driver must be."""
