"""How many objects a trial is given: all of them, or as many as it takes to decide about it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from instrument.config._section import Positive, Section

if TYPE_CHECKING:
    from instrument.config._model import Config

LEAST_FOR_AUTOREGRESSIVE = 12  # `estimation`'s own, which would take a second to import


class AdaptiveBatch(Section):
    """Capture `start` objects, look, `growth` times as many, look again, ..., at most all of them.

    A trial of the search ends early when it is clearly worse than the incumbent: an equal one is
    taken for worse at most with probability `error_rate`. It also ends when its score is known to
    `standard_error_bits_per_pixel`; left out, that is 1.5 times the standard error of the first
    trial's full batch. The first trial and all of the confirmation are captured in full.
    """

    start: int = Field(default=12, ge=4)
    growth: Annotated[float, Field(gt=1, le=16, allow_inf_nan=False)] = 2.0
    standard_error_bits_per_pixel: Positive | None = None
    error_rate: Annotated[float, Field(gt=0, lt=0.5)] = 0.05


class BatchConfig(Section):
    """Without `adaptive`, every trial is given all objects of the grid."""

    adaptive: AdaptiveBatch | None = None


def problems_of_batch(config: Config) -> Iterator[str]:
    """One sentence for every key that the objects or the density cannot follow."""
    adaptive, count = config.batch.adaptive, config.objects.stage_grid.count
    if adaptive is None:
        return
    if adaptive.start * adaptive.growth**0.5 > count:  # `search.enough.look_sizes` has one look
        yield (
            f"`batch.adaptive`: {adaptive.start} objects at first and {adaptive.growth:g} times as "
            f"many at the next look leave too little of `objects.stage_grid.count` = {count} to be "
            "saved; lower start or growth, or leave adaptive out"
        )
    needs_network = config.score.density in ("auto", "autoregressive")
    if needs_network and adaptive.start < LEAST_FOR_AUTOREGRESSIVE:
        yield (
            f"`batch.adaptive.start` = {adaptive.start}: density {config.score.density} needs "
            f"{LEAST_FOR_AUTOREGRESSIVE} objects; raise start"
        )
