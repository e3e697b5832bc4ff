"""What is looked at before a run, on fake devices: every verdict, and what it is made of."""

import os
import re
import time
from collections import namedtuple
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from estimation import SensorNoise
from instrument.bench.camera_mode import camera_key
from instrument.bench.interlocks import Interlock
from instrument.campaign import disk
from instrument.campaign.checks import Check, Preflight, Verdict
from instrument.campaign.ledger import Ledger
from instrument.campaign.preflight import Standing, duration, preflight
from instrument.config import NoiseFile
from instrument.design import Design
from tests.instrument.fakes import FakeMeter, Log, broken, make_bench, make_config

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def look_at(tmp_path):
    """Do the preflight of a config with changes; return its checks by name."""

    def look_at(*, bench=None, standing=None, look=None, **changes):
        config = make_config(tmp_path, **changes)
        bench = bench or make_bench(config)
        done = preflight(
            config, bench, run_dir=tmp_path / "run", standing=standing or Standing(), look=look
        )
        moved = {"start", "snap", "make_safe"} & {what for _, what in bench.log.names()}
        assert not moved
        assert not (tmp_path / "run").exists()
        return {check.name: check for check in done.checks}

    return look_at


def free(monkeypatch, megabytes):
    monkeypatch.setattr(
        disk.shutil, "disk_usage", lambda _folder: Usage(10**12, 0, int(megabytes * 1e6))
    )


# ---- the whole


def test_the_gravest_check_is_the_verdict():
    ok, warn, stop = (Check(v.value, "", v, "") for v in Verdict)
    assert Preflight((ok, ok)).verdict is Verdict.OK
    assert Preflight((ok, warn)).verdict is Verdict.WARN
    whole = Preflight((stop, warn, ok))
    assert whole.verdict is Verdict.STOP
    assert whole.stops == (stop,)
    assert whole.as_plain()["checks"][0]["verdict"] == "stop"


def test_a_bench_in_order_may_run(look_at):
    assert {check.verdict for check in look_at().values()} == {Verdict.OK}


# ---- trials and frames


def test_budget_and_frames_are_counted_by_hand(look_at):
    found = look_at(search={"trials": 50, "confirm": {"repeats": 2}}, shots=3)
    assert found["budget"].value == "50 trials: 44 search, 6 confirmation"
    assert found["frames"].value == "48 a trial, 2400 in all"  # 16 objects x 3 shots


def test_visits_to_a_reference_are_counted_too(look_at):
    found = look_at(
        search={"trials": 24, "confirm": {"repeats": 2}},
        drift={"every": 12, "reference": "start", "follow": {"focus": {"step_um": 2}}},
    )
    # after the first trial, twice in between, before the confirmation, at the end; 3 captures each
    assert found["budget"].value.endswith("; up to 15 of the reference beside them")
    assert found["frames"].value == "16 a trial, 624 in all"  # 39 trials of 16 objects


def test_a_resumed_run_counts_what_is_left(look_at):
    found = look_at(standing=Standing(done=10), search={"trials": 12})
    assert found["budget"].value.endswith("; 10 done")
    assert found["frames"].value == "16 a trial, 32 in all"


def test_a_budget_without_a_confirmation_is_worth_a_look(look_at):
    assert look_at(search={"trials": 2})["budget"].verdict is Verdict.WARN


# ---- disk


def test_the_disk_must_hold_all_batches_and_the_reserve(look_at, monkeypatch):
    trials = {"search": {"trials": 1000}}
    # 16 frames of 16 x 16 uint16 are 8192 bytes; header, row and objects are the constants'
    needed_mb = 1000 * (8192 + 128 + disk.ROW_BYTES + 16 * disk.OBJECT_BYTES) / 1e6
    free(monkeypatch, 500 + needed_mb)
    assert look_at(**trials)["disk"].verdict is Verdict.OK
    free(monkeypatch, 500 + needed_mb - 0.001)
    assert look_at(**trials)["disk"].verdict is Verdict.STOP


def test_what_a_density_is_trained_on_takes_disk_and_light_too(look_at, monkeypatch):
    asked = {"search": {"trials": 10}, "safety": {"dose": {"area_mm2": 100.0, "limit_mj_cm2": 1e6}}}

    def needed(density, **standing):
        found = look_at(standing=Standing(**standing), score={"density": density}, **asked)
        disk_mb = float(found["disk"].value.split(" MB")[0])
        return disk_mb, float(re.search(r"sample ([\d.]+)", found["light dose"].value)[1])

    monkeypatch.setattr(disk, "ROW_BYTES", 10**6)
    plain_mb, plain = needed("gaussian")
    assert needed("autoregressive", is_settled=True) == (plain_mb, plain)
    trained_mb, trained = needed("autoregressive")
    assert trained_mb == plain_mb + 1
    assert trained > 1.05 * plain  # a batch more beside ten, and two short self-checks


def test_a_full_disk_says_how_much_to_free_and_where(look_at, monkeypatch, tmp_path):
    free(monkeypatch, 500)
    check = look_at(search={"trials": 100_000}, safety={"least_free_disk_mb": 400})["disk"]
    assert "free 3.0 GB on the disk of" in check.text  # 3.07 GB and .4 are due, .5 are there
    assert str(tmp_path / "run") in check.text
    assert "safety.least_free_disk_mb" in check.text


# ---- time


def test_time_is_counted_from_the_bench_file(look_at):
    # a frame 1 ms + 10 ms, a move 50 ms: 16 x 61 ms, 2 darks, 50 ms to apply, 0.1 s to score
    check = look_at(search={"trials": 100})["time"]
    assert check.text == "1.1 s a trial, bench file"
    assert check.value.startswith("2 min, until ")


def test_a_frame_of_the_self_check_replaces_the_guess(look_at):
    check = look_at(look=a_look(frame_s=1.0), search={"trials": 100})["time"]
    assert check.text.startswith("19 s a trial, frames as in the self-check")


def test_a_resumed_run_goes_by_its_own_trials(look_at):
    check = look_at(standing=Standing(done=2, trial_s=30.0), search={"trials": 12})["time"]
    assert check.text == "30 s a trial, as the trials so far took"
    assert check.value.startswith("5 min")


def test_a_density_is_trained_once(look_at):
    check = look_at(search={"trials": 10}, score={"density": "autoregressive"})["time"]
    # 1.1 s with .1 s to score, .7 s here
    assert check.text == "1.7 s a trial, bench file; 15 s to train the density"
    assert check.value.startswith("32 s")


def test_trials_that_overlap_take_the_time_between_their_captures(tmp_path):
    """A score that a worker makes meanwhile is in a trial's seconds, and holds nobody up."""
    began = datetime(2026, 3, 4, 20, 0, tzinfo=UTC)
    with Ledger.create(tmp_path / "run", {}) as ledger:
        for number, after_s in enumerate((0, 2, 4, 600, 602)):  # paused once
            design = Design({"pupil": (0.0, 0.0, 0.0), "focus": (float(number),)})
            at = (began + timedelta(seconds=after_s)).isoformat()
            ledger.ask(number=number, phase="search", design=design)
            counts = np.zeros((2, 1, 4, 4), np.uint16)
            ledger.capture(number, counts, {"objects": 2, "captured_at": [at, at]})
            ledger.fail(number, why="test", seconds=9.0)
        assert Standing.of(ledger).trial_s == 2.0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.25, "0.2 s"), (42, "42 s"), (100, "2 min"), (3600, "1 h 00 min"), (28_790, "8 h 00 min")],
)
def test_durations_are_said_in_units_that_matter(seconds, words):
    assert duration(seconds) == words


# ---- light


def dose(limit_mj_cm2, *, per="object", area_mm2=100.0):
    limit = {"area_mm2": area_mm2, "limit_mj_cm2": limit_mj_cm2, "per": per}
    return {"safety": {"dose": limit}, "search": {"trials": 10}}


def test_without_an_area_no_dose_is_claimed(look_at):
    check = look_at()["light dose"]
    assert (check.value, check.verdict) == ("not known", Verdict.OK)
    assert check.text.startswith("no area given")


def test_the_planned_dose_is_power_times_time_over_area(look_at):
    # on 1 cm2: 10 mW x (10 trials x 16 x 61 ms + 2 self-checks of 8 x 11 ms + 50 ms)
    expected = 10 * (10 * 16 * 0.061 + 2 * (8 * 0.011 + 0.05))
    check = look_at(**dose(1e6))["light dose"]
    assert check.verdict is Verdict.OK
    assert check.value.startswith(f"object {expected:.3g}, sample {expected:.3g} mJ/cm2")


def test_a_dose_beyond_the_limit_says_after_how_many_trials_the_run_ends(look_at):
    # 2.76 for the self-checks, 9.76 a trial: 3 trials are 32.04, 4 are 41.8
    check = look_at(**dose(40.0))["light dose"]
    assert check.verdict is Verdict.WARN
    assert "after about 3 of 10 trials" in check.text


def test_a_limit_that_no_trial_fits_stops_the_run(look_at):
    assert look_at(**dose(12.0))["light dose"].verdict is Verdict.STOP


def test_what_earlier_sessions_gave_counts(look_at):
    given = {"total_mj": 35.0, "anywhere_mj": 35.0, "places_um_mj": []}
    check = look_at(standing=Standing(dose=given), **dose(40.0))["light dose"]
    assert check.verdict is Verdict.STOP


def test_a_limit_on_a_light_without_a_power_cannot_be_kept(look_at, tmp_path):
    bench = make_bench(make_config(tmp_path, **dose(40.0)))
    bench.devices["light"].unit = "%"
    check = look_at(bench=bench, **dose(40.0))["light dose"]
    assert check.verdict is Verdict.STOP
    assert "light (%) is no power" in check.text


# ---- calibration


@pytest.fixture
def calibrated(tmp_path):
    """Write a calibration of the fake camera; return how a config names it."""

    def calibrated(*, measured_at=None, **key):
        bench = make_bench(make_config(tmp_path))
        own = camera_key(bench)
        del own["exposure_ms"]
        noise = SensorNoise(gain=1.0, offset=100.0, read_noise=1.0, key={**own, **key})
        noise.save(tmp_path / "camera.npz", measured_at=measured_at)
        return tmp_path / "camera.npz"

    return calibrated


def of_file(tmp_path, file):
    config = make_config(tmp_path).model_copy(update={"noise": NoiseFile(file=file)})
    done = preflight(config, make_bench(config), run_dir=tmp_path, standing=Standing())
    return next(check for check in done.checks if check.name == "calibration")


def test_the_age_is_the_one_that_the_file_records(tmp_path, calibrated):
    file = calibrated(measured_at=(datetime.now(UTC) - timedelta(days=12.1)).isoformat())
    check = of_file(tmp_path, file)
    assert check.value == "camera.npz, 12 days old, fits this camera and mode"
    assert check.verdict is Verdict.OK


def test_without_a_recorded_date_the_files_own_counts_and_an_old_one_is_worth_a_doubt(
    tmp_path, calibrated
):
    file = calibrated()
    long_ago_s = time.time() - 40.1 * 86400
    os.utime(file, (long_ago_s, long_ago_s))
    check = of_file(tmp_path, file)
    assert "40 days old" in check.value
    assert check.verdict is Verdict.WARN
    assert "infoloop calibrate" in check.text


def test_a_calibration_of_another_camera_stops_the_run(tmp_path, calibrated):
    check = of_file(tmp_path, calibrated(camera="another"))
    assert check.verdict is Verdict.STOP
    assert "another" in check.text


def test_a_missing_calibration_stops_the_run(tmp_path):
    check = of_file(tmp_path, tmp_path / "nowhere.npz")
    assert check.verdict is Verdict.STOP
    assert "nowhere.npz" in check.text


# ---- what needs light, and what guards it


def a_look(**changes):
    return {
        "is_alarm": False, "text": "8 repeats agree", "difference_bits": 0.001,
        "black_level_adu": 100.4, "expected_black_adu": 100.0, "frame_s": 0.01, **changes,
    }  # fmt: skip


def test_a_self_check_is_shown_with_its_sentence(look_at):
    found = look_at(look=a_look())
    assert found["self-check"].text == "8 repeats agree"
    assert found["self-check"].verdict is Verdict.OK
    assert found["black level"].value == "100.40 ADU, 100.00 by the calibration"


def test_an_alarm_is_worth_a_look_and_stops_nothing(look_at):
    check = look_at(look=a_look(is_alarm=True, text="quieter than calibrated"))["self-check"]
    assert check.verdict is Verdict.WARN


def test_a_black_level_off_the_calibration_is_worth_a_look(look_at):
    check = look_at(look=a_look(black_level_adu=102.1))["black level"]
    assert check.verdict is Verdict.WARN
    assert "stray light" in check.text


@pytest.mark.parametrize(("action", "verdict"), [("pause", Verdict.WARN), ("abort", Verdict.STOP)])
def test_an_open_interlock_says_what_would_become_of_the_run(look_at, tmp_path, action, verdict):
    log = Log()
    interlock = Interlock(
        name="led.temperature_c", meter=FakeMeter("led.temperature_c", log, [61.0]),
        below=60.0, action=action,
    )  # fmt: skip
    bench = make_bench(make_config(tmp_path), log, interlocks=[interlock])
    check = look_at(bench=bench)["interlock led.temperature_c"]
    assert check.verdict is verdict
    assert check.value == "61 degC"
    assert "below 60 degC" in check.text


def test_an_interlock_that_holds_is_shown_with_its_reading_and_bounds(look_at, tmp_path):
    log = Log()
    interlock = Interlock(
        name="led.temperature_c", meter=FakeMeter("led.temperature_c", log, [24.0]), below=60.0
    )
    bench = make_bench(make_config(tmp_path), log, interlocks=[interlock])
    check = look_at(bench=bench)["interlock led.temperature_c"]
    assert (check.value, check.verdict, check.text) == ("24 degC", Verdict.OK, "below 60 degC")


def test_a_device_that_does_not_answer_stops_the_run(look_at, tmp_path, monkeypatch):
    bench = make_bench(make_config(tmp_path))

    def silent():
        raise broken("Z: no answer")

    monkeypatch.setattr(bench.devices["focus"], "describe", silent)
    check = look_at(bench=bench)["devices"]
    assert check.verdict is Verdict.STOP
    assert "Z: no answer" in check.text
