"""A whole run: folder, ledger, bench, campaign, and the way out, whatever happens in between.

The only place that owns all of them. Whichever way it leaves, lights are off, the ledger says how
it ended, and what could not be made safe is in the result.
"""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from drivers import DeviceError
from drivers.virtual.options import PupilMicroscopeOptions
from estimation.calibration import Finding
from instrument.bench.bench import Bench
from instrument.bench.calibration import PROTOCOLS, as_noise, calibrate
from instrument.bench.connect import connect
from instrument.bench.interlocks import InterlockTripped
from instrument.bench.safety import Interrupted, Unsafe, signals_raise
from instrument.bench.timing import Stopwatch
from instrument.campaign.control import AbortAsked, Control, OnChange
from instrument.campaign.engine import Campaign
from instrument.campaign.events import EventBus, Notice, StateChanged
from instrument.campaign.inputs import check_kept, keep, read_inputs, with_copies
from instrument.campaign.leaving import LeftAt, leave_bench
from instrument.campaign.ledger import Ledger, LedgerError
from instrument.campaign.outcome import Outcome, end_event
from instrument.campaign.pausing import Pauses
from instrument.campaign.scoring import NOISE_FILE, check_calibratable
from instrument.campaign.states import State
from instrument.campaign.unaberrated import unaberrated_bits_per_pixel
from instrument.config import Config, NoiseCalibrate, parse_config

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
        Of a run that did not finish.
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
            "status": "created",
        },
    )
    try:
        keep(files, run_dir)
    except OSError as error:
        ledger.close()
        raise LedgerError(f"{run_dir}: cannot keep the calibration files: {error}") from error
    return ledger


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
        Of the run; for a resumed one, `recorded_config`.
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
    IllegalTransition
        `control` belongs to a campaign that has begun.
    """
    watch = Stopwatch()
    control.on_change = _teller(bus, ledger)
    control.enter(State.CONNECTING)
    # One BLAS thread: the matrices of a score are small, and threads that spin for work take the
    # other cores from the capture (measured: 115 ms a score against 3.5 s on two busy cores).
    with (
        watch.measure("run"),
        signals_raise(on_ctrl_c),
        threadpool_limits(limits=1, user_api="blas"),
    ):
        try:
            bench = connect(config)
        except BaseException as error:  # all is safe and closed again
            _record_end(ledger, control, error)
            raise
        try:
            _record_bench(ledger, bench)
            ending = _calibrate_and_search(bench, ledger, bus, control)
        except BaseException as error:
            try:
                bench.close_or_say_so()  # before anything that may fail, the ledger's disk included
            finally:
                _record_end(ledger, control, error, unsafe=bench.close())
            raise
        unsafe = bench.close()
    is_aberrated = isinstance(config.bench.micromanager, PupilMicroscopeOptions)
    if ending.truth is not None and is_aberrated and ending.status == "finished":
        density = ledger.meta().get("density", config.score.density)
        ending.truth["unaberrated_bits_per_pixel"] = unaberrated_bits_per_pixel(
            config, ledger.run_dir, density=density
        )
    seconds = watch.seconds()["run"]
    earlier_s = float(ledger.meta().get("seconds", 0.0))
    ledger.set_meta("seconds", earlier_s + seconds)
    ledger.set_meta("status", ending.status)
    ledger.set_meta("why", ending.why)
    ledger.set_meta("left_at", ending.left_at.record(unsafe))
    if ending.truth is not None:
        ledger.set_meta("truth", ending.truth)
    if ending.outcome is not None:
        _record_outcome(ledger, ending.outcome)
    control.enter(State(ending.status), ending.why)
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


def _teller(bus: EventBus, ledger: Ledger) -> OnChange:
    """Return what tells observers of a change of state first, and then the journal."""

    def tell(before: State, now: State, why: str | None) -> None:
        bus.emit(StateChanged(before=before, now=now, why=why))
        ledger.log("state", why or str(now), before=str(before), now=str(now))
        for dropped in bus.take_dropped():
            ledger.log("observer", dropped.text, observer=dropped.observer)

    return tell


def _record_end(
    ledger: Ledger, control: Control, error: BaseException, *, unsafe: Sequence[Unsafe] = ()
) -> None:
    """Record an end by an error, which is raised after this and counts more than the record."""
    is_asked = isinstance(error, Interrupted | AbortAsked | KeyboardInterrupt)
    status = State.ABORTED if is_asked else State.FAILED
    try:
        try:
            ledger.set_meta("status", str(status))
            ledger.set_meta("why", str(error))
            ledger.set_meta("left_at", LeftAt(what="safe", why=str(error)).record(unsafe))
        finally:
            control.enter(status, str(error))
    except LedgerError:
        _log.exception("the end of the run is not in its record")


@dataclass
class _Ending:
    left_at: LeftAt
    status: str = "failed"
    why: str | None = None
    outcome: Outcome | None = None
    truth: dict[str, float] | None = None


def _calibrate_and_search(bench: Bench, ledger: Ledger, bus: EventBus, control: Control) -> _Ending:
    try:
        _calibrate_if_asked(bench, ledger, bus, control)
    except AbortAsked as asked:
        left_at = LeftAt(what="safe", why="aborted while the camera was calibrated")
        return _Ending(left_at, status="aborted", why=str(asked))
    return _run_campaign(bench, ledger, bus, control)


def _run_campaign(bench: Bench, ledger: Ledger, bus: EventBus, control: Control) -> _Ending:
    ending = _Ending(LeftAt(what="safe", why="the campaign did not end"))
    campaign = Campaign(bench, ledger, bus, control=control)
    try:
        try:
            ending.outcome = campaign.run()
            ending.status = "finished"
        except AbortAsked as asked:
            ending.status, ending.why = "aborted", str(asked)
            ending.outcome = campaign.outcome()
        ending.left_at = leave_bench(
            bench, campaign.space, ending.outcome, has_finished=campaign.is_complete
        )
        ending.truth = _truth(bench, ledger)
    except Interrupted as signal:
        ending.status, ending.why = "aborted", str(signal)
        ending.left_at = LeftAt(what="safe", why=f"{signal}, in the middle of something")
    except (DeviceError, InterlockTripped, LedgerError) as error:
        ending.status, ending.why = "failed", str(error)  # also where only `on_stop` failed
        ending.left_at = LeftAt(what="safe", why=str(error))
        bus.emit(Notice(text=str(error)))
    if ending.outcome is None:
        ending.outcome = campaign.outcome()
    return ending


def _truth(bench: Bench, ledger: Ledger) -> dict[str, float] | None:
    """Return what only the simulator knows, if there is one."""
    if bench.truth is None:
        return None
    first = next(iter(ledger.trials()), None)
    truth = {f"final_{name}": value for name, value in bench.truth().items()}
    if first is not None:
        initial = first.record.get("truth", {})
        truth.update({f"initial_{name}": value for name, value in initial.items()})
    return truth


def _calibrate_if_asked(bench: Bench, ledger: Ledger, bus: EventBus, control: Control) -> None:
    """Calibrate once a run, before its first trial; a resumed run keeps its calibration."""
    asked = bench.config.noise
    path = ledger.run_dir / NOISE_FILE
    if not isinstance(asked, NoiseCalibrate) or path.exists():
        return
    protocol = PROTOCOLS[asked.calibrate]
    check_calibratable(bench.config, longest_factor=max((1.0, *protocol.dark_exposures)))
    control.enter(State.CALIBRATING, f"calibrating the camera ({asked.calibrate})")
    bus.emit(Notice(text=f"calibrating the camera ({asked.calibrate})"))
    state = ledger.run_dir / "calibration.npz"
    result = Pauses(bench, bus, control=control).again(
        lambda: calibrate(
            bench,
            protocol,
            state=state,
            on_level=lambda _done, _of, _what: None,
            checkpoint=control.checkpoint,
        )
    )
    as_noise(result, bench, protocol).save(path)
    for warning in result.warnings:
        if warning.name == Finding.SAMPLE_IN_VIEW:
            continue  # as it should be here, and nothing that the scores use
        bus.emit(Notice(text=f"calibration: {warning}"))
    bus.emit(
        Notice(
            text=f"gain {result.gain:.4g} ADU/e- (standard error {result.gain_se:.2g}), "
            f"read noise {float(np.median(result.read_noise)):.3g} e-"
        )
    )


def _record_bench(ledger: Ledger, bench: Bench) -> None:
    ledger.set_meta("status", "running")
    ledger.set_meta("devices", [asdict(device) for device in bench.describe()])
    ledger.set_meta("slm_shapes", {role: list(s) for role, s in bench.slm_shapes().items()})


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
