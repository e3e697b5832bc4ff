"""Claim: a campaign of 2000 trials outlives a random fault about every 20 trials, and is right.

`_soak_victim.py` runs a campaign on the virtual bench, in a process of its own, and makes faults:
a camera that raises, hangs or loses a frame, a stage that does not arrive, a full disk, an observer
that raises, SIGTERM, kill -9, and five faults of the VISA line. The LED is a server in this
process, so that nothing that happens to the campaign switches it; it notes when light goes on and
off. When the campaign's process has ended without having finished, it is started again with
`resume`, as a supervisor would. The first half of the trials is for faults that do not end the
process: one that has lived through dozens of recoveries is what may leak.

Checked in the end:

- the campaign has finished; every score that an observer was told of, and every row that was scored
  when a process ended, is in the ledger unchanged; `verify_run` finds no problem;
- every trial's truth (residual wavefront, rad) is that of its design, computed here anew from the
  aberration of the same seed; 100 random batches score again what is recorded, exactly, and 100 are
  simulated again, frame by frame, and are the same bit for bit: no trial has another's frames;
- after every fault it is dark within a second (0 s where it was dark), from the time the fault
  began to the time the LED was off. An observer that raises, and an answer that is asked again,
  stop nothing: the light goes out at the end of the batch as always;
- memory of the process grows by less than 50 MB from its 30th trial on, and threads and file
  handles are as many at the end as then, looked at in the dark between two trials (Linux).
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import mode
from typing import Any

import jax.numpy as jnp
import numpy as np

from drivers.testing import Fault, FaultServer
from drivers.virtual.options import PupilMicroscopeOptions
from drivers.virtual.scpi_server import VirtualLed
from drivers.virtual.worlds.pupil import SLM_LEVELS, PupilWorld, wavefront_rms_rad
from drivers.virtual.zernike import noll_modes
from instrument.bench.acquisition import DARK_FRAMES
from instrument.campaign.ledger import Ledger, TrialRow, verify_run
from instrument.campaign.rescore import rescore
from instrument.campaign.run import recorded_config
from instrument.config import Config

VICTIM = Path(__file__).with_name("_soak_victim.py")
DECLARATION = Path(__file__).parents[1] / "configs" / "instruments" / "led_driver.yaml"
TRIALS, EVERY = 2000, 20
OBJECTS = 9
WATCHDOG_S = 0.6
VISA_TIMEOUT_MS = 150
NOT_OF_THE_SIMULATOR = "^(?!SIM)"
"""Lines of the instrument's driver: the photons travel over the same server, and have no faults."""
WARM_TRIALS = 30
"""Of a process, before its memory, threads and handles are counted."""
LOOKS = 15
"""Looks whose most frequent count is that of threads or handles: one alone may meet a thread that
is about to end."""
LEAST_TRIALS = 200
"""Of a soak that says something about memory."""
ALLOWED_LIGHT_S = 1.0
ALLOWED_GROWTH_MB = 50.0
ALLOWED_ERROR_RAD = 1e-3
LONGEST_MIN = 120.0


class WatchedLed(VirtualLed):
    """Notes when its light goes on and off, on the clock of every process of this machine."""

    def __init__(self) -> None:
        super().__init__()
        self.lit: list[tuple[float, float]] = []
        self._since_s: float | None = None

    def execute(self, line: str) -> str | None:
        """Carry out one line, and look at the light."""
        answer = super().execute(line)
        is_lit = self.optical_power_mw() > 0
        if is_lit and self._since_s is None:
            self._since_s = time.monotonic()
        elif not is_lit and self._since_s is not None:
            self.lit.append((self._since_s, time.monotonic()))
            self._since_s = None
        return answer

    def all_lit(self) -> np.ndarray:
        """Begin and end of every period of light, (periods, 2); one that goes on ends now."""
        lit = [*self.lit, *([] if self._since_s is None else [(self._since_s, time.monotonic())])]
        return np.array(lit).reshape(-1, 2)


class StrikingServer(FaultServer):
    """Notes when a planned fault happens."""

    def __init__(self, led: WatchedLed):
        self.struck: list[tuple[str, float]] = []
        super().__init__(led)

    def _next_fault(self, line: str) -> Fault | None:
        fault = super()._next_fault(line)
        if fault is not None:
            self.struck.append((f"visa {fault.name}", time.monotonic()))
        return fault


def rows_of(run_dir: Path) -> list[TrialRow]:
    with Ledger.read(run_dir) as ledger:
        return ledger.trials()


@dataclass(frozen=True, slots=True)
class Look:
    """What a process held in the dark after a trial."""

    trial: int
    rss_kb: int
    threads: int
    handles: int


@dataclass(slots=True)
class Session:
    """One process of the campaign."""

    exit_code: int | None = None
    seconds: float = 0.0
    scored: list[int] = field(default_factory=list[int])
    faults: list[tuple[str, float]] = field(default_factory=list[tuple[str, float]])
    looks: list[Look] = field(default_factory=list[Look])

    def hear(self, line: str, server: StrikingServer) -> None:
        """Take one line of what the process tells."""
        match line.split():
            case ["fault", kind, at_s]:
                self.faults.append((kind.replace("_", " "), float(at_s)))
            case ["visa", name, _]:
                server.inject(Fault[name], on=NOT_OF_THE_SIMULATOR)
            case ["scored", trial]:
                self.scored.append(int(trial))
            case ["loop", *counts]:
                self.looks.append(Look(*map(int, counts)))
            case _:
                print(f"from the campaign: {line.rstrip()}", flush=True)

    def growth(self) -> dict[str, Any] | None:
        """Memory (MB), threads and handles: at the end, less after 30 trials; None if shorter."""
        looks = self.looks[WARM_TRIALS:]
        if len(looks) < 2 * LOOKS:
            return None
        first, last = looks[:LOOKS], looks[-LOOKS:]

        def more(name: str) -> int:
            return mode(getattr(x, name) for x in last) - mode(getattr(x, name) for x in first)

        start_kb = looks[0].rss_kb
        return {
            "trials": len(self.looks),
            "rss_start_mb": round(start_kb / 1024, 1),
            "rss_growth_mb": round((looks[-1].rss_kb - start_kb) / 1024, 1),
            "rss_peak_growth_mb": round((max(x.rss_kb for x in looks) - start_kb) / 1024, 1),
            "threads": mode(x.threads for x in last),
            "threads_more": more("threads"),
            "handles": mode(x.handles for x in last),
            "handles_more": more("handles"),
        }


def settings(port: int, declaration: Path, trials: int) -> list[str]:
    changed = [
        f"search.trials={trials}", "search.engine=cmaes", "search.confirm.repeats=1",
        f"objects.stage_grid.count={OBJECTS}", "score.patch=8", "score.density=gaussian",
        "bench.roles.camera.exposure_ms=2", "noise={gain: 2.17, offset: 100, read_noise: 1.7}",
        "safety.self_check_repeats=4", f"safety.watchdog_s={WATCHDOG_S}",
        "safety.recover={attempts: 6, captures: 4, wait_s: 0.2}", "safety.least_free_disk_mb=50",
        f"bench.micromanager.led=127.0.0.1:{port}",
        f"bench.visa.led.address=TCPIP::127.0.0.1::{port}::SOCKET",
        f"bench.visa.led.declaration={declaration}",
    ]  # fmt: skip
    return [word for change in changed for word in ("--set", change)]


class Soak:
    """A campaign that is made to fail again and again, and is started again until it finishes."""

    def __init__(self, folder: Path, *, trials: int, every: int, seed: int, longest_s: float):
        self.folder, self.run_dir = folder, folder / "run"
        self.trials, self.every, self.seed = trials, every, seed
        self._ends_s = time.monotonic() + longest_s
        self.led = WatchedLed()
        self.sessions: list[Session] = []
        self.acknowledged: dict[int, TrialRow] = {}
        self.changed: set[int] = set()

    def run(self) -> None:
        """Run and resume until the campaign has finished, or the time is over."""
        declaration = self.folder / "led_driver.yaml"
        text = DECLARATION.read_text(encoding="utf-8")
        declaration.write_text(
            text.replace("timeout_ms: 1000", f"timeout_ms: {VISA_TIMEOUT_MS}"), encoding="utf-8"
        )
        with StrikingServer(self.led) as server:
            self.server = server
            most = 5 + 2 * self.trials // self.every
            while not self._is_over(most):
                self._session(declaration)
        self.lit = self.led.all_lit()
        self.is_dark = self.led.optical_power_mw() == 0

    def _session(self, declaration: Path) -> None:
        begun = (self.run_dir / "ledger.sqlite").exists()
        number = len(self.sessions)
        lasting = self.trials // 2
        if begun and len(self.acknowledged) >= lasting:
            lasting = 0
        command = [
            sys.executable, str(VICTIM), str(self.seed + number), str(self.every), str(lasting),
        ]  # fmt: skip
        if begun:
            command += ["resume", str(self.run_dir), "--quiet"]
        else:
            options = settings(self.server.port, declaration, self.trials)
            command += ["run", "demo.yaml", "--quiet", "--output", str(self.run_dir), *options]
        session, began_s = Session(), time.monotonic()
        self.sessions.append(session)
        with (self.folder / f"stderr{number}.txt").open("wb") as errors:
            victim = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
            timer = threading.Timer(max(0.0, self._ends_s - time.monotonic()), victim.kill)
            timer.start()
            for line in victim.stdout or ():
                session.hear(line, self.server)
            session.exit_code = victim.wait()
            timer.cancel()
        session.seconds = round(time.monotonic() - began_s, 1)
        self.server.forget()
        self._remember()
        print(
            f"session {number}: exit code {session.exit_code} after {session.seconds} s, "
            f"{len(self.acknowledged)} scored, faults {[kind for kind, _ in session.faults]}, "
            f"{session.growth()}",
            flush=True,
        )

    def _remember(self) -> None:
        """Compare with what was acknowledged before, and remember what is acknowledged now."""
        if not (self.run_dir / "ledger.sqlite").exists():
            return
        rows = {row.number: row for row in rows_of(self.run_dir)}
        self.changed |= {
            number for number, row in self.acknowledged.items() if rows.get(number) != row
        }
        self.acknowledged |= {n: row for n, row in rows.items() if row.state == "scored"}

    def _is_over(self, most: int) -> bool:
        is_late = time.monotonic() > self._ends_s
        return is_late or len(self.sessions) == most or self._has_finished()

    def _has_finished(self) -> bool:
        if not (self.run_dir / "ledger.sqlite").exists():
            return False
        with Ledger.read(self.run_dir) as ledger:
            return ledger.meta().get("status") == "finished"

    # ---- what came of it

    def faults(self) -> list[tuple[str, float]]:
        """Return kind and time (s) of every fault that happened, in order."""
        told = [fault for session in self.sessions for fault in session.faults]
        return sorted([*told, *self.server.struck], key=lambda fault: fault[1])

    def light(self) -> dict[str, Any]:
        """Return the seconds from a fault to darkness, by kind; and the longest light of all."""
        found: defaultdict[str, list[float]] = defaultdict(list)
        for kind, at_s in self.faults():
            here = self.lit[(self.lit[:, 0] <= at_s) & (self.lit[:, 1] > at_s)]
            found[kind].append(float(here[0, 1] - at_s) if len(here) else 0.0)
        return {
            "worst_s_by_kind": {kind: round(max(s), 3) for kind, s in sorted(found.items())},
            "lit_when_it_happened": {
                kind: sum(each > 0 for each in s) for kind, s in sorted(found.items())
            },
            "worst_s": round(max((max(s) for s in found.values()), default=0.0), 3),
            "longest_light_s": round(float(np.max(np.diff(self.lit, axis=1), initial=0)), 3),
            "periods_of_light": len(self.lit),
        }

    def record(self, *, rescored: int) -> dict[str, Any]:
        """Return what came of it; so many batches are scored and simulated again."""
        with Ledger.read(self.run_dir) as ledger:
            rows, meta, journal = ledger.trials(), ledger.meta(), ledger.journal()
            config = recorded_config(ledger)
        scored = [row for row in rows if row.state == "scored"]
        told = {number for session in self.sessions for number in session.scored}
        found = verify_run(self.run_dir)
        grown = [growth for session in self.sessions if (growth := session.growth())]
        faults = Counter(kind for kind, _ in self.faults())
        draw = random.Random(self.seed)  # noqa: S311 - a choice of trials
        chosen = draw.sample(scored, min(rescored, len(scored)))
        truth = Truth(config)
        recorded = [row.record["truth"]["residual_rad"] for row in scored]
        errors = [abs(truth.residual_rad(r) - rad) for r, rad in zip(scored, recorded, strict=True)]
        texts = [row.text for row in journal if row.kind == "recovery"]
        return {
            "trials": self.trials,
            "every": self.every,
            "seed": self.seed,
            "seconds": round(sum(session.seconds for session in self.sessions), 1),
            "status": meta.get("status"),
            "n_scored": len(scored),
            "failed": {row.number: row.why for row in rows if row.state == "failed"},
            "n_faults": faults.total(),
            "faults": dict(sorted(faults.items())),
            "n_recovered_in_process": sum("is connected again" in text for text in texts),
            "n_sessions": len(self.sessions),
            "exit_codes": dict(Counter(str(session.exit_code) for session in self.sessions)),
            "n_acknowledged": len(told | set(self.acknowledged)),
            "lost": sorted(told - {row.number for row in scored}),
            "changed": sorted(self.changed),
            "verified": {"trials": found.trials, "problems": list(found.problems)},
            "truth": {"trials": len(errors), "worst_error_rad": float(max(errors, default=0.0))},
            "scored_again": self._scored_again(chosen),
            "simulated_again": {
                "trials": len(chosen),
                "different": [r.number for r in chosen if not truth.is_same(r, self.run_dir)],
            },
            "light": {**self.light(), "dark_in_the_end": self.is_dark},
            "processes": grown,
            "sessions": [
                {
                    "exit_code": s.exit_code, "seconds": s.seconds, "scored": len(s.scored),
                    "faults": [kind for kind, _ in s.faults],
                    "first_and_last_look": [asdict(x) for x in (s.looks[:1] + s.looks[-1:])],
                }
                for s in self.sessions
            ],
        }  # fmt: skip

    def _scored_again(self, chosen: Sequence[TrialRow]) -> dict[str, Any]:
        different: list[int] = []

        def compare(trial: Any) -> None:
            if trial.new is None or trial.old.score != trial.new.score:
                different.append(trial.number)

        numbers = ",".join(str(row.number) for row in sorted(chosen, key=lambda row: row.number))
        rescore(self.run_dir, trials=numbers, on_trial=compare)
        return {"trials": len(chosen), "different": different}


class Truth:
    """The bench computed again from its seed, without any of the code that drives it."""

    def __init__(self, config: Config):
        options = config.bench.micromanager
        if not isinstance(options, PupilMicroscopeOptions):
            raise TypeError(f"the soak's bench is the pupil microscope, not {options}")
        self._power_mw = 0.0
        self._world = PupilWorld(
            seed=config.search.seed if options.seed is None else options.seed,
            sample=options.sample,
            fill=options.fill,
            aberration_rms_rad=options.aberration_rms_rad,
            optical_power_mw=lambda: self._power_mw,
        )
        self._modes = noll_modes(self._world.twin.side)

    def _pattern(self, row: TrialRow) -> np.ndarray:
        phase = np.tensordot(row.design.values["pupil"], self._modes, axes=1)
        return (np.round(phase * SLM_LEVELS / (2 * np.pi)) % SLM_LEVELS).astype(np.uint8)

    def residual_rad(self, row: TrialRow) -> float:
        """Residual wavefront of a trial's design, rad rms."""
        phase = self._pattern(row) * (2 * np.pi / SLM_LEVELS)
        focus_um = row.design.values["focus"][0]
        wavefront = self._world.twin.wavefront_rad(
            jnp.asarray(phase, jnp.float32), jnp.float32(focus_um)
        )
        return wavefront_rms_rad(np.asarray(wavefront, np.float64))

    def is_same(self, row: TrialRow, run_dir: Path) -> bool:
        """Whether the frames of a trial are those of its design, of its noise, bit for bit."""
        world = self._world
        world.seed_noise(row.number, 0)
        world.show(self._pattern(row))
        world.z.move(row.design.values["focus"][0])
        exposure_s = float(row.record["exposure_ms"]) / 1e3
        self._power_mw = 0.0
        for _ in range(DARK_FRAMES):
            world.expose(exposure_s)
        self._power_mw = 10.0
        frames = []
        for x, y in row.record["positions_um"]:
            world.xy.move(x, y)
            while not (world.xy.is_done() and world.z.is_done()):
                pass  # it travels in real time, a few ms
            time.sleep(0.02)  # the modulator settles in real time
            frames.append(world.expose(exposure_s))
        with Ledger.read(run_dir) as ledger:
            return np.array_equal(ledger.load_batch(row)[:, 0], frames)


def checks(found: dict[str, Any]) -> dict[str, bool]:
    """Return what was claimed, one by one, and whether it is so.

    Of a short soak no process may have lived long enough for its memory to be looked at.
    """
    grown = found["processes"]
    is_seen = bool(grown) or found["trials"] < LEAST_TRIALS
    return {
        "finished": found["status"] == "finished" and found["n_scored"] >= 0.99 * found["trials"],
        "nothing acknowledged is lost": not found["lost"] and not found["changed"],
        "verified": not found["verified"]["problems"],
        "no trial with another design's frames": (
            found["truth"]["worst_error_rad"] <= ALLOWED_ERROR_RAD
            and not found["scored_again"]["different"]
            and not found["simulated_again"]["different"]
        ),
        "dark within 1 s of every fault": (
            found["light"]["worst_s"] <= ALLOWED_LIGHT_S and found["light"]["dark_in_the_end"]
        ),
        "memory is flat": is_seen
        and all(g["rss_peak_growth_mb"] < ALLOWED_GROWTH_MB for g in grown),
        "no thread leaks": is_seen and all(g["threads_more"] <= 0 for g in grown),
        "no file handle leaks": is_seen and all(g["handles_more"] <= 0 for g in grown),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--every", type=int, default=EVERY)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="a new folder that is not deleted")
    parser.add_argument("--longest-min", type=float, default=LONGEST_MIN, help="then it is killed")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        soak = Soak(
            folder,
            trials=chosen.trials,
            every=chosen.every,
            seed=chosen.seed,
            longest_s=60 * chosen.longest_min,
        )
        soak.run()
        found = soak.record(rescored=100)
    passed = checks(found)
    print({**{key: value for key, value in found.items() if key != "sessions"}, "checks": passed})
    if chosen.trials >= TRIALS:
        from record import save  # not above: tests import this file from another folder

        print(save("soak", {**found, "checks": passed, "all_good": all(passed.values())}))
    return 0 if all(passed.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
