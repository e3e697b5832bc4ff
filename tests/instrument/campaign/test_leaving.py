"""The end of a run: a bench that did not get to where `on_stop` wants it is no finished run."""

import threading

from instrument.campaign.engine import Campaign
from instrument.campaign.events import EventBus
from instrument.campaign.ledger import Ledger
from instrument.campaign.outcome import Outcome
from instrument.campaign.run import _run_campaign
from tests.instrument.fakes import broken, make_bench, make_config


def test_a_best_design_that_could_not_be_set_at_the_end_is_a_failure(tmp_path, monkeypatch):
    bench = make_bench(make_config(tmp_path))

    def searched(campaign):
        bench.devices["focus"].fails_on["start"] = broken()
        return Outcome(
            trials=1, best_trial=0, best_design=campaign.space.start, best_bits_per_pixel=1.0,
            standard_error=0.1, initial_bits_per_pixel=1.0, decision=None,
        )  # fmt: skip

    monkeypatch.setattr(Campaign, "run", searched)
    with Ledger.create(tmp_path / "run", {}) as ledger:
        ending = _run_campaign(bench, ledger, EventBus(), threading.Event())
    assert (ending.status, ending.why) == ("failed", "cable pulled")
    assert ending.outcome.best_trial == 0
