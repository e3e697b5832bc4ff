"""The page: everything the templates show, read from the ledger of a run directory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from instrument.campaign.ledger import Ledger, LedgerError
from instrument.faces.page_style import environment
from instrument.faces.report import contenders as best_designs
from instrument.faces.report import drift, faults, figures, sampling, timeline, timing
from instrument.faces.report.dose import Dose, dose_of, dose_svg
from instrument.faces.report.headline import headline
from instrument.faces.report.record import RunRecord, read_record
from instrument.faces.report.rejected import rejected
from instrument.faces.report.repeat import repeat
from instrument.faces.report.summary import Gain, Measured, best_design, first_design, gain

REPORT_FILE = "report.html"


def write_report(run_dir: Path, output: Path | None = None) -> Path:
    """Write the report of a run, finished or going on, into its directory or elsewhere.

    Parameters
    ----------
    run_dir
        Holds the ledger.
    output
        File to write instead of `report.html` in the run directory. A file that is there is
        replaced once the new one is whole.

    Returns
    -------
    Path
        The file: HTML that needs no other file and no network.

    Raises
    ------
    LedgerError
        If there is no readable ledger, or the file cannot be written.
    """
    file = run_dir / REPORT_FILE if output is None else output
    with Ledger.read(run_dir) as ledger:
        template = environment(Path(__file__).parent).get_template("report.html.j2")
        page = template.render(_content(ledger))
    _write(file, page)
    return file


def _write(file: Path, page: str) -> None:
    """Replace a file as a whole: who reads it meanwhile sees the old one or the new one."""
    partial = file.with_name(f"{file.name}.partial")
    try:
        partial.write_text(page, encoding="utf-8")
        partial.replace(file)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise LedgerError(
            f"{file}: the report cannot be written there ({error.strerror or error}); the record "
            "itself is untouched; give another place: infoloop report RUN --output FILE"
        ) from error


def _content(ledger: Ledger) -> dict[str, Any]:
    record = read_record(ledger)
    meta, trials = record.meta, record.trials
    first, best = first_design(trials), best_design(trials, meta.get("best_trial"))
    gained = gain(first, best) if first and best else None
    config = record.config
    return {
        "meta": meta,
        "run_dir": record.run_dir,
        "record": record,
        "trials": trials,
        "first": first,
        "best": best,
        "gain": gained,
        "n_scored": sum(row.state == "scored" for row in trials),
        "n_failed": sum(row.state == "failed" for row in trials),
        "open": [row for row in trials if row.state in {"asked", "captured"}],
        **_history(record, best),
        "designs": _designs(meta.get("space", []), first, best),
        **_best_designs(ledger, record, first, best),
        "phase_gradient": figures.phase_gradient(),
        **_troubles(record, first, best, gained),
        **_drift(record),
        **_sampling(record),
        "activities": timing.shares(trials),
        "timing_svg": timing.stack_svg(record),
        "averaged_over": timing.averaged_over(record),
        "is_timing_cut": timing.is_cut(record),
        "self_checks": meta.get("self_checks", []),
        "devices": [_device(entry, config) for entry in meta.get("devices", [])],
        "settings": {name: config[name] for name in _SETTINGS if name in config},
        "repeat": repeat(record),
    }


_SETTINGS = ("noise", "score", "objects", "search", "safety")


def _history(record: RunRecord, best: Measured | None) -> dict[str, Any]:
    if not record.trials:
        return {"history": None, "history_by_time": None, "left_out": None}
    return {
        "history": timeline.score_svg(record, best, against="trial"),
        "history_by_time": timeline.score_svg(record, best, against="time"),
        "left_out": timeline.marks_left_out(record.trials),
    }


def _troubles(
    record: RunRecord, first: Measured | None, best: Measured | None, gained: Gain | None
) -> dict[str, Any]:
    """Return faults, rejected trials, dose, the use of time, and the headline they add up to."""
    found = faults.faults(record)
    groups, sessions, dose = rejected(record), timing.duties(record), dose_of(record)
    lines, older = faults.journal_lines(record)
    return {
        "headline": headline(
            record, first=first, best=best, gained=gained, dose=dose, found=found, groups=groups,
            sessions=sessions,
        ),
        "faults": faults.kinds_of_faults(found),
        "journal": lines,
        "captured_again": faults.captured_again(record),
        "journal_older": older,
        "rejected": groups,
        "sessions": sessions,
        "duty_cycle": timing.whole_cycle(sessions),
        **_dose(record, dose),
    }  # fmt: skip


def _dose(record: RunRecord, dose: Dose | None) -> dict[str, Any]:
    return {"dose": dose, "dose_svg": None if dose is None else dose_svg(record, dose)}


def _drift(record: RunRecord) -> dict[str, Any]:
    panels = drift.panels(record)
    return {
        "drift_svg": drift.drift_svg(record, panels) if panels else None,
        "drift_changes": drift.changes(panels),
    }


def _sampling(record: RunRecord) -> dict[str, Any]:
    sampled = sampling.sampling_of(record)
    svg = None if sampled is None else sampling.sampling_svg(sampled)
    return {"sampling": sampled, "sampling_svg": svg}


def _designs(
    space: Sequence[dict[str, Any]], first: Measured | None, best: Measured | None
) -> list[dict[str, Any]]:
    """Return a drawing and its width for each parameter, the widest first."""
    designs: list[dict[str, Any]] = []
    for parameter in space:
        name = parameter["name"]
        values = [m.trial.design.values[name] if m else None for m in (first, best)]
        width = figures.design_width_in(len(parameter["labels"]))
        designs.append({"svg": figures.design_svg(parameter, *values), "width": width})
    return designs


def _best_designs(
    ledger: Ledger, record: RunRecord, first: Measured | None, best: Measured | None
) -> dict[str, Any]:
    """Return patterns and frames of the first design, the best one and its rivals."""
    found = best_designs.contenders(record, best)
    # By trial: the best one is read once, first, for it chooses the object.
    ends = {name: m for name, m in (("best", best), ("first", first)) if m is not None}
    shown = {m.trial.number: m for m in (*ends.values(), *(each.measured for each in found))}
    frames = best_designs.frames(ledger, shown)
    low_adu, high_adu = figures.contrast_adu(list(frames.by_trial.values()))
    large, problem = best_designs.patterns(ledger, record, ends, longest_px=figures.LONGEST_PX)
    small, _ = best_designs.patterns(
        ledger,
        record,
        {each.name: each.measured for each in found},
        longest_px=figures.THUMBNAIL_PX,
    )

    def picture(measured: Measured, longest_px: int) -> dict[str, Any] | None:
        frame = frames.by_trial.get(measured.trial.number)
        if frame is None:
            return None
        uri = figures.frame_uri(frame, low_adu=low_adu, high_adu=high_adu, longest_px=longest_px)
        row = measured.trial
        return {"trial": row.number, "uri": uri, "shape": frame.shape, "row": row}

    return {
        "patterns": [
            {"name": name, **each} for name in ("first", "best") for each in large.get(name, [])
        ],
        "pattern_problem": problem,
        "frames": {
            "pictures": [
                {"name": name, **shot}
                for name in ("first", "best")
                if name in ends and (shot := picture(ends[name], figures.LONGEST_PX))
            ],
            "problems": frames.problems,
            "object": frames.object_index,
            "low_adu": low_adu,
            "high_adu": high_adu,
        },
        "contenders": [
            {
                "name": each.name,
                "measured": each.measured,
                "patterns": small.get(each.name, []),
                "picture": picture(each.measured, figures.THUMBNAIL_PX),
            }
            for each in found
        ],
    }


def _device(entry: dict[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Add the roles that a device has in the bench file."""
    roles = config.get("bench", {}).get("roles", {})
    names = [name for name, role in roles.items() if entry.get("name") == _label(role)]
    return {**entry, "roles": names}


def _label(role: Mapping[str, Any]) -> str:
    """Return what the device of a role is called in the record, a property by its own name."""
    name = role.get("property")
    return str(role["device"]) if name is None else f"{role['device']}.{name}"
