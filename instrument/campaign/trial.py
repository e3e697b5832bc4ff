"""One trial: apply a design, capture its batch, make it durable, apply the policies, score it.

`Campaign` says which design comes when, and what is told of the outcome; this room knows how a
design becomes a number.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from jaxtyping import UInt16

from estimation import EstimationError
from estimation.information import DensityName
from instrument.bench.acquisition import Batch, BatchRefused, capture_batch, check_batch
from instrument.bench.bench import Bench
from instrument.bench.patterns import grey_patterns
from instrument.bench.timing import Stopwatch
from instrument.campaign.control import Control
from instrument.campaign.events import EventBus, FrameCaptured, Notice, TrialStarted
from instrument.campaign.ledger import Ledger, TrialRow
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
MISSPECIFIED = (
    "the frames look far from Gaussian, so that density {density} may rank designs wrongly; "
    "use score.density: autoregressive"
)


def captured_at(row: TrialRow) -> tuple[str, str] | None:
    """Return when a recorded trial's capture started and ended, ISO 8601; None without frames."""
    found = row.record.get("captured_at")
    return None if found is None else (found[0], found[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a trial came to: a score, or why there is none; and where its time went (seconds).

    `captured_at` is when its capture started and ended, ISO 8601; None without frames.
    """

    score: Score | None
    why: str | None
    timings: dict[str, float]
    captured_at: tuple[str, str] | None = None


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
    control
        Says when to pause or to end, between two exposures.
    dose
        Takes the objects of a batch that was just captured and returns what it gave to the sample,
        for its record; None where that is not known.
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
        control: Control,
        dose: Callable[[int], dict[str, Any] | None] = lambda _objects: None,
    ):
        self._bench = bench
        self._dose = dose
        self._ledger = ledger
        self._bus = bus
        self._config = bench.config
        self._space = space
        self._positions = positions
        self._noise = noise
        self._control = control
        self._frames = len(positions) * self._config.shots
        self._is_density_settled = "density" in ledger.meta()
        self._density: DensityName = ledger.meta().get("density", self._config.score.density)
        self._last_live_s = 0.0
        self._captured_at: tuple[str, str] | None = None

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
        AbortAsked
            It is to end; no device is in the middle of something.
        """
        stopwatch = Stopwatch()
        self._captured_at = None
        try:
            counts, exposure_ms = self._frames_of(number, proposal, row, stopwatch)
            with stopwatch.measure("score"):
                score, why = self._score(counts, exposure_ms), None
        except (BatchRefused, EstimationError) as error:
            score, why = None, str(error)
        return Measured(
            score=score, why=why, timings=stopwatch.seconds(), captured_at=self._captured_at
        )

    def _frames_of(
        self, number: int, proposal: Proposal, row: TrialRow | None, stopwatch: Stopwatch
    ) -> tuple[UInt16[np.ndarray, "objects shots height width"], float]:
        """Return counts and exposure (ms): from the disk where they are there, else captured."""
        if row is not None and row.state == "captured":
            self._captured_at = captured_at(row)
            if row.record.get("refused") is not None:  # killed before it was said
                raise BatchRefused(row.record["refused"])
            return self._ledger.load_batch(row), float(row.record["exposure_ms"])
        batch = self._capture(number, proposal, stopwatch)
        return batch.counts, batch.exposure_ms

    def _score(self, counts: np.ndarray, exposure_ms: float) -> Score:
        """Score with the campaign's one density, settled by the first trial that is scored."""
        noise = noise_at(self._noise, exposure_ms)
        score = score_batch(counts, noise, self._config, density=self._density)
        if not self._is_density_settled:
            self._is_density_settled = True
            self._density = cast("DensityName", score.estimate.density)
            self._ledger.set_meta("density", self._density)
            if score.estimate.diagnostics.get("is_misspecified"):
                self._bus.emit(Notice(text=MISSPECIFIED.format(density=self._density)))
        return score

    def _capture(self, number: int, proposal: Proposal, stopwatch: Stopwatch) -> Batch:
        """Apply, capture, make durable, apply the policies."""
        pauses = Pauses(self._bench, self._bus, control=self._control)
        batch = self._expose(number, proposal, stopwatch, pauses)
        record = batch.record()
        self._captured_at = batch.captured_at
        dose = self._dose(len(batch.counts))
        if dose is not None:
            record["dose"] = dose
        if self._bench.truth is not None:
            record["truth"] = self._bench.truth()
        expected = expected_black_adu(noise_at(self._noise, batch.exposure_ms))
        verdict = check_batch(
            batch,
            self._bench,
            expected_black_adu=expected,
            temperatures_c=calibrated_temperatures_c(self._noise),
        )
        record["warnings"], record["refused"] = verdict.warnings, verdict.refused
        with stopwatch.measure("ledger"):
            self._ledger.capture(number, batch.counts, record)
        for warning in verdict.warnings:
            self._bus.emit(Notice(text=f"trial {number}: {warning}"))
        if verdict.refused is not None:
            raise BatchRefused(verdict.refused)
        return batch

    def _expose(
        self, number: int, proposal: Proposal, stopwatch: Stopwatch, pauses: Pauses
    ) -> Batch:
        applied = self._bench.apply(proposal.on_bench, space=self._space, stopwatch=stopwatch)
        self._bus.emit(
            TrialStarted(
                trial=number,
                phase=proposal.phase,
                design=proposal.design,
                patterns=applied.patterns,
                greys=grey_patterns(self._config),
            )
        )
        if self._bench.seed_noise is not None:
            self._bench.seed_noise(number, 0)
        return capture_batch(
            self._bench,
            self._positions,
            stopwatch=stopwatch,
            on_frame=lambda index, frame: self._show(number, index, frame),
            on_trip=pauses.wait,
            checkpoint=self._control.checkpoint,
        )

    def _show(self, number: int, index: int, frame: np.ndarray) -> None:
        now_s = time.perf_counter()
        if now_s - self._last_live_s >= LIVE_INTERVAL_S:
            self._last_live_s = now_s
            self._bus.emit(FrameCaptured(trial=number, index=index, of=self._frames, frame=frame))
