"""The durable record of a campaign: one SQLite file and one immutable `.npy` file a batch.

The only module that knows the format. A trial passes through three states, each one transaction:
`asked` (the design is decided), `captured` (its frames are on the disk, with their SHA-256),
`scored` or `failed`. What is acknowledged survives a kill -9 at any instant; a batch file without
a row is debris of such a kill and is overwritten.

Schema version 1 (`PRAGMA user_version`):

    meta(key TEXT PRIMARY KEY, value TEXT)                    JSON values
    trial(number INTEGER PRIMARY KEY, phase TEXT, state TEXT, design TEXT, asked_at TEXT,
          batch_file TEXT, batch_sha256 TEXT, record TEXT,    what the devices said (JSON)
          score REAL, standard_error REAL, estimate TEXT,     estimate as JSON
          seconds REAL, timings TEXT, why TEXT)
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instrument.design import Design

SCHEMA_VERSION = 1
LEDGER_FILE = "ledger.sqlite"
BATCH_FOLDER = "batches"

_SCHEMA = """
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


class LedgerError(Exception):
    """The record cannot be opened, read or trusted; says which file and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRow:
    """One trial as the ledger holds it.

    Parameters
    ----------
    number, phase, state
        Trial number from 0; `initial`, `search` or `confirm`; see the module docstring.
    design
        What was applied.
    record
        What the devices said while it was captured.
    score, standard_error
        Objective and its standard error, when scored.
    estimate
        The whole `InformationEstimate`, as plain values.
    seconds, timings
        Duration of the trial, and where it went (seconds by name).
    why
        Why it failed.
    """

    number: int
    phase: str
    state: str
    design: Design
    asked_at: str
    batch_file: str | None
    batch_sha256: str | None
    record: dict[str, Any]
    score: float | None
    standard_error: float | None
    estimate: dict[str, Any]
    seconds: float | None
    timings: dict[str, float]
    why: str | None


class Ledger:
    """An open run directory; the one writer of its ledger.

    Use `create` for a new run and `open` for an existing one; close it, or use `with`.
    """

    def __init__(self, run_dir: Path, connection: sqlite3.Connection):
        self.run_dir = run_dir
        self._connection = connection

    @classmethod
    def create(cls, run_dir: Path, meta: Mapping[str, Any]) -> Ledger:
        """Start a record in a new or empty folder.

        Raises
        ------
        LedgerError
            If there is a ledger already, or the folder cannot be written.
        """
        path = run_dir / LEDGER_FILE
        if path.exists():
            raise LedgerError(
                f"{run_dir} already holds a run; continue it with `infoloop resume {run_dir}`, "
                "or choose another --output"
            )
        try:
            (run_dir / BATCH_FOLDER).mkdir(parents=True, exist_ok=True)
            connection = _connect(path)
        except (OSError, sqlite3.Error) as error:
            raise LedgerError(
                f"{run_dir}: cannot write a run there ({error}); choose another --output"
            ) from error
        with connection:
            connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version={SCHEMA_VERSION};")
            connection.executemany(
                "INSERT INTO meta VALUES (?, ?)", [(k, json.dumps(v)) for k, v in meta.items()]
            )
        _sync_folder(run_dir)
        return cls(run_dir, connection)

    @classmethod
    def open(cls, run_dir: Path) -> Ledger:
        """Open an existing record.

        Raises
        ------
        LedgerError
            If there is none, or its schema is not ours.
        """
        path = run_dir / LEDGER_FILE
        if not path.is_file():
            raise LedgerError(f"{run_dir} holds no run ({LEDGER_FILE} is missing)")
        try:
            connection = _connect(path)
            (version,) = connection.execute("PRAGMA user_version").fetchone()
        except sqlite3.Error as error:
            raise LedgerError(f"{path}: not a readable ledger ({error})") from error
        if version != SCHEMA_VERSION:
            connection.close()
            raise LedgerError(
                f"{path}: schema version {version}, this infoloop reads {SCHEMA_VERSION}; "
                "use the infoloop version named in the run's report"
            )
        return cls(run_dir, connection)

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._connection.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- what is known

    def meta(self) -> dict[str, Any]:
        """Everything said about the run as a whole."""
        rows = self._connection.execute("SELECT key, value FROM meta ORDER BY key")
        return {key: json.loads(value) for key, value in rows}

    def set_meta(self, key: str, value: Any) -> None:
        """Say something about the run as a whole, replacing what was said before."""
        with self._connection:
            self._connection.execute(
                "INSERT INTO meta VALUES (?, ?) "
                "ON CONFLICT (key) DO UPDATE SET value=excluded.value",
                (key, json.dumps(value)),
            )

    def trials(self) -> list[TrialRow]:
        """All trials in order of their number."""
        columns = ", ".join(TrialRow.__slots__)
        rows = self._connection.execute(f"SELECT {columns} FROM trial ORDER BY number")  # noqa: S608
        return [_row(values) for values in rows]

    def load_batch(self, trial: TrialRow) -> NDArray[np.uint16]:
        """Frames of a trial, (objects, shots, height, width), checked against their hash.

        Raises
        ------
        LedgerError
            If the file is missing or is not what was acknowledged.
        """
        if trial.batch_file is None:
            raise LedgerError(f"trial {trial.number} has no frames: {trial.why or trial.state}")
        path = self.run_dir / trial.batch_file
        try:
            content = path.read_bytes()
        except OSError as error:
            raise LedgerError(f"trial {trial.number}: {path} cannot be read ({error})") from error
        if hashlib.sha256(content).hexdigest() != trial.batch_sha256:
            raise LedgerError(
                f"trial {trial.number}: {path} is not the file that was acknowledged "
                "(its SHA-256 differs); restore it from a copy"
            )
        return np.load(io.BytesIO(content), allow_pickle=False)

    # ---- what happens, in this order for every trial

    def ask(self, *, number: int, phase: str, design: Design) -> None:
        """Record that a design is decided, before anything moves."""
        with self._connection:
            self._connection.execute(
                "INSERT INTO trial (number, phase, state, design, asked_at) VALUES (?,?,?,?,?)",
                (number, phase, "asked", design.to_json(), datetime.now(UTC).isoformat()),
            )

    def capture(self, number: int, counts: NDArray[np.uint16], record: Mapping[str, Any]) -> None:
        """Make a batch durable; returns when disk and ledger both hold it."""
        name = f"{BATCH_FOLDER}/trial{number:05d}.npy"
        digest = _write_durably(self.run_dir / name, counts)
        with self._connection:
            self._connection.execute(
                "UPDATE trial SET state='captured', batch_file=?, batch_sha256=?, record=? "
                "WHERE number=?",
                (name, digest, json.dumps(record), number),
            )

    def score(
        self,
        number: int,
        *,
        score: float,
        standard_error: float,
        estimate: Mapping[str, Any],
        seconds: float,
        timings: Mapping[str, float],
    ) -> None:
        """Acknowledge the score of a captured trial."""
        with self._connection:
            self._connection.execute(
                "UPDATE trial SET state='scored', score=?, standard_error=?, estimate=?, "
                "seconds=?, timings=? WHERE number=?",
                (
                    score,
                    standard_error,
                    json.dumps(estimate, allow_nan=False),
                    seconds,
                    json.dumps(timings),
                    number,
                ),
            )

    def fail(self, number: int, *, why: str, seconds: float) -> None:
        """Record that a trial has no score, and why."""
        with self._connection:
            self._connection.execute(
                "UPDATE trial SET state='failed', why=?, seconds=? WHERE number=?",
                (why, seconds, number),
            )


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=5.0)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")  # acknowledged trials survive power loss too
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _row(values: tuple[Any, ...]) -> TrialRow:
    fields = dict(zip(TrialRow.__slots__, values, strict=True))
    for name in ("record", "estimate", "timings"):
        fields[name] = json.loads(fields[name] or "{}")
    fields["design"] = Design.from_json(fields["design"])
    return TrialRow(**fields)


def _write_durably(path: Path, array: NDArray[np.uint16]) -> str:
    """Write to a temporary file, sync, rename, sync the folder; return the SHA-256."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    content = buffer.getbuffer()
    temporary = path.with_suffix(".partial")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    _sync_folder(path.parent)
    return hashlib.sha256(content).hexdigest()


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot open a folder; NTFS journals the rename itself
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
