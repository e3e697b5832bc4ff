"""Which trials of a run are meant: all, those of its best design, or numbers and ranges."""

from __future__ import annotations

import re
from collections.abc import Sequence

from instrument.campaign.ledger import TrialRow

ALL = "all"
BEST = "best"
_PART = re.compile(r"(\d+)(?:-(\d+))?")


class TrialChoiceError(ValueError):
    """A choice that names no trials of the run; says which there are."""


def choose_trials(
    trials: Sequence[TrialRow], text: str, *, best_trial: int | None
) -> list[TrialRow]:
    """Return the trials that `all`, `best`, or numbers such as `0-10,15` mean, by number.

    Parameters
    ----------
    trials
        Of the run, by number.
    text
        What was asked for.
    best_trial
        That the run ended with, None for the one with the highest score: `best` are all trials of
        its design.

    Raises
    ------
    TrialChoiceError
        For text that is none of these, and numbers that the run has not.
    """
    if not trials:
        raise TrialChoiceError("the run has no trials yet")
    if text == ALL:
        return list(trials)
    if text == BEST:
        best = best_row(trials, best_trial)
        if best is None:
            raise TrialChoiceError("no trial of the run is scored, so that none is best")
        return [row for row in trials if row.design == best.design]
    known = {row.number for row in trials}
    wanted: set[int] = set()
    for first, last in _ranges(text):
        unknown = next((n for n in (first, last) if n not in known), None)
        if unknown is not None:
            raise TrialChoiceError(
                f"trials {text!r} asked: there is no trial {unknown}, the run has {min(known)} to "
                f"{max(known)}"
            )
        wanted.update(range(first, last + 1))
    return [row for row in trials if row.number in wanted]


def best_row(trials: Sequence[TrialRow], best_trial: int | None) -> TrialRow | None:
    """Return the trial that a run chose, or the one with the highest score; None without any."""
    chosen = [row for row in trials if row.number == best_trial]
    scored = [row for row in trials if row.score is not None]
    return chosen[0] if chosen else max(scored, key=lambda row: row.score or 0.0, default=None)


def _ranges(text: str) -> list[tuple[int, int]]:
    """Return first and last number of every part."""
    ranges: list[tuple[int, int]] = []
    for part in text.split(","):
        match = _PART.fullmatch(part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last:
            raise TrialChoiceError(
                f"trials {text!r} asked; {ALL}, {BEST}, or numbers and ranges such as 0-10,15 "
                "are due"
            )
        ranges.append((first, last))
    return ranges
