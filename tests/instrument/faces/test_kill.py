"""A kill -9 in the middle of a batch: the light stays on, and the next start puts it out first."""

import json
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


def test_a_kill_with_the_light_on_is_resumed_dark_first_and_loses_nothing(led, tmp_path):
    port, log = led
    run_dir = tmp_path / "run"
    where = ["--set", f"bench.micromanager.led=127.0.0.1:{port}"]
    where += ["--set", f"bench.visa.led.address=TCPIP::127.0.0.1::{port}::SOCKET"]
    python = [sys.executable, "-m", "instrument.faces.cli"]
    command = [*python, "demo", "--output", str(run_dir), *RUN, *where]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as victim:
        wait_until((run_dir / "batches" / "trial00001.npy").exists)
        wait_until(lambda: is_lit(port))
        victim.kill()
    assert is_lit(port)
    before_resume = len(log.read_text().splitlines())
    with Ledger.open(run_dir) as ledger:
        acknowledged = [row for row in ledger.trials() if row.state == "scored"]
    assert acknowledged

    resumed = subprocess.run(
        [*python, "resume", str(run_dir), "--quiet", "--json"],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip

    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout)["status"] == "finished"
    commands = [line.split("\t")[2] for line in log.read_text().splitlines()[before_resume:]]
    assert next(command for command in commands if not command.endswith("?")) == "OUTP OFF"
    assert commands.index("OUTP OFF") < commands.index("SIM:OPT?")  # before any exposure
    assert not is_lit(port)
    with Ledger.open(run_dir) as ledger:
        assert ledger.trials()[: len(acknowledged)] == acknowledged
