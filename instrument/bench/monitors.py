"""Cameras beside the one that is scored: exposed with it, summed up in the record, never scored."""

from __future__ import annotations

from typing import Any

import numpy as np

from instrument.bench.bench import Bench
from instrument.bench.timing import Stopwatch

MONITOR_TIMEOUT_S = 5.0


class Monitors:
    """What the other cameras of a bench saw during a batch.

    Parameters
    ----------
    bench
        Connected.
    objects, shots
        Of the batch.
    """

    def __init__(self, bench: Bench, *, objects: int, shots: int):
        self._bench = bench
        self._mean_adu = {role: np.full((objects, shots), np.nan) for role in bench.monitors}
        self._saturated = dict.fromkeys(bench.monitors, 0.0)

    def expose(self, index: int, shot: int, *, stopwatch: Stopwatch) -> None:
        """Take one frame with each, right after the scored camera's frame of an object and shot."""
        for role, camera in self._bench.monitors.items():
            with stopwatch.measure("monitors"):
                frame = camera.snap(timeout_s=MONITOR_TIMEOUT_S)
            self._mean_adu[role][index, shot] = frame.mean()
            full_scale = 2**camera.bit_depth - 1
            self._saturated[role] += float(np.mean(frame >= full_scale))

    def record(self) -> dict[str, dict[str, Any]]:
        """Return, by role, the mean count of every object and shot, and what was saturated."""
        return {
            role: {
                "mean_adu": [[round(float(value), 3) for value in row] for row in means],
                "saturated_fraction": self._saturated[role] / means.size,
            }
            for role, means in self._mean_adu.items()
        }
