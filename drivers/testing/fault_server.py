r"""A SCPI instrument that goes wrong on command.

Each `Fault` is one that real instruments and real cables produce. Nothing here waits for a clock:
a late reply comes exactly when it does the most harm, just before the answer to the next question.

    with FaultServer() as server:
        server.inject(Fault.NO_REPLY, on=r"SOUR:POW\?")
        ...  # open `server.address` with any VISA library, and see what your driver does
"""

from __future__ import annotations

import enum
import re
import threading
from dataclasses import dataclass

from drivers.virtual.scpi_server import Client, Instrument, LineServer, Reply, VirtualLed

_ERROR_QUERY = re.compile(r":?SYST(EM)?:ERR(OR)?(:NEXT)?\?", re.IGNORECASE)


class Fault(enum.Enum):
    """What goes wrong with one command or question."""

    NO_REPLY = "the question is swallowed"
    LATE_REPLY = "the answer comes just before the answer to the next question, if there is one"
    NO_TERMINATOR = "the answer comes without a newline"
    DOUBLE_REPLY = "the answer comes twice"
    GARBAGE = "bytes that are no text come instead of the answer"
    TEXT_FOR_NUMBER = "`OVLD` comes instead of the answer"
    NOT_A_NUMBER = "`NAN` comes instead of the answer"
    OVER_RANGE = "`9.9E37`, SCPI's word for over range, comes instead of the answer"
    FLOOD = "100 kB without a newline come instead of the answer"
    CLOSED_MID_REPLY = "half of the answer comes, then the connection is closed"
    RESET = "the connection is reset"
    REFUSED = "the connection is reset and no new one accepted until `heal`"
    ACCEPTED_WITH_ERROR = "the command is not carried out and -222 waits in the error queue"
    IGNORED = "the command is not carried out and nothing says so"
    ERROR_QUEUE_FULL = "the command is carried out and 16 errors wait, the last `Queue overflow`"
    ERROR_QUEUE_STUCK = "the error queue never runs empty (inject it on `SYST:ERR`)"


@dataclass(slots=True)
class _Planned:
    fault: Fault
    on: re.Pattern[str]
    times: int | None


class FaultServer(LineServer):
    """An instrument on a loopback socket, with faults on demand and a record of what it heard.

    Use it as a context manager; leaving it joins its thread.

    Parameters
    ----------
    instrument
        What answers when nothing goes wrong; a `VirtualLed` by default.
    """

    def __init__(self, instrument: Instrument | None = None) -> None:
        self.instrument = VirtualLed() if instrument is None else instrument
        self._plan_lock = threading.Lock()
        self._planned: list[_Planned] = []
        self._heard: list[str] = []
        self._queued_errors: list[str] = []
        super().__init__(self._reply_or_fail)

    @property
    def heard(self) -> list[str]:
        """Every line received so far, oldest first."""
        with self._plan_lock:
            return list(self._heard)

    def forget(self) -> None:
        """Empty `heard`."""
        with self._plan_lock:
            self._heard.clear()

    def inject(self, fault: Fault, *, on: str = r"\?", times: int | None = 1) -> None:
        """Plan a fault.

        Parameters
        ----------
        fault
            What goes wrong.
        on
            Regular expression found in the lines it happens to; by default any question.
        times
            How often, or None for ever.
        """
        with self._plan_lock:
            self._planned.append(_Planned(fault, re.compile(on, re.IGNORECASE), times))

    def heal(self) -> None:
        """Forget all planned faults and accept connections again."""
        with self._plan_lock:
            self._planned.clear()
            self._queued_errors.clear()
        self.accept()

    def _reply_or_fail(self, line: str, client: Client) -> Reply:
        fault = self._next_fault(line)
        late, client.held_back = client.held_back, b""
        if fault in {Fault.NO_REPLY, Fault.IGNORED, Fault.ACCEPTED_WITH_ERROR}:
            if fault is Fault.ACCEPTED_WITH_ERROR:
                self._queued_errors.append('-222,"Data out of range"')
            return Reply(late)
        if _ERROR_QUERY.fullmatch(line) and self._queued_errors:
            return Reply(late + self._queued_errors.pop(0).encode() + b"\n")
        if fault is Fault.ERROR_QUEUE_FULL:
            self._queued_errors[:] = [*['-113,"Undefined header"'] * 15, '-350,"Queue overflow"']
        answer = self.instrument.execute(line)
        reply = b"" if answer is None else answer.encode("ascii") + b"\n"
        if fault is Fault.REFUSED:
            self.refuse()
            return Reply()
        if fault is Fault.LATE_REPLY:
            client.held_back = reply
            return Reply(late)
        return _distorted(reply, fault, late)

    def _next_fault(self, line: str) -> Fault | None:
        """Record the line and take the first planned fault that it meets."""
        with self._plan_lock:
            self._heard.append(line)
            for planned in self._planned:
                if planned.on.search(line):
                    if planned.times is not None:
                        planned.times -= 1
                        if planned.times == 0:
                            self._planned.remove(planned)
                    return planned.fault
        return None


def _distorted(reply: bytes, fault: Fault | None, late: bytes) -> Reply:
    match fault:
        case Fault.NO_TERMINATOR:
            return Reply(late + reply.rstrip(b"\n"))
        case Fault.DOUBLE_REPLY:
            return Reply(late + reply + reply)
        case Fault.GARBAGE:
            return Reply(late + b"\xff\xfe\x00\x80\n")
        case Fault.TEXT_FOR_NUMBER:
            return Reply(late + b"OVLD\n")
        case Fault.NOT_A_NUMBER:
            return Reply(late + b"NAN\n")
        case Fault.OVER_RANGE:
            return Reply(late + b"9.9E37\n")
        case Fault.FLOOD:
            return Reply(late + b"7" * 100_000)
        case Fault.CLOSED_MID_REPLY:
            return Reply(late + reply[: len(reply) // 2], then="close")
        case Fault.RESET:
            return Reply(late, then="reset")
        case Fault.ERROR_QUEUE_STUCK:
            return Reply(late + b'-350,"Queue overflow"\n')
        case _:
            return Reply(late + reply)
