"""The end of a run: where the bench is left, and that the ledger says so."""

import signal

import pytest

from drivers import DeviceError
from instrument.campaign import session
from instrument.campaign.control import Control
from instrument.campaign.engine import Campaign
from instrument.campaign.events import EventBus, StateChanged
from instrument.campaign.leaving import leave_bench
from instrument.campaign.ledger import Ledger
from instrument.campaign.outcome import Outcome
from instrument.campaign.plan import Proposal
from instrument.campaign.run import execute
from instrument.campaign.states import IllegalTransition, State
from instrument.design import Design
from tests.instrument.fakes import broken, make_bench, make_config

NEVER = {"attempts": 0}
QUIET = {"self_check_repeats": 0, "guardian": False}


@pytest.fixture
def ledger(tmp_path):
    with Ledger.create(tmp_path / "run", {}) as ledger:
        yield ledger


@pytest.fixture
def start(tmp_path, monkeypatch, ledger):
    """Execute a run on a bench without physics; return its result, bench and events."""

    def start(*, on_stop="best", control=None, prepare=lambda bench: None, recover=NEVER):
        safety = {**QUIET, "on_stop": on_stop, "recover": recover}
        config = make_config(tmp_path, safety=safety)
        bench, bus, seen = make_bench(config), EventBus(), []
        prepare(bench)
        monkeypatch.setattr(session, "connect", lambda _config: bench)
        bus.subscribe(seen.append, name="test")
        try:
            result = execute(config, ledger, bus, control=control or Control())
        finally:
            bus.close()
        return result, bench, seen

    return start


def test_a_followed_design_is_left_where_it_has_drifted_to(tmp_path):
    config = make_config(tmp_path)
    bench = make_bench(config)
    space = bench.space()
    moved = Design({**space.start.values, "focus": (-4.2,)})
    outcome = Outcome(
        trials=1, best_trial=0, best_design=space.start, best_bits_per_pixel=1.0,
        standard_error=0.1, initial_bits_per_pixel=1.0, decision=None,
    )  # fmt: skip
    left = leave_bench(
        bench,
        space,
        outcome,
        is_complete=True,
        here=lambda design: Proposal(
            "end", design, applied=moved, plan={"offsets": {"focus": [-4.2]}}
        ),
    )
    assert bench.devices["focus"].at == pytest.approx(-4.2)
    assert left.record()["design"] == space.start.to_json()
    assert left.record()["offsets"] == {"focus": [-4.2]}
    assert "moved with the drift (focus by -4.2)" in str(left)


def at_frame(number, action):
    """Prepare a bench whose camera does something before it takes that frame."""

    def prepare(bench):
        snap, frames = bench.devices["camera"].snap, iter(range(10**6))

        def snap_after(*, timeout_s):
            if next(frames) == number:
                action()
            return snap(timeout_s=timeout_s)

        bench.devices["camera"].snap = snap_after

    return prepare


IN_THE_FOURTH_TRIAL = 60
"""Frame; a trial takes 2 dark and 16 lit ones."""


def test_a_finished_run_leaves_its_confirmed_design_on_the_bench(start, ledger):
    result, bench, seen = start()
    assert result.status == "finished"
    left = ledger.meta()["left_at"]
    assert (left["what"], left["is_confirmed"], left["unsafe"]) == ("best", True, [])
    assert left["design"] == result.outcome.best_design.to_json()
    assert bench.devices["focus"].at == pytest.approx(result.outcome.best_design.values["focus"][0])
    states = [event.now for event in seen if isinstance(event, StateChanged)]
    assert states == [State.CONNECTING, State.RUNNING, State.FINISHED]


def test_an_aborted_run_leaves_the_best_design_so_far_and_says_it_is_not_confirmed(start, ledger):
    control = Control()
    result, bench, seen = start(
        control=control, prepare=at_frame(IN_THE_FOURTH_TRIAL, lambda: control.abort("viewer"))
    )
    assert (result.status, result.why) == ("aborted", "viewer")
    left = ledger.meta()["left_at"]
    assert (left["what"], left["is_confirmed"]) == ("best", False)
    assert left["design"] == result.outcome.best_design.to_json()
    assert bench.devices["focus"].at == pytest.approx(result.outcome.best_design.values["focus"][0])
    assert not bench.devices["light"].is_on()
    assert [event.now for event in seen if isinstance(event, StateChanged)][-1] == State.ABORTED
    assert ledger.meta()["status"] == "aborted"


def test_an_aborted_run_goes_back_to_its_start_where_the_file_wants_that(start, ledger):
    control = Control()
    abort = at_frame(IN_THE_FOURTH_TRIAL, lambda: control.abort("viewer"))
    start(on_stop="start", control=control, prepare=abort)
    left = ledger.meta()["left_at"]
    assert (left["what"], left["is_confirmed"]) == ("start", None)
    assert left["why"] == "safety.on_stop: start"


def test_a_run_that_is_to_end_safe_leaves_no_design(start, ledger):
    _, bench, _ = start(on_stop="safe")
    assert ledger.meta()["left_at"]["what"] == "safe"
    assert ("SLM", "make_safe") in bench.log.names()


def test_an_abort_before_any_trial_is_scored_ends_safe_and_says_why(start, ledger):
    control = Control()
    control.abort("changed my mind")
    result, bench, _ = start(control=control)
    assert (result.status, result.outcome.trials) == ("aborted", 0)
    left = ledger.meta()["left_at"]
    assert (left["what"], left["why"]) == ("safe", "safety.on_stop: best, and no trial was scored")
    assert bench.devices["camera"].lit_frames == 0


def test_a_fault_leaves_the_bench_safe_and_the_ledger_says_which(start, ledger):
    def break_the_focus(bench):
        bench.devices["focus"].fails_on["wait"] = broken()

    result, _, _ = start(prepare=break_the_focus)
    assert result.status == "failed"
    left = ledger.meta()["left_at"]
    assert (left["what"], left["design"], left["why"]) == ("safe", None, "cable pulled")


def test_a_signal_in_the_middle_of_something_moves_nothing_more(start, ledger):
    terminate = at_frame(IN_THE_FOURTH_TRIAL, lambda: signal.raise_signal(signal.SIGTERM))
    result, bench, _ = start(prepare=terminate)
    assert (result.status, result.why) == ("aborted", "SIGTERM")
    left = ledger.meta()["left_at"]
    assert (left["what"], left["why"]) == ("safe", "SIGTERM, in the middle of something")
    assert not bench.devices["light"].is_on()


def test_what_could_not_be_made_safe_is_in_the_record(start, ledger):
    def break_the_stage(bench):
        bench.devices["sample"].fails_on["make_safe"] = broken("no answer")

    result, _, _ = start(prepare=break_the_stage)
    assert [device.role for device in result.unsafe] == ["sample"]
    assert "could NOT be made safe: no answer" in ledger.meta()["left_at"]["unsafe"][0]


def test_a_best_design_that_could_not_be_set_at_the_end_is_a_failure(start, ledger, monkeypatch):
    benches, search = [], Campaign.run

    def searched(campaign):
        outcome = search(campaign)
        benches[0].devices["focus"].fails_on["start"] = broken()
        return outcome

    monkeypatch.setattr(Campaign, "run", searched)
    result, _, _ = start(prepare=benches.append)
    assert (result.status, result.why) == ("failed", "cable pulled")
    assert result.outcome.best_trial is not None
    assert ledger.meta()["left_at"]["what"] == "safe"


def test_an_abort_while_it_waits_to_connect_again_ends_safe_and_says_so(start, ledger, monkeypatch):
    control = Control()

    def break_the_focus(bench):
        bench.devices["focus"].fails_on["wait"] = broken()
        monkeypatch.setattr(control, "wait", lambda _seconds: abort())

    def abort():
        control.abort("viewer")
        control.checkpoint()

    result, bench, seen = start(control=control, prepare=break_the_focus, recover={"attempts": 1})
    assert (result.status, result.why) == ("aborted", "viewer")
    left = ledger.meta()["left_at"]
    assert (left["what"], left["why"]) == (
        "safe",
        "aborted while the bench was being connected again",
    )
    states = [event.now for event in seen if isinstance(event, StateChanged)]
    assert states == [State.CONNECTING, State.RUNNING, State.CONNECTING, State.ABORTED]
    assert bench.log.names()[-1][1] == "make_safe"


def test_a_control_serves_one_run(start):
    control = Control()
    start(control=control)
    with pytest.raises(IllegalTransition, match="finished cannot be connecting"):
        start(control=control)


def test_a_bench_that_cannot_be_connected_is_recorded_as_failed(ledger, monkeypatch):
    control = Control()
    config = make_config(ledger.run_dir, safety=QUIET)

    def refuse(_config):
        raise DeviceError("nothing listens")

    monkeypatch.setattr(session, "connect", refuse)
    with pytest.raises(DeviceError, match="nothing listens"):
        execute(config, ledger, EventBus(), control=control)
    assert control.state == State.FAILED
    assert ledger.meta()["left_at"]["why"] == "nothing listens"
