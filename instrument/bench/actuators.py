"""Devices as something that goes where it is told and says whether it arrived, whatever it is.

The only place that knows what read-back each kind of role allows. A camera's exposure becomes an
actuator here like any other: checked, set, read back.
"""

from __future__ import annotations

from typing import Any, TypeVar

from drivers import (
    Actuator,
    Camera,
    Device,
    DeviceDescription,
    LightSource,
    LimitViolation,
    Position,
    ProtocolError,
    XYStage,
)
from instrument.bench.limits import amount, check_within
from instrument.config import (
    CameraRole,
    LightRole,
    PropertyRole,
    Role,
    RotationRole,
    SelectorRole,
    StageRole,
    XYStageRole,
)

KindT = TypeVar("KindT")
EXPOSURE_TOLERANCE = 0.05
"""Of an exposure: cameras count lines or clock cycles, and round to them."""


class ExposureActuator:
    """The exposure of a camera, in ms; it is there as soon as the camera has taken it."""

    def __init__(self, camera: Camera, exposure_ms: float):
        self._camera = camera
        self.exposure_ms = camera.set_exposure_ms(exposure_ms)

    @property
    def name(self) -> str:
        """Label of the camera."""
        return self._camera.name

    def describe(self) -> DeviceDescription:
        """Of the camera."""
        return self._camera.describe()

    def check(self, target: float) -> None:
        """Refuse an exposure beyond the limits the camera declares."""
        low, high = self._camera.exposure_limits_ms or (0.0, float("inf"))
        if not (low <= target <= high and 0 < target < float("inf")):  # also catches NaN
            raise LimitViolation(
                f"{self.name}: exposure {target:g} ms asked, above 0 and {low:g} to {high:g} ms "
                "allowed; correct bounds_ms of the design"
            )

    def start(self, target: float) -> None:
        """Set the exposure."""
        self.check(target)
        self.exposure_ms = self._camera.set_exposure_ms(target)

    def wait(self, *, timeout_s: float) -> None:
        """Return at once: setting it has waited."""

    def read_back(self) -> float:
        """Exposure that the camera said when it was set."""
        return self.exposure_ms

    def make_safe(self) -> None:
        """Stay."""

    def close(self) -> None:
        """Nothing of its own to release."""


def as_kind(device: Device, protocol: type[KindT], role: str) -> KindT:
    """Return the device as what its role needs; raise `ProtocolError` if it cannot be that."""
    if not isinstance(device, protocol):
        raise ProtocolError(
            f"{device.name} (role {role}) cannot do what a {protocol.__name__} must; "
            "check bench.roles"
        )
    return device


def check_target(name: str, role: Role, device: Actuator[Any], target: Any) -> None:
    """Raise `LimitViolation` where the role's soft limits or the device forbid a target."""
    match role:
        case StageRole(limits_um=limits):
            check_within(name, device.name, (target,), (limits,), "um")
        case RotationRole(limits_deg=limits):
            check_within(name, device.name, (target,), (limits,), "deg")
        case XYStageRole(limits_um=limits):
            check_within(name, device.name, target, limits, "um")
        case PropertyRole(limits=limits, unit=unit):
            check_within(name, device.name, (target,), (limits,), unit, key="limits")
        case LightRole(limits=limits, safe=safe) if target != safe:
            unit = as_kind(device, LightSource, name).unit
            check_within(name, device.name, (target,), (limits,), unit, key="limits")
    device.check(target)


def verify(name: str, role: Role, device: Actuator[Any], asked: Any) -> float | None:
    """Read back; return the number, or None where there is none to read (modulators, lights).

    Raises
    ------
    ProtocolError
        The device says that it is elsewhere than it was asked to be.
    """
    match role:
        case StageRole(tolerance_um=tolerance):
            return _verified(name, device, asked, tolerance, "um", "widen tolerance_um")
        case RotationRole(tolerance_deg=tolerance):
            return _verified(name, device, asked, tolerance, "deg", "widen tolerance_deg")
        case PropertyRole(tolerance=tolerance, unit=unit):
            return _verified(name, device, asked, tolerance, unit, "widen tolerance")
        case SelectorRole():
            return _verified(name, device, asked, 0.0, "(position)", "look what holds it")
        case CameraRole():
            tolerance = EXPOSURE_TOLERANCE * asked
            return _verified(name, device, asked, tolerance, "ms", "narrow bounds_ms")
    return None


def verify_position(name: str, role: Role, stage: XYStage, asked: Position) -> Position:
    """Read back a two-axis stage; raise `ProtocolError` if it is elsewhere than asked."""
    there = stage.read_back()
    tolerance = role.tolerance_um if isinstance(role, XYStageRole) else 0.0
    if not all(abs(t - a) <= tolerance for t, a in zip(there, asked, strict=True)):  # nor NaN
        raise ProtocolError(
            f"{stage.name} (role {name}): {asked} um asked, {there} um read back, "
            f"tolerance {tolerance:g} um; check for an obstacle, or widen tolerance_um"
        )
    return there


def _verified(
    name: str, device: Actuator[Any], asked: float, tolerance: float, unit: str, remedy: str
) -> float:
    there = float(device.read_back())
    if not abs(there - asked) <= tolerance + 1e-9 * abs(asked):  # also catches NaN
        raise ProtocolError(
            f"{device.name} (role {name}): {amount(asked, unit)} asked, {amount(there, unit)} read "
            f"back, tolerance {amount(tolerance, unit)}; check for an obstacle, or {remedy}"
        )
    return there
