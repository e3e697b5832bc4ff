"""The record of one run: what happens to a trial, in its order, each step one transaction.

A trial is `asked` (its design is decided), `captured` (the first part of its frames is on the
disk), then `scored` or `failed`. What is acknowledged survives a kill -9 at any instant; a batch
file without a row is debris of such a kill and is replaced.
"""

from __future__ import annotations

import json
import math
import os
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from filelock import BaseFileLock
from numpy.typing import NDArray

from instrument.campaign.ledger import schema
from instrument.campaign.ledger.connection import (
    create_file,
    open_file,
    read_file,
    remove_file,
    transaction,
)
from instrument.campaign.ledger.files import (
    BATCH_FOLDER,
    batch_name,
    read_frames,
    sync_folder,
    write_frames,
)
from instrument.campaign.ledger.lock import lock_run
from instrument.campaign.ledger.patience import again_when_full
from instrument.campaign.ledger.problems import LedgerError, LedgerFull
from instrument.campaign.ledger.rows import (
    BatchPart,
    JournalRow,
    SessionRow,
    TrialRow,
    journal_of,
    part_of,
    session_of,
    trial_of,
)
from instrument.campaign.ledger.session import versions
from instrument.design import Design

LEDGER_FILE = "ledger.sqlite"


class Ledger:
    """The record in a run directory.

    `create` a new one and `open` an existing one to write: one process at a time may. `read` it
    from anywhere, also meanwhile. Close it, or use `with`. Any thread may call.

    Raises
    ------
    LedgerFull
        From everything that writes: the disk took no more; the same call may be repeated, and is
        where `on_full` is set and returns (`instrument.campaign.ledger.patience`).
    LedgerError
        From everything: the file cannot be read or written, or the step is not the trial's next.
    """

    def __init__(self, run_dir: Path, connection: sqlite3.Connection, *, lock: BaseFileLock | None):
        self.run_dir = run_dir
        self._connection = connection
        self._lock = lock
        self._one_at_a_time = threading.RLock()
        self._started_s = time.monotonic()
        self._session: int | None = None
        self._is_open = True
        self.on_full: Callable[[LedgerFull], None] | None = None
        self.is_waiting = False

    @classmethod
    def create(cls, run_dir: Path, meta: Mapping[str, Any]) -> Ledger:
        """Start a record in a new or empty folder, and open it to write.

        Raises
        ------
        LedgerError
            If there is a ledger already, or the folder cannot be written.
        """
        path = run_dir / LEDGER_FILE
        _check_new(path)
        try:
            (run_dir / BATCH_FOLDER).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _cannot_create(run_dir, error) from error
        with ExitStack() as undo:
            lock = _locked(run_dir)
            undo.callback(lock.release)
            _check_new(path)  # nobody created it meanwhile
            undo.callback(remove_file, path)  # so that the same call may be repeated
            try:
                connection = create_file(path)
                undo.callback(connection.close)
                ledger = cls(run_dir, connection, lock=lock)
                with ledger._writing():
                    schema.create(connection)
                    for key, value in meta.items():
                        ledger._put_meta(key, value)
                    ledger._begin_session()
                sync_folder(run_dir)
            except (OSError, sqlite3.Error) as error:
                raise _cannot_create(run_dir, error) from error
            undo.pop_all()
        return ledger

    @classmethod
    def open(cls, run_dir: Path) -> Ledger:
        """Open an existing record to write; a record of schema 1 is brought to the present one.

        Raises
        ------
        LedgerError
            If there is none, its schema is newer, it was torn or edited, the folder cannot be
            written, or another process has it open. Nothing is changed then.
        """
        path = run_dir / LEDGER_FILE
        if not path.is_file():
            raise LedgerError(f"{run_dir} holds no run ({LEDGER_FILE} is missing)")
        with ExitStack() as undo:
            lock = _locked(run_dir)
            undo.callback(lock.release)
            connection = open_file(path)
            undo.callback(connection.close)
            ledger = cls(run_dir, connection, lock=lock)
            with ledger._writing():
                ledger._begin_session()
            undo.pop_all()
        return ledger

    @classmethod
    def read(cls, run_dir: Path) -> Ledger:
        """Read an existing record as it is now; nothing is changed, nothing can be written.

        Works while a run goes on (what comes later is not in it: read again), in a folder that
        cannot be written, and on schema 1.

        Raises
        ------
        LedgerError
            If there is none, its schema is newer, or it is torn.
        """
        return cls(run_dir, read_file(run_dir / LEDGER_FILE), lock=None)

    def close(self) -> None:
        """Say that the session ended, close the file and let others write. Idempotent."""
        with self._one_at_a_time:
            if not self._is_open:
                return
            self._is_open = False
            try:
                if self._lock is not None:
                    with suppress(LedgerError):  # a full disk: the next session says it was open
                        self._end_session()
            finally:
                self._connection.close()
                if self._lock is not None:
                    self._lock.release()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- what is known

    def meta(self) -> dict[str, Any]:
        """Everything said about the run as a whole."""
        return {row["key"]: json.loads(row["value"]) for row in self._rows("meta")}

    def trials(self) -> list[TrialRow]:
        """All trials in order of their number."""
        with self._one_at_a_time:
            rows, parts = self._rows("trial"), self._rows("batch")
        of_trial: dict[int, list[BatchPart]] = {}
        for part in map(part_of, parts):
            of_trial.setdefault(part.trial, []).append(part)
        return [trial_of(row, of_trial.get(row["number"], [])) for row in rows]

    @property
    def n_trials(self) -> int:
        """How many trials there are, whatever their state."""
        with self._one_at_a_time:
            (count,) = self._connection.execute("SELECT count(*) FROM trial").fetchone()
        return int(count)

    def trial(self, number: int) -> TrialRow:
        """One trial; raises `LedgerError` if there is none of that number."""
        with self._one_at_a_time:
            rows = self._rows("trial", "number", number)
            parts = self._rows("batch", "trial", number)
        if not rows:
            raise LedgerError(f"{self.run_dir}: there is no trial {number}")
        return trial_of(rows[0], [part_of(part) for part in parts])

    def journal(self) -> list[JournalRow]:
        """Everything that was logged, in its order."""
        return [journal_of(row) for row in self._rows("journal")]

    def sessions(self) -> list[SessionRow]:
        """Every process that opened the run to write, in their order."""
        return [session_of(row) for row in self._rows("session")]

    def load_batch(self, trial: TrialRow) -> NDArray[np.uint16]:
        """Frames of a trial, (objects, shots, height, width), all parts, checked by their hashes.

        Raises
        ------
        LedgerError
            If a file is missing or is not what was acknowledged.
        """
        if not trial.parts:
            raise LedgerError(f"trial {trial.number} has no frames: {trial.why or trial.state}")
        return read_frames(self.run_dir, trial.parts)

    # ---- what happens, in this order for every trial

    @again_when_full
    def ask(
        self, *, number: int, phase: str, design: Design, plan: Mapping[str, Any] | None = None
    ) -> None:
        """Record that a design is decided, before anything moves.

        Parameters
        ----------
        number, phase, design
            The next trial number; see `TrialRow`.
        plan
            What the proposal carried besides, as plain values.
        """
        with self._writing():
            ((following,),) = self._select("SELECT coalesce(max(number), -1) + 1 FROM trial")
            if number != following:
                raise LedgerError(
                    f"{self.run_dir}: trial {number} cannot be asked, trial {following} is next"
                )
            self._connection.execute(
                "INSERT INTO trial (number, phase, state, design, plan, session, asked_at, digest) "
                "VALUES (?,?,'asked',?,?,?,?,'')",
                (number, phase, design.to_json(), _json(plan or {}), self._session, _now()),
            )
            self._seal("trial", number)

    @again_when_full
    def capture(self, number: int, counts: NDArray[np.uint16], record: Mapping[str, Any]) -> None:
        """Make the next part of a trial's frames durable; returns when disk and ledger hold it.

        Parameters
        ----------
        number
            Of a trial that is asked or captured.
        counts
            (objects, shots, height, width).
        record
            What the devices said, as plain values.
        """
        with self._one_at_a_time:
            self._check_writable()
            self._state(number, "capture", "asked", "captured")
            ((part,),) = self._select(
                "SELECT coalesce(max(part), -1) + 1 FROM batch WHERE trial=?", number
            )
            name, said = batch_name(number, part), _json(record)
            if self._select("SELECT 1 FROM batch WHERE file=?", name):
                raise LedgerError(f"{self.run_dir / name} is acknowledged and never overwritten")
            sha256 = write_frames(self.run_dir / name, counts)
            with self._writing():
                self._connection.execute(
                    "INSERT INTO batch VALUES (?,?,?,?,?,?,?,?,NULL,'')",
                    (number, part, name, sha256, said, len(counts), self._session, _now()),
                )
                self._connection.execute(
                    "UPDATE trial SET state='captured' WHERE number=?", (number,)
                )
                self._seal("batch", number, part)
                self._seal("trial", number)

    @again_when_full
    def set_aside(self, number: int, *, why: str) -> None:
        """Keep the parts of an unfinished trial but use them no more: it is captured again."""
        with self._writing():
            self._state(number, "set aside", "asked", "captured")
            used = self._select(
                "SELECT part FROM batch WHERE trial=? AND set_aside IS NULL", number
            )
            for (part,) in used:
                self._connection.execute(
                    "UPDATE batch SET set_aside=? WHERE trial=? AND part=?", (why, number, part)
                )
                self._seal("batch", number, part)
            self._connection.execute("UPDATE trial SET state='asked' WHERE number=?", (number,))
            self._seal("trial", number)

    @again_when_full
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
        if not (math.isfinite(score) and math.isfinite(standard_error)):
            raise ValueError(f"trial {number}: score {score} +- {standard_error} is not a number")
        said = json.dumps(estimate, allow_nan=False)
        values = (score, standard_error, said, seconds, _json(timings), number)
        with self._writing():
            self._state(number, "score", "captured")
            self._connection.execute(
                "UPDATE trial SET state='scored', score=?, standard_error=?, estimate=?, "
                "seconds=?, timings=? WHERE number=?",
                values,
            )
            self._seal("trial", number)

    @again_when_full
    def fail(self, number: int, *, why: str, seconds: float) -> None:
        """Record that a trial has no score, and why."""
        with self._writing():
            self._state(number, "fail", "asked", "captured")
            self._connection.execute(
                "UPDATE trial SET state='failed', why=?, seconds=? WHERE number=?",
                (why, seconds, number),
            )
            self._seal("trial", number)

    # ---- what happens to the run as a whole

    @again_when_full
    def set_meta(self, key: str, value: Any) -> None:
        """Say something about the run as a whole, replacing what was said before."""
        with self._writing():
            self._put_meta(key, value)

    @again_when_full
    def log(self, kind: str, text: str, **data: Any) -> None:
        """Record at once that something happened: `kind` to select by, `text` for the person."""
        with self._writing():
            cursor = self._connection.execute(
                "INSERT INTO journal VALUES "
                "((SELECT coalesce(max(number), -1) + 1 FROM journal),?,?,?,?,?,'')",
                (_now(), self._session, kind, text, _json(data)),
            )
            self._seal("journal", int(cursor.lastrowid or 0))

    @again_when_full
    def describe_session(self, *, status: str | None = None, **details: Any) -> None:
        """Say what this session found (its devices, ...) or came to; adds to what was said."""
        with self._writing():
            ((said,),) = self._select("SELECT details FROM session WHERE number=?", self._session)
            self._connection.execute(
                "UPDATE session SET details=?, status=coalesce(?, status) WHERE number=?",
                (_json({**json.loads(said), **details}), status, self._session),
            )
            self._seal("session", self._session or 0)

    # ---- inside

    @contextmanager
    def _writing(self) -> Generator[None]:
        with self._one_at_a_time:
            self._check_writable()
            with transaction(self._connection, self.run_dir / LEDGER_FILE):
                yield

    def _check_writable(self) -> None:
        if self._lock is None:
            raise LedgerError(f"{self.run_dir} was opened for reading only")

    def _state(self, number: int, step: str, *allowed: str) -> None:
        """Raise unless the trial is where this step may follow."""
        rows = self._select("SELECT state FROM trial WHERE number=?", number)
        state = rows[0][0] if rows else "not asked"
        if state not in allowed:
            raise LedgerError(f"{self.run_dir}: cannot {step} trial {number}, it is {state}")

    def _seal(self, table: str, *key: int) -> None:
        schema.seal(self._connection, table, *key)

    def _put_meta(self, key: str, value: Any) -> None:
        self._connection.execute(
            "INSERT INTO meta VALUES (?, ?, '') "
            "ON CONFLICT (key) DO UPDATE SET value=excluded.value",
            (key, _json(value)),
        )
        schema.seal(self._connection, "meta", key)

    def _rows(self, table: str, where: str | None = None, number: int = 0) -> list[dict[str, Any]]:
        """Rows of a table in order: all, or those with a number in the column `where`."""
        columns, keys = schema.COLUMNS[table], schema.KEYS[table]
        only = "" if where is None else f"WHERE {where}={int(number)} "
        selected = f"SELECT {', '.join(columns)} FROM {table} {only}ORDER BY {', '.join(keys)}"  # noqa: S608
        return [dict(zip(columns, row, strict=True)) for row in self._select(selected)]

    def _select(self, statement: str, *values: str | int | None) -> list[tuple[Any, ...]]:
        with self._one_at_a_time:
            try:
                return self._connection.execute(statement, values).fetchall()
            except sqlite3.Error as error:
                path = self.run_dir / LEDGER_FILE
                raise LedgerError(f"{path}: cannot be read ({error})") from error

    def _begin_session(self) -> None:
        """Add a row for this process, and close those of processes that were killed."""
        for (number,) in self._select(
            "SELECT number FROM session WHERE closed_at IS NULL AND status='open'"
        ):
            self._connection.execute("UPDATE session SET status='killed' WHERE number=?", (number,))
            self._seal("session", number)
        cursor = self._connection.execute(
            "INSERT INTO session VALUES ((SELECT coalesce(max(number), -1) + 1 FROM session),"
            "?,?,?,?,NULL,'open',NULL,'{}','')",
            (socket.gethostname(), os.getpid(), _json(versions()), _now()),
        )
        self._session = int(cursor.lastrowid or 0)
        self._seal("session", self._session)

    def _end_session(self) -> None:
        seconds = time.monotonic() - self._started_s
        with self._writing():
            self._connection.execute(
                "UPDATE session SET closed_at=?, seconds=?, "
                "status=CASE status WHEN 'open' THEN 'closed' ELSE status END WHERE number=?",
                (_now(), seconds, self._session),
            )
            self._seal("session", self._session or 0)


def _locked(run_dir: Path) -> BaseFileLock:
    lock = lock_run(run_dir)
    if lock is None:
        raise LedgerError(
            f"{run_dir} is being written by {_holder(run_dir)}; stop that one first, or wait"
        )
    return lock


def _holder(run_dir: Path) -> str:
    """Say who holds the lock, as far as its session is known."""
    try:
        with Ledger.read(run_dir) as ledger:
            last = ledger.sessions()[-1]
    except (LedgerError, IndexError):
        return "another process"
    return f"process {last.pid} on {last.host}, since {last.opened_at}"


def _check_new(path: Path) -> None:
    if path.exists():
        raise LedgerError(
            f"{path.parent} already holds a run; continue it with `infoloop resume {path.parent}`, "
            "or choose another --output"
        )


def _cannot_create(run_dir: Path, error: Exception) -> LedgerError:
    return LedgerError(f"{run_dir}: cannot write a run there ({error}); choose another --output")


def _json(value: Any) -> str:
    return json.dumps(value)  # with NaN: what a device said must not cost its frames


def _now() -> str:
    return datetime.now(UTC).isoformat()
