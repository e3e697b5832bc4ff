"""Score against trial and against time: what every trial came to, and when."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from instrument.campaign import drifting
from instrument.campaign.ledger import TrialRow
from instrument.faces.page_style import (
    BEST,
    CONFIRM,
    FAILED,
    FAINT,
    INK,
    LINE,
    REFERENCE,
    SEARCH,
    WIDTH_IN,
    drawing,
    svg,
)
from instrument.faces.report.charts import (
    MOST_MARKS,
    clock_axis,
    few,
    label_time,
    restarts,
    shade,
    shade_all,
    time_unit,
)
from instrument.faces.report.record import RunRecord, middle
from instrument.faces.report.summary import Measured, error_between_designs

_PHASES = {
    "initial": (INK, "s"),
    "search": (SEARCH, "o"),
    "confirm": (CONFIRM, "D"),
    drifting.REFERENCE: (REFERENCE, "^"),
}
_OTHER_PHASE = (FAINT, "v")
_CAPS_UP_TO = 150  # marks; caps of more error bars hide what they belong to

_MANY_FAILED = 30

Against = Literal["trial", "time"]
Place = Callable[[TrialRow], float]
"""Where a trial stands on the axis."""


def score_svg(record: RunRecord, best: Measured | None, *, against: Against) -> Markup:
    """Draw bits per pixel with standard errors, and the best so far; failed trials on the axis."""
    divisor, _ = time_unit(record)

    def place(row: TrialRow) -> float:
        if against == "trial":
            return float(row.number)
        moment = middle(row)
        return 0.0 if moment is None else record.seconds(moment) / divisor

    with drawing(f"score-{against}"):
        figure = Figure((WIDTH_IN, 3.3), layout="constrained")
        axes = figure.add_subplot()
        scored = [row for row in record.trials if row.state == "scored"]
        if against == "time":
            shade(axes, record, divisor=divisor)
        else:
            _mark_restarts(axes, restarts(record))
        _draw_best_so_far(axes, scored, place)
        if best is not None:
            _mark_best(axes, best, place)
        for phase in dict.fromkeys(row.phase for row in scored):
            _draw_phase(axes, phase, [row for row in scored if row.phase == phase], place)
        _draw_failed(axes, [place(row) for row in record.trials if row.state == "failed"])
        axes.set(ylabel="bits per pixel")
        axes.grid(axis="y", color=LINE, linewidth=0.8)
        if against == "trial":
            axes.set(xlabel="trial")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        else:
            label_time(axes, record)
            clock_axis(axes, record)
        figure.legend(
            loc="outside upper left",
            ncols=11,
            frameon=False,
            columnspacing=0.9,
            handlelength=1.3,
            handletextpad=0.4,
        )
        return svg(figure)


def marks_left_out(trials: Sequence[TrialRow]) -> str | None:
    """Say how many trials have no mark of their own, if any; the envelope spans them."""
    scored = [row for row in trials if row.state == "scored"]
    said: list[str] = []
    for phase in dict.fromkeys(row.phase for row in scored):
        n = sum(row.phase == phase for row in scored)
        if n > MOST_MARKS:
            said.append(f"{MOST_MARKS} of {n} trials of phase {phase} have a mark")
    return None if not said else "; ".join(said) + "; the shaded envelope spans all of them"


def best_so_far(scored: Sequence[TrialRow]) -> list[TrialRow]:
    """Return the trials that were the best when they were scored; references do not compete."""
    leaders: list[TrialRow] = []
    for row in scored:
        competes = row.phase != drifting.REFERENCE and row.score is not None
        if competes and (not leaders or (row.score or 0.0) > (leaders[-1].score or 0.0)):
            leaders.append(row)
    return leaders


# ---- parts of the plot


def _mark_restarts(axes: Axes, numbers: Sequence[int]) -> None:
    for number in numbers:
        axes.axvline(
            number - 0.5, color=FAINT, linewidth=1, linestyle=":",
            label="restart" if number == numbers[0] else None, zorder=1,
        )  # fmt: skip


def _draw_best_so_far(axes: Axes, scored: Sequence[TrialRow], place: Place) -> None:
    leaders = best_so_far(scored)
    if len(leaders) < 2:
        return
    bits = [row.estimate["bits_per_pixel"] for row in leaders]
    places = [place(row) for row in leaders]
    axes.step(
        [*places, max(map(place, scored))], [*bits, bits[-1]], where="post",
        color=BEST, linewidth=1.2, label="best so far", zorder=2,
    )  # fmt: skip


def _mark_best(axes: Axes, best: Measured, place: Place) -> None:
    axes.axhline(best.bits_per_pixel, color=BEST, linewidth=1, linestyle="--", zorder=1)
    bits = [row.estimate["bits_per_pixel"] for row in best.rows]
    axes.plot(
        [place(row) for row in best.rows], bits, "o", markersize=10, markerfacecolor="none",
        markeredgecolor=BEST, markeredgewidth=1.5, label="best design", zorder=4,
    )  # fmt: skip


def _draw_phase(axes: Axes, phase: str, rows: Sequence[TrialRow], place: Place) -> None:
    colour, marker = _PHASES.get(phase, _OTHER_PHASE)
    bits = np.array([row.estimate["bits_per_pixel"] for row in rows], float)
    places = np.array([place(row) for row in rows], float)
    errors = np.array([error_between_designs(row) for row in rows], float)
    if len(rows) > MOST_MARKS:
        shade_all(axes, places, bits, colour=colour)
    shown = few(len(bits))
    axes.errorbar(
        places[shown], bits[shown], errors[shown], color=colour, fmt=marker,
        markersize=3.5 if len(shown) <= _CAPS_UP_TO else 2.2, elinewidth=1,
        capsize=2 if len(shown) <= _CAPS_UP_TO else 0, label=phase, zorder=3,
    )  # fmt: skip


def _draw_failed(axes: Axes, places: Sequence[float]) -> None:
    if not places:
        return
    shown = np.array(places)[few(len(places))]
    size = 7 if len(shown) < _MANY_FAILED else 4
    axes.plot(
        shown, np.zeros(len(shown)), "x", color=FAILED, markersize=size, markeredgewidth=size / 3.5,
        transform=axes.get_xaxis_transform(), clip_on=False, label="failed", zorder=5,
    )  # fmt: skip
