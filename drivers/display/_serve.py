"""The child's loop: requests in, patterns on the screen, replies out; black at the end.

The end of the requests is the end of the parent, however it died: the pipe closes by itself.
"""

from __future__ import annotations

import hashlib
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from typing import BinaryIO

import numpy as np

from drivers.display._messages import Garbled, Kind, Message, read_message, write_message
from drivers.display._screen import Screen, WindowError, WindowLost

_EVENTS_S = 0.2  # a window that answers its system more seldom counts as hung


def serve(
    screen: Screen, requests: BinaryIO, replies: BinaryIO, *, at_end: Callable[[], None]
) -> None:
    """Answer every request in turn; show black when no more can come.

    Parameters
    ----------
    screen
        What shows.
    requests, replies
        Unbuffered streams.
    at_end
        Called, from another thread, when the requests have ended and black is about to be shown.

    Raises
    ------
    WindowLost
        There is nothing left to show on.
    """
    write_message(replies, Message(Kind.READY, screen.facts.model_dump_json().encode()))
    for request in _requests(screen, requests, at_end):
        try:
            write_message(replies, _reply(screen, request))
        except OSError:  # nobody is left to read it
            break
    screen.show(np.zeros(screen.shape, np.uint8))


def _requests(screen: Screen, stream: BinaryIO, at_end: Callable[[], None]) -> Iterator[Message]:
    """Yield requests as they come, and answer the window system in between."""
    inbox: queue.SimpleQueue[Message | None] = queue.SimpleQueue()

    def read_all() -> None:
        try:
            while (request := read_message(stream)) is not None:
                inbox.put(request)
                screen.wake()
        except (OSError, Garbled) as error:  # who sends no messages is no parent
            print(error, file=sys.stderr)  # noqa: T201 - what the child has to say, it says there
        at_end()
        inbox.put(None)
        screen.wake()

    threading.Thread(target=read_all, name="display requests", daemon=True).start()
    while True:
        screen.wait_for_events(_EVENTS_S)
        while not inbox.empty():
            request = inbox.get()
            if request is None:
                return
            yield request


def _reply(screen: Screen, request: Message) -> Message:
    if request.kind is Kind.READ:
        return Message(Kind.PIXELS, screen.pixels.tobytes())
    pattern = np.frombuffer(request.content, np.uint8)
    if request.kind is not Kind.SHOW or pattern.size != screen.shape[0] * screen.shape[1]:
        return Message(Kind.REFUSED, f"{pattern.size} pixels are no pattern".encode())
    try:
        shown = screen.show(pattern.reshape(screen.shape))
    except WindowLost:
        raise
    except WindowError as error:
        return Message(Kind.REFUSED, str(error).encode())
    digest = hashlib.sha256(screen.pixels.tobytes()).digest()
    return Message(Kind.SHOWN, digest, shown.swapped_ns, shown.complete_ns)
