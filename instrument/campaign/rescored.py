"""What a second estimate of a run's trials came to, beside the first; and its table on the disk."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from instrument.campaign.new_file import new_path
from instrument.design import Design

FOLDER = "rescored"
LEAST_RANKED = 3
"""Trials below which a rank correlation says nothing."""
NOT_CANDIDATES = ("reference",)
"""Phases whose trials measure the bench, not a design."""

COLUMNS = (
    "number", "phase", "state", "objects", "old_bits_per_pixel", "old_score", "old_standard_error",
    "new_bits_per_pixel", "new_score", "new_standard_error", "why", "seconds", "batch_sha256",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialScore:
    """One estimate of one trial.

    Parameters
    ----------
    bits_per_pixel, standard_error_per_pixel
        Information, and its error between designs on the same objects.
    score, standard_error
        The same as the objective of the campaign, bits.
    per_object_bits
        Contribution of every object, bits/pixel.
    """

    bits_per_pixel: float
    standard_error_per_pixel: float
    score: float
    standard_error: float
    per_object_bits: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RescoredTrial:
    """One trial with the score of the run and the new one.

    Parameters
    ----------
    number, phase, state, design
        As the ledger has them.
    positions_um
        Where its objects lie, by which trials are paired.
    batch_sha256
        Of its files of frames; empty without frames.
    old, new
        None where there is no score.
    estimate
        The whole new estimate, as plain values.
    refused
        Why the run refused the frames, whatever they score.
    why
        There is no new score.
    seconds
        That the new estimate took.
    """

    number: int
    phase: str
    state: str
    design: Design
    positions_um: tuple[tuple[float, ...], ...]
    batch_sha256: tuple[str, ...]
    old: TrialScore | None
    new: TrialScore | None
    estimate: Mapping[str, Any]
    refused: str | None
    why: str | None
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One design in the new scores, compared with the design that the run chose.

    Parameters
    ----------
    trials
        Its captures, averaged.
    design
        What was applied.
    bits_per_pixel
        New score.
    difference, standard_error
        New score minus that of the run's choice, bits/pixel, paired by object; the error is over
        the objects. None where they share fewer than two.
    """

    trials: tuple[int, ...]
    design: Design
    bits_per_pixel: float
    difference: float | None
    standard_error: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescored:
    """All trials estimated again.

    Parameters
    ----------
    run_dir
        Of the run, whose record is as it was.
    settings
        Density, patch, noise with its hash, versions: all that the new scores stand on.
    trials
        By number.
    rank_correlation
        Spearman's, of old and new objective; None below three trials with both.
    chosen
        The design that the run chose, None where it has no new score.
    best_confirmed
        Best design of the confirmation, whose captures were made after the choice of contenders.
    best_observed
        Highest score of one design in all captures: of many designs, the luckiest.
    """

    run_dir: Path
    settings: Mapping[str, Any]
    trials: tuple[RescoredTrial, ...]
    rank_correlation: float | None
    chosen: Standing | None
    best_confirmed: Standing | None
    best_observed: Standing | None

    def as_plain(self) -> dict[str, Any]:
        """Return what JSON holds."""
        return {
            "run": str(self.run_dir),
            "settings": dict(self.settings),
            "rank_correlation": self.rank_correlation,
            "chosen": _plain_standing(self.chosen),
            "best_confirmed": _plain_standing(self.best_confirmed),
            "best_observed": _plain_standing(self.best_observed),
            "trials": [_plain_trial(trial) for trial in self.trials],
        }


def compare_scores(
    run_dir: Path,
    settings: Mapping[str, Any],
    trials: Sequence[RescoredTrial],
    *,
    chosen: Design | None,
) -> Rescored:
    """Say what the new scores change.

    Parameters
    ----------
    run_dir, settings, trials
        Of the result.
    chosen
        Design that the run chose; None if it chose none.
    """
    usable = [
        trial
        for trial in trials
        if trial.new and not trial.refused and trial.phase not in NOT_CANDIDATES
    ]
    ours = _of_design(usable, chosen)
    confirmed = [trial for trial in usable if trial.phase == "confirm"]
    return Rescored(
        run_dir=run_dir,
        settings=settings,
        trials=tuple(trials),
        rank_correlation=_rank_correlation(trials),
        chosen=_standing(ours, ours) if ours else None,
        best_confirmed=_best(confirmed, ours),
        best_observed=_best(usable, ours),
    )


def write_rescored(rescored: Rescored, path: Path) -> Path:
    """Write the result to `path` (JSON) and the same name with `.csv`; replace nothing.

    Raises
    ------
    OutputError
        One of them is there already, or cannot be written.
    """
    document = json.dumps(rescored.as_plain(), indent=1, allow_nan=False)
    table = path.with_suffix(".csv")
    with new_path(table) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for trial in rescored.trials:
            row = _table_row(trial)
            writer.writerow([row.get(column) for column in COLUMNS])
    with new_path(path) as temporary:
        temporary.write_text(document, encoding="utf-8")
    return path


# ---- comparing


def _rank_correlation(trials: Sequence[RescoredTrial]) -> float | None:
    from scipy.stats import rankdata

    both = [(trial.old.score, trial.new.score) for trial in trials if trial.old and trial.new]
    old, new = [each[0] for each in both], [each[1] for each in both]
    if len(both) < LEAST_RANKED or len(set(old)) < 2 or len(set(new)) < 2:
        return None
    return float(np.corrcoef(rankdata(old), rankdata(new))[0, 1])


def _of_design(trials: Sequence[RescoredTrial], design: Design | None) -> list[RescoredTrial]:
    """Return the captures of a design, those of the confirmation where there are any."""
    same = [trial for trial in trials if trial.design == design]
    return [trial for trial in same if trial.phase == "confirm"] or same


def _best(trials: Sequence[RescoredTrial], ours: Sequence[RescoredTrial]) -> Standing | None:
    by_design: defaultdict[str, list[RescoredTrial]] = defaultdict(list)
    for trial in trials:
        by_design[trial.design.to_json()].append(trial)
    standings = [_standing(same, ours) for same in by_design.values()]
    return max(standings, key=lambda each: each.bits_per_pixel, default=None)


def _standing(trials: Sequence[RescoredTrial], ours: Sequence[RescoredTrial]) -> Standing:
    theirs = [trial.new.bits_per_pixel for trial in trials if trial.new]
    difference, error = _paired(_bits_by_object(trials), _bits_by_object(ours))
    return Standing(
        trials=tuple(trial.number for trial in trials),
        design=trials[0].design,
        bits_per_pixel=float(np.mean(theirs)),
        difference=difference,
        standard_error=error,
    )


def _bits_by_object(trials: Sequence[RescoredTrial]) -> dict[object, float]:
    """Return the bits of every object, averaged over captures, by where it lies."""
    bits: defaultdict[object, list[float]] = defaultdict(list)
    for trial in trials:
        values = trial.new.per_object_bits if trial.new else ()
        is_placed = len(set(trial.positions_um)) == len(values)
        places = trial.positions_um if is_placed else range(len(values))
        for place, value in zip(places, values, strict=True):
            bits[place].append(value)
    return {place: float(np.mean(values)) for place, values in bits.items()}


def _paired(
    theirs: Mapping[object, float], ours: Mapping[object, float]
) -> tuple[float | None, float | None]:
    shared = [place for place in theirs if place in ours]
    if len(shared) < 2:
        return None, None
    difference = np.array([theirs[place] - ours[place] for place in shared])
    return float(difference.mean()), float(difference.std(ddof=1) / np.sqrt(len(shared)))


# ---- as plain data


def _plain_standing(standing: Standing | None) -> dict[str, Any] | None:
    if standing is None:
        return None
    return {**asdict(standing), "design": _plain_design(standing.design)}


def _plain_design(design: Design) -> dict[str, list[float]]:
    return {name: list(values) for name, values in design.values.items()}


def _plain_trial(trial: RescoredTrial) -> dict[str, Any]:
    return {
        "number": trial.number,
        "phase": trial.phase,
        "state": trial.state,
        "design": _plain_design(trial.design),
        "batch_sha256": list(trial.batch_sha256),
        "old": _plain_score(trial.old),
        "new": _plain_score(trial.new),
        "estimate": dict(trial.estimate),
        "refused": trial.refused,
        "why": trial.why,
        "seconds": trial.seconds,
    }


def _plain_score(score: TrialScore | None) -> dict[str, float] | None:
    if score is None:
        return None
    return {
        "bits_per_pixel": score.bits_per_pixel,
        "standard_error_per_pixel": score.standard_error_per_pixel,
        "score": score.score,
        "standard_error": score.standard_error,
    }


def _table_row(trial: RescoredTrial) -> dict[str, Any]:
    row: dict[str, Any] = {
        "number": trial.number,
        "phase": trial.phase,
        "state": trial.state,
        "objects": len(trial.new.per_object_bits) if trial.new else None,
        "why": trial.why,
        "seconds": trial.seconds,
        "batch_sha256": " ".join(trial.batch_sha256),
    }
    for when, score in (("old", trial.old), ("new", trial.new)):
        row |= {f"{when}_{name}": number for name, number in (_plain_score(score) or {}).items()}
    return row
