"""Scalar channels whose information is known: the score is it within .01 bit (issue 3).

Inputs are the quantiles of their prior, so that only the channel's own noise is left to chance, and
H(Y|X) is exact, from the very inputs (`expected=`).
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from estimation import (
    AutoregressiveMixture,
    GaussianNoise,
    PoissonNoise,
    SensorNoise,
    estimate_information,
)

SMALL = AutoregressiveMixture(steps=300, components=8, hidden=8, layers=1, batch=1024, neighbours=1)
"""One value has no neighbours to learn from: the mixture of its output is all there is to fit."""

OBJECTS = 20000
QUANTILES = (np.arange(OBJECTS) + 0.5) / OBJECTS


def levels(*means: float) -> np.ndarray:
    return np.repeat(means, OBJECTS // len(means))


def reading(read_noise: float) -> SensorNoise:
    return SensorNoise(gain=1.0, offset=100.0, read_noise=read_noise, bit_depth=12)


CASES = {
    "Poisson {4, 20}": (PoissonNoise(), levels(4, 20), 0.974257, 0.01),
    "Poisson {0, 5}": (PoissonNoise(), levels(0, 5), 0.970821, 0.01),
    "uniform integers 0 to 255": (PoissonNoise(), np.floor(256 * QUANTILES), 2.769004, 0.03),
    "exponential, mean 10": (PoissonNoise(), -10 * np.log1p(-QUANTILES), 1.579364, 0.01),
    "{10, 30} and 3 e-": (reading(3.0), levels(10, 30), 0.889967, 0.01),
    "{2, 8} and 1.6 e-": (reading(1.6), levels(2, 8), 0.561706, 0.01),
}


@pytest.mark.parametrize("case", CASES)
def test_counts_carry_the_information_of_the_closed_form(rng, case):
    noise, mean, truth, tolerance = CASES[case]
    mean = rng.permutation(mean).reshape(-1, 1, 1)
    estimate = estimate_information(
        noise.sample(mean, rng), noise, density=SMALL, expected=mean.astype(float)
    )
    assert estimate.bits_per_pixel == pytest.approx(
        truth, abs=min(tolerance, 3 * estimate.standard_error)
    )


@pytest.mark.parametrize("density", ["gaussian", "stationary"])
def test_a_gaussian_channel_of_snr_10_carries_1_72972_bits(rng, density):
    signal = rng.permutation(np.sqrt(10) * norm.ppf(QUANTILES))
    values = (signal + rng.normal(size=OBJECTS)).reshape(-1, 1, 1)
    estimate = estimate_information(values, GaussianNoise(1.0), density=density)
    assert estimate.bits_per_pixel == pytest.approx(
        1.72972, abs=min(0.01, 3 * estimate.standard_error)
    )
