"""A network's score from a sample of patches, with the linear predictor's of all as control variate.

The network is the dear part of a score, the linear predictor costs next to nothing. So the network
is evaluated on some patches of every object, and the mean over all is estimated as

    mean over all = mean of network over sample + c (mean of linear over all - over sample),

with `c` the regression of one on the other (J. M. Hammersley and D. C. Handscomb, "Monte Carlo
Methods", 1964, section 5.5). The sample of an object depends on the seed alone: designs compared on
the same objects are compared on the same places.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int

from estimation.density.autoregressive import FittedAutoregressive, Rows
from estimation.density.training import value_nats

LARGEST_Z = 4.0
"""Deviations are clipped there: on sparse scenes the tails of the linear score are long, and a
control variate may be any function."""

_STREAM = 3


def sampled_positions(
    objects: int, positions: int, *, patches: int, seed: int
) -> Int[np.ndarray, "objects patches"]:
    """Draw `patches` of the positions of every object, without repetition, in order."""
    rng = np.random.default_rng([seed, _STREAM])
    every = rng.permuted(np.tile(np.arange(positions), (objects, 1)), axis=1)
    return np.sort(every[:, : min(patches, positions)], axis=1)


def sampled_nats(
    fitted: FittedAutoregressive,
    rows: Rows,
    guesses: np.ndarray | None,
    chosen: Int[np.ndarray, "objects patches"],
) -> Float64[np.ndarray, " objects"]:
    """Return nats per value of each object, in stabilised units, the network on `chosen` only."""
    guesses = fitted.predictor.predict(rows.middle) if guesses is None else guesses
    if chosen.shape[1] == rows.middle.shape[1]:
        return fitted.nats(rows, guesses)
    sigma = np.exp(fitted.predictor.log_sigma)
    deviation = np.minimum(np.abs((rows.middle - guesses) / sigma), LARGEST_Z)
    linear = np.square(deviation).mean(axis=2)
    index = chosen[:, :, None]
    part = Rows(
        *(
            np.take_along_axis(each, index, axis=1)
            for each in (rows.middle, rows.half_width, rows.end)
        )
    )
    network = value_nats(fitted, part, np.take_along_axis(guesses, index, axis=1)).mean(axis=2)
    seen = np.take_along_axis(linear, chosen, axis=1)
    within = seen - seen.mean(axis=1, keepdims=True)
    spread = float(np.square(within).sum())
    slope = float((within * network).sum()) / spread if spread > 0 else 0.0
    return network.mean(axis=1) + slope * (linear.mean(axis=1) - seen.mean(axis=1))
