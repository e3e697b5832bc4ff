"""The course of a drift: closed forms for constants and lines, and coverage by simulation."""

import numpy as np
import pytest

from instrument.search.course import LONGEST, Course

HOUR_S = 3600.0


def course(times_s, values, error=1.0, group=None):
    groups = np.zeros(len(times_s), int) if group is None else np.array(group)
    return Course(np.array(times_s), np.array(values), np.full(len(times_s), error), groups)


def test_one_measurement_knows_of_no_drift():
    mean, error = course([5.0], [7.0]).at(np.array([0.0, 5.0, 100.0]))
    assert (mean == 0).all()
    assert (error == 0).all()


def test_drift_is_counted_from_the_first_measurement():
    mean, error = course([10.0, 20.0, 30.0], [7.0, 9.0, 4.0]).at(np.array([10.0]))
    assert mean[0] == pytest.approx(0.0)
    assert error[0] == pytest.approx(0.0)


def test_what_stays_as_it_is_has_not_drifted():
    times = np.linspace(0, 10 * HOUR_S, 30)
    mean, error = course(times, np.full(30, 7.0)).at(times)
    np.testing.assert_allclose(mean, 0.0, atol=1e-9)
    assert error.max() < 1.0  # below the error of a single measurement


def test_a_line_without_noise_is_followed_and_continued():
    times = np.linspace(0, 10 * HOUR_S, 12)
    line = course(times, 3.0 - 2.0 * times / HOUR_S, error=1e-4)
    asked = np.array([0.37, 5.11, 10.9]) * HOUR_S
    mean, _ = line.at(asked)
    np.testing.assert_allclose(mean, -2.0 * asked / HOUR_S, atol=1e-3)


def test_before_the_first_measurement_a_line_goes_on_backwards():
    times = np.linspace(1, 10, 10) * HOUR_S
    mean, _ = course(times, 5.0 * times / HOUR_S, error=1e-4).at(np.array([0.0]))
    assert mean[0] == pytest.approx(-5.0, abs=0.01)


def test_two_references_are_one_course():
    times = np.linspace(0, 11, 12)
    group = np.array([0] * 6 + [1] * 6)
    value = 2.0 * times + np.where(group == 1, 100.0, 0.0)
    # Both are measured at the change, so that the second's constant is known.
    times, value, group = (
        np.append(times, 5.0),
        np.append(value, 110.0),
        np.append(group, 1),
    )
    mean, _ = course(times, value, error=0.01, group=group).at(np.array([11.0]))
    assert mean[0] == pytest.approx(22.0, abs=0.1)


def test_between_two_exact_measurements_the_walk_is_a_bridge():
    # Where only the walk explains the values, the mean between them is the chord, and the variance
    # of a Brownian bridge is largest in the middle.
    times = np.arange(9.0)
    zigzag = course(times, np.array([0.0, 4, 0, 4, 0, 4, 0, 4, 0]), error=1e-3)
    mean, error = zigzag.at(np.array([2.25, 2.5, 2.75]))
    np.testing.assert_allclose(mean, [1.0, 2.0, 3.0], atol=0.02)
    assert error[1] > error[0]
    assert error[1] / error[0] == pytest.approx(np.sqrt(0.25 / (0.25 * 0.75)), rel=0.02)


@pytest.mark.parametrize(
    ("slope_sd", "walk_sd"),
    [(0, 0), (10, 0), (0, 10), (30, 5)],
    ids=["still", "line", "walk", "both"],
)
def test_stated_errors_cover_the_truth(slope_sd, walk_sd):
    rng = np.random.default_rng(2)
    times = np.linspace(0, 1, 10)  # nine visits and one beyond the last
    asked = np.concatenate([times, times[:-1] + 0.05])
    grid = np.unique(asked)
    is_visit = np.isin(grid, times[:-1])
    covered = []
    for _ in range(150):
        steps = rng.standard_normal(len(grid) - 1) * np.sqrt(np.diff(grid))
        truth = slope_sd * rng.standard_normal() * grid
        truth[1:] += walk_sd * np.cumsum(steps)
        seen = truth[is_visit] + 5.0 + rng.standard_normal(is_visit.sum())
        mean, error = course(times[:-1], seen).at(grid[1:])
        covered.append(np.abs(mean - truth[1:]) <= 1.96 * error)
    # The points of one simulation share its draws: the standard error of 150 is at most .018, and
    # the coarse grid of sizes costs up to .05 (measured: 1.00, .99, .93, .90).
    assert np.mean(covered) > 0.90 - 3 * 0.018


def test_the_mean_is_no_further_off_than_leaving_the_drift_in():
    rng = np.random.default_rng(3)
    times = np.linspace(0, 1, 10)
    off, left = [], []
    for _ in range(100):
        truth = 10 * rng.standard_normal() * times
        mean, _ = course(times, truth + rng.standard_normal(10)).at(times)
        off.append(np.mean((mean - truth) ** 2))
        left.append(np.mean(truth**2))
    assert np.sqrt(np.mean(off)) < 0.3 * np.sqrt(np.mean(left))
    assert (
        np.sqrt(np.mean(off)) < 1.2
    )  # of the error of one measurement, that of the first included


def test_thousands_of_measurements_are_thinned_and_still_followed():
    rng = np.random.default_rng(4)
    times = np.linspace(0, 1, 5 * LONGEST)
    values = 50 * times + rng.standard_normal(len(times))
    mean, error = course(times, values).at(np.array([0.25, 1.0]))
    assert np.all(np.abs(mean - [12.5, 50.0]) < 4 * error)
    assert error.max() < 1.1


@pytest.mark.parametrize(
    ("values", "error"), [([], 1.0), ([np.nan], 1.0), ([1.0], 0.0)], ids=["none", "NaN", "no error"]
)
def test_what_cannot_be_followed_is_refused(values, error):
    with pytest.raises(ValueError, match="drift"):
        course([0.0] * len(values), values, error)
