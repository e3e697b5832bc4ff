import sqlite3

import numpy as np
import pytest

from instrument.campaign.ledger import LEDGER_FILE, Ledger, LedgerError
from instrument.design import Design

DESIGN = Design({"focus": (1.5,), "pupil": (0.25, -0.5)})
COUNTS = np.arange(2 * 1 * 3 * 4, dtype=np.uint16).reshape(2, 1, 3, 4)


@pytest.fixture
def ledger(tmp_path):
    with Ledger.create(tmp_path / "run", {"config": {"a": 1}}) as ledger:
        yield ledger


def asked_and_captured(ledger, number=0):
    ledger.ask(number=number, phase="search", design=DESIGN)
    ledger.capture(number, COUNTS, {"exposure_ms": 10.0})


def test_a_scored_trial_comes_back_whole_after_reopening(ledger):
    asked_and_captured(ledger)
    ledger.score(
        0, score=12.5, standard_error=0.5, estimate={"bits_per_pixel": 0.7},
        seconds=1.5, timings={"score": 0.25},
    )  # fmt: skip
    ledger.close()
    with Ledger.open(ledger.run_dir) as again:
        (row,) = again.trials()
        assert (row.number, row.phase, row.state, row.design) == (0, "search", "scored", DESIGN)
        assert (row.score, row.standard_error, row.seconds) == (12.5, 0.5, 1.5)
        assert row.record == {"exposure_ms": 10.0}
        assert row.estimate == {"bits_per_pixel": 0.7}
        np.testing.assert_array_equal(again.load_batch(row), COUNTS)
        assert again.meta() == {"config": {"a": 1}}


def test_a_failed_trial_keeps_its_frames_and_says_why(ledger):
    asked_and_captured(ledger)
    ledger.fail(0, why="saturated", seconds=1.0)
    (row,) = ledger.trials()
    assert (row.state, row.why, row.score) == ("failed", "saturated", None)
    np.testing.assert_array_equal(ledger.load_batch(row), COUNTS)


def test_an_edited_batch_is_not_believed(ledger):
    asked_and_captured(ledger)
    (row,) = ledger.trials()
    path = ledger.run_dir / row.parts[0].file
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(LedgerError, match="SHA-256"):
        ledger.load_batch(row)


def test_a_missing_batch_is_named(ledger):
    asked_and_captured(ledger)
    (row,) = ledger.trials()
    (ledger.run_dir / row.parts[0].file).unlink()
    with pytest.raises(LedgerError, match="trial00000"):
        ledger.load_batch(row)


def test_debris_of_a_killed_capture_is_overwritten(ledger):
    ledger.ask(number=0, phase="search", design=DESIGN)
    (ledger.run_dir / "batches" / "trial00000.npy.partial").write_bytes(b"half")
    (ledger.run_dir / "batches" / "trial00000.npy").write_bytes(b"torn")
    ledger.capture(0, COUNTS, {})
    np.testing.assert_array_equal(ledger.load_batch(ledger.trials()[0]), COUNTS)
    assert not list((ledger.run_dir / "batches").glob("*.partial"))


def test_a_run_is_never_overwritten(ledger):
    with pytest.raises(LedgerError, match="infoloop resume"):
        Ledger.create(ledger.run_dir, {})


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(LedgerError, match="holds no run"):
        Ledger.open(tmp_path)


def test_a_newer_schema_is_refused(ledger):
    ledger.close()
    connection = sqlite3.connect(ledger.run_dir / LEDGER_FILE)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(LedgerError, match="schema version 99"):
        Ledger.open(ledger.run_dir)


def test_a_torn_ledger_is_refused(tmp_path):
    (tmp_path / LEDGER_FILE).write_bytes(b"this is not a database, but it is long enough to try")
    with pytest.raises(LedgerError, match="not a readable ledger"):
        Ledger.open(tmp_path)


def test_nan_does_not_enter_the_ledger(ledger):
    asked_and_captured(ledger)
    with pytest.raises(ValueError, match="JSON"):
        ledger.score(
            0, score=1.0, standard_error=1.0, estimate={"x": float("nan")},
            seconds=1.0, timings={},
        )  # fmt: skip
