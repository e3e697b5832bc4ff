"""Claim: our adapter gives at least 90 % of the bare core's frames/s, DemoCamera, 512 x 512.

The camera is Micro-Manager's own C++ one with 16-bit pixels, as it is and with `FastImage`, where
it draws nothing and the way through the core is all there is to measure. The ways take turns, each
round beginning with another one, so that a busy machine slows all of them; a ratio is taken within
its round.

`kept` keeps every frame, as the adapter does: snapped frames in a list (the core's binding copies
them out of its buffer), a sequence in one array (copied there frame by frame). `dropped` leaves
each frame to the garbage collector at once, which nobody who wants to score frames can do.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from pymmcore_plus import CMMCorePlus
from record import save

from drivers.micromanager import MicroManager, MicroManagerCamera

SHAPE = (512, 512)
EXPOSURE_MS = 0.01  # as short as the camera goes
POLL_S = 1e-3
TIMEOUT_S = 60.0
TARGET_RATIO = 0.9
COMPARED = {
    "snap": ("adapter_snap", "bare_snap_kept"),
    "snap_dropped": ("adapter_snap", "bare_snap_dropped"),
    "sequence": ("adapter_capture", "bare_sequence_kept"),
    "sequence_dropped": ("adapter_capture", "bare_sequence_dropped"),
}
"""Adapter's way and bare core's way of each ratio."""
Rates = dict[str, list[float]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, not saved")
    quick = parser.parse_args().quick
    rounds, frames = (3, 30) if quick else (30, 100)
    results: dict[str, Any] = {}
    for camera, fast in {"as_it_is": "0", "fast_image": "1"}.items():
        results[camera] = summary(measure(rounds=rounds, frames=frames, fast_image=fast))
        for name, ratio in results[camera]["ratio_to_bare_core"].items():
            print(
                f"{camera} {name}: {ratio['median']:.3f} ({ratio['p10']:.3f} to {ratio['p90']:.3f})"
            )
    if not quick:
        facts = {
            "target_ratio": TARGET_RATIO,
            "shape": list(SHAPE),
            "bits": 16,
            "exposure_ms": EXPOSURE_MS,
            "rounds": rounds,
            "frames_a_round": frames,
        }
        print(save("throughput", {**results, **facts}))
    reached = [
        results[camera]["ratio_to_bare_core"][name]["median"] >= TARGET_RATIO
        for camera in results
        for name in ("snap", "sequence")
    ]
    return 0 if all(reached) else 1


def summary(rates: Rates) -> dict[str, Any]:
    """Median rates, and of each ratio the median over rounds with its spread."""
    ratios = {}
    for name, (ours, bare) in COMPARED.items():
        of_rounds = [a / b for a, b in zip(rates[ours], rates[bare], strict=True)]
        ratios[name] = {
            "median": round(statistics.median(of_rounds), 3),
            "p10": round(float(np.quantile(of_rounds, 0.1)), 3),
            "p90": round(float(np.quantile(of_rounds, 0.9)), 3),
        }
    return {
        "frames_per_s": {way: round(statistics.median(rate), 1) for way, rate in rates.items()},
        "ratio_to_bare_core": ratios,
    }


def measure(*, rounds: int, frames: int, fast_image: str) -> Rates:
    """Frames a second of every way, a value a round."""
    core = CMMCorePlus()
    core.loadDevice("Camera", "DemoCamera", "DCam")
    core.initializeDevice("Camera")
    core.setCameraDevice("Camera")
    core.setProperty("Camera", "PixelType", "16bit")
    core.setProperty("Camera", "FastImage", fast_image)
    manager = MicroManager(core, timeout_s=TIMEOUT_S)
    try:
        camera = MicroManagerCamera(manager, "Camera")
        if camera.shape != SHAPE:
            raise SystemExit(f"frames of {camera.shape}, {SHAPE} expected")
        camera.set_exposure_ms(EXPOSURE_MS)
        ways = make_ways(core, camera, frames)
        for way in ways.values():  # fills caches and buffers
            way()
        rates: Rates = {name: [] for name in ways}
        names = list(ways)
        for turn in range(rounds):
            shift = turn % len(names)
            for name in (*names[shift:], *names[:shift]):
                rates[name].append(frames / _seconds(ways[name]))
        return rates
    finally:
        manager.close()


def make_ways(
    core: CMMCorePlus, camera: MicroManagerCamera, frames: int
) -> dict[str, Callable[[], object]]:
    """Ways to take `frames` frames, by name; what they return is what they keep."""

    def snap() -> np.ndarray:
        core.snapImage()
        return core.getImage()

    def bare_snap_dropped() -> None:
        for _ in range(frames):
            snap()

    def bare_sequence(keep: Callable[[int, np.ndarray], None]) -> None:
        core.startSequenceAcquisition(frames, 0.0, True)
        taken = 0
        while taken < frames:
            if core.getRemainingImageCount() > 0:
                keep(taken, core.popNextImage())
                taken += 1
            elif core.isSequenceRunning():
                time.sleep(POLL_S)
            elif not core.getRemainingImageCount():
                raise SystemExit(f"{taken} of {frames} frames came")
        core.stopSequenceAcquisition()

    def bare_sequence_kept() -> np.ndarray:
        stack = np.empty((frames, *SHAPE), np.uint16)
        bare_sequence(lambda index, frame: stack.__setitem__(index, frame))
        return stack

    return {
        "bare_snap_kept": lambda: [snap() for _ in range(frames)],
        "bare_snap_dropped": bare_snap_dropped,
        "adapter_snap": lambda: [camera.snap(timeout_s=TIMEOUT_S) for _ in range(frames)],
        "bare_sequence_kept": bare_sequence_kept,
        "bare_sequence_dropped": lambda: bare_sequence(lambda _index, _frame: None),
        "adapter_capture": lambda: camera.capture(frames, timeout_s=TIMEOUT_S),
    }


def _seconds(work: Callable[[], object]) -> float:
    started_s = time.perf_counter()
    work()
    return time.perf_counter() - started_s


if __name__ == "__main__":
    raise SystemExit(main())
