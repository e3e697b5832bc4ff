"""What a ledger says about a run, put together for people: pure functions of its trials."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instrument.campaign.drifting import REFERENCE
from instrument.campaign.ledger import TrialRow
from instrument.design import Design

OTHER = "other"
"""Time of a trial that nobody measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A design and what it scored, averaged over its repeats.

    Parameters
    ----------
    rows
        Trials of this design that count, at least one.
    bits_per_pixel, bits_per_measurement
        Mean over the rows.
    standard_error
        Of `bits_per_pixel`, over fresh objects and frames. Repeats share their objects, so it is
        averaged and not reduced.
    """

    rows: tuple[TrialRow, ...]
    bits_per_pixel: float
    standard_error: float
    bits_per_measurement: float

    @property
    def trial(self) -> TrialRow:
        """First trial of the rows, the one whose frames are shown."""
        return self.rows[0]

    @property
    def is_confirmed(self) -> bool:
        """Whether it was captured again after it was chosen."""
        return self.trial.phase == "confirm"


@dataclass(frozen=True, slots=True)
class Gain:
    """Best design minus first one, bits per pixel; no standard error without common objects."""

    bits_per_pixel: float
    standard_error: float | None


def first_design(trials: Sequence[TrialRow]) -> Measured | None:
    """Return the design the run started from, if it was scored."""
    rows = [row for row in trials if row.phase == "initial" and row.state == "scored"]
    return _measured(rows)


def best_design(trials: Sequence[TrialRow], best_trial: int | None) -> Measured | None:
    """Return the best design by its repeats after the choice, or by what there is.

    Parameters
    ----------
    trials
        Of the run.
    best_trial
        The campaign's own verdict; None while there is none: then the highest score.
    """
    scored = [row for row in trials if row.state == "scored" and row.phase != REFERENCE]
    if not scored:
        return None
    chosen = {row.number: row for row in scored}.get(-1 if best_trial is None else best_trial)
    best = chosen or max(scored, key=lambda row: row.score or -np.inf)
    return measured_again(scored, best.design)


def measured_again(scored: Sequence[TrialRow], design: Design) -> Measured | None:
    """Return a design by its repeats after the choice, or by all there is; None if not scored."""
    same = [row for row in scored if row.design == design]
    return _measured([row for row in same if row.phase == "confirm"] or same)


def gain(first: Measured, best: Measured) -> Gain:
    """Compare object by object, which is far sharper than comparing two intervals."""
    difference = best.bits_per_pixel - first.bits_per_pixel
    ours, theirs = _per_object(best), _per_object(first)
    if ours is None or theirs is None or len(ours) != len(theirs) or len(ours) < 2:
        return Gain(difference, None)
    paired = ours - theirs
    return Gain(difference, float(paired.std(ddof=1) / np.sqrt(len(paired))))


def error_between_designs(row: TrialRow) -> float:
    """Return the standard error that counts between designs scored on the same objects."""
    error = row.estimate.get("frame_noise_standard_error")
    return float(row.estimate["standard_error"] if error is None else error)


def without_drift(measured: Measured) -> float | None:
    """Return the bits per pixel of a design as the campaign corrected them for drift, if it did."""
    bits: list[float] = []
    for row in measured.rows:
        corrected = (row.estimate.get("drift") or {}).get("corrected")
        if corrected is None or not row.score:
            return None
        bits.append(row.estimate["bits_per_pixel"] * corrected / row.score)
    return float(np.mean(bits))


def seconds_by_activity(trials: Sequence[TrialRow]) -> list[tuple[str, float]]:
    """Add up where the time of the trials went, longest first; the rest is `OTHER`."""
    total: defaultdict[str, float] = defaultdict(float)
    for row in trials:
        for name, seconds in row.timings.items():
            total[name] += seconds
        if row.timings and row.seconds is not None:
            total[OTHER] += max(0.0, row.seconds - sum(row.timings.values()))
    return sorted(total.items(), key=lambda item: -item[1])


def _measured(rows: Sequence[TrialRow]) -> Measured | None:
    if not rows:
        return None
    return Measured(
        rows=tuple(rows),
        bits_per_pixel=_mean(rows, "bits_per_pixel"),
        standard_error=_mean(rows, "standard_error"),
        bits_per_measurement=_mean(rows, "bits_per_measurement"),
    )


def _mean(rows: Sequence[TrialRow], name: str) -> float:
    return float(np.mean([row.estimate[name] for row in rows]))


def _per_object(measured: Measured) -> NDArray[np.float64] | None:
    """Bits of each object, averaged over the repeats; None if they are not all recorded."""
    values = [row.estimate.get("per_object_bits", []) for row in measured.rows]
    if not values[0] or any(len(bits) != len(values[0]) for bits in values):
        return None
    return np.mean(np.array(values, dtype=float), axis=0)
