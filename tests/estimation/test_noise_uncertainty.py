"""What calibration errors make of H(Y|X), against differences of exact entropies."""

from __future__ import annotations

import numpy as np
import pytest

from estimation import CalibrationMismatch, InvalidCalibration, PoissonNoise, SensorNoise
from estimation.noise import CalibratedNoise

CAMERA = {"gain": 2.17, "offset": 100.0, "read_noise": 1.4}
ERRORS = {
    "gain_standard_error": 0.02,
    "read_noise_standard_error": 0.05,
    "offset_standard_error": 0.3,
}


def exact_shift(mean_e: float, source: str) -> float:
    """Return how far the entropy moves if the camera is what its calibration is wrong by.

    The counts stay what they are, so their mean in electrons moves with gain and offset; read noise
    in ADU is what darks measured. Variances: Cover & Thomas (2006), example 8.1.2, at 10 e- or more
    right to 1 % of a difference.
    """
    adu = CAMERA["gain"] * mean_e
    read_adu2 = (CAMERA["gain"] * CAMERA["read_noise"]) ** 2 + 1 / 12
    variance = CAMERA["gain"] * adu + read_adu2
    shifted = {
        "gain": (CAMERA["gain"] + 0.02) * adu + read_adu2,
        "read_noise": CAMERA["gain"] * adu + (CAMERA["gain"] * 1.45) ** 2 + 1 / 12,
        "offset": CAMERA["gain"] * (adu - 0.3) + read_adu2,
    }[source]
    return abs(0.5 * np.log2(shifted / variance))


@pytest.mark.parametrize("source", ["gain", "read_noise", "offset"])
@pytest.mark.parametrize(("mean_e", "tolerance"), [(1.0, 0.4), (10.0, 0.15), (200.0, 0.03)])
def test_each_source_moves_the_entropy_as_much_as_is_said(rng, mean_e, tolerance, source):
    noise = SensorNoise(**CAMERA, **ERRORS)
    counts = noise.sample(np.full((64, 64, 64), mean_e), rng)
    said = noise.calibration_uncertainty(counts)[source]
    # What the noise of a count does to `1 / variance`, see `calibration_slopes`.
    assert said == pytest.approx(exact_shift(mean_e, source), rel=tolerance)


def test_a_wrong_gain_moves_the_measured_entropy_as_much_as_is_said(rng):
    noise = SensorNoise(**CAMERA, gain_standard_error=0.02)
    counts = noise.sample(np.full((64, 64, 64), 10.0), rng)
    # Same read noise in ADU.
    wrong = SensorNoise(gain=2.19, offset=100.0, read_noise=1.4 * 2.17 / 2.19)
    moved = wrong.conditional_entropy(counts).mean() - noise.conditional_entropy(counts).mean()
    assert noise.calibration_uncertainty(counts)["gain"] == pytest.approx(moved, rel=0.1)


def test_only_known_errors_are_reported():
    counts = np.full((2, 4, 4), 150, dtype=np.uint16)
    noise = SensorNoise(offset_standard_error=0.1)
    assert set(noise.calibration_uncertainty(counts)) == {"offset"}
    assert SensorNoise().calibration_uncertainty(counts) == {}


def test_defective_pixels_do_not_count(rng):
    defects = rng.random((6, 6)) < 0.3
    noise = SensorNoise(**CAMERA, **ERRORS, defects=defects)
    counts = noise.sample(np.full((20, 6, 6), 50.0), rng)
    spoilt = np.where(defects, 4000, counts)
    assert noise.calibration_uncertainty(spoilt) == noise.calibration_uncertainty(counts)


def test_errors_are_saved_and_cropped_with_the_rest(tmp_path, rng):
    errors = {**ERRORS, "offset_standard_error": rng.uniform(0.1, 0.3, size=(3, 4))}
    SensorNoise(**CAMERA, **errors).save(tmp_path / "camera.npz")
    loaded = SensorNoise.load(tmp_path / "camera.npz")
    assert (loaded.gain_standard_error, loaded.read_noise_standard_error) == (0.02, 0.05)
    np.testing.assert_array_equal(
        loaded.crop(1, 0, 2, 2).offset_standard_error, errors["offset_standard_error"][1:3, :2]
    )


def test_a_negative_error_is_refused():
    with pytest.raises(InvalidCalibration, match="gain_standard_error"):
        SensorNoise(gain_standard_error=-0.1)


def test_frames_of_another_shape_are_refused():
    noise = SensorNoise(offset_standard_error=np.ones((4, 4)))
    with pytest.raises(CalibrationMismatch, match=r"\(4, 4\)"):
        noise.calibration_uncertainty(np.full((2, 5, 4), 150))


def test_only_a_measured_noise_says_how_well_it_is_known():
    assert isinstance(SensorNoise(), CalibratedNoise)
    assert not isinstance(PoissonNoise(), CalibratedNoise)
