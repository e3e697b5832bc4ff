"""Light dose: what the sample has taken, against the limit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from numpy.typing import NDArray

from instrument.faces.page_style import FAILED, FAINT, LINE, SEARCH, WIDTH_IN, drawing, svg
from instrument.faces.report.charts import clock_axis, few, label_time, shade, time_unit
from instrument.faces.report.record import RunRecord, end_of_capture

_MOST_STEPS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Dose:
    """Dose that was taken up to each capture.

    Parameters
    ----------
    seconds
        (n,) end of each capture, since the start of the run.
    object_mj_cm2
        (n,) of the object that took most.
    sample_mj_cm2
        (n,) of all light of the run, as though it fell on one place.
    limit_mj_cm2
        Most that is allowed; None where no limit was set.
    is_for_sample
        Whether the limit is for the whole sample, and not for the object that took most.
    """

    seconds: NDArray[np.float64]
    object_mj_cm2: NDArray[np.float64]
    sample_mj_cm2: NDArray[np.float64]
    limit_mj_cm2: float | None
    is_for_sample: bool

    @property
    def total_mj_cm2(self) -> float:
        """Dose at the end, of what the limit is for."""
        return float((self.sample_mj_cm2 if self.is_for_sample else self.object_mj_cm2)[-1])

    @property
    def is_over(self) -> bool:
        """Whether the limit is exceeded."""
        return self.limit_mj_cm2 is not None and self.total_mj_cm2 > self.limit_mj_cm2


def dose_of(record: RunRecord) -> Dose | None:
    """Return the dose as it was counted at every capture, scored or not; None if unknown."""
    told: list[tuple[float, float, float]] = []
    for row in record.trials:
        for part in (*row.parts, *row.set_aside):
            entry, moment = part.record.get("dose"), end_of_capture(part.record)
            if isinstance(entry, dict) and moment is not None:
                run = (entry.get("run_object_mj_cm2"), entry.get("run_sample_mj_cm2"))
                if run[0] is not None and run[1] is not None:
                    told.append((record.seconds(moment), float(run[0]), float(run[1])))
    if not told:
        return None
    seconds, of_object, of_sample = np.array(sorted(told)).T
    safety = record.config.get("safety")
    config = safety.get("dose") if isinstance(safety, dict) else None
    limit = config.get("limit_mj_cm2") if isinstance(config, dict) else None
    return Dose(
        seconds=seconds,
        object_mj_cm2=of_object,
        sample_mj_cm2=of_sample,
        limit_mj_cm2=None if limit is None else float(limit),
        is_for_sample=isinstance(config, dict) and config.get("per") == "sample",
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
            axes.step(
                places, [0.0, *values[shown]], where="post", color=colour, label=name, linewidth=1.6
            )
        if dose.limit_mj_cm2 is not None:
            axes.axhline(dose.limit_mj_cm2, color=FAILED, linestyle="--", label="limit")
        axes.set_ylabel("dose, mJ/cm\N{SUPERSCRIPT TWO}")
        axes.set_ylim(bottom=0)
        axes.grid(axis="y", color=LINE, linewidth=0.8)
        label_time(axes, record)
        clock_axis(axes, record)
        figure.legend(loc="outside upper left", ncols=6, frameon=False)
        return svg(figure)
