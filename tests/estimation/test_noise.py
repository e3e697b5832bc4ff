"""Noise models: what they draw, keep and refuse. Their entropies: `test_noise_entropy`."""

from __future__ import annotations

import numpy as np
import pytest

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
BLACK = np.where(np.arange(64).reshape(8, 8) < 2, 0, GOOD).astype(np.uint16)
WHITE = np.full((20, 20), 4095, np.uint16) - (np.arange(400).reshape(20, 20) == 7)

BAD_FRAMES = {
    "floats": (SensorNoise(), GOOD.astype(float), InvalidMeasurements, "float64"),
    "booleans": (SensorNoise(), GOOD > 210, InvalidMeasurements, "bool"),
    "negative": (SensorNoise(), GOOD.astype(np.int32) - 210, InvalidMeasurements, "negative count"),
    "constant": (SensorNoise(), np.full((8, 8), 7, np.uint16), InvalidMeasurements, "shutter"),
    "too many bits": (SensorNoise(), GOOD * np.uint16(100), InvalidMeasurements, "bit_depth"),
    "saturated": (
        SensorNoise(),
        WHITE,
        SaturatedMeasurements,
        "99.8% of the pixels are saturated",
    ),
    "black": (
        SensorNoise(),
        BLACK,
        SaturatedMeasurements,
        "3.1% are 0",
    ),
    "own saturation": (SensorNoise(saturation=4094), WHITE, SaturatedMeasurements, "saturated"),
    "other maps": (SensorNoise(gain=np.ones((8, 9))), GOOD, CalibrationMismatch, r"\(8, 9\)"),
    "a vector": (SensorNoise(), GOOD[0], InvalidMeasurements, "at least one image"),
    "no image": (PoissonNoise(), GOOD[:0], InvalidMeasurements, "at least one image"),
    "photons as floats": (PoissonNoise(), GOOD.astype(np.float32), InvalidMeasurements, "float32"),
}


def test_fractions_are_of_the_pixels_in_use():
    frames = np.tile(GOOD, (25, 1, 1))
    frames[0, 0, 0], frames[1, 0, 1] = 4095, 0
    defects = np.arange(64).reshape(8, 8) >= 16
    frames[:, 7, 7] = 4095  # broken, so nobody's saturation
    seen = SensorNoise(defects=defects).check(frames)
    assert seen["saturated_fraction"] == pytest.approx(1 / (25 * 16))
    assert seen["zero_fraction"] == pytest.approx(1 / (25 * 16))


@pytest.mark.parametrize("dtype", [np.uint32, np.int64])
def test_counts_of_32_bits_keep_their_entropy(dtype):
    noise = SensorNoise(gain=1.0, offset=100.0, read_noise=0.3, bit_depth=32)
    counts = np.array([[3_000_000_100, 3_000_050_100]], dtype=dtype)
    # shot noise alone: 1/2 log2(2 pi e 3e9), to the .002 bit that issue 3 grants
    expected = 0.5 * np.log2(2 * np.pi * np.e * 3e9)
    assert noise.conditional_entropy(counts) == pytest.approx(expected, abs=2e-3)


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
