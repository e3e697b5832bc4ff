"""Trials without a score, by the reason: a reason is a message without its numbers."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from instrument.campaign.ledger import TrialRow
from instrument.faces.report.record import RunRecord

_NUMBER = re.compile(r"[-+]?\d[\d.,]*(?:e[-+]?\d+)?", re.IGNORECASE)
_MOST_RANGES = 12


@dataclass(frozen=True, slots=True)
class Rejected:
    """Trials that failed alike: `refused` by a policy or `failed`, how often, an example."""

    kind: str
    count: int
    trials: str
    example: str


def rejected(record: RunRecord) -> list[Rejected]:
    """Group the trials that came to no score, the commonest reason first."""
    groups: defaultdict[tuple[str, str], list[TrialRow]] = defaultdict(list)
    for row in record.trials:
        if row.state == "failed":
            kind = "refused" if row.record.get("refused") else "failed"
            groups[kind, without_numbers(row.why or "")].append(row)
    return [
        Rejected(kind, len(rows), in_ranges([row.number for row in rows]), rows[0].why or "")
        for (kind, _), rows in sorted(groups.items(), key=lambda item: -len(item[1]))
    ]


def without_numbers(text: str) -> str:
    """Return a message with every number as `#`, so that messages of one cause are equal."""
    return _NUMBER.sub("#", text)


def in_ranges(numbers: Sequence[int]) -> str:
    """Write ascending numbers as people do: 3, 5-8; and how many more where they are many."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    shown = ranges[:_MOST_RANGES]
    left = len(numbers) - sum(last - first + 1 for first, last in shown)
    written = [
        f"{first}" if first == last else f"{first}\N{EN DASH}{last}" for first, last in shown
    ]
    return ", ".join(written) + (f" and {left} more" if left else "")
