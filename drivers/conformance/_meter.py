"""Claims about a meter."""

from __future__ import annotations

from drivers.conformance._common import first_checks, last_checks, require_number, require_text
from drivers.conformance._running import Check, CheckResult, Scope, run_checks
from drivers.devices import Meter

READINGS = 3


def check_meter(meter: Meter, *, scope: Scope) -> list[CheckResult]:
    """Check a meter; reading it is all there is.

    Parameters
    ----------
    meter
        The device.
    scope
        How far to go.
    """

    def reads_numbers() -> str:
        readings = [require_number(meter.read(), "read") for _ in range(READINGS)]
        return f"{', '.join(f'{reading:g}' for reading in readings)} {meter.unit}"

    checks = [
        *first_checks(meter, Meter, "meter"),
        Check(claim="says its unit", asked="unit", run=lambda: require_text(meter.unit, "unit")),
        Check(claim="reads finite numbers", asked=f"read() x {READINGS}", run=reads_numbers),
        *last_checks(meter, lambda: "a reading does no harm"),
    ]
    return run_checks(meter, checks, scope=scope)
