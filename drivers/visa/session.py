"""A line to one instrument: questions out, answers in, and only errors of our own tree.

The only module that knows pyvisa, and the only one that reconnects. Its promise: **an answer is
never taken for the answer to another question.** A session counts as dirty from the moment a
question leaves until its answer was understood, so whatever interrupts it (a timeout, garbage,
Ctrl-C) leaves it dirty, and a dirty session identifies its instrument anew before the next use.

Faults measured with pyvisa 1.16 and pyvisa-py 0.8 that shaped it:

- after a late reply every answer belongs to the question before it, for ever;
- `open_resource` succeeds with nothing listening; the first query then fails with a bare OSError;
- `clear()` on a TCP socket whose peer has gone never returns (`pyvisa_py/tcpip.py`, `clear` loops
  while the socket is readable, and end of file is readable), and it lets through what arrives more
  than 100 ms late. So a socket is never cleared but opened anew, which is exact and faster; `clear`
  is for interfaces that have a device clear (USB, GPIB, VXI-11) or a buffer (serial);
- a peer that closes is seen only as a timeout, so the socket is asked for end of file.
"""

from __future__ import annotations

import contextlib
import logging
import re
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from drivers.errors import ConnectionLost, DeviceError, DeviceTimeout, ProtocolError
from drivers.visa.managers import managers

if TYPE_CHECKING:
    from pyvisa.resources import MessageBasedResource

ParsedT = TypeVar("ParsedT")

GRACE_S = 0.35
"""Time beyond the timeout that one operation may spend on reconnecting and asking again."""

LONGEST_ANSWER_BYTES = 1024
"""An answer is one number or one line of text; anything longer is not what was asked for."""

_PAUSES_S = (0.0, 0.02, 0.05, 0.1)  # back-off between attempts to get the instrument back

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Deadline:
    """When an operation must have ended, on the monotonic clock."""

    at_s: float
    answer_s: float
    """How long one answer may take until then."""

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """Return a deadline that many seconds from now, any answer until then in time."""
        return cls(time.monotonic() + seconds, seconds)

    def remaining_s(self) -> float:
        """Time left, never below zero."""
        return max(0.0, self.at_s - time.monotonic())


class VisaSession:
    """A connection that identifies its instrument and finds it again after a fault.

    Parameters
    ----------
    address
        VISA resource name, `TCPIP::192.168.1.7::5025::SOCKET` say.
    name
        Label of the device, for messages.
    identify
        Pattern that the answer to `*IDN?` must contain.
    timeout_s
        How long one answer may take.
    backend
        pyvisa's name of the VISA library, `@py` for pyvisa-py, `@ivi` for a vendor's.
    """

    def __init__(
        self,
        address: str,
        *,
        name: str,
        identify: str,
        read_termination: str,
        write_termination: str,
        timeout_s: float,
        backend: str,
    ) -> None:
        self.address = address
        self.name = name
        self.timeout_s = timeout_s
        self.identity = ""
        self._identify = identify
        self._read_termination = read_termination
        self._write_termination = write_termination
        self._backend = backend
        self._is_socket = address.upper().endswith("::SOCKET")
        self._lock = threading.RLock()
        self._resource: MessageBasedResource | None = None
        self._is_dirty = True
        self._is_closed = False
        try:
            self._manager = managers.acquire(backend)
        except (OSError, ValueError) as error:  # what pyvisa raises for a backend it cannot find
            raise ConnectionLost(
                f"{self}: VISA backend {backend!r} cannot be used ({error}); "
                "use `@py`, or install the vendor's VISA library and name it"
            ) from error
        try:
            with self.operation() as deadline:
                self.make_clean(deadline)
        except BaseException:  # also Ctrl-C: a half-open session must not keep the port
            self.close()
            raise

    def __str__(self) -> str:
        return f"{self.name} ({self.address})"

    @contextlib.contextmanager
    def operation(
        self, *, answer_s: float | None = None, patience_s: float = 0.0
    ) -> Iterator[Deadline]:
        """Hold the session for one operation, all of which ends within timeout + `GRACE_S`.

        Inside another operation of the same thread it only counts the time anew.

        Parameters
        ----------
        answer_s
            How long one answer may take, where that is not the timeout.
        patience_s
            How long to wait for another thread to let go of the session, where that is more.
        """
        answer_s = self.timeout_s if answer_s is None else answer_s
        bound_s = answer_s + GRACE_S
        patience_s = max(bound_s, patience_s + GRACE_S)
        if not self._lock.acquire(timeout=patience_s):
            raise DeviceTimeout(
                f"{self}: busy with another thread for {patience_s:.2g} s; let one thread own it"
            )
        try:
            if self._is_closed:
                raise ConnectionLost(f"{self}: was closed; open it again")
            yield Deadline(time.monotonic() + bound_s, answer_s)
        finally:
            self._lock.release()

    def make_clean(self, deadline: Deadline) -> None:
        """Return at once if the last use went well; else get the instrument back, or raise."""
        if not self._is_dirty and self._resource is not None:
            line = _line_state(self._resource)
            if line == "quiet":
                return
            _log.warning("%s: the line was %s between two questions; reconnecting", self, line)
        self._is_dirty = True
        for attempt, pause_s in enumerate(_PAUSES_S, start=1):
            time.sleep(min(pause_s, deadline.remaining_s()))
            try:
                self._restore(deadline)
            except DeviceError:
                self._hang_up()
                if attempt == len(_PAUSES_S) or deadline.remaining_s() == 0:
                    raise
            else:
                return

    def query(self, question: str, parse: Callable[[str], ParsedT], deadline: Deadline) -> ParsedT:
        """Ask, and ask once more after a fault if there is time: a question changes nothing.

        `parse` raises ValueError for an answer that is not one to this question.
        """
        self.make_clean(deadline)
        try:
            return self._exchange(question, parse, deadline)
        except DeviceError as error:
            first = error
        if deadline.remaining_s() == 0:
            raise first
        try:
            self.make_clean(deadline)
            return self._exchange(question, parse, deadline)
        except DeviceError as second:
            first.add_note(f"asked again: {second}")
            raise first from second

    def send(self, command: str) -> None:
        """Send on the line as it is, once. When this raises, it may have arrived or not.

        It asks no question first, so that light off needs no answer. `make_clean` before it makes
        sure that it is the declared instrument which hears it.
        """
        was_dirty, self._is_dirty = self._is_dirty, True
        with self._translated(f"`{command}`"):
            self._speak(command)
        self._is_dirty = was_dirty

    def close(self) -> None:
        """Give back connection and resource manager. Idempotent; never raises, never waits long."""
        is_mine = self._lock.acquire(timeout=self.timeout_s + GRACE_S)
        try:
            if not self._is_closed:
                self._is_closed = True
                self._hang_up()
                managers.release(self._backend)
        finally:
            if is_mine:
                self._lock.release()

    def _exchange(
        self, question: str, parse: Callable[[str], ParsedT], deadline: Deadline
    ) -> ParsedT:
        """One question and its answer; dirty in between, and for good when anything fails."""
        self._is_dirty = True
        with self._translated(f"`{question}`"):
            self._speak(question)
            parsed = parse(self._hear(min(deadline.answer_s, deadline.remaining_s())))
        self._is_dirty = False
        return parsed

    def _speak(self, text: str) -> None:
        if self._resource is None:
            raise ConnectionError("not connected")
        self._resource.write_raw((text + self._write_termination).encode("ascii"))

    def _hear(self, timeout_s: float) -> str:
        if self._resource is None:
            raise ConnectionError("not connected")
        self._resource.timeout = max(1, round(timeout_s * 1000))
        answer = self._resource.read_bytes(LONGEST_ANSWER_BYTES, break_on_termchar=True)
        text = answer.decode("ascii")
        if not text.endswith(self._read_termination):
            raise ValueError(f"{_shown(text)} without {self._read_termination!r} at its end")
        return text.removesuffix(self._read_termination).strip()

    def _restore(self, deadline: Deadline) -> None:
        """Get an empty line to an instrument that says it is the one declared."""
        with self._translated("a connection"):
            if self._resource is not None and not self._clear():
                self._hang_up()
            if self._resource is None:
                self._dial(deadline)
                self._clear()
        self.identity = self._exchange("*IDN?", self._recognise, deadline)

    def _dial(self, deadline: Deadline) -> None:
        timeout_ms = max(1, round(min(self.timeout_s, deadline.remaining_s()) * 1000))
        resource: Any = self._manager.open_resource(self.address, open_timeout=timeout_ms)
        self._resource = resource
        resource.read_termination = self._read_termination
        _, interface = _socket_under(resource)
        if interface is not None:
            # A question right after a command would wait 40 ms for the delayed ACK of the command;
            # pyvisa-py 0.8 declares VI_ATTR_TCPIP_NODELAY but raises when it is set.
            interface.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _clear(self) -> bool:
        """Throw away what is still on its way; False where the interface cannot."""
        from pyvisa.constants import StatusCode
        from pyvisa.errors import VisaIOError

        if self._resource is None or self._is_socket:
            return False
        try:
            self._resource.clear()
        except NotImplementedError:  # pyvisa-sim 0.7
            return False
        except VisaIOError as error:
            if error.error_code != StatusCode.error_nonsupported_operation:
                raise
            return False
        return True

    def _recognise(self, answer: str) -> str:
        if not re.search(self._identify, answer):
            raise ValueError(
                f"`identify: {self._identify}` does not match, check the address and the "
                f"declaration; {_shown(answer)}"
            )
        return answer

    def _hang_up(self) -> None:
        self._is_dirty = True
        resource, self._resource = self._resource, None
        if resource is None:
            return
        try:
            with self._translated("closing it"):
                resource.close()
        except DeviceError as error:
            _log.debug("%s", error)  # it is gone, which is all that was wanted

    @contextlib.contextmanager
    def _translated(self, asked: str) -> Iterator[None]:
        """Turn whatever pyvisa and its backends raise into our tree.

        Really whatever: they raise RPC, USB and struct errors and even bare `Exception`, and a
        stray class would slip past the `except DeviceError` that switches the light off.
        """
        try:
            yield
        except DeviceError:
            raise
        except Exception as error:
            is_gone = self._resource is not None and _line_state(self._resource) == "closed"
            kind, what_came = _meaning(error, is_gone=is_gone)
            raise kind(f"{self}: {asked} asked, {what_came}") from error


def _meaning(error: Exception, *, is_gone: bool) -> tuple[type[DeviceError], str]:
    """Look up what a foreign exception means to the bench. The only such table."""
    from pyvisa.constants import StatusCode
    from pyvisa.errors import InvalidSession, VisaIOError

    check_line = "check that it is switched on, its cable and its address"
    match error:
        case VisaIOError(error_code=StatusCode.error_timeout) if is_gone:
            return ConnectionLost, f"it closed the connection; {check_line}"
        case VisaIOError(error_code=StatusCode.error_timeout) | TimeoutError():
            return DeviceTimeout, f"no complete answer in time; {check_line}, or raise `timeout_ms`"
        case VisaIOError():
            return ConnectionLost, f"VISA says {error}; {check_line}"
        case InvalidSession():
            return ConnectionLost, "the session was closed underneath; open the instrument again"
        case ConnectionRefusedError():
            return ConnectionLost, f"connection refused, nothing listens there; {check_line}"
        case OSError():
            return ConnectionLost, f"{error.strerror or error} came back; {check_line}"
        case UnicodeDecodeError():
            return ProtocolError, (
                f"bytes that are no text came back ({error.object[:20]!r}); "
                "check baud rate, cable and `read_termination`"
            )
        case ValueError():
            return ProtocolError, f"{error} came back"
        case _:
            return ConnectionLost, f"{type(error).__name__}: {error} came back; {check_line}"


def _line_state(resource: MessageBasedResource) -> Literal["quiet", "closed", "talking"]:
    """Whether bytes, or the end of the connection, wait to be read; nothing is read."""
    link, interface = _socket_under(resource)
    if interface is None:
        return "quiet"
    if getattr(link, "_pending_buffer", b""):
        return "talking"
    try:
        readable, _, _ = select.select([interface], [], [], 0)
        if not readable:
            return "quiet"
        return "talking" if interface.recv(1, socket.MSG_PEEK) else "closed"
    except OSError:
        return "closed"


def _socket_under(resource: MessageBasedResource) -> tuple[Any, socket.socket | None]:
    """Give pyvisa-py's session of a resource, and the socket in it if there is one.

    pyvisa has no call for what we need of it. The names are those of pyvisa-py 0.8
    (`highlevel.py`, `sessions`; `tcpip.py`, `TCPIPSocketSession`); should they change, an early
    warning and 40 ms a command are lost, and identification after a fault is not.
    """
    from pyvisa.errors import InvalidSession

    try:
        sessions: Any = getattr(resource.visalib, "sessions", {})
        link: Any = sessions.get(resource.session)
    except InvalidSession:
        return None, None
    interface = getattr(link, "interface", None)
    return link, interface if isinstance(interface, socket.socket) else None


def _shown(text: str) -> str:
    """Answer as it may stand in a message."""
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
