"""One process's part of a run: a bench, its successors after faults, and the campaign on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from drivers import DeviceError
from estimation.calibration import Finding
from instrument.bench.bench import Bench
from instrument.bench.calibration import PROTOCOLS, as_noise, calibrate
from instrument.bench.camera_mode import camera_mode
from instrument.bench.connect import connect
from instrument.bench.holding import PauseAsked
from instrument.bench.interlocks import InterlockTripped
from instrument.bench.safety import Interrupted, Unsafe
from instrument.campaign.checks import LookAt, Preflight, PreflightStopped
from instrument.campaign.control import AbortAsked, Control
from instrument.campaign.engine import Campaign
from instrument.campaign.events import EventBus, Notice, PreflightDone
from instrument.campaign.inputs import has_noise, keep_noise
from instrument.campaign.leaving import LeftAt, leave_bench
from instrument.campaign.ledger import Ledger, LedgerError
from instrument.campaign.outcome import Outcome
from instrument.campaign.pausing import Pauses
from instrument.campaign.preflight import Standing, preflight
from instrument.campaign.recovery import Recovery
from instrument.campaign.scoring import check_calibratable
from instrument.campaign.states import State
from instrument.config import Config, NoiseCalibrate

_ENDS = (AbortAsked, DeviceError, InterlockTripped, Interrupted, LedgerError)
"""What ends a campaign; anything else is a mistake of the program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a session ended: `finished`, `aborted` or `failed`, why, and what it leaves."""

    status: str
    left_at: LeftAt
    why: str | None = None
    outcome: Outcome | None = None
    truth: dict[str, float] | None = None


class Session:
    """Connects, calibrates, searches and leaves the bench; after a fault, on a bench opened anew.

    Parameters
    ----------
    config, ledger, bus, control
        Of the run.
    """

    def __init__(self, config: Config, ledger: Ledger, bus: EventBus, control: Control):
        self._config = config
        self._ledger = ledger
        self._bus = bus
        self._control = control
        self._campaign: Campaign | None = None
        self._recovery = Recovery(
            config.safety.recover,
            connect=lambda: connect(config),
            wait=self._wait,
            progress=lambda: self._campaign.scored if self._campaign else 0,
            journal=self._tell,
        )

    def run(self) -> tuple[Ending, tuple[Unsafe, ...]]:
        """Return how it ended, and what could not be made safe; the bench is closed.

        Raises
        ------
        DeviceError, EstimationError, InterlockTripped, Interrupted, UnsafeBench
            Before there was a campaign; the bench is closed.
        PreflightStopped
            The run must not begin.
        """
        self._bench = connect(self._config)  # all is safe and closed again if it raises
        try:
            self._look_at = self._preflight(self._bench)
            ending = self._recovery.keep(self._bench, self._work)[1]
        except _ENDS as error:
            if self._campaign is None and not isinstance(error, AbortAsked):
                self._bench.close_or_say_so()
                raise
            self._bench.close()  # before anything that may fail, the ledger's disk included
            ending = self._ending_of(error)
        except BaseException:
            self._bench.close_or_say_so()
            raise
        return ending, self._bench.close()

    def _preflight(self, bench: Bench) -> LookAt:
        """Look at everything before any light; return how to look again with the self-check.

        Raises
        ------
        PreflightStopped
            The run must not begin. One that has finished has nothing to begin.
        """
        run_dir, standing = self._ledger.run_dir, Standing.of(self._ledger)

        def look_at(here: Bench, look: Mapping[str, Any] | None) -> Preflight:
            # After a fault in the self-check `here` is the successor of `bench`.
            return preflight(self._config, here, run_dir=run_dir, standing=standing, look=look)

        if self._ledger.meta().get("status") != "finished":
            found = look_at(bench, None)
            if found.stops:
                self._bus.emit(PreflightDone(preflight=found))
                raise PreflightStopped(found)
        return look_at

    def _work(self, bench: Bench) -> Ending:
        self._bench = bench
        _record_bench(self._ledger, bench)
        try:
            self._calibrate_if_asked(bench)
        except AbortAsked as asked:
            left_at = LeftAt(what="safe", why="aborted while the camera was calibrated")
            return Ending(status="aborted", why=str(asked), left_at=left_at)
        if self._campaign is None:
            self._campaign = Campaign(
                bench, self._ledger, self._bus, control=self._control, preflight=self._look_at
            )
        else:
            self._campaign.use(bench)
        return self._search(bench, self._campaign)

    def _search(self, bench: Bench, campaign: Campaign) -> Ending:
        status = "finished"
        try:
            outcome = campaign.run()
            why = campaign.spent
        except AbortAsked as asked:
            status, why, outcome = "aborted", str(asked), campaign.outcome()
        said = campaign.drift()
        if said is not None:
            self._bus.emit(Notice(text=said))
        left_at = leave_bench(
            bench,
            campaign.space,
            outcome,
            is_complete=campaign.is_complete,
            here=campaign.here,
        )
        truth = _truth(bench, self._ledger)
        return Ending(status=status, why=why, left_at=left_at, outcome=outcome, truth=truth)

    def _ending_of(self, error: Exception) -> Ending:
        """Turn what ended a campaign into its end; its bench is safe and closed."""
        why, left_why, status = str(error), str(error), "failed"
        match error:
            case Interrupted():
                status, left_why = "aborted", f"{error}, in the middle of something"
            case AbortAsked():
                status, left_why = "aborted", "aborted while the bench was being connected again"
            case _:
                self._bus.emit(Notice(text=why))
        left_at = LeftAt(what="safe", why=left_why)
        outcome = None if self._campaign is None else self._campaign.outcome()
        return Ending(status=status, why=why, left_at=left_at, outcome=outcome)

    def _wait(self, seconds: float) -> None:
        """Let time go by before the bench is connected again; a pause comes on top."""
        self._control.enter(State.CONNECTING, "after a fault")
        while True:
            try:
                self._control.wait(seconds)
            except PauseAsked:
                self._control.wait_while_paused(longest_s=self._config.safety.longest_pause_s)
            else:
                return

    def _tell(self, kind: str, text: str) -> None:
        self._bus.emit(Notice(text=f"{kind}: {text}"))
        self._ledger.log(kind, text)

    def _calibrate_if_asked(self, bench: Bench) -> None:
        """Calibrate once a run, before its first trial; a resumed run keeps its calibration."""
        asked = bench.config.noise
        if not isinstance(asked, NoiseCalibrate) or has_noise(self._ledger):
            return
        protocol = PROTOCOLS[asked.calibrate]
        check_calibratable(bench.config, longest_factor=max((1.0, *protocol.dark_exposures)))
        self._control.enter(State.CALIBRATING, f"calibrating the camera ({asked.calibrate})")
        self._bus.emit(Notice(text=f"calibrating the camera ({asked.calibrate})"))
        state = self._ledger.run_dir / "calibration.npz"
        result = Pauses(bench, self._bus, control=self._control).again(
            lambda: calibrate(
                bench,
                protocol,
                state=state,
                on_level=lambda _done, _of, _what: None,
                checkpoint=self._control.checkpoint,
            )
        )
        keep_noise(as_noise(result, bench, protocol), self._ledger)
        for warning in result.warnings:
            if warning.name == Finding.SAMPLE_IN_VIEW:
                continue  # as it should be here, and nothing that the scores use
            self._bus.emit(Notice(text=f"calibration: {warning}"))
        self._bus.emit(
            Notice(
                text=f"gain {result.gain:.4g} ADU/e- (standard error {result.gain_se:.2g}), "
                f"read noise {float(np.median(result.read_noise)):.3g} e-"
            )
        )


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


def _record_bench(ledger: Ledger, bench: Bench) -> None:
    ledger.set_meta("status", "running")
    devices = [asdict(device) for device in bench.describe()]
    ledger.set_meta("devices", devices)
    ledger.describe_session(devices=devices)
    ledger.set_meta("camera_mode", asdict(camera_mode(bench)))
    ledger.set_meta("slm_shapes", {role: list(s) for role, s in bench.slm_shapes().items()})
