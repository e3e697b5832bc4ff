"""The virtual sensor's counts against EMVA Standard 1288 release 4.0, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest

from drivers.virtual.sensor import VirtualSensor

FRAMES = 1500
SHAPE = (24, 24)


def uniform_sensor(*, read_noise_e=1.5, responsivity=1.0, dark_e_per_s=0.0, offset_adu=100.0):
    return VirtualSensor(
        offset_adu=np.full(SHAPE, offset_adu),
        read_noise_e=np.full(SHAPE, read_noise_e),
        responsivity=np.full(SHAPE, responsivity),
        dark_e_per_s=np.full(SHAPE, dark_e_per_s),
    )


def many_frames(sensor, electrons: float, *, exposure_s: float = 0.01) -> np.ndarray:
    rng = np.random.default_rng(6)
    expected = np.full(SHAPE, electrons)
    return np.stack([
        sensor.expose(expected, exposure_s=exposure_s, rng=rng) for _ in range(FRAMES)
    ]).astype(np.float64)


@pytest.mark.parametrize(
    ("electrons", "read_noise_e"),
    [
        pytest.param(0.0, 0.5, id="read noise and rounding alone"),
        pytest.param(3.0, 1.3, id="few photons"),
        pytest.param(200.0, 9.0, id="many photons, noisy pixel"),
    ],
)
def test_mean_and_variance_of_the_counts(electrons, read_noise_e):
    frames = many_frames(uniform_sensor(read_noise_e=read_noise_e), electrons)
    mean = 100 + 2.17 * electrons
    variance = 2.17**2 * (electrons + read_noise_e**2) + 1 / 12
    count = frames.size
    kurtosis = 2.17**4 * electrons / variance**2  # excess, of the Poisson part
    assert frames.mean() == pytest.approx(mean, abs=5 * np.sqrt(variance / count))
    assert frames.var() == pytest.approx(variance, rel=5 * np.sqrt((2 + kurtosis) / count))


def test_responsivity_scales_light_and_dark_current_adds_with_time():
    sensor = uniform_sensor(responsivity=0.8, dark_e_per_s=30.0)
    frames = many_frames(sensor, 50.0, exposure_s=0.5)
    electrons = 0.8 * 50 + 30 * 0.5
    standard_error = 2.17 * np.sqrt((electrons + 1.5**2) / frames.size)
    assert frames.mean() == pytest.approx(100 + 2.17 * electrons, abs=5 * standard_error)


def test_every_pixel_has_its_own_offset_noise_responsivity_and_dark_current():
    sensor = VirtualSensor.draw(*SHAPE, rng=np.random.default_rng(7))
    frames = many_frames(sensor, 40.0, exposure_s=0.1)
    electrons = sensor.responsivity * 40 + sensor.dark_e_per_s * 0.1
    variance = 2.17**2 * (electrons + sensor.read_noise_e**2) + 1 / 12
    deviation = (frames.mean(axis=0) - sensor.offset_adu - 2.17 * electrons) / np.sqrt(variance)
    assert np.abs(deviation).max() < 5 / np.sqrt(FRAMES)
    assert np.abs(frames.var(axis=0) / variance - 1).max() < 5.5 * np.sqrt(2 / FRAMES)


def test_counts_are_uint16_and_clipped_at_both_ends():
    rng = np.random.default_rng(8)
    bright = uniform_sensor().expose(np.full(SHAPE, 1e5), exposure_s=0.01, rng=rng)
    dark = uniform_sensor(offset_adu=-50.0).expose(np.zeros(SHAPE), exposure_s=0.01, rng=rng)
    assert bright.dtype == dark.dtype == np.uint16
    assert (bright == 4095).all()
    assert (dark == 0).all()


def test_a_count_just_below_saturation_is_not_clipped():
    sensor = uniform_sensor(read_noise_e=0.0, offset_adu=4094.4)
    frame = sensor.expose(np.zeros(SHAPE), exposure_s=0.01, rng=np.random.default_rng(0))
    assert (frame == 4094).all()


def test_draws_are_fixed_by_the_seed():
    def draw(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        sensor = VirtualSensor.draw(*SHAPE, rng=rng)
        return sensor.expose(np.full(SHAPE, 50.0), exposure_s=0.01, rng=rng)

    np.testing.assert_array_equal(draw(9), draw(9))
    assert not np.array_equal(draw(9), draw(10))


def test_two_frames_of_one_scene_differ():
    rng = np.random.default_rng(0)
    first, second = (
        uniform_sensor().expose(np.full(SHAPE, 50.0), exposure_s=0.01, rng=rng) for _ in range(2)
    )
    assert not np.array_equal(first, second)


# ---- the maps of a drawn sensor


@pytest.fixture(scope="module")
def drawn() -> VirtualSensor:
    return VirtualSensor.draw(512, 512, rng=np.random.default_rng(11))


def test_two_percent_of_the_pixels_are_the_tail_of_an_scmos_sensor(drawn):
    standard_error = np.sqrt(0.02 * 0.98 / 512**2)
    noisy = drawn.read_noise_e > 2.4  # 5 sigma above the median of the others, and below the tail
    assert noisy.mean() == pytest.approx(0.02, abs=5 * standard_error)
    assert drawn.read_noise_e.max() <= 9.5
    assert np.median(drawn.read_noise_e) == pytest.approx(1.3, rel=0.01)


def test_offset_and_responsivity_spread_as_specified(drawn):
    relative = 5 / np.sqrt(2 * 512**2)  # of a standard deviation
    assert drawn.offset_adu.mean() == pytest.approx(100, abs=5 * 1.57 / 512)
    assert drawn.offset_adu.std() == pytest.approx(1.57, rel=relative)
    assert drawn.responsivity.mean() == pytest.approx(1, abs=5 * 0.01 / 512)
    assert drawn.responsivity.std() == pytest.approx(0.01, rel=relative)


def test_one_pixel_in_a_thousand_is_hot(drawn):
    standard_error = np.sqrt(1e-3 / 512**2)
    assert (drawn.dark_e_per_s >= 10).mean() == pytest.approx(1e-3, abs=5 * standard_error)
    assert drawn.dark_e_per_s.max() <= 200
    assert drawn.dark_e_per_s.min() > 0


def test_twelve_bits(drawn):
    assert drawn.saturation_adu == 4095
