"""The autoregressive mixture: a proper density, exact on closed forms, never above the Gaussian."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import gammaln
from scipy.stats import norm

from estimation import (
    AutoregressiveMixture,
    EstimationError,
    FittedDensity,
    GaussianNoise,
    NotFinite,
    PoissonNoise,
    SaturatedMeasurements,
    SensorNoise,
    TooFewObjects,
    compare_designs,
    decoder_lower_bound,
    estimate_information,
)
from estimation.density.autoregressive import _some
from estimation.density.geometry import Neighbourhood, causal_offsets
from estimation.density.linear_predictor import fit_linear, toeplitz
from estimation.density.linear_predictor import lag_numbers as number_lags
from estimation.density.stabilise import Stabiliser
from estimation.ensemble import as_measurements, prepare

SMALL = AutoregressiveMixture(steps=300, hidden=32, layers=2, batch=1024, neighbours=12)


def poisson_entropy_bits(mean: float) -> float:
    if mean == 0:
        return 0.0
    k = np.arange(int(mean + 14 * np.sqrt(mean) + 30))
    log_p = -mean + k * np.log(mean) - gammaln(k + 1)
    return float(-(np.exp(log_p) * log_p).sum() / np.log(2))


def ensemble_of(values, noise, patch=8):
    return prepare(as_measurements(values), noise, patch=patch, seed=0)


@pytest.mark.parametrize("mean", [0.5, 6.0, 15.0, 39.0])
@pytest.mark.parametrize("sigma", [0.02, 0.3, 1.0, 8.0])
@pytest.mark.parametrize("top", [60, 399])
def test_bins_of_all_counts_have_probability_one(mean, sigma, top):
    from estimation.density.mixture_network import log_mass

    counts = np.arange(top + 1)
    edge = Stabiliser(0.375, 1.0)
    low, high = edge(counts - 0.5), edge(counts + 0.5)
    end = (counts == top).astype(float) - (counts == 0)
    args = (0.5 * (low + high), 0.5 * (high - low), end, mean, np.log(sigma))
    log_p = np.asarray(log_mass(*(np.float32(a) for a in args)), np.float64)
    assert np.exp(log_p).sum() == pytest.approx(1.0, abs=2e-5)  # float32


@pytest.mark.parametrize("half_width", [1e-3, 0.04, 0.06, 0.5, 3.0])
def test_bin_probability_is_right_in_far_tails(half_width):
    from estimation.density.mixture_network import log_mass

    middle = np.array([-30.0, 0.0, 3.0, 10.0, 30.0])
    near, far = np.abs(middle) - half_width, np.abs(middle) + half_width
    truth = norm.logsf(near) + np.log(-np.expm1(norm.logsf(far) - norm.logsf(near)))
    one = np.float32(1)
    args = (np.float32(middle), half_width * one, 0 * one, 0 * one, 0 * one)
    np.testing.assert_allclose(log_mass(*args), truth, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("end", [-1, 0, 1])
@pytest.mark.parametrize("log_sigma", [-4.0, 0.0, 30.0])
@pytest.mark.parametrize("distance", [0.0, 1.0, 1e3, 1e6])
@pytest.mark.parametrize("half_width", [1e-4, 0.04, 3.0])
def test_bins_have_a_slope_however_far_and_wide_a_component_is(
    end, log_sigma, distance, half_width
):
    import jax

    from estimation.density.mixture_network import log_mass

    def nats(mean, log_sigma):
        return log_mass(np.float32(0), np.float32(half_width), np.float32(end), mean, log_sigma)

    value, slopes = jax.value_and_grad(nats, argnums=(0, 1))(
        np.float32(distance), np.float32(log_sigma)
    )
    assert np.isfinite([value, *slopes]).all()


def test_a_training_that_is_lost_leaves_what_it_began_with_and_says_so(mocker):
    """Steps that end in NaN, as colour scenes once made them."""
    import jax

    from estimation.density import mixture_network

    def lost(_design, parameters, moments, *_):
        return jax.tree.map(lambda x: x * np.nan, parameters), moments, None

    mocker.patch.object(mixture_network, "train_steps", lost)
    rng = np.random.default_rng(0)
    values = rng.normal(size=(40, 1, 8, 8)).cumsum(axis=-1)
    estimate = estimate_information(
        values,
        GaussianNoise(0.5),
        density=AutoregressiveMixture(steps=200, hidden=8, batch=64),
        patch=8,
    )
    assert np.isfinite(estimate.bits_per_pixel)
    fits = estimate.fitted
    assert all(len(fit.curve) == 1 and fit.remaining_gap_nats is None for fit in fits)


@pytest.mark.parametrize(
    ("prior", "bits"),
    [
        ([4.0, 20.0], 0.974257),
        pytest.param([0.0, 5.0], 0.970821, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_poisson_channel_with_two_levels(rng, prior, bits):
    mean = rng.choice(prior, size=30000)
    counts = rng.poisson(mean)[:, None, None]
    estimate = estimate_information(counts, PoissonNoise(), density="autoregressive")
    noise_bits = np.mean([poisson_entropy_bits(m) for m in prior])
    sampling = np.mean(mean == prior[1]) - 0.5  # levels drawn unequally: known, so taken out
    levels = [poisson_entropy_bits(m) for m in prior]
    noise_bits += sampling * (levels[1] - levels[0])
    # closed form of issue 3
    assert estimate.entropy - noise_bits == pytest.approx(
        bits, abs=min(0.03, 3 * estimate.standard_error)
    )
    assert estimate.diagnostics["member"] == "network"


def test_gaussian_field_scores_as_the_gaussian_does(rng, make_field):
    values = make_field(rng, 400, 16, variance=400.0, length=4.0)
    values += 5 * rng.normal(size=values.shape)
    ensemble = ensemble_of(values, GaussianNoise(5.0))
    score = SMALL.score(ensemble)
    gaussian = score.diagnostics["member_nats"]["gaussian"]
    assert score.entropy_nats <= gaussian + 1e-3
    # the network adds nothing to its linear predictor, and training costs next to nothing
    assert score.diagnostics["network_nats"] == pytest.approx(gaussian, abs=0.02)


@pytest.fixture(scope="module")
def sparse():
    rng = np.random.default_rng(7)
    beads = (rng.random((300, 20, 20)) < 0.03) * 800.0
    near = sum(np.roll(beads, s, axis=(1, 2)) for s in ((0, 1), (1, 0), (0, -1), (-1, 0)))
    mean = 0.4 * beads[:, 2:18, 2:18] + 0.15 * near[:, 2:18, 2:18] + 10.0
    return rng.poisson(mean), mean


@pytest.fixture(scope="module")
def sparse_estimate(sparse):
    return estimate_information(sparse[0], PoissonNoise(), density=SMALL, expected=sparse[1])


def test_sparse_scene_lies_between_its_entropy_and_the_gaussian(sparse_estimate):
    per_sample = 1 / np.log(2)
    gaussian = min(sparse_estimate.diagnostics["member_nats"].values()) * per_sample
    entropy_of_beads = -(0.03 * np.log2(0.03) + 0.97 * np.log2(0.97))
    assert sparse_estimate.density == "autoregressive"
    assert sparse_estimate.bits_per_pixel < gaussian - sparse_estimate.conditional_entropy - 1.0
    assert sparse_estimate.diagnostics["is_gaussian_misspecified"]
    # beads just outside the 16 x 16 view are seen too: 18**2 / 16**2
    assert sparse_estimate.bits_per_pixel > 0.7 * entropy_of_beads


def test_unfinished_training_says_so(sparse_estimate):
    assert sparse_estimate.diagnostics["remaining_gap_bits"] > 0.01
    assert not sparse_estimate.diagnostics["is_converged"]


def test_training_that_gains_nothing_of_few_data_is_not_called_converged(rng):
    counts = rng.poisson(rng.choice([4.0, 20.0], size=(40, 8, 8)))
    large = AutoregressiveMixture(steps=200, hidden=96, batch=512, neighbours=30, rate=0.05)
    told = large.score(ensemble_of(counts, PoissonNoise())).diagnostics
    assert told["remaining_gap_bits"] is None
    assert not told["is_converged"]


def test_a_short_warm_start_does_not_forget_what_is_still_to_gain(sparse, sparse_estimate):
    ensemble = prepare(as_measurements(sparse[0]), PoissonNoise(), patch=16, seed=0)
    warm = replace(SMALL, warm_steps=100, rate=1e-6, start=sparse_estimate.fitted)
    told = warm.score(ensemble).diagnostics
    assert told["is_warm"]
    before = sparse_estimate.diagnostics["remaining_gap_bits"]
    assert told["remaining_gap_bits"] == pytest.approx(before, rel=0.1)


def test_a_score_does_not_start_from_a_fit_that_has_seen_all_objects(sparse):
    ensemble = ensemble_of(sparse[0][:40], PoissonNoise())
    quick = AutoregressiveMixture(steps=100, hidden=8, layers=1, batch=128, neighbours=6)
    fitted = quick.fit(ensemble)
    with pytest.raises(EstimationError, match="must hold out"):
        replace(quick, start=fitted).score(ensemble)


def test_large_offsets_of_real_values_change_nothing(rng):
    values = 3 * rng.normal(size=(60, 4, 4)) ** 2 + rng.normal(size=(60, 4, 4))
    quick = AutoregressiveMixture(steps=100, hidden=8, layers=1, batch=128, neighbours=6)
    plain, far = (
        quick.score(ensemble_of(values + offset, GaussianNoise(1.0), patch=4)).entropy_nats
        for offset in (0.0, 1e8)
    )
    assert far == pytest.approx(plain, abs=1e-3)


def test_fits_are_compared_with_themselves_on_the_same_objects(rng):
    quick = AutoregressiveMixture(steps=100, hidden=8, layers=1, batch=256, neighbours=6)
    mean = np.full((60, 96, 96), 500.0)
    blank = ensemble_of(rng.poisson(mean), PoissonNoise(), patch=96)
    for half in (0, 1):  # the few objects looked at again are dim, all others bright
        mean[_some(np.arange(half, 60, 2), blank, seed=[0, half])] = 5.0
    assert 20 < np.sum(mean[:, 0, 0] < 10) < 40
    score = quick.score(ensemble_of(rng.poisson(mean), PoissonNoise(), patch=96))
    # dim and bright objects differ by ln(100) / 2 = 2.3 nats, which is not the error of a fit
    assert score.diagnostics["fit_gap_nats"] < 0.3


def test_same_seed_same_score(sparse):
    ensemble = ensemble_of(sparse[0][:60], PoissonNoise())
    quick = AutoregressiveMixture(steps=100, hidden=16, layers=1, batch=256, neighbours=8)
    first, again = quick.score(ensemble), quick.score(ensemble)
    np.testing.assert_array_equal(first.per_object_nats, again.per_object_nats)


@pytest.mark.slow
def test_objects_keep_their_order(sparse):
    ensemble = ensemble_of(sparse[0], PoissonNoise())
    fitted = SMALL.fit(ensemble.take(np.arange(100)))
    assert isinstance(fitted, FittedDensity)
    order = np.random.default_rng(0).permutation(200)
    straight = fitted.negative_log_likelihood(ensemble.take(np.arange(100, 300)))
    permuted = fitted.negative_log_likelihood(ensemble.take(100 + order))
    np.testing.assert_allclose(permuted, straight[order], rtol=1e-5)
    brightness = ensemble.values[100:].mean(axis=(1, 2, 3))
    assert np.corrcoef(straight, brightness)[0, 1] > 0.5  # more beads, more surprise


def test_warm_start_is_better_than_as_many_cold_steps(sparse, sparse_estimate):
    warm = AutoregressiveMixture(
        steps=100,
        warm_steps=100,
        hidden=32,
        layers=2,
        batch=1024,
        neighbours=12,
        start=sparse_estimate.fitted,
    )
    ensemble = prepare(as_measurements(sparse[0]), PoissonNoise(), patch=16, seed=0)
    cold = AutoregressiveMixture(steps=100, hidden=32, layers=2, batch=1024, neighbours=12)
    gain = cold.score(ensemble).held_out_nats - warm.score(ensemble).held_out_nats
    assert gain > 0.1


@pytest.mark.parametrize(
    "shape",
    [
        (40, 1, 1),
        (40, 3, 2, 3),
        *(pytest.param(s, marks=pytest.mark.slow) for s in [(40, 5, 9), (30, 1, 40), (14, 44, 44)]),
    ],
    ids=str,
)
def test_any_shape_scores(rng, shape):
    values = rng.normal(size=shape)
    quick = AutoregressiveMixture(steps=100, hidden=8, layers=1, batch=128, neighbours=6)
    estimate = estimate_information(values, GaussianNoise(0.5), density=quick, patch=50)
    assert estimate.per_object_bits.shape == (shape[0],)
    # white noise of variance 1 seen through sigma .5: log2(2) bits; few values, so a wide margin
    assert estimate.bits_per_pixel == pytest.approx(1.0, abs=5 * estimate.standard_error + 0.1)


@pytest.mark.slow
def test_second_shot_is_predicted_from_the_first(rng):
    scene = 5 * rng.normal(size=(4000, 1, 1, 1))
    values = scene + rng.normal(size=(4000, 2, 1, 1))
    estimate = estimate_information(values, GaussianNoise(1.0), density=SMALL)
    # I(X; two looks) = 1/2 log2(1 + 2 * 25), bits/measurement
    assert estimate.bits_per_measurement == pytest.approx(
        0.5 * np.log2(51), abs=6 * estimate.standard_error
    )


def test_saturated_counts_have_a_likelihood_and_gaussians_refuse_them(rng):
    noise = SensorNoise(gain=1.0, offset=100.0, read_noise=2.0, saturation=160)
    counts = noise.sample(rng.uniform(20, 49, size=(300, 4, 4)), rng)
    clipped = np.minimum(counts, 140)
    ceiling = SensorNoise(gain=1.0, offset=100.0, read_noise=2.0, saturation=140)
    with pytest.raises(SaturatedMeasurements):
        estimate_information(clipped, ceiling, density="gaussian")
    full = SMALL.score(ensemble_of(counts, noise, patch=4))
    less = SMALL.score(ensemble_of(clipped, ceiling, patch=4))
    # merging counts loses entropy: exactly the entropy within the merged bin
    kept = np.bincount(counts[counts > 139].ravel())
    share = kept[kept > 0] / kept.sum()
    inside = -(share * np.log(share)).sum() * np.mean(counts > 139)
    loss = full.entropy_nats - less.entropy_nats
    assert loss == pytest.approx(inside, abs=0.02)


def test_the_window_reaches_the_other_copy_of_the_point_spread_function(rng):
    scene = rng.normal(size=(200, 20, 32))
    copies = scene[:, :, 8:] + scene[:, :, :-8]
    offsets = causal_offsets(copies.reshape(200, 1, -1), (1, 20, 24), neighbours=14, reach=20)
    assert (0, 0, -8) in [tuple(int(x) for x in o) for o in offsets]


def test_linear_guesses_use_only_earlier_pixels(rng):
    rows = rng.normal(size=(200, 1, 12)).cumsum(axis=-1)
    around = Neighbourhood.of(rows, (1, 3, 4), neighbours=0, reach=1)
    predictor, _ = fit_linear(rows, (1, 3, 4), around, rounding_variance=0.0)
    changed = rows.copy()
    changed[..., 7:] += 5.0
    before, after = predictor.predict(rows), predictor.predict(changed)
    np.testing.assert_allclose(after[..., :8], before[..., :8], atol=1e-4)
    assert np.abs(after[..., 8:] - before[..., 8:]).max() > 1.0


def test_network_uses_only_earlier_pixels(sparse):
    rows = sparse[0].reshape(300, 1, -1)
    offsets = causal_offsets(rows, (2, 8, 16), neighbours=60, reach=6)
    assert len(offsets) == 60
    assert all((s, r, c) < (0, 0, 0) for s, r, c in offsets.tolist())


def test_toeplitz_average_keeps_what_is_toeplitz():
    lags = number_lags((2, 3, 2))
    index = np.arange(12)
    covariance = np.exp(-np.abs(np.subtract.outer(index // 6, index // 6))) * np.eye(12)[0, 0]
    np.testing.assert_allclose(toeplitz(covariance, lags), covariance)


def test_too_few_objects_are_refused(rng):
    with pytest.raises(TooFewObjects, match="at least 12"):
        estimate_information(
            rng.normal(size=(8, 4, 4)), GaussianNoise(1.0), density="autoregressive"
        )


def test_four_scenes_are_nearer_to_two_bits_than_a_gaussian_says_and_capped_there(rng):
    scenes = rng.uniform(5.0, 60.0, size=(4, 4, 4))
    mean = rng.permutation(scenes[np.arange(3000) % 4])
    counts = rng.poisson(mean)
    gaussian = estimate_information(counts, PoissonNoise(), density="gaussian", expected=mean)
    network = estimate_information(
        counts, PoissonNoise(), density=SMALL, expected=mean, object_entropy=2.0
    )
    assert network.bits_per_measurement == 2.0  # log2(number of objects)
    uncapped = 16 * network.diagnostics["uncapped_bits_per_pixel"]
    assert 2.0 - 48 * network.standard_error < uncapped < 5.5
    assert gaussian.bits_per_measurement > 6.0


def test_saturation_lowers_information(rng):
    scene = rng.uniform(20, 90, size=(300, 1, 1)) * np.ones((4, 4))
    bits = []
    for ceiling in (255, 150):
        noise = SensorNoise(gain=1.0, offset=100.0, read_noise=2.0, saturation=ceiling)
        counts = noise.sample(scene, np.random.default_rng(3))
        estimate = estimate_information(counts, noise, density=SMALL)
        assert estimate.diagnostics["is_saturated"] == (ceiling == 150)
        bits.append(estimate.bits_per_pixel)
    assert bits[1] < bits[0] - 0.03


def test_known_object_entropy_caps_the_bound(sparse):
    counts = sparse[0][:40]
    estimate = estimate_information(
        counts, PoissonNoise(), density="gaussian", patch=4, object_entropy=50.0
    )
    assert estimate.is_capped
    assert estimate.bits_per_measurement == 50.0
    assert estimate.interval[1] == pytest.approx(50.0 / 256)
    assert estimate.per_object_bits.mean() == pytest.approx(50.0 / 256)
    assert estimate.diagnostics["uncapped_bits_per_pixel"] > 1.0
    assert "capped" in str(estimate)


def test_a_cap_above_the_bound_changes_nothing(rng):
    values = rng.normal(size=(60, 4, 4)) + rng.normal(size=(60, 4, 4))
    estimate = estimate_information(
        values, GaussianNoise(1.0), density="gaussian", object_entropy=1e6
    )
    assert not estimate.is_capped
    assert estimate.bits_per_pixel == pytest.approx(0.5, abs=0.1)  # log2(2) / 2


def test_decoder_bound_of_the_exact_posterior_is_the_information(rng):
    # one bit through a binary symmetric channel with 10 % errors: 1 - H(.1) = .531004
    wrong = rng.random(20000) < 0.1
    bound = decoder_lower_bound(np.log(np.where(wrong, 0.1, 0.9)), object_entropy=1.0)
    assert bound.bits_per_measurement == pytest.approx(0.531004, abs=4 * bound.standard_error)
    by_prior = decoder_lower_bound(
        np.log(np.where(wrong, 0.1, 0.9)), log_prior=np.full(20000, np.log(0.5))
    )
    assert by_prior.bits_per_measurement == pytest.approx(bound.bits_per_measurement)


def test_bracket_is_printed(rng):
    bound = decoder_lower_bound(np.log([0.9, 0.8, 0.95]), object_entropy=1.0)
    values = rng.normal(size=(60, 2, 2)) + rng.normal(size=(60, 2, 2))
    estimate = estimate_information(
        values, GaussianNoise(1.0), density="gaussian", lower_bound=bound
    )
    assert estimate.bracket == (bound.bits_per_measurement, estimate.bits_per_measurement)
    assert "bracket" in str(estimate)


def test_decoder_bound_refuses_what_is_no_probability():
    with pytest.raises(NotFinite):
        decoder_lower_bound(np.array([0.0, -np.inf]), object_entropy=1.0)
    with pytest.raises(EstimationError, match="either"):
        decoder_lower_bound(np.zeros(3))


def test_designs_with_overlapping_gaps_are_not_ranked(sparse):
    counts = sparse[0][:60]
    quick = AutoregressiveMixture(steps=100, hidden=16, layers=1, batch=256, neighbours=8)
    rng = np.random.default_rng(1)
    batches = {"a": counts, "b": rng.poisson(sparse[1][:60])}
    comparison = compare_designs(batches, PoissonNoise(), density=quick, patch=8)
    assert not comparison.is_better.any()


def test_a_clear_winner_is_ranked(rng, make_field):
    scene = make_field(rng, 48, 16, variance=9.0, length=3.0)
    batches = {n: c * scene + rng.normal(size=scene.shape) for n, c in {"on": 1, "off": 0}.items()}
    comparison = compare_designs(batches, GaussianNoise(1.0), density="gaussian", patch=4)
    assert comparison.is_better[0, 1]
    assert not comparison.is_better[1, 0]
