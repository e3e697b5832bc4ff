"""The conformance suite on a whole bench: within soft limits, interlocks first, dark after."""

import subprocess
import sys

from drivers.conformance import Scope
from drivers.testing import (
    MockCamera,
    MockLight,
    MockMeter,
    MockProperty,
    MockRotation,
    MockSelector,
    MockSlm,
    MockStage,
    MockXYStage,
    Record,
)
from instrument.bench.bench import Bench
from instrument.bench.conformance import check_bench
from instrument.bench.interlocks import Interlock
from tests.instrument.fakes import make_config

ROLES = {
    "wheel": {"kind": "selector", "device": "Wheel"},
    "angle": {"device": "Rotation", "limits_deg": [0, 30]},
    "iris": {"device": "Lens", "property": "FNumber", "limits": [1, 6], "tolerance": 0.01},
}


def mock_bench(tmp_path, *, temperature_c=20.0, roles=None):
    record = Record()
    devices = {
        "camera": MockCamera("Camera", record=record),
        "slm": MockSlm("SLM", record=record),
        "sample": MockXYStage("XY", record=record),
        "focus": MockStage("Z", record=record),
        "light": MockLight("led", record=record),
        "wheel": MockSelector("Wheel", record=record),
        "angle": MockRotation("Rotation", record=record),
        "iris": MockProperty("Lens.FNumber", record=record, at=2.0),
    }
    interlock = Interlock(
        name="led.temperature_c", meter=MockMeter("led.temperature_c", values=[temperature_c]),
        below=60, above=None, action="abort", longest_pause_s=1,
    )  # fmt: skip
    config = make_config(tmp_path, bench={"roles": {**ROLES, **(roles or {})}})
    bench = Bench(config, devices, interlocks=[interlock])
    record.calls.clear()
    return bench, record


def status(results):
    return {(role, each.check): each.status for role, of in results.items() for each in of}


def test_every_role_and_every_interlock_is_checked(tmp_path):
    bench, _ = mock_bench(tmp_path)
    results = check_bench(bench, scope=Scope.MOVE)
    assert list(results) == [*bench.roles, "interlock led.temperature_c"]
    assert "failed" not in status(results).values()


def test_reading_commands_nothing(tmp_path):
    bench, record = mock_bench(tmp_path)
    check_bench(bench, scope=Scope.READ_ONLY)
    assert record.calls == []


def test_moving_stays_within_the_soft_limits_of_the_roles(tmp_path):
    bench, record = mock_bench(tmp_path)
    check_bench(bench, scope=Scope.MOVE)
    asked = {}
    for call in record.calls:
        if call.command == "start":
            asked.setdefault(call.device, []).append(call.value)
    assert all(-50 <= target <= 50 for target in asked["Z"])
    assert all(0 <= target <= 30 for target in asked["Rotation"])
    assert all(1 <= target <= 6 for target in asked["Lens.FNumber"])
    assert all(abs(x) <= 500 and abs(y) <= 500 for x, y in asked["XY"])
    assert asked["led"] == [0.2]
    assert not bench.devices["light"].is_on()


def test_no_light_while_an_interlock_is_open(tmp_path):
    bench, record = mock_bench(tmp_path, temperature_c=61.0)
    results = check_bench(bench, scope=Scope.MOVE)
    assert ("led", "start") not in record.names()
    assert status(results)["light", "shines at its lowest level, and goes dark"] == "skipped"
    assert "must be below 60 degC" in str(results["light"])


def infoloop(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "instrument.faces.cli", *arguments],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip


def test_the_command_checks_the_cpp_bench_and_says_what_passed():
    finished = infoloop("check", "--conformance", "democamera.yaml", "--move")
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "democamera.yaml: 32 passed, 0 failed, 3 do not apply" in finished.stdout


def test_the_command_fails_when_a_device_does(tmp_path):
    """A stage whose adapter rounds to steps cannot keep a tolerance finer than they are."""
    finished = infoloop(
        "check", "--conformance", "democamera.yaml", "--move",
        "--set", "bench.roles.sample.tolerance_um=0.001",
    )  # fmt: skip
    assert finished.returncode == 1
    assert "1 failed" in finished.stdout


def test_moving_without_conformance_is_bad_input():
    finished = infoloop("check", "democamera.yaml", "--move")
    assert finished.returncode == 2
    assert "--move goes with --conformance only" in finished.stderr
