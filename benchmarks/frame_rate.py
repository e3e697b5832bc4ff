"""Claim: the virtual bench gives at least 300 frames/s of 128 x 128 pixels through `snapImage`.

The exposure is 0.1 ms, so that what is measured is the cost of the physics (the expected image is
cached, noise is drawn for every frame) and of the way through the core. The ways take turns, so
that a busy machine slows all of them: the bare core, our adapter's `snap` (its thread, its time
limit, its copy) and its `capture` (a finite sequence).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from record import save

from drivers.micromanager import MicroManager, MicroManagerCamera
from drivers.virtual.bench import VirtualBench
from drivers.virtual.options import PupilMicroscopeOptions
from drivers.visa import VisaInstrument, VisaLight, load_declaration

LED = Path(__file__).parents[1] / "configs" / "instruments" / "led_driver.yaml"
EXPOSURE_MS = 0.1
POWER_MW = 10.0
TARGET_FRAMES_PER_S = 300
TIMEOUT_S = 60.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the frames, not saved")
    quick = parser.parse_args().quick
    rounds, frames = (3, 100) if quick else (15, 200)
    rates = measure(rounds=rounds, frames=frames)
    bare = statistics.median(rates["bare_core"])
    result = {
        "frames_per_s": {way: round(statistics.median(values), 1) for way, values in rates.items()},
        "slowest_round_per_s": {way: round(min(values), 1) for way, values in rates.items()},
        "ratio_to_bare_core": {
            way: round(statistics.median(values) / bare, 3) for way, values in rates.items()
        },
        "target_frames_per_s": TARGET_FRAMES_PER_S,
        "shape": [128, 128],
        "exposure_ms": EXPOSURE_MS,
        "rounds": rounds,
        "frames_a_round": frames,
        "seed": 0,
    }
    for way, rate in result["frames_per_s"].items():
        print(f"{way}: {rate:.0f} frames/s, {result['ratio_to_bare_core'][way]:.2f} of the core's")
    if not quick:
        print(save("frame_rate", result))
    return 0 if bare >= TARGET_FRAMES_PER_S else 1


def measure(*, rounds: int, frames: int) -> dict[str, list[float]]:
    """Frames a second of every way and round."""
    bench = VirtualBench(PupilMicroscopeOptions(seed=0))
    manager = MicroManager(bench.core)
    led = VisaInstrument.open(load_declaration(LED), bench.address("led"), name="led")
    try:
        VisaLight(led).start(POWER_MW)
        camera = MicroManagerCamera(manager, "Camera")
        camera.set_exposure_ms(EXPOSURE_MS)
        camera.snap(timeout_s=TIMEOUT_S)  # compiles, and fills the cache

        def bare_core() -> None:
            for _ in range(frames):
                bench.core.snapImage()
                bench.core.getImage()

        def adapter_snap() -> None:
            for _ in range(frames):
                camera.snap(timeout_s=TIMEOUT_S)

        def adapter_capture() -> None:
            camera.capture(frames, timeout_s=TIMEOUT_S)

        ways = (bare_core, adapter_snap, adapter_capture)
        rates: dict[str, list[float]] = {way.__name__: [] for way in ways}
        for _ in range(rounds):
            for way in ways:
                rates[way.__name__].append(frames / _seconds(way))
        return rates
    finally:
        led.close()
        manager.close()
        bench.close()


def _seconds(work: Callable[[], None]) -> float:
    started_s = time.perf_counter()
    work()
    return time.perf_counter() - started_s


if __name__ == "__main__":
    raise SystemExit(main())
