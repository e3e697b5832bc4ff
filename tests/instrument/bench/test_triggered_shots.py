"""Shots that the modulator brings by itself: the same frames as stepping, and the same safety."""

import signal
import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers import DeviceError, FrameLoss, InstrumentReported, LimitViolation
from drivers.virtual.bench.devices import VirtualCamera, VirtualSLM
from drivers.virtual.worlds.pupil import PupilWorld
from instrument.bench import bench as bench_module
from instrument.bench.acquisition import capture_batch
from instrument.bench.connect import ConnectError, connect
from instrument.bench.interlocks import Interlock, InterlockTripped
from instrument.bench.safety import Interrupted
from instrument.bench.timing import Stopwatch
from instrument.bench.triggered import check_triggers
from instrument.bench.watchdog import WatchdogTripped
from instrument.config import ConfigError, parse_config, triggered_role
from tests.instrument.fakes import (
    CONFIG,
    FakeCamera,
    FakeMeter,
    FakeSlm,
    Log,
    broken,
    make_bench,
    merged,
)

POSITIONS = ((0.0, 0.0), (10.0, 0.0), (10.0, 10.0))
LONGEST_S = 20.0  # never reached
CELLS = {
    "role": "slm", "basis": "superpixel", "cells": [2, 2], "bounds_grey": [0, 255],
    "per_shot": True,
}  # fmt: skip
LENSLESS = {
    "bench": {
        "micromanager": {"virtual": "lensless", "sites": 2, "cells": [2, 2], "seed": 3},
        "roles": {
            "camera": {"device": "Camera", "exposure_ms": 1},
            "slm": {"device": "Mask"},
            "sample": {"device": "XY", "limits_um": [[-100, 100], [-100, 100]]},
        },
    },
    "objects": {"stage_grid": {"count": 4, "spacing_um": 100}},
    "shots": 3,
    "design": {"pupil": CELLS},
    "noise": {"gain": 2.0, "offset": 100, "read_noise": 1.5, "bit_depth": 12},
}


def parsed(tmp_path, changes=None, *, trigger: str | None = "camera", shots=3):
    slm = {"bench": {"roles": {"slm": {"trigger": trigger} if trigger else {}}}, "shots": shots}
    raw = merged(merged({**CONFIG, "design": {"pupil": CELLS}}, slm), changes or {})
    return parse_config(raw, source="test", folder=tmp_path)


class SteppedSlm(FakeSlm):
    """Goes to the next of its patterns on `trigger`, while a sequence runs."""

    sequence_length = 64

    def __init__(self, name, log):
        super().__init__(name, log)
        self.loaded, self.step = [], None

    def load_sequence(self, patterns, *, timeout_s):
        self.note("load", len(patterns))
        self.loaded = list(patterns)

    def start_sequence(self):
        self.step, self.shown = 0, self.loaded[0]
        self.note("start_sequence")

    def stop_sequence(self):
        if self.step is not None:
            self.note("stop_sequence")
        self.step = None

    def trigger(self):
        if self.step is not None:
            self.step = (self.step + 1) % len(self.loaded)
            self.shown = self.loaded[self.step]

    def make_safe(self):
        super().make_safe()
        self.stop_sequence()
        self.shown = np.zeros(self.shape, np.uint8)


class TriggeringCamera(FakeCamera):
    """A frame is the pattern, with the sample's x and y in two pixels; then it gives a trigger."""

    def snap(self, *, timeout_s):
        self.note("snap")
        frame = self.slm.shown.astype(np.uint16)
        frame[0, :2] = self.xy.at
        self.slm.trigger()
        return frame

    def capture(self, frames, *, timeout_s):
        self.note("capture", frames)
        return super().capture(frames, timeout_s=timeout_s)


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Make a bench on fakes, its log emptied, with a design that has a pattern for every shot."""
    monkeypatch.setattr("tests.instrument.fakes.FakeSlm", SteppedSlm)
    monkeypatch.setattr("tests.instrument.fakes.FakeCamera", TriggeringCamera)

    def make_one(changes=None, *, trigger="camera", shots=3, **keywords):
        bench = make_bench(parsed(tmp_path, changes, trigger=trigger, shots=shots), **keywords)
        applied = apply(bench, np.random.default_rng(0))
        bench.log.calls.clear()
        return bench, list(applied.patterns.values())

    return make_one


def apply(bench, rng):
    space = bench.space()
    design = space.from_unit(rng.uniform(size=space.dimension))
    return bench.apply(design, space=space, stopwatch=Stopwatch())


def capture(bench, positions=POSITIONS, *, stopwatch=None, **keywords):
    return capture_batch(
        bench, positions, stopwatch=stopwatch or Stopwatch(),
        **{"on_frame": lambda _index, _frame: None, **keywords},
    )  # fmt: skip


def story(bench):
    """What happened from the first light on, without waits and closing."""
    calls = bench.log.calls
    first = bench.log.names().index(("led", "start"))
    told = {"start", "start_sequence", "stop_sequence", "capture", "snap", "make_safe", "load"}
    return [call[:2] for call in calls[first:] if call[1] in told]


# ---- the same frames


@pytest.mark.parametrize("seed", [0, 1])
def test_frames_on_a_virtual_bench_are_those_of_stepping_to_the_last_count(tmp_path, seed):
    batches, seen = {}, {}
    for trigger in (None, "camera"):
        slm = {"bench": {"roles": {"slm": {"trigger": trigger} if trigger else {}}}}
        config = parse_config(merged(LENSLESS, slm), source="t", folder=tmp_path)
        seen[trigger] = []
        with connect(config) as bench:
            apply(bench, np.random.default_rng(seed))
            batches[trigger] = capture(
                bench,
                ((-50.0, -50.0), (50.0, -50.0), (50.0, 50.0)),
                on_frame=lambda index, frame, t=trigger: seen[t].append((index, frame.copy())),
            )
    stepped, triggered = batches[None], batches["camera"]
    assert (stepped.stepping, triggered.stepping) == ("software", "hardware")
    np.testing.assert_array_equal(triggered.counts, stepped.counts)
    shots = stepped.counts.mean(axis=(0, 2, 3))
    assert len(set(shots)) == 3, "patterns that cannot be told apart show nothing"
    assert [index for index, _ in seen["camera"]] == list(range(9))
    for (_, frame), (_, same) in zip(seen["camera"], seen[None], strict=True):
        np.testing.assert_array_equal(frame, same)
    assert triggered.record()["positions_um"] == stepped.record()["positions_um"]
    assert triggered.read_back == stepped.read_back


def test_the_world_sees_the_same_pattern_at_every_lit_exposure(tmp_path, monkeypatch):
    monkeypatch.setattr("drivers.virtual.worlds.pupil.SAMPLE_SIDE", 256)
    seen = []
    expose = PupilWorld.expose

    def note(world, exposure_s):
        seen.append((world._optical_power_mw() > 0, world._pattern.copy()))
        return expose(world, exposure_s)

    monkeypatch.setattr(PupilWorld, "expose", note)
    lit = {}
    for trigger in (None, "camera"):
        with connect(parsed(tmp_path, trigger=trigger)) as bench:
            patterns = list(apply(bench, np.random.default_rng(0)).patterns.values())
            seen.clear()
            capture(bench)
            lit[trigger] = [pattern for is_lit, pattern in seen if is_lit]
            assert len(seen) == len(lit[trigger]) + 2  # the dark frames
            if trigger:
                np.testing.assert_array_equal(bench.slm("slm").read_back(), patterns[0])
                assert bench.shot == 0
    assert len(lit["camera"]) == len(POSITIONS) * 3
    np.testing.assert_array_equal(lit["camera"], lit[None])
    np.testing.assert_array_equal(lit["camera"], patterns * len(POSITIONS))


@settings(
    max_examples=25, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(shots=st.integers(2, 8), objects=st.integers(1, 5))
def test_any_number_of_shots_and_objects_is_where_stepping_puts_it(make, shots, objects):
    positions = tuple((float(10 * n), float(n)) for n in range(objects))
    stepped, _ = make(trigger=None, shots=shots)
    triggered, patterns = make(shots=shots)
    counts = capture(triggered, positions).counts
    np.testing.assert_array_equal(counts, capture(stepped, positions).counts)
    np.testing.assert_array_equal(counts[:, :, 1:], np.stack([[p[1:] for p in patterns]] * objects))
    assert ("SLM", "load") not in stepped.log.names()
    assert triggered.log.names().count(("SLM", "load")) == 1


def test_the_modulator_is_loaded_in_the_dark_and_stopped_after_every_object(make):
    bench, patterns = make()
    stopwatch = Stopwatch()
    batch = capture(bench, stopwatch=stopwatch)
    names = bench.log.names()
    assert names.index(("SLM", "load")) < names.index(("led", "start"))
    an_object = [
        ("XY", "start"), ("SLM", "start_sequence"), ("Camera", "capture"),
        *[("Camera", "snap")] * 3, ("SLM", "stop_sequence"),
    ]  # fmt: skip
    assert story(bench) == [
        ("led", "start"), *an_object * 3, ("led", "make_safe"), ("SLM", "start"),
    ]  # fmt: skip
    assert bench.shot == 0
    np.testing.assert_array_equal(bench.devices["slm"].shown, patterns[0])
    assert batch.record()["stepping"] == "hardware"
    assert stopwatch.seconds()["sequence"] > 0


TWO_PER_SHOT = {
    "design": {"focus": {"role": "focus", "bounds_um": [-10, 10], "per_shot": True}},
}
STEPPED = {
    "shots first": {"shots_order": "shots_first"},
    "two roles a shot": TWO_PER_SHOT,
    "one shot": {"shots": 1},
    "the same pattern in every shot": {"design": {"pupil": {"per_shot": False}}},
}


@pytest.mark.parametrize("changes", STEPPED.values(), ids=STEPPED)
def test_what_a_sequence_cannot_do_is_stepped_by_the_program(make, changes):
    bench, _ = make(changes)
    batch = capture(bench)
    assert batch.record()["stepping"] == "software"
    assert {what for name, what in bench.log.names() if name == "SLM"} <= {"start", "wait"}


def test_another_batch_of_the_same_design_is_the_same(make):
    bench, _ = make()
    first = capture(bench).counts
    np.testing.assert_array_equal(capture(bench).counts, first)


# ---- faults


def assert_stopped_in_the_dark(bench):
    """The light went off first, then the modulator was stopped; no pattern is claimed."""
    names = bench.log.names()
    last_light = len(names) - 1 - names[::-1].index(("led", "make_safe"))
    assert names.index(("SLM", "stop_sequence"), last_light) > last_light
    assert not bench.devices["light"].is_on()
    assert bench.devices["slm"].step is None
    assert bench.shot is None


def assert_flat_when_made_safe(bench):
    assert bench.safe() == ()
    assert not bench.devices["slm"].shown.any()


@pytest.mark.parametrize("is_said", [True, False], ids=["by the camera", "by nobody"])
def test_a_frame_that_is_lost_ends_the_batch_in_the_dark(make, is_said):
    bench, _ = make()
    camera, whole = bench.devices["camera"], bench.devices["camera"].capture

    def lose(frames, *, timeout_s):
        taken = whole(frames, timeout_s=timeout_s)[:-1]
        if is_said:
            raise FrameLoss(f"Camera: {frames} frames asked, {len(taken)} came")
        return taken

    camera.capture = lose
    with pytest.raises(FrameLoss, match=r"Camera: 3 frames asked.* 2 came"):
        capture(bench)
    assert_stopped_in_the_dark(bench)
    assert_flat_when_made_safe(bench)


@pytest.mark.parametrize("error", [Interrupted(signal.SIGINT), MemoryError(), KeyboardInterrupt()])
def test_whatever_ends_a_capture_stops_the_modulator(make, error):
    bench, _ = make()
    bench.devices["camera"].fails_on = {"capture": error}
    with pytest.raises(type(error)):
        capture(bench)
    assert_stopped_in_the_dark(bench)


def test_a_virtual_camera_that_stops_early_is_a_frame_loss_and_ends_flat(tmp_path, monkeypatch):
    monkeypatch.setattr("drivers.virtual.worlds.pupil.SAMPLE_SIDE", 256)
    whole = VirtualCamera.start_sequence

    def one_short(camera, n, get_buffer):
        return whole(camera, n if n is None or n == 1 else n - 1, get_buffer)

    monkeypatch.setattr(VirtualCamera, "start_sequence", one_short)
    with connect(parsed(tmp_path)) as bench:
        apply(bench, np.random.default_rng(0))
        with pytest.raises(FrameLoss, match="3 frames asked, 2 came before the camera stopped"):
            capture(bench)
        assert not any(light.is_on() for light in bench.lights().values())
        assert bench.shot is None
        assert bench.safe() == ()
        assert not bench.slm("slm").read_back().any()


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("load", LimitViolation("SLM: a sequence of 3 patterns asked, the device holds 2")),
        ("load", InstrumentReported("SLM: load a sequence: out of memory")),
    ],
)
def test_a_sequence_that_is_refused_is_said_before_light(make, call, error):
    bench, _ = make()
    bench.devices["slm"].fails_on = {call: error}
    with pytest.raises(type(error), match=str(error)):
        capture(bench)
    assert ("led", "start") not in bench.log.names()
    assert ("Camera", "capture") not in bench.log.names()


@pytest.mark.parametrize("call", ["start_sequence", "stop_sequence"])
def test_a_modulator_that_fails_ends_the_batch_in_the_dark(make, call):
    bench, _ = make()
    bench.devices["slm"].fails_on = {call: broken()}
    with pytest.raises(DeviceError, match="cable pulled"):
        capture(bench)
    assert not bench.devices["light"].is_on()
    assert bench.shot is None
    names = bench.log.names()
    assert ("SLM", "stop_sequence") in names[names.index(("led", "make_safe")) :]
    bench.devices["slm"].fails_on = {}
    assert_flat_when_made_safe(bench)


def test_a_camera_that_hangs_goes_dark_at_the_end_of_its_time(make):
    """Three exposures of 20 ms, and what the watchdog allows for anything."""
    darkened = threading.Event()
    bench, _ = make({
        "bench": {"roles": {"camera": {"exposure_ms": 20}}}, "safety": {"watchdog_s": 0.3},
    })  # fmt: skip
    light, make_safe = bench.devices["light"], bench.devices["light"].make_safe

    def make_safe_and_say_so():
        was_on = light.is_on()
        make_safe()
        if was_on:
            darkened.set()

    light.make_safe = make_safe_and_say_so
    limits_s = []

    def hang(frames, *, timeout_s):
        limits_s.append(timeout_s)
        assert darkened.wait(LONGEST_S)
        return np.zeros((frames, 16, 16), np.uint16)

    bench.devices["camera"].capture = hang
    what = r"Camera: 3 exposures of 20 ms in one sequence: no sign of life for 0\.36 s"
    with pytest.raises(WatchdogTripped, match=what):
        capture(bench)
    assert_stopped_in_the_dark(bench)
    assert limits_s == [pytest.approx(0.3 + bench_module.AFTER_THE_WATCHDOG_S)]


def meter_over(values, **changes):
    meter = FakeMeter("led.temperature_c", Log(), values)
    return Interlock(name="led.temperature_c", meter=meter, below=60.0, **changes)


def test_an_interlock_that_opens_before_a_capture_is_waited_for_with_the_modulator_stopped(make):
    bench, _ = make()
    before = capture(bench).counts
    bench.log.calls.clear()
    # Before light, before the first object's capture, before the second's; then light again.
    bench.interlocks.all = (meter_over([20.0, 20.0, 61.0, 20.0]),)
    waited = []

    def wait(tripped):
        assert bench.devices["slm"].step is None
        assert not bench.devices["light"].is_on()
        waited.append(str(tripped))

    batch = capture(bench, on_trip=wait)
    assert len(waited) == 1
    assert "61 degC, must be below 60 degC" in waited[0]
    np.testing.assert_array_equal(batch.counts, before)
    assert [pause["frames_before"] for pause in batch.pauses] == [3]
    assert bench.log.names().count(("SLM", "load")) == 1
    assert bench.log.names().count(("Camera", "capture")) == 3


def test_a_modulator_that_cannot_be_stopped_for_a_pause_ends_the_batch(make):
    bench, _ = make()
    bench.interlocks.all = (meter_over([20.0, 61.0, 20.0]),)
    bench.devices["slm"].fails_on = {"stop_sequence": broken()}
    with pytest.raises(DeviceError, match="cable pulled"):
        capture(bench, on_trip=lambda tripped: pytest.fail(f"waited for {tripped}"))
    assert not bench.devices["light"].is_on()
    assert bench.shot is None


def test_an_interlock_that_opens_during_a_capture_ends_it_in_the_dark(make):
    darkened = threading.Event()
    hot = threading.Event()
    bench, _ = make({"safety": {"interlock_interval_s": 0.02}})
    interlock = meter_over([20.0])
    interlock.meter.read = lambda: 61.0 if hot.is_set() else 20.0
    bench.interlocks.all = (interlock,)
    light, make_safe = bench.devices["light"], bench.devices["light"].make_safe
    whole = bench.devices["camera"].capture

    def make_safe_and_say_so():
        make_safe()
        if hot.is_set():
            darkened.set()

    def long_capture(frames, *, timeout_s):
        hot.set()
        assert darkened.wait(LONGEST_S)
        return whole(frames, timeout_s=timeout_s)

    light.make_safe = make_safe_and_say_so
    bench.devices["camera"].capture = long_capture
    with pytest.raises(InterlockTripped, match="61 degC"):
        capture(bench)
    assert_stopped_in_the_dark(bench)


def test_no_capture_hides_an_interlock_behind_the_core_for_too_long(make):
    bench, _ = make({"bench": {"roles": {"camera": {"exposure_ms": 400}}}})
    bench.interlocks.all = (meter_over([20.0], is_behind_core=True),)
    with pytest.raises(LimitViolation, match=r"3 exposures at a time of 400 ms .* at most 1 s"):
        capture(bench)
    assert ("SLM", "start_sequence") not in bench.log.names()
    assert not bench.devices["light"].is_on()


# ---- what a bench file may say


def test_settling_cannot_be_waited_between_triggered_frames(tmp_path):
    with pytest.raises(ConfigError, match="settle_ms 5 cannot be waited between frames"):
        parsed(tmp_path, {"bench": {"roles": {"slm": {"settle_ms": 5}}}})


def test_only_the_cameras_output_is_known_as_a_trigger(tmp_path):
    with pytest.raises(ConfigError, match=r"bench\.roles\.slm\.trigger"):
        parsed(tmp_path, trigger="laser")


LONG = {
    "bench": {
        "interlocks": [{"role": "focus", "below": 40}],
        "roles": {"camera": {"exposure_ms": 400}},
    }
}


def test_a_file_whose_capture_hides_an_interlock_for_too_long_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"slm.trigger`: 3 shots of up to 400 ms are one capture"):
        parsed(tmp_path, LONG)
    assert triggered_role(parsed(tmp_path, LONG, shots=2)) == "slm"
    assert triggered_role(parsed(tmp_path, LONG, trigger=None)) is None


def test_cameras_that_could_not_be_exposed_between_the_shots_are_refused(tmp_path):
    second = {"bench": {"roles": {"monitor": {"device": "Camera2", "exposure_ms": 1}}}}
    with pytest.raises(ConfigError, match=r"slm.trigger`: the shots follow .* one camera"):
        parsed(tmp_path, second)
    assert triggered_role(parsed(tmp_path, second, trigger=None)) is None


@pytest.mark.parametrize(
    ("longest", "sentence"),
    [
        (0, "SLM holds no sequences, and shots is 3; leave trigger out"),
        (2, "SLM holds no sequence longer than 2 patterns, and shots is 3; take at most 2 shots"),
    ],
)
def test_a_modulator_without_such_sequences_is_refused_when_the_bench_connects(
    tmp_path, monkeypatch, longest, sentence
):
    monkeypatch.setattr("drivers.virtual.worlds.pupil.SAMPLE_SIDE", 256)
    monkeypatch.setattr(VirtualSLM, "get_sequence_max_length", lambda _slm: longest)
    with pytest.raises(ConnectError, match=sentence) as caught:
        connect(parsed(tmp_path))
    assert str(caught.value).startswith("`bench.roles.slm.trigger`: ")


def test_a_driver_without_sequences_is_refused_even_where_none_would_be_used(tmp_path):
    bench = make_bench(parsed(tmp_path, shots=1))
    with pytest.raises(ConnectError, match=r"SLM holds no sequences; leave trigger out"):
        check_triggers(bench)
