"""Claim: calibration keeps up with a fast camera at 2048 x 2048, without holding frames.

Streams 12-bit frames of a lit level and of a dark level (darks keep two more maps, for telegraph
pixels) into `SensorCalibration`, and gives the same frames to NumPy's float64 two-pass mean and
variance, in the same run. Memory is what the calibration allocates, from tracemalloc, in float64
maps of the frame's size; the two-pass needs the whole stack. On a shared machine the best of the
rounds counts, and CPU time a frame says what two idle cores would give.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from record import save

from estimation.calibration import SensorCalibration

BIT_DEPTH = 12
ROUNDS = 6


def make_frames(size: int, seed: int, count: int = 4) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(900, 1300, (size, size), dtype=np.uint16) for _ in range(count)]


def cycle(frames: list[np.ndarray], count: int) -> Iterator[np.ndarray]:
    for index in range(count):
        yield frames[index % len(frames)]


def stream(frames: list[np.ndarray], count: int, light: float) -> None:
    calibration = SensorCalibration(bit_depth=BIT_DEPTH)
    calibration.add(cycle(frames, count), exposure_s=0.01, light=light)


def two_pass(frames: list[np.ndarray], count: int) -> None:
    stack = np.stack(list(cycle(frames, count))).astype(np.float64)
    stack.var(axis=0, ddof=1, mean=stack.mean(axis=0, keepdims=True))


def frames_per_second(action: Callable[[], Any], count: int) -> tuple[float, float]:
    """Return frames per second, and CPU milliseconds a frame."""
    started_s, started_cpu_s = time.perf_counter(), time.process_time()
    action()
    wall_s, cpu_s = time.perf_counter() - started_s, time.process_time() - started_cpu_s
    return count / wall_s, 1000 * cpu_s / count


def peak_maps(frames: list[np.ndarray], count: int, light: float) -> float:
    tracemalloc.start()
    stream(frames, count, light)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / (8 * frames[0].size)


def measure(size: int, count: int) -> dict[str, Any]:
    frames = make_frames(size, seed=0)
    few = min(count, 24)  # the two-pass holds them all as float64
    runs: dict[str, list[tuple[float, float]]] = {"lit": [], "dark": [], "numpy_two_pass": []}
    for _ in range(ROUNDS):
        runs["lit"].append(frames_per_second(lambda: stream(frames, count, 1.0), count))
        runs["dark"].append(frames_per_second(lambda: stream(frames, count, 0.0), count))
        runs["numpy_two_pass"].append(frames_per_second(lambda: two_pass(frames, few), few))
    best = {name: max(fps for fps, _ in values) for name, values in runs.items()}
    cpu_ms = {name: float(np.median([ms for _, ms in values])) for name, values in runs.items()}
    return {
        "size": size,
        "frames": count,
        "frames_per_second": {name: [fps for fps, _ in v] for name, v in runs.items()},
        "median_cpu_ms_a_frame": cpu_ms,
        "load_average": os.getloadavg(),
        "best_frames_per_second": best,
        "lit_over_numpy_two_pass": best["lit"] / best["numpy_two_pass"],
        "dark_over_numpy_two_pass": best["dark"] / best["numpy_two_pass"],
        "peak_maps_lit": peak_maps(frames, 20, 1.0),
        "peak_maps_dark": peak_maps(frames, 20, 0.0),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="256 x 256, few frames, no record")
    quick = parser.parse_args().quick
    found = measure(256, 24) if quick else measure(2048, 96)
    for name, value in found.items():
        print(f"{name}: {value}")
    if not quick:
        print(save("calibration_throughput", found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
