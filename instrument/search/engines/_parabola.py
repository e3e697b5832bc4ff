"""The top of a line of three noisy scores: how far to move one mode, and what to expect there.

For scores at distinct offsets `t` the parabola `a + b t + k t^2` passes through all three, its top
is at `-b / 2k`, and the known standard errors give the standard error `s` of `k`. A weak curvature
must not throw the mode across its range, so the move is `-b / 2k * k^2 / (k^2 + s^2)`: the top
when the curvature is certain, nothing when it is noise. Three scores without a top (the far flank
of a peak is convex) send the mode to the best of the three, if that is better beyond the noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, slots=True, kw_only=True)
class Top:
    """Offset of the estimated top from the line's centre, and the score expected there."""

    offset: float
    score: float


def find_top(
    offset: Float[np.ndarray, " points"],
    score: Float[np.ndarray, " points"],
    standard_error: Float[np.ndarray, " points"],
    *,
    trust: float,
) -> Top:
    """Return the top of one to three scores along a line.

    Parameters
    ----------
    offset
        Positions relative to the centre; the centre itself (0) comes first.
    score, standard_error
        Scores there and their known standard errors.
    trust
        Largest believable move.
    """
    if len(offset) == 3:
        value, slope, curvature = np.linalg.inv(_powers(offset)) @ score
        error = float(np.sqrt(np.linalg.inv(_powers(offset))[2] ** 2 @ standard_error**2))
        if curvature < -error:
            top = -slope / (2 * curvature) * curvature**2 / (curvature**2 + error**2)
            move = float(np.clip(top, -trust, trust))
            return Top(offset=move, score=float(value + slope * move + curvature * move**2))
    return _best_point(offset, score, standard_error)


def _powers(offset: Float[np.ndarray, " points"]) -> Float[np.ndarray, "points 3"]:
    """Design matrix of a parabola."""
    return np.stack([np.ones_like(offset), offset, offset**2], axis=1)


def _best_point(
    offset: Float[np.ndarray, " points"],
    score: Float[np.ndarray, " points"],
    standard_error: Float[np.ndarray, " points"],
) -> Top:
    """Return the best point, or the centre when the gain is within the noise."""
    best = int(np.argmax(score))
    noise = float(np.hypot(standard_error[best], standard_error[0]))
    chosen = best if score[best] - score[0] > noise else 0
    return Top(offset=float(offset[chosen]), score=float(score[chosen]))
