"""What can go wrong with a record, and how a failure of the disk or of SQLite is told."""

from __future__ import annotations

import errno
import shutil
import sqlite3
from pathlib import Path

_FULL_ERRNOS = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
# SQLite says IOERR_WRITE, not FULL, where a quota or a size limit ends the write.
_FULL_CODES = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE}


class LedgerError(Exception):
    """The record cannot be opened, read, written or trusted; says which file and what to do."""


class LedgerFull(LedgerError):  # noqa: N818 - it is a state of the disk; space ends it
    """The disk took no more; what was acknowledged stands, and the same call may be repeated.

    Parameters
    ----------
    path
        What was written.
    needed_bytes
        Size of what was to be written, or None where SQLite writes as much as it needs.
    free_bytes
        Free on that disk when the write failed; a quota or a size limit may be narrower.
    reason
        What the system said.
    """

    def __init__(self, path: Path, *, needed_bytes: int | None, free_bytes: int, reason: str):
        needed = "" if needed_bytes is None else f"{needed_bytes:,} bytes needed, "
        super().__init__(
            f"{path}: the disk takes no more ({reason}): {needed}{free_bytes:,} bytes free; "
            "make space, then go on: nothing that was acknowledged is lost"
        )
        self.path = path
        self.needed_bytes = needed_bytes
        self.free_bytes = free_bytes


class EndNotRecorded(LedgerError):  # noqa: N818 - a state of the record, as `LedgerFull`
    """A run has ended, and all is safe, but its record takes no more; it can be resumed."""

    def __init__(self, run_dir: Path, why: BaseException):
        super().__init__(
            f"the end of the run is not in its record: {why}\ngo on with: infoloop resume {run_dir}"
        )


def of_write(path: Path, error: OSError, *, needed_bytes: int) -> LedgerError:
    """Tell why a file could not be written."""
    if error.errno in _FULL_ERRNOS:
        return LedgerFull(
            path, needed_bytes=needed_bytes, free_bytes=_free_bytes(path), reason=str(error)
        )
    return LedgerError(f"{path}: cannot be written ({error})")


def of_transaction(path: Path, error: sqlite3.Error) -> LedgerError:
    """Tell why a transaction was not taken; it was rolled back."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    if code in _FULL_CODES or "disk is full" in str(error):
        return LedgerFull(path, needed_bytes=None, free_bytes=_free_bytes(path), reason=str(error))
    return LedgerError(f"{path}: cannot be written ({error})")


def _free_bytes(path: Path) -> int:
    return shutil.disk_usage(path.parent).free
