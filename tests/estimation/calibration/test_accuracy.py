"""The estimates against the truth of a simulated sensor; tolerances are 4 to 5 standard errors.

The full-size claims (256 x 256, 20 seeds) are in `benchmarks/calibration_accuracy.py`.
"""

from __future__ import annotations

import numpy as np
import pytest

from estimation.calibration import Defect, SensorCalibration

TRUE_GAIN = 2.17


@pytest.fixture(scope="module")
def fitted(request):
    """A sensor of 128 x 128 calibrated in full: four dark exposures, a ladder past saturation."""
    import simulated_sensor

    sensor = simulated_sensor.SimulatedSensor(size=128, seed=3)
    calibration = SensorCalibration(bit_depth=12)
    for exposure_s in (0.0, 1.0, 2.0, 4.0):
        calibration.add(sensor.frames(64, exposure_s=exposure_s), exposure_s=exposure_s, light=0.0)
    for mean_e in (*range(100, 1501, 200), 2200):
        calibration.add(sensor.frames(6, mean_e=mean_e), exposure_s=0.01, light=float(mean_e))
    return sensor, calibration.fit()


def test_gain_and_its_error(fitted):
    _, fit = fitted
    assert abs(fit.gain - TRUE_GAIN) < 4 * fit.gain_se
    # shot noise of 8 levels x 5 degrees of freedom x 128^2 pixels
    assert fit.gain_se / TRUE_GAIN == pytest.approx((2 / (8 * 5 * 128**2)) ** 0.5, rel=0.15)


@pytest.mark.parametrize(
    ("name", "truth"),
    [
        ("offset", lambda s: s.offsets),
        ("read_noise", lambda s: s.read_noise),
        ("responsivity", lambda s: s.responsivity / s.responsivity.mean()),
        ("dark_current", lambda s: s.dark_current),
    ],
)
def test_maps_pull_with_unit_spread(fitted, name, truth):
    sensor, fit = fitted
    pull = (getattr(fit, name) - truth(sensor)) / getattr(fit, f"{name}_se")
    # the error of a read noise is taken at the estimate, so low ones pull a little harder
    assert np.std(pull) == pytest.approx(1, abs=0.08 if name == "read_noise" else 0.05)
    assert abs(np.median(pull)) < 0.12  # the gain's own error moves e- maps together


def test_read_noise_of_noisy_pixels_is_not_pulled_to_the_others(fitted):
    sensor, fit = fitted
    noisy = sensor.read_noise > 3
    assert np.mean(fit.read_noise[noisy] / sensor.read_noise[noisy]) == pytest.approx(1, abs=0.03)


def test_scalars(fitted):
    sensor, fit = fitted
    assert fit.prnu == pytest.approx(sensor.responsivity.std(), rel=0.03)
    assert fit.dsnu == pytest.approx(sensor.offsets.std() / TRUE_GAIN, rel=0.02)
    assert fit.linearity_error < 0.005
    assert fit.saturation == 4095
    threshold_e = np.sqrt(np.mean(sensor.read_noise**2)) + 0.5
    assert fit.dynamic_range == pytest.approx((4095 - 100) / TRUE_GAIN / threshold_e, rel=0.02)


def test_every_hot_pixel_is_flagged_and_few_others(fitted):
    sensor, fit = fitted
    hot, flagged = sensor.dark_current > 5, (fit.defects & Defect.HOT) > 0
    assert hot.sum() > 10
    assert not (hot & ~flagged).any()
    assert (flagged & ~hot).mean() <= 1e-4


def test_hot_and_noisy_pixels_stay_in_use(fitted):
    _, fit = fitted
    assert (fit.defects & (Defect.HOT | Defect.NOISY)).any()
    assert not fit.noise.defects.any()


def test_noise_predicts_the_variance_of_new_frames(fitted):
    sensor, fit = fitted
    shots = np.stack(list(sensor.frames(200, mean_e=40, exposure_s=0.5))).astype(float)
    noise = fit.noise.at_exposure(500.0)
    signal_e = 40 * fit.responsivity + noise.dark_electrons + noise.read_noise**2
    predicted = noise.gain**2 * signal_e + 1 / 12
    ratio = shots.var(axis=0, ddof=1) / predicted
    assert np.mean(ratio) == pytest.approx(1, abs=4 * np.sqrt(2 / 199 / 128**2) + 0.004)


def test_offset_of_the_noise_is_the_dark_mean_of_new_frames(fitted):
    sensor, fit = fitted
    darks = np.stack(list(sensor.frames(200, exposure_s=2.0))).mean(axis=0)
    pattern = fit.noise.at_exposure(2000.0).fixed_pattern(128, 128)
    usual = sensor.dark_current < 5
    assert np.mean((darks - pattern.offset)[usual]) == pytest.approx(0, abs=0.02)


def test_fit_is_the_same_whatever_the_order_of_calls(make_sensor):
    sensor = make_sensor(size=32)
    darks = list(sensor.frames(30))
    lit = {m: list(sensor.frames(4, mean_e=m)) for m in (200, 500, 900)}
    one, other = SensorCalibration(bit_depth=12), SensorCalibration(bit_depth=12)
    one.add(darks, exposure_s=0.01, light=0.0)
    for mean_e, frames in lit.items():
        one.add(frames, exposure_s=0.01, light=float(mean_e))
        half = SensorCalibration(bit_depth=12)
        half.add(frames, exposure_s=0.01, light=float(mean_e))
        other = half.merge(other)
    other.add(darks, exposure_s=0.01, light=0.0)
    a, b = one.fit(), other.fit()
    assert a.gain == b.gain
    for name in ("offset", "read_noise", "responsivity", "responsivity_se", "defects"):
        assert np.array_equal(getattr(a, name), getattr(b, name))


def test_levels_of_unknown_flux_give_the_gain(make_sensor):
    sensor = make_sensor()
    calibration = SensorCalibration(bit_depth=12)
    calibration.add(sensor.frames(50), exposure_s=0.01, light=0.0)
    for index, mean_e in enumerate((300, 700, 1100, 1400)):
        calibration.add(sensor.frames(8, mean_e=mean_e), exposure_s=0.01, light=f"lamp {index}")
    fit = calibration.fit()
    assert abs(fit.gain - TRUE_GAIN) < 4 * fit.gain_se < 0.03
    assert fit.linearity_error is None
    assert fit.warned("linearity_unknown")


def test_exposure_series_of_one_label_is_linear(make_sensor):
    sensor = make_sensor()
    calibration = SensorCalibration(bit_depth=12)
    for exposure_s in (0.01, 0.02, 0.04):
        calibration.add(sensor.frames(50, exposure_s=exposure_s), exposure_s=exposure_s, light=0.0)
        lit = sensor.frames(8, mean_e=30000 * exposure_s, exposure_s=exposure_s)
        calibration.add(lit, exposure_s=exposure_s, light="lamp")
    assert calibration.fit().linearity_error < 0.003


def test_a_bent_response_is_noticed(make_sensor):
    sensor = make_sensor(size=64)
    calibration = SensorCalibration(bit_depth=12)
    calibration.add(sensor.frames(50), exposure_s=0.01, light=0.0)
    for flux in (200, 500, 800, 1100, 1400):
        bent_e = flux * (1 - flux / 20000)
        calibration.add(sensor.frames(8, mean_e=bent_e), exposure_s=0.01, light=float(flux))
    fit = calibration.fit()
    assert fit.linearity_error > 0.01
    assert fit.warned("not_linear")


def test_read_variance_of_a_short_exposure_series_has_no_bias(make_sensor):
    sensor = make_sensor(size=160)
    calibration = SensorCalibration(bit_depth=12)
    for exposure_s in (0.0, 1.0, 2.0, 4.0):
        calibration.add(sensor.frames(8, exposure_s=exposure_s), exposure_s=exposure_s, light=0.0)
    for mean_e in (500, 1000):
        calibration.add(sensor.frames(4, mean_e=mean_e), exposure_s=0.01, light=float(mean_e))
    fit = calibration.fit()
    usual = (sensor.dark_current < 5) & (sensor.read_noise < 3)
    ratio = (fit.read_noise * fit.gain)[usual] / (sensor.read_noise * TRUE_GAIN)[usual]
    # the variance of a pixel scatters by 0.28, so their mean by 0.28 / 160
    assert np.mean(ratio**2) == pytest.approx(1, abs=4 * 0.28 / 160)


def test_noise_carries_what_is_uncertain_in_all_pixels_alike(fitted):
    sensor, fit = fitted
    assert fit.noise.gain_standard_error == fit.gain_se
    # 256 darks x 128^2 pixels; the frame mean has 2.9 ADU / 128 of noise, no wander
    usual_adu = np.sqrt(np.mean((TRUE_GAIN * sensor.read_noise) ** 2 + TRUE_GAIN**2 * 0.9))
    assert fit.noise.offset_standard_error == pytest.approx(usual_adu / 128 / 16, rel=0.25)
    assert 0 < fit.noise.read_noise_standard_error < 0.001


def test_a_wandering_black_level_is_an_error_of_the_offset(make_sensor, calibrate):
    calibration = calibrate(make_sensor(), darks=2)
    calibration.add(make_sensor().frames(60, black_drift_adu=0.1), exposure_s=0.01, light=0.0)
    noise = calibration.fit().noise
    assert noise.offset_standard_error == pytest.approx(0.1 * 60 / 12**0.5 / 60**0.5, rel=0.1)


def test_pixels_alike_in_gain_get_no_gain_map(fitted):
    _, fit = fitted
    assert fit.gain_map is None
    assert fit.noise.gain.ndim == 0


@pytest.fixture(scope="module")
def two_amplifiers():
    """Columns read by two amplifiers 8 % apart, 10 levels x 200 frames: 3 % a pixel."""
    import simulated_sensor

    gain = np.where(np.arange(64) % 2, 2.17, 2.35) * np.ones((64, 64))
    sensor = simulated_sensor.SimulatedSensor(size=64, gain=gain)
    calibration = SensorCalibration(bit_depth=12)
    calibration.add(sensor.frames(400), exposure_s=0.01, light=0.0)
    for mean_e in range(120, 1201, 120):
        calibration.add(sensor.frames(200, mean_e=mean_e), exposure_s=0.01, light=float(mean_e))
    return sensor, calibration.fit()


def test_a_gain_map_is_made_when_the_frames_carry_it(two_amplifiers):
    sensor, fit = two_amplifiers
    assert fit.gain_spread == pytest.approx(sensor.gain.std(), rel=0.1)
    shrunk_rms = np.sqrt(np.mean((fit.gain_map / sensor.gain - 1) ** 2))
    assert shrunk_rms < 0.9 * np.std(sensor.gain) / np.mean(sensor.gain)
    assert np.mean(fit.gain_map) == pytest.approx(np.mean(sensor.gain), rel=0.004)


def test_a_gain_map_keeps_signal_and_noise_consistent(two_amplifiers):
    sensor, fit = two_amplifiers
    noise = fit.noise
    relative = sensor.responsivity * sensor.gain
    seen = noise.gain * noise.responsivity
    assert np.std(seen / relative) / np.mean(seen / relative) < 0.002
    in_adu = noise.read_noise * noise.gain / (sensor.read_noise * sensor.gain)
    assert np.median(in_adu) == pytest.approx(1, abs=0.005)


def test_responsivity_errors_hold_the_offset_s(make_sensor, calibrate):
    sensor = make_sensor(hot_share=0.0)
    fit = calibrate(sensor, darks=3, means_e=(60,), frames=200).fit()
    error = fit.responsivity - sensor.responsivity / sensor.responsivity.mean()
    usual = sensor.read_noise < 3
    assert np.sqrt(np.mean((error / np.median(fit.responsivity_se))[usual] ** 2)) < 1.15


def test_pixels_only_just_hot_are_not_missed(make_sensor):
    sensor, calibration = make_sensor(size=48), SensorCalibration(bit_depth=12)
    sensor.dark_current[::7, ::5] = 5.02
    for exposure_s in (0.0, 2.0, 4.0):
        darks = sensor.frames(32, exposure_s=exposure_s)
        calibration.add(darks, exposure_s=exposure_s, light=0.0)
    calibration.add(sensor.frames(30, mean_e=800), exposure_s=0.0, light=1.0)
    flagged = (calibration.fit().defects & Defect.HOT) > 0
    assert flagged[::7, ::5].all()


def test_a_sensor_without_dark_current_gets_none_that_is_negative(make_sensor):
    sensor, calibration = (
        make_sensor(dark_median=0.0, hot_share=0.0),
        SensorCalibration(bit_depth=12),
    )
    for exposure_s in (0.0, 2.0, 4.0):
        darks = sensor.frames(32, exposure_s=exposure_s)
        calibration.add(darks, exposure_s=exposure_s, light=0.0)
    calibration.add(sensor.frames(30, mean_e=800), exposure_s=0.0, light=1.0)
    fit = calibration.fit()
    assert abs(fit.dark_current.mean()) < 0.01  # the map itself is not clipped
    assert fit.noise.dark_current.min() == 0
    assert np.mean(fit.noise.offset - sensor.offsets) == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize("darks", [20, 100])
def test_the_logarithm_of_the_scores_read_noise_has_no_bias(make_sensor, calibrate, darks):
    sensor = make_sensor(size=128)
    fit = calibrate(sensor, darks=darks, frames=8).fit()
    good = ~fit.noise.defects & (sensor.read_noise < 3)
    errors = np.log(fit.noise.read_noise * fit.gain / (sensor.read_noise * sensor.gain))[good]
    # without the correction -1/2 (ln - digamma)(nu / 2) = -1 / (2 nu): -.026 and -.005
    allowed = 4 * errors.std() / np.sqrt(errors.size)
    assert abs(errors.mean()) < allowed < 1 / (2 * darks)


def test_the_error_of_linearity_is_that_of_a_level_s_mean(make_sensor):
    errors, reported = [], []
    for seed in range(12):
        sensor, calibration = make_sensor(size=32, seed=seed), SensorCalibration(bit_depth=12)
        calibration.add(sensor.frames(400), exposure_s=0.01, light=0.0)
        for light in (1, 2, 3, 4, 5):
            frames = sensor.frames(20, mean_e=300 * light, flicker=0.01)
            calibration.add(frames, exposure_s=0.01, light=float(light))
        fit = calibration.fit()
        errors.append(fit.linearity_error)
        reported.append(fit.linearity_error_se)
    # the lamp's .01 / sqrt(20) is the whole of it; the worst of five levels is 1.2 times that
    assert np.mean(reported) == pytest.approx(0.01 / np.sqrt(20), rel=0.15)
    assert 0.7 < np.mean(errors) / np.mean(reported) < 2


def test_a_level_in_which_some_pixels_saturate_says_nothing_of_linearity(make_sensor, calibrate):
    sensor = make_sensor()
    shading = np.where(np.arange(sensor.size) < 30, 2.0, 0.3)[:, None]
    fit = calibrate(sensor, means_e=(200, 400, 600, 800, 1800), frames=8, shading=shading).fit()
    assert fit.saturation == 4095
    assert fit.linearity_error < 0.003
    assert abs(fit.gain / 2.17 - 1) < 4 * fit.gain_se / fit.gain


def test_quiet_pixels_of_a_dim_scene_are_not_called_interpolated(make_sensor, calibrate):
    sensor = make_sensor(size=128)
    sensor.read_noise *= np.exp(0.15 * np.random.default_rng(5).standard_normal((128, 128)))
    for seed in range(3):
        sensor.rng = np.random.default_rng(seed)
        fit = calibrate(sensor, darks=200, means_e=(20, 40, 80, 160), frames=8).fit()
        assert not fit.warned("pixel_interpolation")
