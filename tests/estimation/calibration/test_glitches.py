"""Frames that are none, lines that move as a whole, cameras that help themselves."""

from __future__ import annotations

import numpy as np
import pytest

from estimation.calibration import AutomaticGain, SensorCalibration

TRUE_GAIN = 2.17
LADDER = range(100, 1501, 100)


def black(frames, at):
    frames[at] = np.full_like(frames[at], 100)


def torn_black(frames, at):
    frames[at][60:] = 100


def torn_from_the_frame_before(frames, at):
    frames[at][30:] = frames[at - 1][30:]


def sent_twice(frames, at):
    frames[at] = frames[at - 1]


def flashed(frames, at):
    frames[at] = np.minimum(2 * frames[at].astype(int), 4095).astype(np.uint16)


def ladder(sensor, *, frames=8, darks=100, spoil=None, **lit):
    calibration = SensorCalibration(bit_depth=12)
    calibration.add(sensor.frames(darks), exposure_s=0.01, light=0.0)
    for mean_e in LADDER:
        level = list(sensor.frames(frames, mean_e=mean_e, **lit))
        if spoil is not None and mean_e in {300, 900}:
            spoil(level, frames // 2)
        calibration.add(level, exposure_s=0.01, light=float(mean_e))
    return calibration


GLITCHES = [black, torn_black, torn_from_the_frame_before, sent_twice, flashed]


@pytest.mark.parametrize("frames", [8, 20])
@pytest.mark.parametrize("spoil", GLITCHES, ids=lambda spoil: spoil.__name__)
def test_a_bad_frame_in_the_middle_of_a_level_is_left_out_and_told(make_sensor, spoil, frames):
    calibration = ladder(make_sensor(), frames=frames, spoil=spoil)
    fit = calibration.fit()
    # A black frame of eight makes the level's variance 100 times too large.
    assert abs(fit.gain / TRUE_GAIN - 1) < 4 * fit.gain_se / fit.gain < 0.02
    assert calibration.levels[0.01, 300.0] == frames - 1
    (told,) = (w.sentence for w in fit.warnings if w.name == "glitch_frames")
    repeats = spoil in (torn_from_the_frame_before, sent_twice)
    numbers = "0 black, torn or flashed frames and 2 rep" if repeats else "2 black, torn or fl"
    assert told.startswith(numbers)
    assert "light 300.0 at 0.01 s, light 900.0 at 0.01 s" in told


@pytest.mark.parametrize("at", [0, 9, 17, 49])
def test_a_bad_frame_is_found_wherever_it_is(make_sensor, at):
    sensor, calibration = make_sensor(), SensorCalibration(bit_depth=12)
    darks = list(sensor.frames(50))
    darks[at] = np.full_like(darks[at], 900)
    calibration.add(darks, exposure_s=0.01, light=0.0)
    assert calibration.levels == {(0.01, 0.0): 49}


@pytest.mark.parametrize(
    "lit",
    [{}, {"flicker": 0.005}, {"flicker": 0.08}, {"drift": 3e-3}, {"black_drift_adu": 0.5}],
    ids=str,
)
def test_no_sound_frame_is_left_out(make_sensor, lit):
    calibration = ladder(make_sensor(), frames=30, darks=30, **lit)
    assert set(calibration.levels.values()) == {30}


def test_a_camera_without_noise_does_not_repeat_itself(make_sensor):
    calibration = SensorCalibration(bit_depth=12)
    rng = np.random.default_rng(0)
    quiet = np.rint(100 + 0.15 * rng.standard_normal((40, 64, 64))).astype(np.uint16)
    calibration.add(quiet, exposure_s=0.01, light=0.0)
    assert calibration.levels == {(0.01, 0.0): 40}


@pytest.mark.parametrize("frames", [2, 3, 12])
@pytest.mark.parametrize("full_well_adu", [None, 3300.0], ids=["converter", "full-well"])
def test_saturated_frames_do_not_repeat_each_other(make_sensor, frames, full_well_adu):
    sensor, calibration = make_sensor(full_well_adu=full_well_adu), SensorCalibration(bit_depth=12)
    shading = np.linspace(0.2, 2.0, sensor.size)[:, None]
    calibration.add(sensor.frames(frames, mean_e=1800, shading=shading), exposure_s=0.01, light=1.0)
    assert calibration.levels == {(0.01, 1.0): frames}


def test_the_count_of_bad_frames_is_saved_and_merged(make_sensor, tmp_path):
    sensor = make_sensor(size=48)
    first, second = (ladder(sensor, spoil=black) for _ in range(2))
    first.save(tmp_path / "state.npz")
    both = SensorCalibration.load(tmp_path / "state.npz").merge(second)
    (told,) = (w.sentence for w in both.fit().warnings if w.name == "glitch_frames")
    assert told.startswith("4 black")


# ---- rows and columns


@pytest.mark.parametrize("axis", ["row", "column"])
def test_lines_that_move_as_a_whole_are_found_with_their_size(make_sensor, axis):
    sensor, calibration = make_sensor(), SensorCalibration(bit_depth=12)
    rng = np.random.default_rng(3)
    line = (96, 1) if axis == "row" else (1, 96)
    for mean_e in (0, 300, 600, 900, 1200):
        frames = np.stack(list(sensor.frames(100 if mean_e == 0 else 8, mean_e=mean_e)))
        moved = frames + TRUE_GAIN * 0.3 * rng.standard_normal((len(frames), *line))
        moved += rng.random(frames.shape) - 0.5  # else a whole line is rounded alike
        calibration.add(np.rint(moved).astype(np.uint16), exposure_s=0.01, light=float(mean_e))
    fit = calibration.fit()
    found = {"row": fit.row_noise, "column": fit.column_noise}
    # Known to 1 / sqrt(2 x 99 x 96) of itself.
    assert found.pop(axis) == pytest.approx(0.3, rel=0.04)
    assert next(iter(found.values())) < 0.05
    assert fit.warned(f"{axis}_noise")
    assert abs(fit.gain / TRUE_GAIN - 1) < 0.01


def test_independent_pixels_have_no_noise_of_lines(make_sensor):
    fit = ladder(make_sensor()).fit()
    assert not fit.warned("row_noise")
    assert not fit.warned("column_noise")
    assert max(fit.row_noise, fit.column_noise) < 0.05


# ---- a camera that changes gain or exposure by itself


def test_auto_exposure_is_refused(make_sensor):
    sensor, calibration = make_sensor(size=48), SensorCalibration(bit_depth=12)
    calibration.add(sensor.frames(50), exposure_s=0.01, light=0.0)
    for light in (1, 2, 4, 8):  # eight times the light, 6 % more signal
        frames = sensor.frames(8, mean_e=800 * light**0.03)
        calibration.add(frames, exposure_s=0.01, light=float(light))
    with pytest.raises(AutomaticGain, match=r"8 times the light gives 1\.06 times the signal.*off"):
        calibration.fit()


def test_auto_gain_that_switches_is_refused(make_sensor):
    calibration = SensorCalibration(bit_depth=12)
    low, high = make_sensor(size=48, gain=0.8), make_sensor(size=48, gain=2.17)
    calibration.add(high.frames(50), exposure_s=0.01, light=0.0)
    for mean_e in (200, 400, 600, 800, 1000, 1200):
        sensor = high if mean_e < 700 else low
        calibration.add(sensor.frames(8, mean_e=mean_e), exposure_s=0.01, light=float(mean_e))
    with pytest.raises(AutomaticGain, match=r"falling in between.*auto-gain"):
        calibration.fit()


def test_a_bent_response_is_no_auto_gain(make_sensor):
    sensor, calibration = make_sensor(size=48), SensorCalibration(bit_depth=12)
    calibration.add(sensor.frames(50), exposure_s=0.01, light=0.0)
    for light in (1, 2, 4, 8):
        calibration.add(sensor.frames(8, mean_e=200 * light**0.8), exposure_s=0.01, light=light)
    assert calibration.fit().warned("not_linear")


def test_few_counts_at_zero_are_named(make_sensor):
    sensor, calibration = make_sensor(size=48), SensorCalibration(bit_depth=12)
    darks = list(sensor.frames(100))
    for frame in darks[:10]:
        frame[0, :5] = 0  # 50 of 230400: 2e-4, between noted and refused
    calibration.add(darks, exposure_s=0.01, light=0.0)
    for mean_e in (300, 600, 900):
        calibration.add(sensor.frames(8, mean_e=mean_e), exposure_s=0.01, light=float(mean_e))
    assert calibration.fit().warned("near_zero")
