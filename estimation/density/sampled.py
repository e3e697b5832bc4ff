"""A network's score from a sample of values, the linear predictor's of all as control variate.

The network is the dear part of a score, the linear predictor costs next to nothing. So the network
is evaluated on some values of every object, and its mean over all is estimated as

    mean over all = mean of network over sample + c (mean of linear over all - over sample),

with `c` the regression of one on the other (J. M. Hammersley and D. C. Handscomb, "Monte Carlo
Methods", 1964, section 5.5). The sample of an object depends on the seed alone: designs compared on
the same objects are compared at the same places.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int

from estimation.density.autoregressive import FittedAutoregressive, Rows
from estimation.density.training import values_at

LARGEST_Z = 4.0
"""Deviations are clipped there: on sparse scenes the tails of the linear score are long, and a
control variate may be any function."""

_STREAM = 3


def sampled_places(
    objects: int, values: int, *, sample: int, seed: int
) -> Int[np.ndarray, "objects sample"]:
    """Draw the places of `sample` of the `values` of every object, in order."""
    rng = np.random.default_rng([seed, _STREAM])
    drawn = [rng.choice(values, size=min(sample, values), replace=False) for _ in range(objects)]
    return np.sort(np.stack(drawn), axis=1)


def sampled_nats(
    fitted: FittedAutoregressive,
    rows: Rows,
    guesses: np.ndarray,
    places: Int[np.ndarray, "objects sample"],
) -> Float64[np.ndarray, " objects"]:
    """Return nats per value of each object, in stabilised units, the network at `places` only."""
    sigma = np.exp(fitted.predictor.log_sigma)
    deviation = np.minimum(np.abs((rows.middle - guesses) / sigma), LARGEST_Z)
    linear = np.square(deviation).reshape(len(rows.middle), -1)
    network = values_at(fitted, rows, guesses, places)
    seen = np.take_along_axis(linear, places, axis=1)
    within = seen - seen.mean(axis=1, keepdims=True)
    spread = float(np.square(within).sum())
    slope = float((within * network).sum()) / spread if spread > 0 else 0.0
    return network.mean(axis=1) + slope * (linear.mean(axis=1) - seen.mean(axis=1))
