"""Slew limits: checked before anything moves, kept on the way, and never in the way of darkness."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import LimitViolation
from instrument.bench import slew
from instrument.bench.acquisition import capture_batch
from instrument.bench.slew import waypoints
from instrument.bench.timing import Stopwatch
from instrument.config import ConfigError, Slew, StageRole, XYStageRole
from instrument.design import Design
from tests.instrument.fakes import make_bench, make_config

FOCUS = {"device": "Z", "limits_um": [-50, 50]}
SAMPLE = {"device": "XY", "limits_um": [[-500, 500], [-500, 500]]}
LIGHT = {"device": "led", "channel": "power_mw", "level": 10, "limits": [0, 20]}


def bench_with(tmp_path, **roles):
    return make_bench(make_config(tmp_path, bench={"roles": roles}))


def apply(bench, focus_um):
    design = Design({"pupil": (0.1, 0.2, 0.3), "focus": (focus_um,)})
    bench.apply(design, space=bench.space(), stopwatch=Stopwatch())


def asked(bench, device):
    return [value for name, what, value in bench.log.calls if (name, what) == (device, "start")]


def test_a_ramp_goes_in_steps_and_arrives(tmp_path):
    bench = bench_with(tmp_path, focus={**FOCUS, "slew": {"most": 3}})
    apply(bench, 10.0)
    assert asked(bench, "Z") == pytest.approx([2.5, 5.0, 7.5, 10.0])
    assert bench.log.names().count(("Z", "wait")) == 4
    assert asked(bench, "SLM") == ["pattern"]


def test_a_move_within_the_limit_is_one_move(tmp_path):
    bench = bench_with(tmp_path, focus={**FOCUS, "slew": {"most": 3}})
    apply(bench, 3.0)
    assert asked(bench, "Z") == [3.0]


def test_a_refused_move_moves_nothing_and_says_how_to_allow_it(tmp_path):
    bench = bench_with(tmp_path, focus={**FOCUS, "slew": {"most": 3, "beyond": "refuse"}})
    with pytest.raises(LimitViolation, match=r"role focus: a move of 4 um asked, slew allows 3 um"):
        apply(bench, 4.0)
    assert bench.log.calls == []


def test_a_rate_is_kept_by_the_steps_and_their_pace(tmp_path, mocker):
    sleep = mocker.patch("instrument.bench.motion.time.sleep")
    bench = bench_with(tmp_path, focus={**FOCUS, "slew": {"most": 20, "per": "s"}})
    apply(bench, 10.0)
    steps = asked(bench, "Z")
    assert len(steps) == 5  # 10 um at 20 um/s, 0.1 s a step
    assert max(b - a for a, b in zip([0.0, *steps], steps, strict=False)) <= 2 + 1e-9
    assert [call.args[0] for call in sleep.call_args_list].count(slew.RAMP_INTERVAL_S) == 5


def test_two_axes_are_limited_along_the_line(tmp_path):
    bench = bench_with(tmp_path, sample={**SAMPLE, "slew": {"most": 5}})
    bench.move_sample("sample", (6.0, 8.0), stopwatch=Stopwatch())
    assert asked(bench, "XY") == [(3.0, 4.0), (6.0, 8.0)]


def test_light_climbs_in_steps_and_goes_off_at_once(tmp_path):
    bench = bench_with(tmp_path, light={**LIGHT, "slew": {"most": 4}})
    capture_batch(bench, ((0.0, 0.0),), stopwatch=Stopwatch(), on_frame=lambda _i, _f: None)
    lit = [call[1:] for call in bench.log.calls if call[0] == "led" and call[1] != "wait"]
    assert lit == [
        ("start", pytest.approx(10 / 3)), ("start", pytest.approx(20 / 3)), ("start", 10.0),
        ("make_safe", None),
    ]  # fmt: skip


def test_light_that_may_not_jump_so_far_stays_off(tmp_path):
    bench = bench_with(tmp_path, light={**LIGHT, "slew": {"most": 4, "beyond": "refuse"}})
    with pytest.raises(LimitViolation, match="a move of 10 mW asked, slew allows 4 mW"):
        capture_batch(bench, ((0.0, 0.0),), stopwatch=Stopwatch(), on_frame=lambda _i, _f: None)
    assert asked(bench, "led") == []


def test_a_ramp_from_outside_the_soft_limits_is_refused_instead_of_led_through_it(tmp_path):
    bench = bench_with(tmp_path, focus={**FOCUS, "slew": {"most": 3}})
    bench.devices["focus"].at = 80.0
    with pytest.raises(LimitViolation, match="its soft limits are -50 to 50 um"):
        apply(bench, 5.0)
    assert bench.log.calls == []


def test_every_change_between_shots_is_checked(tmp_path):
    config = make_config(
        tmp_path, shots=2,
        bench={"roles": {"focus": {**FOCUS, "slew": {"most": 6, "beyond": "refuse"}}}},
        design={"focus": {"role": "focus", "bounds_um": [-10, 10], "per_shot": True}},
    )  # fmt: skip
    bench = make_bench(config)
    design = Design({"pupil": (0.1, 0.2, 0.3), "focus": (-4.0, 4.0)})
    with pytest.raises(LimitViolation, match="a move of 8 um asked, slew allows 6 um"):
        bench.apply(design, space=bench.space(), stopwatch=Stopwatch())
    assert bench.log.calls == []


def test_a_rate_cannot_be_refused(tmp_path):
    with pytest.raises(ConfigError, match="`per: s` can only be ramped"):
        bench_with(tmp_path, focus={**FOCUS, "slew": {"most": 3, "per": "s", "beyond": "refuse"}})


@settings(max_examples=200, deadline=None, derandomize=True)
@given(here=st.floats(-50, 50), target=st.floats(-50, 50), most=st.floats(0.1, 200))
def test_no_step_is_longer_than_the_limit_and_none_leaves_the_way(here, target, most):
    role = StageRole(device="Z", limits_um=(-50, 50), slew=Slew(most=most))
    way = [here, *waypoints("focus", role, here, target, unit="um")]
    assert way[-1] == target
    assert max(abs(b - a) for a, b in itertools.pairwise(way)) <= most * (1 + 1e-6)
    low, high = min(here, target), max(here, target)
    assert all(low - 1e-9 <= stop <= high + 1e-9 for stop in way)


def test_a_way_of_too_many_steps_is_refused():
    role = XYStageRole(device="XY", limits_um=((-500, 500), (-500, 500)), slew=Slew(most=1e-3))
    with pytest.raises(LimitViolation, match="would take 100000 steps"):
        waypoints("sample", role, (0.0, 0.0), (100.0, 0.0), unit="um")


def test_a_device_of_whole_numbers_stays_on_them():
    role = StageRole(device="Z", limits_um=(-50, 50), slew=Slew(most=2))
    assert waypoints("focus", role, 0, 7, unit="um", is_whole=True) == [2, 4, 5, 7]
