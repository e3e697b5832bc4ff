"""How the SQLite file is opened: for its one writer, or as a copy in memory that changes nothing.

The writer's journal is a write-ahead log and every commit is synced (WAL, `synchronous=FULL`), so
that what is acknowledged survives a kill and a loss of power.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Generator
from pathlib import Path

from instrument.campaign.ledger import schema
from instrument.campaign.ledger.problems import LedgerError, of_transaction

_ATTEMPTS = 5


def create_file(path: Path) -> sqlite3.Connection:
    """Open a new file for writing; raises `sqlite3.Error`."""
    return _configured(sqlite3.connect(path, isolation_level=None, check_same_thread=False))


def remove_file(path: Path) -> None:
    """Remove a file whose creation failed, and what SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(OSError):  # what stays is told as never begun
            path.with_name(path.name + suffix).unlink()


def open_file(path: Path) -> sqlite3.Connection:
    """Open an existing file for writing, bring it to the present schema and check every row.

    Raises
    ------
    LedgerError
        If it is not a ledger, was made by a newer infoloop, or is not what was written; nothing is
        changed then.
    """
    _check_present(path)
    # What is wrong with it is found in a copy: even opening a file for writing may change it.
    with contextlib.closing(read_file(path)) as copy:
        problems = list(schema.edited_rows(copy))
    if problems:
        raise LedgerError(
            f"{path}: {problems[0]}"
            + (f", and {len(problems) - 1} more" if len(problems) > 1 else "")
            + f"; see `infoloop verify {path.parent}`, and restore the file from a copy"
        )
    try:
        connection = create_file(path)
    except sqlite3.Error as error:
        raise LedgerError(f"{path}: cannot be opened for writing ({error})") from error
    try:
        old = schema.version(connection)
        if old != schema.SCHEMA_VERSION:
            _keep_copy(connection, path.with_name(f"{path.stem}.v{old}{path.suffix}"))
            with transaction(connection, path):
                schema.migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def read_file(path: Path) -> sqlite3.Connection:
    """Copy an existing file into memory, as it was at one instant, in the present schema.

    The file is not changed, also where it has an older schema. Works while a writer goes on.

    Raises
    ------
    LedgerError
        If it is not a ledger, or was made by a newer infoloop.
    """
    _check_present(path)
    try:
        copy = _in_memory(path)
    except (sqlite3.Error, OSError) as error:
        raise LedgerError(_unreadable(path, str(error))) from error
    try:
        _check_whole(copy, path)
        if schema.version(copy) != schema.SCHEMA_VERSION:
            with transaction(copy, path):
                schema.migrate(copy)
    except sqlite3.Error as error:
        copy.close()
        raise LedgerError(_unreadable(path, str(error))) from error
    except BaseException:
        copy.close()
        raise
    return copy


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection, path: Path) -> Generator[None]:
    """All of what is written inside, or nothing.

    Raises
    ------
    LedgerFull, LedgerError
        SQLite did not take it; it is rolled back.
    """
    try:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # a full disk may have rolled it back already
                connection.execute("ROLLBACK")
            raise
    except sqlite3.Error as error:
        raise of_transaction(path, error) from error


def _configured(connection: sqlite3.Connection) -> sqlite3.Connection:
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _check_present(path: Path) -> None:
    if not path.is_file():
        raise LedgerError(f"{path.parent} holds no run ({path.name} is missing)")


def _check_whole(connection: sqlite3.Connection, path: Path) -> None:
    number = schema.version(connection)
    if number == 0:
        raise LedgerError(
            f"{path.parent} holds no run: it ended while the ledger was being created; delete the "
            "folder and start again"
        )
    if not 1 <= number <= schema.SCHEMA_VERSION:
        raise LedgerError(
            f"{path}: schema version {number}, this infoloop reads 1 to {schema.SCHEMA_VERSION}; "
            "use the infoloop version named in the run's report"
        )
    (said, *_) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if said != "ok":
        raise LedgerError(_unreadable(path, said))


def _unreadable(path: Path, why: str) -> str:
    return f"{path}: not a readable ledger ({why}); restore it from a copy"


def _in_memory(path: Path) -> sqlite3.Connection:
    """Copy a file without leaving anything beside it.

    A file that nobody writes is opened as immutable: SQLite would leave its shared memory there, or
    fail where the folder is read only.
    """
    log = path.with_name(path.name + "-wal")
    for _ in range(_ATTEMPTS):
        had_log = log.exists()
        try:
            copy = _backup(path, "mode=ro" if had_log else "immutable=1")
        except sqlite3.OperationalError:
            if not had_log:
                raise
            copy = _copied_with_log(path, log)
        if log.exists() == had_log:  # else a writer came or went meanwhile
            return copy
        copy.close()
    raise sqlite3.OperationalError("a writer opens and closes it all the time")


def _copied_with_log(path: Path, log: Path) -> sqlite3.Connection:
    """Read a file and the log that a killed writer left, in a folder that cannot be written."""
    with tempfile.TemporaryDirectory() as folder:
        copied = Path(folder) / path.name
        shutil.copyfile(path, copied)
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(log, copied.with_name(log.name))
        return _backup(copied, "mode=rwc")


def _backup(path: Path, how: str) -> sqlite3.Connection:
    copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.resolve().as_uri()}?{how}", uri=True)
        ) as source:
            source.backup(copy)
    except BaseException:
        copy.close()
        raise
    return copy


def _keep_copy(connection: sqlite3.Connection, path: Path) -> None:
    """Keep an older file as it was, before its schema changes."""
    if path.exists():
        return  # of a migration that was killed: the copy was made before anything changed
    partial = path.with_name(path.name + ".partial")
    try:
        partial.unlink(missing_ok=True)
        with contextlib.closing(sqlite3.connect(partial)) as copy:
            connection.backup(copy)
        partial.replace(path)
    except (OSError, sqlite3.Error) as error:
        raise LedgerError(
            f"{path}: cannot keep a copy of the older schema ({error}); make space, then try again"
        ) from error
