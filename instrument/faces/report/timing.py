"""Where the time went: by activity, trial by trial, and how much of it the instrument worked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from instrument.campaign.ledger import TrialRow
from instrument.faces.page_style import (
    BEST,
    CONFIRM,
    FAINT,
    GOOD,
    LINE,
    REFERENCE,
    ROSE,
    SEARCH,
    TEAL,
    WIDTH_IN,
    drawing,
    svg,
)
from instrument.faces.report.charts import Stretch, stretches
from instrument.faces.report.record import RunRecord, Session, asked, ended
from instrument.faces.report.summary import seconds_by_activity

WORK = ("exposure", "readout", "sequence", "settle", "travel")
"""Activities in which the instrument does what only it can do."""
_COLOURS = (SEARCH, CONFIRM, TEAL, ROSE, BEST, REFERENCE, GOOD)
_REST = "the rest"
_MOST_BINS = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """How a session used its time, from its first trial to its last.

    Parameters
    ----------
    wall_s
        From the first design decided to the end of the last trial.
    work_s
        Of that, in the activities of `WORK`.
    exposure_s, pause_s
        Of that, exposing (readout included), and waiting in the dark.
    """

    session: Session
    number: int
    trials: int
    wall_s: float
    work_s: float
    exposure_s: float
    pause_s: float

    @property
    def cycle(self) -> float | None:
        """Work over wall time; None where no time passed."""
        return self.work_s / self.wall_s if self.wall_s > 0 else None


def duties(record: RunRecord) -> list[Duty]:
    """Return how each session used its time, in order."""
    found: list[Duty] = []
    paused = [stretch for stretch in stretches(record) if stretch.kind == "paused"]
    for number, session in enumerate(record.sessions, 1):
        rows = [row for row in record.trials if row.session == session.number]
        found.append(_duty(record, session, number, rows, paused))
    return found


def whole_cycle(found: Sequence[Duty]) -> float | None:
    """Return the duty cycle of all sessions together."""
    wall_s = sum(duty.wall_s for duty in found)
    return sum(duty.work_s for duty in found) / wall_s if wall_s > 0 else None


def stack_svg(record: RunRecord) -> Markup | None:
    """Draw the seconds of each trial by activity; neighbours are averaged where there are many."""
    rows = [row for row in record.trials if row.timings and row.seconds is not None]
    if len(rows) < 2:
        return None
    names = _names(rows)
    groups = np.array_split(np.arange(len(rows)), min(_MOST_BINS, len(rows)))
    each = np.array([list(_by_name(row, names).values()) for row in rows])
    heights = np.array([each[group].mean(axis=0) for group in groups]).T
    edges = [rows[group[0]].number - 0.5 for group in groups] + [rows[-1].number + 0.5]
    with drawing("timing"):
        figure = Figure((WIDTH_IN, 2.5), layout="constrained")
        axes = figure.add_subplot()
        below = np.zeros(len(groups))
        for name, height, colour in zip(names, heights, (*_COLOURS, FAINT), strict=False):
            above = below + height
            axes.fill_between(
                edges, [*below, below[-1]], [*above, above[-1]], step="post",
                color=FAINT if name == _REST else colour, linewidth=0, label=name,
            )  # fmt: skip
            below = above
        axes.set(xlabel="trial", ylabel="seconds a trial")
        axes.set_ylim(0, _ceiling(below))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        axes.grid(axis="y", color=LINE, linewidth=0.8)
        figure.legend(loc="outside upper left", ncols=9, frameon=False, columnspacing=1.2)
        return svg(figure)


def averaged_over(record: RunRecord) -> int:
    """Return how many neighbouring trials `stack_svg` averages at most; 1 for none."""
    n = sum(bool(row.timings) and row.seconds is not None for row in record.trials)
    return -(-n // _MOST_BINS)


def shares(trials: Sequence[TrialRow]) -> list[dict[str, Any]]:
    """Return seconds and share of every activity, longest first."""
    activities = seconds_by_activity(trials)
    whole_s = sum(seconds for _, seconds in activities)
    return [
        {"name": name, "seconds": seconds, "share": seconds / whole_s if whole_s else 0.0}
        for name, seconds in activities
    ]


# ---- parts


def _duty(
    record: RunRecord,
    session: Session,
    number: int,
    rows: Sequence[TrialRow],
    paused: Sequence[Stretch],
) -> Duty:
    begun = [moment for row in rows if (moment := asked(row))]
    over = [moment for row in rows if (moment := ended(row))]
    wall_s = (max(over) - min(begun)).total_seconds() if begun and over else 0.0
    began_s, ended_s = record.seconds(session.began), record.seconds(session.ended)

    def seconds(*names: str) -> float:
        return sum(row.timings.get(name, 0.0) for row in rows for name in names)

    return Duty(
        session=session,
        number=number,
        trials=len(rows),
        wall_s=wall_s,
        work_s=seconds(*WORK),
        exposure_s=seconds("exposure", "readout"),
        pause_s=sum(
            stretch.ended_s - stretch.began_s
            for stretch in paused
            if began_s <= stretch.began_s <= ended_s
        ),
    )


def _names(rows: Sequence[TrialRow]) -> list[str]:
    """Return the activities that have a colour of their own, the longest first, and the rest."""
    names = [name for name, _ in seconds_by_activity(rows)]
    return [*names[: len(_COLOURS)], _REST] if len(names) > len(_COLOURS) else names


def _by_name(row: TrialRow, names: Sequence[str]) -> Mapping[str, float]:
    seconds = dict(seconds_by_activity([row]))
    chosen = {name: seconds.pop(name, 0.0) for name in names if name != _REST}
    return {**chosen, _REST: sum(seconds.values())} if _REST in names else chosen


def _ceiling(totals: np.ndarray) -> float:
    """Return the top of the axis: a trial that waited for an hour must not flatten all others."""
    high, usual = float(totals.max()), float(np.percentile(totals, 98))
    return (high if high < 3 * usual else 1.5 * usual) * 1.04 or 1.0


def is_cut(record: RunRecord) -> bool:
    """Whether `stack_svg` leaves out the top of trials that were far longer than usual."""
    totals = np.array([row.seconds for row in record.trials if row.timings and row.seconds])
    return len(totals) > 1 and float(totals.max()) >= 3 * float(np.percentile(totals, 98))
