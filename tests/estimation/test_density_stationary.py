"""The stationary process against brute force, and the Whittle density against a dense one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from estimation import GaussianNoise, StationaryGaussian
from estimation.density import cross_fit, stationary
from estimation.density.stationary import FittedWhittle, LagSums, covariance_by_lag, object_waves
from estimation.ensemble import prepare


def ensemble_of(values: np.ndarray, patch: int | tuple[int, int]):
    return prepare(values, GaussianNoise(1.0), patch=patch, seed=0)


def test_lag_covariances_are_the_direct_sums(rng):
    values = rng.normal(size=(6, 2, 5, 7))
    values[:, 1] += 0.8 * np.roll(values[:, 0], 1, axis=-1)
    usable = np.ones((5, 7), dtype=bool)
    usable[2, 3] = False
    ensemble = replace(ensemble_of(values, (2, 3)), usable=usable)
    centred = values - values.mean(axis=0)
    lags = covariance_by_lag(LagSums.of(object_waves(ensemble)), ensemble)
    for s, t, dy, dx in [(0, 0, 0, 0), (0, 1, 0, 1), (1, 0, 0, -1), (0, 1, 1, 2), (1, 1, -1, -2)]:
        products = [
            np.sum(centred[:, s, y, x] * centred[:, t, y + dy, x + dx]) / 5
            for y in range(5)
            for x in range(7)
            if 0 <= y + dy < 5 and 0 <= x + dx < 7 and usable[y, x] and usable[y + dy, x + dx]
        ]
        assert lags[s, t, dy, dx] == pytest.approx(np.mean(products), abs=1e-5)  # float32 FFT


def test_own_score_is_the_generic_cross_fit(rng):
    ensemble = ensemble_of(rng.normal(size=(20, 1, 9, 11)).cumsum(axis=3), 4)
    own, generic = StationaryGaussian().score(ensemble), cross_fit(StationaryGaussian(), ensemble)
    np.testing.assert_allclose(
        own.per_object_nats, generic.per_object_nats, rtol=1e-5
    )  # float32 FFT
    assert own.held_out_nats == pytest.approx(generic.held_out_nats, rel=1e-5)


def test_white_noise_of_two_correlated_shots_has_its_entropy(rng):
    covariance = np.array([[4.0, 1.5], [1.5, 1.0]])
    values = np.einsum(
        "st,otyx->osyx", np.linalg.cholesky(covariance), rng.normal(size=(60, 2, 24, 24))
    )
    score = StationaryGaussian().score(ensemble_of(values, 4))
    expected = 0.5 * (np.log(2 * np.pi * np.e) + np.linalg.slogdet(covariance)[1] / 2)
    assert score.entropy_nats == pytest.approx(
        expected, abs=4 * score.per_object_nats.std() / np.sqrt(60)
    )


def test_whittle_is_the_gaussian_of_its_own_covariance(rng, monkeypatch):
    monkeypatch.setattr(stationary, "LARGEST_EXACT", 0)
    values = rng.normal(size=(12, 2, 4, 3)).cumsum(axis=2)
    ensemble = ensemble_of(values, (4, 3))
    fitted = StationaryGaussian().fit(ensemble)
    assert isinstance(fitted, FittedWhittle)
    # Covariance of the real patch whose 2-D Fourier transform has independent entries of this
    # spectrum
    rows, columns = np.indices((4, 3)).reshape(2, -1)
    phase = (
        2j * np.pi * (np.multiply.outer(rows, rows) / 4 + np.multiply.outer(columns, columns) / 3)
    )
    transform = np.kron(np.eye(2), np.exp(-phase) / np.sqrt(12))
    diagonal = np.zeros((24, 24), dtype=complex)
    flat = fitted.spectrum.reshape(12, 2, 2)
    for s, t in np.ndindex(2, 2):
        diagonal[s * 12 + np.arange(12), t * 12 + np.arange(12)] = flat[:, s, t]
    covariance = transform.conj().T @ diagonal @ transform
    assert np.abs(covariance.imag).max() < 1e-9 * np.abs(covariance).max()
    centred = (values - fitted.mean_image).reshape(12, 24)
    expected = -multivariate_normal(np.zeros(24), covariance.real).logpdf(centred) / 24
    np.testing.assert_allclose(fitted.negative_log_likelihood(ensemble), expected, rtol=1e-8)


def test_whole_frames_of_a_field_come_near_their_information(rng, make_field, field_bits):
    values = make_field(rng, 48, 48, variance=400.0, length=4.0) + 5 * rng.normal(size=(48, 48, 48))
    ensemble = ensemble_of(values[:, None], 48)
    assert ensemble.patch_values > stationary.LARGEST_EXACT
    bits = StationaryGaussian().score(ensemble).entropy_nats / np.log(2)
    truth = field_bits(48, variance=400.0, length=4.0, sigma=5.0) + 0.5 * np.log2(
        2 * np.pi * np.e * 25
    )
    # The wrap-around of a patch's edges costs the bound a few hundredths of a bit, never gains.
    assert truth - 0.005 < bits < truth + 0.05


def test_few_frames_whose_lags_are_no_covariance_still_score(rng):
    values = np.sin(np.arange(16) * 2.2 + rng.uniform(0, 6, size=(5, 1, 1, 1))) * np.ones((
        5,
        1,
        16,
        16,
    ))
    score = StationaryGaussian().score(
        ensemble_of(values + 1e-3 * rng.normal(size=values.shape), 8)
    )
    assert np.isfinite(score.per_object_nats).all()


def test_expected_periodogram_adds_every_lag_that_the_taper_leaves(rng):
    lags = rng.normal(size=(1, 1, 89, 79))
    lags += np.roll(lags[..., ::-1, ::-1], (1, 1), axis=(-2, -1))
    found = stationary.expected_periodogram(lags, (45, 40), floor=-np.inf)[..., 0, 0].real
    rows, columns = np.arange(-44, 45), np.arange(-39, 40)
    tapered = lags[0, 0] * np.outer(stationary._taper(45), stationary._taper(40))
    row_waves = np.exp(2j * np.pi * np.outer(np.arange(45), rows) / 45)
    column_waves = np.exp(2j * np.pi * np.outer(columns, np.arange(40)) / 40)
    direct = (row_waves @ tapered[np.ix_(rows, columns)] @ column_waves).real
    np.testing.assert_allclose(found, direct, atol=1e-9)


def test_expected_periodogram_of_a_large_frame_reads_near_lags_only(rng, monkeypatch):
    read = []

    class Counted(np.ndarray):
        def __getitem__(self, at):
            read.append(at)
            return super().__getitem__(at)

    lags = rng.normal(size=(1, 1, 255, 255)).view(Counted)
    stationary.expected_periodogram(lags, (128, 128), floor=0.0)
    assert len(read) <= (2 * stationary.LARGEST_LAG + 1) ** 2 + 100
