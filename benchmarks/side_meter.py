"""One side of `reference_package.py`: a fresh process that reads arrays, times calls, writes JSON.

Run by both interpreters, so it knows only the standard library and NumPy. Imports and reading are
over before the first clock starts. Memory is the largest resident set since a call began, less the
resident set when imports and arrays were in; from /proc, because `ru_maxrss` also remembers the
process that started this one.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Meter:
    """Seconds and memory of every call, by label."""

    def __init__(self) -> None:
        gc.collect()
        self.baseline_mib = _resident_mib("VmRSS")
        self.calls: dict[str, list[dict[str, float]]] = {}

    def timed(self, label: str, action: Callable[[], Any]) -> Any:
        """Return what `action` returns, and keep what it cost."""
        gc.collect()
        if CLEAR.exists():
            CLEAR.write_text("5")  # 5: forget the peak so far (man 5 proc)
        wall, processor = time.perf_counter(), time.process_time()
        value = action()
        seconds = {
            "wall_s": time.perf_counter() - wall,
            "cpu_s": time.process_time() - processor,
        }
        peak = _resident_mib("VmHWM")
        memory = {"growth_mib": max(0.0, peak - self.baseline_mib), "peak_mib": peak}
        self.calls.setdefault(label, []).append({
            name: round(number, 5) for name, number in {**seconds, **memory}.items()
        })
        return value


Task = Callable[[Mapping[str, np.ndarray], Mapping[str, Any], Meter], dict[str, Any]]


def main(tasks: Mapping[str, Task], packages: tuple[str, ...]) -> None:
    """Run the task that the command line names: TASK ARRAYS.npz SETTINGS.json RESULT.json."""
    task, arrays_path, settings_path, result_path = sys.argv[1:]
    with np.load(arrays_path, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    settings = json.loads(Path(settings_path).read_text(encoding="utf-8"))
    meter = Meter()
    values = tasks[task](arrays, settings, meter)
    result = {
        **values,
        "calls": meter.calls,
        "baseline_mib": round(meter.baseline_mib, 1),
        "load_average": os.getloadavg()[0],
        "versions": {package: metadata.version(package) for package in packages},
    }
    Path(result_path).write_text(json.dumps(result), encoding="utf-8")


def _resident_mib(field: str) -> float:
    if STATUS.exists():
        for line in STATUS.read_text(encoding="utf-8").splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
