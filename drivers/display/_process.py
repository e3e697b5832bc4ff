"""The parent's end: starts the child with the window, asks it in turn, notices when it dies.

One thread a child holds the conversation, so that neither a full pipe nor a hung driver can hold a
caller longer than its limit. A reply belongs to the request before it and to no other.
"""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout

from pydantic import TypeAdapter

from drivers.display._messages import Garbled, Message, read_message, write_message
from drivers.display._screen import Monitor
from drivers.errors import ConnectionLost, DeviceError, DeviceTimeout, ProtocolError

OPEN_TIMEOUT_S = 30.0
MONITORS = TypeAdapter(list[Monitor])
_EXIT_TIMEOUT_S = 8.0  # the child shows black first; it leaves by itself after 5 s at most
_Job = tuple[Message, "Future[Message]"]


def list_monitors(*, timeout_s: float = OPEN_TIMEOUT_S) -> list[Monitor]:
    """Return all monitors; asked in a process of its own, as windows are opened.

    Raises
    ------
    ConnectionLost
        There is no window system to ask, or the extra `display` is missing.
    DeviceTimeout
        No answer after `timeout_s`.
    """
    with contextlib.closing(DisplayProcess("monitors", "--list")) as process:
        found = process.answer(process.ready, "list the monitors", timeout_s=timeout_s)
    return MONITORS.validate_json(found.content)


class DisplayProcess:
    """A child with a window, and the conversation with it.

    Parameters
    ----------
    name
        Of the device, for messages.
    arguments
        Command line of `drivers.display.__main__`.
    """

    def __init__(self, name: str, *arguments: str):
        self._name = name
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        # The child finds the modules its parent found, in the same order.
        path = os.pathsep.join(entry for entry in sys.path if entry)
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-P", "-m", "drivers.display", *arguments],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            env={**os.environ, "PYTHONPATH": path},
            # Ctrl-C in the terminal ends the run, which makes the bench safe and then ends us.
            start_new_session=os.name != "nt",
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._is_closed = False
        self._has_opened = False
        self._lost: ConnectionLost | None = None
        self.ready: Future[Message] = Future()
        """What the child says when its window is open."""
        self._thread = threading.Thread(target=self._converse, name=f"display {name}", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """Number of the child process."""
        return self._process.pid

    def ask(self, request: Message) -> Future[Message]:
        """Send a request, in its turn, and return its reply to come."""
        if self._is_closed:
            raise ConnectionLost(f"{self._name}: the display is closed")
        reply: Future[Message] = Future()
        self._jobs.put((request, reply))
        return reply

    def answer(self, reply: Future[Message], what: str, *, timeout_s: float) -> Message:
        """Wait for a reply.

        Raises
        ------
        DeviceTimeout
            None after `timeout_s`; it may still come, and is never taken for another's.
        ConnectionLost
            The child is gone.
        """
        try:
            return reply.result(timeout=timeout_s)
        except FutureTimeout:
            raise DeviceTimeout(
                f"{self._name}: {what}: no answer from the window within {timeout_s:g} s; is the "
                "monitor switched on, and the computer not asleep?"
            ) from None

    def close(self) -> None:
        """Let the child show black and leave; after a while, kill it. Idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        self._jobs.put(None)
        self._thread.join(_EXIT_TIMEOUT_S)
        if self._thread.is_alive():
            self._process.kill()
            self._thread.join()
        self._complaints.close()

    def _converse(self) -> None:
        """Hold the whole conversation, from the first word of the child to its end."""
        self._settle(self.ready, None)
        self._has_opened = self._lost is None
        while (job := self._jobs.get()) is not None:
            request, reply = job
            self._settle(reply, request)
        self._end()

    def _settle(self, reply: Future[Message], request: Message | None) -> None:
        """Give a reply its message, or its error."""
        reply.set_running_or_notify_cancel()
        try:
            reply.set_result(self._exchange(request))
        except DeviceError as error:
            reply.set_exception(error)

    def _exchange(self, request: Message | None) -> Message:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None  # noqa: S101 - both were asked for
        assert stdout is not None  # noqa: S101
        if self._lost is None:
            try:
                if request is not None:
                    write_message(stdin, request)  # type: ignore[arg-type] - raw, by bufsize 0
                message = read_message(stdout)  # type: ignore[arg-type]
            except OSError:
                message = None
            except Garbled as error:
                self._process.kill()
                raise ProtocolError(f"{self._name}: the window sent {error}") from error
            if message is not None:
                return message
            self._lost = self._obituary()
        raise ConnectionLost(*self._lost.args)

    def _obituary(self) -> ConnectionLost:
        """Say how the child ended; a child that closed its pipes and lives is ended here."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_EXIT_TIMEOUT_S)
        code = self._process.poll()
        self._process.kill()
        self._complaints.seek(0)
        lines = self._complaints.read().decode(errors="replace").strip().splitlines()
        why = lines[-1] if lines else f"its process ended with exit code {code}; start again"
        what = "the window is gone" if self._has_opened else "no window"
        return ConnectionLost(f"{self._name}: {what}: {why}")

    def _end(self) -> None:
        """Close the pipes, by which the child knows, and wait until it has left."""
        with self._process:  # waits, and closes the other pipe
            if self._process.stdin is not None:
                self._process.stdin.close()
