"""Surrogate entropies against channels whose information is known in closed form."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from drivers.virtual.objects import white
from drivers.virtual.twins import Lensless, Tomography
from estimation import EstimationError, GaussianNoise, PoissonNoise, SensorNoise
from estimation.ideal import GaussianSurrogate, LinearGaussian, StationarySurrogate
from estimation.ideal.surrogates import cut, gaussian_nats

pytestmark = pytest.mark.usefixtures("float64")

BLURRED_BITS = {0.0: 2.35022, 0.5: 1.33053, 1.0: 0.38950, 2.0: 0.09738}
"""mean of 1/2 log2(1 + 100 |H|^2 / 4) over 32 x 32 frequencies, H = exp(-2 pi^2 s^2 f^2)."""


def blur(sigma_px: float, side: int = 32) -> Lensless:
    return Lensless(
        sigma_px=sigma_px, electrons=1, background_e=0, field=side, side=side, spot="band_limited"
    )


def information_bits(surrogate, twin, objects, noise, patch=(32, 32)) -> float:
    nats = surrogate.entropy_nats(twin, jnp.asarray(objects), noise, patch=patch, key=None)
    return float(nats / np.log(2) - noise.entropy_at(twin(jnp.asarray(objects))).mean())


@pytest.fixture(scope="module")
def white_objects():
    return white(500, 32, variance=100.0, rng=np.random.default_rng(0))


@pytest.mark.parametrize(("sigma_px", "bits"), BLURRED_BITS.items(), ids=str)
def test_a_spectrum_gives_the_information_of_the_periodic_channel(sigma_px, bits, white_objects):
    found = information_bits(
        StationarySurrogate(), blur(sigma_px), white_objects, GaussianNoise(2.0)
    )
    assert found == pytest.approx(bits, abs=0.01)


@pytest.mark.parametrize(("sigma_px", "bits"), BLURRED_BITS.items(), ids=str)
def test_the_closed_form_of_a_linear_twin_is_exact(sigma_px, bits, white_objects):
    law = LinearGaussian(mean=np.zeros((32, 32)), factor=10.0 * np.eye(1024).reshape(1024, 32, 32))
    found = information_bits(law, blur(sigma_px), white_objects[:2], GaussianNoise(2.0))
    assert found == pytest.approx(bits, abs=1e-5)  # the digits of the table


@pytest.mark.parametrize(("rank", "values"), [(7, 30), (30, 7)], ids=["low rank", "full rank"])
def test_the_determinant_is_the_same_from_either_side(rank, values):
    rng = np.random.default_rng(1)
    rows, diagonal = rng.normal(size=(rank, values)), rng.uniform(0.5, 2.0, values)
    covariance = rows.T @ rows + np.diag(diagonal)
    expected = 0.5 * (np.log(2 * np.pi * np.e) + np.linalg.slogdet(covariance)[1] / values)
    found = gaussian_nats(jnp.asarray(rows), jnp.asarray(diagonal))
    assert float(found) == pytest.approx(expected)


def test_shot_noise_adds_to_the_variance_of_scenes():
    """One pixel: objects uniform with variance 1/12, seen as 100 to 101 electrons."""
    objects = np.random.default_rng(2).random((20_000, 4)) * 60 + 70
    nats = GaussianSurrogate().entropy_nats(
        lambda o: o.reshape(-1, 1, 2, 2), jnp.asarray(objects), PoissonNoise(),
        patch=(1, 1), key=None,
    )  # fmt: skip
    variance = 60**2 / 12 + 100 + 1 / 12
    assert float(nats) == pytest.approx(0.5 * np.log(2 * np.pi * np.e * variance), abs=0.01)


def test_full_shrinkage_forgets_what_pixels_share():
    shared = np.random.default_rng(3).normal(size=(4000, 1)) * np.ones(4)
    twin = lambda o: o.reshape(-1, 1, 2, 2)  # noqa: E731 - a twin of one line
    noise = GaussianNoise(1.0)
    apart = information_bits(GaussianSurrogate(shrinkage=1.0), twin, shared, noise, (2, 2))
    together = information_bits(GaussianSurrogate(), twin, shared, noise, (2, 2))
    assert apart == pytest.approx(0.5 * np.log2(2.0), abs=0.03)
    assert together == pytest.approx(0.5 * np.log2(5.0) / 4, abs=0.03)


def test_a_shrinkage_of_more_than_one_is_refused():
    with pytest.raises(EstimationError, match=r"shrinkage 1\.5"):
        GaussianSurrogate(shrinkage=1.5)


def test_two_shots_of_the_same_scene_say_less_than_twice_as_much():
    """Two looks at variance 9 with noise 1: 1/2 log2(1 + 18), not log2(10)."""
    field = np.random.default_rng(4).normal(scale=3.0, size=(3000, 8, 8))
    twice = lambda o: jnp.stack([o, o], axis=1)  # noqa: E731
    for surrogate in (StationarySurrogate(), GaussianSurrogate()):
        bits = information_bits(surrogate, twice, field, GaussianNoise(1.0), (1, 1))
        assert 2 * bits == pytest.approx(0.5 * np.log2(19.0), abs=0.02)


def test_the_gain_of_the_sensor_does_not_change_the_information():
    objects = np.random.default_rng(5).random((500, 4)) * 400 + 200
    twin = lambda o: o.reshape(-1, 1, 2, 2)  # noqa: E731
    bits = [
        information_bits(GaussianSurrogate(), twin, objects, noise, (2, 2))
        for noise in (
            SensorNoise(gain=gain, offset=5000.0, read_noise=50.0, bit_depth=16)
            for gain in (2.0, 4.0)
        )
    ]
    assert bits[0] == pytest.approx(bits[1], abs=2e-4)


def test_second_moments_of_many_objects_predict_a_linear_twin():
    rng = np.random.default_rng(6)
    objects = rng.uniform(0.5, 1.5, size=(300, 12, 12))
    twin = Lensless([[0, 0], [2, 3]], field=12, side=8)
    noise = PoissonNoise()
    law = LinearGaussian.of(objects)
    from_law = information_bits(law, twin, objects, noise, (8, 8))
    from_batch = information_bits(GaussianSurrogate(), twin, objects, noise, (8, 8))
    assert from_law == pytest.approx(from_batch, rel=1e-6)


def test_patches_are_those_of_the_estimator():
    from estimation.ensemble import cut_patches, patch_origins

    frames = np.random.default_rng(7).random((3, 2, 10, 13))
    origins = patch_origins((4, 5), np.ones((10, 13), dtype=bool))
    np.testing.assert_array_equal(
        cut(jnp.asarray(frames), (4, 5)), cut_patches(frames, origins, (4, 5))
    )


def test_views_of_one_row_are_cut_whole():
    frames = Tomography(views=4, side=8)(jnp.zeros((2, 8, 8)))
    assert cut(frames, (16, 16)).shape == (2, 1, 4 * 12)
