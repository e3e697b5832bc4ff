"""Projections against what the closest point of a convex set must satisfy."""

from __future__ import annotations

import numpy as np
import pytest

from drivers.virtual.twins.projection import onto_capped_simplex, onto_simplex


def test_a_point_far_out_ends_in_a_corner():
    np.testing.assert_allclose(onto_simplex(np.array([5.0, 0.0, 1.0])), [1, 0, 0], atol=1e-12)


def test_what_is_missing_is_shared_evenly():
    np.testing.assert_allclose(onto_simplex(np.array([0.5, 0.2]), total=1.0), [0.65, 0.35])


def test_every_row_is_projected_by_itself():
    rows = np.array([[5.0, 0.0], [0.0, 0.0]])
    np.testing.assert_allclose(onto_simplex(rows), [[1, 0], [0.5, 0.5]], atol=1e-12)


def test_no_share_exceeds_one_where_shares_are_capped():
    np.testing.assert_allclose(
        onto_capped_simplex(np.array([9.0, 0.6, 0.2, -3.0]), total=2.0), [1, 0.7, 0.3, 0], atol=1e-9
    )


@pytest.mark.parametrize("seed", range(5))
def test_no_other_feasible_point_is_closer(seed):
    rng = np.random.default_rng(seed)
    point = rng.normal(size=6)
    nearest = np.asarray(onto_simplex(point))
    others = rng.dirichlet(np.ones(6), size=200)
    # the variational inequality of a projection onto a convex set
    assert ((others - nearest) @ (point - nearest) <= 1e-9).all()
