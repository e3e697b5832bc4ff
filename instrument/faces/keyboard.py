"""What a person at the keyboard may do to a run: Ctrl-C pauses it, Enter goes on, Ctrl-C ends it.

Ctrl-C arrives in a signal handler, which may take no lock and so cannot print: it leaves its
sentence in a queue, and a thread says it.
"""

from __future__ import annotations

import contextlib
import io
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from typing import BinaryIO

from instrument.campaign.control import Control
from instrument.campaign.events import Event, StateChanged
from instrument.campaign.states import State

_CLOSE_TIMEOUT_S = 2.0
_READ_AGAIN_S = 0.2


class Keyboard:
    """Commands from the keyboard, and an observer that says when the light is off.

    The first Ctrl-C pauses where somebody can resume, and ends the run where nobody can; the next
    ends it; one more does so at once, whatever the bench is doing.

    Parameters
    ----------
    control
        Of the run.
    say
        Tells the person one sentence.
    lines
        Where Enter arrives; None where no terminal is at hand. Closed at the end.
    can_resume
        Says whether somebody can resume otherwise: in the viewer, while it is open.
    """

    def __init__(
        self,
        control: Control,
        say: Callable[[str], None],
        *,
        lines: BinaryIO | None,
        can_resume: Callable[[], bool] = lambda: False,
    ):
        self._control = control
        self._say = say
        self._lines = lines
        self._can_resume = can_resume
        self._sentences: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._is_over = threading.Event()
        self._speaker = threading.Thread(target=self._speak, name="keyboard", daemon=True)
        self._speaker.start()
        if lines is not None:
            threading.Thread(
                target=self._listen, args=(lines,), name="keyboard-enter", daemon=True
            ).start()

    def on_ctrl_c(self) -> bool:
        """Take a Ctrl-C, in its signal handler; False where the run is to end at once."""
        control = self._control
        if control.is_abort_asked or control.state.has_ended:
            return False
        if control.is_pause_asked or not (self._lines is not None or self._can_resume()):
            answer = control.abort("Ctrl-C")
            more = "; Ctrl-C again does not wait for that"
        else:
            answer = control.pause("Ctrl-C")
            more = ""
        self._sentences.put(answer.text + more)
        return True

    def __call__(self, event: Event) -> None:
        """Say that it is dark now, and what may be done."""
        if not isinstance(event, StateChanged) or event.now != State.PAUSED:
            return
        if self._control.is_pause_asked:
            on = "Enter goes on" if self._lines is not None else "go on in the viewer"
            on = f"{on}, Ctrl-C ends the run"
        else:  # the disk is full
            on = "it goes on by itself, Ctrl-C twice ends the run"
        self._sentences.put(
            f"paused, light off ({event.why}): {on}; it ends by itself after safety.longest_pause_s"
        )

    def close(self) -> None:
        """Listen no more. Idempotent."""
        self._is_over.set()
        self._sentences.put(None)
        self._speaker.join(_CLOSE_TIMEOUT_S)

    def _speak(self) -> None:
        while (sentence := self._sentences.get()) is not None:
            self._say(sentence)

    def _listen(self, lines: BinaryIO) -> None:
        with contextlib.suppress(OSError), lines:  # a job in the background may not read
            while not self._is_over.is_set():
                if lines.readline():
                    self._enter()
                elif os.name == "nt":  # there Ctrl-C ends a read as if the input were over
                    self._is_over.wait(_READ_AGAIN_S)
                else:
                    return

    def _enter(self) -> None:
        if self._control.is_pause_asked and not self._is_over.is_set():
            self._sentences.put(self._control.resume().text)


def terminal_lines() -> BinaryIO | None:
    """Return standard input where it is a terminal; a handle of our own.

    A thread that waits in `sys.stdin` itself would abort the interpreter's shutdown. A process that
    is put into the background would be stopped when it reads, with the light on: with SIGTTIN
    ignored the read fails instead.
    """
    try:
        if sys.stdin is None or not sys.stdin.isatty():
            return None
        own = os.dup(sys.stdin.fileno())
    except (OSError, ValueError, io.UnsupportedOperation):  # closed, or no file
        return None
    if hasattr(signal, "SIGTTIN") and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTTIN, signal.SIG_IGN)
    return os.fdopen(own, "rb")
