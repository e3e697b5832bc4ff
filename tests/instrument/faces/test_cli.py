"""The command as a person runs it: in a process of its own, on the virtual bench."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from estimation import SensorNoise
from instrument.campaign.ledger import Ledger

ROOT = Path(__file__).parents[3]
SHORT = ["--set", "search.trials=4", "--set", "search.confirm.repeats=1"]
SHORT += ["--set", "objects.stage_grid.count=9", "--set", "score.patch=8"]
SHORT += ["--set", "noise={gain: 2.17, offset: 100, read_noise: 1.7}"]


def infoloop(*arguments, env=None, timeout=100):
    return subprocess.run(
        [sys.executable, "-m", "instrument.faces.cli", *map(str, arguments)],
        capture_output=True, text=True, timeout=timeout, env=env, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def demo_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli") / "run"
    return folder, infoloop("demo", "--output", folder, "--seed", "3", "--json", *SHORT)


def test_the_demo_prints_one_json_document_and_ends_cleanly(demo_run):
    folder, finished = demo_run
    assert finished.returncode == 0, finished.stderr
    summary = json.loads(finished.stdout)
    assert summary["run_dir"] == str(folder)
    assert summary["trials"] == 4
    assert set(summary["best"]) == {"design", "trial", "bits_per_pixel", "standard_error"}
    assert {"initial_residual_rad", "final_residual_rad", "unaberrated_bits_per_pixel"} <= set(
        summary["truth"]
    )
    assert summary["truth"]["initial_residual_rad"] == pytest.approx(1.0, abs=0.05)


def test_the_demo_leaves_a_whole_record(demo_run):
    folder, _ = demo_run
    with Ledger.read(folder) as ledger:
        meta = ledger.meta()
        assert meta["status"] == "finished"
        assert [device["kind"] for device in meta["devices"]] == [
            "camera", "slm", "xy_stage", "stage", "light",
        ]  # fmt: skip
        for row in ledger.trials():
            assert ledger.load_batch(row).shape == (9, 1, 128, 128)


def test_a_report_goes_where_it_is_told_and_knows_the_command(demo_run, tmp_path):
    folder, _ = demo_run
    before = (folder / "report.html").read_bytes()
    finished = infoloop("report", folder, "--output", tmp_path / "here.html")
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.split() == [str(tmp_path / "here.html")]
    page = (tmp_path / "here.html").read_text(encoding="utf-8")
    assert "infoloop run demo.yaml --set search.trials=4" in page
    assert (folder / "report.html").read_bytes() == before


def test_a_report_that_cannot_be_written_is_bad_input(demo_run, tmp_path):
    refused = infoloop("report", demo_run[0], "--output", tmp_path / "nowhere" / "here.html")
    assert refused.returncode == 2
    assert "--output FILE" in refused.stderr


def test_the_report_is_one_file_that_needs_no_other(demo_run):
    folder, _ = demo_run
    html = (folder / "report.html").read_text(encoding="utf-8")
    assert "data:image/png" in html or "<svg" in html
    assert not re.search(r"""(src|href)=["']https?://""", html)


def test_a_run_may_calibrate_its_camera_first(tmp_path):
    calibrate_first = [*SHORT, "--set", "noise={calibrate: quick}"]
    finished = infoloop("demo", "--output", tmp_path / "run", "--json", *calibrate_first)
    assert finished.returncode == 0, finished.stderr
    assert "calibrating the camera (quick)" in finished.stderr
    assert SensorNoise.load(tmp_path / "run" / "noise.npz").gain == pytest.approx(2.17, rel=0.01)


def test_a_wrong_calibration_is_an_alarm_in_terminal_and_document_and_loses_nothing(tmp_path):
    wrong = [*SHORT, "--set", "noise={gain: 3.0, offset: 100, read_noise: 1.3}"]
    finished = infoloop("demo", "--output", tmp_path / "run", "--json", *wrong)
    assert finished.returncode == 0, finished.stderr
    summary = json.loads(finished.stdout)
    assert [(c["when"], c["is_alarm"]) for c in summary["self_checks"]] == [
        ("start", True), ("end", True),
    ]  # fmt: skip
    # 1/2 log2(2.17 / 3), nearly all of it shot noise
    assert summary["self_checks"][0]["difference_bits"] == pytest.approx(-0.234, abs=0.02)
    assert finished.stderr.rstrip().splitlines()[-1].startswith("ALARM: noise at the end of the")
    assert "alarm" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_a_finished_run_resumes_to_the_same_result(demo_run):
    folder, finished = demo_run
    again = infoloop("resume", folder, "--json", "--quiet")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["best"] == json.loads(finished.stdout)["best"]


def test_a_second_run_in_the_same_folder_is_refused(demo_run):
    folder, _ = demo_run
    again = infoloop("demo", "--output", folder)
    assert again.returncode == 2
    assert "infoloop resume" in again.stderr


def test_the_loop_runs_on_compiled_adapters(tmp_path):
    finished = infoloop("run", "democamera.yaml", "--output", tmp_path / "run", "--json")
    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout)["trials"] >= 5
    with Ledger.read(tmp_path / "run") as ledger:
        assert {row.state for row in ledger.trials()} == {"scored"}
        assert ledger.meta()["devices"][0]["identity"] == "DemoCamera/DCam"


def test_check_names_every_device_and_moves_nothing():
    finished = infoloop("check", "demo.yaml")
    assert finished.returncode == 0, finished.stderr
    for word in ("Camera", "SLM", "XY", "infoloop,virtual", "all safe"):
        assert word in re.sub(r"\s*│[\s│]*", " ", finished.stdout)


BAD_INPUT = {
    "missing file": (["run", "nowhere.yaml"], r"nowhere\.yaml: no such file"),
    "unknown key": (["check", "demo.yaml", "--set", "score.patchs=8"], "did you mean `patch`"),
    "nothing listening": (
        ["check", "demo.yaml", "--set", "bench.visa.led.address=TCPIP::127.0.0.1::1::SOCKET"],
        r"`bench\.visa\.led`.*TCPIP::127\.0\.0\.1::1::SOCKET.*nothing listens",
    ),
    "role without a device": (
        ["check", "demo.yaml", "--set", "bench.roles.camera.device=Cam"],
        r"`bench\.roles\.camera`: no Micro-Manager device is labelled 'Cam'; loaded: Camera",
    ),
    "limits beyond the device's": (
        ["check", "demo.yaml", "--set", "bench.roles.focus.limits_um=[-500,500]"],
        r"`bench\.roles\.focus`: limits_um \[-500\.0, 500\.0\].*travels -100 to 100 um.*narrow",
    ),
    "no run": (["resume", "nowhere"], "nowhere holds no run"),
}


@pytest.mark.parametrize(("arguments", "sentence"), BAD_INPUT.values(), ids=BAD_INPUT.keys())
def test_bad_input_is_one_sentence_and_exit_code_2(arguments, sentence, tmp_path):
    finished = infoloop(*arguments)
    assert finished.returncode == 2
    assert len(finished.stderr.strip().splitlines()) == 1
    assert re.search(sentence, finished.stderr)


def test_another_instrument_at_the_address_is_named(tmp_path):
    declaration = (ROOT / "configs" / "instruments" / "led_driver.yaml").read_text()
    other = tmp_path / "other.yaml"
    other.write_text(declaration.replace("infoloop,virtual", "ACME"))
    finished = infoloop("check", "demo.yaml", "--set", f"bench.visa.led.declaration={other}")
    assert finished.returncode == 2
    assert re.search(r"`bench\.visa\.led`.*\^ACME LED driver.*does not match", finished.stderr)


def test_an_unknown_adapter_is_named_with_where_it_was_looked_for(tmp_path):
    (tmp_path / "bad.cfg").write_text("Device,Camera,NoSuchAdapter,Cam\n")
    finished = infoloop(
        "check", "democamera.yaml", "--set", f"bench.micromanager.config={tmp_path / 'bad.cfg'}"
    )
    assert finished.returncode == 2
    assert len(finished.stderr.strip().splitlines()) == 1
    assert re.search(r"`bench\.micromanager\.config`.*NoSuchAdapter.*search path", finished.stderr)


def test_without_a_display_the_run_goes_on_headless(tmp_path):
    env = {k: v for k, v in os.environ.items() if k not in {"DISPLAY", "WAYLAND_DISPLAY"}}
    env.pop("QT_QPA_PLATFORM", None)
    finished = infoloop(
        "demo", "--view", "--json", "--quiet", "--output", tmp_path / "run", *SHORT, env=env
    )
    assert finished.returncode == 0, finished.stderr
    (reason,) = [line for line in finished.stderr.splitlines() if "no live view" in line]
    assert "infoloop[gui]" in reason or "display" in reason


@pytest.mark.slow
def test_a_killed_run_is_resumed_dark_and_whole():
    subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "kill_and_resume.py", "--kills", "2"],
        check=True, timeout=600,
    )  # fmt: skip


def test_frames_on_disk_become_a_calibration_and_a_report(tmp_path):
    rng = np.random.default_rng(0)

    def save(name, mean_e, frames):
        electrons = rng.poisson(mean_e, (frames, 32, 32)) + 1.5 * rng.normal(size=(frames, 32, 32))
        np.save(tmp_path / name, np.rint(100 + 2 * electrons).astype(np.uint16))

    save("dark_10ms.npy", 0, 60)
    for power in range(1, 7):
        save(f"light_{power}_10ms.npy", 200 * power, 8)
    output = tmp_path / "camera.npz"
    finished = infoloop("calibrate", "--from", tmp_path, "--bit-depth", "12", "--output", output)
    assert finished.returncode == 0, finished.stderr
    assert SensorNoise.load(output).gain == pytest.approx(2, rel=0.05)  # 1.5 % standard error
    assert "<html" in (tmp_path / "camera.html").read_text(encoding="utf-8")


def test_calibrate_wants_a_bench_or_a_folder():
    finished = infoloop("calibrate")
    assert finished.returncode == 2
    assert "--from FOLDER" in finished.stderr
