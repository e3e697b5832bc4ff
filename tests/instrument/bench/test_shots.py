"""Several shots a measurement: which device does what, when, and what is kept of it."""

import numpy as np
import pytest

from drivers import DeviceError
from instrument.bench.acquisition import capture_batch
from instrument.bench.patterns import render_patterns
from instrument.bench.timing import Stopwatch
from instrument.design import Design, DesignError
from tests.instrument.fakes import broken, make_bench, make_config

POSITIONS = ((0.0, 0.0), (10.0, 0.0))
ROLES = {
    "leds": {"device": "LEDs"},
    "angle": {"device": "Rotation", "limits_deg": [0, 180]},
}
DESIGN = {
    "leds": {"role": "leds", "basis": "superpixel", "cells": [1, 2], "per_shot": True},
    "angle": {"role": "angle", "bounds_deg": [0, 180], "start_deg": 0, "per_shot": True},
}
GOOD = Design({
    "pupil": (0.0,) * 3, "focus": (1.0,), "leds": (0.0, 1.0, 2.0, 3.0, 4.0, 5.0),
    "angle": (10.0, 20.0, 30.0),
})  # fmt: skip


def bench_of(tmp_path, *, order="objects_first", design=DESIGN, shots=3, roles=ROLES, **changes):
    return make_bench(
        make_config(
            tmp_path, bench={"roles": roles}, design=design, shots=shots, shots_order=order,
            **changes,
        )
    )  # fmt: skip


@pytest.fixture
def bench(tmp_path):
    return bench_of(tmp_path)


def apply(bench, design=GOOD):
    return bench.apply(design, space=bench.space(), stopwatch=Stopwatch())


def capture(bench, on_frame=lambda _index, _frame: None):
    return capture_batch(bench, POSITIONS, stopwatch=Stopwatch(), on_frame=on_frame)


def story(bench):
    """What happened while light was on: angles, sample positions, exposures."""
    names = bench.log.names()
    lit = bench.log.calls[names.index(("led", "start")) : names.index(("led", "make_safe"))]
    words = {("Rotation", "start"): "angle", ("XY", "start"): "xy", ("Camera", "snap"): "snap"}
    told = [(words[c[:2]], c[2]) for c in lit if c[:2] in words]
    return [word if value is None else (word, value) for word, value in told]


def test_each_shot_has_components_of_its_own_and_says_so(bench):
    parameters = {p.name: p for p in bench.space().parameters}
    assert parameters["leds"].labels == (
        "shot 1 cell 0,0", "shot 1 cell 0,1", "shot 2 cell 0,0", "shot 2 cell 0,1",
        "shot 3 cell 0,0", "shot 3 cell 0,1",
    )  # fmt: skip
    assert parameters["angle"].labels == ("shot 1 angle", "shot 2 angle", "shot 3 angle")
    assert parameters["angle"].start == (0.0, 0.0, 0.0)
    assert parameters["focus"].labels == ("position",)


def test_applying_leaves_the_first_shot_on_the_bench(bench):
    applied = apply(bench)
    assert (bench.shot, bench.devices["angle"].at) == (0, 10.0)
    assert list(bench.devices["leds"].shown[0, [0, -1]]) == [0, 1]
    assert set(applied.patterns) == {"slm", "leds, shot 1", "leds, shot 2", "leds, shot 3"}
    assert list(applied.patterns["leds, shot 3"][0, [0, -1]]) == [4, 5]


@pytest.mark.parametrize("shots", [1, 3])
def test_the_record_draws_what_was_shown(tmp_path, shots):
    bench = bench_of(tmp_path, shots=shots)
    applied = apply(bench, bench.space().start)
    config = bench.config.model_dump(mode="json")
    meta = {"config": config, "slm_shapes": bench.slm_shapes()}
    drawn = render_patterns(meta, bench.space().start)
    assert list(drawn) == list(applied.patterns)
    for name, pattern in drawn.items():
        np.testing.assert_array_equal(pattern, applied.patterns[name])


def test_objects_first_takes_all_shots_of_an_object_in_turn(bench):
    apply(bench)
    bench.log.calls.clear()
    capture(bench)
    assert story(bench) == [
        ("xy", (0.0, 0.0)), "snap", ("angle", 20.0), "snap", ("angle", 30.0), "snap",
        ("xy", (10.0, 0.0)), ("angle", 10.0), "snap", ("angle", 20.0), "snap", ("angle", 30.0),
        "snap",
    ]  # fmt: skip


def test_shots_first_takes_all_objects_under_one_setting(tmp_path):
    bench = bench_of(tmp_path, order="shots_first")
    apply(bench)
    bench.log.calls.clear()
    capture(bench)
    assert story(bench) == [
        ("xy", (0.0, 0.0)), "snap", ("xy", (10.0, 0.0)), "snap",
        ("xy", (0.0, 0.0)), ("angle", 20.0), "snap", ("xy", (10.0, 0.0)), "snap",
        ("xy", (0.0, 0.0)), ("angle", 30.0), "snap", ("xy", (10.0, 0.0)), "snap",
    ]  # fmt: skip


@pytest.mark.parametrize("order", ["objects_first", "shots_first"])
def test_counts_are_where_their_object_and_shot_are(tmp_path, order):
    bench = bench_of(tmp_path, order=order)
    stage, angle = bench.devices["sample"], bench.devices["angle"]
    dark = bench.devices["camera"].snap
    bench.devices["camera"].snap = lambda *, timeout_s: (
        np.full((16, 16), int(stage.at[0] + angle.at), np.uint16)
        if bench.devices["light"].is_on()
        else dark(timeout_s=timeout_s)
    )
    apply(bench)
    seen = []
    batch = capture(bench, on_frame=lambda index, _frame: seen.append(index))
    np.testing.assert_array_equal(batch.counts[:, :, 0, 0], [[10, 20, 30], [20, 30, 40]])
    assert batch.counts.shape == (2, 3, 16, 16)
    assert seen == list(range(6))
    assert batch.positions_um == POSITIONS


def test_a_second_batch_begins_at_the_first_shot_again(bench):
    apply(bench)
    capture(bench)
    assert bench.devices["angle"].at == 30.0
    bench.log.calls.clear()
    batch = capture(bench)
    first = next(call for call in bench.log.calls if call[:2] == ("Rotation", "start"))
    assert first[2] == 10.0
    assert bench.log.names().index(("Rotation", "start")) < bench.log.names().index((
        "Camera",
        "snap",
    ))
    assert batch.read_back[0]["angle"] == [10.0, 10.0]


def test_the_record_keeps_what_was_read_back_in_every_shot(bench):
    bench.devices["angle"].error_um = 0.05
    apply(bench)
    record = capture(bench).record()
    assert record["shots"] == 3
    assert [shot["angle"] for shot in record["read_back"]] == [
        pytest.approx([10.05] * 2), pytest.approx([20.05] * 2), pytest.approx([30.05] * 2),
    ]  # fmt: skip
    assert all(shot["focus"] == [1.0] for shot in record["read_back"])


def test_a_shot_that_did_not_arrive_ends_in_the_dark(bench):
    apply(bench)
    bench.devices["angle"].fails_on = {"wait": broken()}
    with pytest.raises(DeviceError, match="cable pulled"):
        capture(bench)
    assert bench.log.names()[-1] == ("led", "make_safe")
    assert bench.shot is None


def test_a_bad_third_shot_moves_nothing(bench):
    bad = Design({**GOOD.values, "angle": (10.0, 20.0, 181.0)})
    with pytest.raises(DesignError, match="shot 3 angle"):
        apply(bench, bad)
    assert bench.log.calls == []


def test_a_third_shot_beyond_a_device_moves_nothing(bench, mocker):
    refuse = mocker.patch.object(bench.devices["angle"], "check")
    refuse.side_effect = lambda target: None if target < 30 else (_ for _ in ()).throw(broken())
    with pytest.raises(DeviceError):
        apply(bench)
    assert bench.log.calls == []


def test_shots_that_differ_need_a_design(bench):
    with pytest.raises(DesignError, match="no design is on the bench"):
        capture(bench)


def test_shots_without_anything_per_shot_are_repeats(tmp_path):
    bench = bench_of(tmp_path, design={}, roles={}, shots=2)
    apply(bench, bench.space().start)
    bench.log.calls.clear()
    assert capture(bench).counts.shape == (2, 2, 16, 16)
    assert [name for name, what in bench.log.names() if what == "start"] == ["led", "XY", "XY"]


def test_the_light_of_a_shot_comes_on_within_its_limits(tmp_path):
    design = {"power": {"role": "light", "bounds": [1, 15], "per_shot": True}}
    bench = bench_of(tmp_path, design=design, roles={}, shots=2)
    apply(bench, Design({"pupil": (0.0,) * 3, "focus": (0.0,), "power": (2.0, 5.0)}))
    assert ("led", "start") not in bench.log.names()
    capture(bench)
    levels = [value for name, what, value in bench.log.calls if (name, what) == ("led", "start")]
    assert levels == [2.0, 5.0, 2.0, 5.0]
    assert not bench.devices["light"].is_on()


def test_exposures_may_differ_between_shots_where_the_noise_does_not_mind(tmp_path):
    design = {"integration": {"role": "camera", "bounds_ms": [0.5, 3], "per_shot": True}}
    bench = bench_of(tmp_path, design=design, roles={}, shots=2)
    apply(bench, Design({"pupil": (0.0,) * 3, "focus": (0.0,), "integration": (0.5, 2.0)}))
    batch = capture(bench)
    assert batch.exposure_ms == 0.5
    assert [shot["camera"] for shot in batch.read_back] == [[0.5, 0.5], [2.0, 2.0]]
