"""A pause puts the light out within one exposure, and the batch goes on where it was."""

import threading

import pytest

from instrument.bench.acquisition import capture_batch, capture_repeats
from instrument.bench.holding import PauseAsked
from instrument.bench.interlocks import Interlock
from instrument.bench.timing import Stopwatch
from instrument.campaign import pausing
from instrument.campaign.control import AbortAsked, Control
from instrument.campaign.engine import Campaign
from instrument.campaign.events import EventBus, StateChanged
from instrument.campaign.ledger import Ledger
from instrument.campaign.pausing import Pauses
from instrument.campaign.states import State
from tests.instrument.fakes import FakeMeter, Log, make_bench, make_config

OBJECTS = 16
POSITIONS = [(10.0 * index, 0.0) for index in range(OBJECTS)]


class Person:
    """Resumes or aborts as soon as the campaign is paused; notes whether the light was off then."""

    def __init__(self, bench, command="resume"):
        self.control = Control()
        self.was_lit = []
        self._bench = bench
        self._command = command
        self.control.on_change = self._see
        self.changes = []

    def _see(self, before, now, why):
        self.changes.append((before, now, why))
        if now == State.PAUSED:
            self.was_lit.append(self._bench.devices["light"].is_on())
            if self._command == "resume":
                self.control.resume()
            else:
                self.control.abort("enough")


@pytest.fixture
def config(tmp_path):
    return make_config(tmp_path, safety={"self_check_repeats": 0})


@pytest.fixture
def bus():
    bus = EventBus()
    yield bus
    bus.close()


def capture(bench, person, bus, *, pause_at):
    """Capture a batch during which a person asks for a pause at those frames."""
    control = person.control
    control.enter(State.RUNNING)
    asked = set(pause_at)

    def on_frame(index, _frame):
        if index in asked:
            control.pause("Ctrl-C")

    bench.apply(bench.space().start, space=bench.space(), stopwatch=Stopwatch())
    return capture_batch(
        bench, POSITIONS, stopwatch=Stopwatch(), on_frame=on_frame,
        on_trip=Pauses(bench, bus, control=control).wait, checkpoint=control.checkpoint,
    )  # fmt: skip


def test_a_pause_in_a_batch_is_dark_after_the_exposure_under_way_and_loses_no_frame(config, bus):
    bench = make_bench(config)
    person = Person(bench)
    batch = capture(bench, person, bus, pause_at=[4, 9])
    assert person.was_lit == [False, False]
    assert [(pause["frames_before"], pause["why"]) for pause in batch.pauses] == [
        (5, "Ctrl-C"), (10, "Ctrl-C"),
    ]  # fmt: skip
    assert bench.devices["camera"].lit_frames == OBJECTS  # each was taken once
    assert batch.counts.shape[0] == OBJECTS
    assert batch.record()["pauses"] == list(batch.pauses)


def test_a_pause_asked_before_the_batch_lets_no_light_on_first(config, bus):
    bench = make_bench(config)
    person = Person(bench)
    person.control.pause("viewer")
    batch = capture(bench, person, bus, pause_at=[])
    assert [pause["frames_before"] for pause in batch.pauses] == [0]
    lights = [what for name, what in bench.log.names() if name == "led" and what == "start"]
    assert len(lights) == 1


def test_after_a_pause_the_sample_stage_is_told_again_where_to_be(tmp_path, bus):
    bench = make_bench(make_config(tmp_path, shots=2))
    stage, person = bench.devices["sample"], Person(bench)
    see = person.control.on_change

    def push_the_stage(before, now, why):
        if now == State.PAUSED:
            stage.at = (77.0, 77.0)
        see(before, now, why)

    person.control.on_change = push_the_stage
    at_exposure = []
    snap = bench.devices["camera"].snap
    bench.devices["camera"].snap = lambda *, timeout_s: (
        at_exposure.append(stage.at), snap(timeout_s=timeout_s)
    )[1]  # fmt: skip
    capture(bench, person, bus, pause_at=[0])  # between two shots of one object
    assert person.was_lit == [False]
    assert (77.0, 77.0) not in at_exposure


def test_an_abort_in_a_pause_ends_the_batch_in_the_dark(config, bus):
    bench = make_bench(config)
    with pytest.raises(AbortAsked, match="enough"):
        capture(bench, Person(bench, "abort"), bus, pause_at=[4])
    assert bench.devices["camera"].lit_frames == 5
    assert not bench.devices["light"].is_on()


def test_an_abort_in_a_batch_ends_it_after_the_exposure_under_way(config, bus):
    bench = make_bench(config)
    control = Control()
    control.enter(State.RUNNING)
    snap = bench.devices["camera"].snap

    def snap_and_abort(*, timeout_s):
        if bench.devices["camera"].lit_frames == 5:
            control.abort("viewer")
        return snap(timeout_s=timeout_s)

    bench.devices["camera"].snap = snap_and_abort
    bench.apply(bench.space().start, space=bench.space(), stopwatch=Stopwatch())
    with pytest.raises(AbortAsked, match="viewer"):
        capture_batch(
            bench, POSITIONS, stopwatch=Stopwatch(),
            on_frame=lambda *_: None, checkpoint=control.checkpoint,
        )  # fmt: skip
    assert bench.devices["camera"].lit_frames == 6
    assert not bench.devices["light"].is_on()


def test_repeats_of_a_scene_end_in_the_dark_when_a_pause_is_asked(config):
    bench = make_bench(config)
    passes = iter([None] * 5)

    def checkpoint():
        if next(passes, "pause") == "pause":
            raise PauseAsked("viewer")

    with pytest.raises(PauseAsked):
        capture_repeats(bench, (0.0, 0.0), 8, stopwatch=Stopwatch(), checkpoint=checkpoint)
    assert bench.devices["camera"].lit_frames == 4
    assert not bench.devices["light"].is_on()


def test_a_pause_that_nobody_ends_ends_the_campaign(tmp_path, bus):
    safety = {"self_check_repeats": 0, "longest_pause_s": 0.01}
    bench, control = make_bench(make_config(tmp_path, safety=safety)), Control()
    control.pause("Ctrl-C")
    with (
        Ledger.create(tmp_path / "run", {}) as ledger,
        pytest.raises(AbortAsked, match=r"safety\.longest_pause_s"),
    ):
        Campaign(bench, ledger, bus, control=control).run()
    assert bench.devices["camera"].lit_frames == 0


def test_a_pause_in_the_self_check_does_it_again_and_in_a_trial_goes_on(tmp_path, bus):
    bench = make_bench(make_config(tmp_path, search={"trials": 2}))
    person, frames = Person(bench), iter(range(10**6))
    snap = bench.devices["camera"].snap

    def snap_and_pause(*, timeout_s):
        if next(frames) in {3, 25}:  # of the self-check's 8; in the first trial
            person.control.pause("viewer")
        return snap(timeout_s=timeout_s)

    bench.devices["camera"].snap = snap_and_pause
    with Ledger.create(tmp_path / "run", {}) as ledger:
        Campaign(bench, ledger, bus, control=person.control).run()
        rows, checks = ledger.trials(), ledger.meta()["self_checks"]
    assert [row.state for row in rows] == ["scored", "scored"]
    assert [len(row.record["pauses"]) for row in rows] == [1, 0]
    assert [check["when"] for check in checks] == ["start", "end"]
    assert [(before, now) for before, now, _ in person.changes] == [
        (State.IDLE, State.RUNNING), (State.RUNNING, State.CALIBRATING),
        (State.CALIBRATING, State.PAUSED), (State.PAUSED, State.CALIBRATING),
        (State.CALIBRATING, State.RUNNING),
        (State.RUNNING, State.PAUSED), (State.PAUSED, State.RUNNING),
        (State.RUNNING, State.CALIBRATING), (State.CALIBRATING, State.RUNNING),
    ]  # fmt: skip


def suspended(config, readings):
    log = Log()
    interlock = Interlock(
        name="led.temperature_c", meter=FakeMeter("led.temperature_c", log, readings),
        below=60.0, above=None, action="pause", longest_pause_s=30.0,
    )  # fmt: skip
    return make_bench(config, log, interlocks=[interlock])


def test_a_suspended_campaign_can_be_paused_and_is_suspended_again_after(config, bus, monkeypatch):
    monkeypatch.setattr(pausing, "INTERLOCK_POLL_S", 0.0)
    bench = suspended(config, [20.0, 20.0, 61.0, 61.0, 20.0])
    person = Person(bench)
    see = person.control.on_change

    def pause_when_suspended(before, now, why):
        if now == State.SUSPENDED and before == State.RUNNING:
            person.control.pause("viewer")
        see(before, now, why)

    person.control.on_change = pause_when_suspended
    batch = capture(bench, person, bus, pause_at=[])
    assert [now for _, now, _ in person.changes] == [
        State.RUNNING, State.SUSPENDED, State.PAUSED, State.SUSPENDED, State.RUNNING,
    ]  # fmt: skip
    assert len(batch.pauses) == 1


def test_an_abort_ends_a_suspension(config, bus):
    bench = suspended(config, [20.0, 20.0, 61.0])
    person = Person(bench)
    timer = threading.Timer(0.02, lambda: person.control.abort("viewer"))

    def start_the_timer(_before, now, _why):
        if now == State.SUSPENDED:
            timer.start()

    person.control.on_change = start_the_timer
    with pytest.raises(AbortAsked, match="viewer"):
        capture(bench, person, bus, pause_at=[])
    timer.join()


def test_observers_are_told_of_every_change_by_execute(tmp_path, monkeypatch):
    from instrument.campaign import run, session

    config = make_config(tmp_path, safety={"self_check_repeats": 0, "guardian": False})
    bench, control, seen = make_bench(config), Control(), []
    monkeypatch.setattr(session, "connect", lambda _config: bench)
    bus, is_paused = EventBus(), threading.Event()
    bus.subscribe(lambda e: seen.append(e) if isinstance(e, StateChanged) else None, name="test")
    bus.state_changed.connect(lambda e: is_paused.set() if e.now == State.PAUSED else None)

    def resume():
        assert is_paused.wait(60)
        control.resume()

    control.pause("notebook")
    thread = threading.Thread(target=resume, name="notebook")
    thread.start()
    with Ledger.create(tmp_path / "run", {}) as ledger:
        result = run.execute(config, ledger, bus, control=control)
        journal = [row for row in ledger.journal() if row.kind == "state"]
    thread.join()
    bus.close()
    assert result.status == "finished"
    assert [(event.now, event.why) for event in seen] == [
        (State.CONNECTING, None), (State.RUNNING, None), (State.PAUSED, "notebook"),
        (State.RUNNING, "resumed"), (State.FINISHED, None),
    ]  # fmt: skip
    assert [(row.data["now"], row.text) for row in journal] == [
        ("connecting", "connecting"), ("running", "running"), ("paused", "notebook"),
        ("running", "resumed"), ("finished", "finished"),
    ]  # fmt: skip


def test_a_dropped_observer_is_in_the_journal(tmp_path, bus):
    config = make_config(tmp_path, search={"trials": 3}, safety={"self_check_repeats": 0})
    bus.subscribe(lambda _event: 1 / 0, name="viewer")
    with Ledger.create(tmp_path / "run", {}) as ledger:
        bench = make_bench(config)
        snap, is_known = bench.devices["camera"].snap, threading.Event()
        bus.observer_dropped.connect(lambda _event: is_known.set())

        def snap_when_it_is_dropped(*, timeout_s):
            assert is_known.wait(60)
            return snap(timeout_s=timeout_s)

        bench.devices["camera"].snap = snap_when_it_is_dropped
        Campaign(bench, ledger, bus, control=Control()).run()
        (row,) = [row for row in ledger.journal() if row.kind == "observer"]
    assert "the viewer no longer follows the run: it raised ZeroDivisionError" in row.text
