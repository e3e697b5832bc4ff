"""The full Gaussian against brute force, and its corrections against Monte Carlo."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from estimation import FullGaussian, GaussianNoise, TooFewObjects, estimate_information
from estimation.density.gaussian import expected_gap, independent_share, wishart_log_det_bias
from estimation.ensemble import prepare


def ensemble_of(values: np.ndarray, patch: int | tuple[int, int] = 4):
    return prepare(values[:, None], GaussianNoise(1.0), patch=patch, seed=0)


@pytest.mark.parametrize(
    ("d", "rows", "bits"),
    [(64, 200, -0.133), (64, 500, -0.049), (256, 1000, -0.102), (1024, 9000, -0.043)],
)
def test_wishart_bias_is_the_published_one(d, rows, bits):
    # reference/information.md, 1.12, in which one degree of freedom goes to the mean
    assert 0.5 * wishart_log_det_bias(rows - 1, d) / np.log(2) == pytest.approx(bits, abs=6e-4)


def test_wishart_bias_is_the_mean_over_draws(rng):
    degrees, d, draws = 9, 4, 20000
    rows = rng.normal(size=(draws, degrees, d))
    log_dets = np.linalg.slogdet(rows.transpose(0, 2, 1) @ rows / degrees)[1] / d
    error = log_dets.std() / np.sqrt(draws)
    assert log_dets.mean() == pytest.approx(wishart_log_det_bias(degrees, d), abs=4 * error)


def test_likelihood_is_the_textbook_one(rng):
    ensemble = ensemble_of(rng.normal(size=(30, 2, 4)).cumsum(axis=2), patch=2)
    fitted = FullGaussian().fit(ensemble)
    covariance = fitted.cholesky @ fitted.cholesky.T
    rows = ensemble.patches()
    expected = [
        -np.mean([
            multivariate_normal(fitted.mean[p], covariance).logpdf(patches[p]) for p in range(2)
        ])
        / 4
        for patches in rows
    ]
    np.testing.assert_allclose(fitted.negative_log_likelihood(ensemble), expected, rtol=1e-10)


@pytest.mark.parametrize("patch", [2, (2, 4), (4, 4)], ids=str)
def test_leave_one_out_is_a_refit_without_that_object(rng, patch):
    ensemble = ensemble_of(rng.normal(size=(40, 4, 8)).cumsum(axis=2), patch)
    everyone = np.arange(40)
    refit = [
        FullGaussian()
        .fit(ensemble.take(np.delete(everyone, k)))
        .negative_log_likelihood(ensemble.take(everyone[k : k + 1]))[0]
        for k in everyone
    ]
    assert FullGaussian().score(ensemble).held_out_nats == pytest.approx(np.mean(refit), rel=1e-9)


def test_gap_of_independent_patches_is_the_expected_one(rng):
    n, positions, d, draws = 12, 3, 4, 300
    gaps = [
        FullGaussian().score(ensemble_of(rng.normal(size=(n, 1, 12)))).diagnostics["fit_gap_nats"]
        for _ in range(draws)
    ]
    error = np.std(gaps) / np.sqrt(draws)
    assert np.mean(gaps) == pytest.approx(
        expected_gap(1.0, n=n, positions=positions, d=d), abs=4 * error
    )


def test_independent_share_inverts_the_expected_gap():
    gap = expected_gap(0.37, n=20, positions=8, d=16)
    assert independent_share(gap, n=20, positions=8, d=16) == pytest.approx(0.37, abs=1e-5)


def test_copied_patches_count_once(rng):
    frames = rng.normal(size=(400, 4, 4))
    copied = np.concatenate([frames, frames], axis=2)
    share = FullGaussian().score(ensemble_of(copied)).diagnostics["independent_share"]
    # The copies are exact, so one half; the gap of 400 x 16 values scatters by a few per cent.
    assert share == pytest.approx(0.5, rel=0.1)


def test_copied_patches_do_not_bias_the_entropy(rng):
    draws, d = 60, 16
    errors = []
    for _ in range(draws):
        frames = rng.normal(size=(40, 4, 4))
        score = FullGaussian().score(ensemble_of(np.concatenate([frames, frames], axis=2)))
        errors.append(score.entropy_nats - 0.5 * np.log(2 * np.pi * np.e))
    # Taken for independent, the copies would leave this much behind:
    naive = 0.5 * (wishart_log_det_bias(39, d) - wishart_log_det_bias(78, d))
    assert abs(np.mean(errors)) < 3 * np.std(errors) / np.sqrt(draws)
    assert abs(naive) > 6 * np.std(errors) / np.sqrt(draws)


def test_corrected_score_lies_between_seen_and_unseen(rng):
    ensemble = ensemble_of(rng.normal(size=(40, 4, 4)))
    seen = FullGaussian().fit(ensemble).negative_log_likelihood(ensemble).mean()
    score = FullGaussian().score(ensemble)
    assert seen < score.entropy_nats < score.held_out_nats


@pytest.mark.parametrize(("objects", "excess"), [(60, 0.03), (150, 0.01)])
def test_few_objects_are_shrunk_to_the_closed_form(rng, make_field, objects, excess):
    scene = make_field(rng, objects, 16, variance=400.0, length=4.0)
    values = scene + 5 * rng.normal(size=scene.shape)
    estimate = estimate_information(values, GaussianNoise(5.0), density="gaussian")
    error = estimate.bits_per_pixel - 1.127713  # closed form of issue 3
    assert -3 * estimate.standard_error < error < 3 * estimate.standard_error + excess
    assert estimate.density == "gaussian"
    assert estimate.diagnostics["shrinkage"] == 1.0  # the field is stationary


def test_a_fit_to_few_objects_is_the_shrunk_one(rng):
    ensemble = ensemble_of(rng.normal(size=(40, 8, 8)).cumsum(axis=2), patch=8)
    fitted = FullGaussian().fit(ensemble)
    nats = fitted.negative_log_likelihood(ensemble).mean()
    assert nats < FullGaussian().score(ensemble).entropy_nats


def test_objects_too_few_to_shrink_are_refused(rng):
    with pytest.raises(TooFewObjects, match=r"at least 12 objects .* density='stationary'"):
        estimate_information(rng.normal(size=(11, 16, 16)), GaussianNoise(1.0), density="gaussian")
