"""A process that dies with the light on: the guardian puts it out, and so does the next start."""

import json
import signal
import socket
import subprocess
import sys
import time

import pytest

from instrument.campaign.ledger import Ledger

RUN = [
    "--quiet", "--json", "--set", "search.trials=6", "--set", "search.confirm.repeats=1",
    "--set", "objects.stage_grid.count=16", "--set", "score.patch=8",
    "--set", "noise={gain: 2.17, offset: 100, read_noise: 1.7}",
]  # fmt: skip


@pytest.fixture
def led(tmp_path):
    """LED server in a process of its own, which a kill of the run cannot reach."""
    log = tmp_path / "led.log"
    command = [sys.executable, "-m", "drivers.virtual.scpi_server", "--log", str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        port = int(server.stdout.readline().rsplit(":", 1)[1])
        yield port, log
        server.terminate()


def is_lit(port):
    with socket.create_connection(("127.0.0.1", port), timeout=2) as led:
        led.sendall(b"SIM:OPT?\n")
        with led.makefile() as answers:
            return float(answers.readline()) > 0


def wait_until(condition):
    deadline_s = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline_s, "it never came to that"
        time.sleep(0.005)


def where(port):
    address = f"TCPIP::127.0.0.1::{port}::SOCKET"
    return [
        "--set", f"bench.micromanager.led=127.0.0.1:{port}",
        "--set", f"bench.visa.led.address={address}",
    ]  # fmt: skip


def kill_with_the_light_on(port, run_dir, *options):
    """Start a run, kill it with the light on, and give the trials it had acknowledged."""
    python = [sys.executable, "-m", "instrument.faces.cli"]
    command = [*python, "demo", "--output", str(run_dir), *RUN, *where(port), *options]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as victim:
        wait_until((run_dir / "batches" / "trial00001.npy").exists)
        wait_until(lambda: is_lit(port))
        victim.kill()
    assert victim.returncode == -signal.SIGKILL
    with Ledger.read(run_dir) as ledger:
        acknowledged = [row for row in ledger.trials() if row.state == "scored"]
        for row in acknowledged:
            ledger.load_batch(row)  # it verifies the checksum
    assert acknowledged
    return acknowledged


def test_after_a_kill_the_guardian_puts_the_light_out(led, tmp_path):
    port, _ = led
    kill_with_the_light_on(port, tmp_path / "run")
    wait_until(lambda: not is_lit(port))


def test_a_kill_with_the_light_on_is_resumed_dark_first_and_loses_nothing(led, tmp_path):
    port, log = led
    run_dir = tmp_path / "run"
    acknowledged = kill_with_the_light_on(port, run_dir, "--set", "safety.guardian=false")
    assert is_lit(port)
    before_resume = len(log.read_text().splitlines())

    resumed = subprocess.run(
        [sys.executable, "-m", "instrument.faces.cli", "resume", str(run_dir), "--quiet", "--json"],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip

    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout)["status"] == "finished"
    commands = [line.split("\t")[2] for line in log.read_text().splitlines()[before_resume:]]
    assert next(command for command in commands if not command.endswith("?")) == "OUTP OFF"
    assert commands.index("OUTP OFF") < commands.index("SIM:OPT?")  # before any exposure
    assert not is_lit(port)
    with Ledger.read(run_dir) as ledger:
        assert ledger.trials()[: len(acknowledged)] == acknowledged


CRASH = """
import sys
from drivers.micromanager import MicroManagerCamera
from instrument.faces.cli import app

exposures, snap = iter(range(1, 10**6)), MicroManagerCamera.snap

def snap_or_crash(camera, *, timeout_s):
    if next(exposures) == 45:  # in the light of the second trial
        camera._core.setProperty("Camera", "SimulateCrash", "Dereference Null Pointer")
    return snap(camera, timeout_s=timeout_s)

MicroManagerCamera.snap = snap_or_crash
app(sys.argv[1:])
"""


def test_an_adapter_that_crashes_the_process_leaves_no_light_on(led, cpp_config, tmp_path):
    port, _ = led
    run_dir = tmp_path / "run"
    address = f"TCPIP::127.0.0.1::{port}::SOCKET"
    options = ["--quiet", "--set", "score.patch=8", "--set", "score.density=gaussian"]
    command = [
        sys.executable, "-c", CRASH, "run", str(cpp_config), "--output", str(run_dir), *options,
        "--set", f"bench.visa.led.address={address}",
    ]  # fmt: skip
    crashed = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert crashed.returncode == -signal.SIGSEGV, crashed.stderr
    assert "ended with the light on" in crashed.stderr  # it has its say before the pipe ends
    assert "light is off" in crashed.stderr
    assert not is_lit(port)
    with Ledger.read(run_dir) as ledger:
        assert [row.state for row in ledger.trials()] == ["scored", "asked"]
        assert ledger.load_batch(ledger.trials()[0]).shape[0] == 36


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="nothing stops a process there")
@pytest.mark.slow
def test_a_process_that_no_longer_runs_is_ended_and_its_light_put_out(led, tmp_path):
    port, _ = led
    run_dir = tmp_path / "run"
    python = [sys.executable, "-m", "instrument.faces.cli"]
    command = [*python, "demo", "--output", str(run_dir), *RUN, *where(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as victim:
        wait_until((run_dir / "batches" / "trial00000.npy").exists)
        wait_until(lambda: is_lit(port))
        victim.send_signal(signal.SIGSTOP)
        wait_until(lambda: not is_lit(port))
    assert victim.returncode == -signal.SIGKILL
