"""Object generators: seeded, of the size asked for, and of the law they claim."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from drivers.virtual import objects

MAKERS = {
    "white": functools.partial(objects.white, variance=4.0),
    "beads": functools.partial(objects.beads, fill=0.1),
    "textures": objects.textures,
    "photographs": objects.photographs,
    "colour photographs": objects.colour_photographs,
    "digits": objects.digits,
    "cells": lambda *args, **kwargs: objects.cells(*args, **kwargs)[0],
    "ellipses": objects.ellipses,
    "thermal scenes": objects.thermal_scenes,
    "rings": objects.rings,
}


@pytest.fixture(params=MAKERS.values(), ids=MAKERS.keys())
def make(request):
    return request.param


def test_the_same_seed_draws_the_same_objects(make):
    first, second = (make(5, 24, rng=np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_objects_have_the_size_asked_for_and_differ(make):
    drawn = make(5, 24, rng=np.random.default_rng(0))
    assert drawn.shape[0] == 5
    assert drawn.shape[-2:] == (24, 24)
    assert np.isfinite(drawn).all()
    assert not np.array_equal(drawn[0], drawn[1])


BRIGHT = ["beads", "textures", "photographs", "digits", "ellipses", "rings", "cells"]


@pytest.mark.parametrize("name", BRIGHT)
def test_brightness_is_never_negative(name):
    assert MAKERS[name](20, 24, rng=np.random.default_rng(1)).min() >= 0


@pytest.mark.parametrize("name", ["textures", "photographs", "digits"])
def test_mean_brightness_is_one(name):
    drawn = MAKERS[name](8, 24, rng=np.random.default_rng(2))
    np.testing.assert_allclose(drawn.mean(axis=(1, 2)), 1.0)


def test_white_noise_has_its_variance():
    drawn = objects.white(400, 16, variance=4.0, rng=np.random.default_rng(0))
    assert drawn.var() == pytest.approx(4.0, rel=5 * np.sqrt(2 / drawn.size))


def test_beads_fill_what_they_should():
    lit = objects.beads(200, 32, fill=0.02, rng=np.random.default_rng(0)) > 0
    assert lit.mean() == pytest.approx(0.02, abs=5 * np.sqrt(0.02 / lit.size))


def test_the_entropy_of_an_even_coin_is_one_bit():
    assert objects.bead_entropy_bits(0.5) == pytest.approx(1.0)
    assert objects.bead_entropy_bits(0.02) == pytest.approx(0.1414405, abs=1e-6)


def test_a_fill_of_nothing_is_refused():
    with pytest.raises(ValueError, match="fill 0: the fraction of lit pixels"):
        objects.beads(1, 8, fill=0, rng=np.random.default_rng(0))


def test_textures_have_the_spectrum_asked_for():
    drawn = objects.textures(300, 64, rng=np.random.default_rng(0), exponent=3.0, contrast=0.05)
    power = (np.abs(np.fft.fft2(drawn)) ** 2).mean(axis=0)
    slope = np.log(power[0, 16] / power[0, 4]) / np.log(4)
    assert slope == pytest.approx(-3.0, abs=0.3)  # two frequencies of 300 draws: sd .08


def test_training_and_test_share_no_picture():
    from drivers.virtual.objects.pictures import COLOUR, GREY

    for names in (GREY, COLOUR):
        assert not set(names["train"]) & set(names["test"])


def test_white_light_of_colour_scenes_has_mean_one():
    for independent in (False, True):
        drawn = objects.colour_photographs(
            6, 16, rng=np.random.default_rng(0), is_chroma_independent=independent
        )
        np.testing.assert_allclose(drawn.sum(axis=1).mean(axis=(1, 2)), 1.0)


def test_independent_chroma_does_not_follow_brightness():
    def likeness(independent):
        drawn = objects.colour_photographs(
            400, 12, rng=np.random.default_rng(0), is_chroma_independent=independent
        )
        deviation = drawn - drawn.mean(axis=(2, 3), keepdims=True)
        red, green = deviation[:, 0].ravel(), deviation[:, 1].ravel()
        return np.corrcoef(red, green)[0, 1]

    assert likeness(independent=False) > 0.6
    assert abs(likeness(independent=True)) < 0.15


def test_cells_have_one_to_three_lobes():
    drawn, classes = objects.cells(60, 32, rng=np.random.default_rng(0))
    assert drawn.shape == (60, 2, 32, 32)
    assert set(classes) == {0, 1, 2}


def test_images_of_the_sky_have_a_flux_of_one_jansky():
    drawn = objects.rings(10, 24, rng=np.random.default_rng(0))
    np.testing.assert_allclose(drawn.sum(axis=(1, 2)), 1.0)


def test_phantoms_leave_the_edge_of_the_field_free():
    drawn = objects.ellipses(50, 24, rng=np.random.default_rng(0))
    assert drawn[:, 0].max() == 0
    assert drawn[:, :, -1].max() == 0


def test_thermal_scenes_vary_by_three_kelvin_and_hold_hot_points():
    drawn = objects.thermal_scenes(200, 32, rng=np.random.default_rng(0))
    assert np.median(np.abs(drawn.mean(axis=(1, 2)))) < 0.1
    assert 3.0 < drawn.std() < 3.2  # sqrt(9 + .002 225) = 3.07
    assert drawn.max() > 12
