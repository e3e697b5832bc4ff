"""Light dose: what the sample has taken, against the limit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from numpy.typing import NDArray

from instrument.faces.page_style import FAILED, FAINT, LINE, SEARCH, WIDTH_IN, drawing, svg
from instrument.faces.report.charts import clock_axis, few, label_time, shade, time_unit
from instrument.faces.report.record import RunRecord, captured

_MOST_STEPS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Dose:
    """Dose that was taken up to each capture.

    Parameters
    ----------
    seconds
        (n,) end of each capture, since the start of the run.
    object_mj_cm2
        (n,) of the object that took most, summed over the captures.
    sample_mj_cm2
        (n,) of the whole sample; None where it is not recorded.
    light_s
        Time the light was on.
    limit_mj_cm2
        Most that is allowed; None where no limit was set.
    """

    seconds: NDArray[np.float64]
    object_mj_cm2: NDArray[np.float64]
    sample_mj_cm2: NDArray[np.float64] | None
    light_s: float
    limit_mj_cm2: float | None

    @property
    def total_mj_cm2(self) -> float:
        """Dose at the end, of the object that took most."""
        return float(self.object_mj_cm2[-1])

    @property
    def is_over(self) -> bool:
        """Whether the limit is exceeded."""
        return self.limit_mj_cm2 is not None and self.total_mj_cm2 > self.limit_mj_cm2


def dose_of(record: RunRecord) -> Dose | None:
    """Add up the dose of all captures, also of those that came to no score; None if unknown."""
    doses: list[tuple[float, Mapping[str, Any]]] = []
    for row in record.trials:
        entry, span = row.record.get("dose"), captured(row)
        if isinstance(entry, dict) and entry.get("mj_cm2") is not None and span is not None:
            doses.append((record.seconds(span[1]), entry))
    if not doses:
        return None
    doses.sort(key=lambda dose: dose[0])
    entries = [entry for _, entry in doses]
    has_sample = all(entry.get("sample_mj_cm2") is not None for entry in entries)
    return Dose(
        seconds=np.array([seconds for seconds, _ in doses]),
        object_mj_cm2=np.cumsum([float(entry["mj_cm2"]) for entry in entries]),
        sample_mj_cm2=np.cumsum([float(entry["sample_mj_cm2"]) for entry in entries])
        if has_sample
        else None,
        light_s=sum(float(entry.get("seconds") or 0.0) for entry in entries),
        limit_mj_cm2=_limit(record),
    )


def dose_svg(record: RunRecord, dose: Dose) -> Markup:
    """Draw the dose over time, and the limit."""
    divisor, _ = time_unit(record)
    shown = few(len(dose.seconds), _MOST_STEPS)
    with drawing("dose"):
        figure = Figure((WIDTH_IN, 2.3), layout="constrained")
        axes = figure.add_subplot()
        shade(axes, record, divisor=divisor)
        places = np.concatenate([[0.0], dose.seconds[shown] / divisor])
        for name, values, colour in (
            ("whole sample", dose.sample_mj_cm2, FAINT),
            ("object that took most", dose.object_mj_cm2, SEARCH),
        ):
            if values is not None:
                axes.step(
                    places, [0.0, *values[shown]], where="post", color=colour, label=name,
                    linewidth=1.6,
                )  # fmt: skip
        if dose.limit_mj_cm2 is not None:
            axes.axhline(dose.limit_mj_cm2, color=FAILED, linestyle="--", label="limit")
        axes.set_ylabel("dose, mJ/cm\N{SUPERSCRIPT TWO}")
        axes.set_ylim(bottom=0)
        axes.grid(axis="y", color=LINE, linewidth=0.8)
        label_time(axes, record)
        clock_axis(axes, record)
        figure.legend(loc="outside upper left", ncols=6, frameon=False)
        return svg(figure)


def _limit(record: RunRecord) -> float | None:
    """Return the limit on one object that the preflight worked with."""
    preflight = record.meta.get("preflight")
    limit = preflight.get("dose_limit_mj_cm2") if isinstance(preflight, dict) else None
    return None if limit is None else float(limit)
