"""What a plan is told live is what a replay of the ledger tells it, whichever features meet."""

import pytest

from drivers import DeviceError
from instrument.campaign.control import Control
from instrument.campaign.engine import Campaign
from instrument.campaign.events import EventBus
from instrument.campaign.ledger import Ledger
from tests.instrument.fakes import broken, make_bench, make_config

DRIFT = {"every": 4, "follow": {"focus": {"step_um": 2}}}
TO_THE_END = {"start": 4, "standard_error_bits_per_pixel": 1e-9, "error_rate": 1e-99}
FEATURES = {
    "late": {"search": {"told_late": 2}},
    "workers": {"search": {"told_late": 2}, "score": {"workers": 1}},
    "late, drift": {"search": {"told_late": 2}, "score": {"workers": 1}, "drift": DRIFT},
    "adaptive": {"batch": {"adaptive": TO_THE_END}},
    "adaptive, drift": {"batch": {"adaptive": TO_THE_END}, "drift": DRIFT},
    "adaptive, late": {"batch": {"adaptive": TO_THE_END}, "search": {"told_late": 2}},
}


def make_campaign(config, ledger, bench, told):
    """Return a campaign that notes everything its plan is told."""
    campaign = Campaign(bench, ledger, EventBus(), control=Control())
    tell = campaign._plan.tell

    def noted(observation):
        told.append(observation)
        tell(observation)

    campaign._plan.tell = noted
    return campaign


def fails_at(bench, *exposures):
    """Let the camera fail at some exposures, counted from 0."""
    camera = bench.devices["camera"]
    snap, count = camera.snap, iter(range(10**6))

    def snap_or_fail(*, timeout_s):
        if next(count) in exposures:
            raise broken()
        return snap(timeout_s=timeout_s)

    camera.snap = snap_or_fail
    return bench


@pytest.mark.parametrize("captures", [1, 3])
@pytest.mark.parametrize("features", FEATURES)
def test_also_after_a_fault_in_the_middle_of_a_trial(tmp_path, features, captures):
    recover = {"captures": captures}
    sections = {"safety": {"self_check_repeats": 0, "recover": recover}, **FEATURES[features]}
    config, live, replayed = make_config(tmp_path, **sections), [], []
    with Ledger.create(tmp_path / "run", {}) as ledger:
        campaign = make_campaign(config, ledger, fails_at(make_bench(config), 104), live)
        with pytest.raises(DeviceError):
            campaign.run()
        before = [row for row in ledger.trials() if row.parts]
        campaign.use(make_bench(config))
        campaign.run()
        rows = ledger.trials()
    assert [told.trial for told in live] == [row.number for row in rows]
    assert [row.state for row in rows].count("failed") == (1 if captures == 1 else 0)
    for then in before:
        assert rows[then.number].parts[: len(then.parts)] == then.parts
    with Ledger.open(tmp_path / "run") as ledger:
        make_campaign(config, ledger, make_bench(config), replayed).run()
        assert ledger.trials() == rows
    assert replayed == live
