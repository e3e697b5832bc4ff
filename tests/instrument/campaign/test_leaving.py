"""The end of a run: a bench that did not get to where `on_stop` wants it is no finished run."""

import threading

from instrument.campaign import run as run_module
from instrument.campaign.engine import Campaign
from instrument.campaign.events import EventBus
from instrument.campaign.ledger import Ledger
from instrument.campaign.run import execute
from tests.instrument.fakes import broken, make_bench, make_config


def test_a_best_design_that_could_not_be_set_at_the_end_is_a_failure(tmp_path, monkeypatch):
    config = make_config(tmp_path, safety={"recover": {"attempts": 0}})
    bench = make_bench(config)
    monkeypatch.setattr(run_module, "connect", lambda _config: bench)

    search = Campaign.run

    def searched(campaign):
        outcome = search(campaign)
        bench.devices["focus"].fails_on["start"] = broken()
        return outcome

    monkeypatch.setattr(Campaign, "run", searched)
    with Ledger.create(tmp_path / "run", {}) as ledger:
        ending = execute(config, ledger, EventBus(), stop=threading.Event())
    assert (ending.status, ending.why) == ("failed", "cable pulled")
    assert ending.outcome.best_trial is not None
