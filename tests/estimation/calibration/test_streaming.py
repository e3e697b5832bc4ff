"""Sums are exact: any order, any split, merged, saved and resumed, they are one batch."""

from __future__ import annotations

import numpy as np
import pytest

from estimation.calibration import SensorCalibration
from estimation.calibration.moments import read_moments
from estimation.calibration.sums import LAGS, LevelSums, sampled, sampled_counts
from estimation.errors import CalibrationMismatch, InvalidCalibration, InvalidMeasurements


@pytest.fixture(params=[8, 12, 16], ids=lambda bits: f"{bits}bit")
def stack(request, rng):
    top = 2**request.param - 1
    frames = rng.integers(top // 3, top + 1, size=(21, 20, 30)).astype(np.uint16)
    frames[:, 3, 4] = top  # a pixel that never changes
    return request.param, frames


def level_of(bit_depth, frames, light=0.0):
    calibration = SensorCalibration(bit_depth=bit_depth)
    calibration.add(iter(frames), exposure_s=0.1, light=light)
    return calibration._levels[0.1, light]


def test_moments_equal_those_of_the_stack(stack):
    bit_depth, frames = stack
    moments = read_moments(level_of(bit_depth, frames), exposure_s=0.1, light=0.0)
    exact = frames.astype(np.longdouble)
    deviation = exact - exact.mean(axis=0)
    totals = exact.mean(axis=(1, 2))
    step2 = np.diff(exact, axis=0) ** 2
    expected = {
        "mean": exact.mean(axis=0),
        "variance": exact.var(axis=0, ddof=1),
        "step_variance": step2.mean(axis=0) / 2,
        "common": totals.var(ddof=1),
        "step_common": (np.diff(totals) ** 2).mean() / 2,
    }
    for name, value in expected.items():
        np.testing.assert_allclose(getattr(moments, name), value.astype(float), rtol=1e-12)
    second = (deviation**2).mean(axis=0)
    fourth = (deviation**4).mean(axis=0) - 3 * second**2
    scale = float(second.max())
    third = (deviation**3).mean(axis=0)
    np.testing.assert_allclose(moments.skew, third.astype(float), atol=1e-12 * scale**1.5)
    np.testing.assert_allclose(moments.kurtosis, fourth.astype(float), atol=1e-12 * scale**2)


def test_variance_is_exact_on_a_high_pedestal():
    frames = 65000 + np.arange(1000)[:, None, None] % 2 * np.ones((2, 3), int)
    moments = read_moments(level_of(16, frames.astype(np.uint16)), exposure_s=0.1, light=0.0)
    np.testing.assert_allclose(moments.variance, 0.25 * 1000 / 999, rtol=1e-14)


def test_neighbour_covariances_equal_those_of_the_stack(rng):
    frames = rng.integers(0, 4096, size=(5, 20, 30)).astype(np.uint16)
    moments = read_moments(level_of(12, frames), exposure_s=0.1, light=0.0)
    steps = np.diff(frames.astype(float), axis=0)
    common = np.mean(steps.mean(axis=(1, 2)) ** 2)
    diagonal = np.mean(steps[:, :-1, 1:] * steps[:, 1:, :-1])
    assert moments.neighbours[LAGS.index((1, -1))] == pytest.approx((diagonal - common) / 2)
    down = np.mean(steps[:, :-1] * steps[:, 1:])
    assert moments.neighbours[LAGS.index((1, 0))] == pytest.approx((down - common) / 2)


def test_large_frames_are_sampled_in_bands():
    assert sampled(np.empty((1024, 2048), np.uint16)).shape == (8, 16, 2048)
    assert sampled_counts((1024, 2048))[3] == 8 * 15 * 2047


def state(calibration, tmp_path, name):
    calibration.save(tmp_path / name)
    with np.load(tmp_path / name) as archive:
        return {key: archive[key].tobytes() for key in archive.files}


def calls(stack):
    frames = stack[1]
    return [(frames[:9], 0.0), (frames[9:11], "lamp"), (frames[11:], 0.0), (frames[4:17], 2.0)]


def gathered(bit_depth, some_calls):
    calibration = SensorCalibration(bit_depth=bit_depth)
    for frames, light in some_calls:
        calibration.add(frames, exposure_s=0.1, light=light)
    return calibration


def test_order_of_calls_changes_no_bit(stack, tmp_path):
    one = gathered(stack[0], calls(stack))
    other = gathered(stack[0], calls(stack)[::-1])
    assert state(one, tmp_path, "a.npz") == state(other, tmp_path, "b.npz")


def test_merging_either_way_is_adding_everything(stack, tmp_path):
    bit_depth, parts = stack[0], calls(stack)
    whole = state(gathered(bit_depth, parts), tmp_path, "whole.npz")
    left = gathered(bit_depth, parts[:2]).merge(gathered(bit_depth, parts[2:]))
    right = gathered(bit_depth, parts[2:]).merge(gathered(bit_depth, parts[:2]))
    assert state(left, tmp_path, "l.npz") == whole
    assert state(right, tmp_path, "r.npz") == whole


def test_saved_state_resumes_bit_for_bit(stack, tmp_path):
    bit_depth, parts = stack[0], calls(stack)
    gathered(bit_depth, parts[:2]).save(tmp_path / "half.npz")
    resumed = SensorCalibration.load(tmp_path / "half.npz")
    for frames, light in parts[2:]:
        resumed.add(frames, exposure_s=0.1, light=light)
    whole = state(gathered(bit_depth, parts), tmp_path, "whole.npz")
    assert state(resumed, tmp_path, "resumed.npz") == whole
    assert resumed.levels == {(0.1, 0.0): 19, (0.1, 2.0): 13, (0.1, "lamp"): 2}


def test_a_failing_camera_leaves_the_frames_before_counted():
    def frames():
        for _ in range(11):
            yield np.full((4, 4), 7, np.uint16)
        raise TimeoutError

    calibration = SensorCalibration(bit_depth=12)
    with pytest.raises(TimeoutError):
        calibration.add(frames(), exposure_s=0.1, light=0.0)
    assert calibration.levels == {(0.1, 0.0): 11}


@pytest.mark.parametrize(
    ("frame", "match"),
    [
        (np.ones((4, 4)), "raw integer counts"),
        (np.ones((2, 4, 4), np.uint16), "shape \\(2, 4, 4\\)"),
        (np.full((4, 4), 4096, np.uint16), "12 bits are 0 to 4095"),
        (np.full((4, 4), -1, np.int32), "counts -1 to -1"),
        (np.ones((4, 5), np.uint16), "after frames of \\(4, 4\\)"),
    ],
    ids=["float", "stack", "range", "negative", "shape"],
)
def test_frames_no_sensor_made_are_refused(frame, match):
    calibration = SensorCalibration(bit_depth=12)
    with pytest.raises(InvalidMeasurements, match=match):
        calibration.add([np.ones((4, 4), np.uint16), frame], exposure_s=0.1, light=0.0)


@pytest.mark.parametrize(
    ("key", "match"),
    [
        ({"exposure_s": -1.0, "light": 0.0}, "exposure_s -1"),
        ({"exposure_s": 0.1, "light": float("nan")}, "light nan"),
    ],
    ids=["exposure", "light"],
)
def test_impossible_levels_are_refused(key, match):
    with pytest.raises(InvalidMeasurements, match=match):
        SensorCalibration(bit_depth=12).add([], **key)


def test_other_modes_do_not_merge():
    one, other = SensorCalibration(bit_depth=12), SensorCalibration(bit_depth=11)
    with pytest.raises(CalibrationMismatch, match="do not merge"):
        one.merge(other)


def test_a_foreign_file_is_not_loaded(tmp_path):
    np.savez(tmp_path / "foreign.npz", a=np.arange(3))
    with pytest.raises(InvalidCalibration, match=r"foreign\.npz is not a calibration in progress"):
        SensorCalibration.load(tmp_path / "foreign.npz")


def test_bit_depth_above_16_is_refused():
    with pytest.raises(InvalidCalibration, match="1 to 16"):
        SensorCalibration(bit_depth=17)


def test_sums_start_empty():
    assert LevelSums(shape=(2, 3), bit_depth=12, higher=False).maps.keys() == {"y1", "y2", "d2"}
