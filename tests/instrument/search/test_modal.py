"""The modal sweep on a 13-mode microscope: 12 Zernike modes and a focus stage."""

import dataclasses
import math

import numpy as np
import pytest

from instrument.design import DesignSpace
from instrument.search import EngineError, make_engine

SHAPES = {
    "quadratic": lambda r2: 1.0 - 0.5 * r2,
    "gaussian": lambda r2: math.exp(-r2),
    "lorentzian": lambda r2: 1.0 / (1.0 + r2),
    "logarithm": lambda r2: 1.0 - 0.3 * math.log1p(3 * r2),
    "gaussian on a pedestal": lambda r2: math.exp(-r2) + 0.1 / (1.0 + r2),
}


@pytest.fixture
def aberrated(microscope, known_bench):
    """About 1 rad rms of unknown modes; 10 um of focus are 1 rad, scores known to 1.5 %."""

    def bench(seed, shape):
        optimum = np.random.default_rng(seed).normal(size=13)
        optimum *= 1.0 / np.linalg.norm(optimum)
        optimum[12] *= 10.0
        return known_bench(
            space=microscope,
            optimum=optimum,
            shape=SHAPES[shape],
            standard_error=0.015,
            noise_seed=seed,
            per_unit=np.array([1.0] * 12 + [0.1]),
        )

    return bench


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shape", SHAPES)
def test_a_radian_of_aberration_is_corrected_to_a_third_of_it(shape, seed, aberrated):
    bench = aberrated(seed, shape)
    engine = make_engine("modal", bench.space, seed=seed, budget=90)
    bench.run(engine)
    assert bench.distance(engine.best()) < 0.3


def test_it_knows_how_many_trials_it_needs(aberrated):
    """The start, three sweeps of two points a mode, and two points between sweeps."""
    bench = aberrated(0, "gaussian")
    observations = bench.run(make_engine("modal", bench.space, seed=0, budget=1000))
    assert len(observations) == 1 + 3 * 2 * 13 + 2 * 2


def test_steps_are_in_the_unit_of_their_parameter(aberrated):
    bench = aberrated(0, "gaussian")
    steps = {"pupil": 0.5, "focus": 2.5}
    engine = make_engine("modal", bench.space, seed=0, budget=30, steps=steps)
    trials = [bench.space.to_vector(o.design) for o in bench.run(engine)]
    assert (trials[1][0], trials[2][0]) == (0.5, -0.5)
    assert trials[25][12] - trials[0][12] == 2.5


@pytest.mark.parametrize("edge", [-2.0, 2.0])
def test_at_a_bound_both_points_lie_inside(edge, make_modes, known_bench):
    space = DesignSpace((make_modes("pupil", "rad", 2.0, 1, start=edge),))
    bench = known_bench(
        space=space,
        optimum=np.array([edge / 2]),
        shape=SHAPES["quadratic"],
        standard_error=0.0,
        noise_seed=0,
    )
    points = [
        bench.space.to_vector(o.design)[0]
        for o in bench.run(make_engine("modal", space, seed=0, budget=3, steps={"pupil": 0.5}))
    ]
    assert points == [edge, edge - math.copysign(0.5, edge), edge - math.copysign(1.0, edge)]


def test_a_sweep_whose_centre_is_lost_goes_on_from_the_score_it_expects(make_modes, known_bench):
    """One mode, no noise: trials 3 and 4 between sweeps fail, the parabola keeps its top."""
    bench = known_bench(
        space=DesignSpace((make_modes("pupil", "rad", 2.0, 1),)),
        optimum=np.array([0.3]),
        shape=SHAPES["quadratic"],
        standard_error=0.0,
        noise_seed=0,
    )
    observe = bench.observe
    bench.observe = lambda trial, design: (
        dataclasses.replace(observe(trial, design), score=None)
        if trial in {3, 4}
        else observe(trial, design)
    )
    engine = make_engine("modal", bench.space, seed=0, budget=7)
    assert len(bench.run(engine)) == 7
    assert bench.distance(engine.best()) == pytest.approx(0.0, abs=1e-9)


def test_it_waits_for_its_own_design(aberrated):
    bench = aberrated(0, "gaussian")
    engine = make_engine("modal", bench.space, seed=0, budget=90)
    engine.tell(bench.observe(0, bench.space.start))
    asked = engine.ask(1)
    engine.tell(bench.observe(1, bench.space.from_vector([0.1] * 13)))
    assert engine.ask(2) == asked


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ({"pupl": 0.5}, "no parameter pupl; there is pupil, focus"),
        ({"pupil": 0.0}, "steps.pupil: 0 rad, allowed above 0 to a quarter of the range, 1 rad"),
        ({"focus": 6.0}, "steps.focus: 6 um, allowed above 0 to a quarter of the range, 5 um"),
    ],
)
def test_an_impossible_step_is_refused_in_a_sentence(steps, message, microscope):
    with pytest.raises(EngineError, match=message):
        make_engine("modal", microscope, seed=0, budget=90, steps=steps)
