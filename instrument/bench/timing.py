"""Where the time of a trial goes: seconds by name, added up."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Adds up seconds by name."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Add the duration of the block to `name`, also when it raises."""
        started_s = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] += time.perf_counter() - started_s

    def seconds(self) -> dict[str, float]:
        """Seconds by name so far."""
        return dict(self._seconds)
