"""Noise models against exact sums over Poisson x Gaussian, and what they refuse."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import poisson

from estimation import (
    CalibrationMismatch,
    GaussianNoise,
    InvalidCalibration,
    InvalidMeasurements,
    NotFinite,
    PoissonNoise,
    SaturatedMeasurements,
    SensorNoise,
)

GAIN, OFFSET = 2.17, 100


def exact_counts(mean_e: float, read_noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Return all counts of a pixel and their probabilities, by direct summation."""
    electrons = np.arange(int(mean_e + 12 * np.sqrt(mean_e) + 30))
    top = int(GAIN * electrons[-1] + 12 * GAIN * read_noise)
    counts = np.arange(-OFFSET, top)
    edge = (counts[:, None] - GAIN * electrons) / (GAIN * read_noise)
    half = 0.5 / (GAIN * read_noise)
    return counts + OFFSET, (ndtr(edge + half) - ndtr(edge - half)) @ poisson.pmf(electrons, mean_e)


def discrete_entropy(probability: np.ndarray) -> float:
    positive = probability[probability > 0]
    return float(-(positive * np.log2(positive)).sum())


# Tolerances are the table in `estimation.noise.closed_form`, rounded up.
@pytest.mark.parametrize(
    ("mean_e", "tolerance"),
    [(1, 0.05), (3, 0.02), (5, 0.015), (10, 0.002), (20, 1e-4), (100, 1e-4), (1000, 1e-4)],
)
def test_expected_conditional_entropy_is_the_exact_entropy(mean_e, tolerance):
    counts, probability = exact_counts(mean_e, 1.4)
    noise = SensorNoise(gain=GAIN, offset=OFFSET, read_noise=1.4)
    expected = float(probability @ noise.entropy_map(counts))
    assert expected == pytest.approx(discrete_entropy(probability), abs=tolerance)


def test_read_shot_and_rounding_noise_add_as_variances():
    noise = SensorNoise(gain=2.0, read_noise=3.0)
    # 2^2 (16 + 3^2) + 1/12 = 100.0833 ADU^2; Cover & Thomas (2006), example 8.1.2
    assert noise.entropy_at(16.0) == pytest.approx(0.5 * np.log2(2 * np.pi * np.e * 100.08333333))


def test_entropy_at_has_the_derivative_of_the_closed_form():
    noise = SensorNoise(gain=2.0, read_noise=3.0)
    slope = jax.grad(noise.entropy_at)(jax.numpy.float32(16.0))
    # d/dmean of 1/2 log2(K^2 (mean + s^2) + 1/12); float32 has 1e-7
    assert float(slope) == pytest.approx(4.0 / (2 * np.log(2) * 100.0833333), rel=1e-5)


def test_poisson_entropy_at_100_photons_is_the_published_value():
    counts = np.arange(400)
    probability = poisson.pmf(counts, 100)
    # reference/information.md, 1.10: 3.72069 nats
    assert float(probability @ PoissonNoise().entropy_map(counts)) == pytest.approx(
        3.72069 / np.log(2), abs=2e-4
    )


def test_conditional_entropy_has_one_number_per_image(rng):
    counts = rng.integers(200, 300, size=(3, 2, 5, 7), dtype=np.uint16)
    assert SensorNoise().conditional_entropy(counts).shape == (3, 2)


def test_sample_has_the_mean_and_variance_of_the_model(rng):
    read_noise = np.array([[1.0, 4.0]])
    noise = SensorNoise(
        gain=2.0, offset=50.0, read_noise=read_noise, responsivity=np.array([[1.0, 0.5]])
    )
    counts = noise.sample(np.full((40000, 1, 2), 30.0), rng).astype(float)
    variance = 4.0 * (np.array([[30.0, 15.0]]) + read_noise**2) + 1 / 12
    # 5 standard errors of a mean and of a variance over 40000 draws
    assert np.abs(counts.mean(0) - [[110.0, 80.0]]).max() < 5 * np.sqrt(variance.max() / 40000)
    assert counts.var(axis=0) == pytest.approx(variance, rel=5 * np.sqrt(2 / 40000) * 1.1)


def test_sample_ends_at_saturation(rng):
    counts = SensorNoise(bit_depth=8).sample(np.full((50, 50), 1e4), rng)
    assert counts.dtype == np.uint16
    assert counts.max() == 255


def test_variance_is_unbiased_at_30_electrons(rng):
    noise = SensorNoise()
    counts = noise.sample(np.full((500, 500), 30.0), rng)
    expected = 2.17**2 * (30 + 1.4**2) + 1 / 12
    # variance of the estimate is K^2 of the counts' variance; 5 standard errors
    assert noise.variance(counts).mean() == pytest.approx(
        expected, abs=5 * 2.17 * np.sqrt(expected / 250000)
    )


def test_defective_pixels_do_not_count(rng):
    counts = rng.integers(200, 210, size=(4, 4), dtype=np.uint16)
    spoilt = counts.copy()
    spoilt[1, 2] = 4095
    defects = np.zeros((4, 4), dtype=bool)
    defects[1, 2] = True
    noise = SensorNoise(defects=defects)
    assert noise.conditional_entropy(spoilt) == noise.conditional_entropy(counts)


def test_dark_current_without_exposure_is_refused():
    with pytest.raises(CalibrationMismatch, match="at_exposure"):
        SensorNoise(dark_current=2.0).entropy_at(10.0)


def test_dark_electrons_are_noise_of_their_mean():
    noise = SensorNoise(dark_current=2.0).at_exposure(500.0)
    assert noise.entropy_at(10.0) == SensorNoise().entropy_at(11.0)


def test_crop_takes_the_same_region_of_every_map(rng):
    gain = rng.uniform(1, 2, size=(6, 8))
    part = SensorNoise(gain=gain, defects=gain > 1.9).crop(1, 2, 3, 4)
    np.testing.assert_array_equal(part.gain, gain[1:4, 2:6])
    np.testing.assert_array_equal(part.defects, gain[1:4, 2:6] > 1.9)
    assert part.offset == 100.0


def test_crop_outside_the_maps_is_refused():
    with pytest.raises(CalibrationMismatch, match=r"\(6, 8\)"):
        SensorNoise(gain=np.ones((6, 8))).crop(4, 0, 3, 3)


def test_saved_calibration_comes_back_bit_for_bit(tmp_path, rng):
    noise = SensorNoise(
        read_noise=rng.uniform(1, 2, size=(3, 4)),
        defects=np.eye(3, 4, dtype=bool),
        exposure_ms=10.0,
        key={"serial": "A1", "roi": [0, 0, 4, 3]},
    )
    noise.save(tmp_path / "camera.npz")
    loaded = SensorNoise.load(tmp_path / "camera.npz")
    np.testing.assert_array_equal(loaded.read_noise, noise.read_noise)
    np.testing.assert_array_equal(loaded.defects, noise.defects)
    assert (loaded.bit_depth, loaded.exposure_ms, dict(loaded.key)) == (12, 10.0, dict(noise.key))
    assert loaded.responsivity is None


@pytest.mark.parametrize(
    "content", [b"", b"not a zip file", b"PK\x03\x04 broken"], ids=["empty", "text", "cut"]
)
def test_a_file_that_is_no_calibration_is_refused(tmp_path, content):
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(InvalidCalibration, match="not a noise calibration"):
        SensorNoise.load(tmp_path / "x.npz")


def test_an_archive_of_something_else_is_refused(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.ones(3))
    with pytest.raises(InvalidCalibration, match="not a noise calibration"):
        SensorNoise.load(tmp_path / "x.npz")


def test_a_map_cannot_be_changed_later():
    with pytest.raises(ValueError, match="read-only"):
        SensorNoise(gain=np.ones((2, 2))).gain[0, 0] = 3.0


KEY = {"serial": "A1", "roi": (0, 0, 128, 128), "exposure_ms_range": [1.0, 20.0]}


@pytest.mark.parametrize(
    ("batch_key", "wrong"),
    [
        ({"serial": "A1", "roi": [0, 0, 128, 128], "exposure_ms": 10.0, "more": 1}, None),
        ({"serial": "B2", "roi": [0, 0, 128, 128], "exposure_ms": 10.0}, "serial"),
        ({"serial": "A1", "roi": [8, 0, 128, 128], "exposure_ms": 10.0}, "roi"),
        ({"serial": "A1", "roi": [0, 0, 128, 128], "exposure_ms": 30.0}, "exposure_ms"),
        ({"serial": "A1", "roi": [0, 0, 128, 128]}, "exposure_ms"),
    ],
    ids=["same", "serial", "roi", "exposure", "silent"],
)
def test_a_batch_of_another_identity_is_named(batch_key, wrong):
    found = SensorNoise(key=KEY).mismatch(batch_key)
    assert [sentence.split(":")[0] for sentence in found] == ([wrong] if wrong else [])


def test_check_key_refuses_a_batch_of_another_camera():
    with pytest.raises(
        CalibrationMismatch, match="serial: calibrated for 'A1', the batch has 'B2'"
    ):
        SensorNoise(key={"serial": "A1"}).check_key({"serial": "B2"})


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"gain": 0.0}, "gain"),
        ({"gain": np.array([[1.0, np.nan]])}, "gain"),
        ({"read_noise": -1.0}, "read_noise"),
        ({"responsivity": np.zeros((2, 2))}, "responsivity"),
        ({"bit_depth": 0}, "bit_depth"),
        ({"bit_depth": 12.5}, "bit_depth"),
        ({"gain": np.ones((2, 2)), "offset": np.ones((3, 2))}, "shapes"),
        ({"gain": np.ones(3)}, "shapes"),
        ({"offset": "dark"}, "neither a number"),
        ({"defects": True}, "map of booleans"),
        ({"exposure_ms": -1.0}, "exposure_ms"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_an_impossible_calibration_is_refused(parameters, match):
    with pytest.raises(InvalidCalibration, match=match):
        SensorNoise(**parameters)


@pytest.mark.parametrize("sigma", [0.0, -1.0, np.nan, np.ones(2)], ids=str)
def test_an_impossible_sigma_is_refused(sigma):
    with pytest.raises(InvalidCalibration, match="sigma"):
        GaussianNoise(sigma)


GOOD = np.arange(64, dtype=np.uint16).reshape(8, 8) + 200
CLIPPED = np.where(np.arange(64).reshape(8, 8) < 2, 4095, GOOD).astype(np.uint16)

BAD_FRAMES = {
    "floats": (SensorNoise(), GOOD.astype(float), InvalidMeasurements, "float64"),
    "booleans": (SensorNoise(), GOOD > 210, InvalidMeasurements, "bool"),
    "negative": (SensorNoise(), GOOD.astype(np.int32) - 210, InvalidMeasurements, "negative count"),
    "constant": (SensorNoise(), np.full((8, 8), 7, np.uint16), InvalidMeasurements, "shutter"),
    "too many bits": (SensorNoise(), GOOD * np.uint16(100), InvalidMeasurements, "bit_depth"),
    "saturated": (
        SensorNoise(),
        CLIPPED,
        SaturatedMeasurements,
        "3.1% of the pixels are saturated",
    ),
    "black": (
        SensorNoise(),
        np.where(CLIPPED > 4000, 0, GOOD),
        SaturatedMeasurements,
        "3.1% are 0",
    ),
    "own saturation": (SensorNoise(saturation=205), GOOD, SaturatedMeasurements, "saturated"),
    "other maps": (SensorNoise(gain=np.ones((8, 9))), GOOD, CalibrationMismatch, r"\(8, 9\)"),
    "a vector": (SensorNoise(), GOOD[0], InvalidMeasurements, "at least one image"),
    "no image": (PoissonNoise(), GOOD[:0], InvalidMeasurements, "at least one image"),
    "photons as floats": (PoissonNoise(), GOOD.astype(np.float32), InvalidMeasurements, "float32"),
}


@pytest.mark.parametrize("case", BAD_FRAMES)
def test_frames_no_camera_delivers_are_refused(case):
    noise, frames, error, match = BAD_FRAMES[case]
    with pytest.raises(error, match=match):
        noise.conditional_entropy(frames)


def test_nan_is_named_by_its_place():
    values = np.arange(24.0).reshape(2, 3, 4)
    values[1, 0, 2] = np.nan
    with pytest.raises(NotFinite, match=r"\(1, 0, 2\)"):
        GaussianNoise(1.0).check(values)
