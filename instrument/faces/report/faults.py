"""What went wrong and what was done about it: faults, recoveries, restarts, changes of state."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from instrument.faces.report.record import Entry, RunRecord
from instrument.faces.report.rejected import without_numbers

FAULT, RECOVERY, STATE, PAUSE = "fault", "recovery", "state", "pause"
MOST_LINES = 300
"""Lines of the journal on the page; the ledger has them all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault and the first thing that was done about it; None where nothing is recorded."""

    entry: Entry
    done: Entry | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KindOfFault:
    """Faults that are alike.

    Parameters
    ----------
    name
        What kind of fault.
    latest
        The last of them.
    done
        What was done, each with how often; the commonest first.
    """

    name: str
    count: int
    latest: Fault
    done: tuple[tuple[str, int], ...]
    unanswered: int

    @property
    def at(self) -> datetime:
        """Moment of the latest."""
        return self.latest.entry.at


def faults(record: RunRecord) -> list[Fault]:
    """Return every fault with what was done before the next one came."""
    found: list[Fault] = []
    for place, entry in enumerate(record.journal):
        if entry.kind == FAULT:
            found.append(Fault(entry=entry, done=_answer(record.journal[place + 1 :])))
    return found


def kinds_of_faults(found: Sequence[Fault]) -> list[KindOfFault]:
    """Group faults of one kind, the kind that came last first."""
    groups: defaultdict[str, list[Fault]] = defaultdict(list)
    for fault in found:
        groups[_kind(fault.entry)].append(fault)
    kinds = [
        KindOfFault(
            name=name,
            count=len(alike),
            latest=alike[-1],
            done=tuple(
                Counter(without_numbers(f.done.text) for f in alike if f.done).most_common(3)
            ),
            unanswered=sum(fault.done is None for fault in alike),
        )
        for name, alike in groups.items()
    ]
    return sorted(kinds, key=lambda kind: kind.at, reverse=True)


def captured_again(record: RunRecord) -> list[tuple[int, str]]:
    """Return trials whose first frames were set aside and captured again, and why."""
    return [
        (row.number, row.set_aside[-1].set_aside or "") for row in record.trials if row.set_aside
    ]


def journal_lines(record: RunRecord) -> tuple[list[Entry], int]:
    """Return the newest lines of the journal, newest first, and how many older ones there are."""
    newest = list(record.journal)[::-1]
    return newest[:MOST_LINES], max(0, len(newest) - MOST_LINES)


def state_after(entry: Entry) -> str | None:
    """Return the state that a line of the journal says was entered."""
    return str(entry.data["now"]) if entry.kind == STATE and "now" in entry.data else None


def _answer(later: Sequence[Entry]) -> Entry | None:
    for entry in later:
        if entry.kind == FAULT:
            return None
        is_over = state_after(entry) in {"failed", "aborted", "suspended", "paused"}
        if entry.kind == RECOVERY or is_over:
            return entry
    return None


def _kind(entry: Entry) -> str:
    for key in ("fault", "error", "type"):
        if isinstance(name := entry.data.get(key), str):
            device = entry.data.get("device") or entry.data.get("role")
            return f"{name} ({device})" if isinstance(device, str) else name
    return without_numbers(entry.text)
