"""Visibilities of points, and the Earth's rotation, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from drivers.virtual.objects import rings
from drivers.virtual.twins import Interferometer
from drivers.virtual.twins.interferometer import STATIONS, baselines

UAS = np.pi / 180 / 3600 / 1e6


def test_a_point_has_the_same_amplitude_everywhere_and_a_phase_of_its_place():
    point = np.zeros((1, 24, 24))
    point[0, 3, 19] = 0.7
    seen = np.asarray(Interferometer().visibilities_jy(point))[0]
    pixel = 128 / 24 * UAS
    _, _, u, v = baselines(tuple(STATIONS), declination_deg=12.391)
    expected = 0.7 * np.exp(-2j * np.pi * (u * (19 - 11.5) + v * (3 - 11.5)) * pixel)
    np.testing.assert_allclose(seen, expected, rtol=1e-6)


def test_stations_side_by_side_see_the_total_flux():
    """ALMA and APEX are 2.6 km apart: the field is far below their resolution."""
    images = rings(3, 24, rng=np.random.default_rng(0))
    pair = Interferometer([1.0, 1.0], count=2, names=["ALMA", "APEX"])
    np.testing.assert_allclose(np.asarray(pair.visibilities_jy(images)), 1.0, atol=1e-3)


def test_no_baseline_is_longer_than_the_stations_are_apart():
    first, second, u, v = baselines(tuple(STATIONS), declination_deg=12.391)
    place = np.array([s[:3] for s in STATIONS.values()])
    apart = np.linalg.norm(place[first] - place[second], axis=1) * 230e9 / 299_792_458
    assert (np.hypot(u, v) <= apart * (1 + 1e-9)).all()
    assert np.hypot(u, v).max() > 8e9  # the EHT's longest baselines


def test_the_south_pole_never_sees_a_northern_source():
    first, second, *_ = baselines(tuple(STATIONS), declination_deg=12.391)
    assert tuple(STATIONS).index("SPT") not in set(first) | set(second)


def test_the_pole_sees_a_southern_source_all_day():
    first, *_ = baselines(("ALMA", "SPT"), declination_deg=-29.0)
    only_alma = baselines(("ALMA", "APEX"), declination_deg=-29.0)[0]
    assert len(first) == len(only_alma)  # whenever ALMA sees it


def test_noise_follows_the_radiometer_equation():
    """ALMA and LMT: sqrt(90 600 / (2 4e9 120)) / .88 = 8.52e-6... Jy, worked by hand."""
    pair = Interferometer([1.0, 1.0], count=2, names=["ALMA", "LMT"])
    image = np.zeros((1, 24, 24))
    image[0, 12, 12] = 1.0
    whitened = np.asarray(pair(image))[0, :, 0]
    sigma_jy = np.sqrt(90 * 600 / (2 * 4e9 * 120)) / 0.88
    assert sigma_jy == pytest.approx(2.695e-4, rel=1e-3)
    np.testing.assert_allclose(np.hypot(*whitened), 1 / sigma_jy, rtol=1e-6)


def test_four_of_eight_are_seventy():
    assert len(Interferometer().hand_made()) == 70


def test_an_array_alone_sees_what_it_sees_among_all():
    chosen = ("ALMA", "LMT", "PV", "SMA")
    everybody = Interferometer()
    image = rings(1, 24, rng=np.random.default_rng(1))
    among = everybody.with_values(everybody.hand_made()["+".join(chosen)])
    seen = np.asarray(among(image))[0]
    alone = np.asarray(everybody.with_stations_chosen(chosen)(image))[0]
    np.testing.assert_allclose(seen[:, :, np.abs(seen).sum(axis=(0, 1)) > 0], alone, rtol=1e-9)


def test_annealing_ends_with_the_strongest_stations():
    twin = Interferometer([0.1, 0.9, 0.2, 0.8, 0.7, 0.3, 0.6, 0.4], progress=0.0)
    np.testing.assert_array_equal(twin.annealed(1.0).observing(), [0, 1, 0, 1, 1, 0, 1, 0])
    np.testing.assert_array_equal(twin.observing(), twin.stations)
