"""A campaign on fake devices that runs out of light or of disk, and what its record says of it."""

import errno
import os
from collections import namedtuple

import numpy as np
import pytest

from drivers import DeviceError
from instrument.campaign import disk, engine, on_bench
from instrument.campaign.checks import Check, Preflight, PreflightStopped, Verdict
from instrument.campaign.control import Control
from instrument.campaign.engine import Campaign
from instrument.campaign.events import EventBus, NoiseChecked, Notice, PreflightDone, TrialStarted
from instrument.campaign.in_flight import acknowledge
from instrument.campaign.ledger import Ledger
from instrument.campaign.overlap import Overlap
from instrument.campaign.states import State
from tests.instrument.fakes import broken, make_bench, make_config

Usage = namedtuple("Usage", "total used free")
AREA_MM2 = 100.0  # 1 cm2: mJ/cm2 are mJ; all objects are within it
LIMIT = {"area_mm2": AREA_MM2, "limit_mj_cm2": 1e6}
SHORT = {"search": {"trials": 4}}


@pytest.fixture
def ledger(tmp_path):
    with Ledger.create(tmp_path / "run", {}) as ledger:
        yield ledger


class Clock:
    """One second a frame with the light on, none else."""

    def __init__(self, bench):
        self.now_s = 0.0
        camera = bench.devices["camera"]
        snap = camera.snap

        def snap_for_a_second(*, timeout_s):
            frame = snap(timeout_s=timeout_s)
            self.now_s += 1.0
            return frame

        camera.snap = snap_for_a_second
        bench.lighting.lit_time._clock = lambda: self.now_s


def run(config, ledger, *, bench=None, preflight=None):
    """Run a campaign to its end; return it and its events."""
    seen, states = [], []
    bus = EventBus()
    bus.subscribe(seen.append, name="test")
    bench = bench or make_bench(config)
    control = Control(on_change=lambda _before, now, _why: states.append(now))
    control.enter(State.CONNECTING)
    campaign = Campaign(bench, ledger, bus, control=control, preflight=preflight)
    try:
        campaign.run()
    finally:
        bus.close()
    return campaign, seen, states


# ---- light


def on_a_clock(config):
    bench = make_bench(config)
    Clock(bench)
    return bench


def test_every_record_says_the_dose_of_its_batch_and_of_the_run_so_far(tmp_path, ledger):
    config = make_config(tmp_path, safety={"dose": LIMIT, "self_check_repeats": 0}, **SHORT)
    run(config, ledger, bench=on_a_clock(config))
    doses = [row.record["dose"] for row in ledger.trials()]
    # 16 frames of one second under 10 mW
    assert [dose["sample_mj_cm2"] for dose in doses] == [160.0] * 4
    assert [dose["run_sample_mj_cm2"] for dose in doses] == [160.0, 320.0, 480.0, 640.0]
    assert ledger.meta()["dose"]["total_mj"] == pytest.approx(640.0)


def test_self_checks_count(tmp_path, ledger):
    config = make_config(tmp_path, safety={"dose": LIMIT}, **SHORT)
    run(config, ledger, bench=on_a_clock(config))
    first, *_ = ledger.trials()
    assert first.record["dose"]["sample_mj_cm2"] == pytest.approx(160.0)
    assert first.record["dose"]["run_sample_mj_cm2"] == pytest.approx(80.0 + 160.0)
    trials = len(ledger.trials())
    assert ledger.meta()["dose"]["total_mj"] == pytest.approx(2 * 80.0 + trials * 160.0)
    assert "under_way" not in ledger.meta()["dose"]


def test_an_object_gets_its_own_frame_only_where_the_spot_is_small(tmp_path, ledger):
    small = {"area_mm2": 1e-5, "limit_mj_cm2": 1e12}  # 3.6 um wide, objects 10 um apart
    config = make_config(tmp_path, safety={"dose": small, "self_check_repeats": 0}, **SHORT)
    run(config, ledger, bench=on_a_clock(config))
    dose = ledger.trials()[0].record["dose"]
    assert dose["object_mj_cm2"] == pytest.approx(10 / 1e-7)
    assert dose["sample_mj_cm2"] == pytest.approx(160 / 1e-7)


def test_the_campaign_ends_before_the_limit_and_keeps_what_it_has(tmp_path, ledger):
    limit = {"area_mm2": AREA_MM2, "limit_mj_cm2": 500.0}
    config = make_config(tmp_path, safety={"dose": limit, "self_check_repeats": 0})
    campaign, _, _ = run(config, ledger, bench=on_a_clock(config))
    assert [row.state for row in ledger.trials()] == ["scored"] * 3  # a fourth would make 640
    assert "480 mJ/cm2" in campaign.spent
    assert "add 160" in campaign.spent
    assert not campaign.is_complete
    assert ledger.meta()["dose"]["total_mj"] <= 500.0


def test_the_last_self_check_is_part_of_what_must_fit(tmp_path, ledger):
    limit = {"area_mm2": AREA_MM2, "limit_mj_cm2": 600.0}
    config = make_config(tmp_path, safety={"dose": limit})
    run(config, ledger, bench=on_a_clock(config))
    # 80 + 3 x 160 + 80 would be 640
    assert [row.state for row in ledger.trials()] == ["scored"] * 2
    assert ledger.meta()["dose"]["total_mj"] == pytest.approx(80 + 2 * 160 + 80)


def test_a_resumed_run_goes_on_counting_and_lights_nothing_when_the_light_is_spent(
    tmp_path, ledger
):
    limit = {"area_mm2": AREA_MM2, "limit_mj_cm2": 600.0}
    config = make_config(tmp_path, safety={"dose": limit})
    run(config, ledger, bench=on_a_clock(config))
    bench = on_a_clock(config)
    campaign, _, _ = run(config, ledger, bench=bench)
    assert "480 mJ/cm2" in campaign.spent
    assert bench.devices["camera"].lit_frames == 0


def test_frames_that_wait_for_their_score_get_it_without_light(tmp_path, ledger, monkeypatch):
    limit = {"area_mm2": AREA_MM2, "limit_mj_cm2": 490.0}
    config = make_config(tmp_path, safety={"dose": limit})

    def killed(_ledger, number, *_, **__):
        if number == 1:
            raise ZeroDivisionError("killed")
        return acknowledge(_ledger, number, *_, **__)

    with monkeypatch.context() as patched:
        patched.setattr(engine, "acknowledge", killed)
        for lit_frames in (8 + 16 + 16, 8):  # the second session checks the noise again
            bench = on_a_clock(config)
            with pytest.raises(ZeroDivisionError):
                run(config, ledger, bench=bench)
            assert bench.devices["camera"].lit_frames == lit_frames
    bench = on_a_clock(config)
    run(config, ledger, bench=bench)
    assert [row.state for row in ledger.trials()] == ["scored"] * 2
    assert bench.devices["camera"].lit_frames == 0


def test_light_that_a_density_was_trained_with_leaves_less_for_trials(
    tmp_path, ledger, monkeypatch
):
    limit = {"area_mm2": AREA_MM2, "limit_mj_cm2": 250.0}
    config = make_config(tmp_path, safety={"dose": limit, "self_check_repeats": 0})

    def capture_only(_overlap, capture):
        capture()

    monkeypatch.setattr(Overlap, "prepare", capture_only)
    campaign, _, _ = run(config, ledger, bench=on_a_clock(config))
    assert "160 mJ/cm2" in campaign.spent
    assert ledger.meta()["dose"]["total_mj"] <= 250.0


def test_without_an_area_the_record_claims_no_dose(tmp_path, ledger):
    run(make_config(tmp_path, **SHORT), ledger)
    assert all("dose" not in row.record for row in ledger.trials())
    assert "dose" not in ledger.meta()


# ---- disk


def test_a_full_disk_pauses_the_campaign_and_nothing_is_lost(tmp_path, ledger, monkeypatch):
    monkeypatch.setattr(disk, "LOOK_AGAIN_S", 0.001)
    looks = iter([10_000, 10_000, 1, 1, 1])  # the third batch finds no room
    monkeypatch.setattr(
        disk.shutil, "disk_usage", lambda _folder: Usage(10**12, 0, next(looks, 10_000) * 10**6)
    )
    config = make_config(tmp_path, safety={"self_check_repeats": 0}, **SHORT)
    bench = make_bench(config)
    _, seen, states = run(config, ledger, bench=bench)
    assert [row.state for row in ledger.trials()] == ["scored"] * 4
    assert states == [State.CONNECTING, State.RUNNING, State.PAUSED, State.RUNNING]
    notices = [event.text for event in seen if isinstance(event, Notice)]
    told, _ = notices
    assert "light off: free 499 MB on the disk of" in told  # 500 kept, .03 to come, 1 there
    (logged,) = [row for row in ledger.journal() if row.kind == "disk"]
    assert "room on the disk again" in logged.text


def test_frames_that_the_disk_refused_are_written_when_there_is_room(tmp_path, ledger, monkeypatch):
    monkeypatch.setattr(disk, "LOOK_AGAIN_S", 0.001)
    config = make_config(tmp_path, safety={"self_check_repeats": 0}, **SHORT)
    bench = make_bench(config)
    fsync, calls, shown = os.fsync, [], []

    def full_in_the_first_two(handle):
        calls.append(handle)
        if len(calls) <= 2:
            assert not bench.devices["light"].is_on()
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full_in_the_first_two)
    snap = bench.devices["camera"].snap

    def keeps(*, timeout_s):
        shown.append(snap(timeout_s=timeout_s))
        return shown[-1]

    bench.devices["camera"].snap = keeps
    _, _, states = run(config, ledger, bench=bench)
    assert State.PAUSED in states
    first, *_ = ledger.trials()
    np.testing.assert_array_equal(ledger.load_batch(first)[:, 0], shown[2 : 2 + 16])  # after darks
    assert [row.state for row in ledger.trials()] == ["scored"] * 4


# ---- the preflight of a run


def test_the_preflight_comes_once_after_the_self_check_and_before_the_first_trial(tmp_path, ledger):
    looks = []

    def preflight(_bench, look):
        looks.append(look)
        return Preflight((Check("disk", "much", Verdict.OK, ""),))

    _, seen, _ = run(make_config(tmp_path, **SHORT), ledger, preflight=preflight)
    kinds = [type(e) for e in seen if isinstance(e, NoiseChecked | PreflightDone | TrialStarted)]
    assert kinds[:3] == [NoiseChecked, PreflightDone, TrialStarted]
    assert kinds.count(PreflightDone) == 1
    (look,) = looks
    assert look["black_level_adu"] == pytest.approx(100.0, abs=0.5)
    assert ledger.meta()["preflight"]["checks"][0]["name"] == "disk"


def test_a_run_that_was_only_replayed_looks_at_nothing(tmp_path, ledger):
    config = make_config(tmp_path, **SHORT)
    run(config, ledger)
    run(config, ledger, preflight=lambda _bench, _look: pytest.fail("looked"))


def test_a_stop_ends_the_run_before_its_first_trial(tmp_path, ledger):
    config = make_config(tmp_path, **SHORT)
    bench = make_bench(config)
    stop = Preflight((Check("disk", "0 MB", Verdict.STOP, "free 1 GB"),))
    with pytest.raises(PreflightStopped, match="preflight, disk: free 1 GB"):
        run(config, ledger, bench=bench, preflight=lambda _bench, _look: stop)
    assert ledger.trials() == []
    assert not bench.devices["light"].is_on()


def test_the_preflight_looks_at_the_bench_that_came_after_a_fault_in_the_self_check(
    tmp_path, ledger
):
    config = make_config(tmp_path, **SHORT)
    broken_one, successor, seen = make_bench(config), make_bench(config), []
    broken_one.devices["camera"].fails_on = {"snap": broken()}

    def preflight(bench, _look):
        seen.append(bench)
        return Preflight(())

    control = Control()
    control.enter(State.CONNECTING)
    campaign = Campaign(broken_one, ledger, EventBus(), control=control, preflight=preflight)
    with pytest.raises(DeviceError):
        campaign.run()
    campaign.use(successor)
    campaign.run()
    assert seen == [successor]


def test_the_last_self_check_is_made_on_the_bench_that_came_after_a_fault_in_it(
    tmp_path, ledger, monkeypatch
):
    config, failed = make_config(tmp_path, **SHORT), []
    check = on_bench.check_noise

    def fails_once_at_the_end(*args, when, **keywords):
        if when == "end" and not failed:
            failed.append(when)
            raise broken()
        return check(*args, when=when, **keywords)

    monkeypatch.setattr(on_bench, "check_noise", fails_once_at_the_end)
    control = Control()
    control.enter(State.CONNECTING)
    campaign = Campaign(make_bench(config), ledger, EventBus(), control=control)
    with pytest.raises(DeviceError):
        campaign.run()
    campaign.use(make_bench(config))
    campaign.run()
    assert [each["when"] for each in ledger.meta()["self_checks"]] == ["start", "end"]
