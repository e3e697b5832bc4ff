"""Designs, patterns and frames of the report, as markup that needs no other file.

Plots are SVG whose colours are the page's CSS variables, so that one drawing serves the light
scheme, the dark one and the printer. Nothing of matplotlib's global state is used or changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from instrument.faces.page_style import (
    FAINT,
    LINE,
    SEARCH,
    WIDTH_IN,
    drawing,
    gradient,
    png_uri,
    reduced,
    svg,
)

LONGEST_PX, THUMBNAIL_PX = 768, 200
"""Longest sides of pictures: as wide as half the page, and beside others."""
_FEW_COMPONENTS = 40  # more are drawn as a line without labels
_LONG_LABEL = 6  # letters; longer ones stand upright,
_LONGEST_LABEL = 16  # and the longest are cut, for they would leave no room to draw
_MOST_NAMED = 16  # choices beside an axis
_PHASE_COLORMAP = "twilight_shifted"  # cyclic, as phase is
_PERCENTILES = (0.5, 99.9)  # a hot pixel must not set the contrast


def design_svg(
    parameter: dict[str, Any], first: Sequence[float] | None, best: Sequence[float] | None
) -> Markup:
    """Draw the components of one parameter, first design beside best one, within its bounds."""
    with drawing(f"design-{parameter['name']}"):
        n = len(parameter["labels"])
        figure = Figure((design_width_in(n), 2.6), layout="constrained")
        axes = figure.add_subplot()
        few = _draw_marks if parameter.get("choices") else _draw_bars
        draw = few if n <= _FEW_COMPONENTS else _draw_lines
        draw(axes, parameter["labels"], {"first": first, "best": best})
        axes.axhline(0, color=LINE, linewidth=0.8)
        axes.set_ylim(*_value_axis(parameter))
        axes.set(title=parameter["name"], ylabel=parameter["unit"])
        _name_choices(axes, parameter.get("choices", ()))
        axes.grid(axis="y", color=LINE, linewidth=0.8)
        return svg(figure)


def design_width_in(components: int) -> float:
    """Width of a parameter's drawing, inches."""
    return float(np.clip(1.3 + 0.45 * components, 2.0, WIDTH_IN))


def frame_uri(
    frame: NDArray[np.uint16], *, low_adu: float, high_adu: float, longest_px: int = LONGEST_PX
) -> str:
    """Return a frame as a grey PNG, black at `low_adu`, white at `high_adu`; a large one binned."""
    return png_uri(reduced(frame, longest_px), cmap="gray", vmin=low_adu, vmax=high_adu)


def pattern_uri(
    levels: NDArray[np.uint8], *, is_phase: bool = True, longest_px: int = LONGEST_PX
) -> str:
    """Return levels of a modulator as colours of a phase, one turn for 256 levels, or as greys.

    Of a large one every n-th pixel is shown: a mean over the edge of a turn would be no phase.
    """
    step = -(-max(levels.shape) // longest_px)
    colormap = _PHASE_COLORMAP if is_phase else "gray"
    return png_uri(levels[::step, ::step], cmap=colormap, vmin=0, vmax=255)


def phase_gradient() -> str:
    """Return the CSS gradient of one turn of phase."""
    return gradient(_PHASE_COLORMAP)


def contrast_adu(frames: Sequence[NDArray[np.uint16]]) -> tuple[float, float]:
    """Return the one contrast in which all these frames are to be compared; 0 to 1 for none."""
    if not frames:
        return 0.0, 1.0
    percentiles = np.array([np.percentile(frame, _PERCENTILES) for frame in frames])
    low, high = float(percentiles[:, 0].min()), float(percentiles[:, 1].max())
    return low, max(high, low + 1)


# ---- parts of plots


def _draw_bars(
    axes: Axes, labels: Sequence[str], designs: dict[str, Sequence[float] | None]
) -> None:
    places = np.arange(len(labels))
    if (best := designs["best"]) is not None:
        axes.bar(places, best, 0.55, color=SEARCH)
    if (first := designs["first"]) is not None:
        axes.hlines(first, places - 0.38, places + 0.38, color=FAINT, linewidth=2.5)
    _label_components(axes, labels)


def _draw_marks(
    axes: Axes, labels: Sequence[str], designs: dict[str, Sequence[float] | None]
) -> None:
    """Draw choices: a bar would say that the first one is nothing."""
    places = np.arange(len(labels))
    if (best := designs["best"]) is not None:
        axes.plot(places, best, "s", color=SEARCH, markersize=8)
    if (first := designs["first"]) is not None:
        axes.hlines(first, places - 0.38, places + 0.38, color=FAINT, linewidth=2.5)
    _label_components(axes, labels)


def _label_components(axes: Axes, labels: Sequence[str]) -> None:
    places = np.arange(len(labels))
    is_long = max(map(len, labels)) > _LONG_LABEL and len(labels) > 1
    axes.set_xticks(places, list(map(_shortened, labels)), rotation=90 if is_long else 0)
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.6, len(labels) - 0.4)


def _draw_lines(
    axes: Axes, labels: Sequence[str], designs: dict[str, Sequence[float] | None]
) -> None:
    for colour, values in ((FAINT, designs["first"]), (SEARCH, designs["best"])):
        if values is not None:
            axes.step(range(len(labels)), values, where="mid", color=colour)
    axes.set_xlabel(f"component, {labels[0]} to {labels[-1]}")


def _value_axis(parameter: dict[str, Any]) -> tuple[float, float]:
    """Return the ends of the axis: the bounds, and a little room to see a bar that ends there."""
    room = 0.5 if parameter.get("choices") else 0.02 * (parameter["upper"] - parameter["lower"])
    return parameter["lower"] - room, parameter["upper"] + room


def _name_choices(axes: Axes, choices: Sequence[str]) -> None:
    """Write what is chosen from instead of its numbers, where there is room."""
    if 0 < len(choices) <= _MOST_NAMED:
        axes.set_yticks(range(len(choices)), list(map(_shortened, choices)))


def _shortened(label: str) -> str:
    is_short = len(label) <= _LONGEST_LABEL
    return label if is_short else label[: _LONGEST_LABEL - 1] + "\N{HORIZONTAL ELLIPSIS}"
