"""`infoloop rescore` and `infoloop export`: what a run has recorded, seen again or elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from instrument.faces.exit_codes import ERRORS, FAILED, INTERRUPTED, bad_input, say

if TYPE_CHECKING:
    from instrument.campaign.rescored import Rescored, RescoredTrial, Standing, TrialScore

FORMATS = ("csv", "parquet", "ome-zarr")
SHOWN = 12
"""Trials in the table, best first; the file has them all."""

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")]
TrialsOption = Annotated[
    str, typer.Option("--trials", help="all, best, or numbers such as 0-10,15.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document, no table.")]


def rescore(
    run_dir: RunArgument,
    density: Annotated[
        str | None,
        typer.Option(
            "--density",
            help="auto, auto-gaussian, gaussian, stationary or autoregressive; the run's unless "
            "given.",
        ),
    ] = None,
    noise: Annotated[
        Path | None,
        typer.Option("--noise", help="Calibration (.npz) instead of the run's noise."),
    ] = None,
    patch: Annotated[
        int | None, typer.Option("--patch", min=1, max=64, help="Side of a patch, pixels.")
    ] = None,
    trials: TrialsOption = "all",
    other_camera: Annotated[
        bool,
        typer.Option("--other-camera", help="Use a --noise that was made for another camera."),
    ] = False,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes that score.")] = 1,
    output: Annotated[
        Path | None,
        typer.Option("--output", help="JSON file, with a .csv beside it; else RUN/rescored/."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Score the frames of a run again, without hardware; its record stays as it is."""
    with _one_sentence():
        from instrument.campaign.new_file import check_new
        from instrument.campaign.rescore import rescore as rescore_run
        from instrument.campaign.rescored import FOLDER, write_rescored

        def begin(count: int) -> None:
            """Find out before the work whether its result may be written."""
            planned = output or run_dir / FOLDER / "new.json"
            check_new(planned)
            check_new(planned.with_suffix(".csv"))
            bar.begin(count)

        with _bar("scoring") as bar:
            rescored = rescore_run(
                run_dir,
                density=density,
                noise=noise,
                patch=patch,
                trials=trials,
                other_camera=other_camera,
                workers=workers,
                on_begin=begin,
                on_trial=lambda _trial: bar.step(),
            )
        file = write_rescored(rescored, output or _new_name(rescored))
        if as_json:
            typer.echo(json.dumps({**rescored.as_plain(), "file": str(file)}, allow_nan=False))
        else:
            _show(rescored, file)
        if not any(trial.new for trial in rescored.trials):
            raise typer.Exit(FAILED)


def export(
    run_dir: RunArgument,
    to: Annotated[str, typer.Option("--to", help=f"{', '.join(FORMATS)}.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", help="File, or folder for ome-zarr; else in RUN."),
    ] = None,
    trials: TrialsOption = "all",
    pixel_um: Annotated[
        float | None,
        typer.Option("--pixel-um", help="Side of a pixel in the sample, for ome-zarr."),
    ] = None,
) -> None:
    """Write a run as a table (csv, parquet) or as images (ome-zarr, for napari)."""
    with _one_sentence():
        from instrument.campaign.export import Format, export_run
        from instrument.campaign.new_file import OutputError

        if to not in FORMATS:
            raise OutputError(f"--to {to} asked; {', '.join(FORMATS)} are possible")
        if pixel_um is not None and not 0 < pixel_um < float("inf"):
            raise OutputError(f"--pixel-um {pixel_um} asked; a number above 0 is due")
        with _bar("writing") as bar:
            path = export_run(
                run_dir,
                Format(to),
                output,
                trials=trials,
                pixel_um=pixel_um,
                on_begin=bar.begin,
                on_trial=lambda _number: bar.step(),
            )
        typer.echo(path)


# ---- showing


def _show(rescored: Rescored, file: Path) -> None:
    console = Console()
    console.print(_table(rescored))
    for line in _lines(rescored):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    failed = [trial for trial in rescored.trials if trial.new is None]
    for trial in failed[:SHOWN]:
        say(f"trial {trial.number}: {trial.why}")
    if len(failed) > SHOWN:
        say(f"and {len(failed) - SHOWN} more without a new score")
    where = f"{file} and {file.with_suffix('.csv').name}"
    console.print(where, markup=False, highlight=False, soft_wrap=True)


def _table(rescored: Rescored) -> Table:
    """List the best trials, with what the run had said of them."""
    settings = rescored.settings
    table = Table(
        title=escape(
            f"density {settings['density']}, patch {settings['patch']}, noise of "
            f"{settings['noise']['of']}"
        ),
        title_justify="left",
    )
    for heading in ("rank", "was", "trial", "phase", "bits/px", "bits/px in the run"):
        table.add_column(heading, justify="left" if heading == "phase" else "right")
    scored = [trial for trial in rescored.trials if trial.new]
    new = _ranks(scored, lambda trial: trial.new)
    old = _ranks(scored, lambda trial: trial.old)
    for trial in sorted(scored, key=lambda trial: new[trial.number])[:SHOWN]:
        before = old.get(trial.number)
        table.add_row(
            str(new[trial.number]),
            "-" if before is None else str(before),
            str(trial.number),
            trial.phase + (" (refused)" if trial.refused else ""),
            _bits(trial.new),
            _bits(trial.old),
        )
    if len(scored) > SHOWN:
        table.caption = f"{len(scored) - SHOWN} more in the file"
    return table


def _ranks(
    trials: list[RescoredTrial], score: Callable[[RescoredTrial], TrialScore | None]
) -> dict[int, int]:
    known = [(found.score, trial.number) for trial in trials if (found := score(trial))]
    return {number: rank for rank, (_, number) in enumerate(sorted(known, reverse=True), 1)}


def _bits(score: TrialScore | None) -> str:
    if score is None:
        return "-"
    return f"{score.bits_per_pixel:.4f} +- {score.standard_error_per_pixel:.4f}"


def _lines(rescored: Rescored) -> Iterator[str]:
    scored = sum(trial.new is not None for trial in rescored.trials)
    rank = rescored.rank_correlation
    yield f"{scored} of {len(rescored.trials)} trials scored again" + (
        "" if rank is None else f"; rank correlation with the run's scores {rank:.4f}"
    )
    if rescored.chosen is not None:
        yield f"design of the run: {_standing(rescored.chosen)}"
    for words, best in (
        ("best of the confirmed now", rescored.best_confirmed),
        ("highest score now", rescored.best_observed),
    ):
        if best is not None:
            is_same = rescored.chosen is not None and best.design == rescored.chosen.design
            yield f"{words}: " + ("the same design" if is_same else _standing(best, compared=True))


def _standing(standing: Standing, *, compared: bool = False) -> str:
    numbers = ", ".join(map(str, standing.trials))
    text = f"{standing.bits_per_pixel:.4f} bits/px (trials {numbers})"
    if not compared or standing.difference is None:
        return text
    return (
        f"{text}, {standing.difference:+.4f} +- {standing.standard_error:.4f} bits/px against the "
        "run's, paired by objects"
    )


class _Bar:
    """Progress on standard error."""

    def __init__(self, progress: Progress, task: TaskID):
        self._progress = progress
        self._task = task

    def begin(self, count: int) -> None:
        self._progress.update(self._task, total=count)

    def step(self) -> None:
        self._progress.advance(self._task)


@contextmanager
def _bar(words: str) -> Iterator[_Bar]:
    progress = Progress(
        TextColumn(words),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=ERRORS,
        transient=True,
    )
    with progress:
        yield _Bar(progress, progress.add_task(words, total=None))


def _new_name(rescored: Rescored) -> Path:
    """Name a result by what it was made with, and count where there is such a one."""
    from instrument.campaign.rescored import FOLDER

    settings = rescored.settings
    patch = settings["patch"]
    sides = patch if isinstance(patch, int) else "x".join(map(str, patch))
    noise = settings["noise"]["of"]
    of_noise = "" if noise == "the run" else f"-{Path(noise).stem}"
    stem = f"{settings['density'] or settings['density_asked']}-patch{sides}{of_noise}"
    folder = rescored.run_dir / FOLDER
    path, count = folder / f"{stem}.json", 1
    while path.exists() or path.with_suffix(".csv").exists():
        count += 1
        path = folder / f"{stem}-{count}.json"
    return path


@contextmanager
def _one_sentence() -> Iterator[None]:
    """Turn bad input into one sentence on standard error and an exit code."""
    from estimation import EstimationError
    from instrument.campaign.ledger import LedgerError
    from instrument.campaign.new_file import OutputError
    from instrument.campaign.rescore import RescoreError
    from instrument.campaign.trial_choice import TrialChoiceError

    problems = (EstimationError, LedgerError, OutputError, RescoreError, TrialChoiceError)
    try:
        with bad_input(*problems):
            yield
    except KeyboardInterrupt as error:
        say("interrupted; nothing was written")
        raise typer.Exit(INTERRUPTED) from error
