"""Slew limits: how far a role may go in one move, or a second; farther goes in steps, or not.

The limit is checked before the first device of a design moves, and kept on the way. Light off is
never slowed down.
"""

from __future__ import annotations

import math
from typing import Any

from drivers import LimitViolation
from instrument.bench.limits import amount
from instrument.config import (
    LightRole,
    PropertyRole,
    Role,
    RotationRole,
    Slew,
    StageRole,
    XYStageRole,
)

RAMP_INTERVAL_S = 0.1
"""Between two steps of a ramp that is limited per second."""

MOST_STEPS = 10_000


def slew_of(role: Role) -> Slew | None:
    """Return the slew limit of a role, if it has one."""
    match role:
        case StageRole() | RotationRole() | XYStageRole() | PropertyRole() | LightRole():
            return role.slew
    return None


def largest_step(role: Role) -> float:
    """Return how far a role may go in one step, in its unit; infinite without a slew limit."""
    slew = slew_of(role)
    if slew is None:
        return math.inf
    return slew.most if slew.per == "move" else slew.most * RAMP_INTERVAL_S


def waypoints(
    name: str, role: Role, here: Any, target: Any, *, unit: str, is_whole: bool = False
) -> list[Any]:
    """Return where a device is sent one after the other, `target` last.

    Parameters
    ----------
    name, role
        Of the device, for its limit and the message.
    here, target
        Number, or (x, y), in the role's unit. The limit of two axes is one along the line.
    unit
        Of the target, for the message.
    is_whole
        Whether the device takes whole numbers only.

    Raises
    ------
    LimitViolation
        The target is farther than one move may go, and the file refuses that.
    """
    slew = slew_of(role)
    if slew is None:
        return [target]
    distance = math.dist(here, target) if isinstance(target, tuple) else abs(target - here)
    steps = math.ceil(distance / largest_step(role) * (1 - 1e-9))
    if steps <= 1:
        return [target]
    if slew.beyond == "refuse":
        raise LimitViolation(
            f"role {name}: a move of {amount(distance, unit)} asked, slew allows "
            f"{amount(slew.most, unit)}; go in smaller moves, or set beyond: ramp in bench.roles"
        )
    if steps > MOST_STEPS:
        raise LimitViolation(
            f"role {name}: {amount(distance, unit)} at {amount(slew.most, unit)} per {slew.per} "
            f"would take {steps} steps; raise slew.most in bench.roles"
        )
    between = [_between(here, target, step / steps) for step in range(1, steps)]
    return [*(map(round, between) if is_whole else between), target]


def pause_s(role: Role) -> float:
    """Return the time between two steps of a role's ramp."""
    slew = slew_of(role)
    return RAMP_INTERVAL_S if slew is not None and slew.per == "s" else 0.0


def unit_of(role: Role) -> str:
    """Return the unit of a role's target, as the file gives it; `1` for a plain number."""
    match role:
        case StageRole() | XYStageRole():
            return "um"
        case RotationRole():
            return "deg"
        case PropertyRole(unit=unit):
            return unit
    return "1"


def _between(here: Any, target: Any, share: float) -> Any:
    if isinstance(target, tuple):
        return tuple(a + share * (b - a) for a, b in zip(here, target, strict=True))
    return here + share * (target - here)
