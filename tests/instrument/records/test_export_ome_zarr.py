"""Frames as OME-Zarr: valid by the specification, and pixel for pixel those of the run."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorstore
import yaozarrs

from instrument.campaign.export import Format, export_run
from instrument.campaign.ledger import Ledger, LedgerError
from instrument.campaign.new_file import OutputError
from instrument.design import Design
from instrument.faces.stack_files import StackError, read_batch

from .runs import CONFIG, META, frames, infoloop, record_of


def array(folder):
    """Return pixels and metadata of the exported array."""
    store = {"driver": "file", "path": str(folder / "0")}
    pixels = tensorstore.open({"driver": "zarr3", "kvstore": store}).result().read().result()
    return np.asarray(pixels), json.loads((folder / "0" / "zarr.json").read_text())


def attributes(folder):
    return json.loads((folder / "zarr.json").read_text())["attributes"]


def test_an_export_is_valid_ome_zarr(virtual_run, tmp_path):
    folder = export_run(virtual_run, Format.OME_ZARR, tmp_path / "a.ome.zarr", pixel_um=0.25)
    group = yaozarrs.validate_zarr_store(str(folder))
    (scale,) = group.ome_metadata().multiscales
    assert attributes(folder)["ome"]["version"] == "0.5"
    assert [(axis.name, axis.type) for axis in scale.axes] == [
        ("trial", "time"), ("shot", "channel"), ("object", "space"), ("y", "space"),
        ("x", "space"),
    ]  # fmt: skip
    assert [axis.unit for axis in scale.axes[-2:]] == ["micrometer", "micrometer"]
    (transform,) = scale.datasets[0].coordinateTransformations
    assert transform.scale == [1.0, 1.0, 1.0, 0.25, 0.25]


def test_pixels_are_those_of_the_ledger(virtual_run, tmp_path):
    written = []
    folder = export_run(
        virtual_run, Format.OME_ZARR, tmp_path / "a.ome.zarr", on_trial=written.append
    )
    pixels, _ = array(folder)
    with Ledger.read(virtual_run) as ledger:
        rows = ledger.trials()
        assert pixels.shape == (len(rows), 1, 12, 128, 128)
        assert written == [row.number for row in rows]
        for row in rows:
            np.testing.assert_array_equal(pixels[row.number].swapaxes(0, 1), ledger.load_batch(row))


def test_a_chunk_is_a_frame_and_a_file_is_a_trial(virtual_run, tmp_path):
    folder = export_run(virtual_run, Format.OME_ZARR, tmp_path / "a.ome.zarr")
    _, metadata = array(folder)
    assert metadata["chunk_grid"]["configuration"]["chunk_shape"] == [1, 1, 12, 128, 128]
    assert metadata["codecs"][0]["configuration"]["chunk_shape"] == [1, 1, 1, 128, 128]
    assert metadata["dimension_names"] == ["trial", "shot", "object", "y", "x"]
    assert sum(file.is_file() for file in (folder / "0" / "c").rglob("*")) == 6


def test_what_is_known_of_a_trial_stands_at_its_place(hand_made, tmp_path):
    folder = export_run(hand_made, Format.OME_ZARR, tmp_path / "a.ome.zarr", trials="0-2")
    trials = array(folder)[1]["attributes"]["infoloop"]["trials"]
    assert [trial["number"] for trial in trials] == [0, 1, 2]
    assert trials[0]["score_bits"] == 300.0
    assert trials[0]["focus.position (um)"] == 1 / 3
    assert trials[1]["refused"] == "0.5 % of the pixels are saturated"
    assert trials[2]["objects"] == 2
    about = attributes(folder)["infoloop"]
    assert about["positions_um"] == [[10.0 * place, 0.0] for place in range(12)]
    assert about["config"] == CONFIG
    assert not any("positions_um" in trial for trial in trials)


def test_trials_without_frames_or_with_fewer_objects_leave_their_places_empty(hand_made, tmp_path):
    pixels, _ = array(export_run(hand_made, Format.OME_ZARR, tmp_path / "a.ome.zarr"))
    assert pixels.shape == (7, 1, 12, 16, 16)
    np.testing.assert_array_equal(pixels[2, :, :2], frames(0.25, objects=2, seed=2).swapaxes(0, 1))
    assert not pixels[2, :, 2:].any()
    assert not pixels[6].any()


def test_shots_are_channels_of_which_one_is_shown(tmp_path):
    counts = frames(0.3, objects=3, shots=2)
    record = record_of(counts)
    with Ledger.create(tmp_path / "run", META) as ledger:
        for number in range(2):  # the second has its objects elsewhere, and in two parts
            ledger.ask(number=number, phase="search", design=Design({"focus": (0.0,)}))
            ledger.capture(number, counts[: 3 - number], record_of(counts[: 3 - number]))
        record = record_of(counts[2:], positions_um=[[-1.0, -1.0]])
        ledger.capture(1, counts[2:], record)
    folder = export_run(tmp_path / "run", Format.OME_ZARR, tmp_path / "a.ome.zarr")
    yaozarrs.validate_zarr_store(str(folder))
    pixels, metadata = array(folder)
    for number in range(2):
        np.testing.assert_array_equal(pixels[number].swapaxes(0, 1), counts)
    channels = attributes(folder)["ome"]["omero"]["channels"]
    assert [channel["label"] for channel in channels] == ["shot 0", "shot 1"]
    assert [channel["active"] for channel in channels] == [True, False]
    assert metadata["attributes"]["infoloop"]["trials"][1]["positions_um"] == [
        [0.0, 0.0], [10.0, 0.0], [-1.0, -1.0],
    ]  # fmt: skip


@pytest.mark.leaves_thread  # zarr's own
def test_an_exported_trial_is_scored_as_the_batch_that_it_is(tmp_path):
    pytest.importorskip("zarr")
    counts = frames(0.3, objects=8, shots=2)
    with Ledger.create(tmp_path / "run", META) as ledger:
        for number in range(2):
            ledger.ask(number=number, phase="search", design=Design({"focus": (0.0,)}))
            ledger.capture(number, counts, record_of(counts))
    one = export_run(tmp_path / "run", Format.OME_ZARR, tmp_path / "one.ome.zarr", trials="1")
    np.testing.assert_array_equal(read_batch([one]), counts)
    both = export_run(tmp_path / "run", Format.OME_ZARR, tmp_path / "both.ome.zarr")
    with pytest.raises(StackError, match="holds 2 along trial and 8 along object; one batch"):
        read_batch([both])


def test_frames_that_are_not_what_was_acknowledged_end_the_export(hand_made, tmp_path):
    np.save(hand_made / "batches" / "trial00004.npy", frames(0.5))
    with pytest.raises(LedgerError, match="trial 4"):
        export_run(hand_made, Format.OME_ZARR, tmp_path / "a.ome.zarr")
    assert [path.name for path in tmp_path.iterdir()] == ["by-hand"]


@pytest.mark.parametrize("most_bytes", [500, 4500], ids=["metadata", "frames"])
def test_a_disk_that_fills_meanwhile_leaves_nothing(hand_made, tmp_path, most_bytes):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    folder = tmp_path / "a.ome.zarr"
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, limits[1]))
        with pytest.raises(OutputError, match="trial 0 is not written"):
            export_run(hand_made, Format.OME_ZARR, folder, trials="0")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir()] == ["by-hand"]
    export_run(hand_made, Format.OME_ZARR, folder, trials="0")
    assert (folder / "0" / "zarr.json").stat().st_size < 4500
    assert max(file.stat().st_size for file in (folder / "0" / "c").rglob("*")) > 4500


def test_trials_without_frames_are_nothing_to_export(hand_made, tmp_path):
    with pytest.raises(OutputError, match="none of these 1 trials has frames"):
        export_run(hand_made, Format.OME_ZARR, tmp_path / "a.ome.zarr", trials="6")


def test_the_command_refuses_a_pixel_without_a_size(hand_made):
    _, complaint = infoloop("export", hand_made, "--to", "ome-zarr", "--pixel-um", "0", code=2)
    assert "a number above 0 is due" in complaint


NAPARI = """
import sys
from pathlib import Path
import napari
import numpy as np
from instrument.campaign.ledger import Ledger

folder, run_dir, picture = sys.argv[1:]
viewer = napari.Viewer()
(layer,) = viewer.open(folder, plugin="napari-ome-zarr")
assert viewer.dims.axis_labels == ("trial", "object", "y", "x"), viewer.dims.axis_labels
with Ledger.read(Path(run_dir)) as ledger:
    for row in ledger.trials():
        frames = ledger.load_batch(row)[:, 0]
        np.testing.assert_array_equal(np.asarray(layer.data[row.number]), frames)
viewer.dims.set_current_step(0, 2)
viewer.screenshot(picture, canvas_only=False, flash=False)
viewer.close()
viewer = napari.Viewer(show=False)
(layer,) = viewer.open(folder, plugin="napari")
assert layer.data.shape == (6, 1, 12, 128, 128), layer.data.shape
viewer.close()
"""


@pytest.mark.gui
@pytest.mark.timeout(300)
@pytest.mark.skipif(
    shutil.which("Xvfb") is None
    or importlib.util.find_spec("napari") is None
    or importlib.util.find_spec("napari_ome_zarr") is None,
    reason="needs Xvfb and the extra gui",
)
def test_napari_shows_what_the_ledger_holds(virtual_run, tmp_path):
    from matplotlib.image import imread

    from tests.x_server import x_server

    folder = export_run(virtual_run, Format.OME_ZARR, tmp_path / "a.ome.zarr")
    picture = tmp_path / "window.png"
    arguments = [str(folder), str(virtual_run), str(picture)]
    with x_server("1400x900x24"):
        environment = {key: os.environ[key] for key in os.environ if key != "QT_QPA_PLATFORM"}
        done = subprocess.run(
            [sys.executable, "-c", NAPARI, *arguments],
            env=environment, capture_output=True, text=True, timeout=280, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    seen = imread(picture)[..., :3]
    grey = seen[np.ptp(seen, axis=-1) == 0]  # the frame; the window around it is tinted
    assert len(grey) > 10_000
    assert len(np.unique(grey)) > 50  # and no empty place
