"""Claims about what moves along numbers: stages of one axis or two, rotations, properties."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from drivers.conformance._common import (
    Limits,
    beyond,
    first_checks,
    last_checks,
    require_number,
    require_ordered,
)
from drivers.conformance._running import (
    ARRIVE_S,
    Check,
    CheckResult,
    NotApplicable,
    NotAsPromised,
    Scope,
    require,
    require_refused,
    run_checks,
)
from drivers.devices import Actuator, NumericProperty, RotationStage, Stage, XYStage
from drivers.errors import LimitViolation

NO_NUMBERS = (math.nan, math.inf, -math.inf)
SHARES = (0.4, 0.6)
"""Of the allowed range, where a device is sent."""


def check_stage(
    stage: Stage, *, scope: Scope, limits_um: Limits | None = None, tolerance_um: float = 0.5
) -> list[CheckResult]:
    """Check a one-axis stage.

    Parameters
    ----------
    stage
        The device.
    scope
        How far to go.
    limits_um
        Where it may be sent; by default its own travel.
    tolerance_um
        How far from its target it may arrive.
    """
    axis = _Axis(stage, lambda: stage.limits_um, limits_um, tolerance_um, "um")
    return run_checks(stage, axis.checks(Stage, "stage"), scope=scope)


def check_rotation(
    rotation: RotationStage,
    *,
    scope: Scope,
    limits_deg: Limits | None = None,
    tolerance_deg: float = 0.1,
) -> list[CheckResult]:
    """Check a rotation stage; as `check_stage`, in degrees."""
    axis = _Axis(rotation, lambda: rotation.limits_deg, limits_deg, tolerance_deg, "deg")
    return run_checks(rotation, axis.checks(RotationStage, "rotation"), scope=scope)


def check_property(
    number: NumericProperty,
    *,
    scope: Scope,
    limits: Limits | None = None,
    tolerance: float = 0.0,
    safe: float | None = None,
) -> list[CheckResult]:
    """Check a numeric property; as `check_stage`, in the property's own unit.

    `safe` is where it goes when it is made safe; without one it must stay.
    """
    axis = _Axis(
        number, lambda: number.limits, limits, tolerance, "",
        is_whole=lambda: number.is_integer, safe=safe,
    )  # fmt: skip

    def refuses_fractions() -> str:
        if not number.is_integer:
            raise NotApplicable("it takes fractions")
        between = math.floor(require_number(number.read_back(), "read back")) + 0.5
        return require_refused([between], number.check)

    of_numbers = Check(
        claim="refuses fractions where it takes whole numbers", asked="check(n + 0.5)",
        run=refuses_fractions,
    )  # fmt: skip
    checks = axis.checks(NumericProperty, "property")
    return run_checks(number, [*checks[:-2], of_numbers, *checks[-2:]], scope=scope)


def check_xy_stage(
    stage: XYStage,
    *,
    scope: Scope,
    limits_um: tuple[Limits, Limits] | None = None,
    tolerance_um: float = 0.5,
) -> list[CheckResult]:
    """Check a two-axis stage; `limits_um` are those of x and of y, else as `check_stage`."""
    pair = _Pair(stage, lambda: stage.limits_um, limits_um, tolerance_um, "um")
    return run_checks(stage, pair.checks(XYStage, "xy_stage"), scope=scope)


class _Axis:
    """The claims, with what differs between one number and two in methods of their own."""

    def __init__(
        self,
        device: Actuator[Any],
        declared: Callable[[], Any],
        allowed: Any,
        tolerance: float,
        unit: str,
        *,
        is_whole: Callable[[], bool] = lambda: False,
        safe: float | None = None,
    ):
        self._device = device
        self._declared = declared
        self._allowed = allowed
        self._tolerance = tolerance
        self._unit = unit
        self._is_whole = is_whole
        self._safe = safe

    def checks(self, protocol: type, kind: str) -> list[Check]:
        """All claims about the device, the last two being those of every device."""
        device = self._device
        first_place: list[Any] = []

        def stays_when_safe() -> str:
            expected = self._where() if self._safe is None else self._safe
            device.make_safe()
            return self._require_at(expected)

        def arrives() -> str:
            first_place.append(self._where())
            came = [self._go(target) for target in self._targets()]
            return ", ".join(came)

        def returns() -> str:
            if not first_place:
                raise NotApplicable("it has not moved")
            try:
                device.check(first_place[0])
                self._require_allowed(first_place[0])
            except (LimitViolation, NotAsPromised) as error:
                raise NotApplicable(f"it came from beyond its limits: {error}") from error
            return self._go(first_place[0])

        def moves_nothing() -> str:
            before = self._where()
            for target in self._targets():
                device.check(target)
            return self._require_at(before)

        def refuses_at_start() -> str:
            before = self._where()
            bad = [*self._no_numbers(), *(self._outside() if self._declared() else [])]
            said = require_refused(bad, device.start)
            self._require_at(before)
            return said

        stays = self._safe is None
        when_safe = "stays when it is made safe" if stays else "goes where it is safe"
        claims = [
            ("says where it is", "read_back()", lambda: str(self._where()), Scope.READ_ONLY),
            ("declares its limits in order", "limits", self._limits_in_order, Scope.READ_ONLY),
            (
                "refuses what is no number", "check(nan), check(inf), check(-inf)",
                lambda: require_refused(self._no_numbers(), device.check), Scope.READ_ONLY,
            ),
            (
                "refuses what is beyond its limits", "check(limit +- 1 %)",
                lambda: require_refused(self._outside(), device.check), Scope.READ_ONLY,
            ),
            ("checking moves nothing", "check(...), read_back()", moves_nothing, Scope.READ_ONLY),
            ("arrives where it is sent", "start, wait, read_back", arrives, Scope.MOVE),
            ("comes back", "start, wait, read_back", returns, Scope.MOVE),
            (when_safe, "make_safe(), read_back()", stays_when_safe, Scope.MOVE),
            (
                "refuses at start, and stays", "start(nan), ..., read_back()", refuses_at_start,
                Scope.SIMULATED,
            ),
        ]  # fmt: skip
        return [
            *first_checks(device, protocol, kind),
            *(Check(claim=c, asked=a, run=run, scope=scope) for c, a, run, scope in claims),
            *last_checks(device, lambda: str(self._where())),
        ]

    # ---- one number

    def _where(self) -> Any:
        return require_number(self._device.read_back(), "read back")

    def _limits_in_order(self) -> str:
        return require_ordered(self._declared(), "limits")

    def _no_numbers(self) -> Sequence[Any]:
        return NO_NUMBERS

    def _outside(self) -> Sequence[Any]:
        return beyond(self._declared())

    def _range(self) -> Any:
        within = self._allowed or self._declared()
        if within is None or not all(map(math.isfinite, within)):
            raise NotApplicable("it declares no limits, and none were given")
        return within

    def _candidates(self) -> list[Any]:
        low, high = self._range()
        places = [low + share * (high - low) for share in SHARES]
        if self._is_whole():  # between narrow limits there may be no whole number
            places = [place for place in map(float, map(round, places)) if low <= place <= high]
        return [*places, low, high]

    def _distance(self, here: Any, there: Any) -> float:
        return abs(here - there)

    def _require_allowed(self, target: Any) -> None:
        low, high = self._range()
        require(low <= target <= high, f"{target:g} is beyond {low:g} to {high:g}")

    # ---- any numbers

    def _targets(self) -> list[Any]:
        """Two targets within the limits that the device allows; few values may be all it takes."""
        allowed, refused = [], ""
        for target in self._candidates():
            try:
                self._device.check(target)
            except LimitViolation as error:
                refused = str(error)
            else:
                allowed.append(target)
        require(allowed, f"all is refused, also what is within the limits: {refused}")
        return allowed[: len(SHARES)]

    def _go(self, target: Any) -> str:
        self._device.start(target)
        self._device.wait(timeout_s=ARRIVE_S)
        return self._require_at(target)

    def _require_at(self, target: Any) -> str:
        there = self._where()
        near = self._distance(there, target) <= self._tolerance + 1e-9 * _size(target)
        require(near, f"{there} {self._unit} read back, {target} {self._unit} expected")
        return f"{there} {self._unit}"


class _Pair(_Axis):
    """Two numbers at once."""

    def _where(self) -> Any:
        x, y = self._device.read_back()
        return require_number(x, "x read back"), require_number(y, "y read back")

    def _limits_in_order(self) -> str:
        declared = self._declared()
        if declared is None:
            return "none declared"
        return ", ".join(map(require_ordered, declared, "xy"))

    def _no_numbers(self) -> Sequence[Any]:
        here = self._where()
        return [pair for bad in NO_NUMBERS for pair in ((bad, here[1]), (here[0], bad), (bad, bad))]

    def _outside(self) -> Sequence[Any]:
        declared = self._declared()
        if declared is None:
            raise NotApplicable("it declares no limits")
        x, y = self._where()
        of_x, of_y = map(beyond, declared)
        return [*((bad, y) for bad in of_x), *((x, bad) for bad in of_y)]

    def _range(self) -> Any:
        within = self._allowed or self._declared()
        if within is None:
            raise NotApplicable("it declares no limits, and none were given")
        return within

    def _candidates(self) -> list[Any]:
        (low_x, high_x), (low_y, high_y) = self._range()
        return [
            (low_x + share * (high_x - low_x), high_y - share * (high_y - low_y))
            for share in SHARES
        ]

    def _distance(self, here: Any, there: Any) -> float:
        return max(abs(h - t) for h, t in zip(here, there, strict=True))

    def _require_allowed(self, target: Any) -> None:
        for value, (low, high) in zip(target, self._range(), strict=True):
            require(low <= value <= high, f"{value:g} is beyond {low:g} to {high:g}")


def _size(target: Any) -> float:
    return max(map(abs, target)) if isinstance(target, tuple) else abs(target)
