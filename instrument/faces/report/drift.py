"""What changed while the run went on: reference score, corrections, light, black level, sensor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from instrument.campaign.drifting import REFERENCE as REFERENCE_PHASE
from instrument.campaign.ledger import TrialRow
from instrument.faces.page_style import (
    CONFIRM,
    FAINT,
    LINE,
    REFERENCE,
    ROSE,
    SEARCH,
    TEAL,
    WIDTH_IN,
    drawing,
    svg,
)
from instrument.faces.report.charts import (
    clock_axis,
    few,
    label_time,
    shade,
    shade_all,
    slope_per_hour,
    time_unit,
)
from instrument.faces.report.record import RunRecord, middle
from instrument.faces.report.summary import error_between_designs

_PANEL_IN = 1.55
_MOST_OFFSETS = 6
_COLOURS = (SEARCH, CONFIRM, TEAL, ROSE, REFERENCE, FAINT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One quantity over time.

    Parameters
    ----------
    seconds, values, errors
        (n,) each, in the order of time; `errors` is None where there are none.
    colour
        Of the page.
    is_line
        A value that holds until the next one, as a correction does; else single measurements.
    """

    name: str
    seconds: NDArray[np.float64]
    values: NDArray[np.float64]
    colour: str
    errors: NDArray[np.float64] | None = None
    is_line: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Quantities that share an axis: its label with the unit, and the series."""

    label: str
    series: tuple[Series, ...]


def panels(record: RunRecord) -> list[Panel]:
    """Return what there is to show; a quantity that was told fewer than twice is left out."""
    candidates = [
        Panel(label="reference,\nbits per pixel", series=_reference(record)),
        *(
            Panel(label=f"{name},\ncompensated by", series=series)
            for name, series in _offsets(record).items()
        ),
        Panel(label="mean counts,\nADU", series=_mean_counts(record)),
        Panel(label="black level,\nADU", series=_told(record, "black_level_adu")),
        Panel(label="sensor,\n\N{DEGREE SIGN}C", series=_told(record, "temperature_c")),
    ]
    told = [
        Panel(label=panel.label, series=tuple(s for s in panel.series if len(s.values) > 1))
        for panel in candidates
    ]
    return [panel for panel in told if panel.series]


def drift_svg(record: RunRecord, shown: Sequence[Panel]) -> Markup:
    """Draw the panels above each other, over the same time."""
    divisor, _ = time_unit(record)
    with drawing("drift"):
        figure = Figure((WIDTH_IN, 0.6 + _PANEL_IN * len(shown)), layout="constrained")
        rows = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
        for axes, panel in zip(rows, shown, strict=True):
            shade(axes, record, divisor=divisor)
            for series in panel.series:
                _draw(axes, series, divisor)
            axes.set_ylabel(panel.label)
            axes.ticklabel_format(axis="y", useOffset=False)
            axes.grid(axis="y", color=LINE, linewidth=0.8)
            axes.margins(y=0.15)
            if len(panel.series) > 1:
                handles = [
                    Line2D([], [], color=each.colour, marker="o", linestyle="", label=each.name)
                    for each in panel.series
                ]
                axes.legend(
                    handles=handles, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False,
                    fontsize=8, handletextpad=0.2,
                )  # fmt: skip
        figure.align_ylabels(rows)
        label_time(rows[-1], record)
        clock_axis(rows[0], record)
        return svg(figure)


def changes(shown: Sequence[Panel]) -> list[dict[str, Any]]:
    """Return first and last value of every series, and its change per hour with standard error."""
    rows: list[dict[str, Any]] = []
    for panel in shown:
        for series in panel.series:
            slope = slope_per_hour(series.seconds / 3600, series.values)
            name = panel.label.replace("\n", " ")
            rows.append({
                "name": f"{name}: {series.name}" if len(panel.series) > 1 else name,
                "first": float(series.values[0]),
                "last": float(series.values[-1]),
                "slope": None if slope is None or series.is_line else slope,
                "n": len(series.values),
            })
    return rows


# ---- what the record tells


def _series(
    record: RunRecord, rows: Sequence[TrialRow], value: Callable[[TrialRow], object],
    *, name: str, colour: str, error: Callable[[TrialRow], float] | None = None,
) -> Series:  # fmt: skip
    told = [
        (record.seconds(moment), number, row)
        for row in rows
        if (moment := middle(row)) is not None and (number := _number(value(row))) is not None
    ]
    told.sort(key=lambda entry: entry[0])
    return Series(
        name=name,
        seconds=np.array([seconds for seconds, _, _ in told], float),
        values=np.array([number for _, number, _ in told], float),
        errors=None if error is None else np.array([error(row) for _, _, row in told], float),
        colour=colour,
    )


def _reference(record: RunRecord) -> tuple[Series, ...]:
    """Return the score of the reference design as measured, and with the drift removed."""
    rows = [r for r in _references(record) if r.state == "scored"]
    removed = {
        entry.get("trial"): (float(entry["score"]) + bits) / float(entry["score"])
        for entry in _visits(record)
        if _number(entry.get("score"))
        and (bits := _number(entry.get("correction_bits"))) is not None
    }

    def without_drift(row: TrialRow) -> object:
        factor = removed.get(row.number)
        return None if factor is None else row.estimate["bits_per_pixel"] * factor

    return (
        _series(
            record, rows, lambda row: row.estimate.get("bits_per_pixel"),
            name="as measured", colour=REFERENCE, error=error_between_designs,
        ),
        _series(record, rows, without_drift, name="drift removed", colour=TEAL),
    )  # fmt: skip


def _references(record: RunRecord) -> list[TrialRow]:
    """Return the trials of the reference design; without those a step to its sides."""
    centres = {entry.get("trial") for entry in _visits(record)} - {None}
    return [
        row
        for row in record.trials
        if row.phase == REFERENCE_PHASE and (not centres or row.number in centres)
    ]


def _told(record: RunRecord, key: str, *, name: str = "all trials") -> tuple[Series, ...]:
    return (
        _series(record, record.trials, lambda row: row.record.get(key), name=name, colour=SEARCH),
    )


def _mean_counts(record: RunRecord) -> tuple[Series, ...]:
    """Keep references apart: in the other trials designs differ, not only the lamp."""
    references = _references(record)
    others = [row for row in record.trials if row.phase != REFERENCE_PHASE]

    def value(row: TrialRow) -> object:
        return row.record.get("mean_adu")

    return (
        _series(record, others, value, name="all designs", colour=SEARCH),
        _series(record, references, value, name="reference", colour=REFERENCE),
    )


def _visits(record: RunRecord) -> list[Mapping[str, Any]]:
    """Return what the campaign wrote down of its visits to the reference."""
    entries = record.meta.get("drift")
    return [e for e in entries if isinstance(e, dict)] if isinstance(entries, list) else []


def _held(told: Sequence[tuple[float, float]], *, name: str, colour: str) -> Series:
    return Series(
        name=name,
        seconds=np.array([seconds for seconds, _ in told], float),
        values=np.array([value for _, value in told], float),
        colour=colour,
        is_line=True,
    )


def _offsets(record: RunRecord) -> dict[str, tuple[Series, ...]]:
    """Return by how much parameters were shifted, by name: one series a component that moved."""
    told: dict[str, dict[int, list[tuple[float, float]]]] = {}
    for row in record.trials:
        offsets, moment = row.plan.get("offsets"), middle(row)
        if moment is None or not isinstance(offsets, dict):
            continue
        for name, values in offsets.items():
            listed = values if isinstance(values, list) else [values]
            for component, value in enumerate(listed):
                if (number := _number(value)) is not None:
                    points = told.setdefault(name, {}).setdefault(component, [])
                    points.append((record.seconds(moment), number))
    return {
        name: tuple(
            _held(points, name=f"{name} {component}", colour=colour)
            for (component, points), colour in zip(
                sorted(_moving(components).items())[:_MOST_OFFSETS], _COLOURS, strict=False
            )
        )
        for name, components in told.items()
    }


def _moving(
    components: Mapping[int, list[tuple[float, float]]],
) -> dict[int, list[tuple[float, float]]]:
    return {
        component: points
        for component, points in components.items()
        if any(value != 0 for _, value in points)
    }


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        return None
    return float(value)


# ---- drawing


def _draw(axes: Axes, series: Series, divisor: float) -> None:
    places = series.seconds / divisor
    shown = few(len(places))
    if len(shown) < len(places):
        shade_all(axes, places, series.values, colour=series.colour)
    if series.is_line:
        axes.step(
            places[shown], series.values[shown], where="post", color=series.colour,
            linewidth=1.4, label=series.name,
        )  # fmt: skip
        return
    errors = None if series.errors is None else series.errors[shown]
    axes.errorbar(
        places[shown], series.values[shown], errors, color=series.colour, fmt="o",
        markersize=3 if len(shown) < 150 else 1.8, elinewidth=1, label=series.name,
    )  # fmt: skip
