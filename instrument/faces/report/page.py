"""The page: everything the template shows, read from the ledger of a run directory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from instrument.bench.patterns import ModulatorFileError, grey_patterns, render_patterns
from instrument.campaign.inputs import check_kept
from instrument.campaign.ledger import Ledger, LedgerError, TrialRow
from instrument.config import Config, ConfigError
from instrument.faces.page_style import environment
from instrument.faces.report import figures
from instrument.faces.report.summary import (
    Measured,
    best_design,
    first_design,
    gain,
    seconds_by_activity,
)

REPORT_FILE = "report.html"


def write_report(run_dir: Path) -> Path:
    """Write the report of a run, finished or not, into its directory.

    Parameters
    ----------
    run_dir
        Holds the ledger; a report that is there already is replaced.

    Returns
    -------
    Path
        The file: HTML that needs no other file and no network.

    Raises
    ------
    LedgerError
        If there is no readable ledger.
    """
    with Ledger.read(run_dir) as ledger:
        template = environment(Path(__file__).parent).get_template("report.html.j2")
        page = template.render(_content(ledger))
    file = run_dir / REPORT_FILE
    file.write_text(page, encoding="utf-8")
    return file


def _content(ledger: Ledger) -> dict[str, Any]:
    meta, trials = ledger.meta(), ledger.trials()
    first, best = first_design(trials), best_design(trials, meta.get("best_trial"))
    shown = {"first": first, "best": best}
    config = meta.get("config", {})
    return {
        "meta": meta,
        "run_dir": ledger.run_dir.resolve(),
        "trials": trials,
        "first": first,
        "best": best,
        "gain": gain(first, best) if first and best else None,
        "n_scored": sum(row.state == "scored" for row in trials),
        "failed": [row for row in trials if row.state == "failed"],
        "open": [row for row in trials if row.state in {"asked", "captured"}],
        "history": figures.history_svg(trials, best) if trials else None,
        "designs": _designs(meta.get("space", []), first, best),
        **_patterns(ledger, meta, shown),
        "phase_gradient": figures.phase_gradient(),
        "frames": _frames(ledger, shown),
        "activities": _activities(trials),
        "self_checks": meta.get("self_checks", []),
        "devices": [_device(entry, config) for entry in meta.get("devices", [])],
        "settings": {name: config[name] for name in _SETTINGS if name in config},
        "config_yaml": yaml.safe_dump(config, sort_keys=False, allow_unicode=True),
    }


_SETTINGS = ("noise", "score", "objects", "search", "safety")


def _designs(
    space: Sequence[dict[str, Any]], first: Measured | None, best: Measured | None
) -> list[dict[str, Any]]:
    """Return a drawing and its width for each parameter, the widest first."""
    designs = []
    for parameter in space:
        name = parameter["name"]
        values = [m.trial.design.values[name] if m else None for m in (first, best)]
        width = figures.design_width_in(len(parameter["labels"]))
        designs.append({"svg": figures.design_svg(parameter, *values), "width": width})
    return designs


def _patterns(
    ledger: Ledger, meta: Mapping[str, Any], shown: Mapping[str, Measured | None]
) -> dict[str, Any]:
    """Return what each modulator showed, by role, for the first and the best design, or why not."""
    if not meta.get("slm_shapes"):
        return {"patterns": [], "pattern_problem": None}
    greys = grey_patterns(Config.model_validate(meta["config"]))
    try:
        check_kept(meta, ledger.run_dir)
        patterns = [
            {
                "name": name,
                "trial": measured.trial.number,
                "role": role,
                "is_phase": role not in greys,
                "uri": figures.pattern_uri(levels, is_phase=role not in greys),
            }
            for name, measured in shown.items()
            if measured is not None
            for role, levels in render_patterns(
                meta, measured.trial.design, folder=ledger.run_dir
            ).items()
        ]
    except (ConfigError, ModulatorFileError) as error:
        return {"patterns": [], "pattern_problem": f"The patterns cannot be drawn: {error}"}
    return {"patterns": patterns, "pattern_problem": None}


def _frames(ledger: Ledger, shown: Mapping[str, Measured | None]) -> dict[str, Any]:
    """Return one object under both designs in one contrast; what cannot be read says why."""
    batches, problems = _batches(ledger, shown)
    if not batches:
        return {"pictures": [], "problems": problems}
    index = _typical_object([batch for _, batch in batches.values()])
    frames = {name: (row, batch[index]) for name, (row, batch) in batches.items()}
    low, high = figures.contrast_adu([shots[0] for _, shots in frames.values()])
    pictures = [
        {
            "name": name,
            "trial": row.number,
            "uri": figures.frame_uri(shots[0], low_adu=low, high_adu=high),
            "shape": shots[0].shape,
            "shots": len(shots),
        }
        for name, (row, shots) in frames.items()
    ]
    return {
        "pictures": pictures,
        "problems": problems,
        "object": index,
        "low_adu": low,
        "high_adu": high,
    }


def _batches(
    ledger: Ledger, shown: Mapping[str, Measured | None]
) -> tuple[dict[str, tuple[TrialRow, NDArray[np.uint16]]], list[str]]:
    batches, problems = {}, []
    for name, measured in shown.items():
        if measured is None:
            continue
        try:
            batches[name] = measured.trial, ledger.load_batch(measured.trial)
        except LedgerError as error:
            problems.append(str(error))
    return batches, problems


def _typical_object(batches: Sequence[NDArray[np.uint16]]) -> int:
    """Return the object of median contrast in the last batch: no beauty, no blank."""
    n_objects = min(len(batch) for batch in batches)
    contrast = batches[-1][:n_objects, 0].std(axis=(1, 2))
    return int(np.argsort(contrast)[n_objects // 2])


def _activities(trials: Sequence[TrialRow]) -> list[dict[str, Any]]:
    activities = seconds_by_activity(trials)
    whole_s = sum(seconds for _, seconds in activities)
    return [
        {"name": name, "seconds": seconds, "share": seconds / whole_s if whole_s else 0.0}
        for name, seconds in activities
    ]


def _device(entry: dict[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Add the roles that a device has in the bench file."""
    roles = config.get("bench", {}).get("roles", {})
    names = [name for name, role in roles.items() if entry.get("name") == _label(role)]
    return {**entry, "roles": names}


def _label(role: Mapping[str, Any]) -> str:
    """Return what the device of a role is called in the record, a property by its own name."""
    name = role.get("property")
    return str(role["device"]) if name is None else f"{role['device']}.{name}"
