"""A closed loop on benches of twins: from the shipped file, through the real core, to a design."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivers.virtual.options import VIRTUAL_BENCHES, PupilMicroscopeOptions
from instrument.campaign.control import Control
from instrument.campaign.events import EventBus
from instrument.campaign.ledger import TrialRow
from instrument.campaign.run import RunResult, create_run, execute
from instrument.config import load_config

CONFIGS = Path(__file__).parents[3] / "configs"
SMALL = ["search.engine=exhaustive", "search.confirm.repeats=1"]


@pytest.fixture
def run_to_the_end(tmp_path):
    def run_to_the_end(name: str, changes: list[str]) -> tuple[RunResult, list[TrialRow]]:
        config = load_config(CONFIGS / f"{name}.yaml", overrides=[*SMALL, *changes], seed=5)
        bus = EventBus()
        with create_run(config, tmp_path / "run", name=name) as ledger:
            try:
                result = execute(config, ledger, bus, control=Control())
            finally:
                bus.close()
            assert result.status == "finished"
            assert not result.unsafe
            return result, list(ledger.trials())

    return run_to_the_end


def test_the_loop_opens_one_of_two_holes_of_a_mask(run_to_the_end):
    changes = ["bench.micromanager.cells=[1, 2]", "design.mask.cells=[1, 2]", "search.trials=8"]
    fewer = ["bench.micromanager.sites=3", "objects.stage_grid.count=9"]
    result, trials = run_to_the_end("lensless", changes + fewer)
    assert sum(result.outcome.best_design.values["mask"]) == 1.0
    assert result.outcome.best_bits_per_pixel > 1.2 * result.outcome.initial_bits_per_pixel
    assert {trial.state for trial in trials} == {"scored"}


def test_the_loop_prefers_a_long_baseline_to_two_telescopes_side_by_side(run_to_the_end):
    changes = ["bench.micromanager.stations=2", "bench.micromanager.sites=9"]
    pairs = "design.stations.choices=[ALMA+APEX, ALMA+LMT]"
    result, _ = run_to_the_end(
        "interferometer", [*changes, pairs, "objects.stage_grid.count=81", "search.trials=4"]
    )
    assert result.outcome.best_design.values["stations"] == (1.0,)
    assert result.outcome.best_bits_per_pixel > 2 * result.outcome.initial_bits_per_pixel


@pytest.mark.parametrize("model", VIRTUAL_BENCHES, ids=lambda model: model.__name__)
def test_every_virtual_bench_has_a_bench_file(model):
    name = "demo" if model is PupilMicroscopeOptions else model().virtual
    config = load_config(CONFIGS / f"{name}.yaml")
    assert isinstance(config.bench.micromanager, model)
