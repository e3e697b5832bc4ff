"""A declared instrument: channels that are read and set, and never believed without reading back.

Knows what a set means: limits before anything is sent, one command and never a second, the error
queue, the read-back. And the way to darkness, which is the exception to all of it: light off is
sent first, unasked and if need be twice, because it does no harm to send it again.
"""

from __future__ import annotations

import atexit
import difflib
import logging
import math
import re
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from drivers.devices import DeviceDescription
from drivers.errors import DeviceError, InstrumentReported, LimitViolation, ProtocolError
from drivers.visa.declaration import (
    DeclarationError,
    InstrumentDeclaration,
    NumberChannel,
    SwitchChannel,
)
from drivers.visa.session import Deadline, VisaSession

_MOST_ERRORS = 16  # a queue that does not run empty after as many is stuck
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_SCPI_INFINITY = 9.9e37  # SCPI-99 volume 1, 7.2.1.4 and 7.2.1.5: 9.9E37 is INF and 9.91E37 is NAN
_SWITCH_ANSWERS = {"1": 1.0, "ON": 1.0, "+1": 1.0, "0": 0.0, "OFF": 0.0, "+0": 0.0}

_log = logging.getLogger(__name__)


class VisaInstrument:
    """An instrument on a VISA address, as its declaration describes it.

    Every operation ends within the declared timeout + 0.5 s, whatever the instrument does. It may
    be shared by threads; each operation holds the session to its end.

    Use `VisaInstrument.open`. Whoever opens it closes it; `VisaLight` and `VisaMeter` only use it.
    An instrument that is still open when the interpreter exits is made safe and closed.
    """

    def __init__(self, session: VisaSession, declaration: InstrumentDeclaration) -> None:
        self.declaration = declaration
        self._session = session
        self._is_closed = False
        atexit.register(self.close)

    @classmethod
    def open(
        cls,
        declaration: InstrumentDeclaration,
        address: str,
        *,
        name: str,
        backend: str = "@py",
    ) -> Self:
        """Connect and identify; no other command is sent.

        Parameters
        ----------
        declaration
            What `load_declaration` returned.
        address
            VISA resource name, `TCPIP::192.168.1.7::5025::SOCKET` say.
        name
            Label of the instrument on the bench; every message begins with it.
        backend
            pyvisa's name of the VISA library: `@py` is pyvisa-py, `@ivi` a vendor's.

        Raises
        ------
        ConnectionLost
            Nothing listens at the address.
        DeviceTimeout
            Something listens but does not answer.
        ProtocolError
            Another instrument answers.
        """
        session = VisaSession(
            address,
            name=name,
            identify=declaration.identify,
            read_termination=declaration.read_termination,
            write_termination=declaration.write_termination,
            timeout_s=declaration.timeout_ms / 1000,
            backend=backend,
        )
        return cls(session, declaration)

    @property
    def name(self) -> str:
        """Label of the instrument on this bench."""
        return self._session.name

    @property
    def address(self) -> str:
        """VISA resource name."""
        return self._session.address

    @property
    def identity(self) -> str:
        """What the instrument last answered to `*IDN?`."""
        return self._session.identity

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._is_closed

    def __str__(self) -> str:
        return str(self._session)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

    def channel(self, name: str) -> NumberChannel | SwitchChannel:
        """Give the declared channel; raise `DeclarationError` if there is none."""
        known = self.declaration.channels
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean `{close[0]}`?" if close else "add it to the declaration"
            raise DeclarationError(
                f"{self}: channel `{name}` asked, {', '.join(known)} declared; {hint}"
            )
        return known[name]

    def describe(self) -> DeviceDescription:
        """Identity, asked anew, and the declared limits."""
        with self._session.operation() as deadline:
            identity = self._session.query("*IDN?", self._parse_identity, deadline)
        channels = self.declaration.channels.items()
        return DeviceDescription(
            name=self.name,
            kind="visa",
            identity=identity,
            limits={
                name: channel.limits
                for name, channel in channels
                if isinstance(channel, NumberChannel) and channel.limits is not None
            },
            properties={"address": self.address},
        )

    def read(self, channel: str) -> float:
        """Value of a channel in its unit; a switch reads 1.0 or 0.0. Never NaN or infinite."""
        self.channel(channel)
        with self._session.operation() as deadline:
            return self._read(channel, deadline)

    def check(self, channel: str, value: float) -> None:
        """Raise `LimitViolation` if `value` cannot be set. Sends nothing."""
        declared = self.channel(channel)
        if isinstance(declared, SwitchChannel):
            if value not in {0.0, 1.0}:
                raise LimitViolation(
                    f"{self}: `{channel}` {value!r} asked, 0 (off) or 1 (on) allowed"
                )
            return
        if declared.limits is None:
            raise DeclarationError(
                f"{self}: `{channel}` {value!r} asked, but it is only read; "
                "declare `set`, `limits` and `tolerance` if the instrument can set it"
            )
        low, high = declared.limits
        if not (math.isfinite(value) and low <= value <= high):
            raise LimitViolation(
                f"{self}: `{channel}` {value:g} {declared.unit} asked, {low:g} to {high:g} "
                f"{declared.unit} allowed; narrow the bounds in the bench file"
            )

    def set(self, channel: str, value: float) -> float:
        """Set a channel and return what it reads back.

        The command is sent once. If it or an answer is lost on the way, the read-back over a new
        connection decides whether it arrived.

        Raises
        ------
        LimitViolation
            Outside the limits or not finite; nothing was sent.
        InstrumentReported
            The error queue was not empty afterwards.
        ProtocolError
            The read-back differs by more than the tolerance.
        ConnectionLost, DeviceTimeout
            It could not be read back: the state is unknown, make the bench safe.
        """
        self.check(channel, value)
        with self._session.operation() as deadline:
            for error in self._drain_errors(deadline):  # not of our making: no blame on this set
                _log.warning("%s: had %s in its error queue", self, error)
            return self._set_once(channel, value, deadline)

    def make_safe(self, targets: Mapping[str, float] | None = None) -> None:
        """Switch off, bring levels to their safe values, and verify by reading back.

        All commands go out before the first question, so a deaf instrument may still obey.

        Parameters
        ----------
        targets
            Channel to safe value; by default every switch off and every declared `safe`.

        Raises
        ------
        DeviceError
            Says which channels could not be verified: light may still be on.
        """
        safe = self._safe_values() if targets is None else targets
        if not safe:
            return
        order = sorted(safe, key=lambda name: isinstance(self.channel(name), NumberChannel))
        failures: list[DeviceError] = []
        with self._session.operation() as deadline:
            for channel in order:
                try:
                    self._session.send(self._command(channel, safe[channel]))
                except DeviceError as error:
                    _log.warning("%s; reconnecting to make it safe", error)
            for channel in order:
                try:
                    self._verify_safe(channel, safe[channel], deadline)
                except DeviceError as error:
                    failures.append(error)
        if failures:
            raise DeviceError(
                f"LIGHT MAY STILL BE ON. {self}: safe state asked, not verified; "
                "switch it off by hand at the instrument. "
                + "; ".join(str(failure) for failure in failures)
            ) from failures[0]

    def close(self) -> None:
        """Make safe, then end the session, also when the first fails; that failure is raised."""
        if self._is_closed:
            return
        self._is_closed = True
        atexit.unregister(self.close)
        try:
            self.make_safe()
        finally:
            self._session.close()

    def _safe_values(self) -> dict[str, float]:
        values: dict[str, float] = {}
        for name, channel in self.declaration.channels.items():
            if isinstance(channel, SwitchChannel):
                values[name] = 0.0
            elif channel.safe is not None:
                values[name] = channel.safe
        return values

    def _verify_safe(self, channel: str, value: float, deadline: Deadline) -> None:
        """Read back; if the blind command did not arrive, send it once more over a clean line."""
        if self._agrees(channel, value, self._read(channel, deadline)):
            return
        self._session.make_clean(deadline)
        self._session.send(self._command(channel, value))
        self._require_agreement(channel, value, self._read(channel, deadline))

    def _set_once(self, channel: str, value: float, deadline: Deadline) -> float:
        command = self._command(channel, value)
        self._session.make_clean(deadline)  # a failure here is before the command, hence harmless
        lost: DeviceError | None = None
        try:
            self._session.send(command)
        except DeviceError as error:
            _log.warning("%s; reading back whether it arrived", error)
            lost = error
        try:
            reported = self._drain_errors(deadline)
            got = self._read(channel, deadline)
        except DeviceError as error:
            raise type(error)(
                f"{self}: `{command}` was sent and could not be verified, so the state of "
                f"`{channel}` is unknown; make the bench safe before going on. {error}"
            ) from error
        if reported:
            raise InstrumentReported(
                f"{self}: `{command}` sent, {'; '.join(reported)} reported, `{channel}` reads back "
                f"{got:g}; look the number up in its manual"
            )
        if lost is not None and not self._agrees(channel, value, got):
            raise type(lost)(
                f"{self}: `{command}` was lost on its way, and `{channel}` still reads {got:g}; "
                f"set it again once the connection holds. {lost}"
            ) from lost
        self._require_agreement(channel, value, got)
        return got

    def _command(self, channel: str, value: float) -> str:
        declared = self.channel(channel)
        if isinstance(declared, SwitchChannel):
            return declared.turn_on if value else declared.turn_off
        self.check(channel, value)
        return (declared.set or "").format(value=value)

    def _read(self, channel: str, deadline: Deadline) -> float:
        declared = self.channel(channel)
        parse = _parse_switch if isinstance(declared, SwitchChannel) else _parse_number
        return self._session.query(declared.get, parse, deadline)

    def _agrees(self, channel: str, asked: float, got: float) -> bool:
        declared = self.channel(channel)
        if isinstance(declared, SwitchChannel):
            return got == asked
        return abs(got - asked) <= (declared.tolerance or 0.0)

    def _require_agreement(self, channel: str, asked: float, got: float) -> None:
        if not self._agrees(channel, asked, got):
            raise ProtocolError(
                f"{self}: `{channel}` {asked:g} asked, {got:g} read back; look for an interlock or "
                "a local lock on the instrument, or widen `tolerance` in its declaration"
            )

    def _drain_errors(self, deadline: Deadline) -> list[str]:
        """Empty the error queue and return what was in it."""
        query = self.declaration.error_query
        errors: list[str] = []
        while query is not None and len(errors) < _MOST_ERRORS:
            error = self._session.query(query, _parse_error, deadline)
            if error is None:
                break
            errors.append(error)
        return errors

    def _parse_identity(self, answer: str) -> str:
        if not re.search(self.declaration.identify, answer):
            raise ValueError(f"{answer!r}, which does not match {self.declaration.identify!r},")
        return answer


def _parse_number(answer: str) -> float:
    if not _NUMBER.fullmatch(answer):
        raise ValueError(f"{answer!r}, which is not a number,")
    value = float(answer)
    if abs(value) >= _SCPI_INFINITY:  # infinity too
        raise ValueError(f"{answer!r}, which is how SCPI says overload or not a number,")
    return value


def _parse_switch(answer: str) -> float:
    if answer.upper() not in _SWITCH_ANSWERS:
        raise ValueError(f"{answer!r}, which is neither 1 or ON nor 0 or OFF,")
    return _SWITCH_ANSWERS[answer.upper()]


def _parse_error(answer: str) -> str | None:
    """Entry of the error queue, or None when it is empty."""
    code = re.match(r"[+-]?\d+", answer)
    if code is None:
        raise ValueError(f"{answer!r}, which does not begin with an error number,")
    return None if int(code[0]) == 0 else answer
