"""What every engine promises. A new engine adds its name to the list, not a test."""

import dataclasses
import logging
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from instrument.design import DesignSpace, Parameter
from instrument.search import ENGINES, EngineError, Observation, choose_engine, make_engine

NAMES = [name for name in ENGINES if name not in {"auto", "exhaustive"}]  # see test_choices.py
BUDGET = 30

every_engine = pytest.mark.parametrize("name", NAMES)


def quadratic(squared_distance):
    return 1.0 - squared_distance


@pytest.fixture
def bench(three_modes, known_bench):
    """Widths scaled so that each range is 4: score 1 at the optimum, -3 one step of 2 away."""
    return known_bench(
        space=three_modes,
        optimum=np.array([0.4, -0.7, 2.0]),
        shape=quadratic,
        standard_error=0.02,
        noise_seed=11,
        per_unit=np.array([1.0, 1.0, 0.2]),
    )


@st.composite
def spaces(draw):
    """One or two parameters of any width and place, each starting anywhere within."""
    parameters = []
    for index in range(draw(st.integers(1, 2))):
        lower = draw(st.floats(-1e4, 1e4))
        width = draw(st.floats(1e-3, 1e4))
        fractions = draw(st.lists(st.floats(0, 1), min_size=1, max_size=3))
        upper = lower + width
        parameters.append(
            Parameter(
                name=f"p{index}",
                unit="rad",
                lower=lower,
                upper=upper,
                labels=tuple(map(str, range(len(fractions)))),
                start=tuple(min(lower + f * width, upper) for f in fractions),
                modal=True,
            )
        )
    return DesignSpace(tuple(parameters))


@every_engine
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    space=spaces(),
    seed=st.integers(0, 2**32 - 1),
    scores=st.lists(st.none() | st.floats(-1e3, 1e3), min_size=40, max_size=40),
)
def test_no_score_drives_a_proposal_out_of_bounds(name, space, seed, scores):
    engine = make_engine(name, space, seed=seed, budget=40)
    for trial, score in enumerate(scores):
        design = engine.ask(trial)
        if design is None:
            break
        space.check(design)
        engine.tell(
            Observation(trial=trial, design=design, score=score, standard_error=0.1, cost_s=1.0)
        )
    best = engine.best()
    assert best is None or space.check(best) is None


@every_engine
def test_the_first_proposal_is_the_start(name, bench):
    assert make_engine(name, bench.space, seed=1, budget=BUDGET).ask(0) == bench.space.start


@every_engine
def test_asking_changes_nothing(name, bench):
    engine = make_engine(name, bench.space, seed=1, budget=BUDGET)
    often = make_engine(name, bench.space, seed=1, budget=BUDGET)
    for trial, observation in enumerate(bench.run(engine)):
        asked = [often.ask(trial), often.ask(trial)]
        assert asked == [observation.design] * 2
        often.tell(observation)


@every_engine
@pytest.mark.parametrize("fails_every", [None, 4])
def test_resumed_at_any_trial_it_proposes_the_same(name, fails_every, bench, replay):
    bench.fails_every = fails_every
    unbroken = bench.run(make_engine(name, bench.space, seed=5, budget=BUDGET))
    resumed = [
        replay(make_engine(name, bench.space, seed=5, budget=BUDGET), unbroken[:done]).ask(done)
        for done in range(len(unbroken))
    ]
    assert resumed == [observation.design for observation in unbroken]


@every_engine
def test_a_replayed_engine_believes_the_same(name, bench, replay):
    engine = make_engine(name, bench.space, seed=5, budget=BUDGET)
    observations = bench.run(engine)
    again = replay(make_engine(name, bench.space, seed=5, budget=BUDGET), observations)
    assert again.best() == engine.best()


@pytest.mark.parametrize("name", [name for name in NAMES if name != "modal"])
def test_another_seed_proposes_another_search(name, bench):
    first, second = (
        bench.run(make_engine(name, bench.space, seed=seed, budget=3)) for seed in (1, 2)
    )
    assert first[2].design != second[2].design


@every_engine
def test_it_stops_at_its_budget(name, bench):
    assert len(bench.run(make_engine(name, bench.space, seed=1, budget=7))) == 7


@every_engine
def test_failed_trials_do_not_stop_it(name, bench):
    bench.fails_every = 3
    engine = make_engine(name, bench.space, seed=3, budget=BUDGET)
    observations = bench.run(engine)
    assert len(observations) >= 23  # modal: 1 + 3 sweeps of 6 + 2 times 2 between them
    least = bench.true_score(bench.space.start) - 5 * bench.standard_error
    assert bench.true_score(engine.best()) > least


@every_engine
def test_without_any_score_it_believes_in_nothing(name, bench):
    bench.fails_every = 1
    bench.observe = lambda trial, design: Observation(
        trial=trial, design=design, score=None, standard_error=0.02, cost_s=1.0
    )
    engine = make_engine(name, bench.space, seed=3, budget=BUDGET)
    assert len(bench.run(engine)) > 1
    assert engine.best() is None


@every_engine
def test_a_design_from_a_person_does_not_derail_it(name, bench):
    engine = make_engine(name, bench.space, seed=3, budget=BUDGET)
    engine.tell(bench.observe(0, bench.space.start))
    engine.tell(bench.observe(1, bench.space.from_vector([1.9, 1.9, -9.0])))
    bench.run(engine)
    least = bench.true_score(bench.space.start) - 5 * bench.standard_error
    assert bench.true_score(engine.best()) > least


def test_modal_ends_within_the_error_of_its_last_parabolas(bench):
    """Slope b of points at +-h with error s has variance s^2 / 2h^2, curvature here is exactly -1.

    The top -b / 2k then has standard deviation s / (2 sqrt(2) h) a mode; h is the last sweep's.
    """
    from instrument.search.engines.modal import SHRINK, STEP_FRACTION

    engine = make_engine("modal", bench.space, seed=0, budget=BUDGET)
    bench.run(engine)
    last_step = 4.0 * STEP_FRACTION * SHRINK**2
    deviation = bench.standard_error / (2 * math.sqrt(2) * last_step)
    assert bench.distance(engine.best()) < 5 * deviation * math.sqrt(3)


@pytest.mark.parametrize("name", ["tpe", "cmaes"])
def test_a_black_box_engine_beats_the_median_of_random_search(name, bench):
    """The nearest of n uniform points is within r with probability 1 - exp(-n V_3 r^3 / volume)."""
    trials = 80
    nearest = (math.log(2) * 4.0**3 / (trials * 4 / 3 * math.pi)) ** (1 / 3)
    reached = []
    for seed in range(5):
        engine = make_engine(name, bench.space, seed=seed, budget=trials)
        bench.run(engine)
        reached.append(bench.distance(engine.best()))
    assert float(np.mean(reached)) < nearest


def test_sobol_fills_the_box_more_evenly_than_chance(bench):
    """Each half of each range gets half of the points: exact for 32 scrambled Sobol points."""
    engine = make_engine("sobol", bench.space, seed=3, budget=33)
    observations = bench.run(engine)
    points = np.array([bench.space.to_vector(o.design) for o in observations[1:]])
    assert np.abs(np.sum(points > 0, axis=0) - 16).max() <= 1  # the first point is the start


@pytest.mark.parametrize(
    ("count", "is_modal", "expected"),
    [(12, True, "modal"), (300, True, "modal"), (20, False, "tpe"), (21, False, "cmaes")],
)
def test_auto_chooses_by_modes_then_by_dimensions(count, is_modal, expected, make_modes):
    parameter = dataclasses.replace(make_modes("pupil", "rad", 1.0, count), modal=is_modal)
    assert choose_engine(DesignSpace((parameter,)), budget=100) == expected


def test_one_parameter_without_modes_rules_out_the_modal_sweep(make_modes):
    focus = dataclasses.replace(make_modes("focus", "um", 1.0, 1), modal=False)
    space = DesignSpace((make_modes("pupil", "rad", 1.0, 2), focus))
    assert choose_engine(space, budget=100) == "tpe"


@pytest.mark.parametrize(
    ("name", "budget", "steps", "message"),
    [
        ("modale", 9, None, "'modale' is unknown; use one of auto, modal, tpe, cmaes"),
        ("modal", 0, None, "0 trials are left to the engine, 1 needed"),
        ("tpe", 9, {"pupil": 0.5}, "engine tpe takes no steps; only modal does"),
    ],
)
def test_an_impossible_engine_is_refused_in_a_sentence(name, budget, steps, message, bench):
    with pytest.raises(EngineError, match=message):
        make_engine(name, bench.space, seed=0, budget=budget, steps=steps)


def test_optuna_says_nothing_and_keeps_its_log_level(bench):
    import optuna

    said = []
    listener = logging.Handler()
    listener.emit = said.append
    optuna.logging.set_verbosity(optuna.logging.INFO)
    logging.getLogger("optuna").addHandler(listener)
    bench.run(make_engine("tpe", bench.space, seed=0, budget=13))
    logging.getLogger("optuna").removeHandler(listener)
    assert (said, optuna.logging.get_verbosity()) == ([], optuna.logging.INFO)
