"""Claim: the ledger takes at most 10 ms of a trial, plus the bytes at the speed of the disk.

The speed is to be 250 MB/s, or half of what `dd` with fsync reaches on the same disk in the same
run. A trial's ledger work is `ask`, `capture` and `score`: five syncs. Batches of one small frame
show what a trial costs without its bytes; the demo's batches, what it costs there; batches of
64 MB, how fast the bytes go. The three kinds and `dd` take turns, so that a disk that others use
slows them alike.
"""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from record import save

from instrument.campaign.ledger import Ledger
from instrument.design import Design

SHAPES = {"small": (1, 1, 8, 8), "demo": (36, 1, 128, 128), "large": (32, 1, 1024, 1024)}
TRIALS_A_ROUND = {"small": 40, "demo": 40, "large": 2}
STEPS = ("ask", "capture", "score")
MOST_MS, LEAST_MB_PER_S = 10.0, 250.0
DESIGN = Design({"pupil": tuple(0.1 * i for i in range(12)), "focus": (1.25,)})


def record_of(counts: NDArray[np.uint16]) -> dict[str, Any]:
    """Return what the demo's devices say, in its size."""
    return {
        "objects": len(counts),
        "shots": 1,
        "positions_um": [[120.0 * i, -60.0 * i] for i in range(len(counts))],
        "exposure_ms": 10.0,
        "read_back": [{"focus": [1.25], "light": [10.0]}],
        "captured_at": ["2026-01-01T00:00:00+00:00", "2026-01-01T00:00:02+00:00"],
        "truth": {"residual_rad": 0.5},
    }


def one_trial(ledger: Ledger, number: int, counts: NDArray[np.uint16]) -> dict[str, float]:
    """Milliseconds of each step."""
    record = record_of(counts)
    estimate = {"bits_per_pixel": 0.7, "per_object_bits": [0.7 + 0.001 * i for i in range(36)]}
    at_s = [time.perf_counter()]
    ledger.ask(number=number, phase="search", design=DESIGN)
    at_s.append(time.perf_counter())
    ledger.capture(number, counts, record)
    at_s.append(time.perf_counter())
    ledger.score(
        number, score=1.0, standard_error=0.1, estimate=estimate, seconds=1.0,
        timings={"exposure": 0.5, "score": 0.2},
    )  # fmt: skip
    at_s.append(time.perf_counter())
    return {name: (b - a) * 1e3 for name, a, b in zip(STEPS, at_s, at_s[1:], strict=False)}


def dd_mb_per_s(folder: Path) -> float | None:
    """Speed of `dd` with fsync, MB/s of 1e6 bytes; None where there is no dd."""
    if shutil.which("dd") is None:
        return None
    file = folder / "zeros"
    started_s = time.perf_counter()
    said = subprocess.run(
        ["dd", "if=/dev/zero", f"of={file}", "bs=64M", "count=8", "conv=fsync"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    elapsed_s = time.perf_counter() - started_s
    file.unlink()
    found = re.search(r"(\d+) bytes", said.stderr)
    return int(found[1]) / elapsed_s / 1e6 if found else None


def spread(values: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), 3),
        "p95": round(float(np.quantile(values, 0.95)), 3),
    }


def measure(folder: Path, rounds: int) -> dict[str, Any]:
    draw = np.random.default_rng(0)
    batches = {
        name: draw.integers(90, 4096, shape, dtype=np.uint16) for name, shape in SHAPES.items()
    }
    times: dict[str, list[dict[str, float]]] = {name: [] for name in SHAPES}
    dd: list[float] = []
    number = 0
    with Ledger.create(folder / "run", {}) as ledger:
        for _ in range(rounds):
            speed = dd_mb_per_s(folder)
            dd.extend([] if speed is None else [speed])
            for name, counts in batches.items():
                for _ in range(TRIALS_A_ROUND[name]):
                    times[name].append(one_trial(ledger, number, counts))
                    number += 1
    totals = {name: [sum(each.values()) for each in of] for name, of in times.items()}
    without_bytes_ms = statistics.median(each["capture"] for each in times["small"])
    large_mb = batches["large"].nbytes / 1e6
    speeds = [large_mb / (each["capture"] - without_bytes_ms) * 1e3 for each in times["large"]]
    needed = LEAST_MB_PER_S if not dd else min(LEAST_MB_PER_S, statistics.median(dd) / 2)
    demo_mb = batches["demo"].nbytes / 1e6
    beyond_bytes = [total - demo_mb / needed * 1e3 for total in totals["demo"]]
    overhead_ms = statistics.median(totals["small"])
    return {
        "without_bytes_ms": spread(totals["small"]),
        "demo": {
            "mb": demo_mb,
            "total_ms": spread(totals["demo"]),
            "beyond_bytes_ms": spread(beyond_bytes),
            "by_step_ms": {step: spread([each[step] for each in times["demo"]]) for step in STEPS},
        },
        "large": {"mb": large_mb, "mb_per_s": spread(speeds), "total_ms": spread(totals["large"])},
        "dd_mb_per_s": [round(speed, 1) for speed in dd],
        "needed_mb_per_s": round(needed, 1),
        "n_trials": {name: len(of) for name, of in times.items()},
        "is_quick_enough": overhead_ms <= MOST_MS
        and statistics.median(beyond_bytes) <= MOST_MS
        and statistics.median(speeds) >= needed,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="on the disk to measure")
    parser.add_argument("--save", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        values = measure(Path(folder), chosen.rounds)
    print(values)
    if chosen.save:
        print(save("ledger_overhead", values))
    return 0 if values["is_quick_enough"] else 1


if __name__ == "__main__":
    sys.exit(main())
