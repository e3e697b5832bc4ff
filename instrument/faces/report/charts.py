"""What the plots over time share: the axis, the shaded bands, and few marks for many trials."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from instrument.faces.page_style import FAINT, LINE, SHADE
from instrument.faces.report.record import RunRecord, captured, ended, moment_of

MOST_MARKS = 400
"""Marks of one kind in a plot; more are one blot and megabytes of markup."""
_MOST_STRETCHES = 200
_CLOCK_FROM_S = 1800.0  # shorter runs need no time of day
_CLOCK_STEPS_S = (300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800)
_MOST_CLOCK_TICKS = 12
_DATE_FROM_S = 2 * 86400.0
_LONG_GAP = 20.0
_SHORTEST_BREAK_S = 1.0
_SHORTEST_TREND_S = 600.0


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time in which no trial went on: seconds since the start, and what it was."""

    began_s: float
    ended_s: float
    kind: str  # "paused" or "not running"


def stretches(record: RunRecord) -> list[Stretch]:
    """Return when the run was paused and when nobody ran it, in the order of time."""
    found = [*_breaks(record), *_pauses(record)]
    return sorted(found, key=lambda stretch: stretch.began_s)


def restarts(record: RunRecord) -> list[int]:
    """Return the first trial of every session but the first."""
    numbers: list[int] = []
    for session in record.sessions[1:]:
        first = next((r.number for r in record.trials if r.session == session.number), None)
        if first is not None and first not in numbers:
            numbers.append(first)
    return numbers


def shade(axes: Axes, record: RunRecord, *, divisor: float) -> None:
    """Shade pauses and breaks between sessions; mark every restart."""
    labelled: set[str] = set()
    for stretch in _joined(stretches(record)):
        colour = SHADE if stretch.kind == "paused" else LINE
        label = None if stretch.kind in labelled else stretch.kind
        labelled.add(stretch.kind)
        axes.axvspan(
            stretch.began_s / divisor, stretch.ended_s / divisor,
            color=colour, alpha=0.6, linewidth=0, label=label, zorder=0,
        )  # fmt: skip
    for session in record.sessions[1:]:
        axes.axvline(
            record.seconds(session.began) / divisor, color=FAINT, linewidth=1, linestyle=":",
            label=None if "restart" in labelled else "restart", zorder=1,
        )  # fmt: skip
        labelled.add("restart")


def time_unit(record: RunRecord) -> tuple[float, str]:
    """Return seconds in the unit that suits the length of the run, and its name."""
    span_s = _span_s(record)
    if span_s > 7200:
        return 3600.0, "hours"
    return (60.0, "minutes") if span_s > 180 else (1.0, "seconds")


def label_time(axes: Axes, record: RunRecord) -> None:
    """Label an axis of time, and let it span the run."""
    divisor, name = time_unit(record)
    span = _span_s(record) / divisor
    axes.set_xlim(-0.02 * span, 1.02 * span)
    axes.set_xlabel(f"{name} since {record.start:%Y-%m-%d %H:%M} UTC")


def clock_axis(axes: Axes, record: RunRecord) -> None:
    """Write the time of day above an axis of time, where a run is long enough to need it."""
    divisor, _ = time_unit(record)
    span_s = _span_s(record)
    if span_s < _CLOCK_FROM_S:
        return
    step_s = next((s for s in _CLOCK_STEPS_S if span_s / s <= _MOST_CLOCK_TICKS), span_s)
    midnight = record.start.replace(hour=0, minute=0, second=0, microsecond=0)
    first_s = step_s * np.ceil((record.start - midnight).total_seconds() / step_s)
    moments = midnight.timestamp() + np.arange(
        first_s, (record.start - midnight).total_seconds() + span_s, step_s
    )
    above = axes.secondary_xaxis("top")
    above.set_xticks(
        (moments - record.start.timestamp()) / divisor,
        [_clock(moment, has_date=span_s > _DATE_FROM_S) for moment in moments],
    )
    above.tick_params(length=2, labelsize=8, labelcolor=FAINT)
    above.spines["top"].set_visible(False)


def few(n: int, most: int = MOST_MARKS) -> NDArray[np.intp]:
    """Return places of at most `most` of `n` entries, evenly spaced, the first and last kept."""
    return np.arange(n) if n <= most else np.unique(np.linspace(0, n - 1, most).round().astype(int))


def shade_all(
    axes: Axes, places: NDArray[np.float64], values: NDArray[np.float64], *, colour: str
) -> None:
    """Shade from the lowest to the highest of neighbouring values, where not all have a mark."""
    for middle, low, high in envelopes(places, values):
        axes.fill_between(middle, low, high, color=colour, alpha=0.2, linewidth=0, zorder=2)


def envelopes(
    places: NDArray[np.float64], values: NDArray[np.float64], *, bins: int = 200
) -> list[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]]:
    """Return where neighbouring values lie, a piece between any two long gaps.

    Parameters
    ----------
    places, values
        (n,) of one mark each, in any order.
    bins
        About so many in all, of the same number of marks each.

    Returns
    -------
    list
        Of each piece the mean place, the lowest and the highest value of its bins, in order.
    """
    order = np.argsort(places, kind="stable")
    apart = np.diff(places[order])
    is_gap = apart > _LONG_GAP * max(float(np.median(apart)), float(np.ptp(places)) / 1000)
    each = max(1, len(order) // bins)
    pieces: list[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]] = []
    for piece in np.split(order, np.flatnonzero(is_gap) + 1):
        groups = np.array_split(piece, max(1, len(piece) // each))
        pieces.append((
            np.array([places[group].mean() for group in groups]),
            np.array([values[group].min() for group in groups]),
            np.array([values[group].max() for group in groups]),
        ))
    return pieces


def slope_per_hour(
    hours: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[float, float] | None:
    """Return slope and its standard error of a straight line.

    None below three moments, and where they lie too close to say anything of an hour.
    """
    if len(values) < 3 or np.ptp(hours) * 3600 < _SHORTEST_TREND_S:
        return None
    centred = hours - hours.mean()
    spread = float(centred @ centred)
    slope = float(centred @ values) / spread
    rest = values - values.mean() - slope * centred
    return slope, float(np.sqrt(rest @ rest / (len(values) - 2) / spread))


def _span_s(record: RunRecord) -> float:
    """Return the seconds that an axis of time must span."""
    moments = [moment for row in record.trials[-1:] for moment in [ended(row)] if moment]
    moments += [session.ended for session in record.sessions]
    return max([1.0, *(record.seconds(moment) for moment in moments)])


# ---- when nothing went on


def _breaks(record: RunRecord) -> list[Stretch]:
    spans = [(record.seconds(s.began), record.seconds(s.ended)) for s in record.sessions]
    return [
        Stretch(before[1], after[0], "not running")
        for before, after in itertools.pairwise(spans)
        if after[0] - before[1] > _SHORTEST_BREAK_S
    ]


def _pauses(record: RunRecord) -> list[Stretch]:
    """Return pauses between two states of the journal, and those that batches recorded."""
    found: list[Stretch] = []
    began: datetime | None = None
    for entry in record.journal:
        if entry.kind != "state":
            continue
        is_paused = entry.data.get("now") in {"paused", "suspended"}
        if is_paused and began is None:
            began = entry.at
        elif not is_paused and began is not None:
            found.append(Stretch(record.seconds(began), record.seconds(entry.at), "paused"))
            began = None
    return found or _pauses_of_batches(record)


def _pauses_of_batches(record: RunRecord) -> list[Stretch]:
    """Return the pauses within batches; how long each of several was is not recorded."""
    found: list[Stretch] = []
    for row in record.trials:
        moments = [moment_of(pause.get("at")) for pause in row.record.get("pauses", ())]
        known = [moment for moment in moments if moment is not None]
        span = captured(row)
        if not known or span is None:
            continue
        each_s = row.timings.get("pause", 0.0) / len(known)
        for moment in known:
            end = min(span[1], moment + timedelta(seconds=each_s))
            found.append(Stretch(record.seconds(moment), record.seconds(end), "paused"))
    return found


def _joined(found: Sequence[Stretch]) -> list[Stretch]:
    """Join neighbours where there are more stretches than can be told apart in a plot."""
    if len(found) <= _MOST_STRETCHES:
        return list(found)
    span_s = found[-1].ended_s - found[0].began_s
    joined: list[Stretch] = []
    for stretch in found:
        last = next((s for s in reversed(joined) if s.kind == stretch.kind), None)
        if last and stretch.began_s - last.ended_s < span_s / _MOST_STRETCHES:
            joined[joined.index(last)] = Stretch(last.began_s, stretch.ended_s, stretch.kind)
        else:
            joined.append(stretch)
    return joined


def _clock(timestamp: float, *, has_date: bool) -> str:
    moment = datetime.fromtimestamp(timestamp, UTC)
    return moment.strftime("%d %b %H:%M" if has_date else "%H:%M")
