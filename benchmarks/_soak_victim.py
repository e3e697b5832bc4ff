"""Child of `soak.py`: `infoloop run` or `resume` in this process, with faults at random exposures.

    python _soak_victim.py SEED EVERY LASTING run demo.yaml --set ...

On average one fault comes in `EVERY` trials, each at an exposure in the light (a full disk at the
write after it, a stage at the move after it). Kinds come in a shuffled order. Those that end the
process come only from trial `LASTING` on, so that one process has lived through many recoveries.

It tells its parent, a line each on standard output, with `time.monotonic()` in seconds:

    fault KIND TIME                       just before it happens
    visa FAULT TIME                       the parent is to make this fault on the LED's line
    scored TRIAL                          an observer of the run was told so
    loop TRIAL RSS_KB THREADS HANDLES     in the dark after a trial, from the thread of the loop
"""

from __future__ import annotations

import errno
import io
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from drivers.virtual.bench import VirtualCamera
from drivers.virtual.bench.devices import VirtualXY
from drivers.virtual.worlds.pupil import PupilWorld
from instrument.bench import motion
from instrument.campaign import disk
from instrument.campaign.engine import Campaign
from instrument.campaign.events import Event, EventBus, TrialScored
from instrument.campaign.ledger import files
from instrument.faces.cli import app

OBJECTS = 9
HANGS_S = (1.5, 3.0)
"""The camera comes back after the watchdog has acted, or not before the driver's bound: then it can
not be made safe, and the process ends."""
STUCK_S = 0.6
"""How long a stage says that it is busy; longer than `MOVE_TIMEOUT_S`."""
MOVE_TIMEOUT_S = 0.4
FULL_S = 1.0
LATEST_KILL_S = 0.3
VISA = ("RESET", "GARBAGE", "LATE_REPLY", "NO_REPLY", "CLOSED_MID_REPLY")
KINDS = (
    "camera raises", "camera hangs", "camera loses a frame", "stage never arrives", "disk is full",
    "observer raises", *(f"visa {name}" for name in VISA),
)  # fmt: skip
FATAL_KINDS = ("SIGTERM", "kill -9")
"""Two of each to one of every other kind, once they may come."""

_hang = threading.Event()  # never set


def say(*words: object) -> None:
    """One line in one write, so that threads do not mix them and a kill loses none."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def tell(kind: str) -> None:
    say("fault", kind.replace(" ", "_"), f"{time.monotonic():.6f}")


class Saboteur:
    """Decides at which exposure in the light something goes wrong, and makes it."""

    def __init__(self, *, seed: int, every: int, lasting: int):
        self._draw = random.Random(seed)  # noqa: S311 - faults, not secrets
        self._mean = float(every * OBJECTS)
        self._lasting = lasting
        self._kinds = self._in_turn()
        self._left = self._gap()
        self.trial = 0
        self.bus: EventBus | None = None
        self.loses_a_frame = False
        self.stage_is_stuck: float | None = None
        """Until when (s); 0 from the next move on."""
        self.disk_is_full: float | None = None
        """The same, from the next write on."""

    def _gap(self) -> int:
        return max(OBJECTS, round(self._draw.expovariate(1 / self._mean)))

    def _in_turn(self) -> Iterator[str]:
        kinds: list[str] = []
        was_lasting = self.trial < self._lasting
        while True:
            is_lasting = self.trial < self._lasting
            if not kinds or is_lasting != was_lasting:
                kinds = [*KINDS, *(() if is_lasting else 2 * FATAL_KINDS)]
                self._draw.shuffle(kinds)
            was_lasting = is_lasting
            yield kinds.pop()

    def before_a_lit_exposure(self) -> None:
        """Count one, and make a fault where its turn has come (thread of the camera's core)."""
        self._left -= 1
        if self._left > 0:
            return
        self._left = self._gap()
        self._make(next(self._kinds))

    def _make(self, kind: str) -> None:
        match kind:
            case "camera raises":
                tell(kind)
                raise OSError("cable pulled")
            case "camera hangs":
                tell(kind)
                is_lasting = self.trial < self._lasting
                _hang.wait(HANGS_S[0] if is_lasting else self._draw.choice(HANGS_S))
            case "camera loses a frame":
                self.loses_a_frame = True
            case "stage never arrives":
                self.stage_is_stuck = 0.0
            case "disk is full":
                self.disk_is_full = 0.0
            case "observer raises":
                tell(kind)
                self._observe(raises)
            case "SIGTERM":
                tell(kind)
                os.kill(os.getpid(), signal.SIGTERM)
            case "kill -9":
                threading.Timer(self._draw.uniform(0, LATEST_KILL_S), kill).start()
            case _:
                say("visa", kind.removeprefix("visa "), f"{time.monotonic():.6f}")

    def _observe(self, observer: Callable[[Event], None]) -> None:
        if self.bus is not None:
            self.bus.subscribe(observer, name="observer that raises")

    def is_stuck(self) -> bool:
        """Whether the sample stage says that it is busy."""
        if self.stage_is_stuck is None:
            return False
        if self.stage_is_stuck == 0:
            tell("stage never arrives")
            self.stage_is_stuck = time.monotonic() + STUCK_S
        if time.monotonic() >= self.stage_is_stuck:
            self.stage_is_stuck = None
        return self.stage_is_stuck is not None

    def is_full(self) -> bool:
        """Whether a write finds no room."""
        if self.disk_is_full is None:
            return False
        if self.disk_is_full == 0:
            tell("disk is full")
            self.disk_is_full = time.monotonic() + FULL_S
        if time.monotonic() >= self.disk_is_full:
            self.disk_is_full = None
        return self.disk_is_full is not None


def raises(_event: Event) -> None:
    raise RuntimeError("an observer that is not written well")


def kill() -> None:
    tell("kill -9")
    os.kill(os.getpid(), signal.SIGKILL)


def let_it_strike(saboteur: Saboteur) -> None:
    """Put the saboteur where devices, disk and observers are reached."""
    snap, start_sequence = VirtualCamera.snap, VirtualCamera.start_sequence
    busy, write_all = VirtualXY.busy, files._write_all  # noqa: SLF001 - as below: seams of a test
    begin_bus, tell_trial = EventBus.__init__, Campaign._tell  # noqa: SLF001

    def is_lit(camera: VirtualCamera) -> bool:
        return camera._world._optical_power_mw() > 0  # noqa: SLF001

    def snap_or_fail(camera: VirtualCamera, buffer: np.ndarray) -> Mapping[str, Any]:
        if is_lit(camera):
            saboteur.before_a_lit_exposure()
        return snap(camera, buffer)

    def start_or_lose(camera: VirtualCamera, n: int, get_buffer: Any) -> Any:
        if saboteur.loses_a_frame and is_lit(camera):
            saboteur.loses_a_frame = False
            tell("camera loses a frame")
            return start_sequence(camera, 0, get_buffer)
        return start_sequence(camera, n, get_buffer)

    def write_or_fail(file: io.FileIO, chunk: memoryview) -> None:
        if saboteur.is_full():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_all(file, chunk)

    def begin_and_listen(bus: EventBus) -> None:
        begin_bus(bus)
        saboteur.bus = bus
        bus.subscribe(listen, name="parent")

    def tell_and_look(campaign: Campaign, trial: Any, told: Any) -> None:
        tell_trial(campaign, trial, told)
        saboteur.trial = trial.number
        look(trial.number)

    VirtualCamera.snap = snap_or_fail
    VirtualCamera.start_sequence = start_or_lose
    VirtualXY.busy = lambda stage: saboteur.is_stuck() or busy(stage)
    files._write_all = write_or_fail  # noqa: SLF001
    EventBus.__init__ = begin_and_listen
    Campaign._tell = tell_and_look  # noqa: SLF001
    motion.MOVE_TIMEOUT_S = MOVE_TIMEOUT_S
    disk.LOOK_AGAIN_S = FULL_S


def listen(event: Event) -> None:
    if isinstance(event, TrialScored) and event.bits_per_pixel is not None:
        say("scored", event.trial)


def look(trial: int) -> None:
    """Say how much this process holds (Linux)."""
    status = dict(
        line.split(":", 1) for line in Path("/proc/self/status").read_text("utf-8").splitlines()
    )
    rss_kb = int(status["VmRSS"].split()[0])
    say("loop", trial, rss_kb, int(status["Threads"]), len(list(Path("/proc/self/fd").iterdir())))


def compile_first() -> None:
    """Compile the simulator: a first exposure of a second would look like a camera that hangs."""
    world = PupilWorld(
        seed=0, sample="texture", fill=0.1, aberration_rms_rad=1.0, optical_power_mw=lambda: 1.0
    )
    world.expose(1e-3)


def main() -> None:
    seed, every, lasting = map(int, sys.argv[1:4])
    compile_first()
    let_it_strike(Saboteur(seed=seed, every=every, lasting=lasting))
    app(sys.argv[4:])


if __name__ == "__main__":
    main()
