"""The filter mosaic against counts made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from drivers.virtual.twins import Colour
from drivers.virtual.twins.colour import preference_of


@pytest.fixture
def scene():
    return np.random.default_rng(0).random((2, 3, 12, 12))


def test_a_white_mask_sees_the_sum_of_all_colours(scene):
    twin = Colour(preference_of("W"), electrons=30, side=12)
    np.testing.assert_allclose(np.asarray(twin(scene))[:, 0], 30 * scene.sum(axis=1))


@pytest.mark.parametrize(
    ("name", "counts"),
    [("bayer", [16, 32, 16, 0]), ("rgbw", [16, 16, 16, 16]), ("sparse rgbw", [8, 16, 8, 32]),
     ("quad bayer", [16, 32, 16, 0]), ("all white", [0, 0, 0, 64])],
)  # fmt: skip
def test_mosaics_have_the_filters_of_their_name(name, counts):
    twin = Colour()
    mask = twin.with_values(twin.hand_made()[name]).mask()
    np.testing.assert_array_equal(np.asarray(mask).sum(axis=(0, 1)), counts)


def test_each_pixel_of_a_bayer_mosaic_sees_its_colour(scene):
    seen = np.asarray(Colour(electrons=1, side=12)(scene))[:, 0]
    np.testing.assert_allclose(seen[:, 0::2, 0::2], scene[:, 1, 0::2, 0::2])
    np.testing.assert_allclose(seen[:, 0::2, 1::2], scene[:, 0, 0::2, 1::2])
    np.testing.assert_allclose(seen[:, 1::2, 0::2], scene[:, 2, 1::2, 0::2])


def test_a_soft_mask_of_no_preference_mixes_all_filters_evenly(scene):
    twin = Colour(np.zeros((8, 8, 4)), electrons=1, side=12, progress=0.0)
    np.testing.assert_allclose(np.asarray(twin(scene))[:, 0], scene.sum(axis=1) / 2)


def test_annealing_ends_where_the_soft_mask_leads():
    rng = np.random.default_rng(1)
    twin = Colour(rng.uniform(-1, 1, (8, 8, 4)))
    nearly, built = (np.asarray(twin.annealed(p).mask()) for p in (0.999, 1.0))
    assert set(np.unique(built)) == {0.0, 1.0}
    np.testing.assert_array_equal(nearly.argmax(axis=-1), built.argmax(axis=-1))
