"""Scores batches in a process of its own, so that the thread that captures keeps its core.

It gets paths of frames, not frames: they are durable and immutable, and their hash is checked here
again. It knows no device and ends at once when its standard input does, whatever it is doing: when
whoever started it is gone, by kill -9 too, nobody wants the score.

    python -m instrument.campaign.scoring_process    started by `ProcessScorer`; JSON lines
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from estimation import EstimationError, InfraredNoise, SensorNoise
from instrument.campaign.count_noise import GaussianCounts
from instrument.campaign.estimating import (
    BenchNoise,
    Scored,
    ScoreSettings,
    noise_at,
)
from instrument.campaign.ledger.files import read_frames
from instrument.campaign.ledger.rows import BatchPart
from instrument.campaign.trained_density import DensityChoice, density_of, train

NICENESS = 5
"""Below the thread that captures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FramesFile:
    """One file of a batch, relative to the run directory, and its hash."""

    file: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreJob:
    """One batch to score.

    Parameters
    ----------
    number
        Of the trial.
    frames
        Its files, in order; they are joined along the objects.
    exposure_ms
        They were taken with.
    density
        Of the campaign.
    train_to
        Not a score is wanted, but a density trained on these frames, in this file.
    """

    number: int
    frames: tuple[FramesFile, ...]
    exposure_ms: float
    density: DensityChoice
    train_to: str | None = None

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> ScoreJob:
        """Read what `asdict` and JSON made of one."""
        return cls(**{
            **plain,
            "frames": tuple(FramesFile(**each) for each in plain["frames"]),
            "density": DensityChoice(**plain["density"]),
        })


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of a job: a score, the hash of a trained density, or why there is neither.

    `number` and `sha256` repeat what was scored, so that no score is taken for another's.
    """

    number: int
    sha256: tuple[str, ...]
    scored: Scored | None = None
    trained_sha256: str | None = None
    why: str | None = None
    seconds: float = 0.0

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Answer:
        """Read what `asdict` and JSON made of one."""
        scored = plain["scored"]
        return cls(**{
            **plain,
            "sha256": tuple(plain["sha256"]),
            "scored": None if scored is None else Scored(**scored),
        })


def do_job(job: ScoreJob, *, run_dir: Path, noise: BenchNoise, settings: ScoreSettings) -> Answer:
    """Score or train, in whichever process this is.

    Raises
    ------
    LedgerError
        The frames are not what was acknowledged.
    """
    began_s = time.perf_counter()
    hashes = tuple(each.sha256 for each in job.frames)
    counts = read_frames(run_dir, _parts(job))
    at_exposure = noise_at(noise, job.exposure_ms)
    try:
        if job.train_to is not None:
            trained = train(counts, at_exposure, settings, run_dir / job.train_to)
            return Answer(number=job.number, sha256=hashes, trained_sha256=trained)
        density = density_of(job.density, run_dir, seed=settings.seed)
        score = settings.score(counts, at_exposure, density=density)
    except EstimationError as error:
        return Answer(number=job.number, sha256=hashes, why=str(error))
    seconds = time.perf_counter() - began_s
    return Answer(number=job.number, sha256=hashes, scored=Scored.of(score), seconds=seconds)


def _parts(job: ScoreJob) -> Sequence[BatchPart]:
    return [
        BatchPart(
            trial=job.number, part=k, file=each.file, sha256=each.sha256, record={}, objects=0
        )
        for k, each in enumerate(job.frames)
    ]


def noise_as_plain(noise: BenchNoise, file: Path) -> dict[str, Any]:
    """Say a noise in JSON; maps go to `file`, bit for bit."""
    if isinstance(noise, SensorNoise):
        noise.save(file)
        return {"sensor": str(file)}
    kind = "infrared" if isinstance(noise, InfraredNoise) else "counts"
    return {kind: asdict(noise)}


def noise_from_plain(plain: Mapping[str, Any]) -> BenchNoise:
    """Read what `noise_as_plain` said."""
    if "sensor" in plain:
        return SensorNoise.load(plain["sensor"])
    if "infrared" in plain:
        return InfraredNoise(**plain["infrared"])
    return GaussianCounts(**plain["counts"])


# ---- in the other process


def main() -> int:
    """Do jobs until standard input ends."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # whoever started it decides
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no answer
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(sys.stdin, lines), daemon=True).start()
    first = json.loads(lines.get())
    run_dir, noise = Path(first["run_dir"]), noise_from_plain(first["noise"])
    settings = ScoreSettings(**{**first["settings"], "patch": _patch(first["settings"]["patch"])})
    _say(answers, "ready")
    while True:
        job = ScoreJob.from_plain(json.loads(lines.get()))
        _say(answers, asdict(do_job(job, run_dir=run_dir, noise=noise, settings=settings)))


def _patch(plain: int | list[int]) -> int | tuple[int, int]:
    return plain if isinstance(plain, int) else (plain[0], plain[1])


def _say(pipe: IO[str], answer: object) -> None:
    pipe.write(json.dumps(answer, allow_nan=False) + "\n")
    pipe.flush()


def _read(pipe: IO[str], lines: queue.SimpleQueue[str]) -> None:
    for line in pipe:
        lines.put(line)
    os._exit(0)  # in the middle of a score too


if __name__ == "__main__":
    sys.exit(main())
