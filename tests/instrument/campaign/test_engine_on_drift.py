"""A campaign with a `drift` section: what the ledger holds, and that a kill changes nothing."""

import pytest

from instrument.campaign.control import AbortAsked, Control
from instrument.campaign.engine import Campaign
from instrument.campaign.events import EventBus
from instrument.campaign.ledger import Ledger
from tests.instrument.fakes import make_bench, make_config


class Killed(BaseException):
    """Stands for a kill -9: nothing may catch it."""


def run(config, ledger):
    bus = EventBus()
    try:
        campaign = Campaign(make_bench(config), ledger, bus, control=Control())
        campaign.run()
        return campaign
    finally:
        bus.close()


@pytest.fixture
def config(tmp_path):
    return make_config(
        tmp_path,
        safety={"self_check_repeats": 0},
        drift={"every": 4, "follow": {"focus": {"step_um": 2}}},
    )


def test_visits_are_in_the_ledger_with_their_offsets_and_what_they_say(config, tmp_path):
    with Ledger.create(tmp_path / "run", {}) as ledger:
        run(config, ledger)
        rows, meta = ledger.trials(), ledger.meta()
    visits = [row for row in rows if row.phase == "reference"]
    assert len(visits) % 3 == 0
    assert rows[0].phase == "initial"
    assert all(len(row.plan["offsets"]["focus"]) == 1 for row in rows)
    assert {entry["trial"] for entry in meta["drift"]} <= {row.number for row in visits}
    assert set(meta["drift"][0]) >= {
        "at_s", "trial", "score", "standard_error", "correction_bits", "offsets",
    }  # fmt: skip
    for row in rows:
        beside = row.estimate["drift"]
        assert beside["corrected"] == pytest.approx(row.score + beside["correction_bits"])


def test_the_bench_is_brought_to_the_moved_design(config, tmp_path, monkeypatch):
    bench = make_bench(config)
    with Ledger.create(tmp_path / "run", {}) as ledger:
        Campaign(bench, ledger, EventBus(), control=Control()).run()
        last = ledger.trials()[-1]
    moved_um = last.design.values["focus"][0] + last.plan["offsets"]["focus"][0]
    assert bench.devices["focus"].at == pytest.approx(moved_um)


@pytest.mark.parametrize(("method", "call"), [("ask", 2), ("capture", 6), ("score", 9)])
def test_a_killed_campaign_goes_on_with_the_same_designs_and_offsets(
    config, tmp_path, monkeypatch, method, call
):
    with Ledger.create(tmp_path / "killed", {}) as ledger:
        original, calls = getattr(ledger, method), iter(range(10**6))

        def deadly(*args, **keywords):
            if next(calls) == call:
                raise Killed
            return original(*args, **keywords)

        monkeypatch.setattr(ledger, method, deadly)
        with pytest.raises(Killed):
            run(config, ledger)
        before = ledger.trials()
    with Ledger.open(tmp_path / "killed") as ledger:
        campaign = run(config, ledger)
        after = ledger.trials()
        history = campaign._drifting.history()
    for then, now in zip(before, after, strict=False):
        assert (then.design, then.plan, then.phase) == (now.design, now.plan, now.phase)
    with Ledger.open(tmp_path / "killed") as ledger:
        # Replayed once more from the record alone: what is known of the drift is the same.
        assert run(config, ledger)._drifting.history() == history
        assert ledger.trials() == after


def test_visits_to_the_reference_are_no_repeats_of_the_best_design(tmp_path):
    """Ended after the first visit, the start is the best: by its own trial."""
    config, control = (
        make_config(tmp_path, safety={"self_check_repeats": 0}, drift={"every": 4, "follow": {}}),
        Control(),
    )
    bus = EventBus()
    with Ledger.create(tmp_path / "run", {}) as ledger:
        score = ledger.score

        def abort_after_the_visit(number, **values):
            score(number, **values)
            if number == 1:
                control.abort("enough")

        ledger.score = abort_after_the_visit
        campaign = Campaign(make_bench(config), ledger, bus, control=control)
        with pytest.raises(AbortAsked):
            campaign.run()
        first, visit = ledger.trials()
        outcome = campaign.outcome()
    assert (visit.phase, visit.design) == ("reference", first.design)
    assert outcome.best_trial == 0
    assert outcome.best_bits_per_pixel == first.estimate["bits_per_pixel"]
