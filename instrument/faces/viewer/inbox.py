"""The child's end of the pipe: a thread that reads messages and keeps them for the window.

Of live frames only the latest is kept; everything else waits in order. So the pipe is always
drained, however slow the drawing, and reading starts before the graphics libraries are loaded.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import BinaryIO

from instrument.faces.viewer.messages import Message, read_message


class Inbox:
    """Messages read and not yet shown.

    `start` begins reading a buffered stream on a daemon thread; any thread may `take`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Message] = deque()
        self._frame: Message | None = None
        self._has_ended = False

    def start(self, stream: BinaryIO) -> None:
        """Read `stream` to its end."""
        threading.Thread(target=self._read, args=(stream,), name="inbox", daemon=True).start()

    def take(self) -> tuple[list[Message], bool]:
        """Return what came since the last call, the latest frame last, and whether that was all."""
        with self._lock:
            messages = list(self._waiting)
            if self._frame is not None:
                messages.append(self._frame)
            self._waiting.clear()
            self._frame = None
            return messages, self._has_ended

    def _read(self, stream: BinaryIO) -> None:
        try:
            while (message := read_message(stream)) is not None:
                self._keep(message)
        finally:
            with self._lock:
                self._has_ended = True

    def _keep(self, message: Message) -> None:
        with self._lock:
            if message.kind == "frame":
                self._frame = message
            else:
                self._waiting.append(message)
