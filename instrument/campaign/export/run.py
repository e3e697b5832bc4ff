"""A whole run, or some of its trials, written in another format; the run is only read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from instrument.campaign.export.ome_zarr import Images, write_ome_zarr
from instrument.campaign.export.table import trial_table
from instrument.campaign.export.tables import BYTES_A_CELL, write_csv, write_parquet
from instrument.campaign.ledger import Ledger, TrialRow
from instrument.campaign.new_file import OutputError, new_path
from instrument.campaign.trial_choice import ALL, choose_trials
from instrument.design import Parameter

ABOUT = ("config_name", "created_at", "infoloop_version", "versions", "status", "best_trial")


class Format(StrEnum):
    """What a run is exported to."""

    CSV = "csv"
    PARQUET = "parquet"
    OME_ZARR = "ome-zarr"

    @property
    def suffix(self) -> str:
        """End of a file's (or folder's) name."""
        return ".ome.zarr" if self is Format.OME_ZARR else f".{self.value}"


def export_run(
    run_dir: Path,
    to: Format,
    output: Path | None = None,
    *,
    trials: str = ALL,
    pixel_um: float | None = None,
    on_begin: Callable[[int], None] = lambda _count: None,
    on_trial: Callable[[int], None] = lambda _number: None,
) -> Path:
    """Write a run as a table or as images, and return where.

    Parameters
    ----------
    run_dir
        Of a run, finished or not.
    to
        Format.
    output
        File (folder for OME-Zarr) that is made; by default named as the run, in its directory.
    trials
        Which: `all`, `best`, or numbers such as `0-10,15`. Images of all trials have an empty place
        for those without frames, so that the place is the trial's number.
    pixel_um
        Side of a pixel in the sample, um, for images.
    on_begin, on_trial
        Told the number of trials with frames, and each trial that is written; for images.

    Raises
    ------
    OutputError
        The output is there already, there is no room, nothing to write, or a library is missing.
    TrialChoiceError
        `trials` names none of the run.
    LedgerError
        The record cannot be read, or frames are not those that were acknowledged.
    """
    with Ledger.read(run_dir) as ledger:
        meta, rows = ledger.meta(), ledger.trials()
        chosen = choose_trials(rows, trials, best_trial=meta.get("best_trial"))
        space = [Parameter.from_plain(entry) for entry in meta.get("space", [])]
        columns = trial_table(chosen, space, objective=meta["config"]["score"]["objective"])
        path = output or run_dir / f"{run_dir.resolve().name}{to.suffix}"
        if to is not Format.OME_ZARR:
            with new_path(path, needed_bytes=BYTES_A_CELL * len(columns) * len(chosen)) as made:
                if to is Format.CSV:
                    write_csv(columns, made)
                else:
                    write_parquet(columns, made, about=_about(run_dir, meta))
            return path
        images = Images(
            name=run_dir.resolve().name,
            trials=chosen,
            with_frames=_with_frames(chosen),
            columns=columns,
            about=_about(run_dir, meta),
            pixel_um=pixel_um,
        )
        needed = sum(_bytes_of(run_dir, row) for row in images.with_frames)
        on_begin(len(images.with_frames))
        with new_path(path, needed_bytes=needed) as made:
            write_ome_zarr(images, made, load_batch=ledger.load_batch, on_trial=on_trial)
    return path


def _about(run_dir: Path, meta: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "run": run_dir.resolve().name,
        **{key: meta[key] for key in ABOUT if key in meta},
        "parameters": meta.get("space", []),
        "config": meta["config"],
    }


def _with_frames(trials: Sequence[TrialRow]) -> list[TrialRow]:
    found = [row for row in trials if row.parts]
    if not found:
        raise OutputError(f"none of these {len(trials)} trials has frames: nothing to export")
    return found


def _bytes_of(run_dir: Path, row: TrialRow) -> int:
    """Size of a trial's frames; a missing file is told when it is loaded."""
    paths = [run_dir / part.file for part in row.parts]
    return sum(path.stat().st_size for path in paths if path.is_file())
