"""A disk that takes no more: nothing acknowledged is lost, and the same call succeeds later."""

import contextlib
import errno
import sys

import numpy as np
import pytest

from instrument.campaign.ledger import Ledger, LedgerError, LedgerFull, files, verify_run
from instrument.design import Design

COUNTS = np.arange(2**19, dtype=np.uint32).astype(np.uint16).reshape(2, 1, 512, 512)  # 1 MiB
DESIGN = Design({"focus": (1.5,)})


@pytest.fixture
def ledger(tmp_path):
    with Ledger.create(tmp_path / "run", {}) as ledger:
        ledger.ask(number=0, phase="search", design=DESIGN)
        ledger.capture(0, COUNTS[:, :, :8, :8], {"objects": 2})
        ledger.ask(number=1, phase="search", design=DESIGN)
        yield ledger


@contextlib.contextmanager
def files_end_at(size):
    """Let the system refuse every write beyond a size, as a quota does."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def is_as_it_was_and_takes_it_now(ledger):
    """Whether nothing is left of the failure, and the same capture succeeds."""
    assert [row.state for row in ledger.trials()] == ["captured", "asked"]
    assert len(list((ledger.run_dir / "batches").iterdir())) == 1
    ledger.capture(1, COUNTS, {"objects": 2})
    np.testing.assert_array_equal(ledger.load_batch(ledger.trials()[1]), COUNTS)
    assert verify_run(ledger.run_dir).is_whole


def test_frames_that_do_not_fit_are_told_and_captured_later(ledger):
    with files_end_at(2**19), pytest.raises(LedgerFull, match="1,048,576 bytes needed") as caught:
        ledger.capture(1, COUNTS, {"objects": 2})
    assert caught.value.needed_bytes == COUNTS.nbytes
    assert caught.value.path == ledger.run_dir / "batches/trial00001.npy"
    assert caught.value.free_bytes > 0
    is_as_it_was_and_takes_it_now(ledger)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_is_full_only_when_it_is_synced_is_the_same(ledger, monkeypatch, call):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    where = (files.os, "fsync") if call == "fsync" else (files.Path, "replace")
    with monkeypatch.context() as patched:
        patched.setattr(*where, full)
        with pytest.raises(LedgerFull, match="No space left"):
            ledger.capture(1, COUNTS, {"objects": 2})
    is_as_it_was_and_takes_it_now(ledger)


def test_another_failure_of_the_disk_is_not_called_full(ledger, monkeypatch):
    def broken(*_):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(files.os, "fsync", broken)
        with pytest.raises(LedgerError, match="cannot be written") as caught:
            ledger.capture(1, COUNTS, {"objects": 2})
    assert not isinstance(caught.value, LedgerFull)
    is_as_it_was_and_takes_it_now(ledger)


@contextlib.contextmanager
def no_more_pages(ledger):
    """Let SQLite say that the disk is full, by itself."""
    (pages,) = ledger._connection.execute("PRAGMA page_count").fetchone()
    (most,) = ledger._connection.execute("PRAGMA max_page_count").fetchone()
    ledger._connection.execute(f"PRAGMA max_page_count={pages}")
    yield
    ledger._connection.execute(f"PRAGMA max_page_count={most}")


def a_log_growing_to(ledger):
    return files_end_at((ledger.run_dir / "ledger.sqlite-wal").stat().st_size + 4096)


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
@pytest.mark.parametrize("full", [no_more_pages, a_log_growing_to])
def test_a_row_that_does_not_fit_is_told_and_taken_later(ledger, full):
    text = "x" * 100_000
    with full(ledger), pytest.raises(LedgerFull, match=r"ledger\.sqlite: the disk takes no more"):
        ledger.log("note", text)
    assert ledger.journal() == []
    ledger.log("note", text)
    assert [row.text for row in ledger.journal()] == [text]
    is_as_it_was_and_takes_it_now(ledger)


def test_a_run_that_could_not_be_created_can_be_created_later(tmp_path):
    with files_end_at(2**15), pytest.raises(LedgerError):
        Ledger.create(tmp_path / "run", {"config": "x" * 2**16})
    with Ledger.create(tmp_path / "run", {"config": "x" * 2**16}) as ledger:
        assert len(ledger.meta()["config"]) == 2**16


def test_a_run_that_could_not_be_opened_can_be_opened_later(ledger):
    ledger.close()
    with files_end_at(1), pytest.raises(LedgerError, match=r"ledger\.sqlite"):
        Ledger.open(ledger.run_dir)
    assert verify_run(ledger.run_dir).is_whole
    Ledger.open(ledger.run_dir).close()


def test_a_full_disk_does_not_keep_a_run_from_being_closed(ledger):
    with a_log_growing_to(ledger):
        with pytest.raises(LedgerFull):
            ledger.describe_session(text="x" * 100_000)
        ledger.close()
    assert verify_run(ledger.run_dir).is_whole
    Ledger.open(ledger.run_dir).close()
