"""`infoloop score` and `infoloop compare` on files: numbers, and one sentence for what is wrong."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from estimation import InformationEstimate, SensorNoise
from instrument.faces.score import compare, score

CAMERA = ["--gain", "2.0", "--offset", "100", "--read-noise", "1.5", "--bit-depth", "12"]
NOISE = SensorNoise(gain=2.0, offset=100.0, read_noise=1.5, bit_depth=12)
FAST = ["--density", "gaussian", "--patch", "1"]


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def infoloop(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    app = typer.Typer()
    app.command()(score)
    app.command()(compare)
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, [str(argument) for argument in arguments])


def flat_objects(rng, objects: int = 400, spread: float = 40.0, size: int = 4) -> np.ndarray:
    """Return counts of objects of one brightness each, normal around 400 e-."""
    brightness = np.maximum(rng.normal(400.0, spread, size=(objects, 1, 1)), 50.0)
    return NOISE.sample(brightness * np.ones((size, size)), rng)


def bits_of_one_pixel(spread: float) -> float:
    """Return I of one pixel: variances of brightness and of 400 e- shot noise, both in e-^2."""
    return 0.5 * np.log2(1 + spread**2 / (400 + 1.5**2 + 1 / 48))


def scored(result) -> dict:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_score_is_the_closed_form_within_three_errors(infoloop, rng):
    np.save("batch.npy", flat_objects(rng, objects=2000, size=1))
    found = scored(infoloop("score", "batch.npy", *CAMERA, *FAST, "--json"))
    assert found["bits_per_pixel"] == pytest.approx(
        bits_of_one_pixel(40.0), abs=3 * found["standard_error"]
    )
    assert found["shape"] == [2000, 1, 1]
    assert len(found["per_object_bits"]) == 2000


def test_the_table_says_the_same_as_json(infoloop, rng):
    np.save("batch.npy", flat_objects(rng))
    found = scored(infoloop("score", "batch.npy", *CAMERA, *FAST, "--json"))
    table = infoloop("score", "batch.npy", *CAMERA, *FAST).stdout
    assert f"{found['bits_per_pixel']:.4f} +- {found['standard_error']:.4f}" in table
    assert "400 objects of 4 x 4" in table


def write_npy(counts):
    np.save("batch.npy", counts)
    return ["batch.npy"]


def write_halves(counts):
    np.save("1.npy", counts[:150])
    np.save("2.npy", counts[150:])
    return ["1.npy", "2.npy"]


def write_tiff(counts):
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite("batch.tif", counts, photometric="minisblack")
    return ["batch.tif"]


def write_ome_tiff(counts):
    tifffile = pytest.importorskip("tifffile")
    # A single channel, as most microscopes write it.
    tifffile.imwrite(
        "batch.ome.tif", counts[:, None], metadata={"axes": "TCYX"}, photometric="minisblack"
    )
    return ["batch.ome.tif"]


def write_positions(counts):
    tifffile = pytest.importorskip("tifffile")
    with tifffile.TiffWriter("batch.ome.tif", ome=True) as writer:
        for frame in counts:
            writer.write(frame, photometric="minisblack")
    return ["batch.ome.tif"]


def write_folder(counts):
    tifffile = pytest.importorskip("tifffile")
    Path("frames").mkdir()
    for number, frame in enumerate(counts):
        tifffile.imwrite(f"frames/{number:04}.tiff", frame)
    return ["frames"]


def write_zarr(counts):
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group("batch.ome.zarr", mode="w")
    pixels = group.create_array("0", shape=(len(counts), 1, 1, 4, 4), dtype=counts.dtype)
    pixels[...] = counts[:, None, None]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"datasets": [{"path": "0"}]}]}
    return ["batch.ome.zarr"]


@pytest.mark.parametrize(
    "write",
    [
        write_halves,
        write_tiff,
        write_ome_tiff,
        write_positions,
        write_folder,
        pytest.param(write_zarr, marks=pytest.mark.leaves_thread),  # zarr's own
    ],
)
def test_every_kind_of_file_gives_the_same_bits(infoloop, rng, write):
    counts = flat_objects(rng, objects=300)
    expected = scored(infoloop("score", *write_npy(counts), *CAMERA, *FAST, "--json"))
    found = scored(infoloop("score", *write(counts), *CAMERA, *FAST, "--json"))
    assert found == expected


def test_shots_of_an_object_stay_together(infoloop, rng):
    counts = flat_objects(rng, objects=600).reshape(300, 2, 4, 4)
    np.save("batch.npy", counts)
    found = scored(infoloop("score", "batch.npy", *CAMERA, *FAST, "--json"))
    assert found["shape"] == [300, 2, 4, 4]
    assert found["bits_per_measurement"] == pytest.approx(32 * found["bits_per_pixel"])


def test_a_calibration_file_is_used_with_its_errors(infoloop, rng):
    counts = flat_objects(rng)
    np.save("batch.npy", counts)
    SensorNoise(
        gain=2.0, offset=100.0, read_noise=1.5, bit_depth=12, gain_standard_error=0.02
    ).save("camera.npz")
    by_file = scored(infoloop("score", "batch.npy", "--noise", "camera.npz", *FAST, "--json"))
    by_hand = scored(infoloop("score", "batch.npy", *CAMERA, *FAST, "--json"))
    assert by_file["bits_per_pixel"] == by_hand["bits_per_pixel"]
    # 1 % of the gain at shot noise alone: log2(1.01) / 2 = .0072, and 400 e- are nearly that
    assert by_file["calibration_uncertainty"]["gain"] == pytest.approx(0.0072, rel=0.02)
    assert by_hand["calibration_uncertainty"] == {}
    assert "error of gain" in infoloop("score", "batch.npy", "--noise", "camera.npz", *FAST).stdout


def test_the_end_of_twelve_bits_is_noticed(infoloop, rng):
    counts = flat_objects(rng)
    counts[::100, 0, 0] = 4095
    np.save("batch.npy", counts)
    found = scored(infoloop("score", "batch.npy", *CAMERA[:-2], *FAST, "--json"))
    assert found["bit_depth"] == 12


def test_a_plot_of_every_object_is_drawn(infoloop, rng, tmp_path):
    np.save("a.npy", flat_objects(rng, objects=60))
    np.save("b.npy", flat_objects(rng, objects=60))
    options = [*CAMERA, *FAST, "--plot", "objects.svg"]
    assert infoloop("score", "a.npy", *options).exit_code == 0
    one = (tmp_path / "objects.svg").read_text()
    assert infoloop("compare", "a.npy", "b.npy", *options).exit_code == 0
    two = (tmp_path / "objects.svg").read_text()
    # A marker an object is a <use> of the marker's path.
    assert two.count("<use") - one.count("<use") >= 60


def test_the_design_that_loses_light_is_found_worse(infoloop, rng):
    brightness = np.maximum(rng.normal(400.0, 40.0, size=(400, 1, 1)), 50.0) * np.ones((4, 4))
    np.save("bright.npy", NOISE.sample(brightness, rng))
    np.save("dim.npy", NOISE.sample(0.5 * brightness, rng))
    found = scored(infoloop("compare", "dim.npy", "bright.npy", *CAMERA, *FAST, "--json"))
    assert (found["best"], found["order"]) == ("bright", ["dim", "bright"])
    assert found["high"][0][1] < 0 < found["low"][1][0]
    assert found["difference"][1][0] == pytest.approx(
        found["designs"]["bright"]["bits_per_measurement"]
        - found["designs"]["dim"]["bits_per_measurement"]
    )
    lines = infoloop("compare", "dim.npy", "bright.npy", *CAMERA, *FAST).stdout.splitlines()
    order = [i for i, line in enumerate(lines) if "bright" in line or "dim" in line]
    assert "bright" in lines[order[0]]
    assert "not ranked" not in lines[order[1]]


def test_designs_that_differ_by_noise_alone_are_not_ranked(infoloop, rng):
    brightness = np.maximum(rng.normal(400.0, 40.0, size=(100, 1, 1)), 50.0) * np.ones((4, 4))
    for name in ("a", "b"):
        np.save(f"{name}.npy", NOISE.sample(brightness, rng))
    result = infoloop("compare", "a.npy", "b.npy", *CAMERA, *FAST)
    assert result.exit_code == 0
    assert "not ranked" in result.stdout


def test_designs_of_one_name_are_told_apart_by_their_folders(infoloop, rng, tmp_path):
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        np.save(f"{folder}/batch.npy", flat_objects(rng, objects=60))
    found = scored(
        infoloop("compare", "first/batch.npy", "second/batch.npy", *CAMERA, *FAST, "--json")
    )
    assert set(found["designs"]) == {"first/batch.npy", "second/batch.npy"}


def test_few_objects_are_warned_about_on_standard_error(infoloop, rng):
    np.save("batch.npy", NOISE.sample(rng.uniform(200, 600, size=(8, 12, 12)), rng))
    result = infoloop("score", "batch.npy", *CAMERA, "--density", "stationary", "--patch", "12")
    assert result.exit_code == 0
    assert "too few objects" in result.stderr


def test_known_entropy_of_the_objects_caps_the_bits_and_says_so(infoloop, rng):
    np.save("batch.npy", flat_objects(rng, size=1))
    asked = ["score", "batch.npy", *CAMERA, *FAST, "--object-entropy", "0.5"]
    found = scored(infoloop(*asked, "--json"))
    assert (found["bits_per_pixel"], found["is_capped"]) == (0.5, True)
    assert found["uncapped_bits_per_pixel"] > 0.5
    assert "capped" in infoloop(*asked).stdout
    assert "capped" not in infoloop("score", "batch.npy", *CAMERA, *FAST).stdout


def estimate_with(**diagnostics) -> InformationEstimate:
    return InformationEstimate(
        bits_per_pixel=1.0,
        standard_error=0.01,
        interval=(0.98, 1.02),
        frame_noise_standard_error=None,
        bits_per_measurement=16.0,
        entropy=5.0,
        conditional_entropy=4.0,
        density="autoregressive",
        patch=(4, 4),
        per_object_bits=np.ones(3),
        confidence=0.95,
        diagnostics=diagnostics,
    )


@pytest.mark.parametrize(("gap", "told"), [(0.0312, "0.0312 bits/pixel"), (None, "unknown")])
def test_a_trained_score_tells_how_far_training_has_come(infoloop, monkeypatch, gap, told):
    trained = estimate_with(
        is_converged=False,
        remaining_gap_bits=gap,
        entropy_bits={"autoregressive": 5.0, "gaussian": 6.5},
        gaussian_excess_bits=1.5,
        is_gaussian_misspecified=True,
    )
    monkeypatch.setattr("estimation.estimate_information", lambda *args, **options: trained)
    np.save("batch.npy", GOOD)
    found = scored(infoloop("score", "batch.npy", *CAMERA, "--json"))
    assert (found["is_converged"], found["remaining_gap_bits"]) == (False, gap)
    assert found["entropy_bits"] == {"autoregressive": 5.0, "gaussian": 6.5}
    assert found["gaussian_excess_bits"] == 1.5
    assert any("Gaussian density would say 1.50" in sentence for sentence in found["warnings"])
    table = infoloop("score", "batch.npy", *CAMERA).stdout
    assert f"no, gap left {told}" in table
    assert "6.5000 bits/pixel" in table
    assert "1.5000 bits/pixel above" in table


def test_a_gaussian_score_has_nothing_to_train(infoloop, rng):
    np.save("batch.npy", flat_objects(rng))
    found = scored(infoloop("score", "batch.npy", *CAMERA, *FAST, "--json"))
    assert found["is_converged"] is None
    assert found["entropy_bits"] == {"gaussian": pytest.approx(found["entropy"], abs=0.01)}


GOOD = np.random.default_rng(3).integers(300, 400, size=(30, 4, 4)).astype(np.uint16)

BAD_INPUT = {
    "floats": (GOOD.astype(float), CAMERA, "float64"),
    "one object": (GOOD[:1], CAMERA, "object"),
    "saturated": (np.where(GOOD > 380, 4095, GOOD).astype(np.uint16), CAMERA, "saturated"),
    "a vector": (GOOD[0, 0], CAMERA, "axes"),
    "five axes": (GOOD[None, None], CAMERA, "5 axes"),
    "pickled": (np.array([{"frames": 1}], dtype=object), CAMERA, "cannot be read"),
    "no noise": (GOOD, [], "--gain, --offset, --read-noise missing"),
    "half a noise": (GOOD, CAMERA[:4], "--read-noise missing"),
    "noise twice": (GOOD, [*CAMERA, "--noise", "camera.npz"], "--noise and --gain"),
    "no such noise": (GOOD, ["--noise", "nowhere.npz"], "nowhere.npz"),
    "impossible noise": (GOOD, ["--gain", "0", *CAMERA[2:]], "gain"),
    "unknown density": (GOOD, [*CAMERA, "--density", "gauss"], "'gaussian'"),
    "unknown plot": (GOOD, [*CAMERA, "--patch", "1", "--plot", "x.doc"], "--plot x.doc"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_one_sentence_and_exit_code_2(infoloop, case):
    frames, options, match = BAD_INPUT[case]
    np.save("batch.npy", frames, allow_pickle=True)
    result = infoloop("score", "batch.npy", "--density", "gaussian", *options)
    assert result.exit_code == 2
    assert match in result.stderr
    assert result.stdout == ""
    assert len(result.stderr.strip().splitlines()) == 1


def test_what_is_no_stack_of_frames_is_refused_by_name(infoloop, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "cut.npy").write_bytes(b"\x93NUMPY")
    (tmp_path / "cut.tif").write_bytes(b"II*\x00nothing")
    np.save("a.npy", GOOD)
    np.save("b.npy", GOOD[:, :3])
    for files, match in {
        ("nowhere.npy",): "nowhere.npy does not exist",
        ("empty",): "holds no frames",
        ("notes.txt",): "notes.txt: .npy",
        ("cut.npy",): "cut.npy cannot be read",
        ("cut.tif",): "cut.tif",
        ("a.npy", "b.npy"): "b.npy holds 3 x 4 of uint16",
    }.items():
        result = infoloop("score", *files, *CAMERA)
        assert (result.exit_code, match in result.stderr) == (2, True), result.stderr


def test_colour_images_are_refused(infoloop):
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite("colour.tif", np.zeros((5, 8, 8, 3), np.uint8), photometric="rgb")
    result = infoloop("score", "colour.tif", *CAMERA)
    assert result.exit_code == 2
    assert "colour image" in result.stderr


@pytest.mark.parametrize(("name", "package"), [("a.tif", "tifffile"), ("a.zarr", "zarr")])
def test_a_missing_reader_is_named(infoloop, tmp_path, monkeypatch, name, package):
    if package == "zarr":
        (tmp_path / name).mkdir()
        (tmp_path / name / ".zgroup").write_text("{}")
    else:
        (tmp_path / name).write_bytes(b"II*\x00")
    monkeypatch.setitem(sys.modules, package, None)
    result = infoloop("score", name, *CAMERA)
    assert result.exit_code == 2
    assert f"pip install {package}" in result.stderr


def test_designs_without_the_same_objects_are_refused(infoloop):
    np.save("a.npy", GOOD)
    np.save("b.npy", GOOD[:20])
    result = infoloop("compare", "a.npy", "b.npy", *CAMERA)
    assert result.exit_code == 2
    assert "numbers of objects differ" in result.stderr


@pytest.mark.parametrize(
    ("designs", "match"), [(["a.npy"], "two or more"), (["a.npy", "a.npy"], "came twice")]
)
def test_one_design_is_no_comparison(infoloop, designs, match):
    np.save("a.npy", GOOD)
    result = infoloop("compare", *designs, *CAMERA)
    assert result.exit_code == 2
    assert match in result.stderr
