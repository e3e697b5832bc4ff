"""How many objects a trial needs: looks at a growing batch, and whether the last one was enough.

All designs see the same objects in one order, so that after every look a trial is compared with the
best trial so far, the incumbent, on exactly the same objects, both scored with only those. Scores
of different numbers of objects must not be compared: other objects, and a density fitted to fewer
of them, shift a score by several standard errors (benchmarks/adaptive_batches.py). Where a trial
ends early, what the search is told is therefore

    score = incumbent's score + paired difference on the trial's own n objects,

which is on the scale of a full batch. An incumbent was itself captured to n objects or more.

Two rules end a trial before its objects do:

*worse*: the paired difference of the two is so far below zero that a design as good as the
incumbent's would show it with less than the error rate. A one-sided t test over objects (n - 1
degrees of freedom); its level is the error rate divided by the number of looks at which it is
applied and by the number of trials that could be the incumbent. The second division is needed
because the incumbent is the luckiest of them. By the union bound the probability of turning down a
trial equal to the best is then at most the error rate, whatever the correlations (O. J. Dunn,
J. Am. Stat. Assoc. 56, 52, 1961).

*target*: the standard error of the score is small enough. With s the standard deviation of the
paired differences, of which each of the two trials has half the noise, and N objects in all,

    standard error^2 = s^2 / n * (1 - n / 2N):

the trial's noise on n objects, the incumbent's on the same, less what the incumbent's score shares
with it. Differences of objects that the two designs see differently only add to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from scipy.special import stdtr

from instrument.search.confirm import Difference

Why = Literal["target", "worse", "budget"]
DEFAULT_TARGET = 1.5
"""Of the standard error of the first full batch: designs near each other reach it at about 2/3."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """A trial that has a score: its number, and how many objects it was given.

    `bits_per_pixel` is on the scale of a full batch, as the search was told, with the standard
    error that it was told.
    """

    trial: int
    objects: int
    bits_per_pixel: float
    standard_error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What was known of a trial after so many objects.

    Parameters
    ----------
    objects
        So many.
    bits_per_pixel
        Score of these objects alone; comparable only with others of the very same objects.
    standard_error
        Of the score that the search would be told, against other designs, bits/pixel.
    incumbent
        Number of the trial it was compared with; None while there is none.
    incumbent_difference, difference_standard_error
        Score less the incumbent's on the same objects, and its standard error over objects.
    """

    objects: int
    bits_per_pixel: float
    standard_error: float
    incumbent: int | None = None
    incumbent_difference: float | None = None
    difference_standard_error: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How a trial came to its number of objects, and why they were enough."""

    objects: int
    why: Why
    looks: tuple[Look, ...]

    def record(self) -> dict[str, Any]:
        """Return it as plain data for the ledger."""
        looks = [asdict(look) for look in self.looks]
        return {"objects": self.objects, "why": self.why, "looks": looks}


def look_sizes(count: int, *, start: int, growth: float) -> tuple[int, ...]:
    """Return the numbers of objects after which to look, the last one all of them.

    A look that would come within half a step of the end is left out: too little would be saved.

    Parameters
    ----------
    count
        All objects.
    start, growth
        First number, and the ratio of each to the one before.
    """
    sizes: list[int] = []
    size = float(start)
    while size * growth**0.5 <= count:
        sizes.append(round(size))
        size = max(size * growth, round(size) + 1.0)
    return (*sizes, count)


def spread(count: int, sizes: Sequence[int], *, seed: int) -> tuple[int, ...]:
    """Return the order of objects: each look's are drawn from all over, then visited as they lie.

    Parameters
    ----------
    count
        Objects 0 to `count` - 1 in the order of the least travel.
    sizes
        Of `look_sizes`.
    seed
        Of the draw; one for a campaign, so that all designs see the same objects.
    """
    drawn = np.random.default_rng(seed).permutation(count)
    parts = np.split(drawn, list(sizes[:-1]))
    return tuple(int(index) for part in parts for index in np.sort(part))


def rivals_at(known: Sequence[Captured], objects: int) -> list[Captured]:
    """Return the trials that were given at least so many objects."""
    return [trial for trial in known if trial.objects >= objects]


def incumbent_of(rivals: Sequence[Captured]) -> Captured | None:
    """Return the best, the earliest of equals; None if there is none."""
    return max(rivals, key=lambda trial: (trial.bits_per_pixel, -trial.trial), default=None)


def paired(
    ours: Float[np.ndarray, " objects"], theirs: Float[np.ndarray, " objects"]
) -> Difference:
    """Return the mean difference over the same objects, bits/pixel, and its standard error."""
    if len(ours) != len(theirs) or len(ours) < 2:
        raise ValueError(f"{len(ours)} and {len(theirs)} objects; two or more of the same are due")
    differences = ours - theirs
    return Difference(
        bits=float(differences.mean()),
        standard_error=float(differences.std(ddof=1) / np.sqrt(len(differences))),
    )


def told_standard_error(difference: Difference, *, objects: int, count: int) -> float:
    """Return the standard error of incumbent's score plus difference (the module's equation)."""
    return difference.standard_error * float(np.sqrt(1 - objects / (2 * count)))


def is_worse(difference: Difference, *, objects: int, level: float) -> bool:
    """Whether a difference over `objects` lies below zero by a one-sided t test at `level`."""
    return bool(stdtr(objects - 1, difference.sigmas) < level)


def level_of(error_rate: float, *, looks: int, rivals: int) -> float:
    """Return the level of one test out of those that a trial may go through."""
    return error_rate / (looks * rivals)


def target_of(known: Sequence[Captured], *, count: int) -> float | None:
    """Return the target of a bench file that names none, bits/pixel; None before a full batch."""
    full = (trial for trial in known if trial.objects == count)
    first = min(full, key=lambda trial: trial.trial, default=None)
    return None if first is None else DEFAULT_TARGET * first.standard_error


def judge(look: Look, *, count: int, target: float | None, level: float | None) -> Why | None:
    """Return why a trial has enough objects, or None if it is to be given more.

    Parameters
    ----------
    look
        What is known of it.
    count
        Objects in all.
    target
        Standard error that is small enough, bits/pixel.
    level
        Of the test against the incumbent; None without one, and then no rule but the last applies.
    """
    if look.objects >= count:
        return "budget"
    if level is None or look.incumbent_difference is None:
        return None
    difference = Difference(
        bits=look.incumbent_difference, standard_error=look.difference_standard_error or 0.0
    )
    if is_worse(difference, objects=look.objects, level=level):
        return "worse"
    return "target" if target is not None and look.standard_error <= target else None
