"""For tests of your own drivers and benches, without hardware.

Mock devices keep the protocols of `drivers.devices`, remember what was asked of them and go wrong
when told to; a `FaultServer` is a SCPI instrument on a socket that does the same one layer below.
"""

from drivers.testing._mock import Call, Hang, MockDevice, Record
from drivers.testing.actuators import (
    MockProperty,
    MockRotation,
    MockSelector,
    MockStage,
    MockXYStage,
)
from drivers.testing.fault_server import Fault, FaultServer
from drivers.testing.optics import MockCamera, MockLight, MockMeter, MockSlm

__all__ = [
    "Call",
    "Fault",
    "FaultServer",
    "Hang",
    "MockCamera",
    "MockDevice",
    "MockLight",
    "MockMeter",
    "MockProperty",
    "MockRotation",
    "MockSelector",
    "MockSlm",
    "MockStage",
    "MockXYStage",
    "Record",
]
