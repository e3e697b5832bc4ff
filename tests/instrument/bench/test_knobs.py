"""Selectors, properties, rotations and exposures on the bench: checked, moved, read back."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import LimitViolation, ProtocolError
from instrument.bench.acquisition import capture_batch
from instrument.bench.timing import Stopwatch
from instrument.config import parse_config
from instrument.design import Design, DesignError
from tests.instrument.fakes import CONFIG, FakeProperty, FakeSelector, make_bench, make_config

ROLES = {
    "stations": {"device": "Stations"},
    "iris": {"device": "Lens", "property": "FNumber", "limits": [1, 6], "tolerance": 0.01},
    "angle": {"device": "Rotation", "limits_deg": [0, 180], "tolerance_deg": 0.1},
}
DESIGN = {
    "array": {"role": "stations", "choices": "all", "start": "red"},
    "f_number": {"role": "iris", "bounds": [1, 6], "start": 2},
    "angle": {"role": "angle", "bounds_deg": [0, 90], "start_deg": 45},
    "integration": {"role": "camera", "bounds_ms": [0.5, 3]},
}
GOOD = Design({
    "pupil": (0.0, 0.0, 0.0), "focus": (1.0,), "array": (2.0,), "f_number": (2.5,),
    "angle": (30.0,), "integration": (0.5,),
})  # fmt: skip


def bench_of(tmp_path, **changes):
    return make_bench(make_config(tmp_path, bench={"roles": ROLES}, design=DESIGN, **changes))


@pytest.fixture
def bench(tmp_path):
    return bench_of(tmp_path)


def apply(bench, design):
    return bench.apply(design, space=bench.space(), stopwatch=Stopwatch())


def changed(**values):
    return Design({**GOOD.values, **values})


def test_every_role_goes_where_the_design_says_and_is_read_back(bench):
    applied = apply(bench, GOOD)
    assert applied.read_back == {
        "focus": 1.0, "stations": 2.0, "iris": 2.5, "angle": 30.0, "camera": 0.5,
    }  # fmt: skip
    assert bench.devices["stations"].at == 2
    assert bench.exposure_ms == 0.5
    asked = {name: value for name, what, value in bench.log.calls if what == "start"}
    assert asked == {"SLM": "pattern", "Z": 1.0, "Stations": 2, "Lens": 2.5, "Rotation": 30.0}


def test_all_start_before_any_is_waited_for(bench):
    apply(bench, GOOD)
    order = [what for _, what in bench.log.names()]
    assert order == sorted(order, key=["start", "wait"].index)


def test_the_space_says_units_labels_and_starts(bench):
    parameters = {p.name: p for p in bench.space().parameters}
    array = parameters["array"]
    assert array.choices == FakeSelector.labels
    assert array.start == (1.0,)
    assert [parameters[n].unit for n in ("f_number", "angle", "integration")] == ["1", "deg", "ms"]
    assert parameters["f_number"].labels == ("FNumber",)
    assert parameters["integration"].start == (1.0,)  # the role's exposure_ms


@pytest.mark.parametrize(
    ("choices", "start", "labels", "value"),
    [
        ([0, 3], 3, ("mirror", "blue"), 1.0),
        (["blue", "red"], None, ("blue", "red"), 0.0),
        ("all", None, FakeSelector.labels, 0.0),
    ],
)
def test_choices_are_by_number_or_by_label(tmp_path, choices, start, labels, value):
    array = {"role": "stations", "choices": choices, "start": start}
    bench = make_bench(
        make_config(tmp_path, bench={"roles": ROLES}, design={**DESIGN, "array": array})
    )
    parameter = next(p for p in bench.space().parameters if p.name == "array")
    assert (parameter.choices, parameter.start) == (labels, (value,))
    apply(bench, changed(array=(1.0,)))
    assert bench.devices["stations"].labels[bench.devices["stations"].at] == labels[1]


@pytest.mark.parametrize(
    ("choices", "sentence"),
    [
        ([0, 4], r"Stations has no position 4; there are 0 to 3 \(mirror, red"),
        (["red", "gold"], "no position 'gold'"),
        ([1, "red"], "no choice among different positions"),
    ],
)
def test_positions_that_are_not_there_are_refused(tmp_path, choices, sentence):
    array = {"role": "stations", "choices": choices}
    config = make_config(tmp_path, bench={"roles": ROLES}, design={"array": array})
    with pytest.raises(DesignError, match=sentence):
        make_bench(config)


BAD = {
    "between two stations": (changed(array=(1.5,)), DesignError, "array"),
    "no such station": (changed(array=(4.0,)), DesignError, "array"),
    "beyond the bounds": (changed(angle=(91.0,)), DesignError, "angle"),
    "not a number": (changed(f_number=(float("nan"),)), DesignError, "f_number"),
    "too short": (changed(integration=(0.01,)), DesignError, "integration"),
}


@pytest.mark.parametrize(("bad", "error", "named"), BAD.values(), ids=BAD)
def test_nothing_moves_for_a_bad_design(bench, bad, error, named):
    with pytest.raises(error, match=named):
        apply(bench, bad)
    assert bench.log.calls == []


any_number = st.floats(allow_nan=True, allow_infinity=True)


def around(low, high):
    """Draw what lies within, near the ends, or anywhere."""
    return st.floats(low, high) | st.sampled_from([low, high, low - 0.01, high + 0.01]) | any_number


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    array=st.integers(-1, 4).map(float) | any_number,
    f=around(1.0, 6.0),
    angle=around(0.0, 90.0),
    exposure=around(0.5, 3.0),
)
def test_no_design_takes_any_device_beyond_its_limits(tmp_path_factory, array, f, angle, exposure):
    bench = bench_of(tmp_path_factory.mktemp("bench"))
    asked = changed(array=(array,), f_number=(f,), angle=(angle,), integration=(exposure,))
    try:
        apply(bench, asked)
    except (DesignError, LimitViolation):
        assert bench.log.calls == []
    else:
        assert bench.devices["stations"].at in range(4)
        assert 1 <= bench.devices["iris"].at <= 6
        assert 0 <= bench.devices["angle"].at <= 90
        assert 0.5 <= bench.exposure_ms <= 3


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("f_number", 8.0, r"Lens \(role iris\): 8 asked, .* 1 to 6; .*or limits in bench.roles"),
        ("angle", 181.0, r"Rotation \(role angle\): 181 deg asked, .*or limits_deg in bench.roles"),
        ("integration", 2000.0, r"Camera: exposure 2000 ms asked, .* 0.1 to 1000 ms allowed"),
    ],
)
def test_soft_limits_and_the_devices_hold_whatever_the_space_allows(bench, name, value, sentence):
    """A space wider than the limits (a record of another bench, say) moves nothing either."""
    space = bench.space()
    wide = tuple(
        dataclasses.replace(p, upper=1e4) if p.name == name else p for p in space.parameters
    )
    with pytest.raises(LimitViolation, match=sentence):
        bench.apply(
            changed(**{name: (value,)}),
            space=dataclasses.replace(space, parameters=wide),
            stopwatch=Stopwatch(),
        )
    assert bench.log.calls == []


@pytest.mark.parametrize(
    ("role", "attribute", "error", "sentence"),
    [
        ("stations", "error", 1, r"Stations \(role stations\): 2 \(position\) asked, 3 "),
        ("iris", "error_um", 0.02, r"Lens \(role iris\): 2.5 asked, 2.52 .*widen tolerance"),
        ("angle", "error_um", -0.2, r"Rotation .*30 deg asked, 29.8 deg .*tolerance_deg"),
        ("camera", "exposure_error_ms", 0.1, r"Camera .*0.5 ms asked, 0.6 ms read back.*bounds_ms"),
    ],
)
def test_a_device_that_is_elsewhere_is_an_error(bench, role, attribute, error, sentence):
    setattr(bench.devices[role], attribute, error)
    with pytest.raises(ProtocolError, match=sentence):
        apply(bench, GOOD)


def test_a_property_of_whole_numbers_is_rounded(tmp_path, monkeypatch):
    monkeypatch.setattr(FakeProperty, "is_integer", True)
    applied = apply(bench_of(tmp_path), changed(f_number=(2.6,)))
    assert applied.read_back["iris"] == 3.0


def test_slowest_device_sets_the_wait(tmp_path, mocker):
    roles = {"iris": {"settle_ms": 7}, "stations": {"settle_ms": 40}}
    merged = {name: {**role, **roles.get(name, {})} for name, role in ROLES.items()}
    bench = make_bench(make_config(tmp_path, bench={"roles": merged}, design=DESIGN))
    sleep = mocker.patch("instrument.bench.motion.time.sleep")
    apply(bench, GOOD)
    sleep.assert_called_once_with(0.04)


def test_stations_and_properties_stay_when_the_bench_is_made_safe(bench):
    apply(bench, GOOD)
    bench.safe()
    assert bench.devices["stations"].at == 2
    assert bench.devices["iris"].at == 2.5


def test_a_bench_without_a_light_applies_and_captures(tmp_path):
    roles = {name: role for name, role in CONFIG["bench"]["roles"].items() if name != "light"}
    raw = {**CONFIG, "bench": {**CONFIG["bench"], "roles": roles}}
    bench = make_bench(parse_config(raw, source="test", folder=tmp_path))
    apply(bench, bench.space().start)
    batch = capture_batch(
        bench, ((0.0, 0.0), (10.0, 0.0)), stopwatch=Stopwatch(), on_frame=lambda _i, _f: None
    )
    assert batch.black_level_adu is None
    assert batch.counts.shape == (2, 1, 16, 16)
    assert "led" not in {name for name, _ in bench.log.names()}
