"""The campaign compares repeats of a still scene with its calibration, and loses no run over it."""

import numpy as np
import pytest

from drivers import DeviceError
from instrument.bench.interlocks import Interlock, InterlockTripped
from instrument.campaign import pausing
from instrument.campaign.control import AbortAsked, Control
from instrument.campaign.engine import Campaign
from instrument.campaign.events import EventBus, NoiseChecked, Notice, TrialStarted
from instrument.campaign.ledger import Ledger
from instrument.config import ConfigError
from tests.instrument.fakes import FakeMeter, Log, broken, make_bench, make_config

TRIALS = {"search": {"trials": 3}}


@pytest.fixture
def ledger(tmp_path):
    with Ledger.create(tmp_path / "run", {}) as ledger:
        yield ledger


def run(config, ledger, *, bench=None, control=None):
    """Run a campaign to its end; return its bench, its events and what it raised."""
    seen, raised = [], None
    bus = EventBus()
    bus.subscribe(seen.append, name="test")
    bench = bench or make_bench(config)
    try:
        Campaign(bench, ledger, bus, control=control or Control()).run()
    except (AbortAsked, DeviceError, InterlockTripped) as error:
        raised = error
    finally:
        bus.close()
    return bench, seen, raised


def checks(ledger):
    return ledger.meta().get("self_checks", [])


def test_the_noise_is_checked_before_the_first_trial_and_after_the_last(tmp_path, ledger):
    _, seen, _ = run(make_config(tmp_path, **TRIALS), ledger)
    kinds = [type(e).__name__ for e in seen if isinstance(e, NoiseChecked | TrialStarted)]
    assert kinds == ["NoiseChecked", *["TrialStarted"] * 3, "NoiseChecked"]
    assert [(c["when"], c["trials"]) for c in checks(ledger)] == [("start", 0), ("end", 3)]
    assert [c["repeats"] for c in checks(ledger)] == [8, 8]


def test_an_honest_calibration_is_no_alarm(tmp_path, ledger):
    # 256 pixels: the fake's counts are those of `noise: {gain: 1, offset: 100, read_noise: 1}`
    config = make_config(tmp_path, safety={"self_check_repeats": 16}, **TRIALS)
    bench = make_bench(config)
    bench.devices["camera"].rng = np.random.default_rng(1)  # of seed 0 one check is 3.05 sigma off
    run(config, ledger, bench=bench)
    for check in checks(ledger):
        assert not check["is_alarm"]
        assert abs(check["difference_bits"]) < 5 * check["standard_error"] < 0.15


def test_a_wrong_calibration_is_a_loud_event_and_no_lost_run(tmp_path, ledger):
    config = make_config(tmp_path, noise={"gain": 2.0}, **TRIALS)
    _, seen, raised = run(config, ledger)
    alarms = [event for event in seen if isinstance(event, NoiseChecked) and event.is_alarm]
    assert [event.when for event in alarms] == ["start", "end"]
    assert alarms[0].headline.startswith("ALARM, noise at the start of the run: 8 repeats")
    # 1/2 log2(2): the counts have half the variance of gain 2
    assert checks(ledger)[0]["difference_bits"] == pytest.approx(-0.5, abs=0.1)
    assert raised is None
    assert [row.state for row in ledger.trials()] == ["scored"] * 3


def test_the_self_check_can_be_switched_off(tmp_path, ledger):
    bench, seen, _ = run(make_config(tmp_path, safety={"self_check_repeats": 0}, **TRIALS), ledger)
    assert checks(ledger) == []
    assert not any(isinstance(event, NoiseChecked) for event in seen)
    assert bench.devices["camera"].lit_frames == 3 * 16


def test_light_is_on_for_the_repeats_only_and_the_start_design_is_looked_at(tmp_path, ledger):
    bench, _, _ = run(make_config(tmp_path, **TRIALS), ledger)
    assert not bench.devices["light"].is_on()
    assert bench.devices["camera"].lit_frames == 3 * 16 + 2 * 8
    names = bench.log.names()
    lit = names.index(("led", "start"))
    dark = names.index(("led", "make_safe"))
    assert names[lit:dark].count(("Camera", "snap")) == 8
    assert ("SLM", "start") in names[:lit]


@pytest.mark.parametrize("repeats", [1, 3, 17, -1])
def test_repeats_that_say_nothing_are_refused(tmp_path, repeats):
    with pytest.raises(ConfigError, match="self_check_repeats"):
        make_config(tmp_path, safety={"self_check_repeats": repeats})


def test_the_least_repeats_are_those_of_the_estimator():
    from estimation.self_check import LEAST_REPEATS
    from instrument.config import _model

    assert _model.LEAST_REPEATS == LEAST_REPEATS


def test_frames_that_cannot_be_checked_are_said_and_the_run_goes_on(tmp_path, ledger):
    config = make_config(tmp_path, safety={"on_saturation": "mark"}, **TRIALS)
    bench = make_bench(config)
    bench.devices["camera"].saturates = True
    _, seen, raised = run(config, ledger, bench=bench)
    (start, *_) = checks(ledger)
    assert "could not be checked" in start["text"]
    assert not start["is_alarm"]
    assert raised is None
    assert any(isinstance(event, NoiseChecked) for event in seen)


def test_a_resumed_run_checks_again_and_a_finished_one_leaves_the_bench_alone(tmp_path, ledger):
    config = make_config(tmp_path, **TRIALS)
    control = Control()
    bench = make_bench(config)
    snap, frames = bench.devices["camera"].snap, iter(range(10**6))

    def abort_in_the_second_trial(*, timeout_s):
        if next(frames) == 40:  # 8 of the self-check, 2 dark and 16 of the first trial
            control.abort("enough")
        return snap(timeout_s=timeout_s)

    bench.devices["camera"].snap = abort_in_the_second_trial
    _, _, raised = run(config, ledger, bench=bench, control=control)
    assert isinstance(raised, AbortAsked)
    assert [c["when"] for c in checks(ledger)] == ["start"]  # who aborts wants no more light
    run(config, ledger)
    assert [(c["when"], c["trials"]) for c in checks(ledger)] == [
        ("start", 0), ("start", 1), ("end", 3),
    ]  # fmt: skip
    bench, _, _ = run(config, ledger)
    assert len(checks(ledger)) == 3
    assert bench.devices["camera"].lit_frames == 0


def test_a_fault_during_the_repeats_ends_the_campaign_in_the_dark(tmp_path, ledger):
    config = make_config(tmp_path, **TRIALS)
    bench = make_bench(config)
    bench.devices["camera"].fails_on = {"snap": broken()}
    _, _, raised = run(config, ledger, bench=bench)
    assert "cable pulled" in str(raised)
    assert not bench.devices["light"].is_on()
    assert ledger.trials() == []
    assert run(config, ledger)[2] is None
    assert [c["when"] for c in checks(ledger)] == ["start", "end"]


def interlocked(config, values, action):
    log = Log()
    interlock = Interlock(
        name="led.temperature_c", meter=FakeMeter("led.temperature_c", log, values),
        below=60.0, above=None, action=action, longest_pause_s=30.0,
    )  # fmt: skip
    return make_bench(config, log, interlocks=[interlock])


def test_an_interlock_pauses_the_repeats_in_the_dark(tmp_path, ledger, monkeypatch):
    monkeypatch.setattr(pausing, "INTERLOCK_POLL_S", 0.0)
    config = make_config(tmp_path, **TRIALS)
    bench = interlocked(config, [20.0, 20.0, 61.0, 20.0], "pause")
    _, seen, raised = run(config, ledger, bench=bench)
    before = seen[: [isinstance(event, NoiseChecked) for event in seen].index(True)]
    assert [e.text.split(":")[0] for e in before if isinstance(e, Notice)] == [
        "paused, light off", "interlock led.temperature_c holds again after 0 s",
    ]  # fmt: skip
    assert raised is None


def test_an_interlock_that_aborts_ends_the_campaign(tmp_path, ledger):
    config = make_config(tmp_path, **TRIALS)
    bench, _, raised = run(config, ledger, bench=interlocked(config, [20.0, 61.0], "abort"))
    assert isinstance(raised, InterlockTripped)
    assert not bench.devices["light"].is_on()
    assert ledger.trials() == []
