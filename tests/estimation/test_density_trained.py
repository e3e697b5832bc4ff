"""A trained density that is kept, read back and scores other frames of the same objects."""

import dataclasses

import numpy as np
import pytest

from estimation import EstimationError, SensorNoise, estimate_information
from estimation.density import AutoregressiveMixture
from estimation.density.sampled import sampled_places
from estimation.density.saved import fits_from_bytes, fits_to_bytes

NOISE = SensorNoise(gain=2.0, offset=100.0, read_noise=2.0, bit_depth=14)
SMALL = AutoregressiveMixture(
    steps=100, components=4, neighbours=12, reach=4, hidden=16, layers=1, batch=256
)


def beads(seed, *, blur):
    """Counts of 16 objects of 32 x 32 pixels: few bright beads, the same objects for every seed."""
    scene = np.random.default_rng(1).random((16, 1, 32, 32)) > 0.98
    waves = np.fft.rfft2(scene * 4000.0)
    row, column = np.fft.fftfreq(32)[:, None], np.fft.rfftfreq(32)[None]
    mean = np.fft.irfft2(waves * np.exp(-0.5 * (2 * np.pi * blur) ** 2 * (row**2 + column**2)))
    return NOISE.sample(np.maximum(mean, 0.0) + 20.0, np.random.default_rng(seed))


def score(counts, density):
    return estimate_information(counts, NOISE, density=density, patch=8, seed=0)


@pytest.fixture(scope="module")
def trained():
    return score(beads(0, blur=1.0), SMALL).fitted


def test_what_is_read_back_scores_bit_for_bit_the_same(trained):
    family = dataclasses.replace(SMALL, warm_steps=100)
    again = fits_from_bytes(fits_to_bytes(trained))
    counts = beads(1, blur=1.5)
    first = score(counts, dataclasses.replace(family, start=trained))
    second = score(counts, dataclasses.replace(family, start=again))
    assert np.array_equal(first.per_object_bits, second.per_object_bits)
    assert first.diagnostics["is_warm"]


def test_without_steps_the_weights_stay_what_they_are(trained):
    estimate = score(beads(1, blur=1.5), dataclasses.replace(SMALL, start=trained, warm_steps=0))
    for before, after in zip(trained, estimate.fitted, strict=True):
        assert np.array_equal(before.parameters["last"], after.parameters["last"])
    assert estimate.diagnostics["steps"] == [0, 0]


def test_a_sample_of_the_values_tells_what_all_of_them_do(trained):
    """A quarter of 16 x 1024 values."""
    kept = dataclasses.replace(SMALL, start=trained, warm_steps=0)
    whole = score(beads(1, blur=1.5), kept)
    part = score(beads(1, blur=1.5), dataclasses.replace(kept, sample=256))
    spread_bits = 0.5**0.5 / np.log(2)  # of one value of a Gaussian, without control variate
    assert part.bits_per_pixel == pytest.approx(
        whole.bits_per_pixel, abs=5 * spread_bits / np.sqrt(16 * 256)
    )
    assert part.bits_per_pixel != whole.bits_per_pixel


def test_places_are_those_of_the_seed_and_never_twice():
    places = sampled_places(5, 100, sample=30, seed=3)
    assert np.array_equal(places, sampled_places(5, 100, sample=30, seed=3))
    assert all(len(set(of_object)) == 30 for of_object in places.tolist())


def test_frames_with_a_wider_range_than_the_training_are_scored_warm(trained):
    """Sharper frames reach further than dim ones; the network keeps the channels it has."""
    bright = beads(1, blur=0.7)
    assert score(bright, dataclasses.replace(SMALL, start=trained)).diagnostics["is_warm"]


@pytest.mark.parametrize("content", [b"", b"PK\x05\x06" + bytes(18), b"nothing of the kind"])
def test_another_file_is_no_trained_density(content):
    with pytest.raises(EstimationError, match="no trained density"):
        fits_from_bytes(content)
