"""Scores under way while the next trial is captured: which density, which worker, how late told.

The lag is fixed: the design of trial k is proposed when exactly the trials up to k - 1 - lag are
told, even if a later score is there already. So a resumed run, and one on a faster machine,
proposes the same designs.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np

from instrument.campaign.estimating import BenchNoise
from instrument.campaign.events import EventBus, Notice
from instrument.campaign.ledger import Ledger, LedgerError, TrialRow
from instrument.campaign.ledger.files import write_frames
from instrument.campaign.ledger.patience import again_when_full
from instrument.campaign.scoring import score_settings
from instrument.campaign.scoring_process import Answer, FramesFile, ScoreJob, do_job
from instrument.campaign.trained_density import DENSITY_FILE, DensityChoice, recorded_density
from instrument.campaign.workers import ProcessScorer, ScorerClosed
from instrument.config import Config

SLOW = ("auto", "autoregressive")
"""Densities that are trained: a score takes as long as a capture, or longer."""

LAG = 2
"""Trials told late where a density is slow: the modal sweep's two lines of two points each."""

MOST_WORKERS = 2
"""On two cores, too: a capture mostly waits. Measured there, one worker left the duty cycle at .73,
two brought it to .85."""
FRAMES_FILE = "density-frames.npy"
NOT_TRAINED = (
    "no density can be trained on frames of the start design, so that every trial trains its own, "
    "which is slow"
)
_LOOK_EVERY_S = 0.5  # on Windows Ctrl-C does not end a wait, and is seen after it

_Training = tuple[dict[str, Any], "Future[Answer]", float]
"""What is recorded of the frames, the training under way, and when it began."""

TrainingFrames = Callable[[], tuple[np.ndarray, float]]
"""Captures a batch of the start design; returns counts and exposure (ms)."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A score under way, and how to ask for it again."""

    job: ScoreJob
    future: Future[Answer]


class Overlap:
    """The scorer of one campaign and the density it scores with.

    Parameters
    ----------
    config
        `score.density`, `score.workers`, `search.told_late`.
    ledger
        Remembers lag and density: a resumed run keeps those of its first start.
    noise
        That the scores stand on.
    bus
        Is told what takes its time before the first trial.
    checkpoint
        Called while a score is waited for; may raise, and the same is waited for again.
    """

    def __init__(
        self,
        config: Config,
        ledger: Ledger,
        noise: BenchNoise,
        bus: EventBus,
        *,
        checkpoint: Callable[[], None],
    ):
        self._config = config
        self._ledger = ledger
        self._noise = noise
        self._bus = bus
        self._checkpoint = checkpoint
        self._training: _Training | None = None
        self._scorer: ProcessScorer | None = None
        self._choice: DensityChoice | None = None
        self._is_old = trains_every_trial(ledger)
        self.lag = self._recorded_lag()
        self._workers = 0 if self._is_old else _workers(config)

    @property
    def is_used(self) -> bool:
        """Whether worker processes score, once the density is settled."""
        return self._workers > 0

    def prepare(self, capture: TrainingFrames) -> DensityChoice | None:
        """Make ready to score: start workers, train the density if it is to be.

        Returns
        -------
        DensityChoice or None
            The campaign's trained density; None where there is none to train.
        """
        if self._choice is not None:
            return self._choice
        if self.is_used:
            self._start()
        if self._config.score.density not in SLOW or self._is_old:
            return None
        recorded = self._ledger.meta().get("trained_density")
        if recorded is None:
            recorded = self._train(capture)
            self._ledger.set_meta("trained_density", recorded)
        self._choice = recorded_density(self._ledger.meta()) or DensityChoice(name="autoregressive")
        frames = (FramesFile(file=FRAMES_FILE, sha256=recorded["frames_sha256"]),)
        if self._scorer is not None and recorded["file"] is not None:
            job = ScoreJob(
                number=-1, frames=frames, exposure_ms=recorded["exposure_ms"], density=self._choice
            )
            for future in self._scorer.warm_up(job):
                self._result(future)
        return self._choice

    def submit(self, row: TrialRow, density: DensityChoice) -> Waiting:
        """Have the frames of a captured trial scored."""
        job = ScoreJob(
            number=row.number,
            frames=tuple(FramesFile(file=part.file, sha256=part.sha256) for part in row.parts),
            exposure_ms=float(row.record["exposure_ms"]),
            density=density,
        )
        return Waiting(job, self._start().submit(job))

    def answer(self, waiting: Waiting) -> Answer:
        """Wait for a score; ask again if the workers were ended in between.

        Raises
        ------
        LedgerError
            The frames are not what was acknowledged, or the answer is for others.
        """
        job = waiting.job
        try:
            answer = self._result(waiting.future)
        except ScorerClosed:
            answer = self._result(self._start().submit(job))
        if (answer.number, answer.sha256) != (job.number, tuple(f.sha256 for f in job.frames)):
            raise LedgerError(f"trial {job.number} was given the score of {answer.number}")
        return answer

    def close(self) -> None:
        """End the workers; what they had not scored is on the disk. Idempotent."""
        self._training = None
        if self._scorer is not None:
            self._scorer.close()
            self._scorer = None

    def _start(self) -> ProcessScorer:
        if self._scorer is None:
            self._scorer = ProcessScorer(
                self._ledger.run_dir,
                self._noise,
                score_settings(self._config),
                workers=max(1, self._workers),
            )
        return self._scorer

    def _train(self, capture: TrainingFrames) -> dict[str, Any]:
        if self._training is None:
            self._training = self._begin_training(capture)
        frames, future, began_s = self._training
        try:
            answer = self._result(future)
        except ScorerClosed:
            self._training = None
            raise
        if answer.why is not None:
            self._bus.emit(Notice(text=f"{NOT_TRAINED}: {answer.why}"))
        return {
            "file": DENSITY_FILE if answer.trained_sha256 else None,
            "sha256": answer.trained_sha256,
            **frames,
            "why": answer.why,
            "seconds": time.perf_counter() - began_s,
        }

    def _begin_training(
        self, capture: TrainingFrames
    ) -> tuple[dict[str, Any], Future[Answer], float]:
        self._bus.emit(Notice(text="training the density on frames of the start design"))
        began_s = time.perf_counter()
        counts, exposure_ms = capture()
        sha256 = _keep_frames(self._ledger, counts)
        job = ScoreJob(
            number=-1,
            frames=(FramesFile(file=FRAMES_FILE, sha256=sha256),),
            exposure_ms=exposure_ms,
            density=DensityChoice(name="autoregressive"),
            train_to=DENSITY_FILE,
        )
        frames = {
            "frames_file": FRAMES_FILE,
            "frames_sha256": sha256,
            "exposure_ms": exposure_ms,
        }
        if self._scorer is not None:
            return frames, self._scorer.submit(job), began_s
        here: Future[Answer] = Future()
        settings = score_settings(self._config)
        here.set_result(
            do_job(job, run_dir=self._ledger.run_dir, noise=self._noise, settings=settings)
        )
        return frames, here, began_s

    def _result(self, future: Future[Answer]) -> Answer:
        """Wait; the scorer bounds how long."""
        while True:
            try:
                return future.result(timeout=_LOOK_EVERY_S)
            except TimeoutError:
                if future.done():
                    raise
                self._checkpoint()

    def _recorded_lag(self) -> int:
        recorded = self._ledger.meta().get("told_late")
        if recorded is not None:
            return int(recorded)
        if self._is_old:
            return 0
        asked = self._config.search.told_late
        is_slow = self._config.score.density in SLOW and self._config.batch.adaptive is None
        lag = asked if isinstance(asked, int) else LAG if is_slow else 0
        self._ledger.set_meta("told_late", lag)
        return lag


def trains_every_trial(ledger: Ledger) -> bool:
    """Whether a run was begun before campaigns trained one density: it goes on as it was."""
    return "told_late" not in ledger.meta() and ledger.n_trials > 0


@again_when_full
def _keep_frames(ledger: Ledger, counts: np.ndarray) -> str:
    """Make the frames that a density is trained on durable; return their SHA-256."""
    return write_frames(ledger.run_dir / FRAMES_FILE, counts)


def _workers(config: Config) -> int:
    if config.batch.adaptive is not None:  # its looks are judged in the loop
        return 0
    asked = config.score.workers
    if isinstance(asked, int):
        return asked
    if config.score.density not in SLOW:
        return 0
    return min(MOST_WORKERS, os.cpu_count() or 1)
