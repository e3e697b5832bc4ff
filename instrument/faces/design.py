"""`infoloop design`: the most informative design of a twin, as a table or as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from instrument.config import DesignConfig
from instrument.gradient import DesignRun, design_by_gradient, new_design_dir, summary

if TYPE_CHECKING:
    from estimation.ideal import Progress as AscentProgress

SHOWN = 12


class AscentBar:
    """One bar an ascent, with the bits of the design as it would be built."""

    def __init__(self, console: Console, *, steps: int):
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[bits]}"),
            console=console,
        )
        self._steps = steps
        self._tasks = {}
        self._progress.start()

    def __call__(self, progress: AscentProgress) -> None:
        """Take a validation."""
        if progress.start not in self._tasks:
            self._tasks[progress.start] = self._progress.add_task(
                f"from {progress.start}", total=self._steps, bits=""
            )
        self._progress.update(
            self._tasks[progress.start],
            completed=progress.step,
            bits=f"{progress.bits_per_pixel:.4f} bits/px (surrogate)",
        )

    def close(self) -> None:
        """Leave the last state of the bars on the screen."""
        self._progress.stop()


def run_design(
    config: DesignConfig,
    *,
    name: str,
    output: Path | None,
    as_json: bool,
    quiet: bool,
    progress: Console,
) -> str | Table | None:
    """Design, and return what belongs on standard output."""
    folder = output or new_design_dir(config.output, name)
    bar = None if quiet else AscentBar(progress, steps=config.search.steps)
    try:
        run = design_by_gradient(config, folder=folder, watch=bar)
    finally:
        if bar is not None:
            bar.close()
    if as_json:
        return json.dumps({"folder": str(run.folder), **summary(run.found)}, allow_nan=False)
    return None if quiet else candidates_table(run)


def candidates_table(run: DesignRun) -> Table:
    """Return the candidates, the best first, with scores on objects that no choice has seen."""
    table = Table(
        title=f"designs, recorded in {run.folder}", title_justify="left", caption_justify="left"
    )
    for heading in ("design", "origin", "bits/measurement", "bits/pixel", "note"):
        table.add_column(heading)
    for candidate in run.found.candidates[:SHOWN]:
        estimate = candidate.estimate
        if estimate is None:
            table.add_row(candidate.name, candidate.origin, "-", "-", candidate.refusal)
            continue
        table.add_row(
            candidate.name,
            candidate.origin,
            f"{estimate.bits_per_measurement:.1f}",
            f"{estimate.bits_per_pixel:.4f} +- {estimate.standard_error:.4f}",
            "not what the density expects" if estimate.diagnostics["is_misspecified"] else "",
        )
    if len(run.found.candidates) > SHOWN:
        table.caption = f"{len(run.found.candidates) - SHOWN} more in design.json"
    return table
