"""Whether a run is what was acknowledged: the file, every row, every batch, every kept input.

Changes nothing. What a kill leaves without a row is told, and is no fault.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from instrument.campaign.ledger import schema
from instrument.campaign.ledger.connection import read_file
from instrument.campaign.ledger.files import BATCH_FOLDER
from instrument.campaign.ledger.ledger import LEDGER_FILE, Ledger
from instrument.campaign.ledger.problems import LedgerError
from instrument.campaign.ledger.rows import BatchPart, TrialRow

NOISE_META = "noise_file"
"""Key of what is recorded of the calibration that the run made: `{"copy": ..., "sha256": ...}`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What was found.

    Parameters
    ----------
    run_dir
        Which run.
    trials, parts, frame_bytes
        How much was checked: rows, files of frames and their size.
    problems
        One sentence each on what is not what was acknowledged; empty for a run that is whole.
    notes
        What is worth knowing and no fault, as files that a kill left.
    """

    run_dir: Path
    trials: int
    parts: int
    frame_bytes: int
    problems: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """Whether there is no problem."""
        return not self.problems


def verify_run(run_dir: Path) -> Verification:
    """Check a run against its ledger.

    Raises
    ------
    LedgerError
        If there is no ledger. A torn one is a problem in the result.
    """
    path = run_dir / LEDGER_FILE
    if not path.is_file():
        raise LedgerError(f"{run_dir} holds no run ({LEDGER_FILE} is missing)")
    found = _Found()
    try:
        connection = read_file(path)
    except LedgerError as error:
        found.problems.append(str(error))
        return found.verification(run_dir, trials=0)
    with closing(connection), Ledger(run_dir, connection, lock=None) as ledger:
        edited = [*_integrity(connection), *schema.edited_rows(connection)]
        found.problems.extend(edited)
        try:
            meta, trials = ledger.meta(), ledger.trials()
            found.notes.extend(_ended_without_closing(ledger))
        except (ValueError, TypeError, KeyError) as error:  # JSON that was edited is no longer it
            if not edited:
                raise
            found.problems.append(f"{path}: rows cannot be read ({error})")
            return found.verification(run_dir, trials=0)
    for trial in trials:
        found.problems.extend(_state(trial))
        for part in (*trial.parts, *trial.set_aside):
            found.check_part(run_dir, part)
    for what, copy, sha256 in _kept(meta):
        found.check_file(run_dir / copy, sha256, what=what)
    acknowledged = {part.file for row in trials for part in (*row.parts, *row.set_aside)}
    found.notes.extend(_debris(run_dir, acknowledged))
    return found.verification(run_dir, trials=len(trials))


@dataclass(slots=True)
class _Found:
    """What is found meanwhile."""

    problems: list[str] = field(default_factory=list[str])
    notes: list[str] = field(default_factory=list[str])
    parts: int = 0
    frame_bytes: int = 0

    def check_file(self, path: Path, sha256: str, *, what: str) -> bool:
        """Whether a file is there and is what was acknowledged; adds a problem where it is not."""
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            self.problems.append(f"{what}: {path} cannot be read ({error}); restore it from a copy")
            return False
        if digest != sha256:
            self.problems.append(
                f"{what}: {path} is not the file that was acknowledged (its SHA-256 differs); "
                "restore it from a copy"
            )
        return digest == sha256

    def check_part(self, run_dir: Path, part: BatchPart) -> None:
        path, what = run_dir / part.file, f"trial {part.trial}"
        self.parts += 1
        if not self.check_file(path, part.sha256, what=what):
            return
        self.frame_bytes += path.stat().st_size
        frames = np.load(path, mmap_mode="r", allow_pickle=False)
        if frames.ndim != 4 or frames.dtype != np.uint16 or len(frames) != part.objects:
            self.problems.append(
                f"{what}: {path} holds {frames.dtype} of shape {frames.shape}, the ledger says "
                f"uint16 of {part.objects} objects"
            )

    def verification(self, run_dir: Path, *, trials: int) -> Verification:
        return Verification(
            run_dir=run_dir,
            trials=trials,
            parts=self.parts,
            frame_bytes=self.frame_bytes,
            problems=tuple(self.problems),
            notes=tuple(self.notes),
        )


def _integrity(connection: sqlite3.Connection) -> Iterator[str]:
    for (said,) in connection.execute("PRAGMA integrity_check"):
        if said != "ok":
            yield f"{LEDGER_FILE}: {said}"
    for table, row, parent, _ in connection.execute("PRAGMA foreign_key_check"):
        yield f"{LEDGER_FILE}: row {row} of table {table} names a {parent} that is not there"


def _state(trial: TrialRow) -> Iterator[str]:
    if trial.state in {"captured", "scored"} and not trial.parts:
        yield f"trial {trial.number} is {trial.state}, but no frames of it are in use"
    if trial.state == "asked" and trial.parts:
        yield f"trial {trial.number} is only asked, but has frames"


def _kept(meta: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Name each kept input, where its copy lies and its hash."""
    for record in meta.get("inputs", []):
        yield f"`{record['key']}`", record["copy"], record["sha256"]
    noise = meta.get(NOISE_META)
    if noise is not None:
        yield "the calibration of this run", noise["copy"], noise["sha256"]


def _debris(run_dir: Path, acknowledged: set[str]) -> Iterator[str]:
    for path in sorted((run_dir / BATCH_FOLDER).glob("*")):
        name = path.relative_to(run_dir).as_posix()
        if name not in acknowledged:
            yield f"{name} belongs to no trial: left by a kill, or of a run that goes on"


def _ended_without_closing(ledger: Ledger) -> Iterator[str]:
    for session in ledger.sessions():
        if session.status == "killed":
            ended = "ended without closing the run"
        elif session.closed_at is None:
            ended = "has the run open, or ended without closing it"
        else:
            continue
        yield (
            f"session {session.number} (process {session.pid} on {session.host}, from "
            f"{session.opened_at}) {ended}"
        )


def to_json(found: Verification) -> str:
    """Return one JSON document of what was found."""
    return json.dumps({
        "run_dir": str(found.run_dir),
        "is_whole": found.is_whole,
        "trials": found.trials,
        "parts": found.parts,
        "frame_bytes": found.frame_bytes,
        "problems": list(found.problems),
        "notes": list(found.notes),
    })
