import threading

from instrument.campaign.events import EventBus, FrameCaptured, Notice


def test_events_arrive_in_order_with_their_number():
    bus, seen = EventBus(), []
    bus.subscribe(seen.append, name="listener")
    for text in "abc":
        bus.emit(Notice(text=text))
    bus.close()
    assert [(event.sequence, event.text) for event in seen] == [(0, "a"), (1, "b"), (2, "c")]


def test_a_raising_observer_is_dropped_with_a_warning_and_others_go_on(caplog):
    bus, seen = EventBus(), []

    def raises(_event):
        raise RuntimeError("viewer crashed")

    bus.subscribe(raises, name="viewer")
    bus.subscribe(seen.append, name="listener")
    bus.emit(Notice(text="a"))
    bus.emit(Notice(text="b"))
    bus.close()
    assert len(seen) == 2
    assert [record.getMessage() for record in caplog.records] == [
        "the viewer no longer follows the run: it raised RuntimeError: viewer crashed"
    ]


def test_a_stuck_observer_cannot_stall_the_loop(caplog):
    bus, release = EventBus(), threading.Event()
    bus.subscribe(lambda _event: release.wait(30), name="viewer")
    for _ in range(1000):
        bus.emit(Notice(text="never waits"))
    release.set()
    bus.close()
    assert "does not keep up" in caplog.text


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
