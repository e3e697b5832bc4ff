"""Claim: after a kill -9 at any instant no acknowledged trial is lost and the light goes off first.

The LED is a server in a process of its own, so that a kill leaves it as it was, and it logs every
command. A run is killed at a random instant, the ledger is read, the run is resumed to its end:

- every trial that was scored before the kill is in the finished run, unchanged;
- the first thing that the resumed run orders the LED is to switch off;
- the resumed run finishes with exit code 0 and the light is off at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from record import save

from instrument.campaign.ledger import LEDGER_FILE, Ledger, TrialRow

OPTIONS = [
    "--quiet", "--json", "--set", "search.trials=14", "--set", "search.confirm.repeats=1",
    "--set", "objects.stage_grid.count=16",
]  # fmt: skip
LONGEST_S = 300.0


@contextlib.contextmanager
def led_process(log: Path) -> Iterator[int]:
    """Run the LED server; give its port."""
    server = subprocess.Popen(
        [sys.executable, "-m", "drivers.virtual.scpi_server", "--port", "0", "--log", str(log)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield int(cast(IO[str], server.stdout).readline().rsplit(":", 1)[1])
    finally:
        server.terminate()
        server.communicate(timeout=10)


def optical_power_mw(port: int) -> float:
    with socket.create_connection(("127.0.0.1", port), timeout=2) as led:
        led.sendall(b"SIM:OPT?\n")
        return float(led.makefile().readline())


def start_run(run_dir: Path, port: int) -> subprocess.Popen[bytes]:
    address = f"TCPIP::127.0.0.1::{port}::SOCKET"
    where = [
        "--set", f"bench.micromanager.led=127.0.0.1:{port}",
        "--set", f"bench.visa.led.address={address}",
    ]  # fmt: skip
    command = ["infoloop", "demo", "--output", str(run_dir), *OPTIONS, *where]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def acknowledged(run_dir: Path) -> list[TrialRow]:
    if not (run_dir / LEDGER_FILE).exists():
        return []
    with Ledger.read(run_dir) as ledger:
        rows = ledger.trials()
        for row in rows:
            if row.parts:
                ledger.load_batch(row)  # raises unless the file is what was acknowledged
    return [row for row in rows if row.state == "scored"]


def wait_for_first_trial(run_dir: Path) -> None:
    deadline_s = time.monotonic() + LONGEST_S
    while time.monotonic() < deadline_s:
        if (run_dir / "batches" / "trial00000.npy").exists():
            return
        time.sleep(0.02)
    raise TimeoutError("the run did not start")


def first_orders(log: Path, after_lines: int) -> list[str]:
    """Commands, not questions, that the LED got after a line of its log."""
    lines = log.read_text(encoding="utf-8").splitlines()[after_lines:]
    commands = [line.split("\t")[2] for line in lines]
    return [command for command in commands if "?" not in command]


def kill_once(folder: Path, delay_s: float) -> dict[str, Any]:
    run_dir, log = folder / "run", folder / "led.log"
    with led_process(log) as port:
        victim = start_run(run_dir, port)
        wait_for_first_trial(run_dir)
        time.sleep(delay_s)  # the random instant
        victim.kill()
        victim.wait()
        lit = optical_power_mw(port) > 0
        before = acknowledged(run_dir)
        lines = len(log.read_text(encoding="utf-8").splitlines())
        resumed = subprocess.run(
            ["infoloop", "resume", str(run_dir), "--quiet", "--json"],
            capture_output=True, text=True, timeout=LONGEST_S, check=False,
        )  # fmt: skip
        orders = first_orders(log, lines)
        after = acknowledged(run_dir)
        dark = optical_power_mw(port) == 0
    return {
        "killed_after_first_trial_s": round(delay_s, 3),
        "light_was_on_at_kill": lit,
        "acknowledged_at_kill": len(before),
        "lost": sum(row not in after for row in before),
        "trials_in_the_end": len(after),
        "first_order_to_light": orders[0] if orders else None,
        "exit_code": resumed.returncode,
        "status": json.loads(resumed.stdout)["status"] if resumed.returncode == 0 else None,
        "dark_in_the_end": dark,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw = random.Random(options.seed)  # noqa: S311 - instants, not secrets
    rows = []
    for _ in range(options.kills):
        with tempfile.TemporaryDirectory() as folder:
            rows.append(kill_once(Path(folder), draw.uniform(0, 5)))
        print(rows[-1], flush=True)
    good = all(
        row["lost"] == 0
        and row["first_order_to_light"] == "OUTP OFF"
        and row["exit_code"] == 0
        and row["dark_in_the_end"]
        for row in rows
    )
    if options.kills >= 10:
        print(save("kill_and_resume", {"kills": rows, "all_good": good}))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
