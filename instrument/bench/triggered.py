"""Shots that a modulator brings by itself: its own sequence, stepped by the camera's exposures.

All patterns are sent once, in the dark. At every object the sequence starts at the first of them,
the camera takes one finite sequence of as many frames as there are shots, and the modulator is
stopped, so that a trigger too many is not carried to the next object. What pattern a modulator
shows after that is not known, and none is claimed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from jaxtyping import UInt16

from drivers import DeviceError, FrameLoss, SequencedModulator
from instrument.bench.actuators import as_kind
from instrument.bench.bench import AFTER_THE_WATCHDOG_S, Bench
from instrument.bench.opening import ConnectError
from instrument.bench.timing import Stopwatch
from instrument.config import SlmRole, triggered_role

LOAD_TIMEOUT_S = 60.0
"""Of a whole sequence: 64 patterns of 1080 x 1920 pixels over USB 2 take some seconds."""
_log = logging.getLogger(__name__)


def check_triggers(bench: Bench) -> None:
    """Check that modulators with a trigger hold sequences, of all the shots they are to bring.

    Raises
    ------
    ConnectError
        One line a modulator that cannot.
    """
    stepping = triggered_role(bench.config)
    failures: list[str] = []
    for name, role in bench.roles.items():
        if not isinstance(role, SlmRole) or role.trigger is None:
            continue
        device = bench.devices[name]
        shots = bench.config.shots if name == stepping else 1
        longest = device.sequence_length if isinstance(device, SequencedModulator) else 0
        if longest < shots:
            what = f"no sequence longer than {longest} patterns" if longest else "no sequences"
            fewer = f"take at most {longest} shots, or " if longest else ""
            asked = f", and shots is {shots}" if name == stepping else ""
            failures.append(
                f"`bench.roles.{name}.trigger`: {device.name} holds {what}{asked}; {fewer}leave "
                "trigger out: the program then steps from shot to shot"
            )
    if failures:
        raise ConnectError(failures)


class TriggeredShots:
    """The shots of the applied design as the sequence of a modulator.

    Parameters
    ----------
    bench
        With a design applied.
    role
        Of the modulator.
    """

    def __init__(self, bench: Bench, role: str):
        self._bench = bench
        self._modulator = as_kind(bench.devices[role], SequencedModulator, role)
        self._patterns = [np.asarray(pattern) for pattern in bench.targets(role)]
        self._named = f"{self._modulator.name} (role {role})"

    def load(self, *, stopwatch: Stopwatch) -> None:
        """Send the patterns of all shots; to be done in the dark.

        Raises
        ------
        LimitViolation, DeviceError
            From the modulator.
        """
        with stopwatch.measure("sequence"):
            self._modulator.load_sequence(self._patterns, timeout_s=LOAD_TIMEOUT_S)

    def capture(self, *, stopwatch: Stopwatch) -> UInt16[np.ndarray, "shots height width"]:
        """Take one frame a shot, in ADU, each triggering the next pattern.

        Everything holds for the whole capture that holds for an exposure (`Bench.expose`). After an
        error the sequence may still run: `stop` it, when it is dark.

        Raises
        ------
        InterlockTripped
            One does not hold, before the capture or during it; the light is off.
        WatchdogTripped
            Camera or modulator did not return in time; the light is off.
        LimitViolation
            With light on and interlocks that cannot be read meanwhile, a capture longer than
            `safety.interlock_interval_s`.
        FrameLoss
            Not as many frames as shots.
        DeviceError
            From camera or modulator.
        """
        bench, shots = self._bench, len(self._patterns)
        bench.forget_shot()
        bench.check_unread(bench.exposure_ms, exposures=shots)
        with (
            stopwatch.measure("sequence"),
            bench.lighting.expecting(f"{self._named}: the start of its sequence"),
        ):
            self._modulator.start_sequence()
        with stopwatch.measure("interlock"):
            bench.check_interlocks()
        frames = self._expose(stopwatch)
        if len(frames) != shots:
            raise FrameLoss(
                f"{bench.camera.name}: {shots} frames asked, one a pattern, {len(frames)} came"
            )
        with (
            stopwatch.measure("sequence"),
            bench.lighting.expecting(f"{self._named}: the end of its sequence"),
        ):
            self.stop()
        return frames

    def _expose(self, stopwatch: Stopwatch) -> UInt16[np.ndarray, "shots height width"]:
        bench, shots = self._bench, len(self._patterns)
        what = f"{bench.camera.name}: {shots} exposures of {bench.exposure_ms:g} ms in one sequence"
        with (
            stopwatch.measure("exposure"),
            bench.lighting.expecting(what, need_s=shots * bench.exposure_ms / 1e3),
        ):
            # Reading out may take the camera longer than exposing: the patrol may then read the
            # interlocks between two frames, those behind the core too (no `unread_while_exposing`).
            timeout_s = bench.config.safety.watchdog_s + AFTER_THE_WATCHDOG_S
            return bench.camera.capture(shots, timeout_s=timeout_s)

    def stop(self) -> None:
        """Stop the modulator's stepping; idempotent."""
        self._modulator.stop_sequence()


@contextmanager
def triggered_shots(bench: Bench, *, stopwatch: Stopwatch) -> Iterator[TriggeredShots | None]:
    """Let the modulator bring the shots within the block; None where the program steps.

    The modulator is stopped in every case; at a good end the first shot is on the bench again.
    The light must be off when the block is left.

    Raises
    ------
    LimitViolation, DeviceError
        From the modulator, before the block or after it.
    """
    role = triggered_role(bench.config)
    if role is None:
        yield None
        return
    shots = TriggeredShots(bench, role)
    shots.load(stopwatch=stopwatch)
    try:
        yield shots
    except BaseException:
        try:
            shots.stop()
        except DeviceError as error:  # what went wrong first is what counts; `safe` tries again
            _log.warning("%s", error)
        raise
    bench.show_shot(0, stopwatch=stopwatch)
