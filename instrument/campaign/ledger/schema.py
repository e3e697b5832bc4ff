"""Tables of the ledger, the digest of every row, and how an older schema becomes this one.

Documented column by column in docs/reference/ledger-schema.md. Every row holds the SHA-256 of its
content as stored; that of a trial covers the digests of its parts, so that a part cannot vanish.
It tells an edit or a rotten byte, not a forger.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

SCHEMA_VERSION = 2

COLUMNS = {
    "meta": ("key", "value"),
    "session": (
        "number", "host", "pid", "versions", "opened_at", "closed_at", "status", "seconds",
        "details",
    ),
    "trial": (
        "number", "phase", "state", "design", "plan", "session", "asked_at", "score",
        "standard_error", "estimate", "seconds", "timings", "why",
    ),
    "batch": (
        "trial", "part", "file", "sha256", "record", "objects", "session", "captured_at",
        "set_aside",
    ),
    "journal": ("number", "at", "session", "kind", "text", "data"),
}  # fmt: skip
"""Columns of every table that its digest covers, in that order."""

KEYS = {
    "meta": ("key",), "session": ("number",), "trial": ("number",), "batch": ("trial", "part"),
    "journal": ("number",),
}  # fmt: skip

DDL = (
    """
    CREATE TABLE meta (
        key TEXT PRIMARY KEY,
        value TEXT NOT NULL,
        digest TEXT NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE session (
        number INTEGER PRIMARY KEY,
        host TEXT NOT NULL,
        pid INTEGER NOT NULL,
        versions TEXT NOT NULL,
        opened_at TEXT NOT NULL,
        closed_at TEXT,
        status TEXT NOT NULL,
        seconds REAL,
        details TEXT NOT NULL,
        digest TEXT NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE trial (
        number INTEGER PRIMARY KEY,
        phase TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('asked', 'captured', 'scored', 'failed')),
        design TEXT NOT NULL,
        plan TEXT NOT NULL,
        session INTEGER REFERENCES session (number),
        asked_at TEXT NOT NULL,
        score REAL,
        standard_error REAL,
        estimate TEXT,
        seconds REAL,
        timings TEXT,
        why TEXT,
        digest TEXT NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE batch (
        trial INTEGER NOT NULL REFERENCES trial (number),
        part INTEGER NOT NULL,
        file TEXT NOT NULL UNIQUE,
        sha256 TEXT NOT NULL,
        record TEXT NOT NULL,
        objects INTEGER NOT NULL,
        session INTEGER REFERENCES session (number),
        captured_at TEXT,
        set_aside TEXT,
        digest TEXT NOT NULL,
        PRIMARY KEY (trial, part)
    ) STRICT
    """,
    """
    CREATE TABLE journal (
        number INTEGER PRIMARY KEY,
        at TEXT NOT NULL,
        session INTEGER REFERENCES session (number),
        kind TEXT NOT NULL,
        text TEXT NOT NULL,
        data TEXT NOT NULL,
        digest TEXT NOT NULL
    ) STRICT
    """,
)

_FROM_1 = (
    "ALTER TABLE meta RENAME TO meta_1",
    "ALTER TABLE trial RENAME TO trial_1",
    *DDL,
    "INSERT INTO meta SELECT key, value, '' FROM meta_1",
    "INSERT INTO trial SELECT number, phase, state, design, '{}', NULL, asked_at, score, "
    "standard_error, estimate, seconds, timings, why, '' FROM trial_1",
)


def create(connection: sqlite3.Connection) -> None:
    """Make the tables, inside the caller's transaction."""
    for statement in DDL:
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")


def version(connection: sqlite3.Connection) -> int:
    """Return the schema version of an open file."""
    (number,) = connection.execute("PRAGMA user_version").fetchone()
    return int(number)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring schema 1 to this one, inside the caller's transaction.

    What schema 1 did not know stays unknown: its rows have no session.
    """
    for statement in _FROM_1:
        connection.execute(statement)
    captured = connection.execute(
        "SELECT number, batch_file, batch_sha256, coalesce(record, '{}') FROM trial_1 "
        "WHERE batch_file IS NOT NULL"
    )
    for number, file, sha256, record in captured.fetchall():
        said = json.loads(record)  # not by SQLite, which refuses the NaN of a device
        connection.execute(
            "INSERT INTO batch VALUES (?,0,?,?,?,?,NULL,?,NULL,'')",
            (number, file, sha256, record, said.get("objects", 0), _ended_at(said)),
        )
    connection.execute("DROP TABLE meta_1")
    connection.execute("DROP TABLE trial_1")
    for table in ("meta", "batch", "trial"):  # a trial's digest covers its parts
        keys = ", ".join(KEYS[table])
        for key in connection.execute(f"SELECT {keys} FROM {table}").fetchall():  # noqa: S608
            seal(connection, table, *key)
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")


def _ended_at(record: Mapping[str, Any]) -> str | None:
    times = record.get("captured_at")
    return times[-1] if times else None


def seal(connection: sqlite3.Connection, table: str, *key: str | int) -> None:
    """Write the digest of a row as it is stored now."""
    where = " AND ".join(f"{column}=?" for column in KEYS[table])
    columns = ", ".join(COLUMNS[table])
    row = connection.execute(f"SELECT {columns} FROM {table} WHERE {where}", key)  # noqa: S608
    digest = _digest(connection, table, row.fetchone())
    connection.execute(f"UPDATE {table} SET digest=? WHERE {where}", (digest, *key))  # noqa: S608


def edited_rows(connection: sqlite3.Connection) -> Iterator[str]:
    """Name every row that is not what was written, and every gap where rows are missing."""
    for table, columns in COLUMNS.items():
        keys = KEYS[table]
        selected = f"SELECT digest, {', '.join(columns)} FROM {table} ORDER BY {', '.join(keys)}"  # noqa: S608
        for digest, *values in connection.execute(selected).fetchall():
            if digest != _digest(connection, table, values):
                yield f"{_named(table, values)} is not what was written (its digest differs)"
    for table in ("trial", "session", "journal"):
        yield from _gaps(connection, table)
    orphans = connection.execute(
        "SELECT DISTINCT trial FROM batch WHERE trial NOT IN (SELECT number FROM trial)"
    )
    for (trial,) in orphans:
        yield f"trial {trial} is missing, but frames of it are recorded"


def _digest(connection: sqlite3.Connection, table: str, values: Sequence[object]) -> str:
    content: list[object] = [table, *values]
    if table == "trial":
        parts = connection.execute(
            "SELECT digest FROM batch WHERE trial=? ORDER BY part", (values[0],)
        )
        content.extend(digest for (digest,) in parts)
    text = json.dumps(content, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _named(table: str, values: Sequence[object]) -> str:
    if table == "batch":
        return f"trial {values[0]}, part {values[1]} of its frames,"
    return f"{table} {values[0]}"


def _gaps(connection: sqlite3.Connection, table: str) -> Iterator[str]:
    count, last = connection.execute(
        f"SELECT count(*), coalesce(max(number), -1) FROM {table}"  # noqa: S608
    ).fetchone()
    if count != last + 1:
        yield f"{last + 1 - count} of {last + 1} rows of table {table} are missing"
