"""The rules by which a trial has enough objects, against simulations whose truth is known."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from instrument.search.enough import (
    Captured,
    Look,
    incumbent_of,
    is_worse,
    judge,
    level_of,
    look_sizes,
    paired,
    rivals_at,
    spread,
    target_of,
    told_standard_error,
)

COUNT = 36
SIZES = (12, 24, 36)
RIVALS = 20
ERROR_RATE = 0.05


@pytest.mark.parametrize(
    ("count", "start", "growth", "sizes"),
    [
        (36, 12, 2.0, (12, 24, 36)),
        (48, 12, 2.0, (12, 24, 48)),
        (100, 12, 2.0, (12, 24, 48, 100)),  # not 96, four objects from the end
        (16, 4, 1.1, (4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 16)),  # each one more
        (13, 12, 2.0, (13,)),
    ],
)
def test_looks_grow_by_the_ratio_and_end_at_all_objects(count, start, growth, sizes):
    assert look_sizes(count, start=start, growth=growth) == sizes


def test_every_object_is_visited_once_and_each_look_travels_one_way():
    order = spread(COUNT, SIZES, seed=3)
    assert sorted(order) == list(range(COUNT))
    for first, last in ((0, 12), (12, 24), (24, 36)):
        assert list(order[first:last]) == sorted(order[first:last])


def test_the_objects_of_the_first_look_come_from_all_over():
    means = [np.mean(spread(COUNT, SIZES, seed=seed)[:12]) for seed in range(200)]
    assert np.mean(means) == pytest.approx(17.5, abs=5 * np.std(means) / np.sqrt(200))


def test_the_order_belongs_to_the_seed():
    assert spread(COUNT, SIZES, seed=1) == spread(COUNT, SIZES, seed=1)
    assert spread(COUNT, SIZES, seed=1) != spread(COUNT, SIZES, seed=2)


def test_the_incumbent_is_the_best_of_those_with_as_many_objects():
    known = [
        Captured(trial=0, objects=36, bits_per_pixel=0.4, standard_error=0.1),
        Captured(trial=1, objects=12, bits_per_pixel=0.9, standard_error=0.1),
        Captured(trial=2, objects=24, bits_per_pixel=0.5, standard_error=0.1),
        Captured(trial=3, objects=24, bits_per_pixel=0.5, standard_error=0.1),
    ]
    assert incumbent_of(rivals_at(known, 12)).trial == 1
    assert incumbent_of(rivals_at(known, 24)).trial == 2
    assert incumbent_of(rivals_at(known, 36)).trial == 0
    assert incumbent_of([]) is None


def test_paired_differences_lose_what_the_objects_have_in_common():
    objects = np.array([1.0, 5.0, 9.0])
    difference = paired(objects + np.array([0.1, 0.2, 0.3]), objects)
    assert difference.bits == pytest.approx(0.2)
    assert difference.standard_error == pytest.approx(0.1 / np.sqrt(3))  # of .1, .2, .3


def test_other_objects_are_not_compared():
    with pytest.raises(ValueError, match="12 and 24 objects"):
        paired(np.zeros(12), np.zeros(24))


def test_the_default_target_is_one_and_a_half_errors_of_the_first_full_batch():
    known = [
        Captured(trial=1, objects=12, bits_per_pixel=0.9, standard_error=0.3),
        Captured(trial=2, objects=36, bits_per_pixel=0.5, standard_error=0.1),
        Captured(trial=3, objects=36, bits_per_pixel=0.5, standard_error=0.2),
    ]
    assert target_of(known, count=COUNT) == pytest.approx(0.15)
    assert target_of(known[:1], count=COUNT) is None


def look(**changes):
    known = {
        "objects": 12, "bits_per_pixel": 1.0, "standard_error": 0.01, "incumbent": 0,
        "incumbent_difference": 0.0, "difference_standard_error": 0.01,
    }  # fmt: skip
    return Look(**{**known, **changes})


@pytest.mark.parametrize(
    ("changes", "target", "why"),
    [
        pytest.param({}, 0.005, None, id="neither worse nor known well enough"),
        pytest.param({}, 0.02, "target", id="known well enough"),
        pytest.param({"incumbent_difference": -0.1}, 0.005, "worse", id="ten errors below"),
        pytest.param({"incumbent_difference": -0.1}, 0.02, "worse", id="worse is said first"),
        pytest.param({"incumbent_difference": 0.1}, 0.005, None, id="better goes on"),
        pytest.param({"objects": 36, "incumbent_difference": -0.1}, 0.02, "budget", id="all"),
    ],
)
def test_the_rules_say_why_a_trial_has_enough(changes, target, why):
    assert judge(look(**changes), count=COUNT, target=target, level=0.01) == why


def test_without_an_incumbent_all_objects_are_taken():
    alone = look(incumbent=None, incumbent_difference=None, difference_standard_error=None)
    assert judge(alone, count=COUNT, target=1.0, level=None) is None


def test_designs_that_see_every_object_the_same_are_told_apart_by_their_sign():
    """Differences without spread have a standard error of zero."""
    assert is_worse(paired(np.zeros(12), np.ones(12)), objects=12, level=1e-6)
    assert not is_worse(paired(np.zeros(12), np.zeros(12)), objects=12, level=0.01)


# ---- against equal designs, the incumbent being the luckiest of them


def equal_designs(rng, *, shift=0.0):
    """Bits by object of rivals and of one more trial: common objects, equal noise."""
    objects = rng.normal(scale=3.0, size=COUNT)
    noise = rng.normal(size=(RIVALS + 1, COUNT))
    bits = objects + noise
    bits[-1] += shift
    return objects, bits


def campaign(rng, *, rivals_counted, shift=0.0):
    """Look at the last design until the rules are content; return how that ended."""
    objects, bits = equal_designs(rng, shift=shift)
    known = [
        Captured(trial=i, objects=COUNT, bits_per_pixel=bits[i].mean(), standard_error=1.0)
        for i in range(RIVALS)
    ]
    level = level_of(ERROR_RATE, looks=len(SIZES) - 1, rivals=rivals_counted)
    for size in SIZES:
        incumbent = incumbent_of(rivals_at(known, size))
        difference = paired(bits[-1, :size], bits[incumbent.trial, :size])
        seen = look(
            objects=size,
            incumbent_difference=difference.bits,
            difference_standard_error=difference.standard_error,
            standard_error=told_standard_error(difference, objects=size, count=COUNT),
        )
        why = judge(seen, count=COUNT, target=0.0, level=level)
        if why is not None:
            break
    told = incumbent.bits_per_pixel + difference.bits
    return SimpleNamespace(why=why, size=size, error=told - objects.mean() - shift)


def rate_turned_down(*, rivals_counted, repeats=3000):
    rng = np.random.default_rng(0)
    ends = [campaign(rng, rivals_counted=rivals_counted) for _ in range(repeats)]
    rate = np.mean([end.why == "worse" for end in ends])
    return rate, np.sqrt(rate * (1 - rate) / repeats)


def test_an_equal_design_is_turned_down_no_more_often_than_the_error_rate():
    rate, error = rate_turned_down(rivals_counted=RIVALS)
    assert rate <= ERROR_RATE + 3 * error


def test_not_counting_the_rivals_would_turn_down_too_many():
    """The incumbent is the luckiest of twenty, so one test at the error rate is not enough."""
    rate, error = rate_turned_down(rivals_counted=1)
    assert rate > ERROR_RATE + 3 * error


def test_a_clearly_worse_design_ends_at_the_first_look_as_often_as_theory_says():
    """One incumbent: the power of a one-sided t test is the non-central t distribution's."""
    rng = np.random.default_rng(1)
    level, shift, repeats = 0.01, -1.5, 2000
    noncentrality = shift / np.sqrt(2 / 12)
    power = stats.nct.cdf(stats.t.ppf(level, 11), 11, noncentrality)
    pairs = rng.normal(size=(repeats, 2, 12))
    found = [is_worse(paired(a + shift, b), objects=12, level=level) for a, b in pairs]
    assert np.mean(found) == pytest.approx(power, abs=4 * np.sqrt(power * (1 - power) / repeats))


@pytest.mark.parametrize("size", [12, 24, 36])
def test_what_the_search_is_told_has_no_bias_and_the_error_that_is_told(size):
    """Truth is what all objects give without noise; the incumbent is the luckiest of twenty."""
    rng = np.random.default_rng(size)
    errors, claimed = [], []
    for _ in range(2000):
        objects, bits = equal_designs(rng)
        lucky = int(np.argmax(bits[:RIVALS].mean(axis=1)))
        difference = paired(bits[-1, :size], bits[lucky, :size])
        errors.append(bits[lucky].mean() + difference.bits - objects.mean())
        claimed.append(told_standard_error(difference, objects=size, count=COUNT))
    assert np.mean(errors) == pytest.approx(0.0, abs=4 * np.std(errors) / np.sqrt(2000))
    # The luckiest is known to be lucky, so its own noise varies a little less than claimed.
    assert np.std(errors) == pytest.approx(np.sqrt(np.mean(np.square(claimed))), rel=0.1)
