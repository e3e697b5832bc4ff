"""Cameras beside the one that is scored: exposed with it, summed up in the record, never scored."""

from __future__ import annotations

from typing import Any

import numpy as np

from instrument.bench.bench import Bench
from instrument.bench.timing import Stopwatch


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
        self._saturated = {role: np.zeros((objects, shots)) for role in bench.monitors}

    def expose(self, index: int, shot: int, *, stopwatch: Stopwatch) -> None:
        """Take one frame with each, right after the scored camera's frame of an object and shot."""
        for role, camera in self._bench.monitors.items():
            frame = self._bench.expose(stopwatch=stopwatch, monitor=role)
            self._mean_adu[role][index, shot] = frame.mean()
            full_scale = 2**camera.bit_depth - 1
            self._saturated[role][index, shot] = np.mean(frame >= full_scale)

    def record(self) -> dict[str, dict[str, Any]]:
        """Return, by role, the mean count of every object and shot, and what was saturated."""
        return {
            role: {
                "mean_adu": [[round(float(value), 3) for value in row] for row in means],
                "saturated_fraction": float(self._saturated[role].mean()),
            }
            for role, means in self._mean_adu.items()
        }
