"""Claim: after a kill -9 at any instant nothing acknowledged is lost, and the search is the same.

A campaign on the virtual bench is killed over and over while it is resumed, until it finishes; new
campaigns follow until there were enough kills. Instants are random, or inside a write: when frames
lie half written on the disk, or when SQLite's log was just touched. The LED is a server in a
process of its own, so that a kill leaves it as it was, and it logs every command. After every kill:

- `verify_run` finds every row and file as it was acknowledged;
- every trial that was ever scored is still there, unchanged;
- the first thing that anybody orders the LED afterwards is to switch off.

A finished campaign has the same designs, phases and scores and the same frames, bit for bit, as one
of the same seed that was never killed; its light is off.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, cast

from instrument.campaign.ledger import (
    BATCH_FOLDER,
    LEDGER_FILE,
    Ledger,
    LedgerError,
    TrialRow,
    verify_run,
)

Instant = Literal["random", "frames", "row"]
INFOLOOP = [sys.executable, "-m", "instrument.faces.cli"]
TRIALS = 14
SEEDS = 3
LONGEST_S = 300.0
SPAN = 0.7
"""Longest wait for a random kill, as a share of what the whole campaign takes."""
POLL_S = 0.0005


def options(*, seed: int, trials: int) -> list[str]:
    """Short, and with the noise given: a calibration that is cut off goes on with other frames."""
    changed = [
        f"search.trials={trials}", f"search.seed={seed}", "search.confirm.repeats=1",
        "objects.stage_grid.count=16", "score.patch=8", "safety.self_check_repeats=4",
        "noise={gain: 2.17, offset: 100, read_noise: 1.7}",
    ]  # fmt: skip
    return ["--quiet", "--json", *(word for change in changed for word in ("--set", change))]


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


@dataclass(slots=True)
class Session:
    """One process that runs or resumes a campaign, and what it was killed at."""

    run_dir: Path
    port: int
    seed: int
    trials: int
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        command = ["resume", str(self.run_dir), "--quiet", "--json"]
        if not (self.run_dir / LEDGER_FILE).exists():
            address = f"TCPIP::127.0.0.1::{self.port}::SOCKET"
            command = [
                "demo", "--output", str(self.run_dir),
                *options(seed=self.seed, trials=self.trials),
                "--set", f"bench.micromanager.led=127.0.0.1:{self.port}",
                "--set", f"bench.visa.led.address={address}",
            ]  # fmt: skip
        before = self._log_written()
        self.process = subprocess.Popen(
            [*INFOLOOP, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._wait(lambda: self._log_written() > before)  # it has the ledger open

    def kill_at(self, instant: Instant, *, delay_s: float) -> bool:
        """Wait and kill; False where it ended by itself before."""
        deadline_s = time.monotonic() + delay_s
        there = self._wait(lambda: time.monotonic() >= deadline_s)
        if there and instant == "frames":
            there = self._wait(lambda: any((self.run_dir / BATCH_FOLDER).glob("*.partial")))
        elif there and instant == "row":
            written = self._log_written()
            there = self._wait(lambda: self._log_written() > written)
        self.process.kill()
        self.process.wait()
        return there

    def finish(self) -> int:
        """Wait until it ends by itself; return its exit code."""
        return self.process.wait(timeout=LONGEST_S)

    def _wait(self, condition: Callable[[], bool]) -> bool:
        """Wait for something; False where the process ended before."""
        deadline_s = time.monotonic() + LONGEST_S
        while not condition():
            if self.process.poll() is not None:
                return False
            if time.monotonic() > deadline_s:
                self.process.kill()
                raise TimeoutError(f"{self.run_dir}: it never came to that")
            time.sleep(POLL_S)
        return self.process.poll() is None

    def _log_written(self) -> int:
        try:
            return (self.run_dir / f"{LEDGER_FILE}-wal").stat().st_mtime_ns
        except FileNotFoundError:
            return 0


def rows_of(run_dir: Path) -> list[TrialRow]:
    with Ledger.read(run_dir) as ledger:
        return ledger.trials()


def what_was_done(row: TrialRow) -> tuple[Any, ...]:
    """Return what must not depend on kills: phase, outcome, design, and the hashes of frames."""
    hashes = [part.sha256 for part in row.parts]
    return row.phase, row.state, row.design.to_json(), row.score, row.standard_error, hashes


@functools.cache
def unbroken(seed: int, trials: int) -> tuple[list[tuple[Any, ...]], float]:
    """Rows of a campaign that nobody kills, and how long it has the ledger open, seconds."""
    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder) / "run"
        with led_process(Path(folder) / "led.log") as port:
            code = Session(run_dir, port, seed, trials).finish()
        if code != 0:
            raise RuntimeError(f"the campaign that nobody kills ended with exit code {code}")
        with Ledger.read(run_dir) as ledger:
            (session,) = ledger.sessions()
            return [what_was_done(row) for row in ledger.trials()], session.seconds or 0.0


def first_order(log: Path, after_lines: int) -> str | None:
    """Return the first command, not question, that the LED got after a line of its log."""
    lines = log.read_text(encoding="utf-8").splitlines()[after_lines:]
    commands = (line.split("\t")[2] for line in lines)
    return next((command for command in commands if "?" not in command), None)


def broken(
    seed: int, instants: Iterator[Instant], draw: random.Random, *, kills: int, trials: int
) -> dict[str, Any]:
    """Kill one campaign up to `kills` times while it is resumed; let it finish; look at it."""
    expected, whole_s = unbroken(seed, trials)
    done: list[dict[str, Any]] = []
    scored: dict[int, TrialRow] = {}
    with tempfile.TemporaryDirectory() as folder:
        run_dir, log = Path(folder) / "run", Path(folder) / "led.log"
        with led_process(log) as port:
            code: int | None = None
            lines = 0
            while code is None:
                session = Session(run_dir, port, seed, trials)
                if len(done) == kills:
                    code = session.finish()
                    break
                instant, before = next(instants), half_written(run_dir)
                span_s = SPAN * whole_s
                if not session.kill_at(instant, delay_s=draw.uniform(0, span_s)):
                    code = session.finish()
                    break
                if done:
                    done[-1]["first_order_to_light"] = first_order(log, lines)
                left = sorted(name for name, _ in half_written(run_dir) - before)
                done.append(after_a_kill(run_dir, instant, scored, port, half_written=left))
                lines = len(log.read_text(encoding="utf-8").splitlines())
            if done:
                done[-1]["first_order_to_light"] = first_order(log, lines)
            is_dark = optical_power_mw(port) == 0
        rows = rows_of(run_dir)
        return {
            "seed": seed,
            "kills": done,
            "exit_code": code,
            "trials": len(rows),
            "lost": sum(rows[number] != row for number, row in scored.items()),
            "is_whole": verify_run(run_dir).is_whole,
            "same_as_unbroken": [what_was_done(row) for row in rows] == expected,
            "dark_in_the_end": is_dark,
        }


def half_written(run_dir: Path) -> set[tuple[str, int]]:
    """Files of frames that are not whole, with their time: those of earlier kills stay a while."""
    found = (run_dir / BATCH_FOLDER).glob("*.partial")
    return {(path.name, path.stat().st_mtime_ns) for path in found}


def after_a_kill(
    run_dir: Path,
    instant: Instant,
    scored: dict[int, TrialRow],
    port: int,
    *,
    half_written: list[str],
) -> dict[str, Any]:
    """Look at what a kill left, and remember what was acknowledged."""
    is_lit = optical_power_mw(port) > 0
    try:
        found = verify_run(run_dir)
        problems, rows = list(found.problems), rows_of(run_dir)
    except LedgerError as error:
        problems, rows = [str(error)], []
    there = {row.number: row for row in rows}
    lost = [number for number, row in scored.items() if there.get(number) != row]
    scored |= {row.number: row for row in rows if row.state == "scored"}
    return {
        "instant": instant,
        "left_half_written": half_written,
        "states": dict(Counter(row.state for row in rows)),
        "problems": problems,
        "lost": lost,
        "light_was_on_at_kill": is_lit,
    }


def is_good(campaign: dict[str, Any]) -> bool:
    kills = campaign["kills"]
    return (
        campaign["exit_code"] == 0
        and campaign["lost"] == 0
        and campaign["is_whole"]
        and campaign["same_as_unbroken"]
        and campaign["dark_in_the_end"]
        and not any(kill["problems"] or kill["lost"] for kill in kills)
        and all(kill["first_order_to_light"] in {None, "OUTP OFF"} for kill in kills)
    )


def instants(draw: random.Random) -> Iterator[Instant]:
    """Half of them random, the others inside a write."""
    while True:
        yield from draw.sample(("random", "random", "frames", "row"), 4)


def summary(campaigns: list[dict[str, Any]]) -> dict[str, Any]:
    kills = [kill for campaign in campaigns for kill in campaign["kills"]]
    return {
        "n_kills": len(kills),
        "n_by_instant": dict(Counter(kill["instant"] for kill in kills)),
        "n_with_frames_half_written": sum(bool(kill["left_half_written"]) for kill in kills),
        "n_with_light_on": sum(kill["light_was_on_at_kill"] for kill in kills),
        "n_campaigns": len(campaigns),
        "n_acknowledged_lost": sum(campaign["lost"] for campaign in campaigns),
        "n_verified_clean": sum(not kill["problems"] for kill in kills),
        "n_same_as_unbroken": sum(campaign["same_as_unbroken"] for campaign in campaigns),
        "all_good": all(map(is_good, campaigns)),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, help="begin no campaign after as long")
    parser.add_argument("--save", action="store_true", help="also with fewer than 100 kills")
    chosen = parser.parse_args()
    draw = random.Random(chosen.seed)  # noqa: S311 - instants, not secrets
    drawn = instants(draw)
    campaigns: list[dict[str, Any]] = []
    left = chosen.kills
    ends_s = time.monotonic() + 60 * (chosen.minutes or float("inf"))
    while left > 0 and time.monotonic() < ends_s:
        seed = len(campaigns) % SEEDS
        campaigns.append(broken(seed, drawn, draw, kills=left, trials=TRIALS))
        left -= len(campaigns[-1]["kills"])
        print(campaigns[-1], flush=True)
    values = summary(campaigns)
    print(values)
    if chosen.save or chosen.kills >= 100:
        from record import save  # not above: tests import this file from another folder

        print(save("kill_and_resume", {**values, "campaigns": campaigns}))
    return 0 if values["all_good"] else 1


if __name__ == "__main__":
    sys.exit(main())
