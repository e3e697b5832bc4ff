"""A drifting campaign whose scores come late: as many visits as one told at once, and a replay."""

import pytest

from instrument.campaign.drifting import REFERENCE, most_visiting
from instrument.campaign.ledger import Ledger
from instrument.search.protocol import Wait
from tests.instrument.campaign.test_drifting import DriftingBench, config_with, make_plan
from tests.instrument.campaign.test_engine import Killed, killed_at, run
from tests.instrument.fakes import make_config


def told_late(plan, bench, *, lag):
    """Return the phases of what was proposed, each told `lag` trials late."""
    phases, pending = [], []

    def tell_oldest():
        number, proposal = pending.pop(0)
        plan.tell(bench.measure(number, proposal))

    while True:
        proposal = plan.ask([each for _, each in pending])
        if proposal is Wait.WAIT:
            tell_oldest()
            continue
        if proposal is None:
            break
        pending.append((len(phases), proposal))
        phases.append(proposal.phase)
        if len(pending) > lag:
            tell_oldest()
    while pending:
        tell_oldest()
    return phases


@pytest.mark.parametrize("engine", ["sobol", "modal"])
@pytest.mark.parametrize("every", [2, 8])
def test_as_many_trials_lie_between_visits_as_the_file_says(tmp_path, engine, every):
    drift = {"every": every, "reference": "start", "follow": {}}
    config = config_with(tmp_path, trials=30, engine=engine, drift=drift)
    phases = told_late(make_plan(config), DriftingBench(), lag=2)
    between = "".join("R" if phase == REFERENCE else "." for phase in phases).split("R")
    assert max(len(run) for run in between) == every
    assert phases.count(REFERENCE) <= most_visiting(config.drift, config.search.trials)
    assert all(run for run in between[:-1]), "two visits follow each other"


@pytest.mark.parametrize(("method", "call"), [("ask", 9), ("capture", 7), ("score", 6)])
@pytest.mark.parametrize("workers", [0, 1])
def test_killed_it_goes_on_with_the_same_designs_and_offsets(
    tmp_path, monkeypatch, method, call, workers
):
    config = make_config(
        tmp_path,
        safety={"self_check_repeats": 0},
        score={"workers": workers},
        search={"told_late": 2},
        drift={"every": 4, "follow": {"focus": {"step_um": 2}}},
    )
    with Ledger.create(tmp_path / "run", {}) as ledger:
        killed_at(ledger, monkeypatch, method, call)
        with pytest.raises(Killed):
            run(config, ledger)
        before = ledger.trials()
    with Ledger.open(tmp_path / "run") as ledger:
        run(config, ledger)
        after = ledger.trials()
    for then, now in zip(before, after, strict=False):
        assert (then.design, then.plan, then.phase) == (now.design, now.plan, now.phase)
        assert [part.sha256 for part in then.parts] == [part.sha256 for part in now.parts] or (
            then.state == "asked"
        )
    with Ledger.open(tmp_path / "run") as ledger:
        run(config, ledger)  # a replay from the record alone proposes nothing else
        assert ledger.trials() == after
