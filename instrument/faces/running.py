"""What `run`, `demo` and `resume` share: preflight, observers, what is said at the end.

The only module that opens the viewer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from instrument.config import Config
from instrument.faces.exit_codes import ERRORS, FAILED, INTERRUPTED, UNSAFE, say

if TYPE_CHECKING:
    from instrument.campaign.control import Control
    from instrument.campaign.events import EventBus
    from instrument.campaign.ledger import Ledger
    from instrument.campaign.run import RunResult
    from instrument.faces.keyboard import Keyboard


def show_preflight(
    config: Config, run_dir: Path, ledger: Ledger | None, *, what: str, as_json: bool, quiet: bool
) -> None:
    """Print what a run would stand on; leave with an exit code where it may not begin."""
    from instrument.campaign.dry_run import dry_run
    from instrument.campaign.preflight import Standing
    from instrument.faces.preflight import preflight_table, verdict_line

    standing = Standing() if ledger is None else Standing.of(ledger)
    found, unsafe = dry_run(config, run_dir=run_dir, standing=standing)
    if as_json:
        typer.echo(json.dumps(found.as_plain(), allow_nan=False))
    elif not quiet:
        Console().print(preflight_table(found))
        typer.echo(verdict_line(found, what))
    if unsafe:
        say("\n".join(map(str, unsafe)), style="bold red")
        raise typer.Exit(UNSAFE)
    if found.stops:
        raise typer.Exit(FAILED)


def execute_watched(config: Config, ledger: Ledger, *, quiet: bool, view: bool) -> RunResult:
    """Run a campaign under progress bar, keyboard and, if wanted, viewer."""
    from instrument.campaign.control import Control
    from instrument.campaign.events import EventBus
    from instrument.campaign.run import execute

    bus, control = EventBus(), Control()
    with _observers(bus, control, quiet=quiet, view=view) as keyboard:
        return execute(config, ledger, bus, control=control, on_ctrl_c=keyboard.on_ctrl_c)


@contextmanager
def _observers(bus: EventBus, control: Control, *, quiet: bool, view: bool) -> Iterator[Keyboard]:
    from instrument.faces.keyboard import Keyboard, terminal_lines
    from instrument.faces.terminal import ProgressBar

    bar = None if quiet else ProgressBar(ERRORS)
    if bar is not None:
        bus.subscribe(bar, name="progress bar")
    viewer = _open_viewer(control) if view else None
    if viewer is not None:
        bus.subscribe(viewer, name="viewer")
    keyboard = Keyboard(
        control,
        say,
        lines=terminal_lines(),
        can_resume=lambda: viewer is not None and viewer.is_open,
    )
    bus.subscribe(keyboard, name="keyboard")
    try:
        yield keyboard
    finally:
        bus.close()
        keyboard.close()
        if bar is not None:
            bar.close()
        if viewer is not None:
            viewer.close()


def _open_viewer(control: Control) -> Any:
    from instrument.faces.viewer import ViewerUnavailable, open_viewer

    try:
        return open_viewer(control)
    except ViewerUnavailable as reason:
        say(f"no live view: {reason}")
        return None


def finish(result: RunResult, ledger: Ledger, *, as_json: bool, quiet: bool) -> None:
    """Write the report, say how the run ended, and leave with its exit code."""
    from instrument.faces.report import write_report
    from instrument.faces.summary import summary, summary_lines

    report_file = write_report(ledger.run_dir)
    self_checks = ledger.meta().get("self_checks", [])
    if as_json:
        typer.echo(json.dumps(summary(result, self_checks), allow_nan=False))
    elif not quiet:
        for line in summary_lines(result):
            Console().print(line, highlight=False)
        Console().print(f"report: {report_file}", highlight=False, soft_wrap=True)
    _say_alarms(self_checks)
    if result.unsafe:
        raise typer.Exit(UNSAFE)
    if result.status == "aborted":
        say(f"stopped ({result.why}); go on with: infoloop resume {result.run_dir}")
        raise typer.Exit(INTERRUPTED)
    if result.status == "finished" and result.why is not None and not quiet:
        say(f"finished before all trials were taken: {result.why}")
    if result.status == "failed":
        say(f"{result.why}\ngo on with: infoloop resume {result.run_dir}", style="red")
        raise typer.Exit(FAILED)


def _say_alarms(self_checks: Sequence[dict[str, Any]]) -> None:
    """Say last what must not scroll away: noise that is not the calibrated one."""
    for check in self_checks:
        if check["is_alarm"]:
            say(
                f"ALARM: noise at the {check['when']} of the run: {check['text']}", style="bold red"
            )
