"""The loop: propose, apply, capture, make durable, score, tell; and the same again after a kill.

`Campaign.run` reads like DESIGN section 2. It owns no device and no file: bench, ledger and bus are
passed in, and whoever opened them closes them.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from drivers import DeviceError
from instrument.bench.bench import Bench
from instrument.bench.timing import Stopwatch
from instrument.campaign.checks import LookAt, PreflightStopped
from instrument.campaign.clock import CampaignClock
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
from instrument.campaign.ledger import Ledger, TrialRow
from instrument.campaign.on_bench import OnBench
from instrument.campaign.outcome import Outcome, outcome_of
from instrument.campaign.overlap import Overlap
from instrument.campaign.plan import Plan, Proposal
from instrument.campaign.recorded import Recorded
from instrument.campaign.states import State
from instrument.campaign.trial import captured_at
from instrument.design import Design
from instrument.grid import grid_positions
from instrument.search.protocol import Observation, Wait


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A proposal, what the ledger knows of its trial, and how long it took to propose."""

    number: int
    proposal: Proposal
    row: TrialRow | None
    seconds: float

    @property
    def is_done(self) -> bool:
        """Whether an earlier session had it scored, or failed."""
        return self.row is not None and self.row.state in ("scored", "failed")


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
        self._recorded = Recorded(ledger, bench.space())
        self.space = self._recorded.space
        plan = Plan(self._config, self.space, contenders=self._recorded.contenders())
        drift = self._config.drift
        self._drifting = None if drift is None else Drifting(plan, self.space, drift)
        self._plan: Plan | Drifting = self._drifting or plan
        self._clock = CampaignClock()
        self._bits_per_pixel = dict(self._recorded.bits_per_pixel)
        self._has_begun = False
        self._is_noise_checked = False
        self._number = 0
        self._in_flight = Queue()
        self._faults: Counter[int] = Counter()
        self._last_fault = ""
        self.is_complete = False
        """Whether every trial of the plan was taken."""
        self.spent: str | None = None
        """Why the campaign ended before its plan did, without anybody asking: the light."""
        self._preflight = preflight
        self.use(bench)
        self._scores = Overlap(
            self._config, ledger, self._on_bench.noise, bus, checkpoint=control.checkpoint
        )

    def use(self, bench: Bench) -> None:
        """Go on with a bench: the first one, or its successor after a fault.

        Raises
        ------
        CalibrationMismatch
            Its camera is not the calibrated one.
        """
        self._on_bench = OnBench(
            bench,
            self._ledger,
            self._bus,
            self._control,
            space=self.space,
            positions=self._positions,
        )

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
        self._announce()
        try:
            while (asked := self._propose()) is not None and self._has_light(asked):
                self._take(asked)
                self._tell_down_to(self._scores.lag)
            self._tell_down_to(0)
        finally:  # what has no score yet stays captured, and is scored when the run goes on
            self._scores.close()
        self.is_complete = self.spent is None
        outcome = self.outcome()
        self._end(outcome.best_design or self.space.start)
        return outcome

    # ---- before the first trial, and after the last

    def _announce(self) -> None:
        if self._has_begun:
            return
        self._has_begun = True
        self._bus.emit(
            CampaignStarted(
                run_dir=str(self._ledger.run_dir),
                space=self.space,
                trials=self._plan.trials,
                done=self._recorded.done,
            )
        )

    def _begin(self) -> None:
        """Check the noise and say what the run stands on, before the first new trial on a bench."""
        here = self._on_bench
        if here.is_ready:
            return
        here.is_ready = True
        start = self.space.start
        # Frames that an earlier session captured are scored also where no light is left.
        has_light = here.supplies.can_check(start)
        look = here.check_noise("start", start, trials=self.scored) if has_light else None
        self._is_noise_checked = look is not None
        self._decide(look)
        trained = here.pauses().again(lambda: self._scores.prepare(here.training_frames))
        if trained is not None:
            here.measurement.use_density(trained)

    def _decide(self, look: dict[str, Any] | None) -> None:
        """Say what the run stands on; raise `PreflightStopped` if it must not begin."""
        if self._preflight is None:
            return
        found, self._preflight = self._preflight(self._on_bench.bench, look), None  # once a session
        at = datetime.now(UTC).isoformat()
        self._ledger.set_meta("preflight", {**found.as_plain(), "at": at})
        self._bus.emit(PreflightDone(preflight=found))
        if found.stops:
            self._on_bench.supplies.settle()
            raise PreflightStopped(found)

    def _end(self, best: Design) -> None:
        """Check the noise once more; a run that was only replayed leaves the bench alone."""
        here = self._on_bench
        if self._is_noise_checked and here.supplies.can_check(best):
            here.check_noise("end", best, trials=self.scored)
        here.supplies.settle()

    # ---- one trial

    def _propose(self) -> _Asked | None:
        """Return the next trial; None at the end of the plan."""
        self._on_bench.pauses().again(self._control.checkpoint)
        self._record_dropped()
        started_s = time.perf_counter()
        proposal = self._plan.ask(self._in_flight.proposals)
        while isinstance(proposal, Wait):
            self._tell_oldest()
            proposal = self._plan.ask(self._in_flight.proposals)
        if proposal is None:
            return None
        seconds = time.perf_counter() - started_s
        self._recorded.keep_contenders(self._plan.contenders)
        row = self._recorded.trial(self._number)
        return _Asked(number=self._number, proposal=proposal, row=row, seconds=seconds)

    def _has_light(self, asked: _Asked) -> bool:
        """Whether the sample may get what a trial takes; `spent` says why not."""
        if asked.is_done or self._is_captured(asked):
            return True
        self.spent = self._on_bench.supplies.why_spent(asked.proposal.design)
        if self.spent is None:
            self._begin()  # a self-check, and frames to train a density on, take light, too
            self.spent = self._on_bench.supplies.why_spent(asked.proposal.design)
        return self.spent is None

    def _is_captured(self, asked: _Asked) -> bool:
        """Whether a trial has all the frames it may ask for; an adaptive one may want more."""
        return (
            asked.row is not None
            and asked.row.state == "captured"
            and self._config.batch.adaptive is None
        )

    def _take(self, asked: _Asked) -> None:
        """Have a trial captured, or find it in the record; then the next one may be proposed."""
        if asked.row is not None and asked.is_done:
            self._replay(asked.row, asked.proposal)
        else:
            self._begin()
            if self._is_captured(asked):  # needs neither disk nor light
                self._try(asked)
            else:
                with self._on_bench.supplies.used_by("trial", asked.proposal.design):
                    self._try(asked)
        self._number += 1

    def _try(self, asked: _Asked) -> None:
        """Run a trial, unless devices failed in it too often: then it has no score."""
        number = asked.number
        if self._faults[number] >= self._config.safety.recover.captures:
            why = f"a device failed in each of {self._faults[number]} captures: {self._last_fault}"
            self._ledger.fail(number, why=why, seconds=asked.seconds)
            done = Told(score=None, seconds=asked.seconds, why=why)
            at_s = self._clock.note(captured_at(self._ledger.trial(number)))  # as a replay has it
            self._add(number, asked.proposal, lambda: done, at_s=at_s)
            return
        try:
            self._run_trial(asked)
        except DeviceError as fault:
            self._faults[number] += 1
            self._last_fault = str(fault)
            self._recorded.read_again()
            raise

    def _run_trial(self, asked: _Asked) -> None:
        """Apply, capture, make durable; score, or have it scored while the next is captured."""
        number, proposal, row = asked.number, asked.proposal, asked.row
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
            self._recorded.check_same(row, proposal)
        if proposal.notice is not None:
            self._bus.emit(Notice(text=f"trial {number}: {proposal.notice}"))
        density = self._on_bench.measurement.density
        if self._scores.is_used and density is not None:
            measured = self._on_bench.measurement.capture(number, proposal, row)
            score = None
        else:
            measured = self._on_bench.measurement.run(number, proposal, row)
            score = None if measured.score is None else Scored.of(measured.score)
        seconds = time.perf_counter() - started_s + asked.seconds
        ledger_s = stopwatch.seconds().get("ledger", 0.0) + measured.timings.get("ledger", 0.0)
        timings = {**measured.timings, "ledger": ledger_s, "propose": asked.seconds}
        at_s = self._clock.note(measured.captured_at)
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

    def _replay(self, row: TrialRow, proposal: Proposal) -> None:
        """Have the plan told, in its turn, what the ledger knows; it must have proposed just that.

        It comes as late as it came then.
        """
        self._recorded.check_same(row, proposal)
        at_s = self._clock.note(captured_at(row))
        seen = Observation(
            trial=row.number,
            design=row.design,
            score=row.score,
            standard_error=row.standard_error or 0.0,
            cost_s=row.seconds or 0.0,
            at_s=at_s,
        )
        self._add(row.number, proposal, lambda: seen, at_s=at_s)

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

    def _record_dropped(self) -> None:
        for dropped in self._bus.take_dropped():
            self._ledger.log("observer", dropped.text, observer=dropped.observer)

    # ---- tell

    def _tell_down_to(self, pending: int) -> None:
        while len(self._in_flight) > pending:
            self._tell_oldest()

    def _tell_oldest(self) -> None:
        trial, outcome = self._on_bench.pauses().again(self._in_flight.finish_oldest)
        if isinstance(outcome, Told):
            self._tell(trial, outcome)
        else:
            self._plan.tell(outcome)

    def _beside(self, score: Scored | None, at_s: float) -> dict[str, Any]:
        """Return what the ledger keeps beside a raw score."""
        if self._drifting is None or score is None:
            return {}
        return self._drifting.note(score.objective, score.standard_error, at_s=at_s)

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

    # ---- what is known

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
        return outcome_of(
            self._ledger.trials(),
            decision=self._plan.decision(),
            observed=self._plan.best_observed(),
            initial_bits_per_pixel=self._bits_per_pixel.get(0),
            objects=len(self._positions),
            shots=self._config.shots,
        )
