"""The conformance suite on the devices of a bench, each within the soft limits of its role."""

from __future__ import annotations

from typing import Any

from drivers.conformance import (
    CheckResult,
    Scope,
    check_camera,
    check_light,
    check_meter,
    check_property,
    check_rotation,
    check_selector,
    check_slm,
    check_stage,
    check_xy_stage,
)
from instrument.bench.bench import Bench
from instrument.bench.safety import InterlockTripped
from instrument.config import (
    CameraRole,
    LightRole,
    PropertyRole,
    Role,
    RotationRole,
    SelectorRole,
    SlmRole,
    StageRole,
    XYStageRole,
)


def check_bench(bench: Bench, *, scope: Scope) -> dict[str, list[CheckResult]]:
    """Check every device of a bench and every meter of its interlocks.

    Parameters
    ----------
    bench
        Connected, its lights off.
    scope
        How far to go. Moves stay within the roles' soft limits; a light is lit once at its lowest
        level above zero, if the interlocks hold, and is off after.

    Returns
    -------
    dict
        Results by role, and by channel of each interlock.
    """
    results = {
        name: _check_role(bench, role, bench.devices[name], scope=scope)
        for name, role in bench.roles.items()
    }
    for interlock in bench.interlocks:
        results[f"interlock {interlock.channel}"] = check_meter(interlock.meter, scope=scope)
    return results


def _check_role(bench: Bench, role: Role, device: Any, *, scope: Scope) -> list[CheckResult]:
    """Check a device; its first claim is that it is what its role needs."""

    def why_dark() -> str | None:
        try:
            bench.check_interlocks()
        except InterlockTripped as tripped:
            return str(tripped)
        return None

    match role:
        case CameraRole(exposure_ms=exposure_ms):
            return check_camera(device, scope=scope, exposure_ms=exposure_ms)
        case SlmRole():
            return check_slm(device, scope=scope)
        case SelectorRole():
            return check_selector(device, scope=scope)
        case StageRole(limits_um=limits, tolerance_um=tolerance):
            return check_stage(device, scope=scope, limits_um=limits, tolerance_um=tolerance)
        case RotationRole(limits_deg=limits, tolerance_deg=tolerance):
            return check_rotation(device, scope=scope, limits_deg=limits, tolerance_deg=tolerance)
        case XYStageRole(limits_um=limits, tolerance_um=tolerance):
            return check_xy_stage(device, scope=scope, limits_um=limits, tolerance_um=tolerance)
        case PropertyRole(limits=limits, tolerance=tolerance):
            return check_property(device, scope=scope, limits=limits, tolerance=tolerance)
        case LightRole(limits=limits):
            return check_light(device, scope=scope, limits=limits, why_not=why_dark)
