"""The tables of benchmarks/domains: their protocol can be run, and results are of that protocol."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.domains.colour import lmmse_of_moments, logdet_error_bits, preference
from benchmarks.domains.common import protocol, psnr_db, rank_correlation
from benchmarks.domains.decoders import (
    class_bits,
    fit_lmmse,
    identification_bits,
    train_network,
)
from benchmarks.domains.lensless import (
    MIDDLE_TILE,
    camera,
    digit_labels,
    entropy_bits,
    in_view_bits,
    middle_classes,
)
from benchmarks.domains.lenslet_design import active_lenslets
from benchmarks.domains.lenslet_design import table as lenslet_table
from benchmarks.domains.phase import drive
from benchmarks.domains.summary import PAGE, TABLES, result, shown
from benchmarks.domains.tomography import scan
from drivers.virtual.objects import bead_entropy_bits, digits

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
FIRST = ("infrared", "interferometer", "phase", "tomography")
DOMAINS = (
    *FIRST,
    "colour_chroma_gaussian",
    "colour_photographs",
    "interferometer_bracket",
    "lensless",
    "lensless_centred",
    "lensless_sparse",
    "phase_again",
    "tomography_autoregressive",
    "tomography_doses",
)


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_committed_result_is_of_the_protocol_as_it_stands(domain):
    path = RESULTS / f"domain_{domain}.json"
    fixed = protocol(domain)
    del fixed["settings"]
    assert json.loads(path.read_text())["protocol"] == json.loads(json.dumps(fixed))


def test_twelve_illuminations_light_the_leds_of_their_name():
    designs = protocol("phase")["designs"]
    lit = {name: [int(drive(shot).sum()) for shot in shots] for name, shots in designs.items()}
    assert len(lit) == 12
    assert lit["bright field"] == [149]
    assert lit["one led"] == [1]
    assert lit["two leds"] == [1, 1]
    assert lit["left and right"] == [67, 67]  # the 15 of the middle column light neither
    assert not (drive({"half_deg": 0}) * drive({"half_deg": 180})).any()


def test_ten_scans_use_the_whole_dose():
    designs = protocol("tomography")["designs"]
    assert len(designs) == 10
    for choice in designs.values():
        twin = scan(choice, side=24, dose_e=100.0, seed=0)
        assert len(twin.angles_rad) == choice["views"]
        assert float(twin.dose_shares.sum()) == pytest.approx(1.0, rel=1e-6)
    tilted = scan({"views": 8, "dose_ratio": 10}, side=24, dose_e=1.0, seed=0).dose_shares
    assert float(tilted.max() / tilted.min()) == pytest.approx(10, rel=1e-5)


def test_quick_runs_never_see_the_objects_of_the_table():
    for domain in DOMAINS:
        table, quick = protocol(domain)["seeds"], protocol(domain, is_quick=True)["seeds"]
        assert all(table[name] != quick[name] for name in table)


def test_the_linear_decoder_reaches_the_error_of_wiener():
    """x of variance 4 seen with noise of variance 1: error 4 / 5."""
    rng = np.random.default_rng(0)
    x = 2.0 * rng.standard_normal((6000, 1))
    y = x + rng.standard_normal((6000, 1))
    decoder = fit_lmmse(
        y[:4000], x[:4000], validation=(y[4000:5000], x[4000:5000]), ridges=[1e-6, 1e-1]
    )
    error = float(np.mean((decoder(y[5000:]) - x[5000:]) ** 2))
    assert error == pytest.approx(0.8, abs=5 * 0.8 * np.sqrt(2 / 1000))


def test_the_network_learns_what_a_linear_decoder_cannot():
    """The sign of a product of two inputs."""
    rng = np.random.default_rng(1)
    scenes = rng.standard_normal((2000, 2))
    classes = (scenes.prod(axis=1) > 0).astype(int)

    def draw(chosen, generator):
        return scenes[chosen] + 0.05 * generator.standard_normal((len(chosen), 2))

    decide = train_network(
        draw,
        classes,
        objects=np.arange(1500),
        outputs=2,
        is_classifier=True,
        base=None,
        settings={"hidden": 32, "layers": 2, "steps": 300, "batch": 128, "rate": 1e-2},
        seed=0,
    )  # fmt: skip
    right = decide(scenes[1500:]).argmax(axis=1) == classes[1500:]
    assert right.mean() > 0.9


def test_decibels_and_ranks_by_hand():
    assert psnr_db(np.array([0.1, -0.1]), peak=1.0) == pytest.approx(20.0)
    assert rank_correlation([1, 2, 3], [5, 9, 7]) == {
        "spearman": 0.5, "kendall": pytest.approx(1 / 3, abs=1e-4), "designs": 3,
    }  # fmt: skip


def test_class_bits_of_a_sure_and_of_an_ignorant_classifier():
    """Sure and right: the entropy. Knowing nothing: none."""
    classes = np.arange(300) % 3
    sure = np.where(np.eye(3)[classes] > 0, 30.0, 0.0)
    entropy = float(np.log2(3))
    assert class_bits(sure, classes, entropy_bits=entropy).bits_per_measurement == pytest.approx(
        entropy, abs=1e-6
    )
    known = class_bits(np.zeros((300, 3)), classes, entropy_bits=entropy)
    assert known.bits_per_measurement == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("noise", [0.1, 0.5, 1.0, 3.0])
def test_identification_never_proves_more_than_a_gaussian_channel_carries(noise):
    """Six independent unit normals in noise: 6/2 log2(1 + 1/noise^2), and at most log2 500."""
    rng = np.random.default_rng(3)
    objects = rng.standard_normal((1000, 6))
    guesses = (objects + noise * rng.standard_normal(objects.shape)) / (1 + noise**2)
    proved = identification_bits(guesses, objects)
    carried = min(3 * np.log2(1 + noise**-2), np.log2(500))
    assert proved.bits_per_measurement <= carried + 3 * proved.standard_error
    if noise < 1:
        assert proved.bits_per_measurement > 0.7 * carried


def test_beads_in_view_of_one_lens_are_those_before_the_sensor_and_a_spot_around():
    fixed = protocol("lensless_sparse")
    bits = in_view_bits(camera({"lenslets": 1}, fixed), fixed["fill"], read_noise_e=1.5)
    entropy = bead_entropy_bits(fixed["fill"])
    first, last = 14, 33
    assert bits[first : last + 1, first : last + 1] == pytest.approx(entropy)
    assert bits[first - 5 : last + 6, first - 5 : last + 6].sum() == pytest.approx(
        bits.sum(), rel=1e-3
    )
    assert 20**2 * entropy < bits.sum() < 27**2 * entropy


def test_eight_masks_share_the_light():
    for entry in ("lensless", "lensless_centred", "lensless_sparse"):
        fixed = protocol(entry)
        assert len(fixed["designs"]) == 8
        for choice in fixed["designs"].values():
            twin = camera(choice, fixed)
            assert float(twin.weights.sum()) == pytest.approx(1.0, rel=1e-6)
            assert float(abs(twin.positions_px).max()) <= twin.reach_px
    middle = np.asarray(camera({"lenslets": 5}, protocol("lensless_centred")).positions_px)
    assert (middle[0] == 0).all()


def test_the_class_of_the_middle_digit_is_that_of_the_tile_shown():
    """Every field's middle tile must be one of the pictures of its class."""
    from sklearn.datasets import load_digits

    fields = digits(40, 48, rng=np.random.default_rng(5))
    classes = middle_classes(40, 48, np.random.default_rng(5))
    rows_, columns = (slice(12 * k, 12 * (k + 1)) for k in MIDDLE_TILE)
    from drivers.virtual.objects.pictures import _digits

    pictures = _digits()["train"]
    labels = np.asarray(load_digits(return_X_y=True)[1])
    for field, known in zip(fields, classes, strict=True):
        tile = field[rows_, columns]
        shape = (tile - tile.min()) / np.ptp(tile)
        scaled = pictures / pictures.max(axis=(1, 2), keepdims=True)
        assert labels[np.argmin(np.abs(scaled - shape).sum(axis=(1, 2)))] == known
    assert 3.3 < entropy_bits(digit_labels()) < np.log2(10)


def test_masks_hold_the_filters_they_are_named_for():
    for entry, count in (("colour_photographs", 10), ("colour_chroma_gaussian", 16)):
        fixed = protocol(entry)
        assert len(fixed["masks"]) == count
        for number, choice in enumerate(fixed["masks"].values()):
            filters = preference(choice, seed=fixed["seeds"]["masks"], number=number).argmax(-1)
            held = np.bincount(filters.ravel(), minlength=4)
            wanted = choice.get("shuffled", {})
            assert all(held["RGBW".index(letter)] == many for letter, many in wanted.items())
            assert held.sum() == 64


def test_the_lmmse_of_moments_reaches_the_error_of_wiener():
    """Electrons 100 + x, x of variance 60; noise 100 + 1.5^2 + 1/12: error 60 n / (60 + n)."""
    rng = np.random.default_rng(2)
    x = np.sqrt(60.0) * rng.standard_normal((20000, 1))
    noise = 100 + 1.5**2 + 1 / 12
    decoder = lmmse_of_moments(100 + x, x, read_noise_e=1.5, offset=7.0)
    y = 107 + x + np.sqrt(noise) * rng.standard_normal(x.shape)
    error = decoder(y) - x
    wanted = 60 * noise / (60 + noise)
    assert float(np.mean(error**2)) == pytest.approx(wanted, rel=5 * np.sqrt(2 / 20000))
    bits = logdet_error_bits(error)
    assert bits == pytest.approx(0.5 * np.log2(wanted), abs=0.05)


@pytest.mark.parametrize("table", TABLES)
def test_the_page_of_concepts_shows_the_committed_results(table):
    assert shown(PAGE.read_text("utf-8"), table) == TABLES[table]()


@pytest.mark.parametrize(
    "domain",
    ["colour", "infrared", "interferometer", "lensless", "lensless_sparse", "phase", "tomography"],
)
def test_the_page_shows_a_small_figure_of_every_domain(domain):
    figure = RESULTS / f"domain_{domain}.png"
    assert figure.stat().st_size < 150_000
    assert f"results/{figure.name}" in PAGE.read_text("utf-8")


def test_what_was_asked_of_the_tables_is_met_or_known_not_to_be():
    """Acceptance of the protocol; classification (.77) and the scan's best views are not met."""
    sky, phase = result("interferometer"), result("phase")["exposures"]["equal_dose"]
    heat, doses = result("infrared")["tables"]["in focus"], result("tomography")["doses_e"]
    wanted = {name: protocol(name)["acceptance"] for name in FIRST}
    assert sky["exact_70"]["wall_s"] < wanted["interferometer"]["seconds_for_exact_70"]
    assert sky["largest_error_bits_or_percent"] < 1
    assert sky["its_rank_by_psnr"] <= wanted["interferometer"]["most_informative_among_best"]
    assert sky["bits_against"]["psnr_gaussian_process_db"]["spearman"] >= 0.7
    assert phase["bits_against"]["nrmse_lmmse"]["spearman"] >= 0.95
    assert phase["bits_against"]["nrmse_neural"]["spearman"] >= 0.9
    assert heat["against_rmse_k"]["bits_per_pixel"]["spearman"] >= 0.9
    assert heat["refused"] == ["saturated, F/1, 0.7 ms"]
    assert heat["least_excess_without_pattern_at_1e7_e"] > 0.5
    for table in doses.values():
        assert table["bits_against"]["psnr_lmmse_db"]["spearman"] >= 0.85
    views = [table["best_views_by_bits"] for table in doses.values()]
    assert views[0] > views[1]


def test_what_was_asked_of_the_later_tables_is_met_or_known_not_to_be():
    """Not met: ranks of photographs (.60) and sparse beads (.60; the Gaussian's .31 is above 0).

    Nor the rank of colour masks with the log-det error (.53, .58), nor 1.3 x the entropy in view
    for masks of many spots.
    """
    sparse, chroma = result("lensless_sparse"), result("colour_chroma_gaussian")["photons"]["1000"]
    kinds = result("lensless_centred")["kinds"]
    assert sparse["is_bracket_kept"]
    ranks = sparse["against_decoder_bits"]
    assert ranks["gaussian_bits"]["spearman"] < ranks["bits"]["spearman"]
    assert sparse["designs"]["one lens"]["score_over_in_view"] <= 1.3
    assert set(kinds) == set(protocol("lensless_centred")["kinds"])
    for kind, table in kinds.items():
        assert table["best_by_bits"] == table["best_by_psnr"] == "one lens"
        assert table["is_bracket_kept"]
        if kind != "photographs":
            assert table["bits_against"]["psnr_neural_db"]["spearman"] >= 0.75
    assert chroma["bits_against"]["psnr_lmmse_db"]["spearman"] >= 0.8
    assert chroma["order_by_bits"][-1] == "all white"
    phase, wanted = result("phase_again"), protocol("phase_again")["acceptance"]
    assert phase["is_bracket_kept"]
    for metric in ("nrmse_lmmse", "nrmse_neural", "accuracy"):
        asked = wanted[f"spearman_bits_{metric}"]
        assert phase["bits_against"][metric]["spearman"] >= asked
    masks = result("colour_photographs")["photons"]
    assert all(table["is_bracket_kept"] for table in masks.values())
    assert masks["1000"]["order_by_bits"].index("all white") >= 5
    assert result("interferometer_bracket")["is_bracket_kept"]
    for table in result("tomography_autoregressive")["doses_e"].values():
        assert table["largest_excess_over_gaussian"] <= 0.01
        assert table["is_bracket_kept"]
    views = [t["best_views_by_bits"] for t in result("tomography_doses")["doses_e"].values()]
    assert views == sorted(views, reverse=True)
    assert views[0] > views[-1]


def test_spots_that_coincide_are_one_lenslet_and_faint_ones_none():
    design = {
        "positions_px": np.array([[0.0, 0.0], [0.0, 1.0], [5.0, 5.0], [-5.0, 5.0]]),
        "weights": np.array([0.5, 0.28, 0.2, 0.02]),
    }
    assert active_lenslets(design, share=0.03, apart_px=1.5) == 2
    assert active_lenslets(design, share=0.03, apart_px=0.5) == 3
    assert active_lenslets(design, share=0.01, apart_px=0.5) == 4


def test_the_page_on_designs_shows_the_lenslets_that_were_designed():
    found = result("lenslet_design")
    page = (PAGE.parent / "design-by-gradient.md").read_text("utf-8")
    shown_table = page.split("<!-- table: lenslets for beads -->\n")[1].split("\n<!-- end -->")[0]
    assert shown_table.splitlines() == lenslet_table(found)


def test_designed_lenslets_get_fewer_as_beads_get_denser_and_beat_those_made_by_hand():
    led = [r for r in result("lenslet_design")["designs"] if r["surrogate"] == "autoregressive"]
    counts = [row["best_designed"]["active_lenslets"] for row in led]
    assert [row["fill"] for row in led] == protocol("lenslet_design")["objects"]["fills"]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1]
    for row in led:
        designed, made = row["best_designed"], row["best_hand_made"]
        assert designed["bits_per_pixel"] > made["bits_per_pixel"] + 2 * designed["standard_error"]
