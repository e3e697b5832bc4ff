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
from instrument.bench.holding import PauseAsked
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
from instrument.campaign.recovery import Recovery
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
    session = _Session(config, ledger, bus, control)
    control.enter(State.CONNECTING)
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
            _record_end(ledger, control, error, unsafe=session.unsafe)
            raise
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ending:
    left_at: LeftAt
    status: str
    why: str | None
    outcome: Outcome | None
    truth: dict[str, float] | None = None


_ENDS = (AbortAsked, DeviceError, InterlockTripped, Interrupted, LedgerError)
"""What ends a campaign; anything else is a mistake of the program."""


class _Session:
    """One process's part of a run: its benches, one after another, and the campaign on them."""

    def __init__(self, config: Config, ledger: Ledger, bus: EventBus, control: Control):
        self._config = config
        self._ledger = ledger
        self._bus = bus
        self._control = control
        self._bench: Bench | None = None
        self._campaign: Campaign | None = None
        self._recovery = Recovery(
            config.safety.recover,
            connect=self._connect,
            wait=self._wait,
            progress=lambda: self._campaign.scored if self._campaign else 0,
            journal=self._tell,
        )

    @property
    def unsafe(self) -> tuple[Unsafe, ...]:
        """What could not be made safe, of a bench that is closed."""
        return () if self._bench is None else self._bench.close()

    def run(self) -> tuple[_Ending, tuple[Unsafe, ...]]:
        """Return how it ended, and what could not be made safe; the bench is closed.

        Raises
        ------
        DeviceError, EstimationError, InterlockTripped, Interrupted, UnsafeBench
            Before there was a campaign.
        """
        self._bench = bench = connect(self._config)  # all is safe and closed again if it raises
        try:
            ending = self._recovery.keep(bench, self._work)[1]
        except _ENDS as error:
            if self._campaign is None and not isinstance(error, AbortAsked):
                self._bench.close_or_say_so()
                raise
            self._bench.close()  # before anything that may fail, the ledger's disk included
            ending = self._ending_of(error)
        except BaseException:
            self._bench.close_or_say_so()
            raise
        return ending, self.unsafe

    def _work(self, bench: Bench) -> _Ending:
        self._bench = bench
        _record_bench(self._ledger, bench)
        _calibrate_if_asked(bench, self._ledger, self._bus, self._control)
        if self._campaign is None:
            self._campaign = Campaign(bench, self._ledger, self._bus, control=self._control)
        else:
            self._campaign.use(bench)
        status, why = "finished", None
        try:
            outcome = self._campaign.run()
        except AbortAsked as asked:  # no device is in the middle of something
            status, why, outcome = "aborted", str(asked), self._campaign.outcome()
        left_at = leave_bench(
            bench, self._campaign.space, outcome, is_complete=self._campaign.is_complete
        )
        truth = _truth(bench, self._ledger)
        return _Ending(left_at=left_at, status=status, why=why, outcome=outcome, truth=truth)

    def _ending_of(self, error: Exception) -> _Ending:
        """Return the ending by an error: nothing was moved after it."""
        outcome = None if self._campaign is None else self._campaign.outcome()
        status, why = "failed", str(error)
        match error:
            case Interrupted():
                status, why = "aborted", f"{error}, in the middle of something"
            case AbortAsked():
                status, why = "aborted", f"{error}, while no design was on the bench"
            case _:
                self._bus.emit(Notice(text=str(error)))
        left_at = LeftAt(what="safe", why=why)
        return _Ending(left_at=left_at, status=status, why=str(error), outcome=outcome)

    def _connect(self) -> Bench:
        return connect(self._config)

    def _wait(self, seconds: float) -> None:
        """Wait for another attempt to connect, as long as nobody pauses or ends the campaign."""
        self._control.enter(State.CONNECTING, "after a fault")
        while True:
            try:
                return self._control.wait(seconds)
            except PauseAsked:
                self._control.wait_while_paused(longest_s=self._config.safety.longest_pause_s)

    def _tell(self, kind: str, text: str) -> None:
        self._bus.emit(Notice(text=f"{kind}: {text}"))
        self._ledger.log(kind, text)


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
