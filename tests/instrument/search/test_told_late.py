"""Engines whose scores come late: up to `lag` of them are pending when the next design is asked."""

import numpy as np
import pytest

from instrument.design import DesignSpace, Parameter
from instrument.search import ENGINES, Wait, make_engine
from instrument.search.confirm import Confirmation
from tests.instrument.search.test_modal import SHAPES

LATE = [name for name in ENGINES if name not in {"auto", "exhaustive"}]
BUDGET = 40


def run_late(bench, engine, *, lag, most=200):
    """Observations in order, and at which trials the engine had to wait."""
    pending, seen, waits = [], [], []
    while len(seen) < most:
        while len(pending) > lag:
            engine.tell(pending.pop(0))
        design = engine.ask(len(seen), [each.design for each in pending])
        while design is Wait.WAIT:
            waits.append(len(seen))
            engine.tell(pending.pop(0))  # fails where it waits for nothing
            design = engine.ask(len(seen), [each.design for each in pending])
        if design is None:
            break
        pending.append(bench.observe(len(seen), design))
        seen.append(pending[-1])
    for each in pending:
        engine.tell(each)
    return seen, waits


@pytest.fixture
def bench(three_modes, known_bench):
    return known_bench(
        space=three_modes,
        optimum=np.array([0.4, -0.7, 2.0]),
        shape=lambda squared: 1.0 - squared,
        standard_error=0.02,
        noise_seed=11,
        per_unit=np.array([1.0, 1.0, 0.2]),
    )


def engine_of(name, bench):
    return make_engine(name, bench.space, seed=5, budget=BUDGET)


@pytest.mark.parametrize("name", LATE)
def test_told_at_once_nothing_changes(name, bench):
    seen, waits = run_late(bench, engine_of(name, bench), lag=0)
    assert seen == bench.run(engine_of(name, bench))
    assert waits == []


@pytest.mark.parametrize("lag", [1, 2, 5])
@pytest.mark.parametrize("name", LATE)
def test_told_late_it_keeps_its_budget_and_asks_for_no_design_twice(name, lag, bench):
    seen, _ = run_late(bench, engine_of(name, bench), lag=lag)
    vectors = np.array([bench.space.to_vector(each.design) for each in seen])
    if name != "modal":  # which measures its centre again between sweeps, and ends by itself
        assert len(seen) == BUDGET
        assert len(np.unique(vectors, axis=0)) == BUDGET
    assert seen[0].design == bench.space.start
    assert len(seen) <= BUDGET


@pytest.mark.parametrize("name", LATE)
def test_a_search_asked_again_in_the_same_way_proposes_the_same(name, bench):
    again = run_late(bench, engine_of(name, bench), lag=2)
    assert run_late(bench, engine_of(name, bench), lag=2) == again


@pytest.mark.parametrize("name", ["tpe", "sobol", "random"])
def test_pending_scores_are_no_obstacle(name, bench):
    assert run_late(bench, engine_of(name, bench), lag=5)[1] == []


def test_a_generation_is_complete_before_the_next_one_begins(bench):
    """Three dimensions: 4 + floor(3 ln 3) = 7 draws a generation (Hansen 2016, table 1)."""
    waits = run_late(bench, engine_of("cmaes", bench), lag=2)[1]
    assert sorted(set(waits)) == [8, 15, 22, 29, 36]


def test_every_combination_is_tried_once(known_bench):
    choice = Parameter(
        name="filter", unit="", lower=0.0, upper=5.0, labels=("filter",), start=(2.0,),
        choices=("a", "b", "c", "d", "e", "f"),
    )  # fmt: skip
    bench = known_bench(
        space=DesignSpace((choice,)), optimum=np.array([4.0]), shape=lambda r2: -r2,
        standard_error=0.0, noise_seed=0,
    )  # fmt: skip
    engine = make_engine("exhaustive", bench.space, seed=1, budget=20)
    seen, waits = run_late(bench, engine, lag=3)
    assert sorted(bench.space.to_vector(each.design)[0] for each in seen) == [0, 1, 2, 3, 4, 5]
    assert waits == []


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shape", SHAPES)
def test_a_sweep_two_trials_late_corrects_as_much(shape, seed, microscope, known_bench):
    """As `test_a_radian_of_aberration_is_corrected_to_a_third_of_it`, which is told at once."""
    optimum = np.random.default_rng(seed).normal(size=13)
    optimum *= 1.0 / np.linalg.norm(optimum)
    optimum[12] *= 10.0
    bench = known_bench(
        space=microscope, optimum=optimum, shape=SHAPES[shape], standard_error=0.015,
        noise_seed=seed, per_unit=np.array([1.0] * 12 + [0.1]),
    )  # fmt: skip
    engine = make_engine("modal", bench.space, seed=seed, budget=90)
    seen, waits = run_late(bench, engine, lag=2)
    assert bench.distance(engine.best()) < 0.3
    assert len(seen) == 1 + 3 * 2 * 13 + 2 * 2  # as many as when it is told at once
    assert len(set(waits)) == 2 * 2 + 1  # twice between sweeps, and at its end


def test_one_mode_alone_waits_for_its_own_line(make_modes, known_bench):
    bench = known_bench(
        space=DesignSpace((make_modes("pupil", "rad", 2.0, 1),)), optimum=np.array([0.3]),
        shape=SHAPES["quadratic"], standard_error=0.0, noise_seed=0,
    )  # fmt: skip
    engine = make_engine("modal", bench.space, seed=0, budget=30)
    run_late(bench, engine, lag=3)
    assert bench.distance(engine.best()) == pytest.approx(0.0, abs=1e-6)


def test_repeats_are_known_in_advance(three_modes):
    a, b = three_modes.start, three_modes.from_vector([0.1, 0.2, 0.3])
    confirmation = Confirmation({"a": a, "b": b}, repeats=2)
    asked = []
    while (design := confirmation.ask(len(asked), asked)) is not None:
        asked.append(design)
    assert asked == [a, b, b, a]
