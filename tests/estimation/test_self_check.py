"""Repeats of a static scene against the noise they were drawn with, and against wrong ones."""

from dataclasses import replace

import numpy as np
import pytest

from estimation import InvalidMeasurements, SaturatedMeasurements, SensorNoise
from estimation.self_check import ALARM_BITS, check_repeats

SHAPE = (128, 128)
NOISE = SensorNoise(gain=2.17, offset=100.0, read_noise=1.4, bit_depth=12)
SHAPE_BITS = 0.008
"""Shot noise is not Gaussian: reference/noise.md, section 4c."""


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def repeats(mean_e, rng, *, count=8, noise=NOISE):
    scene = mean_e * np.exp(0.5 * np.random.default_rng(1).standard_normal(SHAPE) - 0.125)
    return noise.sample(np.broadcast_to(scene, (count, *SHAPE)), rng)


@pytest.mark.parametrize("count", [4, 8, 16])
def test_gaussian_noise_has_its_closed_form_entropy_at_any_number_of_repeats(rng, count):
    sigma_adu = 5.0
    counts = np.rint(1000 + sigma_adu * rng.standard_normal((count, *SHAPE))).astype(np.uint16)
    check = check_repeats(counts, NOISE, rng=rng)
    # Rounding adds 1/12; Cover & Thomas (2006), example 8.1.2. No digamma: off by .28 bit at 4.
    expected = 0.5 * np.log2(2 * np.pi * np.e * (sigma_adu**2 + 1 / 12))
    spread = {4: 0.70, 8: 0.42, 16: 0.27}[count]  # 1/2 log2(e) sqrt(trigamma(nu / 2))
    assert abs(check.model_free_bits - expected) < 5 * spread / 128


@pytest.mark.parametrize("mean_e", [1, 3, 10, 30, 300])
@pytest.mark.parametrize("count", [4, 8, 16])
def test_an_honest_calibration_is_no_alarm(rng, mean_e, count):
    check = check_repeats(repeats(mean_e, rng, count=count), NOISE, rng=rng)
    assert abs(check.difference_bits) < SHAPE_BITS + 4 * check.standard_error
    assert not check.is_alarm
    assert check.standard_error < 0.008


def test_noise_of_half_a_count_is_no_alarm(rng):
    coarse = replace(NOISE, gain=0.5, read_noise=1.2)  # .6 ADU: four counts alike in 20 pixels
    check = check_repeats(repeats(0.5, rng, count=4, noise=coarse), coarse, rng=rng)
    assert abs(check.difference_bits) < SHAPE_BITS + 4 * check.standard_error


@pytest.mark.parametrize(
    ("wrong", "mean_e", "expected_bits"),
    [
        # 1/2 log2 of the variances' ratio: K (y - offset) + (K 1.4)^2, or lambda + read noise^2
        ({"gain": 2.17 * 1.05}, 100, -0.035),
        ({"gain": 2.17 / 1.05}, 100, +0.035),
        ({"read_noise": 1.4 * 1.1}, 6, -0.036),
        ({"read_noise": 1.4 / 1.1}, 6, +0.031),
    ],
    ids=["gain high", "gain low", "read noise high", "read noise low"],
)
def test_a_wrong_calibration_is_an_alarm_of_the_right_size(rng, wrong, mean_e, expected_bits):
    check = check_repeats(repeats(mean_e, rng), replace(NOISE, **wrong), rng=rng)
    assert check.is_alarm
    # The scene's dark pixels count for more, and the look-up function of a wrong noise errs there.
    assert check.difference_bits == pytest.approx(expected_bits, abs=0.02)
    words = "quieter than calibrated" if expected_bits < 0 else "noisier than calibrated"
    assert words in check.sentence
    assert "calibrate again" in check.sentence


def test_what_all_pixels_do_together_is_taken_out_and_told(rng):
    lamp = 1 + 0.02 * np.asarray([1, -1, 1, 1, -1, -1, 1, -1])[:, None, None]
    scene = 300 * np.exp(0.5 * rng.standard_normal(SHAPE))
    counts = NOISE.sample(scene * lamp, rng)
    check = check_repeats(counts, NOISE, rng=rng)
    assert not check.is_alarm
    assert check.light_change == pytest.approx(0.02 * np.sqrt(8 / 7), rel=0.05)


def test_a_steady_light_is_not_said_to_change(rng):
    assert check_repeats(repeats(100, rng), NOISE, rng=rng).light_change < 1e-3


def test_a_scene_that_drifts_is_told_from_a_wrong_calibration(rng):
    scene = 200 * np.exp(0.5 * rng.standard_normal(SHAPE))
    moving = scene + np.arange(8)[:, None, None] * 3 * rng.standard_normal(SHAPE)
    check = check_repeats(NOISE.sample(np.clip(moving, 0, None), rng), NOISE, rng=rng)
    assert check.is_alarm
    assert check.drift_ratio < 0.9
    assert "the scene drifts" in check.sentence


def test_copies_of_one_frame_are_an_alarm(rng):
    counts = np.repeat(repeats(100, rng, count=1), 8, axis=0)
    check = check_repeats(counts, NOISE, rng=rng)
    assert check.is_alarm
    assert "repeated frames in the camera" in check.sentence


def test_defects_and_pixels_near_saturation_are_left_out(rng):
    counts = repeats(100, rng)
    counts[:, :64] = 4095 - rng.integers(1, 4, counts[:, :64].shape).astype(np.uint16)
    masked = np.zeros(SHAPE, bool)
    masked[100] = True
    counts[:, 100] = 500  # stuck
    counts[:, :1] = 200
    check = check_repeats(counts[:, 40:], replace(NOISE, defects=masked[40:]), rng=rng)
    assert check.pixels == pytest.approx(63 * 128, abs=8)
    assert not check.is_alarm


def test_too_few_pixels_are_no_alarm_but_said(rng):
    check = check_repeats(repeats(100, rng, count=4)[:, :12, :12], NOISE, rng=rng)
    assert not check.is_conclusive
    assert f"too few to see a difference of {ALARM_BITS:g}" in check.sentence
    assert not check.is_alarm


@pytest.mark.parametrize(
    ("counts", "error"),
    [
        (np.full((3, 8, 8), 200, np.uint16), InvalidMeasurements),
        (np.full((8, 8), 200, np.uint16), InvalidMeasurements),
        (np.tile(np.r_[4090:4095].astype(np.uint16), (8, 8, 1)), SaturatedMeasurements),
    ],
    ids=["few repeats", "one frame", "near saturation"],
)
def test_what_cannot_be_checked_is_refused(rng, counts, error):
    with pytest.raises(error):
        check_repeats(counts, NOISE, rng=rng)
