import numpy as np
import pytest

from drivers import DeviceError
from instrument.bench.interlocks import Interlock, InterlockTripped
from instrument.campaign import pausing
from instrument.campaign.control import AbortAsked, Control
from instrument.campaign.engine import Campaign
from instrument.campaign.events import EventBus, Notice
from instrument.campaign.ledger import Ledger, LedgerError
from tests.instrument.fakes import FakeMeter, Log, broken, make_bench, make_config


class Killed(BaseException):
    """Stands for a kill -9: nothing may catch it."""


def run(config, ledger, *, bench=None, control=None, observer=None):
    bus = EventBus()
    if observer is not None:
        bus.subscribe(observer, name="test")
    bench = bench or make_bench(config)
    try:
        return Campaign(bench, ledger, bus, control=control or Control()).run()
    finally:
        bus.close()


@pytest.fixture
def config(tmp_path):
    # test_self_check.py is about the frames of the self-check; here every frame is a trial's
    return make_config(tmp_path, safety={"self_check_repeats": 0})


@pytest.fixture
def ledger(tmp_path):
    with Ledger.create(tmp_path / "run", {}) as ledger:
        yield ledger


def test_a_campaign_goes_through_its_phases_within_its_budget(config, ledger):
    outcome = run(config, ledger)
    phases = [row.phase for row in ledger.trials()]
    assert phases[0] == "initial"
    assert set(phases[1:]) == {"search", "confirm"}
    assert phases == sorted(phases, key=["initial", "search", "confirm"].index)
    assert outcome.trials == len(phases) <= config.search.trials


def test_the_search_finds_more_information_than_it_started_with(config, ledger):
    outcome = run(config, ledger)
    assert outcome.best_bits_per_pixel > outcome.initial_bits_per_pixel


def test_every_scored_trial_has_its_frames_on_the_disk(config, ledger):
    run(config, ledger)
    for row in ledger.trials():
        assert ledger.load_batch(row).shape == (16, 1, 16, 16)
        assert row.record["objects"] == 16


def test_a_failed_trial_does_not_end_the_campaign(config, ledger):
    bench = make_bench(config)
    camera = bench.devices["camera"]
    frames = iter(range(10**6))
    snap = camera.snap

    def saturates_in_the_third_trial(*, timeout_s):
        camera.saturates = 36 <= next(frames) < 54
        return snap(timeout_s=timeout_s)

    camera.snap = saturates_in_the_third_trial
    run(config, ledger, bench=bench)
    states = [row.state for row in ledger.trials()]
    assert states[2] == "failed"
    assert states.count("failed") == 1
    assert "saturated" in ledger.trials()[2].why


def test_a_lost_device_ends_the_campaign_and_the_trial_is_asked_again_later(config, ledger):
    bench = make_bench(config)
    bench.devices["focus"].fails_on = {"wait": broken()}
    with pytest.raises(DeviceError, match="cable pulled"):
        run(config, ledger, bench=bench)
    assert [row.state for row in ledger.trials()] == ["asked"]
    assert run(config, ledger).trials > 1


def killed_at(ledger, monkeypatch, method, call):
    """Let the `call`-th use of a ledger's method kill the process, before it does anything."""
    original, calls = getattr(ledger, method), iter(range(10**6))

    def deadly(*args, **keywords):
        if next(calls) == call:
            raise Killed
        return original(*args, **keywords)

    monkeypatch.setattr(ledger, method, deadly)


@pytest.mark.parametrize("method", ["ask", "capture", "score"])
@pytest.mark.parametrize("call", [0, 3, 9])
def test_a_killed_campaign_goes_on_with_the_same_designs(
    config, tmp_path, monkeypatch, method, call
):
    with Ledger.create(tmp_path / "whole", {}) as whole:
        run(config, whole)
        expected = [row.design for row in whole.trials()]
    with Ledger.create(tmp_path / "killed", {}) as ledger:
        killed_at(ledger, monkeypatch, method, call)
        with pytest.raises(Killed):
            run(config, ledger)
        acknowledged = [row for row in ledger.trials() if row.state == "scored"]
    with Ledger.open(tmp_path / "killed") as ledger:
        # Fresh noise changes what later trials score, so only what the kill cut off must agree.
        run(config, ledger)
        rows = ledger.trials()
    assert rows[: len(acknowledged)] == acknowledged
    assert [row.design for row in rows[: call + 1]] == expected[: call + 1]
    assert all(row.state == "scored" for row in rows)


def test_a_captured_batch_is_scored_without_exposing_again(config, ledger, monkeypatch):
    killed_at(ledger, monkeypatch, "score", 0)
    with pytest.raises(Killed):
        run(config, ledger)
    (row,) = ledger.trials()
    assert row.state == "captured"
    monkeypatch.undo()
    bench = make_bench(config)
    control = Control()
    snap = bench.devices["camera"].snap

    def abort_at_the_first_frame(*, timeout_s):
        control.abort("enough")
        return snap(timeout_s=timeout_s)

    bench.devices["camera"].snap = abort_at_the_first_frame
    with pytest.raises(AbortAsked, match="enough"):
        run(config, ledger, bench=bench, control=control)
    first, second = ledger.trials()
    assert (first.state, second.state) == ("scored", "asked")
    assert first.parts == row.parts


def test_a_ledger_of_another_search_is_refused(config, ledger, tmp_path):
    run(config, ledger)
    other = make_config(tmp_path, search={"engine": "sobol", "seed": 5})
    with pytest.raises(LedgerError, match=r"trial 1 .*not what this infoloop would"):
        run(other, ledger)


def interlocked(config, values, action):
    log = Log()
    interlock = Interlock(
        name="led.temperature_c", meter=FakeMeter("led.temperature_c", log, values),
        below=60.0, above=None, action=action, longest_pause_s=30.0,
    )  # fmt: skip
    return make_bench(config, log, interlocks=[interlock])


def test_a_pausing_interlock_waits_in_the_dark_and_goes_on(config, ledger, monkeypatch):
    monkeypatch.setattr(pausing, "INTERLOCK_POLL_S", 0.0)
    notices = []
    bench = interlocked(config, [20.0, 20.0, 61.0, 20.0], "pause")
    run(
        config, ledger, bench=bench,
        observer=lambda event: notices.append(event) if isinstance(event, Notice) else None,
    )  # fmt: skip
    assert next(row.state for row in ledger.trials()) == "scored"
    assert [notice.text.split(":")[0] for notice in notices] == [
        "paused, light off", "interlock led.temperature_c holds again after 0 s",
    ]  # fmt: skip


def test_an_aborting_interlock_ends_the_campaign(config, ledger):
    with pytest.raises(InterlockTripped):
        run(config, ledger, bench=interlocked(config, [20.0, 61.0], "abort"))
    assert [row.state for row in ledger.trials()] == ["asked"]


def test_auto_settles_on_one_density_for_the_whole_campaign(tmp_path, ledger):
    config = make_config(tmp_path, score={"density": "auto-gaussian"})
    run(config, ledger)
    densities = {row.estimate["density"] for row in ledger.trials()}
    assert densities == {ledger.meta()["density"]} <= {"gaussian", "stationary"}


def test_scores_are_reproduced_from_the_frames_on_the_disk(config, ledger):
    from instrument.campaign.scoring import load_noise, score_batch

    run(config, ledger)
    noise = load_noise(config, make_bench(config), ledger.run_dir)
    for row in ledger.trials()[:3]:
        again = score_batch(ledger.load_batch(row), noise, config, density="gaussian")
        assert again.objective == pytest.approx(row.score, rel=1e-12)
        assert np.isfinite(row.standard_error)


def test_a_resumed_confirmation_repeats_the_recorded_contenders(config, ledger, monkeypatch):
    killed_at(ledger, monkeypatch, "score", 10)
    with pytest.raises(Killed):
        run(config, ledger)
    monkeypatch.undo()
    contenders = ledger.meta()["contenders"]
    run(config, ledger)
    repeated = {row.design.to_json() for row in ledger.trials() if row.phase == "confirm"}
    assert repeated == set(contenders.values())
    assert ledger.meta()["contenders"] == contenders
