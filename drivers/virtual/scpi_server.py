"""A virtual LED driver that speaks SCPI on a real loopback socket.

So the whole VISA stack is exercised and not imitated. Only this module knows the LED's commands
and how it heats.

The grammar is IEEE 488.2 and SCPI-99: case-insensitive headers, each word in its short or its long
form (`SOUR` or `SOURCE`, nothing between), an error queue read with `SYST:ERR?`. A value out of
range is accepted by the socket and reported only in that queue, as real instruments do.

Symbols: the die follows dT/dt = (T_ambient + r P - T) / tau, with thermal resistance r in degC per
mW of light and tau in seconds, solved in closed form between commands.

Run as a process of its own: `python -m drivers.virtual.scpi_server --port 0 --log commands.log`
prints `LISTENING 127.0.0.1:PORT` and logs `UTC time <tab> client port <tab> command`.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import math
import os
import re
import selectors
import signal
import socket
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol

LOOPBACK = "127.0.0.1"  # never anything else by default: a simulator is no network service

POWER_LIMITS_MW = (0.0, 20.0)
AMBIENT_C = 24.0
THERMAL_RESISTANCE_C_PER_MW = 0.9  # 42 degC at full power
THERMAL_TIME_S = 8.0

_QUEUE_LENGTH = 16
_LONGEST_LINE_BYTES = 65_536
_OUT_OF_RANGE = '-222,"Data out of range"'
_UNDEFINED_HEADER = '-113,"Undefined header"'
_WRONG_TYPE = '-104,"Data type error"'
_MISSING_PARAMETER = '-109,"Missing parameter"'
_QUEUE_OVERFLOW = '-350,"Queue overflow"'
_NO_ERROR = '0,"No error"'

_log = logging.getLogger(__name__)


class Instrument(Protocol):
    """Whatever can stand behind a `ScpiServer`."""

    def execute(self, line: str) -> str | None:
        """Carry out one command line; return the answer without terminator, or None."""
        ...


class VirtualLed:
    """State of an LED driver. Thread-safe: the server writes it, a virtual camera reads it.

    Parameters
    ----------
    clock
        Seconds that never run backwards; a test passes its own.
    """

    identity = "infoloop,virtual LED driver,0001,1.0"

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._errors: deque[str] = deque()
        self._power_mw = 0.0
        self._is_on = False
        self._temperature_c = AMBIENT_C
        self._temperature_at_s = clock()
        self._commands = [
            (_header_pattern(header), command)
            for header, command in {
                "*IDN?": self._identify,
                "*RST": self._reset,
                "*CLS": self._clear_errors,
                "*OPC?": lambda _: "1",
                "SOURce:POWer[:LEVel]": self._set_power,
                "SOURce:POWer[:LEVel]?": lambda _: f"{self._power_mw:.6f}",
                "OUTPut[:STATe]": self._set_output,
                "OUTPut[:STATe]?": lambda _: str(int(self._is_on)),
                "MEASure:TEMPerature?": lambda _: f"{self.temperature_c():.3f}",
                "SYSTem:ERRor[:NEXT]?": self._next_error,
                "SIMulation:OPTical?": lambda _: f"{self.optical_power_mw():.6f}",
            }.items()
        ]

    def optical_power_mw(self) -> float:
        """Light that leaves the LED now, in mW; 0 when the output is off."""
        with self._lock:
            return self._power_mw if self._is_on else 0.0

    def temperature_c(self) -> float:
        """Die temperature now, in degC."""
        with self._lock:
            self._let_time_pass()
            return self._temperature_c

    def execute(self, line: str) -> str | None:
        """Carry out one line of `;`-separated commands and join what they answer."""
        with self._lock:
            answers = [self._execute_one(part) for part in line.split(";") if part.strip()]
        spoken = [answer for answer in answers if answer is not None]
        return ";".join(spoken) if spoken else None

    def _execute_one(self, command: str) -> str | None:
        header, _, parameter = command.strip().partition(" ")
        for pattern, carry_out in self._commands:
            if pattern.fullmatch(header):
                return carry_out(parameter.strip())
        return self._report(_UNDEFINED_HEADER)

    def _identify(self, _parameter: str) -> str:
        return self.identity

    def _reset(self, _parameter: str) -> None:
        self._let_time_pass()
        self._power_mw, self._is_on = 0.0, False

    def _clear_errors(self, _parameter: str) -> None:
        self._errors.clear()

    def _set_power(self, parameter: str) -> None:
        if not parameter:
            return self._report(_MISSING_PARAMETER)
        try:
            power_mw = float(parameter)
        except ValueError:
            return self._report(_WRONG_TYPE)
        if not POWER_LIMITS_MW[0] <= power_mw <= POWER_LIMITS_MW[1]:  # refuses NaN too
            return self._report(_OUT_OF_RANGE)
        self._let_time_pass()
        self._power_mw = power_mw
        return None

    def _set_output(self, parameter: str) -> None:
        states = {"ON": True, "1": True, "OFF": False, "0": False}
        if not parameter:
            return self._report(_MISSING_PARAMETER)
        if parameter.upper() not in states:
            return self._report(_WRONG_TYPE)
        self._let_time_pass()
        self._is_on = states[parameter.upper()]
        return None

    def _next_error(self, _parameter: str) -> str:
        return self._errors.popleft() if self._errors else _NO_ERROR

    def _report(self, error: str) -> None:
        if len(self._errors) < _QUEUE_LENGTH:
            self._errors.append(error)
        else:
            self._errors[-1] = _QUEUE_OVERFLOW  # SCPI-99 volume 2, section 21.8.1

    def _let_time_pass(self) -> None:
        """Bring the temperature up to now; called before anything that heats is changed."""
        now_s = self._clock()
        final_c = AMBIENT_C + THERMAL_RESISTANCE_C_PER_MW * self.optical_power_mw()
        decay = math.exp(-(now_s - self._temperature_at_s) / THERMAL_TIME_S)
        self._temperature_c = final_c + (self._temperature_c - final_c) * decay
        self._temperature_at_s = now_s


def _header_pattern(header: str) -> re.Pattern[str]:
    """Turn `SOURce:POWer[:LEVel]?` into the pattern of everything SCPI allows for it."""

    def short_or_long(word: re.Match[str]) -> str:
        short = "".join(letter for letter in word[0] if not letter.islower())
        rest = word[0][len(short) :]
        return f"{short}(?:{rest})?" if rest else short

    pattern = re.sub(r"[*?]", r"\\\g<0>", header).replace("[", "(?:").replace("]", ")?")
    return re.compile(":?" + re.sub(r"[A-Za-z]+", short_or_long, pattern), re.IGNORECASE)


@dataclass(slots=True)
class Client:
    """One connection of the server, and what is waiting on it."""

    connection: socket.socket
    peer_port: int
    received: bytearray = field(default_factory=bytearray)
    held_back: bytes = b""
    """An answer that `drivers.testing` keeps to send late."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Bytes to send, and what becomes of the connection afterwards."""

    payload: bytes = b""
    then: Literal["keep", "close", "reset"] = "keep"


class LineServer:
    """Lines in, bytes out, on a loopback socket; one owned thread serves every client.

    A plain selector loop: a client that dies or floods is dropped and the others do not notice.

    Parameters
    ----------
    respond
        Called in the server's thread with each line and the client that sent it.
    port
        0 takes any free port; the one taken is `port`.
    """

    def __init__(self, respond: Callable[[str, Client], Reply], *, port: int = 0) -> None:
        self._respond = respond
        self._clients: dict[socket.socket, Client] = {}
        self._orders: deque[Callable[[], None]] = deque()
        self._is_closed = False
        self._listener: socket.socket | None = _bind(port)
        self._listener.listen()
        self.port: int = self._listener.getsockname()[1]
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake_reader, selectors.EVENT_READ)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve, name=f"scpi-{self.port}", daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """The VISA address to open."""
        return f"TCPIP::{LOOPBACK}::{self.port}::SOCKET"

    def __enter__(self):
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Drop every client, free the port and join the thread. Idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        self._wake()
        self._thread.join()

    def drop_clients(self) -> None:
        """Reset every connection, as a power cut does; returns when it is done."""
        self._order(self._drop_all)

    def refuse(self) -> None:
        """Reset every connection and refuse new ones; the port stays ours until `accept`."""
        self._order(self._stop_listening)

    def accept(self) -> None:
        """Accept connections again after `refuse`."""
        self._order(self._start_listening)

    def _order(self, work: Callable[[], None]) -> None:
        """Let the server's thread do `work`, and wait for it."""
        if threading.current_thread() is self._thread:
            work()
            return
        done = threading.Event()

        def work_and_say_so() -> None:
            work()
            done.set()

        self._orders.append(work_and_say_so)
        self._wake()
        while not done.wait(0.1):
            if not self._thread.is_alive():
                raise RuntimeError("the server is closed; open another one")

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # the thread has gone and closed it
            self._wake_writer.send(b"\0")

    def _serve(self) -> None:
        try:
            while not self._is_closed:
                for key, _ in self._selector.select():
                    if key.fileobj is self._wake_reader:
                        self._wake_reader.recv(4096)
                    elif key.fileobj is self._listener:
                        self._welcome()
                    elif isinstance(key.fileobj, socket.socket):
                        self._listen_to(self._clients.get(key.fileobj))
                while self._orders:
                    self._orders.popleft()()
        finally:
            self._clean_up()

    def _welcome(self) -> None:
        if self._listener is None:
            return
        try:
            connection, (_, peer_port) = self._listener.accept()
        except OSError:
            return  # the client gave up between the knock and the door
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._clients[connection] = Client(connection, peer_port)
        self._selector.register(connection, selectors.EVENT_READ)

    def _listen_to(self, client: Client | None) -> None:
        if client is None:
            return  # dropped earlier in this very turn of the loop
        try:
            chunk = client.connection.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        client.received += chunk
        if not chunk or len(client.received) > _LONGEST_LINE_BYTES:
            self._drop(client)
            return
        while b"\n" in client.received and client.connection in self._clients:
            line, _, rest = bytes(client.received).partition(b"\n")
            client.received[:] = rest
            self._answer(client, line.decode("ascii", errors="replace").strip())

    def _answer(self, client: Client, line: str) -> None:
        reply = self._respond(line, client)
        if client.connection not in self._clients:
            return  # the answer was to hang up on everybody
        try:
            client.connection.sendall(reply.payload)
        except OSError:  # gone, or it does not read what it asked for
            self._drop(client)
            return
        if reply.then != "keep":
            self._drop(client, reset=reply.then == "reset")

    def _drop(self, client: Client, *, reset: bool = False) -> None:
        if self._clients.pop(client.connection, None) is None:
            return
        self._selector.unregister(client.connection)
        if reset:  # linger on with zero seconds: close() sends RST instead of FIN
            with contextlib.suppress(OSError):
                client.connection.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(_LINGER_FORMAT, 1, 0)
                )
        client.connection.close()

    def _drop_all(self) -> None:
        for client in list(self._clients.values()):
            self._drop(client, reset=True)

    def _stop_listening(self) -> None:
        self._drop_all()
        if self._listener is not None:
            self._selector.unregister(self._listener)
            self._listener.close()
        self._listener = _bind(self.port)  # bound but not listening: refuses, and keeps the number

    def _start_listening(self) -> None:
        if self._listener is not None and self._listener not in self._selector.get_map():
            self._listener.listen()
            self._selector.register(self._listener, selectors.EVENT_READ)

    def _clean_up(self) -> None:
        for client in list(self._clients.values()):
            self._drop(client)
        self._selector.close()
        for owned in (self._listener, self._wake_reader, self._wake_writer):
            if owned is not None:
                owned.close()


_LINGER_FORMAT = "hh" if os.name == "nt" else "ii"


def _bind(port: int) -> socket.socket:
    """Take a loopback port; a restarted server may take its old one at once."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if os.name == "posix":  # on Windows the same option would let two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, port))
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


class ScpiServer(LineServer):
    """An instrument on a loopback socket.

    Parameters
    ----------
    instrument
        What answers, a `VirtualLed` say.
    port
        0 takes any free port.
    log_path
        Every command is appended here, and flushed, before it is carried out.
    """

    def __init__(
        self, instrument: Instrument, *, port: int = 0, log_path: Path | None = None
    ) -> None:
        self.instrument = instrument
        self._log_file = None if log_path is None else log_path.open("a", encoding="utf-8")
        try:
            super().__init__(self._carry_out, port=port)
        except OSError:
            self._close_log()
            raise

    def close(self) -> None:
        """Free the port, join the thread, close the log. Idempotent."""
        super().close()
        self._close_log()

    def _carry_out(self, line: str, client: Client) -> Reply:
        if self._log_file is not None:
            stamp = datetime.now(UTC).isoformat(timespec="microseconds")
            self._log_file.write(f"{stamp}\t{client.peer_port}\t{line}\n")
            self._log_file.flush()
        answer = self.instrument.execute(line)
        return Reply() if answer is None else Reply(answer.encode("ascii") + b"\n")

    def _close_log(self) -> None:
        if self._log_file is not None:
            self._log_file.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve a `VirtualLed` until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(prog="scpi_server", description="A virtual SCPI LED driver.")
    parser.add_argument("--port", type=int, default=0, help="0 takes any free port")
    parser.add_argument("--log", type=Path, help="append every command with its time to this file")
    options = parser.parse_args(arguments)

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with ScpiServer(VirtualLed(), port=options.port, log_path=options.log) as server:
        sys.stdout.write(f"LISTENING {LOOPBACK}:{server.port}\n")
        sys.stdout.flush()
        while not stop.wait(0.5):  # Windows delivers Ctrl-C only between waits
            pass
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
