"""The run as the report reads it: its trials, its journal, its sessions, and when what was.

The only module of the report that asks the ledger for anything but frames.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from instrument.campaign.ledger import JournalRow, Ledger, SessionRow, TrialRow

_ENDS = ("finished", "aborted", "failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the journal: what happened besides trials.

    Parameters
    ----------
    at
        Moment, UTC.
    kind
        `state`, `fault`, `recovery`, `pause`, ...
    text
        What people were told.
    data
        Details, as plain data.
    session
        In which it happened.
    """

    at: datetime
    kind: str
    text: str
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    session: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One process that wrote the run.

    Parameters
    ----------
    number
        As the ledger counts them; None for the whole of a run whose sessions are not recorded.
    began, ended
        UTC; `ended` is the last sign of life where nobody wrote the end down.
    status
        `open`, `closed`, `killed` or what the run came to.
    host
        Where it ran.
    """

    number: int | None
    began: datetime
    ended: datetime
    status: str
    host: str | None = None

    @property
    def seconds(self) -> float:
        """Length of the session."""
        return (self.ended - self.began).total_seconds()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """Everything of a run but its frames.

    Parameters
    ----------
    meta
        What the ledger says of the run as a whole.
    trials
        In the order of their number.
    journal, sessions
        In the order of time; at least one session if there is a trial.
    """

    run_dir: Path
    meta: Mapping[str, Any]
    trials: Sequence[TrialRow]
    journal: Sequence[Entry]
    sessions: Sequence[Session]

    @property
    def start(self) -> datetime:
        """Moment from which all times of the page count."""
        moments = [session.began for session in self.sessions] + [
            moment for moment in (asked(row) for row in self.trials[:1]) if moment is not None
        ]
        created = moment_of(self.meta.get("created_at"))
        return min(moments, default=created or datetime.fromtimestamp(0, UTC))

    def seconds(self, moment: datetime) -> float:
        """Return how long after the start a moment was."""
        return (moment - self.start).total_seconds()

    @property
    def config(self) -> Mapping[str, Any]:
        """Resolved config of the run; empty for a record that has none."""
        return self.meta.get("config", {})


def read_record(ledger: Ledger) -> RunRecord:
    """Read all that the report shows of a ledger, but for frames."""
    meta, trials = ledger.meta(), ledger.trials()
    journal = [_entry(row) for row in ledger.journal()]
    return RunRecord(
        run_dir=ledger.run_dir.resolve(),
        meta=meta,
        trials=trials,
        journal=journal,
        sessions=_sessions(ledger.sessions(), trials, journal, status=meta.get("status")),
    )


# ---- when


def moment_of(text: object) -> datetime | None:
    """Return an ISO 8601 moment, UTC unless it says otherwise; None if it is none."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def asked(row: TrialRow) -> datetime | None:
    """Return when the design of a trial was decided."""
    return moment_of(row.asked_at)


def captured(row: TrialRow) -> tuple[datetime, datetime] | None:
    """Return when the capture of a trial began and ended, if it is recorded."""
    return _span(row.record)


def end_of_capture(record: Mapping[str, Any]) -> datetime | None:
    """Return when the capture of a part of a trial ended, by its own record."""
    span = _span(record)
    return None if span is None else span[1]


def middle(row: TrialRow) -> datetime | None:
    """Return the middle of a trial's capture, or when it was asked for."""
    span = captured(row)
    return asked(row) if span is None else span[0] + (span[1] - span[0]) / 2


def ended(row: TrialRow) -> datetime | None:
    """Return the last moment that a trial is known to have lasted to."""
    begun, span = asked(row), captured(row)
    moments = [] if span is None else [span[1]]
    if begun is not None:
        moments.append(begun + timedelta(seconds=row.seconds or 0.0))
    return max(moments, default=None)


def _span(record: Mapping[str, Any]) -> tuple[datetime, datetime] | None:
    ends = [moment_of(text) for text in record.get("captured_at", ())]
    if len(ends) != 2 or ends[0] is None or ends[1] is None:
        return None
    return ends[0], ends[1]


# ---- who wrote


def _entry(row: JournalRow) -> Entry:
    return Entry(
        at=moment_of(row.at) or datetime.fromtimestamp(0, UTC),
        kind=row.kind,
        text=row.text,
        data=row.data,
        session=row.session,
    )


def _sessions(
    rows: Sequence[SessionRow],
    trials: Sequence[TrialRow],
    journal: Sequence[Entry],
    *,
    status: str | None,
) -> list[Session]:
    """Return the sessions that did something; the whole run as one where none is recorded."""
    signs: defaultdict[int | None, list[datetime]] = defaultdict(list)
    for row in trials:
        signs[row.session] += [moment for moment in (asked(row), ended(row)) if moment]
    for entry in journal:
        signs[entry.session].append(entry.at)
    found: list[Session] = []
    if moments := signs.pop(None, []):  # begun with schema 1, which kept no sessions
        found.append(
            Session(
                number=None,
                began=min(moments),
                ended=max(moments),
                status="unknown" if rows or status is None else status,
            )
        )
    for row in rows:
        began, closed = moment_of(row.opened_at), moment_of(row.closed_at)
        if began is not None and (signs[row.number] or len(rows) == 1):
            last = closed or max([began, *signs[row.number]])
            found.append(
                Session(
                    number=row.number, began=began, ended=last, status=row.status, host=row.host
                )
            )
    if found and found[-1].status == "open" and status in _ENDS:
        found[-1] = replace(found[-1], status=status)  # the process that ran it writes this page
    return found
