"""What is said to one declared instrument: a command once, and the questions that verify it.

The sequence of a set: old errors out of the queue, the command, ready, new errors, the read-back.
"""

from __future__ import annotations

import difflib
import logging
import math
import threading
from functools import partial

from drivers.errors import (
    DeviceError,
    DeviceTimeout,
    InstrumentReported,
    LimitViolation,
    ProtocolError,
)
from drivers.visa.answers import parse_channel, parse_error, parse_ready
from drivers.visa.channels import ChoiceChannel, NumberChannel, Ready, SwitchChannel
from drivers.visa.declaration import DeclarationError, InstrumentDeclaration
from drivers.visa.ramp import Stopped
from drivers.visa.session import Deadline, VisaSession

_MOST_ERRORS = 16  # a queue that does not run empty after as many is stuck
_POLL_S = 0.02  # between two questions whether it is ready

_log = logging.getLogger(__name__)


class Dialogue:
    """Channels of a declaration over a session.

    Parameters
    ----------
    session
        The line.
    declaration
        What may be said on it.
    """

    def __init__(self, session: VisaSession, declaration: InstrumentDeclaration) -> None:
        self._session = session
        self._declaration = declaration

    def __str__(self) -> str:
        return str(self._session)

    def channel(self, name: str) -> NumberChannel | SwitchChannel | ChoiceChannel:
        """Give the declared channel; raise `DeclarationError` if there is none."""
        known = self._declaration.channels
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean `{close[0]}`?" if close else "add it to the declaration"
            raise DeclarationError(
                f"{self}: channel `{name}` asked, {', '.join(known)} declared; {hint}"
            )
        return known[name]

    def check(self, channel: str, value: float) -> None:
        """Raise `LimitViolation` if `value` cannot be set. Sends nothing."""
        declared = self.channel(channel)
        if isinstance(declared, SwitchChannel):
            if value not in {0.0, 1.0}:
                raise LimitViolation(
                    f"{self}: `{channel}` {value!r} asked, 0 (off) or 1 (on) allowed"
                )
            return
        if isinstance(declared, ChoiceChannel):
            if value not in range(len(declared.words)):
                raise LimitViolation(
                    f"{self}: `{channel}` {value!r} asked, 0 to {len(declared.words) - 1} allowed: "
                    f"the place of one of {', '.join(declared.words)}"
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

    def read(self, channel: str, deadline: Deadline) -> float:
        """Ask for a channel's value."""
        declared = self.channel(channel)
        return self._session.query(declared.get, partial(parse_channel, channel=declared), deadline)

    def set_once(self, channel: str, value: float, stop: threading.Event) -> float:
        """Send once, wait until it is ready, verify. Nothing is sent once `stop` is set."""
        command = self.command(channel, value)
        ready = self.channel(channel).ready
        lost: DeviceError | None = None
        with self._session.operation() as deadline:
            if stop.is_set():
                raise Stopped(f"{self}: `{command}` was to be sent: stopped, made safe meanwhile")
            old = self._drain_errors(deadline)
            if old:  # not of our making: no blame on this set
                _log.warning("%s: had %s in its error queue", self, _listed(old))
            self._session.make_clean(deadline)  # a failure here is before the command, so harmless
            try:
                self._session.send(command)
            except DeviceError as error:
                _log.warning("%s; reading back whether it arrived", error)
                lost = error
            if ready is None:
                return self._verified(channel, value, command, lost, deadline)
        self._wait_ready(command, ready, stop)
        with self._session.operation() as deadline:
            return self._verified(channel, value, command, lost, deadline)

    def _wait_ready(self, command: str, ready: Ready, stop: threading.Event) -> None:
        """Ask until it is ready; between two questions the session is free for light off."""
        parse = partial(parse_ready, ready=ready)
        until = Deadline.after(ready.within_ms / 1000)
        try:
            while True:
                with self._session.operation(answer_s=until.remaining_s()) as deadline:
                    if self._session.query(ready.query, parse, deadline):
                        return
                if until.remaining_s() == 0:
                    raise DeviceTimeout("it said that it is not")
                if stop.wait(min(_POLL_S, until.remaining_s())):
                    raise Stopped(f"{self}: `{command}` was sent; made safe meanwhile")
        except DeviceTimeout as error:
            raise DeviceTimeout(
                f"{self}: `{command}` sent, not ready {ready.within_ms:g} ms later by "
                f"`{ready.query}`; raise `within_ms` in its declaration, or look what holds it. "
                f"{error}"
            ) from error

    def _verified(
        self,
        channel: str,
        value: float,
        command: str,
        lost: DeviceError | None,
        deadline: Deadline,
    ) -> float:
        """Read back what a command did; raise where that is not what was asked."""
        try:
            reported = self._drain_errors(deadline)
            got = self.read(channel, deadline)
        except DeviceError as error:
            raise type(error)(
                f"{self}: `{command}` was sent and could not be verified, so the state of "
                f"`{channel}` is unknown; make the bench safe before going on. {error}"
            ) from error
        if reported:
            raise InstrumentReported(
                f"{self}: `{command}` sent, {_listed(reported)} reported, `{channel}` reads back "
                f"{got:g}; look the number up in its manual"
            )
        if lost is not None and not self.agrees(channel, value, got):
            raise type(lost)(
                f"{self}: `{command}` was lost on its way, and `{channel}` still reads {got:g}; "
                f"set it again once the connection holds. {lost}"
            ) from lost
        self.require_agreement(channel, value, got)
        return got

    def command(self, channel: str, value: float) -> str:
        """Give the command that sets a value; raise `LimitViolation` if it cannot be set."""
        declared = self.channel(channel)
        if isinstance(declared, SwitchChannel):
            return declared.turn_on if value else declared.turn_off
        self.check(channel, value)
        return declared.command(value)

    def agrees(self, channel: str, asked: float, got: float) -> bool:
        """Whether a read-back is what was asked, within the channel's tolerance."""
        declared = self.channel(channel)
        if not isinstance(declared, NumberChannel):
            return got == asked
        return abs(got - asked) <= declared.agreement

    def require_agreement(self, channel: str, asked: float, got: float) -> None:
        """Raise `ProtocolError` if a read-back is not what was asked."""
        if not self.agrees(channel, asked, got):
            raise ProtocolError(
                f"{self}: `{channel}` {asked:g} asked, {got:g} read back; look for an interlock or "
                "a local lock on the instrument, or widen `tolerance` in its declaration"
            )

    def _drain_errors(self, deadline: Deadline) -> list[str]:
        """Empty the error queue and return what was in it."""
        asked = self._declaration.error_query
        errors: list[str] = []
        while asked is not None and len(errors) < _MOST_ERRORS:
            parse = partial(parse_error, error_query=asked)
            error = self._session.query(asked.query, parse, deadline)
            if error is None:
                break
            errors.append(error)
        return errors


def _listed(errors: list[str]) -> str:
    """Error queue as it may stand in a message: a full one is no reading."""
    more = f"; {len(errors) - 3} more" if len(errors) > 3 else ""
    return "; ".join(errors[:3]) + more
