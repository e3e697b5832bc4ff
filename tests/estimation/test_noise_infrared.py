"""The thermal sensor: its samples, entropies and refusals."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from estimation import (
    InfraredNoise,
    InvalidCalibration,
    NoiseModel,
    SaturatedMeasurements,
    estimate_information,
)

CAMERA = {"gain": 16384 / 1.8e7, "offset": 0.0, "read_noise": 800.0, "bit_depth": 14}
NOISE = InfraredNoise(**CAMERA, residual_pattern=5e-4)
DRAWS = 400_000


def histogram_bits(counts: np.ndarray) -> float:
    """Entropy of samples, with Miller and Madow's correction."""
    share = np.bincount(counts.ravel())
    share = share[share > 0] / counts.size
    return float(-(share * np.log2(share)).sum() + (len(share) - 1) / (2 * counts.size * np.log(2)))


@pytest.mark.parametrize("mean_e", [1e5, 3e6, 1e7, 17.995e6])
def test_the_entropy_at_a_mean_is_that_of_samples(mean_e):
    counts = NOISE.sample(np.full(DRAWS, mean_e), np.random.default_rng(0))
    assert NOISE.entropy_at(np.array(mean_e)) == pytest.approx(histogram_bits(counts), abs=0.005)


@pytest.mark.parametrize("mean_e", [1e5, 1e7])
def test_single_noisy_frames_give_the_same_entropy_on_average(mean_e):
    counts = NOISE.sample(np.full((400, 500), mean_e), np.random.default_rng(1))
    assert NOISE.entropy_map(counts).mean() == pytest.approx(
        float(NOISE.entropy_at(np.array(mean_e))), abs=1e-3
    )


def test_variances_add():
    """1e7 + 800^2 + (5e-4 1e7)^2 = 3.564e7 e-^2, in counts of 1098.6 e-."""
    counts = NOISE.sample(np.full(DRAWS, 1e7), np.random.default_rng(2)).astype(float)
    expected = 3.564e7 * (16384 / 1.8e7) ** 2 + 1 / 12
    assert counts.var() == pytest.approx(expected, rel=5 * np.sqrt(2 / DRAWS))
    assert NOISE.variance(np.array([counts.mean()]))[0] == pytest.approx(expected, rel=1e-3)


def test_a_pattern_left_out_counts_as_information():
    """1/2 log2(3.564e7 / 1.064e7) = .87 bit a pixel at 1e7 electrons."""
    rng = np.random.default_rng(3)
    scenes = 1e7 * (1 + 0.01 * rng.standard_normal((600, 8, 8)))
    counts = NOISE.sample(scenes, rng)
    with_pattern, without = (
        estimate_information(
            counts, InfraredNoise(**CAMERA, residual_pattern=p), density="gaussian", patch=4
        ).bits_per_pixel
        for p in (5e-4, 0.0)
    )
    assert without - with_pattern == pytest.approx(0.87, abs=0.02)


def test_a_saturated_camera_is_refused():
    counts = NOISE.sample(
        np.random.default_rng(4).normal(1.8e7, 1e5, (20, 8, 8)), np.random.default_rng(5)
    )
    with pytest.raises(SaturatedMeasurements, match="shorten the integration"):
        NOISE.conditional_entropy(counts)


@pytest.mark.parametrize("mean_e", [0.0, 1e7, 1.8e7, 1e9])
def test_slopes_are_finite_from_dark_to_saturation(mean_e):
    with jax.enable_x64(True):
        at = jnp.asarray(mean_e)
        assert jnp.isfinite(jax.grad(NOISE.entropy_at)(at))
        assert jnp.isfinite(jax.grad(lambda e: NOISE.moments_at(e)[1])(at))


def test_it_keeps_the_protocol():
    assert isinstance(NOISE, NoiseModel)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [({"gain": 0.0}, "gain above 0"), ({"read_noise": 10.0}, "half a count"),
     ({"bit_depth": 40}, "1 to 32")],
)  # fmt: skip
def test_what_is_out_of_range_is_refused(wrong, sentence):
    with pytest.raises(InvalidCalibration, match=sentence):
        InfraredNoise(**{**CAMERA, "residual_pattern": 0.0, **wrong})
