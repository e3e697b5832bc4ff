"""One writer a run: a lock on a file beside the ledger, which the system frees when it dies."""

from __future__ import annotations

from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from instrument.campaign.ledger.problems import LedgerError

LOCK_FILE = "ledger.lock"


def lock_run(run_dir: Path) -> BaseFileLock | None:
    """Lock a run for this process, or return None where another one holds it.

    Raises
    ------
    LedgerError
        If the folder cannot be written.
    """
    path = run_dir / LOCK_FILE
    lock = FileLock(path, thread_local=False)  # a ledger may be closed by another thread
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return None
    except OSError as error:
        raise LedgerError(
            f"{run_dir}: cannot be written ({error}); make the folder writable, or copy the run "
            "to where you may write"
        ) from error
    return lock
