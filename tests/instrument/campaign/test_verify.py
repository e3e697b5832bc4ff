"""`verify_run` finds what is not what was acknowledged, and tells debris from damage."""

import numpy as np
import pytest

from estimation import SensorNoise
from instrument.campaign.inputs import has_noise, keep_noise
from instrument.campaign.ledger import Ledger, LedgerError, verify_run
from instrument.design import Design

NOISE = SensorNoise(gain=2.0, offset=100.0, read_noise=1.5, bit_depth=12)
DESIGN = Design({"focus": (1.5,)})
COUNTS = np.arange(24, dtype=np.uint16).reshape(2, 1, 3, 4)


@pytest.fixture
def run_dir(tmp_path):
    with Ledger.create(tmp_path / "run", {}) as ledger:
        ledger.ask(number=0, phase="search", design=DESIGN)
        ledger.capture(0, COUNTS, {})
        ledger.set_aside(0, why="unplugged")
        ledger.capture(0, COUNTS, {})
        ledger.capture(0, COUNTS, {})
    return tmp_path / "run"


def test_a_whole_run_has_no_problem(run_dir):
    found = verify_run(run_dir)
    assert found.is_whole
    assert (found.trials, found.parts, found.notes) == (1, 3, ())
    assert found.frame_bytes == 3 * (run_dir / "batches/trial00000.npy").stat().st_size


@pytest.mark.parametrize("part", ["", ".1", ".2"])
def test_an_edited_file_is_told_also_where_it_is_set_aside(run_dir, part):
    path = run_dir / f"batches/trial00000{part}.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\x07")
    (problem,) = verify_run(run_dir).problems
    assert problem.startswith(f"trial 0: {path} is not the file that was acknowledged")


def test_a_missing_file_is_told(run_dir):
    (run_dir / "batches/trial00000.2.npy").unlink()
    (problem,) = verify_run(run_dir).problems
    assert "trial00000.2.npy cannot be read" in problem


def test_frames_that_are_not_what_the_row_says_are_told(run_dir):
    with Ledger.open(run_dir) as ledger:  # a fault of whoever writes, not of the disk
        ledger.ask(number=1, phase="search", design=DESIGN)
        ledger.capture(1, COUNTS.astype(np.float32), {})
    (problem,) = verify_run(run_dir).problems
    assert "float32" in problem


def test_what_a_kill_leaves_is_a_note(run_dir):
    (run_dir / "batches/trial00001.npy").write_bytes(b"whole, but not acknowledged")
    (run_dir / "batches/trial00001.npy.partial").write_bytes(b"half")
    found = verify_run(run_dir)
    assert found.is_whole
    assert [note.split()[0] for note in found.notes] == [
        "batches/trial00001.npy", "batches/trial00001.npy.partial",
    ]  # fmt: skip


def test_inputs_that_a_run_kept_are_checked(run_dir):
    (run_dir / "inputs").mkdir()
    (run_dir / "inputs/lut.csv").write_text("1")
    with Ledger.open(run_dir) as ledger:
        entry = {"key": "bench.roles.slm.lut", "copy": "inputs/lut.csv", "sha256": "0"}
        ledger.set_meta("inputs", [entry])
    (problem,) = verify_run(run_dir).problems
    assert problem.startswith("`bench.roles.slm.lut`")


def test_the_calibration_that_a_run_made_is_known_by_its_hash(run_dir):
    with Ledger.open(run_dir) as ledger:
        assert not has_noise(ledger)
        keep_noise(NOISE, ledger)
        assert has_noise(ledger)
    assert verify_run(run_dir).is_whole
    path = run_dir / "noise.npz"
    path.write_bytes(path.read_bytes() + b" ")
    (problem,) = verify_run(run_dir).problems
    assert problem.startswith("the calibration of this run")
    with Ledger.open(run_dir) as ledger, pytest.raises(LedgerError, match="not the calibration"):
        has_noise(ledger)


def test_a_calibration_of_which_a_kill_kept_the_record_is_taken(run_dir):
    with Ledger.open(run_dir) as ledger:
        keep_noise(NOISE, ledger)
        ledger._connection.execute("DELETE FROM meta")
        assert has_noise(ledger)
    (run_dir / "noise.npz").unlink()
    assert not verify_run(run_dir).is_whole


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(LedgerError, match="holds no run"):
        verify_run(tmp_path)
