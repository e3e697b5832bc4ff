"""A ledger that is torn, edited, newer, locked or read only: one clear error, nothing written."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from instrument.campaign.ledger import LEDGER_FILE, Ledger, LedgerError, verify_run
from instrument.design import Design

DESIGN = Design({"focus": (1.5,)})
COUNTS = np.arange(24, dtype=np.uint16).reshape(2, 1, 3, 4)


@pytest.fixture
def run_dir(tmp_path):
    with Ledger.create(tmp_path / "run", {"config": {"a": 1}}) as ledger:
        for number in range(3):
            ledger.ask(number=number, phase="search", design=DESIGN)
            ledger.capture(number, COUNTS, {"objects": 2})
            ledger.score(
                number, score=1.5, standard_error=0.1, estimate={}, seconds=1.0, timings={}
            )
        ledger.log("state", "running")
    return tmp_path / "run"


def content(run_dir):
    """Every file but the lock, which holds nothing, and the memory that SQLite's readers share."""
    return {
        path: path.read_bytes()
        for path in run_dir.rglob("*")
        if path.is_file() and path.name not in {"ledger.lock", f"{LEDGER_FILE}-shm"}
    }


def refused(run_dir, match):
    before = content(run_dir)
    with pytest.raises(LedgerError, match=match):
        Ledger.open(run_dir)
    assert content(run_dir) == before


def edit(run_dir, statement):
    with contextlib.closing(sqlite3.connect(run_dir / LEDGER_FILE)) as connection, connection:
        connection.execute(statement)


EDITS = {
    "a score": ("UPDATE trial SET score=9 WHERE number=1", "trial 1 is not what was written"),
    "a design": ("UPDATE trial SET design='{}' WHERE number=2", "trial 2 is not what was"),
    "a hash": ("UPDATE batch SET sha256='' WHERE trial=0", "trial 0, part 0 of its frames"),
    "a config": ("UPDATE meta SET value='{}' WHERE key='config'", "meta config is not what"),
    "a host": ("UPDATE session SET host='me'", "session 0 is not what was written"),
    "the journal": ("UPDATE journal SET text='all well'", "journal 0 is not what was written"),
    "a batch taken out": ("DELETE FROM batch WHERE trial=1", "trial 1 is not what was written"),
    "a trial taken out": ("DELETE FROM trial WHERE number=1", "1 of 3 rows of table trial"),
    "the last trial taken out": ("DELETE FROM trial WHERE number=2", "trial 2 is missing"),
}


@pytest.mark.parametrize("edited", EDITS)
def test_an_edited_ledger_is_refused_and_told(run_dir, edited):
    statement, says = EDITS[edited]
    edit(run_dir, statement)
    refused(run_dir, says)
    assert says in " ".join(verify_run(run_dir).problems)


def test_a_newer_schema_is_refused(run_dir):
    edit(run_dir, "PRAGMA user_version=99")
    refused(run_dir, "schema version 99, this infoloop reads 1 to 2")
    with pytest.raises(LedgerError, match="schema version 99"):
        Ledger.read(run_dir)


@pytest.mark.parametrize("left", [0.3, 0.9])
def test_a_torn_ledger_is_refused(run_dir, left):
    path = run_dir / LEDGER_FILE
    whole = path.read_bytes()
    path.write_bytes(whole[: int(left * len(whole))])
    refused(run_dir, "not a readable ledger")
    (problem,) = verify_run(run_dir).problems
    assert "not a readable ledger" in problem


def test_a_ledger_overwritten_in_the_middle_is_refused(run_dir):
    path = run_dir / LEDGER_FILE
    whole = bytearray(path.read_bytes())
    whole[4096:8192] = os.urandom(4096)
    path.write_bytes(whole)
    refused(run_dir, r"ledger\.sqlite")


def test_a_run_killed_while_it_was_created_is_told(tmp_path):
    (tmp_path / LEDGER_FILE).touch()
    with pytest.raises(LedgerError, match="ended while the ledger was being created; delete"):
        Ledger.open(tmp_path)


def test_an_acknowledged_file_is_never_overwritten(run_dir):
    with Ledger.open(run_dir) as ledger:
        ledger.ask(number=3, phase="search", design=DESIGN)
        # As if somebody had renamed the frames of another trial in the ledger.
        ledger._connection.execute("UPDATE batch SET file='batches/trial00003.npy' WHERE trial=0")
        (run_dir / "batches/trial00000.npy").rename(run_dir / "batches/trial00003.npy")
        before = content(run_dir / "batches")
        with pytest.raises(LedgerError, match=r"trial00003\.npy is acknowledged and never"):
            ledger.capture(3, COUNTS + 1, {})
        assert content(run_dir / "batches") == before


# ---- folders that cannot be written


@pytest.fixture
def read_only(run_dir):
    """Make a run that this process may read but not write, also where it is root's."""
    if not hasattr(os, "seteuid"):
        pytest.skip("needs the permissions of POSIX")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "run"
        run_dir.rename(copy)
        for path in (Path(folder), *copy.rglob("*"), copy):
            path.chmod(0o555 if path.is_dir() else 0o444)
        is_root = os.geteuid() == 0
        if is_root:
            os.seteuid(65534)
        try:
            yield copy
        finally:
            if is_root:
                os.seteuid(0)
            for path in (Path(folder), copy, *copy.rglob("*")):
                path.chmod(0o755)


def test_a_read_only_folder_is_read_but_not_written(read_only):
    refused(read_only, "cannot be written .*; make the folder writable, or copy the run")
    with Ledger.read(read_only) as ledger:
        assert [row.state for row in ledger.trials()] == ["scored"] * 3
    assert verify_run(read_only).is_whole
    with pytest.raises(LedgerError, match=r"cannot write a run there .* choose another --output"):
        Ledger.create(read_only / "new", {})


# ---- two processes

HOLDER = """
import sys
from pathlib import Path
from instrument.campaign.ledger import Ledger
ledger = Ledger.open(Path(sys.argv[1]))
ledger.log("state", "only in the write-ahead log")
print("open", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def another_process(run_dir):
    """Hold a run open in another process; it is killed in the end."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(run_dir)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as holder:  # fmt: skip
        try:
            assert holder.stdout.readline() == "open\n"
            yield holder
        finally:
            holder.kill()


def test_two_processes_cannot_write_one_run_and_a_killed_one_does_not_block(run_dir):
    with another_process(run_dir) as holder:
        refused(run_dir, f"is being written by process {holder.pid} on .*, since .*; stop that")
        assert verify_run(run_dir).is_whole  # reading is free
    if hasattr(signal, "SIGKILL"):
        assert holder.returncode == -signal.SIGKILL
    with Ledger.open(run_dir) as ledger:
        assert [session.status for session in ledger.sessions()] == ["closed", "killed", "open"]
        assert ledger.journal()[-1].text == "only in the write-ahead log"
    (note,) = verify_run(run_dir).notes
    assert f"process {holder.pid}" in note


def test_a_killed_run_is_read_whole_in_a_folder_that_cannot_be_written(run_dir, request):
    with another_process(run_dir):
        pass
    assert (run_dir / f"{LEDGER_FILE}-wal").stat().st_size > 0
    (run_dir / f"{LEDGER_FILE}-shm").unlink()
    read_only = request.getfixturevalue("read_only")
    before = content(read_only)
    with Ledger.read(read_only) as ledger:
        assert ledger.journal()[-1].text == "only in the write-ahead log"
    assert content(read_only) == before
