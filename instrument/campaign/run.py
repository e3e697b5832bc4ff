"""A whole run: folder, ledger, bench, campaign, and the way out, whatever happens in between.

The only place that owns all of them. Whichever way it leaves, lights are off, the ledger says how
it ended, and what could not be made safe is in the result.
"""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from drivers.virtual.options import PupilMicroscopeOptions
from instrument.bench.safety import Interrupted, Unsafe, UnsafeBench, signals_raise
from instrument.bench.timing import Stopwatch
from instrument.campaign.control import AbortAsked, Control, OnChange
from instrument.campaign.events import EventBus, StateChanged
from instrument.campaign.inputs import check_kept, keep, read_inputs, with_copies
from instrument.campaign.leaving import LeftAt
from instrument.campaign.ledger import EndNotRecorded, Ledger, LedgerError
from instrument.campaign.outcome import Outcome, end_event
from instrument.campaign.session import Ending, Session
from instrument.campaign.states import State
from instrument.campaign.trained_density import density_of, recorded_density
from instrument.campaign.unaberrated import unaberrated_bits_per_pixel
from instrument.config import Config, parse_config

_log = logging.getLogger(__name__)
_PACKAGES = ("numpy", "scipy", "jax", "pymmcore", "pymmcore-plus", "pyvisa", "pyvisa-py", "optuna")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What a run came to.

    Parameters
    ----------
    status
        `finished`, `aborted` (somebody asked) or `failed`.
    why
        Of a run that did not finish, or finished before its plan did: its light was spent.
    outcome
        None if nothing was captured.
    truth
        On a virtual bench, what only the simulator knows.
    unsafe
        Devices that could not be made safe; empty when all is well.
    left_at
        Where the bench was left.
    """

    run_dir: Path
    status: str
    why: str | None
    outcome: Outcome | None
    truth: dict[str, float] | None
    seconds: float
    unsafe: tuple[Unsafe, ...]
    left_at: LeftAt


def new_run_dir(output: Path, name: str) -> Path:
    """Name of a new run's folder, from the bench file's name and the time."""
    stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    candidate = output / f"{name}-{stamp}"
    count = 1
    while candidate.exists():
        count += 1
        candidate = output / f"{name}-{stamp}-{count}"
    return candidate


def create_run(config: Config, run_dir: Path, *, name: str) -> Ledger:
    """Start the record of a new run, with copies of its calibration files.

    Raises
    ------
    LedgerError
        The record cannot be written.
    ConfigError
        A calibration file that the config names cannot be read.
    """
    files = read_inputs(config)
    ledger = Ledger.create(
        run_dir,
        {
            "config": with_copies(config.model_dump(mode="json"), files),
            "inputs": [file.record() for file in files],
            "config_name": name,
            "created_at": datetime.now(UTC).isoformat(),
            "infoloop_version": metadata.version("infoloop"),
            "versions": {
                "python": platform.python_version(),
                **{package: metadata.version(package) for package in _PACKAGES},
            },
            "random": _random(config),
            "status": "created",
        },
    )
    try:
        keep(files, run_dir)
    except OSError as error:
        ledger.close()
        raise LedgerError(f"{run_dir}: cannot keep the calibration files: {error}") from error
    return ledger


def _random(config: Config) -> dict[str, Any]:
    """Say what is drawn at random in a campaign, and from which seed; nothing else is."""
    return {
        "seed": config.search.seed,
        "proposals": "(seed, trial number)",
        "order of the objects": "seed, once; the same in every trial",
        "scores": "seed; the same in every trial",
        "noise of a virtual bench": "(bench.micromanager.seed, trial number, part)",
    }


def recorded_config(ledger: Ledger) -> Config:
    """Config that a run was started with; raises `ConfigError` if it no longer fits.

    Its calibration files are the copies in the run directory, which must be what they were.
    """
    check_kept(ledger.meta(), ledger.run_dir)
    return parse_config(ledger.meta()["config"], source=str(ledger.run_dir), folder=ledger.run_dir)


def execute(
    config: Config,
    ledger: Ledger,
    bus: EventBus,
    *,
    control: Control,
    on_ctrl_c: Callable[[], bool] | None = None,
) -> RunResult:
    """Run or resume a campaign to its end, and bring the bench to a safe end.

    Parameters
    ----------
    config
        Of the run: `recorded_config`, which names the copies of its calibration files.
    ledger
        Open; stays open.
    bus
        Takes the events; stays open.
    control
        A new one: any thread may pause, resume and abort the campaign through it. Its `on_change`
        belongs to this function.
    on_ctrl_c
        What Ctrl-C does, in place of ending the run (`instrument.bench.safety.signals_raise`).

    Raises
    ------
    ConnectError, DeviceError, EstimationError, Interrupted
        If the bench could not be connected or calibrated; all is safe and closed again.
    UnsafeBench
        The same, and something could not be made safe.
    PreflightStopped
        The run must not begin, or not go on; the bench is safe and closed.
    EndNotRecorded
        On a disk that stays full; the bench is safe and closed, the end was told to `control` and
        `bus`, and the run can be resumed.
    IllegalTransition
        `control` belongs to a campaign that has begun.
    """
    watch = Stopwatch()
    control.on_change = _teller(bus, ledger)
    control.enter(State.CONNECTING)
    session = Session(config, ledger, bus, control)
    # One BLAS thread: the matrices of a score are small, and threads that spin for work take the
    # other cores from the capture (measured: 115 ms a score against 3.5 s on two busy cores).
    with (
        watch.measure("run"),
        signals_raise(on_ctrl_c),
        threadpool_limits(limits=1, user_api="blas"),
    ):
        try:
            ending, unsafe = session.run()
        except BaseException as error:
            _record_end(ledger, control, error)
            raise
    is_aberrated = isinstance(config.bench.micromanager, PupilMicroscopeOptions)
    if ending.truth is not None and is_aberrated and ending.status == "finished":
        trained = recorded_density(ledger.meta())
        density = ledger.meta().get("density", config.score.density)
        if trained is not None:
            density = density_of(trained, ledger.run_dir, seed=config.search.seed)
        ending.truth["unaberrated_bits_per_pixel"] = unaberrated_bits_per_pixel(
            config, ledger.run_dir, density=density
        )
    seconds = watch.seconds()["run"]
    try:  # whoever listens is told of the end, whatever becomes of its record
        try:
            _record_ending(ledger, ending, unsafe, seconds=seconds)
        finally:
            control.enter(State(ending.status), ending.why)
    except (LedgerError, AbortAsked) as error:
        if unsafe:  # outranks a record that could not be written
            raise UnsafeBench(unsafe) from error
        raise EndNotRecorded(ledger.run_dir, error) from error
    finally:
        bus.emit(end_event(ending.status, ending.outcome))
    return RunResult(
        run_dir=ledger.run_dir,
        status=ending.status,
        why=ending.why,
        outcome=ending.outcome,
        truth=ending.truth,
        seconds=seconds,
        unsafe=unsafe,
        left_at=ending.left_at,
    )


def _record_ending(
    ledger: Ledger, ending: Ending, unsafe: tuple[Unsafe, ...], *, seconds: float
) -> None:
    earlier_s = float(ledger.meta().get("seconds", 0.0))
    ledger.set_meta("seconds", earlier_s + seconds)
    ledger.set_meta("status", ending.status)
    ledger.set_meta("why", ending.why)
    ledger.describe_session(status=ending.status, why=ending.why)
    ledger.set_meta("left_at", ending.left_at.record(unsafe))
    if ending.truth is not None:
        ledger.set_meta("truth", ending.truth)
    if ending.outcome is not None:
        _record_outcome(ledger, ending.outcome)


def _teller(bus: EventBus, ledger: Ledger) -> OnChange:
    """Return what tells observers of a change of state first, and then the journal."""

    def tell(before: State, now: State, why: str | None) -> None:
        bus.emit(StateChanged(before=before, now=now, why=why))
        ledger.log("state", why or str(now), before=str(before), now=str(now))
        for dropped in bus.take_dropped():
            ledger.log("observer", dropped.text, observer=dropped.observer)

    return tell


def _record_end(ledger: Ledger, control: Control, error: BaseException) -> None:
    """Record an end by an error, which is raised after this and counts more than the record."""
    is_asked = isinstance(error, Interrupted | AbortAsked | KeyboardInterrupt)
    status = State.ABORTED if is_asked else State.FAILED
    unsafe = error.failures if isinstance(error, UnsafeBench) else ()
    try:
        try:
            ledger.set_meta("status", str(status))
            ledger.set_meta("why", str(error))
            ledger.describe_session(status=str(status), why=str(error))
            ledger.set_meta("left_at", LeftAt(what="safe", why=str(error)).record(unsafe))
        finally:
            control.enter(status, str(error))
    except LedgerError:
        _log.exception("the end of the run is not in its record")


def _record_outcome(ledger: Ledger, outcome: Outcome) -> None:
    ledger.set_meta("best_trial", outcome.best_trial)
    decision = outcome.decision
    if decision is None:
        return
    gain = decision.gain
    plain: dict[str, Any] = {
        "winner": decision.winner,
        "runner_up": decision.runner_up,
        "score": decision.score,
        "standard_error": decision.standard_error,
        "gain_bits": gain.bits if gain else None,
        "gain_standard_error": gain.standard_error if gain else None,
        "is_significant": decision.is_significant,
    }
    ledger.set_meta("decision", plain)
