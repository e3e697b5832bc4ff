"""Each trap of reference/noise.md is met, noticed by name, and does not reach the gain."""

from __future__ import annotations

import numpy as np
import pytest

from estimation.calibration import (
    CalibrationRefused,
    CodesMissing,
    Defect,
    GainNotFound,
    NoDarks,
    NoUsableLevels,
    OffsetTooLow,
    SensorCalibration,
)

TRUE_GAIN = 2.17


def gain_error(fit):
    return fit.gain / TRUE_GAIN - 1


def names(fit):
    return {str(warning.name) for warning in fit.warnings}


QUIET = {"saturation_not_reached", "dark_current_unknown"}
"""What a sound ladder with one dark exposure is told."""


def test_a_sound_capture_is_told_nothing_more(make_sensor, calibrate):
    assert names(calibrate(make_sensor()).fit()) == QUIET


def test_lamp_flicker_is_taken_out(make_sensor, calibrate):
    fit = calibrate(make_sensor(), means_e=(1500,), frames=60, flicker=0.005).fit()
    assert abs(gain_error(fit)) < 0.01  # naive: +4 %
    assert names(fit) == QUIET | {"lamp_flicker", "linearity_unknown"}


def test_flicker_on_an_uneven_field_is_taken_out(make_sensor, calibrate):
    sensor = make_sensor()
    shading = np.linspace(0.4, 1.6, sensor.size)[:, None]
    means_e = (300, 600, 900)
    fit = calibrate(sensor, means_e=means_e, frames=40, flicker=0.01, shading=shading).fit()
    assert abs(gain_error(fit)) < 0.01
    assert not fit.warned("neighbour_correlation")


def test_lamp_drift_is_taken_out_and_told_from_flicker(make_sensor, calibrate):
    fit = calibrate(make_sensor(), means_e=(500, 1000, 1500), frames=60, drift=3e-4).fit()
    assert abs(gain_error(fit)) < 0.005
    assert fit.warned("light_drift")
    assert not fit.warned("lamp_flicker")


def test_a_light_that_jumps_is_named(make_sensor, calibrate):
    fit = calibrate(make_sensor(size=48), means_e=(500, 900), frames=10, flicker=0.08).fit()
    assert fit.warned("light_unstable")


def test_black_level_drift_is_taken_out_of_the_read_noise(make_sensor, calibrate):
    sensor = make_sensor()
    calibration = calibrate(sensor, darks=2)
    drifting = sensor.frames(150, black_drift_adu=0.05)
    calibration.add(drifting, exposure_s=0.01, light=0.0)
    fit = calibration.fit()
    assert fit.warned("dark_drift")
    assert not fit.warned("pixel_drift")  # it is common to all
    assert np.median(fit.read_noise / sensor.read_noise) == pytest.approx(1, abs=0.01)


def test_pixels_that_drift_on_their_own_are_read_by_successive_differences(make_sensor, calibrate):
    sensor = make_sensor()
    calibration = calibrate(sensor, darks=2)
    rng = np.random.default_rng(4)
    rates = 0.05 * rng.standard_normal((sensor.size, sensor.size))
    drifting = (
        np.rint(frame + rates * t).astype(np.uint16) for t, frame in enumerate(sensor.frames(150))
    )
    calibration.add(drifting, exposure_s=0.01, light=0.0)
    fit = calibration.fit()
    assert fit.warned("pixel_drift")
    assert np.median(fit.read_noise / sensor.read_noise) == pytest.approx(1, abs=0.02)


def test_coupling_between_pixels_is_seen_and_corrected(make_sensor, calibrate):
    fit = calibrate(make_sensor(coupling=0.01), frames=12).fit()
    assert abs(gain_error(fit)) < min(0.015, 4 * fit.gain_se / fit.gain)  # naive: -7.9 %
    assert fit.correlation == pytest.approx(0.0209, abs=0.002)
    # two lags measured, the diagonals predicted: 8 x 3/2 / (levels x pairs x pixels), and the fit's
    assert fit.gain_se / fit.gain == pytest.approx((14 / (15 * 11 * 96**2)) ** 0.5, rel=0.1)
    assert fit.warned("neighbour_correlation")


@pytest.mark.parametrize("full_well_adu", [None, 3300.0], ids=["converter", "full-well"])
def test_saturated_levels_are_left_out(make_sensor, calibrate, full_well_adu):
    sensor = make_sensor(full_well_adu=full_well_adu)
    fit = calibrate(sensor, means_e=range(100, 2101, 100)).fit()
    assert abs(gain_error(fit)) < 0.01
    assert fit.warned("saturated_levels")
    assert fit.saturation == pytest.approx(full_well_adu or 4095, abs=1)


def test_a_full_well_that_only_begins_is_seen(make_sensor, calibrate):
    fit = calibrate(make_sensor(full_well_adu=3300.0)).fit()  # the top level is half clipped
    assert abs(gain_error(fit)) < 0.012
    assert fit.saturation == pytest.approx(3300, abs=60)


def test_only_saturated_levels_are_refused(make_sensor, calibrate):
    with pytest.raises(NoUsableLevels, match="less light"):
        calibrate(make_sensor(size=32), means_e=(1800, 2500)).fit()


def test_a_black_level_near_zero_is_refused(make_sensor, calibrate):
    with pytest.raises(OffsetTooLow, match="Raise the camera's offset"):
        calibrate(make_sensor(size=48, offset=3.0)).fit()


def test_pixels_dead_at_zero_are_no_reason_to_refuse(make_sensor, calibrate):
    sensor = make_sensor(size=48)
    calibration = SensorCalibration(bit_depth=12)
    for mean_e in (0, 300, 600, 900, 1200):
        frames = list(sensor.frames(60 if mean_e == 0 else 8, mean_e=mean_e))
        for frame in frames:
            frame[5:8, 5:8] = 0
        calibration.add(frames, exposure_s=0.01, light=float(mean_e))
    fit = calibration.fit()
    stuck = (fit.defects & Defect.STUCK) > 0
    assert stuck[5:8, 5:8].all()
    assert stuck.sum() == 9
    assert np.array_equal(fit.noise.defects, stuck)


def test_pixels_blind_to_light_are_dead(make_sensor, calibrate):
    sensor = make_sensor(size=48)
    sensor.responsivity[[4, 20, 33], [7, 30, 9]] = 0.02
    fit = calibrate(sensor).fit()
    dead = (fit.defects & Defect.DEAD) > 0
    assert dead.sum() == 3
    assert fit.noise.defects[20, 30]


def test_data_shifted_to_the_left_is_refused(make_sensor):
    sensor = make_sensor(size=32)
    calibration = SensorCalibration(bit_depth=16)
    for mean_e in (0, 300, 900):
        frames = (frame << 4 for frame in sensor.frames(20, mean_e=mean_e))
        calibration.add(frames, exposure_s=0.01, light=float(mean_e))
    with pytest.raises(CodesMissing, match=r"steps of 16 ADU.*4\.0 bits.*Divide the counts by 16"):
        calibration.fit()


def test_a_second_gain_is_found_and_kept_out(make_sensor, calibrate):
    sensor = make_sensor(second_gain=(1600.0, 16))
    fit = calibrate(sensor).fit()
    (sentence,) = (w.sentence for w in fit.warnings if w.name == "dual_gain")
    assert "above 16" in sentence
    assert max(point.signal for point in fit.curve) < 1500
    assert abs(gain_error(fit)) < 4 * fit.gain_se / fit.gain


def test_a_change_of_slope_is_a_misfit(make_sensor):
    sensor, calibration = make_sensor(), SensorCalibration(bit_depth=12)
    other = make_sensor(gain=1.2, seed=1)
    calibration.add(sensor.frames(50), exposure_s=0.01, light=0.0)
    for mean_e in (200, 400, 600):
        calibration.add(sensor.frames(8, mean_e=mean_e), exposure_s=0.01, light=float(mean_e))
    for mean_e in (1800, 2200):
        calibration.add(other.frames(8, mean_e=mean_e), exposure_s=0.01, light=float(mean_e))
    assert calibration.fit().warned("misfit")


@pytest.mark.parametrize(
    ("amplitude_e", "probability"), [(6.0, 0.2), (12.0, 0.05), (8.0, 0.5)], ids=str
)
def test_telegraph_pixels_are_masked(make_sensor, calibrate, amplitude_e, probability):
    pixels = [(5 * i, 7 * i % 90) for i in range(12)]
    sensor = make_sensor(telegraph=dict.fromkeys(pixels, (amplitude_e, probability)))
    fit = calibrate(sensor, darks=500).fit()
    telegraph = (fit.defects & Defect.TELEGRAPH) > 0
    quiet = [p for p in pixels if sensor.read_noise[p] < 2]
    assert all(telegraph[p] for p in quiet)
    assert telegraph.sum() <= len(pixels) + 1
    assert fit.warned("telegraph_pixels")


def test_slow_switching_is_telegraph_too(make_sensor, calibrate):
    sensor = make_sensor()
    calibration = calibrate(sensor, darks=2)
    darks = list(sensor.frames(200))
    for frame in darks[100:]:
        frame[40, 40] += 8
    calibration.add(darks, exposure_s=0.01, light=0.0)
    fit = calibration.fit()
    assert fit.defects[40, 40] & Defect.TELEGRAPH


def test_no_darks_is_refused(make_sensor, calibrate):
    with pytest.raises(NoDarks, match=r"light=0\.0"):
        calibrate(make_sensor(size=16), darks=1).fit()


def test_no_light_is_refused(make_sensor, calibrate):
    with pytest.raises(NoUsableLevels, match="0 lit levels"):
        calibrate(make_sensor(size=16), means_e=()).fit()


def test_noise_that_does_not_grow_with_light_is_refused():
    rng, calibration = np.random.default_rng(0), SensorCalibration(bit_depth=12)
    for level in (0, 1, 2, 3):
        frames = np.rint(100 + 500 * level + 3 * rng.standard_normal((20, 24, 24)))
        calibration.add(frames.astype(np.uint16), exposure_s=0.01, light=float(level))
    with pytest.raises(GainNotFound, match="no shot noise"):
        calibration.fit()


def test_every_refusal_is_one_family():
    assert all(issubclass(c, CalibrationRefused) for c in (NoDarks, OffsetTooLow, CodesMissing))


@pytest.mark.parametrize(
    ("capture", "name"),
    [
        ({"darks": 10}, "few_darks"),
        ({"means_e": (20, 40)}, "gain_uncertain"),
        ({"means_e": (500, 900)}, "linearity_unknown"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_thin_data_is_named(make_sensor, calibrate, capture, name):
    assert calibrate(make_sensor(size=24), **capture).fit().warned(name)


def test_darks_of_another_exposure_are_named(make_sensor):
    sensor, calibration = make_sensor(size=24), SensorCalibration(bit_depth=12)
    calibration.add(sensor.frames(30, exposure_s=1.0), exposure_s=1.0, light=0.0)
    for mean_e in (300, 900):
        calibration.add(sensor.frames(8, mean_e=mean_e), exposure_s=0.01, light=float(mean_e))
    assert calibration.fit().warned("dark_exposure_differs")


def test_read_noise_hidden_by_rounding_is_named(make_sensor, calibrate):
    sensor = make_sensor(size=48, gain=0.2)
    assert calibrate(sensor).fit().warned("read_noise_below_rounding")


def test_pixels_replaced_by_their_neighbours_are_noticed(make_sensor):
    sensor, calibration = make_sensor(), SensorCalibration(bit_depth=12)
    replaced = np.zeros((sensor.size, sensor.size), bool)
    replaced[8:90:10, 5:90:11] = True
    for mean_e in (0, 300, 600, 900, 1200):
        frames = []
        for frame in sensor.frames(100 if mean_e == 0 else 8, mean_e=mean_e):
            padded = np.pad(frame.astype(int), 1, mode="edge")
            sides = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
            frames.append(np.where(replaced, sides // 4, frame).astype(np.uint16))
        calibration.add(frames, exposure_s=0.01, light=float(mean_e))
    (sentence,) = (
        w.sentence for w in calibration.fit().warnings if w.name == "pixel_interpolation"
    )
    count = int(sentence.split()[0])
    assert 0.8 * replaced.sum() < count <= replaced.sum() + 1


def test_light_and_dark_exchanged_is_refused(make_sensor):
    sensor, calibration = make_sensor(size=24), SensorCalibration(bit_depth=12)
    for light, mean_e in ((0.0, 800), (1.0, 300), (2.0, 0)):
        calibration.add(sensor.frames(10, mean_e=mean_e), exposure_s=0.01, light=light)
    with pytest.raises(GainNotFound, match=r"no lit level is brighter.*check that light=0\.0"):
        calibration.fit()


def test_copies_of_one_frame_are_refused(make_sensor):
    sensor, calibration = make_sensor(size=24), SensorCalibration(bit_depth=12)
    for mean_e in (0, 300, 900):
        (frame,) = sensor.frames(1, mean_e=mean_e)
        calibration.add([frame] * 10, exposure_s=0.01, light=float(mean_e))
    with pytest.raises(GainNotFound, match="copies"):
        calibration.fit()


@pytest.mark.parametrize("shape", [(1, 400), (1, 1), (2, 3)], ids=str)
def test_tiny_frames_end_in_a_result_or_a_refusal(make_sensor, calibrate, shape):
    sensor, calibration = make_sensor(size=32), SensorCalibration(bit_depth=12)
    for mean_e in (0, 300, 600, 900):
        frames = sensor.frames(60, mean_e=mean_e)
        cropped = (np.resize(frame, shape) for frame in frames)
        calibration.add(cropped, exposure_s=0.01, light=float(mean_e))
    try:
        fit = calibration.fit()
    except CalibrationRefused:
        return
    assert fit.offset.shape == shape
    assert np.isfinite(fit.read_noise_se).all()
