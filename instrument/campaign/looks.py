"""A trial with an adaptive batch: look, compare with the incumbent on the same objects, go on.

The rules are `instrument.search.enough`'s; this room brings them scores: of the trial's frames so
far, and of the incumbent's, read from the disk and scored again with the same number of objects.
Whatever is decided follows from frames and scores in the ledger, so that a resumed trial decides
as it did.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from jaxtyping import Float, UInt16

from instrument.campaign.ledger import Ledger, TrialRow
from instrument.campaign.scoring import Score
from instrument.config import AdaptiveBatch
from instrument.grid import Positions
from instrument.search.enough import (
    Captured,
    Look,
    Sampling,
    incumbent_of,
    judge,
    level_of,
    look_sizes,
    paired,
    rivals_at,
    spread,
    target_of,
    told_standard_error,
)

Counts = UInt16[np.ndarray, "objects shots height width"]
FirstObjects = Callable[[int], tuple[Counts, float]]
"""Counts of a trial's first so many objects, captured if need be, and their exposure (ms)."""
ScoreOf = Callable[[Counts, float], Score]
"""What scores counts of an exposure (ms)."""


class AdaptiveBatches:
    """Decides how many objects each trial of one campaign is given, and puts scores on one scale.

    Parameters
    ----------
    rules
        Of the bench file.
    count, seed
        Objects in all, and the seed of the order in which they are visited.
    ledger
        Of the campaign.
    """

    def __init__(
        self,
        rules: AdaptiveBatch,
        *,
        count: int,
        seed: int,
        ledger: Ledger,
    ):
        self._rules = rules
        self._count = count
        self._seed = seed
        self._ledger = ledger
        self.sizes = look_sizes(count, start=rules.start, growth=rules.growth)
        self._known = [_captured(row) for row in ledger.trials() if row.state == "scored"]
        self._bits: dict[tuple[int, int], Float[np.ndarray, " objects"]] = {}

    def in_order(self, positions: Positions) -> Positions:
        """Return the positions in the order in which every trial visits them."""
        return tuple(positions[i] for i in spread(self._count, self.sizes, seed=self._seed))

    def decide(self, first_objects: FirstObjects, score: ScoreOf) -> Score:
        """Give a trial objects until they are enough; return its score on a full batch's scale.

        Parameters
        ----------
        first_objects, score
            Of the trial; what scores its frames, and the incumbent's.

        Raises
        ------
        BatchRefused, EstimationError
            The trial has no score.
        DeviceError, InterlockTripped, Interrupted, LedgerError, AbortAsked
            The campaign cannot go on, or is not to.
        """
        looks: list[Look] = []
        sizes = iter(self.sizes)
        while True:  # the last size is the budget, which ends it
            objects = next(sizes)
            counts, exposure_ms = first_objects(objects)
            scored = score(counts, exposure_ms)
            look, level = self._look(scored, objects, score)
            looks.append(look)
            why = judge(look, count=self._count, target=self._target(), level=level)
            if why is not None:
                sampling = Sampling(objects=objects, why=why, looks=tuple(looks))
                return self._told(scored, sampling, values=counts[0].size)

    def remember(self, number: int, score: Score) -> None:
        """Let a scored trial be the incumbent of later ones."""
        sampling = score.sampling
        self._known.append(
            Captured(
                trial=number,
                objects=self._count if sampling is None else sampling.objects,
                bits_per_pixel=score.estimate.bits_per_pixel,
                standard_error=score.standard_error_per_pixel,
            )
        )

    def _target(self) -> float | None:
        asked = self._rules.standard_error_bits_per_pixel
        return target_of(self._known, count=self._count) if asked is None else asked

    def _look(self, scored: Score, objects: int, score: ScoreOf) -> tuple[Look, float | None]:
        """Compare a trial with the incumbent; return the level of its test, None without one."""
        own = scored.estimate.bits_per_pixel
        rivals = rivals_at(self._known, objects)
        incumbent = incumbent_of(rivals)
        if incumbent is None:
            error = scored.standard_error_per_pixel
            return Look(objects=objects, bits_per_pixel=own, standard_error=error), None
        theirs = self._bits_of(incumbent.trial, objects, score)
        difference = paired(scored.estimate.per_object_bits, theirs)
        error = told_standard_error(difference, objects=objects, count=self._count)
        look = Look(
            objects=objects,
            bits_per_pixel=own,
            # All objects: the score stands by itself, and its own error may be known better.
            standard_error=(
                min(error, scored.standard_error_per_pixel) if objects == self._count else error
            ),
            incumbent=incumbent.trial,
            incumbent_difference=difference.bits,
            difference_standard_error=difference.standard_error,
        )
        if objects == self._count:  # nothing is left to be saved
            return look, None
        looks = len(self.sizes) - 1
        return look, level_of(self._rules.error_rate, looks=looks, rivals=len(rivals))

    def _told(self, score: Score, sampling: Sampling, *, values: int) -> Score:
        """Put the score of a trial's objects on the scale of a full batch."""
        last = sampling.looks[-1]
        estimate = score.estimate
        shift = 0.0
        if sampling.why != "budget" and last.incumbent_difference is not None:
            (incumbent,) = (known for known in self._known if known.trial == last.incumbent)
            shift = incumbent.bits_per_pixel + last.incumbent_difference - estimate.bits_per_pixel
        bits_per_pixel = estimate.bits_per_pixel + shift
        return replace(
            score,
            estimate=replace(
                estimate,
                bits_per_pixel=bits_per_pixel,
                bits_per_measurement=bits_per_pixel * values,
                interval=(estimate.interval[0] + shift, estimate.interval[1] + shift),
                frame_noise_standard_error=last.standard_error,
            ),
            standard_error_per_pixel=last.standard_error,
            sampling=sampling,
        )

    def _bits_of(self, number: int, objects: int, score: ScoreOf) -> Float[np.ndarray, " objects"]:
        """Score the first objects of an earlier trial, once for each number of them."""
        if (number, objects) not in self._bits:
            row = self._ledger.trial(number)
            counts = self._ledger.load_batch(row)[:objects]
            scored = score(counts, float(row.record["exposure_ms"]))
            self._bits[number, objects] = scored.estimate.per_object_bits
        return self._bits[number, objects]


def _captured(row: TrialRow) -> Captured:
    """Return a trial of the ledger as `remember` was told of it."""
    estimate = row.estimate
    error = estimate["frame_noise_standard_error"]
    sampling = estimate.get("sampling", row.record)
    return Captured(
        trial=row.number,
        objects=int(sampling["objects"]),
        bits_per_pixel=float(estimate["bits_per_pixel"]),
        standard_error=float(estimate["standard_error"] if error is None else error),
    )
