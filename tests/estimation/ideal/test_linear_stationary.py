"""The surrogate of one impulse against closed forms, and against the same moments from a batch."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from drivers.virtual.twins import Lensless, PhaseContrast
from estimation import EstimationError, GaussianNoise, SensorNoise
from estimation.ideal import LinearGaussian, LinearStationary, StationarySurrogate

pytestmark = pytest.mark.usefixtures("float64")

BLURRED_BITS = {0.5: 1.33053, 1.0: 0.38950}
"""mean of 1/2 log2(1 + 100 |H|^2 / 4) over 32 x 32 frequencies, H = exp(-2 pi^2 s^2 f^2)."""


def bits_of(surrogate, twin, objects, noise) -> float:
    nats = surrogate.entropy_nats(twin, jnp.asarray(objects), noise, patch=(8, 8), key=None)
    return float(nats / np.log(2) - noise.entropy_at(twin(jnp.asarray(objects))).mean())


@pytest.mark.parametrize("side", [32, 20], ids=["whole field", "part of the field"])
@pytest.mark.parametrize(("sigma_px", "bits"), BLURRED_BITS.items(), ids=str)
def test_a_known_spectrum_is_exact_however_much_of_the_field_is_read(sigma_px, bits, side):
    law = LinearStationary(
        mean=np.zeros(1), spectrum=np.full((32, 32, 1, 1), 100.0 + 0j), has_channels=False
    )
    twin = Lensless(
        [[3.0, -7.0]], sigma_px=sigma_px, electrons=1, background_e=0, field=32, side=side,
        spot="band_limited",
    )  # fmt: skip
    nothing = np.zeros((1, 32, 32))
    assert bits_of(law, twin, nothing, GaussianNoise(2.0)) == pytest.approx(bits, abs=1e-5)


def test_channels_and_shots_keep_what_they_share():
    """Phase and absorption in two shots: the moments of the batch itself, hence the same bits."""
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(60, 1, 16, 16))
    objects = 0.02 * (shared * [[[1.0]], [[0.5]]] + 0.3 * rng.normal(size=(60, 2, 16, 16)))
    drive = np.random.default_rng(1).random((2, 149))
    twin = PhaseContrast(drive / drive.sum(axis=1, keepdims=True), 0.7, field=16, side=16)
    noise = GaussianNoise(5.0)
    from_law = bits_of(LinearStationary.of(objects), twin, objects, noise)
    assert from_law > 0.02
    assert from_law == pytest.approx(bits_of(StationarySurrogate(), twin, objects, noise), rel=1e-6)


def test_the_gain_of_the_sensor_does_not_change_the_information():
    objects = np.random.default_rng(2).uniform(0.5, 1.5, size=(300, 16, 16))
    law = LinearStationary.of(objects.astype(np.float32))
    twin = Lensless([[0, 0], [2, 3]], electrons=400, field=16, side=12)
    bits = [
        bits_of(law, twin, objects[:50], noise)
        for noise in (
            SensorNoise(gain=gain, offset=5000.0, read_noise=20.0, bit_depth=16)
            for gain in (2.0, 4.0)
        )
    ]
    assert bits[0] == pytest.approx(bits[1], abs=2e-4)


def test_objects_of_another_shape_are_refused():
    with pytest.raises(EstimationError, match=r"shape \(4, 16\) came"):
        LinearStationary.of(np.zeros((4, 16)))
    with pytest.raises(EstimationError, match="two or more"):
        LinearStationary.of(np.zeros((1, 16, 16)))


def test_a_factor_keeps_the_largest_directions():
    """Variances 9, 4 and 1 along known axes: the two largest are kept, and read in pieces."""
    rng = np.random.default_rng(3)
    axes = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    objects = (rng.normal(size=(20_000, 3)) * [3.0, 2.0, 1.0]) @ axes.T
    law = LinearGaussian.of(objects.reshape(-1, 3, 1), rank=2)
    covariance = np.einsum("kp,kq->pq", law.factor[..., 0], law.factor[..., 0])
    expected = axes[:, :2] * [9.0, 4.0] @ axes[:, :2].T
    assert law.factor.shape == (2, 3, 1)
    np.testing.assert_allclose(covariance, expected, atol=0.35)
    np.testing.assert_allclose(law.mean[:, 0], objects.mean(axis=0), atol=1e-12)
