"""Claims about a device with numbered positions."""

from __future__ import annotations

import math
from typing import Any

from drivers.conformance._common import first_checks, last_checks
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
from drivers.devices import Selector

MOST_VISITS = 3


def check_selector(
    selector: Selector, *, scope: Scope, safe: int | None = None
) -> list[CheckResult]:
    """Check a device with numbered positions.

    Parameters
    ----------
    selector
        The device.
    scope
        How far to go. MOVE visits at most three positions and comes back.
    safe
        Position it goes to when it is made safe; without one it must stay.
    """

    def where() -> int:
        position = selector.read_back()
        is_whole = isinstance(position, int) and not isinstance(position, bool)
        require(is_whole, f"{position!r} read back, a whole number expected")
        require(
            0 <= position < len(selector.labels),
            f"{position} read back, there are 0 to {len(selector.labels) - 1}",
        )
        return position

    def names_positions() -> str:
        labels = selector.labels
        require(isinstance(labels, tuple) and labels, f"labels {labels!r}, a tuple expected")
        require(all(type(label) is str for label in labels), f"labels {labels!r} that are no text")
        return ", ".join(labels)

    def bad_positions() -> list[Any]:
        return [-1, len(selector.labels), 0.5, math.nan, True, "no such position"]

    def moves_nothing() -> str:
        before = where()
        for position in range(len(selector.labels)):
            selector.check(position)
        return require(where() == before, f"{where()} read back, it was at {before}")

    def go(position: int) -> str:
        selector.start(position)
        selector.wait(timeout_s=ARRIVE_S)
        there = where()
        return require(there == position, f"{there} read back, {position} asked")

    def visits() -> str:
        before = where()
        others = [p for p in range(len(selector.labels)) if p != before][:MOST_VISITS]
        if not others:
            raise NotApplicable("it has one position only")
        return "; ".join(go(position) for position in [*others, before])

    def stays_when_safe() -> str:
        expected = where() if safe is None else safe
        selector.make_safe()
        return require(where() == expected, f"{where()} read back, {expected} expected")

    def refuses_at_start() -> str:
        before = where()
        said = require_refused(bad_positions(), selector.start)
        require(where() == before, f"{where()} read back, it was at {before}")
        return said

    when_safe = "stays when it is made safe" if safe is None else "goes where it is safe"
    claims = [
        ("says where it is", "read_back()", lambda: str(where()), Scope.READ_ONLY),
        ("names its positions", "labels", names_positions, Scope.READ_ONLY),
        (
            "refuses what is no position", "check(-1), check(0.5), check(True), ...",
            lambda: require_refused(bad_positions(), selector.check), Scope.READ_ONLY,
        ),
        ("checking moves nothing", "check(...), read_back()", moves_nothing, Scope.READ_ONLY),
        ("arrives where it is sent", "start, wait, read_back", visits, Scope.MOVE),
        (when_safe, "make_safe(), read_back()", stays_when_safe, Scope.MOVE),
        (
            "refuses at start, and stays", "start(-1), ..., read_back()", refuses_at_start,
            Scope.SIMULATED,
        ),
    ]  # fmt: skip
    checks = [
        *first_checks(selector, Selector, "selector"),
        *(Check(claim=c, asked=a, run=run, scope=s) for c, a, run, s in claims),
        *last_checks(selector, lambda: str(where())),
    ]
    return run_checks(selector, checks, scope=scope)
