"""The loop: propose, apply, capture, make durable, score, tell; and the same again after a kill.

`Campaign.run` reads like DESIGN section 2. It owns no device and no file: bench, ledger and bus are
passed in, and whoever opened them closes them.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np

from drivers import DeviceError
from instrument.bench.bench import Bench
from instrument.bench.timing import Stopwatch
from instrument.campaign.checks import LookAt, PreflightStopped
from instrument.campaign.control import Control
from instrument.campaign.drifting import REFERENCE, Drifting
from instrument.campaign.events import (
    CampaignStarted,
    EventBus,
    Notice,
    PreflightDone,
    TrialScored,
)
from instrument.campaign.ledger import Ledger, LedgerError, TrialRow
from instrument.campaign.outcome import Outcome
from instrument.campaign.pausing import Pauses
from instrument.campaign.plan import Plan, Proposal
from instrument.campaign.scoring import (
    Score,
    as_plain,
    load_noise,
)
from instrument.campaign.self_check import When, check_noise, checked_event
from instrument.campaign.states import State
from instrument.campaign.supplies import Supplies
from instrument.campaign.trial import Measurement, captured_at
from instrument.design import Design, DesignSpace, Parameter
from instrument.grid import grid_positions
from instrument.search.protocol import Observation

SAME_DESIGN = 1e-4
"""Fraction of a range by which a proposal may differ from the recorded one after a resume."""


class Campaign:
    """One search on one bench, recorded in one ledger.

    Parameters
    ----------
    bench
        Connected.
    ledger
        New, or with the trials of an interrupted run.
    bus
        Takes the events.
    control
        Takes the state, and says when to pause or to end.
    preflight
        Called before the first new trial with the record of the self-check, if there was one.
    """

    def __init__(
        self,
        bench: Bench,
        ledger: Ledger,
        bus: EventBus,
        *,
        control: Control,
        preflight: LookAt | None = None,
    ):
        self._ledger = ledger
        self._bus = bus
        self._control = control
        self._config = bench.config
        grid = self._config.objects.stage_grid
        self._positions = grid_positions(
            grid.count,
            spacing_um=grid.spacing_um,
            centre_um=grid.centre_um,
            order=grid.order,
            seed=self._config.search.seed,
        )
        self.space = self._recorded_space(bench)
        plan = Plan(self._config, self.space, contenders=self._recorded_contenders())
        drift = self._config.drift
        self._drifting = None if drift is None else Drifting(plan, self.space, drift)
        self._plan: Plan | Drifting = self._drifting or plan
        self._began_at: datetime | None = None
        self._at_s = 0.0
        self._rows = {row.number: row for row in ledger.trials()}  # of an interrupted run
        self._bits_per_pixel = {
            number: float(row.estimate["bits_per_pixel"])
            for number, row in self._rows.items()
            if row.state == "scored"
        }
        self._has_contenders = self._plan.contenders is not None
        self._has_begun = False
        self._number = 0
        self._faults: Counter[int] = Counter()
        self._last_fault = ""
        self.is_complete = False
        """Whether every trial of the plan was taken."""
        self.spent: str | None = None
        """Why the campaign ended before its plan did, without anybody asking: the light."""
        self._preflight = preflight
        self.use(bench)

    def use(self, bench: Bench) -> None:
        """Go on with a bench: the first one, or its successor after a fault.

        Raises
        ------
        CalibrationMismatch
            Its camera is not the calibrated one.
        """
        self._bench = bench
        self._noise = load_noise(self._config, bench, self._ledger.run_dir)
        self._supplies = Supplies(
            bench,
            self._ledger,
            self._bus,
            self._control,
            space=self.space,
            positions=self._positions,
        )
        self._measurement = Measurement(
            bench,
            self._ledger,
            self._bus,
            space=self.space,
            positions=self._positions,
            noise=self._noise,
            control=self._control,
            dose=self._supplies.dose,
        )
        self._is_ready = False
        self._is_noise_checked = False

    @property
    def scored(self) -> int:
        """Number of trials with a score."""
        return len(self._bits_per_pixel)

    def run(self) -> Outcome:
        """Run to the end of the plan, between two checks of the noise.

        After an error it goes on where it was when it is called again, on the same bench or another
        one (`use`); the trial in which a device failed is captured again, at most
        `safety.recover.captures` times in all.

        Raises
        ------
        DeviceError, InterlockTripped, Interrupted, LedgerError
            The campaign cannot go on. What was acknowledged is in the ledger; the bench must be
            made safe by whoever owns it.
        AbortAsked
            It is to end, after an exposure or a trial; no device is in the middle of something.
        PreflightStopped
            It must not begin.
        """
        self._control.enter(State.RUNNING)
        if not self._has_begun:
            self._has_begun = True
            self._bus.emit(
                CampaignStarted(
                    run_dir=str(self._ledger.run_dir),
                    space=self.space,
                    trials=self._plan.trials,
                    done=sum(row.state in ("scored", "failed") for row in self._rows.values()),
                )
            )
        while True:
            self._pauses().again(self._control.checkpoint)
            self._record_dropped()
            started_s = time.perf_counter()
            proposal = self._plan.ask()
            if proposal is None:
                self.is_complete = True
                break
            self._record_contenders()
            row = self._rows.get(self._number)
            if row is not None and row.state in ("scored", "failed"):
                self._replay(row, proposal)
            elif row is not None and row.state == "captured":  # needs neither disk nor light
                self._begin()
                self._try_trial(proposal, row, propose_s=time.perf_counter() - started_s)
            else:
                self.spent = self._supplies.why_spent(proposal.design)
                if self.spent is not None:
                    break
                self._begin()
                with self._supplies.used_by("trial", proposal.design):
                    self._try_trial(proposal, row, propose_s=time.perf_counter() - started_s)
            self._number += 1
        outcome = self.outcome()
        best = outcome.best_design or self.space.start
        # A run that was only replayed leaves the bench alone.
        if self._is_noise_checked and self._supplies.can_check(best):
            self._check_noise("end", best)
        self._supplies.settle()
        return outcome

    def _begin(self) -> None:
        """Check the noise and say what the run stands on, before the first new trial on a bench."""
        if self._is_ready:
            return
        self._is_ready = True
        look = self._check_noise("start", self.space.start)
        if self._preflight is None:
            return
        found, self._preflight = self._preflight(look), None  # once a session
        at = datetime.now(UTC).isoformat()
        self._ledger.set_meta("preflight", {**found.as_plain(), "at": at})
        self._bus.emit(PreflightDone(preflight=found))
        if found.stops:
            self._supplies.settle()
            raise PreflightStopped(found)

    # ---- one trial

    def _try_trial(self, proposal: Proposal, row: TrialRow | None, *, propose_s: float) -> None:
        """Run the present trial, unless devices failed in it too often: then it has no score."""
        number = self._number
        if self._faults[number] >= self._config.safety.recover.captures:
            why = f"a device failed in each of {self._faults[number]} captures: {self._last_fault}"
            self._ledger.fail(number, why=why, seconds=propose_s)
            seen = self._observation(number, proposal, None, propose_s)
            self._tell(seen, proposal, None, why=why)
            return
        try:
            self._run_trial(number, proposal, row, propose_s=propose_s)
        except DeviceError as fault:
            self._faults[number] += 1
            self._last_fault = str(fault)
            self._rows = {row.number: row for row in self._ledger.trials()}
            raise

    def _run_trial(
        self, number: int, proposal: Proposal, row: TrialRow | None, *, propose_s: float
    ) -> None:
        started_s = time.perf_counter()
        stopwatch = Stopwatch()
        if row is None:
            with stopwatch.measure("ledger"):
                self._ledger.ask(
                    number=number,
                    phase=proposal.phase,
                    design=proposal.design,
                    plan=proposal.plan,
                )
        else:
            self._check_same(row, proposal)
        if proposal.notice is not None:
            self._bus.emit(Notice(text=f"trial {number}: {proposal.notice}"))
        measured = self._measurement.run(number, proposal, row)
        seconds = time.perf_counter() - started_s + propose_s
        score = measured.score
        self._note_time(measured.captured_at)
        seen = self._observation(number, proposal, score, seconds)
        if score is None:
            why = measured.why or "no score"
            self._ledger.fail(number, why=why, seconds=seconds)
            self._tell(seen, proposal, None, why=why)
            return
        ledger_s = stopwatch.seconds().get("ledger", 0.0) + measured.timings.get("ledger", 0.0)
        self._ledger.score(
            number,
            score=score.objective,
            standard_error=score.standard_error,
            estimate=as_plain(score.estimate) | self._beside(seen),
            seconds=seconds,
            timings={**measured.timings, "ledger": ledger_s, "propose": propose_s},
        )
        self._tell(seen, proposal, score)

    def _check_noise(self, when: When, design: Design) -> dict[str, Any] | None:
        """Compare repeats of one scene with the calibration: before the first new trial, and last.

        A resumed run is a new session on the bench, and checks again.
        """
        if not self._config.safety.self_check_repeats:
            return None
        self._control.enter(State.CALIBRATING, f"self-check at the {when} of the run")
        with self._supplies.used_by("self_check", design):
            record = self._pauses().again(
                lambda: check_noise(
                    self._bench,
                    self._noise,
                    design,
                    self._positions[0],
                    space=self.space,
                    when=when,
                    trials=len(self._bits_per_pixel),
                    checkpoint=self._control.checkpoint,
                )
            )
        self._control.enter(State.RUNNING)
        self._is_noise_checked = True
        earlier = self._ledger.meta().get("self_checks", [])
        self._ledger.set_meta("self_checks", [*earlier, record])
        self._bus.emit(checked_event(record))
        return record

    def _record_dropped(self) -> None:
        for dropped in self._bus.take_dropped():
            self._ledger.log("observer", dropped.text, observer=dropped.observer)

    def _pauses(self) -> Pauses:
        return Pauses(self._bench, self._bus, control=self._control)

    # ---- what is known

    def _observation(
        self, number: int, proposal: Proposal, score: Score | None, seconds: float
    ) -> Observation:
        return Observation(
            trial=number,
            design=proposal.design,
            score=None if score is None else score.objective,
            standard_error=0.0 if score is None else score.standard_error,
            cost_s=seconds,
            at_s=self._at_s,
        )

    def _beside(self, seen: Observation) -> dict[str, Any]:
        """Return what the ledger keeps beside a raw score."""
        return {} if self._drifting is None else self._drifting.note(seen)

    def _note_time(self, captured: tuple[str, str] | None) -> None:
        """Keep when a trial was captured: the middle, in seconds since the first trial began."""
        if captured is None:
            return  # no frames: the time of the last one
        start, end = (datetime.fromisoformat(text) for text in captured)
        self._began_at = self._began_at or start
        self._at_s = (start - self._began_at + (end - start) / 2).total_seconds()

    def _record_drift(self, phase: str) -> None:
        """Keep what the visits to the reference say, smoothed anew after each of their trials."""
        if self._drifting is not None and phase == REFERENCE:
            self._ledger.set_meta("drift", self._drifting.history())

    def _tell(
        self,
        seen: Observation,
        proposal: Proposal,
        score: Score | None,
        *,
        why: str | None = None,
    ) -> None:
        self._plan.tell(seen)
        self._record_drift(proposal.phase)
        number = seen.trial
        if score is not None:
            self._bits_per_pixel[number] = score.estimate.bits_per_pixel
        best = self._plan.best_observed()
        self._bus.emit(
            TrialScored(
                trial=number,
                phase=proposal.phase,
                design=proposal.design,
                bits_per_pixel=None if score is None else score.estimate.bits_per_pixel,
                standard_error=None if score is None else score.standard_error_per_pixel,
                best_trial=None if best is None else best.trial,
                best_bits_per_pixel=None if best is None else self._bits_per_pixel[best.trial],
                seconds=seen.cost_s,
                why=why,
            )
        )

    def _replay(self, row: TrialRow, proposal: Proposal) -> None:
        """Tell the plan what the ledger knows; the plan must have proposed just that."""
        self._check_same(row, proposal)
        self._note_time(captured_at(row))
        self._plan.tell(
            Observation(
                trial=row.number,
                design=row.design,
                score=row.score,
                standard_error=row.standard_error or 0.0,
                cost_s=row.seconds or 0.0,
                at_s=self._at_s,
            )
        )

    def _check_same(self, row: TrialRow, proposal: Proposal) -> None:
        recorded = self.space.to_vector(row.design)
        proposed = self.space.to_vector(proposal.design)
        tolerance = SAME_DESIGN * (self.space.upper - self.space.lower)
        if np.any(np.abs(recorded - proposed) > tolerance):
            raise LedgerError(
                f"trial {row.number} of {self._ledger.run_dir} is not what this infoloop would "
                "have proposed; resume with the version and libraries named in its report"
            )

    def _recorded_contenders(self) -> dict[str, Design] | None:
        recorded = self._ledger.meta().get("contenders")
        if recorded is None:
            return None
        return {name: Design.from_json(design) for name, design in recorded.items()}

    def _record_contenders(self) -> None:
        """Keep what the confirmation repeats, once, before the first repeat."""
        chosen = self._plan.contenders
        if chosen is not None and not self._has_contenders:
            self._ledger.set_meta("contenders", {n: d.to_json() for n, d in chosen.items()})
            self._has_contenders = True

    def _recorded_space(self, bench: Bench) -> DesignSpace:
        """Space of the run's first start, so that a resumed run starts from the same point."""
        recorded = self._ledger.meta().get("space")
        here = bench.space()
        if recorded is None:
            self._ledger.set_meta("space", [asdict(p) for p in here.parameters])
            return here
        space = DesignSpace(tuple(Parameter.from_plain(entry) for entry in recorded))
        choices = {p.name: p.choices for p in here.parameters}
        for p in space.parameters:
            now = choices.get(p.name, ())
            if p.choices != now:  # a recorded number would be another position
                raise LedgerError(
                    f"design.{p.name} of {self._ledger.run_dir} chose among "
                    f"{', '.join(p.choices)}, its device now has {', '.join(now)}; "
                    "set its labels as they were, or start a new run"
                )
        return space

    def here(self, design: Design) -> Proposal:
        """Return a design with where it is on the bench as it has drifted."""
        return (
            Proposal("end", design)
            if self._drifting is None
            else self._drifting.here("end", design)
        )

    def drift(self) -> str | None:
        """Say what has drifted; None where that is not measured, or not yet."""
        return None if self._drifting is None else self._drifting.summary()

    def outcome(self) -> Outcome:
        """Say how things stand: the confirmed best, or the best so far."""
        decision = self._plan.decision()
        observed = self._plan.best_observed()
        design = decision.design if decision else (observed.design if observed else None)
        trials = self._ledger.trials()
        rows = [row for row in trials if row.state == "scored"]
        repeats = [r for r in rows if r.design == design and r.phase == "confirm"]
        repeats = repeats or [r for r in rows if r.design == design]
        return Outcome(
            trials=len(trials),
            best_trial=repeats[0].number if repeats else None,
            best_design=design,
            best_bits_per_pixel=_mean([r.estimate["bits_per_pixel"] for r in repeats]),
            standard_error=_mean([r.estimate["standard_error"] for r in repeats]),
            initial_bits_per_pixel=self._bits_per_pixel.get(0),
            decision=decision,
        )


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None
