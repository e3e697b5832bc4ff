"""Every captured trial of a run estimated again from its frames on the disk, without hardware.

Another density, another calibration of the noise or another patch may say something else about the
same frames. The run's own record is only read: the new scores go to a table of their own
(`instrument.campaign.rescored`).
"""

from __future__ import annotations

import hashlib
import multiprocessing
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, cast, get_args

from pydantic import TypeAdapter
from threadpoolctl import threadpool_limits

from estimation import CalibrationMismatch, EstimationError, SensorNoise
from estimation.information import DensityName
from instrument.bench.camera_mode import CameraMode
from instrument.campaign.ledger import Ledger, LedgerError, TrialRow
from instrument.campaign.rescored import Rescored, RescoredTrial, TrialScore, compare_scores
from instrument.campaign.scoring import (
    BenchNoise,
    Score,
    as_plain,
    noise_at,
    noise_of,
    score_counts,
)
from instrument.campaign.trial_choice import ALL, best_row, choose_trials
from instrument.config import NoiseConfig, ScoreConfig, SearchConfig

AUTOMATIC = ("auto", "auto-gaussian")
VERSIONS = ("infoloop", "numpy", "scipy", "jax")
OF_A_TRIAL = ("exposure_ms", "temperature_c")
"""Entries of a calibration's key that may differ from trial to trial, also with `_range`."""

OnTrial = Callable[[RescoredTrial], None]


class RescoreError(ValueError):
    """A run that cannot be scored so; says which option and what is due."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How frames become bits.

    Parameters
    ----------
    density
        Asked for; `auto` and `auto-gaussian` settle on one with the first trial.
    patch
        Side, or height and width, pixels.
    objective, seed
        Of the campaign.
    mode
        Camera that the frames came from, None where the run does not say.
    noise_file
        Calibration instead of the run's noise, None for that.
    other_camera
        Whether it may be of another camera, mode, exposure or temperature.
    """

    density: DensityName
    patch: int | tuple[int, int]
    objective: str
    seed: int
    mode: CameraMode | None
    noise_file: Path | None
    other_camera: bool


def rescore(
    run_dir: Path,
    *,
    density: str | None = None,
    noise: Path | None = None,
    patch: int | None = None,
    trials: str = ALL,
    other_camera: bool = False,
    workers: int = 1,
    on_begin: Callable[[int], None] = lambda _count: None,
    on_trial: OnTrial = lambda _trial: None,
) -> Rescored:
    """Estimate the trials of a run again; one batch a worker is in memory at a time.

    Parameters
    ----------
    run_dir
        Of a run, finished or not.
    density, patch
        Instead of the run's.
    noise
        Calibration file (`.npz`) instead of the run's noise.
    trials
        Which: `all`, `best`, or numbers such as `0-10,15`.
    other_camera
        Use a calibration that was made for another camera, mode, exposure or temperature.
    workers
        Processes that estimate.
    on_begin, on_trial
        Told the number of trials, and each of them when it is done.

    Raises
    ------
    RescoreError
        A density that is none, a noise that the record does not give, or a process that was ended.
    CalibrationMismatch
        The calibration is another camera's.
    InvalidCalibration
        The calibration file is none.
    TrialChoiceError
        `trials` names none of the run.
    LedgerError
        The record cannot be read. A batch that cannot is a failure of its trial alone.
    """
    with Ledger.read(run_dir) as ledger:
        meta = ledger.meta()
        rows = ledger.trials()
    chosen = choose_trials(rows, trials, best_trial=meta.get("best_trial"))
    settings = replace(
        _settings(meta, density=density, patch=patch), noise_file=noise, other_camera=other_camera
    )
    source = _noise_source(meta, settings)
    done: list[RescoredTrial] = []
    for trial in _estimates(run_dir, chosen, settings, on_begin=on_begin, workers=workers):
        done.append(trial)
        on_trial(trial)
    densities = {trial.estimate["density"] for trial in done if trial.new}
    best = best_row(rows, meta.get("best_trial"))
    said = {
        "at": datetime.now(UTC).isoformat(),
        "density_asked": settings.density,
        "density": next(iter(densities), None),
        "patch": settings.patch,
        "objective": settings.objective,
        "seed": settings.seed,
        "noise": source,
        "trials": trials,
        "versions": {
            "python": platform.python_version(),
            **{package: metadata.version(package) for package in VERSIONS},
        },
    }
    return compare_scores(run_dir, said, done, chosen=None if best is None else best.design)


# ---- what the scores stand on


def _settings(meta: Mapping[str, Any], *, density: str | None, patch: int | None) -> Settings:
    score = ScoreConfig.model_validate(meta["config"]["score"])
    search = SearchConfig.model_validate(meta["config"]["search"])
    asked = density or meta.get("density") or score.density
    if asked not in get_args(DensityName):
        raise RescoreError(
            f"density {asked!r} asked; {', '.join(get_args(DensityName))} are possible"
        )
    said = meta.get("camera_mode")
    return Settings(
        density=cast("DensityName", asked),
        patch=score.patch if patch is None else patch,
        objective=score.objective,
        seed=search.seed,
        mode=None if said is None else CameraMode(**said),
        noise_file=None,
        other_camera=False,
    )


def _noise_source(meta: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """Say where the noise comes from, for the record."""
    file = settings.noise_file
    if file is None:
        return {"of": "the run", "noise": meta["config"]["noise"]}
    try:
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise RescoreError(f"--noise {file}: {error.strerror or error}") from error
    return {"of": str(file), "sha256": sha256, "other_camera": settings.other_camera}


def _noise(run_dir: Path, meta: Mapping[str, Any], settings: Settings) -> BenchNoise:
    """Return the run's own noise, or the calibration that was given for its camera."""
    mode = settings.mode
    if settings.noise_file is not None:
        return _given_noise(settings.noise_file, mode, other_camera=settings.other_camera)
    if mode is None:
        raise RescoreError(
            f"{run_dir} does not say which camera its frames came from: an older infoloop recorded "
            "it, or it never reached its bench; give the noise with --noise and --other-camera"
        )
    asked: NoiseConfig = TypeAdapter(NoiseConfig).validate_python(meta["config"]["noise"])
    try:
        return noise_of(asked, run_dir, mode)
    except OSError as error:
        raise RescoreError(
            f"{error.filename}: {error.strerror}; it holds the noise of the run's frames: restore "
            "it, or give another with --noise"
        ) from error


def _given_noise(file: Path, mode: CameraMode | None, *, other_camera: bool) -> SensorNoise:
    """Return a calibration; raise unless it was made for the run's camera."""
    noise = SensorNoise.load(file)
    if not other_camera:
        for_camera = {k: v for k, v in noise.key.items() if not k.startswith(OF_A_TRIAL)}
        try:
            replace(noise, key=for_camera).check_key({} if mode is None else mode.key)
        except CalibrationMismatch as error:
            raise CalibrationMismatch(
                f"{file}: {error}; to score with it all the same, say --other-camera"
            ) from error
    return noise


# ---- one trial after the other


def _estimates(
    run_dir: Path,
    rows: Sequence[TrialRow],
    settings: Settings,
    *,
    on_begin: Callable[[int], None],
    workers: int,
) -> Iterator[RescoredTrial]:
    """Yield the trials in order; the first that scores settles the density of all others."""
    left = list(rows)
    with _Estimator(run_dir, settings) as estimator:
        on_begin(len(left))
        while left and (workers < 2 or estimator.settings.density in AUTOMATIC):
            trial = estimator(left.pop(0))
            yield trial
            if trial.new and estimator.settings.density in AUTOMATIC:
                settled = cast("DensityName", trial.estimate["density"])
                estimator.settings = replace(settings, density=settled)
        settled_settings = estimator.settings
    if left:
        pool = ProcessPoolExecutor(
            min(workers, len(left)),
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_begin_worker,
            initargs=(run_dir, settled_settings),
        )
        try:
            yield from pool.map(_in_worker, left)
        except BrokenProcessPool as error:
            raise RescoreError(
                "a process that scored was ended from outside, for its memory perhaps; nothing is "
                "written: use fewer --workers"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


class _Estimator:
    """Estimates one trial after the other of one run."""

    def __init__(self, run_dir: Path, settings: Settings):
        self.settings = settings
        self._ledger = Ledger.read(run_dir)
        try:
            self._noise = _noise(run_dir, self._ledger.meta(), settings)
        except BaseException:
            self._ledger.close()
            raise

    def __enter__(self) -> _Estimator:
        return self

    def __exit__(self, *_: object) -> None:
        self._ledger.close()

    def __call__(self, row: TrialRow) -> RescoredTrial:
        """Score a trial; what prevents it is said in the result."""
        started_s = time.perf_counter()
        score, why = None, None
        try:
            if row.parts:
                score = self._score(row)
            else:
                why = f"has no frames: {row.why or row.state}"
        except (LedgerError, EstimationError) as error:
            why = str(error)
        positions = row.record.get("positions_um", ())
        return RescoredTrial(
            number=row.number,
            phase=row.phase,
            state=row.state,
            design=row.design,
            positions_um=tuple(tuple(map(float, position)) for position in positions),
            batch_sha256=tuple(part.sha256 for part in row.parts),
            old=_recorded(row),
            new=None if score is None else _made(score),
            estimate={} if score is None else as_plain(score.estimate),
            refused=row.record.get("refused"),
            why=why,
            seconds=time.perf_counter() - started_s,
        )

    def _score(self, row: TrialRow) -> Score:
        counts = self._ledger.load_batch(row)
        exposure_ms = float(row.record["exposure_ms"])
        settings = self.settings
        is_given = settings.noise_file is not None and not settings.other_camera
        if is_given and isinstance(self._noise, SensorNoise):
            of_trial = {k: v for k, v in self._noise.key.items() if k.startswith(OF_A_TRIAL)}
            warm_c = row.record.get("temperature_c")
            warmth = {} if warm_c is None else {"temperature_c": warm_c}
            replace(self._noise, key=of_trial).check_key({"exposure_ms": exposure_ms, **warmth})
        with threadpool_limits(limits=1, user_api="blas"):  # as in a run
            return score_counts(
                counts,
                noise_at(self._noise, exposure_ms),
                density=settings.density,
                patch=settings.patch,
                objective=settings.objective,
                seed=settings.seed,
            )


def _recorded(row: TrialRow) -> TrialScore | None:
    if row.score is None:
        return None
    error = row.estimate.get("frame_noise_standard_error")
    return TrialScore(
        bits_per_pixel=float(row.estimate["bits_per_pixel"]),
        standard_error_per_pixel=float(row.estimate["standard_error"] if error is None else error),
        score=row.score,
        standard_error=row.standard_error or 0.0,
        per_object_bits=tuple(row.estimate.get("per_object_bits", ())),
    )


def _made(score: Score) -> TrialScore:
    return TrialScore(
        bits_per_pixel=score.estimate.bits_per_pixel,
        standard_error_per_pixel=score.standard_error_per_pixel,
        score=score.objective,
        standard_error=score.standard_error,
        per_object_bits=tuple(float(bits) for bits in score.estimate.per_object_bits),
    )


# ---- in a process of the pool

_worker: _Estimator | None = None


def _begin_worker(run_dir: Path, settings: Settings) -> None:
    """Open the run once a process: maps of the noise are too large to come with every trial."""
    global _worker
    _worker = _Estimator(run_dir, settings)


def _in_worker(row: TrialRow) -> RescoredTrial:
    assert _worker is not None  # noqa: S101 - begun by the pool
    return _worker(row)
