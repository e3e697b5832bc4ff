"""Engines search the spaces of patterns: what they propose, the bench can show."""

import pytest

from instrument.config import parse_config
from instrument.search import Observation, choose_engine, make_engine
from tests.instrument.fakes import make_bench, make_config

REGION = {"height": 8, "width": 8}
PATTERNS = {
    "raw": {"basis": "raw", "bounds_rad": [0, 6.3], "region": REGION},
    "fourier": {"basis": "fourier", "cycles": [1, 1], "bounds_rad": [-1, 1]},
    "hadamard": {"basis": "hadamard", "blocks": [2, 4], "bounds_grey": [-18, 18]},
}
AUTO = {"raw": "cmaes", "fourier": "modal", "hadamard": "tpe"}
TRIALS = 6


def bench_of(tmp_path, name):
    config = make_config(tmp_path).model_dump(mode="json")
    design = {"pupil": {"role": "slm", **PATTERNS[name]}}
    return make_bench(parse_config({**config, "design": design}, source="t", folder=tmp_path))


@pytest.mark.parametrize("engine", ["auto", "tpe", "cmaes", "sobol"])
@pytest.mark.parametrize("name", PATTERNS)
def test_every_proposal_is_a_pattern_that_can_be_shown(tmp_path, name, engine):
    bench = bench_of(tmp_path, name)
    space = bench.space()
    optimizer = make_engine(engine, space, seed=1, budget=TRIALS)
    shown = set()
    for trial in range(TRIALS):
        design = optimizer.ask(trial)
        (setting,) = bench.check(design, space=space)
        shown.add(setting["slm"].tobytes())
        score = float(trial % 3)
        optimizer.tell(
            Observation(trial=trial, design=design, score=score, standard_error=0.1, cost_s=1.0)
        )
    assert len(shown) >= TRIALS - 1  # a sweep begins and may end at its centre


@pytest.mark.parametrize("name", PATTERNS)
def test_auto_sweeps_phases_of_modes_and_samples_the_rest(tmp_path, name):
    assert choose_engine(bench_of(tmp_path, name).space(), budget=100) == AUTO[name]
