"""Observers follow a run and can neither stall nor end it, whatever they do."""

import re
import threading

import pytest

from instrument.campaign import events
from instrument.campaign.events import (
    Event,
    EventBus,
    FrameCaptured,
    Notice,
    ObserverDropped,
    StateChanged,
    Suspended,
)
from instrument.campaign.states import State

SUSPENDED = Suspended(text="too warm", interlock="led.temperature_c", longest_s=1.0)
PAUSED = StateChanged(before=State.RUNNING, now=State.PAUSED, why="Ctrl-C")


def of_kind(kind, seen):
    return [event for event in seen if isinstance(event, kind)]


def test_events_arrive_in_order_with_their_number():
    bus, seen = EventBus(), []
    bus.subscribe(seen.append, name="listener")
    for text in "abc":
        bus.emit(Notice(text=text))
    bus.close()
    assert [(event.sequence, event.text) for event in seen] == [(0, "a"), (1, "b"), (2, "c")]


def test_a_raising_observer_is_dropped_with_a_warning_and_others_go_on(caplog):
    bus, seen, has_heard = EventBus(), [], threading.Event()

    def raises(_event):
        raise RuntimeError("viewer crashed")

    def listen(event):
        seen.append(event)
        if isinstance(event, ObserverDropped):
            has_heard.set()

    bus.subscribe(raises, name="viewer")
    bus.subscribe(listen, name="listener")
    bus.emit(Notice(text="a"))
    bus.emit(Notice(text="b"))
    assert has_heard.wait(60)
    bus.close()
    assert [event.text for event in seen if type(event) is Notice] == ["a", "b"]
    (dropped,) = of_kind(ObserverDropped, seen)
    assert (dropped.observer, dropped.reason) == (
        "viewer",
        "it raised RuntimeError: viewer crashed",
    )
    assert bus.take_dropped() == [dropped]
    assert bus.take_dropped() == []
    assert [record.getMessage() for record in caplog.records] == [
        "the viewer no longer follows the run: it raised RuntimeError: viewer crashed"
    ]


def test_an_observer_that_raised_leaves_no_thread_while_the_run_goes_on():
    bus, are_dropped = EventBus(), threading.Semaphore(0)
    bus.observer_dropped.connect(lambda _event: are_dropped.release())
    for number in range(20):
        bus.subscribe(lambda _event: 1 / 0, name=f"broken {number}")
    bus.emit(Notice(text="a"))
    for _ in range(20):
        assert are_dropped.acquire(timeout=60)
    ours = [t for t in threading.enumerate() if t.name.startswith("observer-broken")]
    for thread in ours:
        thread.join(60)  # they end, though the bus is open
        assert not thread.is_alive()
    bus.emit(Notice(text="b"))
    bus.close()


def test_a_stuck_observer_cannot_stall_the_loop(caplog):
    bus, release = EventBus(), threading.Event()
    bus.subscribe(lambda _event: release.wait(30), name="viewer")
    for _ in range(1000):
        bus.emit(Notice(text="never waits"))
    release.set()
    bus.close()
    assert caplog.text.count("does not keep up") == 1
    assert [event.observer for event in bus.take_dropped()] == ["viewer"]


def test_a_slow_observer_misses_frames_and_nothing_else():
    bus, release, seen = EventBus(), threading.Event(), []

    def slow(event):
        release.wait(30)
        seen.append(event)

    bus.subscribe(slow, name="viewer")
    for index in range(500):
        bus.emit(FrameCaptured(trial=0, index=index, of=500, frame=None))
    bus.emit(Notice(text="kept"))
    release.set()
    bus.close()
    assert isinstance(seen[-1], Notice)
    assert len(seen) < 200


@pytest.mark.leaves_thread
def test_ten_thousand_events_pass_one_that_blocks_for_ever_and_one_that_raises(monkeypatch, caplog):
    monkeypatch.setattr(events, "_CLOSE_TIMEOUT_S", 0.1)
    bus, never, taken = EventBus(), threading.Event(), threading.Semaphore(0)
    seen, late = [], []

    def keeps_up(event):
        seen.append(event)
        taken.release()

    bus.subscribe(lambda _event: never.wait(), name="stuck")
    bus.subscribe(lambda _event: 1 / 0, name="broken")
    bus.subscribe(keeps_up, name="listener")
    bus.notice.connect(lambda event: late.append(event) or never.wait())
    for index in range(10_000):
        bus.emit(Notice(text=str(index)))
        taken.acquire(timeout=60)  # the listener keeps up; the others do as they do
    bus.close()
    texts = [event.text for event in seen if type(event) is Notice]
    assert texts == [str(index) for index in range(10_000)]
    assert len(late) == 1
    dropped = {event.observer: event.reason for event in bus.take_dropped()}
    assert dropped == {
        "stuck": "it does not keep up", "callbacks": "it does not keep up",
        "broken": "it raised ZeroDivisionError: division by zero",
    }  # fmt: skip
    never.set()


def test_events_of_many_threads_reach_an_observer_in_the_order_of_their_numbers():
    bus, seen, room = EventBus(), [], threading.Semaphore(100)

    def take(event):
        seen.append(event.sequence)
        room.release()

    def emit():
        for _ in range(200):
            room.acquire(timeout=60)
            bus.emit(Notice(text="x"))

    bus.subscribe(take, name="listener")
    threads = [threading.Thread(target=emit, name="emitter") for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bus.close()
    assert seen == list(range(1600))


def test_a_connected_callback_gets_its_kind_of_event_off_the_emitting_thread():
    bus, seen = EventBus(), []
    bus.state_changed.connect(lambda event: seen.append((event, threading.current_thread())))
    bus.emit(Notice(text="of another kind"))
    bus.emit(PAUSED)
    bus.close()
    ((event, thread),) = seen
    assert event is PAUSED
    assert thread is not threading.main_thread()


def test_an_event_is_told_as_what_it_is_a_kind_of_too():
    bus, seen = EventBus(), []
    bus.suspended.connect(lambda event: seen.append(("suspended", event.text)))
    bus.notice.connect(lambda event: seen.append(("notice", event.text)))
    bus.emit(SUSPENDED)
    bus.close()
    assert seen == [("suspended", "too warm"), ("notice", "too warm")]


def test_a_raising_callback_is_dropped_and_those_of_other_signals_go_on():
    bus, seen = EventBus(), []

    def raises(_event):
        raise RuntimeError("no such column")

    bus.state_changed.connect(raises)
    bus.notice.connect(lambda event: seen.append(event.text))
    bus.emit(PAUSED)
    bus.emit(PAUSED)
    bus.emit(Notice(text="after"))
    bus.close()
    reason = "it raised RuntimeError: no such column"
    assert [(e.observer, e.reason) for e in bus.take_dropped()] == [
        ("callbacks of state_changed", reason)
    ]
    assert seen[-1] == "after" or seen[-2] == "after"  # beside the notice of the drop


def test_without_callbacks_there_is_no_thread_for_them():
    bus = EventBus()
    before = threading.active_count()
    bus.emit(PAUSED)
    assert threading.active_count() == before
    bus.close()


def test_after_closing_nothing_is_delivered():
    bus, seen = EventBus(), []
    bus.notice.connect(lambda event: seen.append(event))
    bus.close()
    bus.emit(Notice(text="late"))
    bus.close()
    assert seen == []


def test_every_kind_of_event_has_a_signal_of_its_name():
    kinds = [
        kind for kind in vars(events).values()
        if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
    ]  # fmt: skip
    assert len(kinds) > 10
    for kind in kinds:
        name = re.sub(r"(?<=.)([A-Z])", r"_\1", kind.__name__).lower()
        assert hasattr(EventBus, name), f"add {name} = Signal({kind.__name__}) to EventBus"
