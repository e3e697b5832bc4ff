"""Interlocks over meters and positions: never light with one open, however the loop is busy."""

import contextlib
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import DeviceError, LimitViolation
from instrument.bench.acquisition import capture_batch
from instrument.bench.connect import ConnectError, connect
from instrument.bench.interlocks import Interlock, Interlocks, InterlockTripped, PositionReading
from instrument.bench.timing import Stopwatch
from instrument.bench.watchdog import Watchdog
from instrument.config import ConfigError
from instrument.design import Design
from tests.instrument.bench.test_compiled_adapters import parsed
from tests.instrument.fakes import FakeMeter, Log, broken, make_bench, make_config

POSITIONS = ((0.0, 0.0), (10.0, 0.0), (10.0, 10.0))


def interlock(values, log=None, **changes):
    meter = FakeMeter("led.temperature_c", log or Log(), values)
    return Interlock(**{"name": "led.temperature_c", "meter": meter, "below": 60.0, **changes})


def capture(bench, **keywords):
    return capture_batch(
        bench, POSITIONS, stopwatch=Stopwatch(), on_frame=lambda _index, _frame: None, **keywords
    )


def states(lock, readings):
    """What an interlock says of each reading in turn: whether it holds."""
    said = []
    for _ in range(readings):
        try:
            lock.check()
        except InterlockTripped:
            said.append(False)
        else:
            said.append(True)
    return said


# ---- hysteresis


HYSTERESIS = {
    "none": ({}, [59, 60, 59.9], [True, False, True]),
    "below": (
        {"hysteresis": 5.0}, [59, 61, 59, 55, 54.9, 59], [True, False, False, False, True, True],
    ),
    "above": (
        {"below": None, "above": 10.0, "hysteresis": 2.0},
        [11, 10, 11, 12, 12.1, 11], [True, False, False, False, True, True],
    ),
    "NaN never holds": ({}, [float("nan")], [False]),
    "at the bound": ({}, [60], [False]),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "readings", "holds"), HYSTERESIS.values(), ids=HYSTERESIS)
def test_what_has_tripped_holds_again_only_inside_its_hysteresis(changes, readings, holds):
    assert states(interlock(readings, **changes), len(readings)) == holds


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    readings=st.lists(st.floats(0, 100), min_size=1, max_size=30),
    hysteresis=st.floats(0, 20),
)
def test_no_reading_out_of_bounds_ever_holds(readings, hysteresis):
    held = states(interlock(readings, hysteresis=hysteresis), len(readings))
    assert not any(h for h, value in zip(held, readings, strict=True) if not value < 60)
    for before, now, value in zip(held, held[1:], readings[1:], strict=False):
        assert before or not now or value < 60 - hysteresis


def test_the_message_says_what_was_read_and_from_where_it_holds_again():
    lock = interlock([61.0, 58.0], hysteresis=5.0)
    with pytest.raises(InterlockTripped, match=r"61 degC, must be below 60 degC$"):
        lock.check()
    with pytest.raises(InterlockTripped, match="58 degC, must be below 55 degC to hold again"):
        lock.check()


def test_a_meter_that_fails_counts_as_open(tmp_path):
    log = Log()
    lock = interlock([20.0], log)
    lock.meter.read = lambda: (_ for _ in ()).throw(broken("no answer"))
    bench = make_bench(make_config(tmp_path), log, interlocks=[lock])
    with pytest.raises(InterlockTripped, match=r"could not be read and so counts as open: no ans"):
        capture(bench)
    assert ("led", "start") not in log.names()
    assert lock.is_open


def test_the_light_does_not_come_on_first_and_the_interlock_after(tmp_path, monkeypatch):
    log = Log()
    bench = make_bench(make_config(tmp_path), log, interlocks=[interlock([61.0], log)])
    monkeypatch.setattr(Interlocks, "patrolled", lambda *_: contextlib.nullcontext())
    with pytest.raises(InterlockTripped):
        capture(bench)
    assert ("led", "start") not in log.names()


# ---- positions


def over_focus(bench, **bounds):
    device = bench.devices["focus"]
    return Interlock(
        name="focus", meter=PositionReading(device, "", "um"), role="focus", is_behind_core=True,
        **bounds,
    )  # fmt: skip


def with_interlocks(bench, *interlocks):
    bench.interlocks.all = interlocks
    return bench


@pytest.fixture
def bench(tmp_path):
    return make_bench(make_config(tmp_path))


def test_a_design_that_would_open_an_interlock_moves_nothing(bench):
    with_interlocks(bench, over_focus(bench, below=5.0))
    design = Design({"pupil": (0.1, 0.2, 0.3), "focus": (6.0,)})
    with pytest.raises(LimitViolation, match=r"focus: 6 um asked, the interlock .* below 5 um"):
        bench.apply(design, space=bench.space(), stopwatch=Stopwatch())
    assert bench.log.calls == []


def test_light_stays_off_while_a_stage_is_where_it_must_not_be(bench):
    with_interlocks(bench, over_focus(bench, below=5.0))
    bench.devices["focus"].at = 6.0  # somebody turned the knob
    with pytest.raises(InterlockTripped, match="interlock focus: 6 um, must be below 5 um"):
        capture(bench)
    assert ("led", "start") not in bench.log.names()


def test_the_sample_is_not_moved_to_where_an_interlock_opens(bench):
    reading = PositionReading(bench.devices["sample"], "y", "um")
    with_interlocks(
        bench, Interlock(name="sample.y", meter=reading, role="sample", axis="y", below=5.0)
    )
    with pytest.raises(LimitViolation, match=r"sample\.y: 10 um asked"):
        capture(bench)
    assert bench.devices["sample"].at == (10.0, 0.0)
    assert not bench.devices["light"].is_on()


def test_no_long_exposure_goes_on_in_the_light_with_an_interlock_it_hides(bench):
    with_interlocks(bench, over_focus(bench, below=5.0))
    bench.exposure.exposure_ms = 1001.0
    with pytest.raises(LimitViolation, match=r"1001 ms with the light on.*at most 1 s \(safety"):
        capture(bench)
    assert bench.devices["camera"].lit_frames == 0


# ---- while the loop is busy


def test_an_interlock_that_opens_during_an_exposure_ends_it_in_the_dark(tmp_path):
    log = Log()
    config = make_config(tmp_path, safety={"interlock_interval_s": 0.02})
    # before the light, before the exposure, and then by the patrol
    bench = make_bench(config, log, interlocks=[interlock([20.0, 20.0, 61.0], log)])
    light, camera = bench.devices["light"], bench.devices["camera"]
    darkened = threading.Event()
    make_safe, snap = light.make_safe, camera.snap

    def make_safe_and_say_so():
        make_safe()
        darkened.set()

    def long_exposure(*, timeout_s):
        if light.is_on():
            assert darkened.wait(20)
        return snap(timeout_s=timeout_s)

    light.make_safe, camera.snap = make_safe_and_say_so, long_exposure
    with pytest.raises(InterlockTripped, match="61 degC"):
        capture(bench)
    assert camera.lit_frames == 0
    assert [value for name, what, value in log.calls if (name, what) == ("led", "start")] == [10]
    bench.interlocks.all[0].meter.values = [20.0]
    bench.check_interlocks()  # what opened then is no reason to stay dark now


def test_after_an_interlock_opened_no_shot_brings_the_light_back(tmp_path):
    bench = make_bench(make_config(tmp_path))
    with bench.illuminated(stopwatch=Stopwatch()):
        bench.lighting._put_out(InterlockTripped("too hot", interlock([61.0])))
        assert not bench.devices["light"].is_on()
        with pytest.raises(InterlockTripped, match="too hot"):
            bench.lighting.bring("light", 5.0, here=10.0)
        bench.lighting._put_out_by = None  # what follows is not this test's
    assert [value for _, what, value in bench.log.calls if what == "start"] == [10]


def test_the_patrol_is_silent_while_the_loop_reads():
    lock = interlock([20.0])
    reads = []
    lock.meter.read = lambda: reads.append(1) or 20.0
    interlocks = Interlocks([lock], interval_s=1000.0)
    interlocks.check()
    watchdog = Watchdog(lambda tripped: None, patience_s=1000.0)
    with interlocks.patrolled(watchdog, lambda tripped: None):
        interlocks.check()
    assert len(reads) == 2


def test_a_meter_that_hangs_is_the_watchdogs_business(hang):
    lock = interlock([20.0])
    lock.meter.read = hang.wait
    told = []
    tripped = threading.Event()
    watchdog = Watchdog(lambda error: (told.append(str(error)), tripped.set()), patience_s=0.05)
    interlocks = Interlocks([lock], interval_s=0.01)
    with watchdog.on_duty(), interlocks.patrolled(watchdog, lambda tripped: None):
        assert tripped.wait(20)
        hang.set()
    assert "the interlocks: no sign of life" in told[0]


@pytest.fixture
def hang():
    """Something to wait on for ever, until the test is over."""
    event = threading.Event()
    yield event
    event.set()


# ---- pausing


def test_a_batch_goes_on_where_it_was_paused_and_says_so(tmp_path):
    log = Log()
    # before the light; the first object; the second, too hot; the light again, and the rest
    values = [20.0, 20.0, 61.0, 20.0]
    bench = make_bench(make_config(tmp_path), log, interlocks=[interlock(values, log)])
    dark = []
    batch = capture(bench, on_trip=lambda tripped: dark.append(not bench.devices["light"].is_on()))
    assert dark == [True]
    assert bench.devices["camera"].lit_frames == len(POSITIONS)
    (pause,) = batch.record()["pauses"]
    assert (pause["frames_before"], "61 degC" in pause["why"]) == (1, True)
    assert [value for name, what, value in log.calls if (name, what) == ("XY", "start")] == [
        *POSITIONS[:2],
        *POSITIONS[1:],
    ]  # fmt: skip - the stage is told once more where to be after the pause


# ---- from the file


BAD = {
    "neither": ({"below": 3}, "needs either `channel` or `role`"),
    "both": ({"role": "focus", "channel": "led.temperature_c", "below": 3}, "needs either"),
    "no such role": ({"role": "focsu", "below": 3}, r"no role 'focsu'; did you mean 'focus'"),
    "no axis": ({"role": "sample", "below": 3}, r"say which axis, sample\.x or sample\.y"),
    "a light": ({"role": "light", "below": 3}, r"use `channel: led\.NAME`"),
    "a camera": ({"role": "camera", "below": 3}, r"name a property, camera\.PROPERTY"),
    "nothing between": (
        {"role": "focus", "below": 3, "above": 1, "hysteresis": 1}, "nothing is above 1 and",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("entry", "sentence"), BAD.values(), ids=BAD)
def test_a_wrong_interlock_is_one_sentence(tmp_path, entry, sentence):
    with pytest.raises(ConfigError, match=sentence):
        make_config(tmp_path, bench={"interlocks": [entry]})


def test_an_exposure_that_hides_an_interlock_for_too_long_is_refused(tmp_path):
    bench = {
        "interlocks": [{"role": "focus", "below": 3}],
        "roles": {"camera": {"device": "Camera", "exposure_ms": 1500}},
    }
    with pytest.raises(ConfigError, match=r"exposure_ms` reaches 1500 ms.*interval_s is 1 s"):
        make_config(tmp_path, bench=bench)
    make_config(tmp_path, bench=bench, safety={"interlock_interval_s": 2})


COMPILED = [
    {"role": "sample.x", "below": 400},
    {"role": "angle", "above": -1, "hysteresis": 0.5},
    {"role": "camera.CCDTemperature", "unit": "degC", "below": 40},
]


def test_positions_and_a_cameras_temperature_are_read_from_compiled_adapters(tmp_path):
    with connect(parsed(tmp_path, {"bench": {"interlocks": COMPILED}})) as bench:
        bench.check_interlocks()
        assert [(i.name, i.meter.unit, i.check()) for i in bench.interlocks] == [
            ("sample.x", "um", 0.0), ("angle", "deg", 0.0), ("camera.CCDTemperature", "degC", 0.0),
        ]  # fmt: skip
        with pytest.raises(LimitViolation, match=r"sample\.x: 450 um asked"):
            bench.move_sample("sample", (450.0, 0.0), stopwatch=Stopwatch())


def test_a_property_that_is_not_there_is_named_when_connecting(tmp_path):
    entry = {"role": "camera.Temperatur", "below": 40}
    with pytest.raises(ConnectError, match=r"`bench\.interlocks\.0`: Camera: no property 'Temp"):
        connect(parsed(tmp_path, {"bench": {"interlocks": [entry]}}))


def test_a_design_whose_bounds_open_an_interlock_is_refused_when_connecting(tmp_path):
    entry = {"role": "angle", "below": 80}
    with pytest.raises(ConnectError, match=r"`design`: angle: 90 deg asked, the interlock over it"):
        connect(parsed(tmp_path, {"bench": {"interlocks": [entry]}}))


def test_a_device_error_is_no_interlock(bench):
    bench.devices["sample"].fails_on = {"wait": broken()}
    with pytest.raises(DeviceError, match="cable pulled"):
        capture(bench)
