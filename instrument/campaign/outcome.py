"""How a campaign ended, as a value and as a sentence."""

from __future__ import annotations

from dataclasses import dataclass

from instrument.campaign.events import CampaignEnded
from instrument.design import Design
from instrument.search.confirm import Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a campaign ended."""

    trials: int
    best_trial: int | None
    best_design: Design | None
    best_bits_per_pixel: float | None
    standard_error: float | None
    initial_bits_per_pixel: float | None
    decision: Decision | None


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
