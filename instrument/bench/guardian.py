"""The guardian: a process that switches the lights off when this one no longer can.

A kill -9, a crash inside a vendor's adapter, or one that holds the interpreter for ever leave
nobody here to switch a laser off. So a second process knows how to reach the lights, is told when
they are on, and hears a sign of life every second while they are. When the pipe to it ends with
the light on, it switches the light off; when the signs of life stop, it ends this process first,
which could only hold the instrument's line.

It reaches lights behind VISA only, and only where the instrument takes a new connection.

    python -m instrument.bench.guardian    started by `Guardian`; reads orders on standard input
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from drivers import DeviceError
from drivers.visa import VisaInstrument, VisaLight, load_declaration
from drivers.visa.managers import managers

BEAT_S = 1.0
READY_TIMEOUT_S = 20.0
CLOSE_TIMEOUT_S = 5.0
TRIES_FOR_S = 10.0
"""How long to go on trying: a killed process lets go of its line a moment later."""

_TRY_AGAIN_S = 0.2
_LIT, _DARK, _BEAT, _END = "lit", "dark", "beat", "end"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardedLight:
    """How to reach a light: its instrument, and what the bench file says of it."""

    name: str
    declaration: str
    address: str
    backend: str
    channel: str
    output: str | None
    limits: Sequence[float]
    safe: float

    def make_safe(self) -> None:
        """Open the instrument anew, switch it off and verify; raise `DeviceError`."""
        declaration = load_declaration(Path(self.declaration))
        low, high = self.limits
        with VisaInstrument.open(
            declaration, self.address, name=self.name, backend=self.backend
        ) as instrument:
            VisaLight(
                instrument,
                level=self.channel,
                output=self.output,
                limits=(low, high),
                safe=self.safe,
            ).make_safe()


class Guardian:
    """Starts the guarding process and keeps it informed.

    Parameters
    ----------
    lights
        Which to switch off.
    silence_s
        How long this process may give no sign of life while light is on.
    """

    def __init__(self, lights: Sequence[GuardedLight], *, silence_s: float):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "instrument.bench.guardian"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # what is sent to our group, Ctrl-C too, is not for it
        )
        self._orders = threading.Lock()
        self._has_spoken = threading.Event()
        self._is_ready = False
        self._hearing = threading.Thread(target=self._hear, name="guardian", daemon=True)
        self._hearing.start()
        self._is_lit = False
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):  # Windows before Python 3.12
                os.set_blocking(self._process.stdin.fileno(), False)  # the watchdog must not wait
        self._tell({
            "process": os.getpid(),
            "silence_s": silence_s,
            "lights": [asdict(light) for light in lights],
        })

    def lit(self) -> None:
        """Say that light is about to come on; raise `DeviceError` if nobody guards it."""
        self._has_spoken.wait(READY_TIMEOUT_S)
        is_told = self._is_ready and self._process.poll() is None and self._tell(_LIT)
        if not is_told:
            raise DeviceError(
                "the process that would switch the lights off if this one died is not there, so "
                "no light comes on; look at its last message above, or set safety.guardian: false"
            )
        self._is_lit = True

    def beat(self) -> None:
        """Say that this process lives."""
        self._tell(_BEAT)

    def dark(self) -> None:
        """Say that the lights are off and verified off."""
        self._is_lit = False
        self._tell(_DARK)

    def close(self) -> None:
        """End it; if a light could not be switched off, it tries before. Idempotent."""
        if not self._is_lit:
            self._process.kill()
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        try:
            self._process.wait(CLOSE_TIMEOUT_S + TRIES_FOR_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(CLOSE_TIMEOUT_S)
        self._hearing.join(CLOSE_TIMEOUT_S)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _tell(self, order: object) -> bool:
        """Write an order, or return False: it is gone, and the next light does not come on."""
        pipe = self._process.stdin
        if pipe is None or pipe.closed:
            return False
        try:
            with self._orders:
                pipe.write(json.dumps(order).encode() + b"\n")
                pipe.flush()
        except OSError:
            return False
        return True

    def _hear(self) -> None:
        pipe = self._process.stdout
        self._is_ready = pipe is not None and pipe.readline() == b"ready\n"
        self._has_spoken.set()  # or it has ended without a word


# ---- in the other process


def main() -> int:
    """Guard until standard input ends; return 1 if a light may still be on."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # it ends when those it guards have ended
    logging.basicConfig(format="infoloop guardian: %(message)s")
    orders: queue.SimpleQueue[object] = queue.SimpleQueue()
    reader = threading.Thread(target=_read, args=(sys.stdin, orders), daemon=True)
    reader.start()
    first = orders.get()
    if not isinstance(first, dict):
        return 0
    lights = [GuardedLight(**light) for light in first["lights"]]
    for light in lights:  # now, and not in an emergency: a VISA library takes a second to load
        load_declaration(Path(light.declaration))
        managers.acquire(light.backend)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    why = _watch(orders, first["silence_s"])
    if why is None:
        return 0
    process = first["process"]
    if why == _BEAT:
        _log.error("process %d gives no sign of life with the light on; ending it", process)
        with contextlib.suppress(OSError):
            os.kill(process, getattr(signal, "SIGKILL", signal.SIGTERM))
    else:
        _log.error("process %d ended with the light on", process)
    are_off = [_darken(light) for light in lights]  # every one is tried
    return 0 if all(are_off) else 1


def _read(pipe: IO[str], orders: queue.SimpleQueue[object]) -> None:
    for line in _lines(pipe):
        orders.put(json.loads(line))
    orders.put(_END)


def _lines(pipe: IO[str]) -> Iterator[str]:
    """Yield whole lines: a killed process may have written half of one."""
    for line in pipe:
        if line.endswith("\n"):
            yield line


def _watch(orders: queue.SimpleQueue[object], silence_s: float) -> str | None:
    """Return why the lights must be switched off: the end came, or no beat did; None: they are."""
    is_lit = False
    while True:
        try:
            order = orders.get(timeout=silence_s if is_lit else None)
        except queue.Empty:
            return _BEAT
        if order == _END:
            return _END if is_lit else None
        if order in (_LIT, _DARK):
            is_lit = order == _LIT


def _darken(light: GuardedLight) -> bool:
    """Switch a light off, again and again for a while; say how it went."""
    deadline_s = time.monotonic() + TRIES_FOR_S
    while True:
        try:
            light.make_safe()
        except Exception as error:  # noqa: BLE001 - the other lights must be tried
            if time.monotonic() >= deadline_s:
                _log.critical("%s: LIGHT MAY STILL BE ON, switch it off: %r", light.name, error)
                return False
            time.sleep(_TRY_AGAIN_S)  # until the other process's line is free
        else:
            _log.error("%s is off", light.name)
            return True


if __name__ == "__main__":
    raise SystemExit(main())
