import numpy as np
import pytest

from instrument.search.engines._parabola import find_top

NO_NOISE = np.zeros(3)


@pytest.mark.parametrize(
    "offsets",
    [(0.0, 0.7, -0.7), (0.0, -0.7, -1.4), (0.0, 0.3, -0.9)],
    ids=["both sides", "one side", "uneven"],
)
def test_three_points_of_a_parabola_give_its_top(offsets):
    offset = np.array(offsets)
    top = find_top(offset, 5.0 - 2.0 * (offset + 0.25) ** 2, NO_NOISE, trust=1.0)
    assert (top.offset, top.score) == pytest.approx((-0.25, 5.0))


def test_a_far_top_is_cut_to_the_trusted_move():
    offset = np.array([0.0, 0.5, -0.5])
    top = find_top(offset, -((offset - 3.0) ** 2), NO_NOISE, trust=0.5)
    assert (top.offset, top.score) == pytest.approx((0.5, -6.25))


def test_an_uncertain_curvature_shrinks_the_move():
    """Points at +-1 and 0 with error s: curvature error is s sqrt(1/4 + 1/4 + 1) = s sqrt(3/2)."""
    offset = np.array([0.0, 1.0, -1.0])
    top = find_top(offset, -((offset - 0.2) ** 2), np.full(3, 0.4), trust=1.0)
    assert top.offset == pytest.approx(0.2 * 1.0 / (1.0 + 0.4**2 * 1.5))


def test_a_curvature_within_its_error_does_not_move_the_mode():
    offset = np.array([0.0, 1.0, -1.0])
    top = find_top(offset, np.array([1.0, 1.01, 0.98]), np.full(3, 0.1), trust=1.0)
    assert (top.offset, top.score) == (0.0, 1.0)


def test_a_convex_flank_goes_to_its_best_point():
    offset = np.array([0.0, 1.0, -1.0])
    top = find_top(offset, np.array([1.0, 3.0, 0.5]), np.full(3, 0.1), trust=1.0)
    assert (top.offset, top.score) == (1.0, 3.0)


def test_two_points_have_no_top_but_a_better_one():
    top = find_top(np.array([0.0, -1.0]), np.array([1.0, 2.0]), np.full(2, 0.1), trust=1.0)
    assert top.offset == -1.0
