"""`infoloop verify`: whether a run's record is what was acknowledged."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from instrument.faces.exit_codes import FAILED, bad_input

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="Run directory.")]


def verify(
    run_dir: RunArgument,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document on standard output.")
    ] = False,
) -> None:
    """Check every row and every file of a run against their hashes; change nothing."""
    from instrument.campaign.ledger import LedgerError, to_json, verify_run

    with bad_input(LedgerError):
        found = verify_run(run_dir)
    if as_json:
        typer.echo(to_json(found))
    else:
        console = Console()
        for problem in found.problems:
            _say(console, f"PROBLEM: {problem}")
        for note in found.notes:
            _say(console, f"note: {note}")
        verdict = "every one is what was acknowledged" if found.is_whole else "NOT WHOLE"
        _say(
            console,
            f"{run_dir}: {found.trials} trials, {found.parts} files of frames, "
            f"{found.frame_bytes / 1e6:.1f} MB: {verdict}",
        )
    if not found.is_whole:
        raise typer.Exit(FAILED)


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
