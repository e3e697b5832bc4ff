"""Plots and pictures of the calibration report, as markup that needs no other file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import NDArray

from estimation.calibration import Point
from instrument.faces.calibration_report.summary import Map, Series
from instrument.faces.page_style import (
    CONFIRM,
    FAINT,
    INK,
    LINE,
    SEARCH,
    WIDTH_IN,
    drawing,
    png_uri,
    reduced,
    svg,
)

MAP_COLORMAP = "viridis"
_BINS = 120
_EDGE_BELOW_LIT = 100.0  # the axis begins no further than this factor below the dimmest lit level


def photon_transfer_svg(
    curve: Sequence[Point],
    residuals: NDArray[np.float64],
    errors: NDArray[np.float64],
    *,
    slope: float,
    dark_variance: float,
) -> Markup:
    """Draw variance by signal with the fitted line, and below it what the line leaves over."""
    with drawing("photon-transfer"):
        figure = Figure((WIDTH_IN, 5.4), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[2.2, 1])
        edge = _left_edge(curve)
        places = np.array([max(p.signal, edge) for p in curve])
        top = 1.5 * places.max()
        signal = np.geomspace(edge / 1.5, top, 200)
        upper.plot(signal, slope * signal + dark_variance, color=FAINT, label="fit", zorder=1)
        lower.axhline(0, color=FAINT, linewidth=1)
        for label, colour, marker in (("lit", SEARCH, "o"), ("dark", INK, "s")):
            here = [i for i, p in enumerate(curve) if p.is_dark == (label == "dark")]
            style = {"color": colour, "markersize": 4.5, "label": label}
            upper.plot(places[here], [curve[i].variance for i in here], marker, **style)
            lower.errorbar(
                places[here], 100 * residuals[here], 100 * errors[here], fmt=marker, color=colour,
                markersize=4, elinewidth=1, capsize=2,
            )  # fmt: skip
        upper.set(xscale="log", yscale="log", ylabel="variance, ADU\N{SUPERSCRIPT TWO}")
        lower.set(xlabel="signal above offset, ADU", ylabel="residual, %", xlim=(edge / 1.5, top))
        for axes in (upper, lower):
            _grid(axes)
        _label_decades(upper.xaxis)  # shared with the lower
        _label_decades(upper.yaxis)
        figure.legend(loc="outside upper left", ncols=3, frameon=False)
        return svg(figure)


def linearity_svg(series: Sequence[Series]) -> Markup:
    """Draw signal by dose, and its deviation from a line."""
    with drawing("linearity"):
        figure = Figure((WIDTH_IN, 2.8), layout="constrained")
        left, right = figure.subplots(1, 2)
        right.axhline(0, color=FAINT, linewidth=1)
        for one, colour in zip(series, _cycle(len(series)), strict=True):
            dose = one.dose / one.dose.max()
            left.plot(dose, one.signal, "o-", color=colour, markersize=4, linewidth=1)
            right.vlines(dose, 0, 100 * one.deviation, color=colour, linewidth=1)
            right.plot(dose, 100 * one.deviation, "o", color=colour, markersize=4)
        left.set(ylabel="signal, ADU", ylim=(0, None), xlim=(0, None))
        right.set(ylabel="deviation from a line, %", xlim=(0, None))
        for axes in (left, right):
            axes.set_xlabel(f"dose ({series[0].name}), share of the largest")
            _grid(axes)
        return svg(figure)


def histogram_svg(name: str, values: Map, *, unit: str, low: float, high: float) -> Markup:
    """Draw how many pixels have which value between two ends, counts on a logarithmic scale."""
    with drawing(f"histogram-{name}"):
        figure = Figure((WIDTH_IN / 2, 3.0), layout="constrained")
        axes = figure.add_subplot()
        counts, edges = np.histogram(values, bins=_BINS, range=(low, high))
        axes.stairs(np.maximum(counts, 0.5), edges, baseline=0.5, fill=True, color=SEARCH)
        axes.axvline(float(np.median(values)), color=CONFIRM, linewidth=1.2)
        axes.set(yscale="log", ylim=(0.5, None), xlim=(low, high), xlabel=f"{name}, {unit}")
        axes.set_ylabel("pixels")
        _label_decades(axes.yaxis)
        _grid(axes)
        return svg(figure)


def spectra_svg(
    name: str,
    spectra: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]],
    *,
    floor: float,
    unit: str,
) -> Markup:
    """Draw the roots of power spectra, dashed the level that temporal noise alone would give."""
    with drawing(f"spectra-{name}"):
        figure = Figure((WIDTH_IN / 2, 3.0), layout="constrained")
        axes = figure.add_subplot()
        for (label, (frequency, power)), colour in zip(
            spectra.items(), (SEARCH, CONFIRM), strict=True
        ):
            axes.plot(frequency, np.sqrt(power), color=colour, linewidth=1, label=label)
        axes.axhline(floor, color=FAINT, linewidth=1, linestyle="--", label="temporal noise")
        axes.set(xlim=(0, 0.5), xlabel="cycles per pixel", ylabel=f"{name}, {unit}", title=name)
        if any(np.any(power > 0) for _, power in spectra.values()):
            axes.set_yscale("log")
            _label_decades(axes.yaxis)
        _grid(axes)
        figure.legend(loc="outside lower left", ncols=3, frameon=False)
        return svg(figure)


def map_uri(values: Map, *, low: float, high: float) -> str:
    """Return a map as a coloured PNG."""
    return png_uri(reduced(values), cmap=MAP_COLORMAP, vmin=low, vmax=high)


def _left_edge(curve: Sequence[Point]) -> float:
    """Return where a logarithmic axis of signal begins; a dark may have none, or less."""
    lit = min((p.signal for p in curve if not p.is_dark and p.signal > 0), default=1.0)
    return max(min((p.signal for p in curve if p.signal > 0), default=1.0), lit / _EDGE_BELOW_LIT)


def _grid(axes: Axes) -> None:
    axes.grid(axis="y", color=LINE, linewidth=0.8)


def _label_decades(axis: Axis) -> None:
    """Label 1, 10, 100 as people write them; 2 and 5 too where a decade does not fit."""
    low, high = sorted(axis.get_view_interval())
    steps = (1.0,) if high / low > 30 else (1.0, 2.0, 5.0)
    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axis.set_minor_formatter(NullFormatter())


def _cycle(count: int) -> list[str]:
    colours = (SEARCH, CONFIRM, INK, FAINT)
    return [colours[i % len(colours)] for i in range(count)]
