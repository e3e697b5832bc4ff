"""What a density is told of the optics: neighbours, classes of a mosaic, refits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from estimation import (
    AutoregressiveMixture,
    EstimationError,
    GaussianNoise,
    Geometry,
    estimate_information,
)
from estimation.density import linear_predictor
from estimation.density.geometry import Neighbourhood, causal_offsets, offset_table
from estimation.density.linear_predictor import fit_linear
from estimation.ensemble import as_measurements, prepare

QUICK = AutoregressiveMixture(steps=300, hidden=32, layers=2, batch=1024, neighbours=6, reach=2)


def test_offset_table_names_the_value_at_every_offset():
    table = offset_table(np.array([[0, -1, 0], [0, 0, -1]]), (1, 2, 3))
    assert table.tolist() == [[-1, -1], [-1, 0], [-1, 1], [0, -1], [1, 3], [2, 4]]


def test_chance_correlation_does_not_widen_the_window(rng):
    rows = rng.normal(size=(200, 1, 400))
    offsets = causal_offsets(rows, (1, 20, 20), neighbours=24, reach=18)
    assert np.hypot(*offsets[:, 1:].T).max() < 4.5  # the 24 nearest; no far ones by chance


def test_told_neighbours_show_what_no_window_and_no_covariance_finds(rng):
    half = rng.normal(size=(500, 16))
    partner = np.random.default_rng(1).permutation(16)
    values = np.concatenate([half, np.abs(half[:, partner])], axis=1).reshape(-1, 4, 8)
    values = values + 0.1 * rng.normal(size=values.shape)
    ensemble = prepare(as_measurements(values), GaussianNoise(0.1), patch=8, seed=0)
    neighbours = np.concatenate([np.full(16, -1), partner])[:, None]
    blind = QUICK.score(ensemble)
    told = replace(QUICK, geometry=Geometry(neighbours=neighbours)).score(ensemble)
    # |x| given x is known but for the noise; without x it has most of its spread
    assert told.entropy_nats < blind.entropy_nats - 0.2


def test_every_class_of_a_mosaic_gets_its_own_linear_predictor(rng, monkeypatch):
    monkeypatch.setattr(linear_predictor, "LARGEST_EXACT", 10)  # as if it were a whole frame
    classes = np.arange(64).reshape(8, 8) % 2
    first = rng.normal(size=(400, 8, 8))
    values = first.copy()
    values[..., 1:] = np.where(classes[:, 1:], first[..., :-1], first[..., 1:])
    rows = values.reshape(400, 1, 64)
    kept = {}
    for name, geometry in {"one": None, "mosaic": Geometry(classes=classes)}.items():
        around = Neighbourhood.of(rows, (1, 8, 8), neighbours=4, reach=2, geometry=geometry)
        predictor, guesses = fit_linear(rows, (1, 8, 8), around, rounding_variance=0.0)
        kept[name] = float(np.mean(np.square(rows - guesses)))
        assert predictor.log_sigma.shape == (64,)
    # odd columns repeat the even one before: known but for their ridge, in their own class only
    assert kept["mosaic"] < 0.65
    assert kept["one"] > 0.7


def test_a_neighbour_that_is_not_earlier_is_refused():
    with pytest.raises(EstimationError, match="value 2 names 2 as a neighbour"):
        Geometry(neighbours=np.array([[-1], [0], [2]]))


@pytest.mark.parametrize(
    "geometry",
    [
        Geometry(neighbours=np.full((9, 1), -1)),
        Geometry(classes=np.zeros((3, 3), int)),
        Geometry(classes=np.zeros((2, 4, 4), int)),
    ],
    ids=["neighbours", "classes", "shots"],
)
def test_a_geometry_of_another_patch_is_refused(rng, geometry):
    with pytest.raises(EstimationError, match="give"):
        estimate_information(
            rng.normal(size=(40, 4, 4)),
            GaussianNoise(1.0),
            density=replace(QUICK, geometry=geometry),
        )


def test_a_warm_start_keeps_to_the_geometry_it_is_told(rng):
    values = rng.normal(size=(40, 4, 4))
    ensemble = prepare(as_measurements(values), GaussianNoise(1.0), patch=4, seed=0)
    short = replace(QUICK, steps=100, warm_steps=100)
    first = short.score(ensemble)
    neighbours = np.arange(16)[:, None] - 1
    told = replace(short, geometry=Geometry(neighbours=neighbours), start=first.fitted)
    score = told.score(ensemble)
    assert not score.diagnostics["is_warm"]
    assert score.fitted[0].around.table.shape == (16, 1)
    wider = replace(short, neighbours=10, start=first.fitted).score(ensemble)
    assert wider.fitted[0].around.table.shape == (16, 10)


@pytest.mark.parametrize(
    "given",
    [
        {"neighbours": np.array([-1, 0, 1])},
        {"neighbours": np.array([[-1.0], [0.0]])},
        {"classes": np.zeros((2, 2))},
        {"classes": np.full((2, 2), -1)},
    ],
    ids=["flat", "floats", "float classes", "negative"],
)
def test_a_geometry_that_is_none_is_refused(given):
    with pytest.raises(EstimationError, match="geometry"):
        Geometry(**given)


def test_refits_tell_what_training_leaves_to_chance(rng):
    values = 5 * rng.normal(size=(80, 4, 4)) ** 2 + rng.normal(size=(80, 4, 4))
    ensemble = prepare(as_measurements(values), GaussianNoise(1.0), patch=4, seed=0)
    short = replace(QUICK, steps=100, refits=2)
    first = replace(short, refits=1).score(ensemble)
    both = short.score(ensemble)
    assert len(both.fitted) == 4
    assert "fit_standard_error_bits" not in first.diagnostics
    error = both.diagnostics["fit_standard_error_bits"]
    assert error > 0
    # with two refits the first lies from the mean by just that
    moved = both.diagnostics["network_nats"] - first.diagnostics["network_nats"]
    assert abs(moved) / np.log(2) == pytest.approx(error, rel=0.05)
