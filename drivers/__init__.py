"""Hardware and its virtual twins behind small protocols. Knows no science and no other room."""

from drivers.devices import (
    Actuator,
    Camera,
    Device,
    DeviceDescription,
    LightSource,
    Meter,
    NumericProperty,
    Position,
    RotationStage,
    Selector,
    SpatialLightModulator,
    Stage,
    XYStage,
)
from drivers.errors import (
    ConnectionLost,
    DeviceError,
    DeviceTimeout,
    FrameLoss,
    InstrumentReported,
    LimitViolation,
    ProtocolError,
)

__all__ = [
    "Actuator",
    "Camera",
    "ConnectionLost",
    "Device",
    "DeviceDescription",
    "DeviceError",
    "DeviceTimeout",
    "FrameLoss",
    "InstrumentReported",
    "LightSource",
    "LimitViolation",
    "Meter",
    "NumericProperty",
    "Position",
    "ProtocolError",
    "RotationStage",
    "Selector",
    "SpatialLightModulator",
    "Stage",
    "XYStage",
]
