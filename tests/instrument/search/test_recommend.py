import math

import numpy as np
import pytest

from instrument.design import DesignSpace
from instrument.search import Observation
from instrument.search import recommend as recommend_module
from instrument.search.recommend import recommend


@pytest.fixture
def one_mode(make_modes):
    return DesignSpace((make_modes("pupil", "rad", 2.0, 1),))


def observed(space, points, scores, errors):
    return [
        Observation(
            trial=trial,
            design=space.from_vector(point),
            score=score,
            standard_error=error,
            cost_s=1.0,
        )
        for trial, (point, score, error) in enumerate(zip(points, scores, errors, strict=True))
    ]


def test_it_finds_the_top_between_the_points(one_mode):
    points = np.linspace(-2, 2, 9)
    scores = -((points - 0.3) ** 2)
    found = recommend(one_mode, observed(one_mode, points[:, None], scores, [1e-3] * 9), seed=0)
    assert one_mode.to_vector(found.design)[0] == pytest.approx(0.3, abs=0.05)
    assert found.score == pytest.approx(0.0, abs=0.05)


def test_what_it_expects_is_off_by_about_what_it_says(one_mode):
    """(expected - true) / deviation has an rms of 1 if the process is right; 30 seeds, 5 sigma."""
    points = np.linspace(-2, 2, 15)
    errors = []
    for seed in range(30):
        noise = np.random.default_rng(seed).normal(0.0, 0.1, size=15)
        scores = np.exp(-((points - 0.3) ** 2)) + noise
        found = recommend(one_mode, observed(one_mode, points[:, None], scores, [0.1] * 15), seed=0)
        truth = math.exp(-((one_mode.to_vector(found.design)[0] - 0.3) ** 2))
        errors.append((found.score - truth) / found.standard_deviation)
    assert 0.3 < math.sqrt(np.mean(np.square(errors))) < 1 + 5 / math.sqrt(2 * 30)


def noisy_case(seed, make_modes, known_bench):
    """Score 12 modes around a start half a radian off; regrets of best observed and recommended."""
    space = DesignSpace((make_modes("pupil", "rad", 2.0, 12),))
    rng = np.random.default_rng(seed)
    optimum = rng.normal(size=12)
    bench = known_bench(
        space=space,
        optimum=0.5 * optimum / np.linalg.norm(optimum),
        shape=lambda r2: math.exp(-r2),
        standard_error=0.05,
        noise_seed=seed,
    )
    points = np.concatenate([np.zeros((1, 12)), rng.normal(0.0, 0.25, size=(94, 12))])
    seen = [bench.observe(trial, space.from_vector(p)) for trial, p in enumerate(points)]
    best = max(seen, key=lambda observation: observation.score).design
    found = recommend(space, seen, seed=0)
    return 1 - bench.true_score(best), 1 - bench.true_score(found.design)


def test_it_cuts_the_regret_of_the_best_observed_at_least_in_half(make_modes, known_bench):
    regrets = np.array([noisy_case(seed, make_modes, known_bench) for seed in range(8)])
    best_observed, recommended = regrets.mean(axis=0)
    assert recommended < best_observed / 2


def test_a_lucky_score_counts_as_little_as_its_error_says(one_mode):
    points = np.linspace(-2, 2, 9)
    scores = -((points + 0.5) ** 2)
    scores[8] += 10.0
    honest = [1e-2] * 8 + [10.0]
    found = recommend(one_mode, observed(one_mode, points[:, None], scores, honest), seed=0)
    assert one_mode.to_vector(found.design)[0] == pytest.approx(-0.5, abs=0.1)


def test_it_stays_among_the_data_when_they_point_outwards(one_mode):
    points = np.linspace(-1.5, 0.5, 7)
    found = recommend(one_mode, observed(one_mode, points[:, None], points, [1e-3] * 7), seed=0)
    assert one_mode.to_vector(found.design)[0] <= 0.5 + 1e-12


def test_the_same_trials_give_the_same_recommendation(make_modes, known_bench):
    assert noisy_case(0, make_modes, known_bench) == noisy_case(0, make_modes, known_bench)


def test_failed_trials_are_skipped(one_mode):
    points = np.linspace(-2, 2, 9)[:, None]
    scores = -((points[:, 0] - 0.3) ** 2)
    whole = observed(one_mode, points, scores, [1e-3] * 9)
    failed = observed(one_mode, [[1.1]], [None], [math.nan])
    assert recommend(one_mode, whole + failed, seed=0) == recommend(one_mode, whole, seed=0)


@pytest.mark.parametrize("scores", [[1.0, 2.0], [1.0, 1.0, 1.0], [None] * 5])
def test_without_differences_there_is_nothing_to_recommend(scores, one_mode):
    points = np.linspace(-2, 2, len(scores))[:, None]
    assert (
        recommend(one_mode, observed(one_mode, points, scores, [0.1] * len(scores)), seed=0) is None
    )


def test_of_thousands_of_trials_it_sees_the_best_and_a_part_of_the_others(one_mode, monkeypatch):
    """The top stays between the points, and the process is fitted to no more than allowed."""
    fitted = []
    fit = recommend_module._fit

    def fit_and_count(units, scores, errors, *, seed):
        fitted.append((units[:, 0], scores))
        return fit(units, scores, errors, seed=seed)

    monkeypatch.setattr(recommend_module, "_fit", fit_and_count)
    monkeypatch.setattr(recommend_module, "MOST_SCORES", 40)
    points = np.random.default_rng(0).uniform(-2, 2, 1000)
    scores = -((points - 0.3) ** 2)
    seen = observed(one_mode, points[:, None], scores, [1e-3] * 1000)
    found = recommend(one_mode, seen, seed=0)
    ((units, kept),) = fitted
    assert len(kept) == 40
    assert one_mode.to_vector(found.design)[0] == pytest.approx(0.3, abs=0.05)
    at = 4 * units - 2
    assert np.sum(np.abs(at - 0.3) < np.sort(np.abs(points - 0.3))[20]) == 20  # the best half
    assert at.min() < -1  # and others from everywhere
    assert at.max() > 1
    assert all(np.isin(np.round(at, 9), np.round(points, 9)))
