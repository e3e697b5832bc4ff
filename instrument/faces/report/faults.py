"""What went wrong and what was done about it: faults, recoveries, restarts, changes of state."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from instrument.faces.report.record import Entry, RunRecord
from instrument.faces.report.rejected import in_ranges, without_numbers

FAULT, RECOVERY, STATE = "fault", "recovery", "state"
TROUBLES = {FAULT, "observer", "disk"}
"""Kinds of lines in the journal that tell of something that went wrong."""
_ANSWERED = {"observer": "the run went on without it", "disk": "the run waited for room"}
_NAMED_ERROR = re.compile(r"^([A-Z]\w+): ")
_NEXT_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])")
_ROLE = re.compile(r"\(role (\w+)\)")
_GIVEN_UP = {"failed", "aborted", "suspended", "paused"}
_AT_ONCE_S = 60.0
_MOST_ANSWERS = 3
MOST_LINES = 300
"""Lines of the journal on the page; the ledger has them all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault and the first thing that was done about it; None where nothing is recorded."""

    entry: Entry
    done: str | None


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
        The last words of what was done, each with how often; the commonest first.
    unanswered
        For how many nothing is recorded.
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

    @property
    def words(self) -> str:
        """What the latest said, without the name of its error, which is the kind's."""
        entry = self.latest.entry
        return _NAMED_ERROR.sub("", entry.text) if entry.kind == FAULT else entry.text


def faults(record: RunRecord) -> list[Fault]:
    """Return all that went wrong, each with what was done before the next fault came."""
    found: list[Fault] = []
    for place, entry in enumerate(record.journal):
        if entry.kind in TROUBLES:
            found.append(Fault(entry=entry, done=_answer(record.journal[place + 1 :], entry)))
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
            done=_counted([fault.done for fault in alike if fault.done]),
            unanswered=sum(fault.done is None for fault in alike),
        )
        for name, alike in groups.items()
    ]
    return sorted(kinds, key=lambda kind: kind.at, reverse=True)


def captured_again(record: RunRecord) -> list[tuple[str, str, int]]:
    """Return trials whose first frames were set aside, why, and how many, commonest first."""
    groups: defaultdict[str, list[int]] = defaultdict(list)
    last: dict[str, str] = {}
    for row in record.trials:
        if row.set_aside:
            why = row.set_aside[-1].set_aside or ""
            last[without_numbers(why)] = why
            groups[without_numbers(why)].append(row.number)
    return sorted(
        ((in_ranges(numbers), last[why], len(numbers)) for why, numbers in groups.items()),
        key=lambda group: -group[2],
    )


def journal_lines(record: RunRecord) -> tuple[list[Entry], int]:
    """Return the newest lines of the journal, newest first, and how many older ones there are."""
    newest = list(record.journal)[::-1]
    return newest[:MOST_LINES], max(0, len(newest) - MOST_LINES)


def state_after(entry: Entry) -> str | None:
    """Return the state that a line of the journal says was entered."""
    return str(entry.data["now"]) if entry.kind == STATE and "now" in entry.data else None


def _answer(later: Sequence[Entry], fault: Entry) -> str | None:
    """Return the last recovery before the next fault, or the end or wait that came at once."""
    if fault.kind in _ANSWERED:
        return _ANSWERED[fault.kind]
    answer: str | None = None
    for entry in later:
        if entry.kind == FAULT:
            break
        is_at_once = (entry.at - fault.at).total_seconds() < _AT_ONCE_S
        is_given_up = answer is None and is_at_once and state_after(entry) in _GIVEN_UP
        if entry.kind == RECOVERY or is_given_up:
            answer = entry.text
    return answer


def _counted(texts: Sequence[str]) -> tuple[tuple[str, int], ...]:
    """Return the last of the texts that differ in numbers only, and how many, commonest first."""
    last = {without_numbers(text): text for text in texts}
    common = Counter(map(without_numbers, texts)).most_common(_MOST_ANSWERS)
    return tuple((last[text], count) for text, count in common)


def _kind(entry: Entry) -> str:
    """Return the error's name in words and the role, or the message without its numbers."""
    if entry.kind != FAULT:
        return entry.kind
    named = _NAMED_ERROR.match(entry.text)
    if named is None:
        return without_numbers(entry.text)
    role = _ROLE.search(entry.text)
    name = _NEXT_WORD.sub(" ", named[1]).lower()
    return name if role is None else f"{name} ({role[1]})"
