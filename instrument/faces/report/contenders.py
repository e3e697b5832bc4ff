"""The best designs beside each other: score, patterns, and one object's frame in one contrast.

Reads the batches it shows, one at a time, and no others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from instrument.bench.patterns import ModulatorFileError, grey_patterns, render_patterns
from instrument.campaign.drifting import REFERENCE
from instrument.campaign.inputs import check_kept
from instrument.campaign.ledger import Ledger, LedgerError
from instrument.config import Config, ConfigError
from instrument.design import Design
from instrument.faces.report import figures
from instrument.faces.report.record import RunRecord
from instrument.faces.report.summary import Measured, measured_again

_MOST = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One of the best designs: who proposed it to the confirmation, and what it scored."""

    name: str
    measured: Measured


def contenders(record: RunRecord, best: Measured | None) -> list[Contender]:
    """Return the best first: those that were confirmed, then the highest scores of the search."""
    scored = [r for r in record.trials if r.state == "scored" and r.phase != REFERENCE]
    chosen = {
        name: Design.from_json(text) for name, text in record.meta.get("contenders", {}).items()
    }
    names = {design.to_json(): name for name, design in chosen.items()}
    found: list[Contender] = []
    if best is not None:
        found.append(Contender(name=names.get(best.trial.design.to_json(), "best"), measured=best))
    confirmed = [measured_again(scored, design) for design in chosen.values()]
    by_score = sorted(scored, key=lambda row: row.score or -np.inf, reverse=True)
    searched = [measured_again(scored, row.design) for row in by_score[: 4 * _MOST]]
    for measured in (
        *sorted(filter(None, confirmed), key=lambda each: -each.bits_per_pixel),
        *filter(None, searched),
    ):
        design = measured.trial.design
        is_new = all(design != other.measured.trial.design for other in found)
        if is_new and len(found) < _MOST:
            name = names.get(design.to_json(), f"trial {measured.trial.number}")
            found.append(Contender(name=name, measured=measured))
    return found


def rendered(
    ledger: Ledger, record: RunRecord, design: Design, *, longest_px: int
) -> list[dict[str, Any]]:
    """Return what each modulator showed for a design: role, whether a phase, and the picture.

    Raises
    ------
    ConfigError, ModulatorFileError
        If a calibration file of the run is gone or changed.
    """
    if not record.meta.get("slm_shapes"):
        return []
    greys = grey_patterns(Config.model_validate(record.meta["config"]))
    check_kept(record.meta, ledger.run_dir)
    return [
        {
            "role": role,
            "is_phase": role not in greys,
            "uri": figures.pattern_uri(levels, is_phase=role not in greys, longest_px=longest_px),
        }
        for role, levels in render_patterns(record.meta, design, folder=ledger.run_dir).items()
    ]


def patterns(
    ledger: Ledger, record: RunRecord, shown: Mapping[str, Measured], *, longest_px: int
) -> tuple[dict[str, list[dict[str, Any]]], str | None]:
    """Return the patterns of each design by its name, or why they cannot be drawn."""
    try:
        return {
            name: rendered(ledger, record, measured.trial.design, longest_px=longest_px)
            for name, measured in shown.items()
        }, None
    except ValidationError:
        return {}, (
            "The patterns cannot be drawn: this infoloop does not read the bench file of this run; "
            "use the version named below."
        )
    except (ConfigError, ModulatorFileError) as error:
        return {}, f"The patterns cannot be drawn: {error}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """One object under several designs.

    Parameters
    ----------
    by_trial
        First shot, (height, width) in ADU, by the number of the trial.
    object_index
        Which object.
    problems
        Why some are missing.
    """

    by_trial: Mapping[int, NDArray[np.uint16]]
    object_index: int
    problems: tuple[str, ...]


def frames(ledger: Ledger, shown: Mapping[int, Measured]) -> Frames:
    """Read one object's frame of each design; the object is of median contrast under the first.

    Parameters
    ----------
    ledger
        Of the run.
    shown
        Designs by the trial to read, the one that chooses the object first.
    """
    n_objects = min((int(m.trial.record.get("objects", 1)) for m in shown.values()), default=0)
    index: int | None = None
    found: dict[int, NDArray[np.uint16]] = {}
    problems: list[str] = []
    for number, measured in shown.items():
        try:
            batch = ledger.load_batch(measured.trial)
        except LedgerError as error:
            problems.append(str(error))
            continue
        if index is None:
            index = _typical_object(batch[:n_objects])
        found[number] = batch[index, 0].copy()  # or it would keep the whole batch
        del batch
    return Frames(by_trial=found, object_index=index or 0, problems=tuple(problems))


def _typical_object(batch: NDArray[np.uint16]) -> int:
    """Return the object of median contrast: no beauty, no blank."""
    contrast = [float(frames[0].std()) for frames in batch]
    return int(np.argsort(contrast)[len(contrast) // 2])
