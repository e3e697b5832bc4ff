"""Claims about a camera: counts of the right kind, as many as asked, and nobody else's memory."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from drivers.conformance._common import first_checks, last_checks, require_number, require_ordered
from drivers.conformance._running import (
    ARRIVE_S,
    Check,
    CheckResult,
    NotApplicable,
    Scope,
    require,
    require_refused,
    run_checks,
    shown,
)
from drivers.devices import Camera

EXPOSURE_TOLERANCE = 0.05
FRAMES = 3


def check_camera(camera: Camera, *, scope: Scope, exposure_ms: float = 1.0) -> list[CheckResult]:
    """Check a camera.

    Parameters
    ----------
    camera
        The device.
    scope
        How far to go. MOVE exposes, whatever light there is.
    exposure_ms
        Exposure to use, and to leave behind.
    """

    def says_its_format() -> str:
        height, width = camera.shape
        require(height > 0 and width > 0, f"shape {camera.shape}")
        require(1 <= camera.bit_depth <= 16, f"{camera.bit_depth} bit, 1 to 16 fit uint16")
        return f"{height} x {width} pixels of {camera.bit_depth} bit"

    def limits_in_order() -> str:
        limits_ms = camera.exposure_limits_ms
        require(limits_ms is None or limits_ms[0] >= 0, f"{limits_ms} ms begin below 0")
        return require_ordered(limits_ms, "exposure_ms")

    def takes_its_exposure() -> str:
        said_ms = require_number(camera.set_exposure_ms(exposure_ms), "exposure read back")
        near = abs(said_ms - exposure_ms) <= EXPOSURE_TOLERANCE * exposure_ms
        return require(near, f"{said_ms:g} ms read back, {exposure_ms:g} ms asked")

    def refuses_exposures() -> str:
        _, longest_ms = camera.exposure_limits_ms or (0.0, math.inf)
        bad_ms = [math.nan, math.inf, -math.inf, -1.0, 0.0]
        if math.isfinite(longest_ms):
            bad_ms.append(longest_ms * 1.001)
        try:
            return require_refused(bad_ms, camera.set_exposure_ms)
        finally:
            camera.set_exposure_ms(exposure_ms)

    def frame() -> NDArray[np.uint16]:
        return camera.snap(timeout_s=ARRIVE_S)

    def require_counts(counts: NDArray[np.uint16], shape: tuple[int, ...]) -> str:
        is_ndarray = isinstance(counts, np.ndarray)
        require(is_ndarray and counts.dtype == np.uint16, f"{shown(counts)} came, uint16 expected")
        require(counts.shape == shape, f"{counts.shape} came, {shape} expected")
        top = int(counts.max())
        require(top < 2**camera.bit_depth, f"{top} ADU is more than {camera.bit_depth} bit hold")
        return f"{shown(counts)}, {int(counts.min())} to {top} ADU"

    def snaps() -> str:
        return require_counts(frame(), camera.shape)

    def frames_are_copies() -> str:
        kept = frame()
        before = kept.copy()
        others = [frame(), *camera.capture(2, timeout_s=ARRIVE_S)]
        require((kept == before).all(), "a kept frame was changed by the next ones")
        pairs = itertools.combinations([kept, *others], 2)
        shared = any(np.shares_memory(a, b) for a, b in pairs)
        return require(not shared, "shared memory" if shared else "memory of its own")

    def captures() -> str:
        said = [
            require_counts(camera.capture(n, timeout_s=ARRIVE_S), (n, *camera.shape))
            for n in (1, FRAMES)
        ]
        return said[-1]

    def frames_are_distinct() -> str:
        if (frame() == frame()).all():
            raise NotApplicable("two snaps are the same: there is no noise to tell frames apart by")
        stack = camera.capture(FRAMES, timeout_s=ARRIVE_S)
        distinct = len({each.tobytes() for each in stack})
        return require(distinct == FRAMES, f"{distinct} different frames of {FRAMES}")

    def snaps_after_all() -> str:
        camera.capture(2, timeout_s=ARRIVE_S)
        camera.make_safe()
        return require_counts(frame(), camera.shape)

    claims = [
        ("says its format", "shape, bit_depth", says_its_format, Scope.READ_ONLY),
        ("declares its limits in order", "exposure_limits_ms", limits_in_order, Scope.READ_ONLY),
        (
            "takes an exposure", f"set_exposure_ms({exposure_ms:g})", takes_its_exposure,
            Scope.MOVE,
        ),
        (
            "refuses what is no exposure", "set_exposure_ms(nan), ..., (longest + 0.1 %)",
            refuses_exposures, Scope.MOVE,
        ),
        ("returns a frame of its format", "snap()", snaps, Scope.MOVE),
        ("returns as many frames as asked", f"capture(1), capture({FRAMES})", captures, Scope.MOVE),
        (
            "returns no frame twice", f"snap() x 2, capture({FRAMES})", frames_are_distinct,
            Scope.MOVE,
        ),
        ("returns copies", "snap(), snap(), capture(2)", frames_are_copies, Scope.MOVE),
        (
            "refuses to capture no frames", "capture(0), capture(-1)",
            lambda: require_refused(
                [0, -1], lambda frames: camera.capture(frames, timeout_s=ARRIVE_S)
            ),
            Scope.MOVE,
        ),
        (
            "works after a sequence and a stop", "capture(2), make_safe(), snap()",
            snaps_after_all, Scope.MOVE,
        ),
    ]  # fmt: skip
    checks = [
        *first_checks(camera, Camera, "camera"),
        *(Check(claim=c, asked=a, run=run, scope=s) for c, a, run, s in claims),
        *last_checks(camera, lambda: "a camera emits nothing"),
    ]
    return run_checks(camera, checks, scope=scope)
