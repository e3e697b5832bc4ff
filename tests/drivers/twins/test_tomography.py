"""Projections of objects whose Radon transform is known; no reconstruction is needed."""

from __future__ import annotations

import numpy as np
import pytest

from drivers.virtual.objects import ellipses
from drivers.virtual.twins import Tomography


def line_integrals(twin, objects):
    """Undo Beer-Lambert."""
    photons = np.asarray(twin(objects))[:, :, 0]
    empty = np.asarray(twin.dose_e * twin.dose_shares)[:, None]
    return -np.log(photons / empty)


@pytest.fixture
def phantoms():
    return ellipses(3, 24, rng=np.random.default_rng(0))


def test_every_view_holds_the_whole_mass(phantoms):
    mass = line_integrals(Tomography(views=7), phantoms).sum(axis=-1)
    expected = np.repeat(phantoms.sum(axis=(1, 2))[:, None], 7, axis=1)
    np.testing.assert_allclose(mass, expected, rtol=1e-9)


def test_a_disc_is_a_half_ellipse_from_every_side():
    """The chord of a disc: 2 mu sqrt(r^2 - t^2)."""
    side, radius, attenuation = 48, 16.0, 0.05
    axis = np.arange(side) - (side - 1) / 2
    inside = np.clip(radius - np.hypot(axis[:, None], axis) + 0.5, 0, 1)
    twin = Tomography(side=side, views=5)
    t = np.arange(twin.detectors) - (twin.detectors - 1) / 2
    chord = 2 * attenuation * np.sqrt(np.maximum(radius**2 - t**2, 0))
    seen = line_integrals(twin, attenuation * inside[None])[0]
    within = np.abs(t) < radius - 2
    np.testing.assert_allclose(seen[:, within], np.tile(chord[within], (5, 1)), rtol=0.03)
    assert np.abs(seen[:, np.abs(t) > radius + 2]).max() < 1e-9


def test_a_view_along_the_rows_adds_up_columns(phantoms):
    """At angle 0 pixels fall on detectors: the spline's weights are 1/8, 3/4, 1/8."""
    columns = np.zeros((3, 34 + 2))
    columns[:, 6:30] = phantoms.sum(axis=1)
    expected = columns[:, 1:-1] * 0.75 + 0.125 * (columns[:, 2:] + columns[:, :-2])
    seen = line_integrals(Tomography([0.0], [1.0]), phantoms)[:, 0]
    np.testing.assert_allclose(seen, expected, atol=1e-9)


def test_a_quarter_turn_of_the_object_is_a_quarter_turn_of_the_gantry(phantoms):
    turned = np.rot90(phantoms, axes=(1, 2))
    ahead = line_integrals(Tomography([0.3], [1.0]), phantoms)
    behind = line_integrals(Tomography([0.3 + np.pi / 2], [1.0]), turned)
    np.testing.assert_allclose(behind[..., ::-1], ahead, atol=1e-9)


def test_an_empty_scanner_gets_the_dose():
    photons = np.asarray(Tomography(views=4, dose_e=800.0)(np.zeros((1, 24, 24))))
    np.testing.assert_allclose(photons, 200.0)


def test_views_without_dose_are_not_taken():
    twin = Tomography()
    eight = twin.with_values(twin.hand_made()["8 views"])
    phantom = np.full((1, 24, 24), 0.05)
    few = eight.with_views_taken()
    assert few(phantom).shape == (1, 8, 1, 34)
    np.testing.assert_allclose(few(phantom), np.asarray(eight(phantom))[:, ::4])
    assert float(few.dose_shares.sum()) == pytest.approx(1.0)
