"""Claims about a light: dark unless asked, no more than allowed, and dark again."""

from __future__ import annotations

import math
from collections.abc import Callable

from drivers.conformance._common import (
    Limits,
    beyond,
    first_checks,
    last_checks,
    require_number,
    require_ordered,
    require_text,
)
from drivers.conformance._running import (
    ARRIVE_S,
    Check,
    CheckResult,
    NotApplicable,
    Scope,
    require,
    require_refused,
    run_checks,
)
from drivers.devices import LightSource
from drivers.errors import DeviceError

LOWEST_SHARE = 0.01
READ_BACK_TOLERANCE = 0.1


def lowest_level(limits: Limits) -> float:
    """Return the lowest level above zero that is tried: the lower limit, or 1 % of the upper."""
    low, high = limits
    return low if low > 0 else LOWEST_SHARE * high


def check_light(
    light: LightSource,
    *,
    scope: Scope,
    limits: Limits | None = None,
    level: float | None = None,
    kind: str = "light",
    why_not: Callable[[], str | None] = lambda: None,
) -> list[CheckResult]:
    """Check a light that is off.

    Parameters
    ----------
    light
        The device.
    scope
        How far to go. MOVE lights it once, at `lowest_level`, and switches it off whatever comes.
    limits
        Levels that may be used; by default its own.
    level
        Level that it is lit at; by default the lowest, `lowest_level`.
    kind
        Its word in a description.
    why_not
        Asked before it is lit: why it must stay dark now (an interlock), or None.
    """

    def first_level() -> float:
        return lowest_level(limits or light.limits) if level is None else level

    def is_dark() -> str:
        is_on = light.is_on()
        require(isinstance(is_on, bool), f"is_on() is {is_on!r}, True or False expected")
        return require(not is_on, f"is_on() is {is_on}")

    def bad_levels() -> list[float]:
        return [math.nan, math.inf, -math.inf, *beyond(light.limits)]

    def checking_lights_nothing() -> str:
        for limit in limits or light.limits:
            light.check(limit)
        return is_dark()

    def shines_and_goes_dark() -> str:
        reason = why_not()
        if reason is not None:
            raise NotApplicable(reason)
        asked = first_level()
        try:
            light.start(asked)
            light.wait(timeout_s=ARRIVE_S)
            there = require_number(light.read_back(), "read back")
            near = abs(there - asked) <= READ_BACK_TOLERANCE * asked
            require(near, f"{there:g} {light.unit} read back, {asked:g} asked")
            require(light.is_on(), f"is_on() is False at {asked:g} {light.unit}")
        finally:
            light.make_safe()
        is_dark()
        return f"{there:g} {light.unit}, then dark"

    def refuses_at_start() -> str:
        try:
            said = require_refused(bad_levels(), light.start)
            is_dark()
        finally:
            light.make_safe()
        return said

    def closed_is_dark() -> str:
        light.start(first_level())
        for _ in range(2):
            light.close()
        try:
            return is_dark()
        except DeviceError as error:
            return f"it cannot be asked any more: {error}"

    claims = [
        ("is dark", "is_on()", is_dark, Scope.READ_ONLY),
        ("says its unit", "unit", lambda: require_text(light.unit, "unit"), Scope.READ_ONLY),
        (
            "says its level", "read_back()",
            lambda: f"{require_number(light.read_back(), 'read back'):g} {light.unit}",
            Scope.READ_ONLY,
        ),
        (
            "declares its limits in order", "limits",
            lambda: require_ordered(light.limits, light.unit), Scope.READ_ONLY,
        ),
        (
            "refuses what is no level, or beyond its limits", "check(nan), ..., check(limit + 1 %)",
            lambda: require_refused(bad_levels(), light.check), Scope.READ_ONLY,
        ),
        (
            "checking lights nothing", "check(...), is_on()", checking_lights_nothing,
            Scope.READ_ONLY,
        ),
        (
            "shines at its lowest level, and goes dark", "start, wait, is_on, make_safe, is_on",
            shines_and_goes_dark, Scope.MOVE,
        ),
        (
            "refuses at start, and stays dark", "start(nan), ..., is_on()", refuses_at_start,
            Scope.SIMULATED,
        ),
    ]  # fmt: skip
    end = last_checks(light, is_dark)
    end[-1] = Check(
        claim="is dark once closed", asked="start, close() twice, is_on()", run=closed_is_dark,
        scope=Scope.SIMULATED,
    )  # fmt: skip
    checks = [
        *first_checks(light, LightSource, kind),
        *(Check(claim=c, asked=a, run=run, scope=s) for c, a, run, s in claims),
        *end,
    ]
    return run_checks(light, checks, scope=scope)
