"""A whole run: folder, ledger, bench, campaign, and the way out, whatever happens in between.

The only place that owns all of them. Whichever way it leaves, lights are off, the ledger says how
it ended, and what could not be made safe is in the result.
"""

from __future__ import annotations

import platform
import threading
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
from instrument.campaign.engine import Campaign
from instrument.campaign.events import EventBus, Notice
from instrument.campaign.inputs import check_kept, keep, read_inputs, with_copies
from instrument.campaign.ledger import Ledger, LedgerError
from instrument.campaign.outcome import Outcome, end_event
from instrument.campaign.pausing import Pauses
from instrument.campaign.scoring import NOISE_FILE, check_calibratable
from instrument.campaign.unaberrated import unaberrated_bits_per_pixel
from instrument.config import Config, NoiseCalibrate, parse_config

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
    """

    run_dir: Path
    status: str
    why: str | None
    outcome: Outcome | None
    truth: dict[str, float] | None
    seconds: float
    unsafe: tuple[Unsafe, ...]


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


def execute(config: Config, ledger: Ledger, bus: EventBus, *, stop: threading.Event) -> RunResult:
    """Run or resume a campaign to its end, and bring the bench to a safe end.

    Parameters
    ----------
    config
        Of the run; for a resumed one, `recorded_config`.
    ledger
        Open; stays open.
    bus
        Takes the events; stays open.
    stop
        Ends the campaign between two trials when set.

    Raises
    ------
    ConnectError, DeviceError, EstimationError, Interrupted
        If the bench could not be connected or calibrated; all is safe and closed again.
    UnsafeBench
        The same, and something could not be made safe.
    """
    watch = Stopwatch()
    ending = _Ending()
    # One BLAS thread: the matrices of a score are small, and threads that spin for work take the
    # other cores from the capture (measured: 115 ms a score against 3.5 s on two busy cores).
    with watch.measure("run"), signals_raise(), threadpool_limits(limits=1, user_api="blas"):
        try:
            bench = connect(config)
        except BaseException as error:  # all is safe and closed again
            _record_end(ledger, error)
            raise
        try:
            _record_bench(ledger, bench)
            _calibrate_if_asked(bench, ledger, bus, stop)
            ending = _run_campaign(bench, ledger, bus, stop)
        except BaseException as error:
            try:
                bench.close_or_say_so()  # before anything that may fail, the ledger's disk included
            finally:
                _record_end(ledger, error)
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
    if ending.truth is not None:
        ledger.set_meta("truth", ending.truth)
    if ending.outcome is not None:
        _record_outcome(ledger, ending.outcome)
    bus.emit(end_event(ending.status, ending.outcome))
    return RunResult(
        run_dir=ledger.run_dir,
        status=ending.status,
        why=ending.why,
        outcome=ending.outcome,
        truth=ending.truth,
        seconds=seconds,
        unsafe=unsafe,
    )


def _record_end(ledger: Ledger, error: BaseException) -> None:
    ledger.set_meta("status", "aborted" if isinstance(error, Interrupted) else "failed")
    ledger.set_meta("why", str(error))


@dataclass
class _Ending:
    status: str = "failed"
    why: str | None = None
    outcome: Outcome | None = None
    truth: dict[str, float] | None = None


def _run_campaign(bench: Bench, ledger: Ledger, bus: EventBus, stop: threading.Event) -> _Ending:
    ending = _Ending()
    campaign = Campaign(bench, ledger, bus, stop=stop)
    try:
        ending.outcome = campaign.run()
        ending.status = "aborted" if stop.is_set() else "finished"
        said = campaign.drift()
        if said is not None:
            bus.emit(Notice(text=said))
        ending.truth = _leave_bench(bench, ledger, campaign, ending.outcome)
    except Interrupted as signal:
        ending.status, ending.why = "aborted", str(signal)
    except (DeviceError, InterlockTripped, LedgerError) as error:
        ending.status, ending.why = "failed", str(error)  # also where only `on_stop` failed
        bus.emit(Notice(text=str(error)))
    if ending.outcome is None:
        ending.outcome = campaign.outcome()
    return ending


def _leave_bench(
    bench: Bench, ledger: Ledger, campaign: Campaign, outcome: Outcome
) -> dict[str, float] | None:
    """Bring the bench to where `on_stop` wants it; return the simulator's truth, if any."""
    designs = {"best": outcome.best_design, "start": campaign.space.start}
    design = designs.get(bench.config.safety.on_stop)
    if design is not None:
        left = campaign.here(design)
        bench.apply(left.on_bench, space=campaign.space, stopwatch=Stopwatch())
        if left.plan:
            ledger.set_meta("left", {"design": left.on_bench.to_json(), **left.plan})
        bench.keep_design()
    if bench.truth is None:
        return None
    first = next(iter(ledger.trials()), None)
    truth = {f"final_{name}": value for name, value in bench.truth().items()}
    if first is not None:
        initial = first.record.get("truth", {})
        truth.update({f"initial_{name}": value for name, value in initial.items()})
    return truth


def _calibrate_if_asked(bench: Bench, ledger: Ledger, bus: EventBus, stop: threading.Event) -> None:
    """Calibrate once a run, before its first trial; a resumed run keeps its calibration."""
    asked = bench.config.noise
    path = ledger.run_dir / NOISE_FILE
    if not isinstance(asked, NoiseCalibrate) or path.exists():
        return
    protocol = PROTOCOLS[asked.calibrate]
    check_calibratable(bench.config, longest_factor=max((1.0, *protocol.dark_exposures)))
    bus.emit(Notice(text=f"calibrating the camera ({asked.calibrate})"))
    state = ledger.run_dir / "calibration.npz"
    result = Pauses(bench, bus, stop=stop).again(
        lambda: calibrate(bench, protocol, state=state, on_level=lambda _done, _of, _what: None)
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
