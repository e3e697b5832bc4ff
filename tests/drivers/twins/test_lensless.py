"""The lensless camera against its closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from drivers.virtual.twins import Lensless


@pytest.fixture
def scene(rng=None):
    return np.random.default_rng(0).random((2, 16, 16))


@pytest.mark.parametrize("spot", ["sampled", "band_limited"])
def test_all_light_arrives_on_a_sensor_as_large_as_the_field(scene, spot):
    twin = Lensless(
        [[0, 0], [3.2, -1.7]], [0.3, 0.7], 1.4, electrons=50, background_e=0, field=16, side=16,
        spot=spot,
    )  # fmt: skip
    np.testing.assert_allclose(
        np.asarray(twin(scene)).sum(axis=(1, 2, 3)), 50 * scene.sum(axis=(1, 2)), rtol=1e-9
    )


@pytest.mark.parametrize("spot", ["sampled", "band_limited"])
def test_spots_without_width_copy_and_shift_the_object(scene, spot):
    twin = Lensless(
        [[2, 0], [0, -3]], [0.25, 0.75], 0.02, electrons=4, background_e=1, field=16, side=16,
        smallest_sigma_px=0.01, spot=spot,
    )  # fmt: skip
    shifted = np.roll(scene, 2, axis=1) + 3 * np.roll(scene, -3, axis=2)
    tolerance = 1e-9 if spot == "sampled" else 2e-2  # exp(-2 pi^2 .02^2 / 4) of each axis
    np.testing.assert_allclose(np.asarray(twin(scene))[:, 0], shifted + 1, atol=tolerance)


@pytest.mark.parametrize("sigma", [0.0, 0.5, 1.0, 2.0])
def test_a_band_limited_spot_has_the_transfer_of_a_gaussian(sigma):
    twin = Lensless(sigma_px=sigma, field=32, side=32, spot="band_limited")
    squared = np.fft.fftfreq(32)[:, None] ** 2 + np.fft.rfftfreq(32) ** 2
    np.testing.assert_allclose(
        twin.transfer(), np.exp(-2 * np.pi**2 * sigma**2 * squared), atol=1e-12
    )


def test_the_spread_has_the_width_asked_for():
    psf = np.asarray(Lensless(sigma_px=2.0, field=48).psf())
    away = np.arange(48) - 24
    assert (psf.sum(axis=0) * away**2).sum() == pytest.approx(4.0, rel=1e-3)
    assert psf.sum() == pytest.approx(1.0)


def test_the_sensor_sees_the_middle_of_the_field():
    point = np.zeros((1, 48, 48))
    point[0, 24, 24] = 1.0
    seen = np.asarray(Lensless(electrons=1, background_e=0)(point))[0, 0]
    assert seen.shape == (20, 20)
    assert np.unravel_index(seen.argmax(), seen.shape) == (10, 10)


def test_projected_weights_share_the_light():
    twin = Lensless(np.zeros((3, 2)), [2.0, 0.5, -1.0]).projected()
    np.testing.assert_allclose(twin.weights, [1, 0, 0], atol=1e-12)


def test_a_sensor_larger_than_its_field_is_refused():
    with pytest.raises(ValueError, match="side 20: between 1 and the field's 16 pixels"):
        Lensless(field=16)
