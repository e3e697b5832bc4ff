"""One trial: apply a design, capture its batch, make it durable, apply the policies, score it.

`Campaign` says which design comes when, and what is told of the outcome; this room knows how a
design becomes a number.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np

from estimation import EstimationError
from estimation.information import DensityName
from instrument.bench.acquisition import Batch, BatchRefused, capture_batch, check_batch
from instrument.bench.bench import Bench
from instrument.bench.patterns import grey_patterns
from instrument.bench.timing import Stopwatch
from instrument.campaign.control import Control
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
from instrument.campaign.trained_density import DensityChoice, density_of
from instrument.design import DesignSpace
from instrument.grid import Positions

LIVE_INTERVAL_S = 0.05
ADAPTIVE_PHASES = ("search",)
"""The others are few, and what others are compared with: they are given every object."""
TRAINING_PART = 2**16
"""Beyond the parts that a trial may have: the noise of frames that are of no trial."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """A trial whose frames are durable, or why they are not scored; where its time went (s)."""

    why: str | None
    timings: dict[str, float]
    captured_at: tuple[str, str] | None = None


@dataclass(slots=True, kw_only=True)
class _Trial:
    """A trial under way: its frames so far, in how many parts; is its design on the bench."""

    number: int
    proposal: Proposal
    stopwatch: Stopwatch
    pauses: Pauses
    counts: Counts
    parts: int = 0
    exposure_ms: float = 0.0
    captured_at: tuple[str, str] | None = None
    is_applied: bool = False

    @property
    def objects(self) -> int:
        """How many it was given."""
        return len(self.counts)


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
        self._noise = noise
        self._control = control
        self._frames = len(positions) * self._config.shots
        self._is_density_settled = "density" in ledger.meta()
        self._density: DensityName = ledger.meta().get("density", self._config.score.density)
        self._trained: DensityChoice | None = None
        self._last_live_s = 0.0
        adaptive = self._config.batch.adaptive
        self._adaptive = adaptive and AdaptiveBatches(
            adaptive,
            count=len(positions),
            seed=self._config.search.seed,
            ledger=ledger,
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
        AbortAsked
            It is to end; no device is in the middle of something.
        """
        trial = self._begin(number, proposal)
        try:
            if row is not None:
                self._take_up(trial, row)
            score, why = self._score_of(trial), None
        except (BatchRefused, EstimationError) as error:
            score, why = None, str(error)
        return Measured(
            score=score,
            why=why,
            timings=trial.stopwatch.seconds(),
            captured_at=trial.captured_at,
        )

    def capture(self, number: int, proposal: Proposal, row: TrialRow | None) -> Captured:
        """Capture a trial that the ledger was asked for, to be scored elsewhere; as `run` else."""
        trial, why = self._begin(number, proposal), None
        if row is not None and row.state == "captured":
            why, trial.captured_at = row.record.get("refused"), captured_at(row)
        else:
            try:
                self._capture(trial, len(self._positions))
            except BatchRefused as refused:
                why = str(refused)
        return Captured(why=why, timings=trial.stopwatch.seconds(), captured_at=trial.captured_at)

    def training_frames(self) -> tuple[Counts, float]:
        """Capture a batch of the start design that is no trial; return counts and exposure (ms)."""
        pauses = Pauses(self._bench, self._bus, control=self._control)
        stopwatch = Stopwatch()
        self._bench.apply(self._space.start, space=self._space, stopwatch=stopwatch)
        if self._bench.seed_noise is not None:
            self._bench.seed_noise(0, TRAINING_PART)  # of no trial
        batch = capture_batch(
            self._bench,
            self._positions,
            stopwatch=stopwatch,
            on_frame=lambda _index, _frame: None,
            on_trip=pauses.wait,
            checkpoint=self._control.checkpoint,
        )
        self._dose(len(batch.counts))
        return batch.counts, batch.exposure_ms

    def use_density(self, density: DensityChoice) -> None:
        """Score with a density that the campaign has trained."""
        self._density = density.name
        self._trained = density
        self._is_density_settled = True

    @property
    def density(self) -> DensityChoice | None:
        """What trials are scored with; None until it is settled."""
        if not self._is_density_settled:
            return None
        return self._trained or DensityChoice(name=self._density)

    def _begin(self, number: int, proposal: Proposal) -> _Trial:
        return _Trial(
            number=number,
            proposal=proposal,
            stopwatch=Stopwatch(),
            pauses=Pauses(self._bench, self._bus, control=self._control),
            counts=np.empty((0, self._config.shots, *self._bench.camera.shape), np.uint16),
        )

    def _take_up(self, trial: _Trial, row: TrialRow) -> None:
        """Go on from what the ledger holds of a trial."""
        if row.state != "captured":
            return
        trial.captured_at = captured_at(row)
        if row.record.get("refused") is not None:  # killed before it was said
            raise BatchRefused(row.record["refused"])
        trial.counts, trial.parts = self._ledger.load_batch(row), len(row.parts)
        trial.exposure_ms = float(row.record["exposure_ms"])

    def _score_of(self, trial: _Trial) -> Score:
        """Capture all objects and score them, or as many as it takes to decide."""
        first_objects = partial(self._first_objects, trial)
        score = partial(self._score, stopwatch=trial.stopwatch)
        if self._adaptive is None:
            return score(*first_objects(len(self._positions)))
        if trial.proposal.phase in ADAPTIVE_PHASES:
            found = self._adaptive.decide(first_objects, score)
        else:
            found = score(*first_objects(len(self._positions)))
        self._adaptive.remember(trial.number, found)
        return found

    def _score(self, counts: Counts, exposure_ms: float, *, stopwatch: Stopwatch) -> Score:
        """Score with the campaign's one density, settled by the first trial that is scored."""
        with stopwatch.measure("score"):
            noise = noise_at(self._noise, exposure_ms)
            density = self._density
            if self._trained is not None:
                seed = self._config.search.seed
                density = density_of(self._trained, self._ledger.run_dir, seed=seed)
            score = score_batch(counts, noise, self._config, density=density)
        if not self._is_density_settled:
            self._is_density_settled = True
            self._density = cast("DensityName", score.estimate.density)
            self._ledger.set_meta("density", self._density)
            if score.estimate.diagnostics.get("is_misspecified"):
                self._bus.emit(Notice(text=MISSPECIFIED.format(density=self._density)))
        return score

    def _first_objects(self, trial: _Trial, objects: int) -> tuple[Counts, float]:
        """Return counts of the first objects and their exposure (ms); capture what is missing."""
        if trial.objects < objects:
            batch = self._capture(trial, objects)
            is_first = trial.objects == 0  # a whole batch is not copied
            trial.counts = (
                batch.counts if is_first else np.concatenate((trial.counts, batch.counts))
            )
            trial.parts += 1
            trial.exposure_ms = batch.exposure_ms
        return trial.counts[:objects], trial.exposure_ms

    def _capture(self, trial: _Trial, objects: int) -> Batch:
        """Apply, capture the objects that are missing, make durable, apply the policies."""
        batch = self._expose(trial, objects)
        record = batch.record()
        start, end = batch.captured_at
        trial.captured_at = (start if trial.captured_at is None else trial.captured_at[0], end)
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
        with trial.stopwatch.measure("ledger"):
            self._ledger.capture(trial.number, batch.counts, record)
        for warning in verdict.warnings:
            self._bus.emit(Notice(text=f"trial {trial.number}: {warning}"))
        if verdict.refused is not None:
            raise BatchRefused(verdict.refused)
        return batch

    def _expose(self, trial: _Trial, objects: int) -> Batch:
        if not trial.is_applied:
            self._apply(trial)
        before = trial.objects * self._config.shots
        if self._bench.seed_noise is not None:
            self._bench.seed_noise(trial.number, trial.parts)
        return capture_batch(
            self._bench,
            self._positions[trial.objects : objects],
            stopwatch=trial.stopwatch,
            on_frame=lambda index, frame: self._show(trial.number, before + index, frame),
            on_trip=trial.pauses.wait,
            checkpoint=self._control.checkpoint,
        )

    def _apply(self, trial: _Trial) -> None:
        """Bring the bench to the trial's design, once."""
        design = trial.proposal.design
        applied = self._bench.apply(
            trial.proposal.on_bench, space=self._space, stopwatch=trial.stopwatch
        )
        trial.is_applied = True
        self._bus.emit(
            TrialStarted(
                trial=trial.number,
                phase=trial.proposal.phase,
                design=design,
                patterns=applied.patterns,
                greys=grey_patterns(self._config),
            )
        )

    def _show(self, number: int, index: int, frame: np.ndarray) -> None:
        now_s = time.perf_counter()
        if now_s - self._last_live_s >= LIVE_INTERVAL_S:
            self._last_live_s = now_s
            self._bus.emit(FrameCaptured(trial=number, index=index, of=self._frames, frame=frame))
