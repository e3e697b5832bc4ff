"""The conformance suite on the devices of a bench, each within the soft limits of its role."""

from __future__ import annotations

import math
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
    lowest_level,
)
from drivers.visa import VisaChoice, VisaNumber
from instrument.bench.bench import Bench
from instrument.bench.interlocks import InterlockTripped, component
from instrument.bench.slew import largest_step
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
Limits = tuple[float, float]


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
        name: _check_role(bench, name, role, bench.devices[name], scope=scope)
        for name, role in bench.roles.items()
    }
    for interlock in bench.interlocks:
        meter = interlock.meter
        if isinstance(meter, Meter):  # otherwise a role's position, whose device is checked above
            results[f"interlock {interlock.name}"] = check_meter(meter, scope=scope)
    return results


def _check_role(
    bench: Bench, name: str, role: Role, device: Any, *, scope: Scope
) -> list[CheckResult]:
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
        case StageRole(tolerance_um=tolerance):
            limits = _room(bench, name, role.limits_um)
            return check_stage(device, scope=scope, limits_um=limits, tolerance_um=tolerance)
        case RotationRole(tolerance_deg=tolerance):
            limits = _room(bench, name, role.limits_deg)
            return check_rotation(device, scope=scope, limits_deg=limits, tolerance_deg=tolerance)
        case XYStageRole(limits_um=(of_x, of_y), tolerance_um=tolerance):
            limits_um = (_room(bench, name, of_x, "x"), _room(bench, name, of_y, "y"))
            return check_xy_stage(device, scope=scope, limits_um=limits_um, tolerance_um=tolerance)
        case PropertyRole(tolerance=tolerance):
            limits = _room(bench, name, role.limits)
            safe = device.safe if isinstance(device, VisaNumber) else None
            return check_property(
                device, scope=scope, limits=limits, tolerance=tolerance, safe=safe
            )
        case ShutterRole(level=is_open):
            with _watched(bench, scope):
                return check_light(
                    device, scope=scope, level=is_open, kind="shutter", why_not=why_dark
                )
        case LightRole(limits=limits, safe=safe):
            is_too_far = lowest_level(limits) - safe > largest_step(role)
            too_far = f"{lowest_level(limits):g} is farther from dark than its slew limit allows"
            with _watched(bench, scope):
                return check_light(
                    device,
                    scope=scope,
                    limits=limits,
                    why_not=(lambda: too_far) if is_too_far else why_dark,
                )


def _room(bench: Bench, name: str, limits: Limits, axis: str = "") -> Limits:
    """Return where a role may be sent in one move: within slew limits and interlocks as well.

    Any two places in it are within the slew limit of each other. Far outside the soft limits there
    is no such room, and the soft limits are returned: the device is being brought back.
    """
    low, high = limits
    for interlock in bench.interlocks:
        if (interlock.role, interlock.axis) == (name, axis):
            low = low if interlock.above is None else max(low, interlock.above)
            high = high if interlock.below is None else min(high, interlock.below)
    step = largest_step(bench.roles[name]) / (2 * math.sqrt(2) if axis else 2)
    if math.isfinite(step):
        try:
            here = component(bench.devices[name].read_back(), axis)  # type: ignore[attr-defined]
        except Exception:  # noqa: BLE001 - the suite asks again, before any move, and reports it
            return limits
        low, high = max(low, here - step), min(high, here + step)
    return (low, high) if low < high else limits


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
