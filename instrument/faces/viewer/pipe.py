"""The parent's end of the viewer: writes events into a pipe, and obeys the window's buttons.

The viewer is a process of its own, so that nothing it does (a crash, a closed window, a slow
graphics card, Python's global lock) can touch the loop. It outlives the run until a person closes
it; the run neither waits for it nor ends it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from typing import IO

from instrument.campaign.control import Control
from instrument.campaign.events import (
    CampaignEnded,
    CampaignStarted,
    Event,
    FrameCaptured,
    NoiseChecked,
    Notice,
    StateChanged,
    TrialScored,
    TrialStarted,
)
from instrument.faces.viewer.commands import obey
from instrument.faces.viewer.messages import Message, encode

_log = logging.getLogger(__name__)
_FRAME_PERIOD_S = 0.04  # a little more often than the window draws
_CLOSE_TIMEOUT_S = 2.0
_EXIT_TIMEOUT_S = 1.0  # from a broken pipe to the exit code of whoever broke it
_NEEDED = ("napari", "pyqtgraph", "qtpy")
_BLIND_PLATFORMS = ("offscreen", "minimal")  # Qt platforms that draw where nobody can look


class ViewerUnavailable(Exception):  # noqa: N818 - a circumstance, told in one sentence
    """There can be no viewer here; the message says what to install or to do."""


class Viewer:
    """An observer of a campaign: shows it in the window of a child process.

    Call it with events; it never raises because of the child. `close` lets the child go.

    Parameters
    ----------
    process
        The child, its standard input an unbuffered pipe, and its standard output if it may command.
    control
        Takes the commands of the window's buttons, on a thread that ends with the child's output.
    complaints
        Where the child's standard error goes, or None; quoted if it dies.
    clock
        Seconds, monotonic.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        *,
        control: Control | None = None,
        complaints: IO[bytes] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._process = process
        self._complaints = complaints
        self._clock = clock
        self._last_frame_s = -float("inf")
        self._is_open = True
        self._lock = threading.Lock()
        if control is not None and process.stdout is not None:
            threading.Thread(
                target=self._obey,
                args=(process.stdout, control),
                name="viewer-buttons",
                daemon=True,
            ).start()

    @property
    def is_open(self) -> bool:
        """Whether events still reach the child."""
        return self._is_open

    def __call__(self, event: Event) -> None:
        """Tell the child, if it is there; live frames at most 25 a second."""
        message = message_of(event)
        if message is None or not self._is_open or self._is_too_soon(event):
            return
        with self._lock:
            self._send(encode(message))

    def close(self) -> None:
        """Say that no more events follow; the window stays until a person closes it. Idempotent."""
        # A child that no longer reads may keep a write, and with it the lock, for ever.
        if not self._lock.acquire(timeout=_CLOSE_TIMEOUT_S):
            _log.warning("the viewer does not answer; the run does not wait for it")
            self._is_open = False
            return
        try:
            self._let_go()
        finally:
            self._lock.release()

    def _obey(self, stdout: IO[bytes], control: Control) -> None:
        with contextlib.suppress(OSError, ValueError), stdout:
            obey(stdout, control, self._tell)

    def _tell(self, text: str) -> None:
        with self._lock:
            self._send(encode(Message(kind="notice", fields={"text": text})))

    def _is_too_soon(self, event: Event) -> bool:
        if not isinstance(event, FrameCaptured):
            return False
        now_s = self._clock()
        if now_s - self._last_frame_s < _FRAME_PERIOD_S:
            return True
        self._last_frame_s = now_s
        return False

    def _send(self, content: bytes) -> None:
        stdin = self._process.stdin
        if not self._is_open or stdin is None:
            return
        rest = memoryview(content)
        try:
            while rest:
                rest = rest[stdin.write(rest) :]
        except (OSError, ValueError):
            self._report_death()
            self._let_go()

    def _report_death(self) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_EXIT_TIMEOUT_S)
        if self._process.returncode in {0, None}:
            _log.info("the viewer was closed; the run goes on")
        else:
            _log.warning("the viewer stopped (%s); the run goes on", self._last_complaint())

    def _last_complaint(self) -> str:
        code = f"exit code {self._process.returncode}"
        if self._complaints is None:
            return code
        self._complaints.seek(0)
        lines = self._complaints.read().decode(errors="replace").strip().splitlines()
        return f"{code}: {lines[-1]}" if lines else code

    def _let_go(self) -> None:
        self._is_open = False
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        if self._complaints is not None:
            self._complaints.close()
        if self._process.poll() is None:
            self._process.returncode = 0  # it outlives us by design: no "still running" warning


def open_viewer(control: Control) -> Viewer:
    """Start the viewer's process and return the observer that feeds it and obeys it.

    Raises
    ------
    ViewerUnavailable
        Without the extra `gui` or without a display; one sentence for the person at the bench.
    """
    reason = why_unavailable(os.environ)
    if reason:
        raise ViewerUnavailable(reason)
    return start_viewer(control=control)


def start_viewer(*arguments: str, control: Control | None = None) -> Viewer:
    """Start the viewer's process with extra `arguments` (see `__main__`)."""
    complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the Viewer
    # The child finds the modules its parent found, in the same order, and not the working folder's.
    path = os.pathsep.join(entry for entry in sys.path if entry)
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-P", "-m", "instrument.faces.viewer", *arguments],
        bufsize=0,
        stdin=subprocess.PIPE,
        # Its commands, where there is somebody to take them; ours belongs to --json.
        stdout=subprocess.DEVNULL if control is None else subprocess.PIPE,
        stderr=complaints,
        env={**os.environ, "PYTHONPATH": path},
        # Ctrl-C in the terminal stops the run, not the window.
        start_new_session=os.name != "nt",
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
    )
    return Viewer(process, control=control, complaints=complaints)


def why_unavailable(environment: Mapping[str, str]) -> str | None:
    """Return one sentence on why there can be no viewer, or None if there can."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        return (
            f'The live view needs {", ".join(missing)}: pip install "infoloop[gui]"; '
            "the run goes on without it."
        )
    return _why_no_display(environment) if sys.platform.startswith("linux") else None


def _why_no_display(environment: Mapping[str, str]) -> str | None:
    platform = environment.get("QT_QPA_PLATFORM", "")
    if platform.startswith(_BLIND_PLATFORMS):
        return (
            f"The live view needs a display and QT_QPA_PLATFORM={platform} draws on none: unset "
            "it; the run goes on without a view."
        )
    has_display = environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY")
    if has_display or platform.startswith(("eglfs", "linuxfb", "vnc")):
        return None
    return (
        "The live view needs a display and neither DISPLAY nor WAYLAND_DISPLAY is set: log in at "
        "the bench's own screen, or with `ssh -X`; the run goes on without a view."
    )


def message_of(event: Event) -> Message | None:
    """Return what the viewer is told about an event; None for one it has no use for."""
    match event:
        case CampaignStarted():
            fields = {"run_dir": event.run_dir, "trials": event.trials, "done": event.done}
            return Message(kind="started", fields=fields)
        case TrialStarted():
            fields = {"trial": event.trial, "phase": event.phase, "greys": list(event.greys)}
            return Message(kind="trial", fields=fields, arrays=dict(event.patterns))
        case FrameCaptured():
            fields = {"trial": event.trial, "index": event.index, "of": event.of}
            return Message(kind="frame", fields=fields, arrays={"frame": event.frame})
        case TrialScored():
            return Message(kind="scored", fields=_score_of(event))
        case NoiseChecked():
            return Message(kind="notice", fields={"text": event.headline})
        case StateChanged():
            return Message(kind="state", fields={"now": str(event.now), "why": event.why})
        case Notice():
            return Message(kind="notice", fields={"text": event.text})
        case CampaignEnded():
            return Message(kind="ended", fields={"status": event.status, "text": event.text})
        case _:
            return None


def _score_of(event: TrialScored) -> dict[str, object]:
    names = (
        "trial",
        "phase",
        "bits_per_pixel",
        "standard_error",
        "best_trial",
        "best_bits_per_pixel",
        "seconds",
        "why",
    )
    objects = None if event.sampling is None else event.sampling["objects"]
    return {**{name: getattr(event, name) for name in names}, "objects": objects}
