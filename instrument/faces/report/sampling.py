"""Frames to a decision: how many objects each trial took, and why it ended there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from instrument.faces.page_style import (
    BEST,
    FAINT,
    LINE,
    ROSE,
    SEARCH,
    TEAL,
    WIDTH_IN,
    drawing,
    svg,
)
from instrument.faces.report.charts import few
from instrument.faces.report.record import RunRecord

WHY = {
    "target": "the standard error reached its target",
    "worse": "clearly worse than the best so far",
    "budget": "all objects were used",
}
_COLOURS = {"target": TEAL, "worse": ROSE, "budget": BEST}
_MOST_BARS = 1000


@dataclass(frozen=True, slots=True)
class Decided:
    """One trial of adaptive batches: its number, objects captured, why it ended, looks taken."""

    trial: int
    objects: int
    why: str
    looks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Adaptive batches of a run.

    Parameters
    ----------
    decided
        In the order of the trials.
    fixed_objects
        Objects that every trial would have had without it.
    shots
        Frames an object.
    """

    decided: tuple[Decided, ...]
    fixed_objects: int
    shots: int

    @property
    def frames(self) -> int:
        """Frames that were captured."""
        return self.shots * sum(entry.objects for entry in self.decided)

    @property
    def fixed_frames(self) -> int:
        """Frames that the same trials would have had with fixed batches."""
        return self.shots * self.fixed_objects * len(self.decided)

    def by_reason(self) -> list[dict[str, Any]]:
        """Return trials, their mean objects and looks, for every reason, the commonest first."""
        groups: defaultdict[str, list[Decided]] = defaultdict(list)
        for entry in self.decided:
            groups[entry.why].append(entry)
        return [
            {
                "why": WHY.get(why, why),
                "trials": len(entries),
                "objects": float(np.mean([entry.objects for entry in entries])),
                "looks": float(np.mean([entry.looks for entry in entries])),
            }
            for why, entries in sorted(groups.items(), key=lambda item: -len(item[1]))
        ]


def sampling_of(record: RunRecord) -> Sampling | None:
    """Return how batches were cut short; None where all are of fixed size."""
    decided: list[Decided] = []
    for row in record.trials:
        entry = row.estimate.get("sampling")
        if isinstance(entry, dict) and entry.get("objects") is not None:
            looks = entry.get("looks")
            decided.append(
                Decided(
                    row.number, int(entry["objects"]), str(entry.get("why")),
                    len(looks) if isinstance(looks, list) else 1,
                )
            )  # fmt: skip
    if not decided:
        return None
    grid = _mapping(_mapping(record.config.get("objects")).get("stage_grid"))
    most = max(entry.objects for entry in decided)
    shots = next((row.record["shots"] for row in record.trials if "shots" in row.record), 1)
    return Sampling(
        decided=tuple(decided), fixed_objects=int(grid.get("count", most)), shots=int(shots)
    )


def sampling_svg(sampling: Sampling) -> Markup:
    """Draw the objects of every trial, in the colour of why it ended there."""
    shown = [sampling.decided[place] for place in few(len(sampling.decided), _MOST_BARS)]
    with drawing("sampling"):
        figure = Figure((WIDTH_IN, 2.2), layout="constrained")
        axes = figure.add_subplot()
        for why in dict.fromkeys(entry.why for entry in shown):
            chosen = [entry for entry in shown if entry.why == why]
            axes.vlines(
                [entry.trial for entry in chosen], 0, [entry.objects for entry in chosen],
                color=_COLOURS.get(why, SEARCH), label=WHY.get(why) or why,
                linewidth=float(np.clip(450 / len(shown), 0.4, 6)),
            )  # fmt: skip
        axes.axhline(
            sampling.fixed_objects, color=FAINT, linestyle="--", linewidth=1, label="fixed batch"
        )
        axes.set(xlabel="trial", ylabel="objects captured")
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        axes.grid(axis="y", color=LINE, linewidth=0.8)
        handles, labels = axes.get_legend_handles_labels()
        keys = [
            Line2D([], [], color=_COLOURS.get(why, SEARCH), linewidth=5)
            for why in dict.fromkeys(entry.why for entry in shown)
        ]
        figure.legend(
            [*keys, *handles[len(keys) :]], labels, loc="outside upper left", ncols=4, frameon=False
        )
        return svg(figure)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
