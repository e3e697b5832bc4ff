"""Rows of the ledger as values, and the record of a trial whose frames came in several parts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from instrument.design import Design

Record = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPart:
    """Frames of a trial that were made durable at once.

    Parameters
    ----------
    trial, part
        Number of the trial; number of the part, from 0.
    file, sha256
        Path in the run directory, and its hash, hexadecimal.
    record
        What the devices said while it was captured.
    objects
        How many objects it holds.
    session
        The session that captured it; None in a run begun with schema 1.
    captured_at
        When it was durable, UTC, ISO 8601.
    set_aside
        Why it is kept but not used; None of one in use.
    """

    trial: int
    part: int
    file: str
    sha256: str
    record: Record
    objects: int
    session: int | None = None
    captured_at: str | None = None
    set_aside: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRow:
    """One trial as the ledger holds it.

    Parameters
    ----------
    number, phase, state
        Trial number from 0; `initial`, `search`, `confirm` or `reference`; `asked`, `captured`,
        `scored` or `failed`.
    design
        What was applied.
    record
        What the devices said while it was captured, of all parts together (`joined_records`).
    score, standard_error
        Objective and its standard error, when scored.
    estimate
        The whole `InformationEstimate`, as plain values.
    seconds, timings
        Duration of the trial, and where it went (seconds by name).
    why
        Why it failed.
    plan
        What the proposal carried besides the design.
    parts
        Its frames that are in use, in the order they came.
    set_aside
        Its frames that are kept but not used.
    session
        The session that asked; None in a run begun with schema 1.
    """

    number: int
    phase: str
    state: str
    design: Design
    asked_at: str
    record: Record
    score: float | None
    standard_error: float | None
    estimate: dict[str, Any]
    seconds: float | None
    timings: dict[str, float]
    why: str | None
    plan: dict[str, Any] = field(default_factory=dict[str, Any])
    parts: tuple[BatchPart, ...] = ()
    set_aside: tuple[BatchPart, ...] = ()
    session: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalRow:
    """Something that happened: a change of state, a fault, a recovery, a pause.

    Parameters
    ----------
    number, at, session
        From 0; UTC, ISO 8601; the session in which it happened.
    kind, text
        A word to select by, and a sentence for the person.
    data
        Plain values that go with it.
    """

    number: int
    at: str
    session: int | None
    kind: str
    text: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRow:
    """One process that opened the run to write.

    Parameters
    ----------
    number
        From 0.
    host, pid
        Where it ran.
    versions
        Of infoloop (and its commit, where it ran from a checkout), Python, SQLite and numpy.
    opened_at, closed_at
        UTC, ISO 8601; None while it is open, and of one that was killed.
    status
        `open`, `closed`, `killed` (found open by the next one), or what the run came to.
    seconds
        From opening to closing.
    details
        What was said of it: the devices it found, for one.
    """

    number: int
    host: str
    pid: int
    versions: dict[str, str]
    opened_at: str
    closed_at: str | None
    status: str
    seconds: float | None
    details: dict[str, Any]


def part_of(row: Mapping[str, Any]) -> BatchPart:
    """Return a row of table `batch` as a value."""
    return BatchPart(**{**row, "record": json.loads(row["record"])})


def trial_of(row: Mapping[str, Any], parts: Sequence[BatchPart]) -> TrialRow:
    """Return a row of table `trial` and its rows of table `batch` as one value."""
    used = tuple(part for part in parts if part.set_aside is None)
    values: dict[str, Any] = {
        **row,
        "design": Design.from_json(row["design"]),
        "plan": json.loads(row["plan"]),
        "estimate": json.loads(row["estimate"] or "{}"),
        "timings": json.loads(row["timings"] or "{}"),
        "record": joined_records(used),
        "parts": used,
        "set_aside": tuple(part for part in parts if part.set_aside is not None),
    }
    return TrialRow(**values)


def journal_of(row: Mapping[str, Any]) -> JournalRow:
    """Return a row of table `journal` as a value."""
    return JournalRow(**{**row, "data": json.loads(row["data"])})


def session_of(row: Mapping[str, Any]) -> SessionRow:
    """Return a row of table `session` as a value."""
    details, versions = json.loads(row["details"]), json.loads(row["versions"])
    return SessionRow(**{**row, "details": details, "versions": versions})


def joined_records(parts: Sequence[BatchPart]) -> Record:
    """Return what the devices said in all parts of a trial, as one record.

    Lists are joined, `objects` summed, mean counts and shares of saturated and zero ones weighted
    by objects; `captured_at` goes from the first start to the last end, `truth` and `refused` are
    the last that were said. Everything else (exposure, black level, temperature) is of the first
    part.
    """
    if not parts:
        return {}
    records = [part.record for part in parts]
    if len(records) == 1:
        return records[0]
    joined: Record = {}
    for record in records:
        for name, value in record.items():
            joined.setdefault(name, value)
    for name in joined:
        said = [record[name] for record in records if record.get(name) is not None]
        if said and (join := _JOINS.get(name)) is not None:
            joined[name] = join(said)
    joined["objects"] = sum(part.objects for part in parts)
    for name in _SHARES:
        if all(isinstance(record.get(name), float | int) for record in records):
            weighted = sum(part.record[name] * part.objects for part in parts)
            joined[name] = weighted / joined["objects"]
    if "pauses" in joined:
        joined["pauses"] = _joined_pauses(parts)
    return joined


def _join_lists(said: list[list[Any]]) -> list[Any]:
    return [entry for values in said for entry in values]


def _join_read_backs(said: list[list[dict[str, list[float]]]]) -> list[dict[str, list[float]]]:
    """Join what each shot's devices said, shot by shot and role by role."""
    joined: list[dict[str, list[float]]] = [{} for _ in max(said, key=len)]
    for shots in said:
        for roles, more in zip(joined, shots, strict=False):
            for role, values in more.items():
                roles[role] = [*roles.get(role, []), *values]
    return joined


def _join_monitors(said: list[dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    joined: dict[str, dict[str, Any]] = {}
    for role in said[0]:
        of_role = [monitors[role] for monitors in said if role in monitors]
        means = [mean for each in of_role for mean in each["mean_adu"]]
        saturated = sum(each["saturated_fraction"] * len(each["mean_adu"]) for each in of_role)
        joined[role] = {"mean_adu": means, "saturated_fraction": saturated / max(1, len(means))}
    return joined


def _joined_pauses(parts: Sequence[BatchPart]) -> list[dict[str, Any]]:
    """Count the frames before a pause from the start of the trial."""
    joined: list[dict[str, Any]] = []
    before = 0
    for part in parts:
        joined.extend(
            {**pause, "frames_before": pause.get("frames_before", 0) + before}
            for pause in part.record.get("pauses", [])
        )
        before += part.objects * int(part.record.get("shots", 1))
    return joined


def _last(said: list[Any]) -> Any:
    return said[-1]


def _from_first_to_last(said: list[list[str]]) -> list[str]:
    return [said[0][0], said[-1][-1]]


_SHARES = ("saturated_fraction", "zero_fraction", "mean_adu")


def _join_doses(said: list[dict[str, float]]) -> dict[str, float]:
    """Add up what the parts gave; what the run had got is what it had after the last."""
    joined = dict(said[-1])
    for name in ("object_mj_cm2", "sample_mj_cm2"):
        joined[name] = sum(dose.get(name, 0.0) for dose in said)
    return joined


_JOINS = {
    "positions_um": _join_lists,
    "warnings": _join_lists,
    "disturbances": _join_lists,
    "read_back": _join_read_backs,
    "monitors": _join_monitors,
    "captured_at": _from_first_to_last,
    "truth": _last,
    "refused": _last,
    "dose": _join_doses,
}
