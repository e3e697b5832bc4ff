"""The loop: propose, apply, capture, make durable, score, tell; and the same again after a kill.

`Campaign.run` reads like DESIGN section 2. It owns no device and no file: bench, ledger and bus are
passed in, and whoever opened them closes them.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
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
from instrument.campaign.estimating import Scored
from instrument.campaign.events import (
    CampaignStarted,
    EventBus,
    Notice,
    PreflightDone,
    TrialScored,
)
from instrument.campaign.in_flight import InFlight, Queue, Told, acknowledge
from instrument.campaign.ledger import Ledger, LedgerError, TrialRow
from instrument.campaign.outcome import Outcome, frames_of_full_batches, frames_taken
from instrument.campaign.overlap import Overlap
from instrument.campaign.pausing import Pauses
from instrument.campaign.plan import Plan, Proposal
from instrument.campaign.scoring import (
    load_noise,
)
from instrument.campaign.self_check import When, check_noise, checked_event
from instrument.campaign.states import State
from instrument.campaign.supplies import Supplies
from instrument.campaign.trial import Measurement, captured_at
from instrument.design import Design, DesignSpace, Parameter
from instrument.grid import grid_positions
from instrument.search.protocol import Observation, Wait

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
        self._is_noise_checked = False
        self._number = 0
        self._in_flight = Queue()
        self._overlap: Overlap | None = None
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
        if self._overlap is None:
            self._overlap = Overlap(
                self._config,
                self._ledger,
                self._noise,
                self._bus,
                checkpoint=self._control.checkpoint,
            )
        self._is_ready = False

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
        try:
            while self._next_trial():
                self._tell_down_to(self._scores.lag)
            self._tell_down_to(0)
        finally:  # what has no score yet stays captured, and is scored when the run goes on
            self._scores.close()
        self.is_complete = self.spent is None
        outcome = self.outcome()
        best = outcome.best_design or self.space.start
        # A run that was only replayed leaves the bench alone.
        if self._is_noise_checked and self._supplies.can_check(best):
            self._check_noise("end", best)
        self._supplies.settle()
        return outcome

    def _is_complete_batch(self, row: TrialRow) -> bool:
        """Whether a trial has all the frames it may ask for; an adaptive one may want more."""
        return row.state == "captured" and self._config.batch.adaptive is None

    def _begin(self) -> None:
        """Check the noise and say what the run stands on, before the first new trial on a bench."""
        if self._is_ready:
            return
        self._is_ready = True
        look = self._check_noise("start", self.space.start)
        if self._preflight is not None:
            self._decide(look)
        trained = self._pauses().again(lambda: self._scores.prepare(self._training_frames))
        if trained is not None:
            self._measurement.use_density(trained)

    def _training_frames(self) -> tuple[np.ndarray, float]:
        """Capture what a density is trained on: light on the sample as any trial."""
        with self._supplies.used_by("trial", self.space.start):
            return self._measurement.training_frames()

    def _decide(self, look: dict[str, Any] | None) -> None:
        """Say what the run stands on; raise `PreflightStopped` if it must not begin."""
        if self._preflight is None:
            return
        found, self._preflight = self._preflight(self._bench, look), None  # once a session
        at = datetime.now(UTC).isoformat()
        self._ledger.set_meta("preflight", {**found.as_plain(), "at": at})
        self._bus.emit(PreflightDone(preflight=found))
        if found.stops:
            self._supplies.settle()
            raise PreflightStopped(found)

    # ---- one trial

    def _next_trial(self) -> bool:
        """Propose a trial and have it captured; return False at the end of plan or light."""
        self._pauses().again(self._control.checkpoint)
        self._record_dropped()
        started_s = time.perf_counter()
        proposal = self._plan.ask(self._in_flight.proposals)
        while isinstance(proposal, Wait):
            self._tell_oldest()
            proposal = self._plan.ask(self._in_flight.proposals)
        if proposal is None:
            return False
        propose_s = time.perf_counter() - started_s
        self._record_contenders()
        row = self._rows.get(self._number)
        if row is not None and row.state in ("scored", "failed"):
            self._replay(row, proposal)
        elif row is not None and self._is_complete_batch(row):  # needs neither disk nor light
            self._begin()
            self._try_trial(proposal, row, propose_s=propose_s)
        else:
            self.spent = self._supplies.why_spent(proposal.design)
            if self.spent is None:
                self._begin()  # a self-check, and frames to train a density on, take light, too
                self.spent = self._supplies.why_spent(proposal.design)
            if self.spent is not None:
                return False
            with self._supplies.used_by("trial", proposal.design):
                self._try_trial(proposal, row, propose_s=propose_s)
        self._number += 1
        return True

    @property
    def _scores(self) -> Overlap:
        if self._overlap is None:
            raise RuntimeError("a campaign scores only with a bench: call `use` first")
        return self._overlap

    def _try_trial(self, proposal: Proposal, row: TrialRow | None, *, propose_s: float) -> None:
        """Run the present trial, unless devices failed in it too often: then it has no score."""
        number = self._number
        if self._faults[number] >= self._config.safety.recover.captures:
            why = f"a device failed in each of {self._faults[number]} captures: {self._last_fault}"
            self._ledger.fail(number, why=why, seconds=propose_s)
            done = Told(score=None, seconds=propose_s, why=why)
            at_s = self._note_time(captured_at(self._ledger.trial(number)))  # as a replay has it
            self._add(number, proposal, lambda: done, at_s=at_s)
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
        density = self._measurement.density
        if self._scores.is_used and density is not None:
            measured = self._measurement.capture(number, proposal, row)
            score = None
        else:
            measured = self._measurement.run(number, proposal, row)
            score = None if measured.score is None else Scored.of(measured.score)
        seconds = time.perf_counter() - started_s + propose_s
        ledger_s = stopwatch.seconds().get("ledger", 0.0) + measured.timings.get("ledger", 0.0)
        timings = {**measured.timings, "ledger": ledger_s, "propose": propose_s}
        at_s = self._note_time(measured.captured_at)
        if score is not None or measured.why is not None or density is None:
            beside = self._beside(score, at_s)
            told = acknowledge(self._ledger, number, score, measured.why, seconds, timings, beside)
            self._add(number, proposal, lambda: told, at_s=at_s)
            return
        waiting = self._scores.submit(self._ledger.trial(number), density)

        def finish() -> Told:
            """Wait for the worker; what else was done meanwhile is in other trials' seconds."""
            with stopwatch.measure("wait"):
                answer = self._scores.answer(waiting)
            spent = {**timings, "score": answer.seconds, "wait": stopwatch.seconds()["wait"]}
            total_s, beside = seconds + answer.seconds, self._beside(answer.scored, at_s)
            return acknowledge(
                self._ledger, number, answer.scored, answer.why, total_s, spent, beside
            )

        self._add(number, proposal, finish, at_s=at_s)

    def _add(
        self,
        number: int,
        proposal: Proposal,
        finish: Callable[[], Told | Observation],
        *,
        at_s: float,
    ) -> None:
        trial = InFlight(number=number, proposal=proposal, finish=finish, at_s=at_s)
        self._in_flight.add(trial)

    def _tell_down_to(self, pending: int) -> None:
        while len(self._in_flight) > pending:
            self._tell_oldest()

    def _tell_oldest(self) -> None:
        trial, outcome = self._pauses().again(self._in_flight.finish_oldest)
        if isinstance(outcome, Told):
            self._tell(trial, outcome)
        else:
            self._plan.tell(outcome)

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

    def _beside(self, score: Scored | None, at_s: float) -> dict[str, Any]:
        """Return what the ledger keeps beside a raw score."""
        if self._drifting is None or score is None:
            return {}
        return self._drifting.note(score.objective, score.standard_error, at_s=at_s)

    def _note_time(self, captured: tuple[str, str] | None) -> float:
        """Return when a trial was captured: the middle, in seconds since the first trial began.

        One without frames has the time of the last that has some.
        """
        if captured is not None:
            start, end = (datetime.fromisoformat(text) for text in captured)
            self._began_at = self._began_at or start
            self._at_s = (start - self._began_at + (end - start) / 2).total_seconds()
        return self._at_s

    def _record_drift(self, phase: str) -> None:
        """Keep what the visits to the reference say, smoothed anew after each of their trials."""
        if self._drifting is not None and phase == REFERENCE:
            self._ledger.set_meta("drift", self._drifting.history())

    def _tell(self, trial: InFlight, told: Told) -> None:
        number, proposal, score = trial.number, trial.proposal, told.score
        self._plan.tell(
            Observation(
                trial=number,
                design=proposal.design,
                score=None if score is None else score.objective,
                standard_error=0.0 if score is None else score.standard_error,
                cost_s=told.seconds,
                at_s=trial.at_s,
            )
        )
        self._record_drift(proposal.phase)
        if score is not None:
            self._bits_per_pixel[number] = score.bits_per_pixel
        best = self._plan.best_observed()
        self._bus.emit(
            TrialScored(
                trial=number,
                phase=proposal.phase,
                design=proposal.design,
                bits_per_pixel=None if score is None else score.bits_per_pixel,
                standard_error=None if score is None else score.standard_error_per_pixel,
                best_trial=None if best is None else best.trial,
                best_bits_per_pixel=None if best is None else self._bits_per_pixel[best.trial],
                seconds=told.seconds,
                why=told.why,
                sampling=None if score is None else score.estimate.get("sampling"),
            )
        )

    def _replay(self, row: TrialRow, proposal: Proposal) -> None:
        """Have the plan told, in its turn, what the ledger knows; it must have proposed just that.

        It comes as late as it came then.
        """
        self._check_same(row, proposal)
        at_s = self._note_time(captured_at(row))
        seen = Observation(
            trial=row.number,
            design=row.design,
            score=row.score,
            standard_error=row.standard_error or 0.0,
            cost_s=row.seconds or 0.0,
            at_s=at_s,
        )
        self._add(row.number, proposal, lambda: seen, at_s=at_s)

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
        repeats = repeats or [r for r in rows if r.design == design and r.phase != REFERENCE]
        return Outcome(
            trials=len(trials),
            best_trial=repeats[0].number if repeats else None,
            best_design=design,
            best_bits_per_pixel=_mean([r.estimate["bits_per_pixel"] for r in repeats]),
            standard_error=_mean([r.estimate["standard_error"] for r in repeats]),
            initial_bits_per_pixel=self._bits_per_pixel.get(0),
            decision=decision,
            frames=frames_taken(trials, shots=self._config.shots),
            frames_fixed=frames_of_full_batches(
                trials, objects=len(self._positions), shots=self._config.shots
            ),
        )


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None
