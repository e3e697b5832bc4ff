"""Designs compared on the same objects."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import estimation
from estimation import EstimationError, GaussianNoise, InvalidMeasurements

compare_designs = partial(estimation.compare_designs, density="auto-gaussian")


@pytest.fixture
def batches(rng, make_field):
    scene = make_field(rng, 48, 16, variance=9.0, length=3.0)
    contrasts = {"sharp": 1.0, "soft": 0.97, "blind": 0.0}
    return {name: c * scene + rng.normal(size=scene.shape) for name, c in contrasts.items()}


def test_the_sharper_design_wins(batches):
    comparison = compare_designs(batches, GaussianNoise(1.0), patch=4)
    assert comparison.best == "sharp"
    assert comparison.probability_best.sum() == pytest.approx(1.0)
    assert comparison.probability_best[2] == 0.0
    assert comparison.low[0, 2] > 0.0


def test_differences_are_antisymmetric_and_in_bits_per_measurement(batches):
    comparison = compare_designs(batches, GaussianNoise(1.0), patch=4)
    np.testing.assert_allclose(comparison.difference, -comparison.difference.T, atol=1e-9)
    np.testing.assert_allclose(comparison.low, -comparison.high.T, atol=1e-9)
    bits = (
        comparison.estimates["sharp"].bits_per_pixel - comparison.estimates["blind"].bits_per_pixel
    )
    assert comparison.difference[0, 2] == pytest.approx(256 * bits)


def test_pairing_is_sharper_than_two_intervals(rng):
    # objects differ much in brightness; both designs see the same ones
    scene = rng.normal(size=(64, 8, 8)) * rng.uniform(1, 20, size=(64, 1, 1))
    batches = {name: scene + rng.normal(size=scene.shape) for name in ("a", "b")}
    comparison = compare_designs(batches, GaussianNoise(1.0), patch=4)
    unpaired = 64 * np.hypot(*(e.standard_error for e in comparison.estimates.values()))
    assert comparison.standard_error[0, 1] < 0.5 * unpaired


def test_shots_count_in_bits_per_measurement(rng):
    scene = 3 * rng.normal(size=(4000, 1, 1, 1))
    noisy = scene + rng.normal(size=(4000, 2, 1, 1))
    comparison = compare_designs({"two": noisy, "one": noisy[:, :1]}, GaussianNoise(1.0))
    expected = 0.5 * np.log2(19 / 10)
    tolerance = 3 * comparison.standard_error[0, 1]
    assert comparison.difference[0, 1] == pytest.approx(expected, abs=tolerance)


def test_all_designs_get_one_density(rng):
    striped = np.where(np.arange(8) % 4 == 0, 5.0, 0.5) * rng.normal(size=(100, 8, 8))
    plain = rng.normal(size=(100, 8, 8))
    comparison = compare_designs({"striped": striped, "plain": plain}, GaussianNoise(0.1), patch=4)
    assert len({e.density for e in comparison.estimates.values()}) == 1


def test_designs_may_have_their_own_noise(batches):
    noises = {"sharp": GaussianNoise(1.0), "soft": GaussianNoise(1.0), "blind": GaussianNoise(0.5)}
    comparison = compare_designs(batches, noises, patch=4)
    assert (
        comparison.estimates["blind"].conditional_entropy
        < comparison.estimates["soft"].conditional_entropy
    )


def test_different_numbers_of_objects_are_refused(batches):
    with pytest.raises(InvalidMeasurements, match="'soft': 47"):
        compare_designs(batches | {"soft": batches["soft"][:47]}, GaussianNoise(1.0))


def test_one_design_is_nothing_to_compare(batches):
    with pytest.raises(EstimationError, match="two or more"):
        compare_designs({"sharp": batches["sharp"]}, GaussianNoise(1.0))
