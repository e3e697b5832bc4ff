"""Mean and variance at a known mean: against Monte Carlo of the sampler, and in closed form."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from estimation import GaussianNoise, PoissonNoise, SensorNoise

DRAWS = 400_000
SENSOR = {"gain": 2.0, "offset": 50.0, "read_noise": 1.5, "bit_depth": 10}


@pytest.mark.parametrize(
    ("noise", "mean_e"),
    [
        pytest.param(PoissonNoise(), 7.0, id="photons"),
        pytest.param(SensorNoise(**SENSOR), 80.0, id="sensor"),
        pytest.param(SensorNoise(**SENSOR, responsivity=0.5), 80.0, id="half as responsive"),
        pytest.param(SensorNoise(**SENSOR), 490.0, id="partly clipped"),
        pytest.param(SensorNoise(**SENSOR), 2000.0, id="always clipped"),
    ],
)
def test_moments_are_those_of_samples(noise, mean_e):
    rng = np.random.default_rng(0)
    counts = noise.sample(np.full(DRAWS, mean_e), rng).astype(float)
    dequantised = counts + rng.uniform(-0.5, 0.5, DRAWS)
    mean, variance = noise.moments_at(np.array(mean_e))
    spread = dequantised.std()
    assert mean == pytest.approx(dequantised.mean(), abs=5 * spread / np.sqrt(DRAWS))
    # the clip of a Poisson count is not quite that of a normal one
    assert variance == pytest.approx(dequantised.var(), rel=0.02)


def test_additive_noise_has_one_variance_everywhere():
    mean, variance = GaussianNoise(3.0).moments_at(np.array([[-1.0, 5.0]]))
    np.testing.assert_array_equal(mean, [[-1.0, 5.0]])
    np.testing.assert_array_equal(variance, 9.0)


@pytest.mark.parametrize("mean_e", [0.0, 100.0, 480.0, 5000.0])
def test_slopes_are_finite_from_dark_to_saturation(mean_e):
    noise = SensorNoise(**SENSOR)
    with jax.enable_x64(True):
        for part in (0, 1):
            slope = jax.grad(lambda e, part=part: noise.moments_at(e)[part])(jnp.asarray(mean_e))
            assert jnp.isfinite(slope)


def test_the_gain_is_the_slope_of_the_mean():
    with jax.enable_x64(True):
        slope = jax.grad(lambda e: SensorNoise(**SENSOR).moments_at(e)[0])(jnp.asarray(100.0))
    assert float(slope) == pytest.approx(2.0)
