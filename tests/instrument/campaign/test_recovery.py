"""A device that fails: dark, closed, connected again, and the same trial captured once more."""

import gc
import weakref

import pytest

from drivers import DeviceTimeout, LimitViolation
from instrument.bench.connect import ConnectError
from instrument.bench.safety import Interrupted, UnsafeBench
from instrument.campaign import session
from instrument.campaign.control import Control
from instrument.campaign.events import EventBus
from instrument.campaign.ledger import Ledger
from instrument.campaign.recovery import Recovery
from instrument.campaign.run import execute
from instrument.config import RecoverConfig
from tests.instrument.fakes import broken, make_bench, make_config


class Benches:
    """Hands out fresh benches; `spoil` gets each of them with its number, from 0."""

    def __init__(self, config, spoil=lambda _number, _bench: None):
        self.config = config
        self.spoil = spoil
        self.made = []

    def __call__(self, _config=None):
        bench = make_bench(self.config)
        self.made.append(bench)
        self.spoil(len(self.made) - 1, bench)
        return bench


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a campaign whose benches are spoilt; give the result, the trials and the benches."""

    def run(spoil, name="run", **recover):
        safety = {"recover": {"wait_s": 1e-3, **recover}, "self_check_repeats": 0}
        config = make_config(tmp_path, safety=safety)
        benches = Benches(config, spoil)
        monkeypatch.setattr(session, "connect", benches)
        with Ledger.create(tmp_path / name, {}) as ledger:
            result = execute(config, ledger, EventBus(), control=Control())
            return result, ledger.trials(), benches.made

    return run


def fails_on_move(number):
    """Let the stage of the first benches fail at a move, and the later ones work."""

    def spoil(made, bench):
        if made == 0:
            moves = iter(range(1, 1000))
            stage = bench.devices["sample"]
            start = stage.start

            def start_or_fail(target):
                if next(moves) == number:
                    raise DeviceTimeout("XY: cable pulled")
                start(target)

            stage.start = start_or_fail

    return spoil


def designs(rows):
    return [(row.number, row.phase, row.design) for row in rows]


def test_a_run_goes_on_after_a_fault_with_the_very_trial(run):
    result, rows, made = run(fails_on_move(3 * 16 + 2))  # in the fourth trial
    assert result.status == "finished"
    assert [row.state for row in rows] == ["scored"] * len(rows)
    assert len(made) == 2
    assert made[0].log.names()[-5:].count(("led", "make_safe")) == 1
    _, unbroken, _ = run(lambda _number, _bench: None, "unbroken")
    assert designs(rows)[:4] == designs(unbroken)[:4]
    assert len({row.number for row in rows}) == len(rows)


def test_a_trial_in_which_a_device_always_fails_is_given_up_and_the_next_one_follows(run):
    def spoil(_number, bench):
        focus = bench.devices["focus"]
        start = focus.start

        def start_or_fail(target):
            if target > 1:
                raise DeviceTimeout("Z: did not arrive")
            start(target)

        focus.start = start_or_fail

    result, rows, _ = run(spoil, captures=2, attempts=6)
    dead = [row for row in rows if row.state == "failed"]
    assert result.status == "finished"
    assert dead
    assert all(row.design.values["focus"][0] > 1 for row in dead)
    assert all("failed in each of 2 captures: Z: did not arrive" in row.why for row in dead)


def test_a_bench_that_stays_broken_ends_the_run(run):
    result, rows, made = run(
        lambda _number, bench: bench.devices["sample"].fails_on.update(start=broken()),
        attempts=2, captures=9,
    )  # fmt: skip
    assert result.status == "failed"
    assert "cable pulled" in result.why
    assert len(made) == 1 + 2
    assert [row.state for row in rows] == ["asked"]


# ---- the room itself


def recovery(connect, *, journal=None, progress=lambda: 0, wait=lambda _s: None, **settings):
    entries = [] if journal is None else journal
    return Recovery(
        RecoverConfig(**settings),
        connect=connect,
        wait=wait,
        progress=progress,
        journal=lambda kind, text: entries.append((kind, text)),
    )


@pytest.fixture
def config(tmp_path):
    return make_config(tmp_path)


def always(error):
    def work(_bench):
        raise error

    return work


def test_waits_double_and_are_bounded(config):
    waited = []
    with pytest.raises(DeviceTimeout):
        recovery(Benches(config), wait=waited.append, attempts=4, wait_s=1, longest_wait_s=3).keep(
            make_bench(config), always(DeviceTimeout("Z"))
        )
    assert waited == [1, 2, 3, 3]


def test_only_faults_without_progress_count(config):
    scored = iter(range(100))
    faults = iter([DeviceTimeout("Z")] * 9)

    def work(_bench):
        fault = next(faults, None)
        if fault is not None:
            raise fault
        return "done"

    keeper = recovery(Benches(config), progress=lambda: next(scored), attempts=1)
    assert keeper.keep(make_bench(config), work)[1] == "done"


@pytest.mark.parametrize("error", [LimitViolation("too far"), UnsafeBench([])])
def test_what_must_not_be_repeated_is_not(config, error):
    benches = Benches(config)
    with pytest.raises(type(error)):
        recovery(benches).keep(make_bench(config), always(error))
    assert not benches.made


def test_a_bench_that_cannot_be_connected_is_tried_again_and_then_named(config):
    journal = []

    def connect():
        raise ConnectError(["led: no answer"])

    with pytest.raises(ConnectError, match="led: no answer"):
        recovery(connect, journal=journal, attempts=2).keep(
            make_bench(config), always(DeviceTimeout("Z"))
        )
    assert [kind for kind, _ in journal] == ["fault", "recovery", "fault", "recovery", "fault"]


def dark_fails(role):
    bench_error = broken()

    def spoil(config):
        bench = make_bench(config)
        bench.devices[role].fails_on["make_safe"] = bench_error
        return bench

    return spoil


def test_a_light_that_could_not_be_reached_is_tried_again_first(config):
    """Connecting makes lights dark before anything else."""
    done = iter([DeviceTimeout("led")])

    def work(_bench):
        fault = next(done, None)
        if fault is not None:
            raise fault
        return "done"

    benches = Benches(config)
    bench = dark_fails("light")(config)
    assert recovery(benches).keep(bench, work)[1] == "done"
    assert len(benches.made) == 1


def test_a_light_that_stays_out_of_reach_is_told_with_the_fault(config):
    def connect():
        raise ConnectError(["led: no answer"])

    bench = dark_fails("light")(config)
    with pytest.raises(ConnectError, match="led: no answer"):
        recovery(connect, attempts=2).keep(bench, always(DeviceTimeout("led")))
    assert [failure.role for failure in bench.close()] == ["light"]


def test_a_device_that_is_no_light_and_cannot_be_made_safe_ends_it(config):
    benches = Benches(config)
    bench = dark_fails("slm")(config)
    with pytest.raises(DeviceTimeout):
        recovery(benches).keep(bench, always(DeviceTimeout("SLM")))
    assert not benches.made
    assert [failure.role for failure in bench.close()] == ["slm"]


def test_a_bench_that_was_closed_is_forgotten_with_its_frames(config):
    """Dozens of faults in a night must not fill the memory."""
    seen = []

    def work(bench):
        if not seen:
            seen.append(weakref.ref(bench))
            fault = DeviceTimeout("Z")  # holds this frame by its traceback, which holds the fault
            raise fault
        return seen[0]()

    gc.disable()  # it would come by at a time of its own
    try:
        still_there = recovery(lambda: make_bench(config)).keep(make_bench(config), work)[1]
    finally:
        gc.enable()
    assert still_there is None


def test_somebody_who_wants_to_end_it_is_heard_while_it_waits(config):
    def interrupted(_seconds):
        raise Interrupted(2)

    benches = Benches(config)
    with pytest.raises(Interrupted):
        recovery(benches, wait=interrupted).keep(make_bench(config), always(DeviceTimeout("Z")))
    assert not benches.made
