"""The watchdog: light does not outlive whoever switched it on."""

import signal
import threading

import pytest

from drivers import DeviceError, DeviceTimeout
from instrument.bench.acquisition import capture_batch
from instrument.bench.connect import connect
from instrument.bench.safety import (
    Interrupted,
    UnsafeBench,
    recall_main_thread,
    signals_raise,
)
from instrument.bench.timing import Stopwatch
from instrument.bench.watchdog import Watchdog, WatchdogTripped
from tests.instrument.fakes import broken, make_bench, make_config

FOREVER_S = 1000.0
LONGEST_S = 20.0  # never reached


def capture(bench):
    return capture_batch(
        bench, ((0.0, 0.0), (10.0, 0.0)), stopwatch=Stopwatch(), on_frame=lambda _i, _f: None
    )


@pytest.fixture
def hang():
    """Something to wait on for ever, until the test is over."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def bench(tmp_path):
    return make_bench(make_config(tmp_path, safety={"watchdog_s": 0.05}))


@pytest.fixture
def darkened(bench):
    """Set as soon as the light was switched off after it was on."""
    event = threading.Event()
    light = bench.devices["light"]
    make_safe = light.make_safe

    def make_safe_and_say_so():
        was_on = light.is_on()
        make_safe()
        if was_on:
            event.set()

    light.make_safe = make_safe_and_say_so
    return event


STUCK = {
    "an exposure": ("camera", "snap", r"Camera: an exposure of 1 ms: no sign of life for 0\.051 s"),
    "a move": ("sample", "wait", r"a move of XY \(role sample\): no sign of life"),
}


@pytest.mark.parametrize(("role", "call", "sentence"), STUCK.values(), ids=STUCK)
def test_light_goes_off_while_the_loop_is_stuck_and_the_run_fails(
    bench, darkened, role, call, sentence
):
    device, light = bench.devices[role], bench.devices["light"]
    normal = getattr(device, call)

    def until_it_is_dark(**keywords):
        if light.is_on():
            assert darkened.wait(LONGEST_S)
        return normal(**keywords)

    setattr(device, call, until_it_is_dark)
    with pytest.raises(WatchdogTripped, match=sentence):
        capture(bench)
    assert not light.is_on()
    assert bench.devices["camera"].lit_frames == 0


def test_an_error_of_the_device_that_hung_is_kept_beside_the_watchdogs(bench, darkened):
    def gives_up(*, timeout_s):
        if bench.devices["light"].is_on():
            assert darkened.wait(LONGEST_S)
            raise DeviceTimeout("Camera: no return")

        return 0

    bench.devices["camera"].snap = gives_up
    with pytest.raises(WatchdogTripped) as raised:
        capture(bench)
    assert isinstance(raised.value.__cause__, DeviceTimeout)


@pytest.mark.parametrize("role", ["camera", "sample"])
def test_a_driver_that_never_returns_is_left_and_the_run_fails(bench, hang, monkeypatch, role):
    """The call is on the main thread itself, as that of a driver nobody has bounded."""
    monkeypatch.setattr("instrument.bench.watchdog.RECALL_S", 0.05)
    device, light = bench.devices[role], bench.devices["light"]
    call = {"camera": "snap", "sample": "wait"}[role]
    normal = getattr(device, call)
    setattr(device, call, lambda **keywords: hang.wait() if light.is_on() else normal(**keywords))
    with pytest.raises(WatchdogTripped, match="no sign of life") as raised, signals_raise():
        capture(bench)
    assert isinstance(raised.value.__cause__, Interrupted)
    assert not light.is_on()


def test_outside_of_a_run_no_signal_is_sent(bench):
    before = signal.getsignal(signal.SIGTERM)
    recall_main_thread()
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_light_that_hangs_while_it_comes_on_is_not_waited_for(bench, hang, monkeypatch):
    monkeypatch.setattr("instrument.bench.lighting.LIGHT_TIMEOUT_S", 0.05)
    light, dark = bench.devices["light"], threading.Event()
    make_safe = light.make_safe
    light.make_safe = lambda: (make_safe(), dark.set())

    def half_on(_target):
        light.level = 10.0
        assert dark.wait(LONGEST_S)

    light.start = half_on
    with pytest.raises(WatchdogTripped, match=r"led \(role light\): no sign of life"):
        capture(bench)
    assert not light.is_on()


def test_a_light_that_the_watchdog_cannot_switch_off_is_louder_than_the_watchdog(bench, darkened):
    light = bench.devices["light"]
    light.fails_on = {"make_safe": broken("no answer")}
    told = threading.Event()
    make_safe = light.make_safe

    def fails():
        told.set()
        make_safe()

    light.make_safe = fails
    snap = bench.devices["camera"].snap

    def stuck(**keywords):
        if light.is_on():
            assert told.wait(LONGEST_S)
        return snap(**keywords)

    bench.devices["camera"].snap = stuck
    with pytest.raises(UnsafeBench, match=r"light \(led\) could NOT be made safe: no answer"):
        capture(bench)


def test_a_camera_that_really_hangs_ends_dark_with_its_thread_named(tmp_path, hang, monkeypatch):
    config = make_config(tmp_path, safety={"watchdog_s": 0.3})
    monkeypatch.setattr("instrument.bench.bench.AFTER_THE_WATCHDOG_S", 0.2)
    before = set(threading.enumerate())
    with connect(config) as bench:
        light = bench.devices["light"]
        camera = bench.devices["camera"]
        normal = camera._core.snapImage
        monkeypatch.setattr(
            camera._core, "snapImage", lambda: hang.wait() if light.is_on() else normal()
        )
        with pytest.raises(WatchdogTripped) as raised:
            capture(bench)
        assert light.read_back() == 0
        assert not light.is_on()
        assert "thread 'micro-manager'" in str(raised.value.__cause__)
        with pytest.raises(UnsafeBench, match="Micro-Manager has not returned"):
            bench.close_or_say_so()
        bench._unsafe = ()  # said once; the `with` need not say it again
    (left,) = [
        t for t in set(threading.enumerate()) - before if not t.name.startswith(("jax", "asyncio"))
    ]
    assert (left.name, left.daemon) == ("micro-manager", True)


# ---- on its own


def test_who_reports_in_time_is_left_alone():
    told = []
    watchdog = Watchdog(told.append, patience_s=FOREVER_S)
    with watchdog.on_duty():
        watchdog.report("loop", "an exposure", need_s=1.0)
        watchdog.report("loop", "the next one")
    assert told == []


def test_who_has_retired_owes_no_report():
    told = []
    watchdog = Watchdog(told.append, patience_s=0.0)
    watchdog.report("loop")
    watchdog.retire("loop")
    with watchdog.on_duty():
        pass
    assert told == []


def test_the_late_one_is_named_among_others_and_only_once():
    told, tripped = [], threading.Event()
    watchdog = Watchdog(lambda error: (told.append(error), tripped.set()), patience_s=0.01)
    with watchdog.on_duty():
        watchdog.report("interlocks", need_s=FOREVER_S)
        watchdog.report("loop", "Z: a move")
        assert tripped.wait(LONGEST_S)
        watchdog.report("loop", "Z: another move")
    assert [str(error).split(":")[:2] for error in told] == [["Z", " a move"]]
    assert isinstance(told[0], DeviceError)


def test_a_known_long_exposure_is_no_silence():
    watchdog = Watchdog(lambda error: None, patience_s=0.5)
    watchdog.report("loop", "a long exposure", need_s=10.0)
    assert watchdog._duties["loop"].allowed_s == 10.5


def test_no_thread_is_left_when_the_light_is_off(bench):
    before = set(threading.enumerate())
    capture(bench)
    assert set(threading.enumerate()) == before


def test_a_dark_bench_has_no_watchdog(bench):
    with bench.lighting.expecting("anything"):
        assert not any(thread.name == "watchdog" for thread in threading.enumerate())
