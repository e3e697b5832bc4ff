"""What every black-box engine remembers: how many trials it was told, and the best of them."""

from __future__ import annotations

from instrument.design import Design
from instrument.search.protocol import Observation


class Observed:
    """Running count and best observation."""

    def __init__(self) -> None:
        self.count = 0
        self._best: Observation | None = None
        self._best_score = float("-inf")

    def add(self, observation: Observation) -> None:
        """Count an observation; keep it if it is the best."""
        self.count += 1
        if observation.score is not None and observation.score > self._best_score:
            self._best, self._best_score = observation, observation.score

    def best(self) -> Design | None:
        """Return the design with the highest score seen."""
        return self._best.design if self._best else None
