"""How a campaign ended, as a value and as a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from instrument.campaign.drifting import REFERENCE
from instrument.campaign.events import CampaignEnded
from instrument.campaign.ledger import TrialRow
from instrument.design import Design
from instrument.search.confirm import Decision
from instrument.search.protocol import Observation


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a campaign ended.

    `frames` were taken with the light on in all its trials, also of trials that failed and of parts
    that were set aside; `frames_fixed` are what batches of all objects would have taken.
    """

    trials: int
    best_trial: int | None
    best_design: Design | None
    best_bits_per_pixel: float | None
    standard_error: float | None
    initial_bits_per_pixel: float | None
    decision: Decision | None
    frames: int = 0
    frames_fixed: int = 0


def outcome_of(
    trials: Sequence[TrialRow],
    *,
    decision: Decision | None,
    observed: Observation | None,
    initial_bits_per_pixel: float | None,
    objects: int,
    shots: int,
) -> Outcome:
    """Say how things stand: the confirmed best, or the best so far.

    Parameters
    ----------
    trials
        All of the ledger.
    decision, observed
        What repeats say, once there are some; the best trial so far.
    initial_bits_per_pixel
        Score of the first trial.
    objects, shots
        Of a full batch.
    """
    design = decision.design if decision else (observed.design if observed else None)
    rows = [row for row in trials if row.state == "scored"]
    repeats = [r for r in rows if r.design == design and r.phase == "confirm"]
    repeats = repeats or [r for r in rows if r.design == design and r.phase != REFERENCE]
    return Outcome(
        trials=len(trials),
        best_trial=repeats[0].number if repeats else None,
        best_design=design,
        best_bits_per_pixel=_mean([r.estimate["bits_per_pixel"] for r in repeats]),
        standard_error=_mean([r.estimate["standard_error"] for r in repeats]),
        initial_bits_per_pixel=initial_bits_per_pixel,
        decision=decision,
        frames=frames_taken(trials, shots=shots),
        frames_fixed=frames_of_full_batches(trials, objects=objects, shots=shots),
    )


def frames_taken(trials: Sequence[TrialRow], *, shots: int) -> int:
    """Return the frames that trials took."""
    parts = (part for row in trials for part in (*row.parts, *row.set_aside))
    return shots * sum(part.objects for part in parts)


def frames_of_full_batches(trials: Sequence[TrialRow], *, objects: int, shots: int) -> int:
    """Return the frames that the trials which took any would have taken with all objects."""
    return shots * objects * sum(bool(row.parts) for row in trials)


def end_event(status: str, outcome: Outcome | None) -> CampaignEnded:
    """Say in one sentence how it ended."""
    if outcome is None or outcome.best_bits_per_pixel is None:
        return CampaignEnded(status=status, text="no trial was scored")
    initial = outcome.initial_bits_per_pixel
    before = "" if initial is None else f"{initial:.3f} -> "
    return CampaignEnded(
        status=status,
        text=f"{before}{outcome.best_bits_per_pixel:.3f} bits/px in {outcome.trials} trials",
    )


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None
