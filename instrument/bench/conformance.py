"""The conformance suite on the devices of a bench, each within the soft limits of its role."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from drivers import Meter
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
from drivers.visa import VisaChoice, VisaNumber
from instrument.bench.bench import Bench
from instrument.bench.interlocks import InterlockTripped
from instrument.bench.timing import Stopwatch
from instrument.config import (
    CameraRole,
    LightRole,
    PropertyRole,
    Role,
    RotationRole,
    SelectorRole,
    ShutterRole,
    SlmRole,
    StageRole,
    XYStageRole,
)

LONGEST_CHECK_S = 60.0


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
        Results by role, and by what each interlock reads.
    """
    results = {
        name: _check_role(bench, role, bench.devices[name], scope=scope)
        for name, role in bench.roles.items()
    }
    for interlock in bench.interlocks:
        meter = interlock.meter
        if isinstance(meter, Meter):  # otherwise a role's position, whose device is checked above
            results[f"interlock {interlock.name}"] = check_meter(meter, scope=scope)
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
            safe = device.safe if isinstance(device, VisaChoice) else None
            return check_selector(device, scope=scope, safe=safe)
        case StageRole(limits_um=limits, tolerance_um=tolerance):
            return check_stage(device, scope=scope, limits_um=limits, tolerance_um=tolerance)
        case RotationRole(limits_deg=limits, tolerance_deg=tolerance):
            return check_rotation(device, scope=scope, limits_deg=limits, tolerance_deg=tolerance)
        case XYStageRole(limits_um=limits, tolerance_um=tolerance):
            return check_xy_stage(device, scope=scope, limits_um=limits, tolerance_um=tolerance)
        case PropertyRole(limits=limits, tolerance=tolerance):
            safe = device.safe if isinstance(device, VisaNumber) else None
            return check_property(
                device, scope=scope, limits=limits, tolerance=tolerance, safe=safe
            )
        case ShutterRole(level=is_open):
            with _watched(bench, scope):
                return check_light(
                    device, scope=scope, level=is_open, kind="shutter", why_not=why_dark
                )
        case LightRole(limits=limits):
            with _watched(bench, scope):
                return check_light(device, scope=scope, limits=limits, why_not=why_dark)


@contextmanager
def _watched(bench: Bench, scope: Scope) -> Iterator[None]:
    """Have watchdog and guardian on duty while the suite itself switches a light."""
    try:
        bench.check_interlocks()
        is_lit = scope >= Scope.MOVE
    except InterlockTripped:
        is_lit = False  # the suite says so, and lights nothing
    if not is_lit:
        yield
        return
    lighting = bench.lighting
    with (
        lighting.on({}, stopwatch=Stopwatch(), settle=lambda: None),
        lighting.expecting("the conformance suite of a light", need_s=LONGEST_CHECK_S),
    ):
        yield
