"""What comes back through the pipe: one word a line, of a closed set; nothing else is obeyed.

The only module that knows the words. The window writes them, the run's process reads them.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import IO

from instrument.campaign.control import Answer, Control

PAUSE, RESUME, ABORT = "pause", "resume", "abort"
_LONGEST_LINE = 64
_WHO = "viewer"
_log = logging.getLogger(__name__)


class Commander:
    """The child's end: writes a word a line, and ceases when nobody reads.

    Parameters
    ----------
    stream
        Unbuffered.
    """

    def __init__(self, stream: IO[bytes]):
        self._stream = stream

    def send(self, word: str) -> None:
        """Write a command; a run that is gone does not take it."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(f"{word}\n".encode("ascii"))

    def close(self) -> None:
        """Say that no more follow. Idempotent."""
        with contextlib.suppress(OSError):
            self._stream.close()


def obey(stream: IO[bytes], control: Control, tell: Callable[[str], None]) -> None:
    """Give the commands that come from a viewer, until its stream ends.

    Parameters
    ----------
    stream
        The child's standard output.
    control
        Of the run.
    tell
        Takes what became of each.
    """
    orders: dict[bytes, Callable[[], Answer]] = {
        PAUSE.encode(): lambda: control.pause(_WHO),
        RESUME.encode(): control.resume,
        ABORT.encode(): lambda: control.abort(_WHO),
    }
    has_complained = is_cut = False
    while line := stream.readline(_LONGEST_LINE):
        is_rest, is_cut = is_cut, not line.endswith(b"\n")
        order = None if is_rest else orders.get(line.strip())
        if order is not None:
            tell(order().text)
        elif not has_complained:
            has_complained = True  # once: a child gone mad must not fill the log
            _log.warning("the viewer said %r, which is no command; ignored", line)
