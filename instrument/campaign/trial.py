"""One trial: apply a design, capture its batch, make it durable, apply the policies, score it.

`Campaign` says which design comes when, and what is told of the outcome; this room knows how a
design becomes a number.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np
from jaxtyping import UInt16

from estimation import EstimationError
from estimation.information import DensityName
from instrument.bench.acquisition import Batch, BatchRefused, capture_batch, check_batch
from instrument.bench.bench import Bench
from instrument.bench.patterns import grey_patterns
from instrument.bench.timing import Stopwatch
from instrument.campaign.events import EventBus, FrameCaptured, Notice, TrialStarted
from instrument.campaign.ledger import Ledger, TrialRow
from instrument.campaign.looks import AdaptiveBatches, Counts
from instrument.campaign.pausing import Pauses
from instrument.campaign.plan import Proposal
from instrument.campaign.scoring import (
    BenchNoise,
    Score,
    calibrated_temperatures_c,
    expected_black_adu,
    noise_at,
    score_batch,
)
from instrument.design import DesignSpace
from instrument.grid import Positions

LIVE_INTERVAL_S = 0.05
ADAPTIVE_PHASES = ("search",)
"""The others are few, and what others are compared with: they are given every object."""
MISSPECIFIED = (
    "the frames look far from Gaussian, so that density {density} may rank designs wrongly; "
    "use score.density: autoregressive"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a trial came to: a score, or why there is none; and where its time went (seconds)."""

    score: Score | None
    why: str | None
    timings: dict[str, float]


@dataclass(slots=True, kw_only=True)
class _Trial:
    """A trial under way: its frames so far, and whether its design is on the bench."""

    number: int
    proposal: Proposal
    stopwatch: Stopwatch
    counts: Counts | None = None
    exposure_ms: float = 0.0
    is_applied: bool = False

    @property
    def objects(self) -> int:
        """How many it was given."""
        return 0 if self.counts is None else len(self.counts)


class Measurement:
    """Captures and scores trials of one campaign on one bench.

    Parameters
    ----------
    bench, ledger, bus
        Of the campaign.
    space
        Of its designs.
    positions
        Objects of the ensemble, (x, y) in um.
    noise
        That the scores stand on.
    stop
        Ends a pause when set.
    """

    def __init__(
        self,
        bench: Bench,
        ledger: Ledger,
        bus: EventBus,
        *,
        space: DesignSpace,
        positions: Positions,
        noise: BenchNoise,
        stop: threading.Event,
    ):
        self._bench = bench
        self._ledger = ledger
        self._bus = bus
        self._config = bench.config
        self._space = space
        self._noise = noise
        self._stop = stop
        self._frames = len(positions) * self._config.shots
        self._is_density_settled = "density" in ledger.meta()
        self._density: DensityName = ledger.meta().get("density", self._config.score.density)
        self._last_live_s = 0.0
        adaptive = self._config.batch.adaptive
        self._adaptive = adaptive and AdaptiveBatches(
            adaptive,
            count=len(positions),
            seed=self._config.search.seed,
            ledger=ledger,
            score=self._score,
        )
        self._positions = self._adaptive.in_order(positions) if self._adaptive else positions

    def run(self, number: int, proposal: Proposal, row: TrialRow | None) -> Measured:
        """Capture and score a trial that the ledger was asked for; frames it has are not repeated.

        Parameters
        ----------
        number, proposal
            Which trial, and what is applied.
        row
            What the ledger holds of it from an interrupted session; None for a new one.

        Raises
        ------
        DeviceError, InterlockTripped, Interrupted, LedgerError
            The campaign cannot go on.
        """
        stopwatch = Stopwatch()
        trial = _Trial(number=number, proposal=proposal, stopwatch=stopwatch)
        try:
            if row is not None:
                self._take_up(trial, row)
            score = self._score_of(trial)
        except (BatchRefused, EstimationError) as error:
            return Measured(score=None, why=str(error), timings=stopwatch.seconds())
        return Measured(score=score, why=None, timings=stopwatch.seconds())

    def _score_of(self, trial: _Trial) -> Score:
        """Capture all objects and score them, or as many as it takes to decide."""
        first_objects = partial(self._first_objects, trial)
        if self._adaptive is None:
            counts, exposure_ms = first_objects(len(self._positions))
            with trial.stopwatch.measure("score"):
                return self._score(counts, exposure_ms)
    def _show(self, number: int, index: int, frame: np.ndarray) -> None:
        now_s = time.perf_counter()
        if now_s - self._last_live_s >= LIVE_INTERVAL_S:
            self._last_live_s = now_s
            self._bus.emit(FrameCaptured(trial=number, index=index, of=self._frames, frame=frame))
