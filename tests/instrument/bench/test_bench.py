import re
import signal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import DeviceError, LimitViolation, ProtocolError
from instrument.bench.acquisition import capture_batch, check_batch
from instrument.bench.interlocks import Interlock, InterlockTripped
from instrument.bench.safety import Interrupted, UnsafeBench, signals_raise
from instrument.bench.timing import Stopwatch
from instrument.design import Design, DesignError
from tests.instrument.fakes import FakeMeter, Log, broken, make_bench, make_config

POSITIONS = ((0.0, 0.0), (10.0, 0.0), (10.0, 10.0))


@pytest.fixture
def bench(tmp_path):
    return make_bench(make_config(tmp_path))


def design(focus_um=1.0, pupil=(0.1, 0.2, 0.3)):
    return Design({"pupil": pupil, "focus": (focus_um,)})


def apply(bench, a_design):
    return bench.apply(a_design, space=bench.space(), stopwatch=Stopwatch())


def capture(bench, positions=POSITIONS):
    return capture_batch(
        bench, positions, stopwatch=Stopwatch(), on_frame=lambda _index, _frame: None
    )


def test_every_device_starts_before_any_is_waited_for(bench):
    apply(bench, design())
    assert bench.log.names() == [("SLM", "start"), ("Z", "start"), ("SLM", "wait"), ("Z", "wait")]


def test_a_design_reads_back_what_the_stage_says(bench):
    bench.devices["focus"].error_um = 0.2
    assert apply(bench, design(focus_um=3.0)).read_back == {"focus": pytest.approx(3.2)}


BAD_DESIGNS = {
    "out of bounds": (design(focus_um=11.0), DesignError, "focus"),
    "not a number": (design(pupil=(0.0, float("nan"), 0.0)), DesignError, "Z5"),
    "missing": (Design({"focus": (0.0,)}), DesignError, "pupil"),
    "too many": (design(pupil=(0.0,) * 4), DesignError, "pupil"),
}


@pytest.mark.parametrize(("bad", "error", "named"), BAD_DESIGNS.values(), ids=BAD_DESIGNS.keys())
def test_nothing_moves_for_a_bad_design(bench, bad, error, named):
    with pytest.raises(error, match=named):
        apply(bench, bad)
    assert bench.log.calls == []


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    focus=st.floats(allow_nan=True, allow_infinity=True),
    pupil=st.lists(st.floats(allow_nan=True), min_size=0, max_size=5),
)
def test_no_design_takes_a_device_beyond_its_limits(tmp_path_factory, focus, pupil):
    bench = make_bench(make_config(tmp_path_factory.mktemp("bench")))
    asked = Design({"pupil": tuple(pupil), "focus": (focus,)})
    try:
        apply(bench, asked)
    except (DesignError, LimitViolation):
        assert bench.log.calls == []
    else:
        assert -10 <= bench.devices["focus"].at <= 10


def test_soft_limits_hold_for_the_sample_stage(bench):
    with pytest.raises(LimitViolation, match=r"XY \(role sample\).*limits_um"):
        bench.move_sample("sample", (501.0, 0.0), stopwatch=Stopwatch())
    assert bench.log.calls == []


def test_a_stage_that_did_not_arrive_is_an_error(bench):
    bench.devices["focus"].error_um = 0.6
    with pytest.raises(ProtocolError, match=r"Z \(role focus\).*tolerance_um"):
        apply(bench, design())


def test_light_is_on_only_while_objects_are_exposed(bench):
    batch = capture(bench)
    names = bench.log.names()
    first_lit = names.index(("led", "start"))
    assert names[:first_lit] == [("Camera", "snap")] * 2  # the dark frames
    assert names[-1] == ("led", "make_safe")
    assert bench.devices["camera"].lit_frames == len(POSITIONS) == len(batch.counts)


def test_a_batch_says_where_each_object_was(bench):
    bench.devices["sample"].error_um = 0.1
    assert capture(bench).positions_um == ((0.1, 0.0), (10.1, 0.0), (10.1, 10.0))


def test_black_level_is_that_of_the_dark_frames(bench):
    assert capture(bench).black_level_adu == pytest.approx(100, abs=5 / np.sqrt(2 * 256))


@pytest.mark.parametrize("device", ["camera", "sample", "light"])
def test_light_is_off_when_a_device_fails_in_a_batch(bench, device):
    call = {"camera": "snap", "sample": "wait", "light": "wait"}[device]
    bench.devices["light"].level = 10.0
    bench.devices[device].fails_on = {call: broken()}
    with pytest.raises(DeviceError, match="cable pulled"):
        capture(bench)
    assert device == "camera" or not bench.devices["light"].is_on()


def test_a_light_that_cannot_be_switched_off_is_an_error(bench):
    bench.devices["light"].fails_on = {"make_safe": broken("no answer")}
    with pytest.raises(DeviceError, match=r"light \(led\) could NOT be made safe: no answer"):
        capture(bench)


def test_every_device_is_made_safe_even_when_one_fails_and_lights_come_first(bench):
    bench.devices["light"].fails_on = {"make_safe": broken("no answer")}
    unsafe = bench.safe()
    assert bench.log.names()[0] == ("led", "make_safe")
    assert [failure.role for failure in unsafe] == ["light"]
    assert sorted(name for name, what in bench.log.names() if what == "make_safe") == [
        "Camera", "SLM", "XY", "Z", "led",
    ]  # fmt: skip


def test_a_bench_left_unsafe_says_so_whatever_else_went_wrong(bench):
    bench.devices["light"].fails_on = {"make_safe": broken("no answer")}
    with pytest.raises(UnsafeBench, match=r"light \(led\) could NOT be made safe"), bench:
        raise ValueError("something else")


def test_a_signal_while_closing_does_not_hide_what_is_unsafe(bench):
    def make_safe():
        signal.raise_signal(signal.SIGTERM)
        raise broken("no answer")

    bench.devices["light"].make_safe = make_safe
    with pytest.raises(UnsafeBench), signals_raise():
        bench.close_or_say_so()


def test_closing_twice_makes_safe_once(bench):
    bench.close()
    bench.close()
    assert bench.log.names().count(("led", "make_safe")) == 1


def test_a_kept_design_stays_on_the_modulator_and_the_light_goes_off(bench):
    bench.keep_design()
    bench.close()
    assert ("SLM", "make_safe") not in bench.log.names()
    assert ("led", "make_safe") in bench.log.names()


def test_saturation_refuses_a_batch_and_says_what_to_do(bench):
    bench.devices["camera"].saturates = True
    verdict = check_batch(capture(bench), bench, expected_black_adu=100)
    assert re.search(r"100\.00%.*exposure_ms", verdict.refused)


def test_saturation_may_be_marked_instead(tmp_path):
    bench = make_bench(make_config(tmp_path, safety={"on_saturation": "mark"}))
    bench.devices["camera"].saturates = True
    verdict = check_batch(capture(bench), bench, expected_black_adu=100)
    assert verdict.refused is None
    assert "saturated" in verdict.warnings[0]


def test_a_wandering_black_level_is_a_warning(bench):
    (warning,) = check_batch(capture(bench), bench, expected_black_adu=90).warnings
    assert "90.00 ADU by the noise calibration" in warning
    assert check_batch(capture(bench), bench, expected_black_adu=100).warnings == []


def interlock(log, values, *, below=60.0, action="abort"):
    meter = FakeMeter("led.temperature_c", log, values)
    return Interlock(
        name="led.temperature_c", meter=meter, below=below, above=None, action=action,
        longest_pause_s=1.0,
    )  # fmt: skip


def test_light_never_comes_on_while_an_interlock_is_open(tmp_path):
    log = Log()
    bench = make_bench(make_config(tmp_path), log, interlocks=[interlock(log, [61.0])])
    with pytest.raises(InterlockTripped, match=r"led\.temperature_c: 61 degC, must be below 60"):
        capture(bench)
    assert ("led", "start") not in log.names()


def test_light_goes_off_when_an_interlock_opens_in_a_batch(tmp_path):
    log = Log()
    bench = make_bench(make_config(tmp_path), log, interlocks=[interlock(log, [20.0, 20.0, 61.0])])
    with pytest.raises(InterlockTripped):
        capture(bench)
    assert log.names()[-1] == ("led", "make_safe")
    assert bench.devices["camera"].lit_frames == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_a_batch_ends_in_the_dark(bench, number):
    bench.devices["sample"].wait = lambda *, timeout_s: signal.raise_signal(number)
    with pytest.raises(Interrupted), signals_raise():
        capture(bench)
    assert not bench.devices["light"].is_on()


def test_a_second_signal_cannot_stop_the_way_to_safety(bench):
    light = bench.devices["light"]
    reached = []

    def make_safe():
        signal.raise_signal(signal.SIGTERM)
        reached.append("after the signal")

    light.make_safe = make_safe
    with pytest.raises(Interrupted), signals_raise():
        bench.safe()
    assert reached == ["after the signal"]
