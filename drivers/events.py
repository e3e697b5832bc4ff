"""What hardware tells by itself: a stage moved by its joystick, a property changed by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

POSITION, EXPOSURE = "position", "exposure"
"""What changed, where it is no property."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HardwareEvent:
    """Something about a device changed, whoever changed it.

    Parameters
    ----------
    device
        Label of the device.
    what
        `position` (um or deg), `exposure` (ms), or the name of a property.
    value
        What it is now, as text; two numbers of a two-axis stage are separated by a comma.
    """

    device: str
    what: str
    value: str


class EventSource(Protocol):
    """A subscription to what hardware tells."""

    def take(self) -> list[HardwareEvent]:
        """Return what came since the last call, oldest first; never waits.

        A source keeps a bounded number of events and drops the oldest.
        """
        ...
