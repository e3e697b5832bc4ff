"""Runs that infoloop 0.1 began with schema 1 are read as they are, and go on with schema 2."""

import contextlib
import hashlib
import json
import sqlite3

import numpy as np
import pytest

from instrument.campaign.ledger import LEDGER_FILE, SCHEMA_VERSION, Ledger, verify_run
from instrument.design import Design

SCHEMA_1 = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE trial (
    number INTEGER PRIMARY KEY,
    phase TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('asked', 'captured', 'scored', 'failed')),
    design TEXT NOT NULL,
    asked_at TEXT NOT NULL,
    batch_file TEXT,
    batch_sha256 TEXT,
    record TEXT,
    score REAL,
    standard_error REAL,
    estimate TEXT,
    seconds REAL,
    timings TEXT,
    why TEXT
) STRICT;
"""
DESIGN = Design({"focus": (1.5,)})
COUNTS = np.arange(24, dtype=np.uint16).reshape(2, 1, 3, 4)
RECORD = {"objects": 2, "captured_at": ["t0", "t1"], "temperature_c": float("nan")}


@pytest.fixture
def run_dir(tmp_path):
    file = tmp_path / "batches" / "trial00000.npy"
    file.parent.mkdir()
    np.save(file, COUNTS)
    captured = (
        "batches/trial00000.npy", hashlib.sha256(file.read_bytes()).hexdigest(), json.dumps(RECORD),
    )  # fmt: skip
    rows = [
        (0, "initial", "scored", DESIGN.to_json(), "t", *captured, 12.5, 0.5,
         '{"bits_per_pixel": 0.7}', 1.5, '{"score": 0.25}', None),
        (1, "search", "failed", DESIGN.to_json(), "t", None, None, None, None, None,
         None, 1.0, None, "saturated"),
        (2, "search", "asked", DESIGN.to_json(), "t", *[None] * 9),
    ]  # fmt: skip
    with contextlib.closing(sqlite3.connect(tmp_path / LEDGER_FILE)) as old, old:
        old.execute("PRAGMA journal_mode=WAL")
        old.executescript(SCHEMA_1)
        old.execute("INSERT INTO meta VALUES ('config', '{\"a\": 1}')")
        old.executemany(f"INSERT INTO trial VALUES ({','.join('?' * 14)})", rows)  # noqa: S608
        old.execute("PRAGMA user_version=1")
    return tmp_path


def version(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA user_version").fetchone()[0]


def check(ledger):
    first, second, third = ledger.trials()
    assert (first.state, first.score, first.seconds) == ("scored", 12.5, 1.5)
    assert (first.estimate, first.timings) == ({"bits_per_pixel": 0.7}, {"score": 0.25})
    assert first.record["captured_at"] == ["t0", "t1"]
    assert (first.parts[0].objects, first.parts[0].captured_at) == (2, "t1")
    assert first.session is first.parts[0].session is None
    np.testing.assert_array_equal(ledger.load_batch(first), COUNTS)
    assert (second.state, second.why, second.parts) == ("failed", "saturated", ())
    assert (third.state, third.plan) == ("asked", {})
    assert ledger.meta() == {"config": {"a": 1}}


def test_an_old_run_is_read_without_a_change(run_dir):
    before = (run_dir / LEDGER_FILE).read_bytes()
    with Ledger.read(run_dir) as ledger:
        check(ledger)
        assert ledger.sessions() == []
    assert verify_run(run_dir).is_whole
    assert (run_dir / LEDGER_FILE).read_bytes() == before
    assert sorted(path.name for path in run_dir.iterdir()) == ["batches", LEDGER_FILE]


def test_an_old_run_goes_on_in_the_new_schema_and_keeps_a_copy(run_dir):
    with Ledger.open(run_dir) as ledger:
        check(ledger)
        ledger.capture(2, COUNTS, {"objects": 2})
        assert [row.state for row in ledger.trials()] == ["scored", "failed", "captured"]
    assert version(run_dir / LEDGER_FILE) == SCHEMA_VERSION
    assert version(run_dir / "ledger.v1.sqlite") == 1
    assert verify_run(run_dir).is_whole


def test_a_migration_that_fails_changes_nothing(run_dir, monkeypatch):
    def fails(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("instrument.campaign.ledger.connection.schema.migrate", fails)
        with pytest.raises(KeyboardInterrupt):
            Ledger.open(run_dir)
    assert version(run_dir / LEDGER_FILE) == 1
    with Ledger.open(run_dir) as ledger:
        check(ledger)
