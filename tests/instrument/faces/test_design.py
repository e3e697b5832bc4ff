"""`infoloop design` as a person runs it, on a problem small enough to be solved in seconds."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from instrument.faces.cli import app

SMALL = """\
# two spots in front of a small sensor
twin: {domain: lensless, lenslets: 2, field: 12, side: 8, reach_px: 4, electrons: 200}
objects: {kind: textures, count: 200}
noise: {gain: 2.0, offset: 100, read_noise: 1.5}
search: {steps: 20, rate: 0.05, random_starts: 0, hand_made_starts: 0}
score: {density: gaussian, patch: 4}
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("design") / "small.yaml"
    path.write_text(SMALL)
    return path


@pytest.fixture(scope="module")
def designed(file):
    folder = file.parent / "run"
    return folder, CliRunner().invoke(app, ["design", str(file), "--output", str(folder), "--json"])


def test_one_json_document_names_the_best_design(designed):
    folder, finished = designed
    assert finished.exit_code == 0, finished.output
    document = json.loads(finished.stdout)
    assert document["folder"] == str(folder)
    assert document["best"]["bits_per_measurement"] > 0
    names = {(c["name"], c["origin"]) for c in document["candidates"]}
    assert names == {
        ("given", "given"), ("given", "gradient"), ("one lens", "hand made"),
        ("2 lenslets", "hand made"),
    }  # fmt: skip


def test_the_record_holds_parameters_scores_and_the_whole_config(designed):
    folder, _ = designed
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "design.json", "design.npz"]
    with np.load(folder / "design.npz", allow_pickle=False) as values:
        assert set(values) == {"positions_px", "weights", "sigma_px"}
        assert values["weights"].sum() == pytest.approx(1.0)
    assert json.loads((folder / "config.json").read_text())["twin"]["background_e"] == 10.0
    history = next(
        c["ascent"]["history"]
        for c in json.loads((folder / "design.json").read_text())["candidates"]
        if c["origin"] == "gradient"
    )
    assert history[0]["step"] == 0


def test_the_gradient_does_better_than_where_it_began(designed):
    candidates = json.loads(designed[1].stdout)["candidates"]
    bits = {(c["name"], c["origin"]): c["bits_per_measurement"] for c in candidates}
    assert bits["given", "gradient"] > bits["given", "given"]


def test_a_folder_that_is_there_is_not_touched(designed, file):
    folder, _ = designed
    again = CliRunner().invoke(app, ["design", str(file), "--output", str(folder)])
    assert again.exit_code == 2
    assert "is there already" in again.stderr


def test_objects_that_do_not_fit_are_one_sentence(file, tmp_path):
    finished = CliRunner().invoke(
        app,
        ["design", str(file), "--set", "objects.kind=cells", "--output", str(tmp_path / "run")],
    )
    assert finished.exit_code == 2
    assert "choose another kind of objects" in finished.stderr
    assert not (tmp_path / "run").exists()


def test_a_person_gets_a_table(file, tmp_path):
    finished = CliRunner().invoke(
        app,
        ["design", str(file), "--set", "search.steps=2", "--output", str(tmp_path / "run")],
    )
    assert finished.exit_code == 0, finished.output
    assert "one lens" in finished.stdout
    assert "bits/pixel" in finished.stdout
