"""Claims about a spatial light modulator."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivers.conformance._common import first_checks, last_checks
from drivers.conformance._running import (
    ARRIVE_S,
    Check,
    CheckResult,
    Scope,
    require,
    require_refused,
    run_checks,
    shown,
)
from drivers.devices import SpatialLightModulator


def check_slm(slm: SpatialLightModulator, *, scope: Scope) -> list[CheckResult]:
    """Check a modulator.

    Parameters
    ----------
    slm
        The device.
    scope
        How far to go. MOVE shows two patterns and leaves the modulator flat.
    """

    def says_its_format() -> str:
        height, width = slm.shape
        require(height > 0 and width > 0, f"shape {slm.shape}")
        require(2 <= slm.levels <= 256, f"{slm.levels} levels, 2 to 256 fit uint8")
        return f"{height} x {width} pixels, {slm.levels} levels"

    def bad_patterns() -> list[NDArray[Any]]:
        height, width = slm.shape
        return [
            np.full(slm.shape, 300, np.uint16),
            np.full(slm.shape, np.nan),
            np.zeros((height + 1, width), np.uint8),
            np.zeros((height, width, 1), np.uint8),
        ]

    def allows_a_pattern() -> str:
        slm.check(ramp())
        return shown(ramp())

    def ramp() -> NDArray[np.uint8]:
        return (
            (np.arange(slm.shape[0] * slm.shape[1]) % slm.levels)
            .astype(np.uint8)
            .reshape(slm.shape)
        )

    def shows_what_it_was_given() -> str:
        pattern = ramp()
        slm.start(pattern)
        slm.wait(timeout_s=ARRIVE_S)
        there = slm.read_back()
        require(there.dtype == np.uint8 and there.shape == slm.shape, f"{shown(there)} read back")
        differ = int((there != pattern).sum())
        return require(differ == 0, f"{differ} of {pattern.size} pixels read back differently")

    def keeps_copies() -> str:
        pattern = ramp()
        slm.start(pattern)
        slm.wait(timeout_s=ARRIVE_S)
        pattern[:] = slm.levels - 1
        require((slm.read_back() == ramp()).all(), "what was given is kept and not copied")
        slm.read_back()[:] = slm.levels - 1
        require((slm.read_back() == ramp()).all(), "what is read back is no copy")
        return "the pattern stayed"

    def is_flat() -> str:
        there = slm.read_back()
        return require(np.ptp(there) == 0, f"grey levels {there.min()} to {there.max()}")

    def refuses_at_start() -> str:
        slm.start(ramp())
        slm.wait(timeout_s=ARRIVE_S)
        said = require_refused(bad_patterns(), slm.start)
        require((slm.read_back() == ramp()).all(), "the pattern has changed")
        return said

    claims = [
        ("says its format", "shape, levels", says_its_format, Scope.READ_ONLY),
        (
            "refuses what it would wrap or stretch", "check(300), check(nan), check(shape + 1)",
            lambda: require_refused(bad_patterns(), slm.check), Scope.READ_ONLY,
        ),
        ("allows a pattern", "check(uint8)", allows_a_pattern, Scope.READ_ONLY),
        ("shows what it was given", "start, wait, read_back", shows_what_it_was_given, Scope.MOVE),
        ("keeps copies", "start, read_back", keeps_copies, Scope.MOVE),
        (
            "refuses at start, and stays", "start(300), ..., read_back()", refuses_at_start,
            Scope.SIMULATED,
        ),
    ]  # fmt: skip
    checks = [
        *first_checks(slm, SpatialLightModulator, "slm"),
        *(Check(claim=c, asked=a, run=run, scope=s) for c, a, run, s in claims),
        *last_checks(slm, is_flat),
    ]
    return run_checks(slm, checks, scope=scope)
