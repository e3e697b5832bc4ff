import json

import numpy as np
import pytest
from typer.testing import CliRunner

from instrument.campaign.ledger import Ledger
from instrument.design import Design
from instrument.faces.cli import app


@pytest.fixture
def run_dir(tmp_path):
    with Ledger.create(tmp_path / "run", {}) as ledger:
        ledger.ask(number=0, phase="search", design=Design({"focus": (1.5,)}))
        ledger.capture(0, np.zeros((2, 1, 3, 4), np.uint16), {})
    return tmp_path / "run"


def verify(*arguments):
    return CliRunner().invoke(app, ["verify", *map(str, arguments)])


def test_a_whole_run_is_said_to_be_whole(run_dir):
    said = verify(run_dir)
    assert said.exit_code == 0
    assert "1 trials, 1 files of frames" in said.output
    assert json.loads(verify(run_dir, "--json").output)["is_whole"]


def test_every_problem_is_said_and_ends_in_1(run_dir):
    (run_dir / "batches/trial00000.npy").unlink()
    said = verify(run_dir)
    assert said.exit_code == 1
    assert "PROBLEM: trial 0" in said.output
    as_json = verify(run_dir, "--json")
    assert as_json.exit_code == 1
    assert len(json.loads(as_json.output)["problems"]) == 1


def test_a_folder_without_a_run_ends_in_2(tmp_path):
    said = verify(tmp_path)
    assert said.exit_code == 2
    assert "holds no run" in said.output
