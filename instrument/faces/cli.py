"""The command `infoloop`: its commands, and what each takes."""

from __future__ import annotations

import logging
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.logging import RichHandler

from instrument.config import (
    Config,
    ConfigError,
    load_config,
    load_design_config,
)
from instrument.faces.exit_codes import ERRORS, FAILED, UNSAFE, exit_codes
from instrument.faces.export import export, rescore
from instrument.faces.record import verify
from instrument.faces.running import execute_watched, finish, show_preflight
from instrument.faces.score import compare, score

DEMO = Path("demo.yaml")

app = typer.Typer(
    help="Information theory in the loop of a real optical bench.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


class DryRun(StrEnum):
    """Design that `check` shows."""

    START = "start"
    RANDOM = "random"


ConfigArgument = Annotated[Path, typer.Argument(metavar="CONFIG", help="Bench file (YAML).")]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key, e.g. search.trials=20."),
]
OutputOption = Annotated[
    Path | None, typer.Option("--output", help="Folder for the run; made if it is not there.")
]
SeedOption = Annotated[int | None, typer.Option("--seed", min=0, help="Seed of everything random.")]
JsonOption = Annotated[
    bool, typer.Option("--json", help="One JSON document on standard output at the end.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")]
DryRunOption = Annotated[
    bool,
    typer.Option("--dry-run", help="Stop after the preflight: 0 if nothing forbids the run, or 1."),
]
ViewOption = Annotated[bool, typer.Option("--view", help="Live view in napari (extra `gui`).")]


@app.command()
def demo(
    overrides: SetOption = None,
    output: OutputOption = None,
    seed: SeedOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    view: ViewOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Run the virtual programmable-pupil microscope: about two minutes, no hardware."""
    run(DEMO, overrides, output, seed, as_json, quiet, view, dry_run)


@app.command()
def run(
    config: ConfigArgument,
    overrides: SetOption = None,
    output: OutputOption = None,
    seed: SeedOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    view: ViewOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Search the design space of a bench until its budget is spent."""
    with exit_codes():
        loaded = load_config(config, overrides=overrides or (), seed=seed)
        from instrument.campaign.run import create_run, new_run_dir, recorded_config
        from instrument.faces.command_line import command_line

        run_dir = output or new_run_dir(loaded.output, config.stem)
        if dry_run:
            show_preflight(loaded, run_dir, None, what=str(config), as_json=as_json, quiet=quiet)
            return
        with create_run(loaded, run_dir, name=config.stem) as ledger:
            ledger.set_meta("command", command_line("run", config, overrides or (), seed=seed))
            # Stands on the copies: somebody may calibrate again while it runs.
            result = execute_watched(recorded_config(ledger), ledger, quiet=quiet, view=view)
            finish(result, ledger, as_json=as_json, quiet=quiet)


@app.command()
def design(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG", help="Design file (YAML): twin, objects, noise.")
    ],
    overrides: SetOption = None,
    output: OutputOption = None,
    seed: SeedOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Design by gradient: maximise the information of a differentiable twin; no bench is needed."""
    with exit_codes():
        loaded = load_design_config(config, overrides=overrides or (), seed=seed)
        from instrument.faces.design import run_design

        shown = run_design(
            loaded, name=config.stem, output=output, as_json=as_json, quiet=quiet, progress=ERRORS
        )
        if isinstance(shown, str):
            typer.echo(shown)
        elif shown is not None:
            Console().print(shown)


@app.command()
def resume(
    run_dir: RunArgument,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    view: ViewOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Continue a run that was interrupted or killed; every acknowledged trial is kept."""
    with exit_codes():
        from instrument.campaign.ledger import Ledger
        from instrument.campaign.run import recorded_config

        if dry_run:
            with Ledger.read(run_dir) as ledger:
                config = recorded_config(ledger)
                show_preflight(
                    config, run_dir, ledger, what=str(run_dir), as_json=as_json, quiet=quiet
                )
            return
        with Ledger.open(run_dir) as ledger:
            config = recorded_config(ledger)
            result = execute_watched(config, ledger, quiet=quiet, view=view)
            finish(result, ledger, as_json=as_json, quiet=quiet)


@app.command()
def check(
    config: ConfigArgument,
    overrides: SetOption = None,
    seed: SeedOption = None,
    dry_run: Annotated[
        DryRun, typer.Option("--dry-run", help="Design to show what it would ask for.")
    ] = DryRun.START,
    conformance: Annotated[
        bool, typer.Option("--conformance", help="Check that every device keeps what it promises.")
    ] = False,
    move: Annotated[
        bool, typer.Option("--move", help="With --conformance: move, expose, light at its lowest.")
    ] = False,
) -> None:
    """Connect, show limits, interlocks and a dry run of a design, lights off; move nothing."""
    with exit_codes():
        if move and not conformance:
            raise ConfigError("check", ["--move goes with --conformance only; it moves nothing"])
        loaded = load_config(config, overrides=overrides or (), seed=seed)
        if conformance:
            _check_conformance(config, loaded, move=move)
            return
        from instrument.bench.connect import connect
        from instrument.bench.safety import signals_raise
        from instrument.faces.check import a_design, dry_run_table, interlock_table, limits_table
        from instrument.faces.terminal import design_table, device_table

        console = Console()
        with signals_raise(), connect(loaded) as bench:
            console.print(device_table(bench.describe(), loaded))
            console.print(limits_table(bench))
            if loaded.bench.interlocks:
                console.print(interlock_table(bench))
            space = bench.space()
            console.print(design_table(space))
            asked = a_design(space, is_random=dry_run is DryRun.RANDOM, seed=loaded.search.seed)
            settings = bench.check(asked, space=space)
            title = f"dry run of the {dry_run.value} design: nothing moves"
            console.print(dry_run_table(bench, settings, title))
            bench.check_interlocks()
        typer.echo(
            f"{config}: {space.dimension} parameters, the {dry_run.value} design is allowed; "
            "all safe"
        )


@app.command()
def calibrate(
    config: Annotated[
        Path | None, typer.Argument(metavar="[CONFIG]", help="Bench file (YAML).")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="One minute instead of several.")] = False,
    source: Annotated[
        Path | None, typer.Option("--from", metavar="FOLDER", help="Frames on disk, no bench.")
    ] = None,
    bit_depth: Annotated[
        int | None, typer.Option("--bit-depth", help="Of the converter; needed with --from.")
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", help="Calibration file; name it under `noise` in a config.")
    ] = Path("camera.npz"),
    overrides: SetOption = None,
    seed: SeedOption = None,
) -> None:
    """Measure gain, offset, read noise and dark current of a camera, with error bars."""
    with exit_codes():
        if (config is None) == (source is None):
            raise ConfigError("calibrate", ["give either a bench file or --from FOLDER"])
        from instrument.faces.calibration import from_bench, from_files

        if source is not None:
            unsafe = from_files(source, output, bit_depth=bit_depth, progress=ERRORS)
        else:
            assert config is not None  # noqa: S101 - the other of the two
            loaded = load_config(config, overrides=overrides or (), seed=seed)
            protocol = "quick" if quick else "full"
            unsafe = from_bench(loaded, output, protocol=protocol, progress=ERRORS)
        if unsafe:
            raise typer.Exit(UNSAFE)


@app.command()
def devices(
    addresses: Annotated[
        list[str] | None,
        typer.Option("--address", help="Ask this VISA address too: sockets stay silent."),
    ] = None,
    backend: Annotated[
        str, typer.Option("--backend", help="VISA library, in pyvisa's words.")
    ] = "@py",
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="CFG", help="A .cfg of Micro-Manager: its devices."),
    ] = None,
    adapters: Annotated[
        Path | None, typer.Option("--adapters", help="Folder of its device adapters.")
    ] = None,
) -> None:
    """List VISA instruments with declaration and limits, device adapters, monitors, drivers.

    With --config: a bench file for a .cfg, its devices as comments; save it and edit it.
    """
    with exit_codes():
        if config is not None:
            from instrument.faces.micromanager_devices import starter_of

            typer.echo(starter_of(config, adapters))
            return
        from instrument.faces.listing import listed

        for line in listed(addresses or [], backend):
            typer.echo(line)


@app.command()
def report(
    run_dir: RunArgument,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="Write here instead of into the folder."),
    ] = None,
) -> None:
    """Write one self-contained HTML report of a run, also while it goes on."""
    with exit_codes():
        from instrument.faces.report import write_report

        typer.echo(write_report(run_dir, output))


app.command()(score)
app.command()(compare)
app.command()(rescore)
app.command()(export)
app.command()(verify)


def main() -> None:
    """Entry point of the command."""
    handler = RichHandler(logging.WARNING, console=ERRORS, show_time=False, show_path=False)
    logging.basicConfig(format="%(message)s", handlers=[handler])
    app()


def _check_conformance(file: Path, config: Config, *, move: bool) -> None:
    from drivers.conformance import Scope
    from instrument.bench.conformance import check_bench
    from instrument.bench.connect import connect
    from instrument.bench.safety import signals_raise
    from instrument.faces.conformance import conformance_tables, count_line

    scope = Scope.MOVE if move else Scope.READ_ONLY
    with signals_raise(), connect(config) as bench:
        results = check_bench(bench, scope=scope)
    for table in conformance_tables(results, scope=scope):
        Console().print(table)
    typer.echo(f"{file}: {count_line(results, scope=scope)}")
    if any(each.status == "failed" for of_role in results.values() for each in of_role):
        raise typer.Exit(FAILED)


if __name__ == "__main__":
    sys.exit(main())
