"""The benchmark of IDEAL against end-to-end: its parts, and its committed result."""

from __future__ import annotations

import json
import re
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.domains.common import protocol
from benchmarks.domains.end_to_end_problems import Problem, described, problem
from benchmarks.domains.end_to_end_summary import converged_step, summary
from benchmarks.domains.end_to_end_table import cost_rows, quality_rows, result
from benchmarks.domains.end_to_end_training import SmallDecoder, train_jointly
from benchmarks.domains.end_to_end_unet import UNet
from drivers.virtual.objects import beads
from drivers.virtual.twins import Lensless
from estimation import SensorNoise

NAMES = tuple(protocol("end_to_end")["problems"])


@pytest.mark.parametrize("name", NAMES)
def test_a_start_is_the_same_each_time_and_can_be_built(name):
    now = problem(name, protocol("end_to_end"))
    first, again, other = (now.start(f"random {seed}") for seed in (1, 1, 2))
    for key, parameter in now.twin.parameters.items():
        np.testing.assert_array_equal(first[key], again[key])
        assert not np.array_equal(first[key], other[key])
        assert first[key].min() >= parameter.low
        assert first[key].max() <= parameter.high
    assert described(now.twin, first)


def test_designs_are_told_in_words_of_the_bench():
    fixed = protocol("end_to_end")
    mosaic, lens = problem(NAMES[1], fixed), problem("lenslets", fixed)
    assert described(mosaic.twin, mosaic.start("bayer")) == {"filters_rgbw": [16, 32, 16, 0]}
    assert described(lens.twin, lens.start("3 lenslets"))["lenslets_above_2_percent"] == 3
    leds = problem("led array", fixed)
    assert described(leds.twin, leds.start("one led"))["leds_above_2_percent"] == [1, 1]


def test_quality_by_hand():
    now = problem("lenslets", protocol("end_to_end"))
    assert now.quality(np.full((2, 3), 0.1), np.ones((2, 3))) == pytest.approx(20.0)
    leds = problem("led array", protocol("end_to_end"))
    assert leds.quality(np.full((2, 3), 0.1), np.ones((2, 3))) == pytest.approx(0.1)
    assert leds.gain(0.1) > leds.gain(0.2)


def test_joint_training_sharpens_a_blurred_lens():
    twin = Lensless([[0.0, 0.0]], field=8, side=8, reach_px=2.0, electrons=1000)
    noise = SensorNoise(gain=1.0, offset=100.0, read_noise=1.5, bit_depth=16)
    now = Problem(name="toy", twin=twin, noise=noise, target_side=8, metric="psnr_db")
    objects = beads(1200, 8, fill=0.3, rng=np.random.default_rng(0)).astype(np.float32)
    start = {"positions_px": np.zeros((1, 2)), "weights": np.ones(1), "sigma_px": np.full(1, 1.6)}
    settings = {
        "batch": 64, "validation": 64, "check_every": 75, "design_rate": 0.01, "decoder_rate": 1e-2,
    }  # fmt: skip
    joint = train_jointly(
        now,
        SmallDecoder(64, 64, hidden=32, key=jax.random.key(0)),
        start,
        objects=objects,
        settings=settings,
        steps=150,
        seed=0,
    )
    assert joint.values["sigma_px"][0] < 1.0
    assert [row[0] for row in joint.curve] == [0, 75, 150]
    assert joint.curve[-1][1] < 0.7 * joint.curve[0][1]


def test_the_large_decoder_has_millions_of_parameters_and_keeps_the_frame():
    widths = protocol("end_to_end")["unet"]["widths"]
    made = eqx.filter_eval_shape(lambda: UNet(2, 3, widths=widths, key=jax.random.key(0)))
    sizes = [x.size for x in jax.tree.leaves(made) if isinstance(x, jax.ShapeDtypeStruct)]
    assert 2e6 < sum(sizes) < 1e7
    small = UNet(2, 3, widths=[8, 16], key=jax.random.key(0))
    frames = jax.random.normal(jax.random.key(1), (2, 2, 8, 8))
    assert jax.eval_shape(small, frames).shape == (2, 3 * 64)
    assert small.parameters == 6643


def test_a_curve_has_converged_where_it_stays():
    curve = [[0, 1.0, 0], [10, 0.5, 1], [20, 0.6, 2], [30, 0.502, 3], [40, 0.5, 4]]
    assert converged_step(curve) == 30
    assert converged_step([[0, 1.0, 0], [10, 0.5, 1]]) == 10
    assert converged_step([[0, 1.0, 0], [10, 0.5, 1], [20, 0.6, 2]]) == 20


@pytest.mark.parametrize(
    ("metric", "ideal", "rival", "margin", "is_level"),
    [("psnr_db", 20.0, 20.05, -0.05, True), ("psnr_db", 19.0, 20.0, -1.0, False),
     ("nrmse", 0.100, 0.101, 0.0099, True), ("nrmse", 0.105, 0.1, -0.05, False)],
)  # fmt: skip
def test_margins_have_the_sign_of_what_is_better(metric, ideal, rival, margin, is_level):
    cost = {"cpu_s": 4.0, "wall_s": 4.0, "growth_mib": 100.0, "peak_mib": 400.0}
    run = {"cost": cost, "load_average": 1.0, "curve": [[0, 1.0, 0.0], [100, 0.5, 1.0]]}
    chosen = {"gradient": {"choice_bits": 5.0}, "given": {"choice_bits": None}}
    found = {
        "metric": metric,
        "hand_made": {"bayer": {"test": rival}},
        "random": {"random 1": {"test": rival}},
        "end_to_end": {"random 1": {**run, "test": rival, "own_error_over_fresh": 1.5}},
        "ideal": {"gaussian": {"random 1": {**run, "test": ideal, "candidates": chosen}}},
        "ideal_scores_of_hand_made": {"gaussian": {"bayer": 4.0}},
        "unet": {"batch 8": {"cost": cost, "step_cpu_s": 0.4}},
    }
    short = summary(found, protocol("end_to_end"))["ideal"]["gaussian"]
    assert short["margin_of_best"]["end_to_end"] == pytest.approx(margin, abs=1e-4)
    assert short["is_level_with_end_to_end"] is is_level
    assert short["chosen"] == ["random 1", ideal]
    assert short["cost_over_unet"]["batch 8"]["cpu_s"] == pytest.approx(4.0 / (0.4 * 100))


def test_quick_runs_never_see_the_objects_of_the_table():
    table, quick = protocol("end_to_end")["seeds"], protocol("end_to_end", is_quick=True)["seeds"]
    assert all(table[name] != quick[name] for name in table)


@pytest.mark.parametrize("entry", ["end_to_end", "end_to_end_again"])
def test_the_committed_results_are_of_the_protocol_as_it_stands(entry):
    fixed = protocol(entry)
    del fixed["settings"]
    assert result(entry)["protocol"] == json.loads(json.dumps(fixed))


@pytest.mark.parametrize(
    ("kind", "entry", "rows"),
    [("quality", "end_to_end_again", quality_rows), ("cost", "end_to_end_costs", cost_rows)],
)
def test_the_page_of_concepts_shows_the_committed_result(kind, entry, rows):
    page = (Path(__file__).parents[1] / "docs/concepts/design-by-gradient.md").read_text("utf-8")
    pattern = rf"<!-- table: end to end, {kind} -->\n(.*?)\n<!-- end -->"
    table = re.search(pattern, page, re.DOTALL)
    assert table is not None
    assert table[1].splitlines() == rows(result(entry))


def test_what_was_asked_is_met_or_known_not_to_be():
    """Level with end-to-end everywhere, and cheaper; not level with the best hand-made mosaics."""
    document = result("end_to_end_again")
    asked = document["protocol"]["acceptance"]
    for name, short in document["summary"].items():
        best = [one for method, one in short["ideal"].items() if method != "autoregressive"]
        assert any(one["is_level_with_end_to_end"] for one in best), name
        is_colour = name.startswith("colour")
        assert any(one["is_level_with_hand_made"] for one in best) is not is_colour, name
        for large in short["ideal"]["gaussian"]["cost_over_unet"].values():
            assert large["cpu_s"] <= asked["time_over_unet"]


def test_the_linear_part_of_the_rival_is_solved():
    """Where targets are a linear function of pixels, one solution decodes them without a step."""
    rng = np.random.default_rng(0)
    mean = rng.normal(50.0, [[5.0, 1.0, 20.0]], size=(500, 3))
    wanted = mean @ np.array([[1.0, 0.0], [0.0, 2.0], [-0.5, 0.1]])
    wanted = (wanted - wanted.mean(axis=0)) / wanted.std()
    decoder = SmallDecoder(3, 2, hidden=4, key=jax.random.key(0), is_solved=True)
    solved = decoder.without_correction().solved(mean, np.full_like(mean, 1e-8), wanted)
    decoded = solved(jnp.asarray(mean, jnp.float32)[:, None, None, :])
    np.testing.assert_allclose(decoded, wanted, atol=1e-3)
