"""A declared instrument: channels that are read and set, and never believed without reading back.

Knows what a set means: limits before anything is sent, one command and never a second, the error
queue, the read-back; where a level has a slew, all of it once a step. And the way to darkness,
which is the exception to all of it: light off is sent first, unasked and if need be twice, because
it does no harm to send it again; it stops every ramp and takes none.
"""

from __future__ import annotations

import atexit
import difflib
import logging
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from drivers.devices import DeviceDescription
from drivers.errors import DeviceError, LimitViolation
from drivers.visa.channels import ChoiceChannel, NumberChannel, SwitchChannel
from drivers.visa.declaration import DeclarationError, InstrumentDeclaration
from drivers.visa.dialogue import Dialogue
from drivers.visa.ramp import climb
from drivers.visa.session import Deadline, VisaSession

_log = logging.getLogger(__name__)


class VisaInstrument:
    """An instrument on a VISA address, as its declaration describes it.

    Every operation ends within the declared timeout + 0.5 s, whatever the instrument does; a set of
    a channel with `ready` or `slew` takes what these allow besides. It may be shared by threads;
    each operation holds the session to its end, a ramp each of its steps.

    Use `VisaInstrument.open`. Whoever opens it closes it; `VisaLight` and `VisaMeter` only use it.
    An instrument that is still open when the interpreter exits is made safe and closed.
    """

    def __init__(self, session: VisaSession, declaration: InstrumentDeclaration) -> None:
        self.declaration = declaration
        self._session = session
        self._dialogue = Dialogue(session, declaration)
        self._is_closed = False
        self._stop = threading.Event()
        """Set, and replaced, when the instrument is made safe: whatever is on its way gives up."""
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

    def channel(self, name: str) -> NumberChannel | SwitchChannel | ChoiceChannel:
        """Give the declared channel; raise `DeclarationError` if there is none."""
        return self._dialogue.channel(name)

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
        """Value of a channel in its unit, never NaN or infinite.

        A switch reads 1.0 or 0.0, a choice the place of its word from 0; `chosen` gives the word.
        """
        self.channel(channel)
        with self._session.operation() as deadline:
            return self._dialogue.read(channel, deadline)

    def chosen(self, channel: str) -> str:
        """Word that a choice channel reads back."""
        return self._choice(channel).words[int(self.read(channel))]

    def choose(self, channel: str, word: str) -> str:
        """Set a choice channel to a word, as `set` does, and return the word it reads back."""
        choice = self._choice(channel)
        if word not in choice.values:
            close = difflib.get_close_matches(word, choice.words, n=1)
            raise LimitViolation(
                f"{self}: `{channel}` {word!r} asked, {', '.join(choice.words)} declared"
                + (f"; did you mean `{close[0]}`?" if close else "")
            )
        return choice.words[int(self.set(channel, choice.words.index(word)))]

    def check(self, channel: str, value: float) -> None:
        """Raise `LimitViolation` if `value` cannot be set. Sends nothing."""
        self._dialogue.check(channel, value)

    def until_made_safe(self) -> threading.Event:
        """Give what is set when the instrument is next made safe.

        Whoever needs several sets for one purpose takes it before the first and hands it to each,
        so that none of them undoes a safe state that another thread asked for meanwhile.
        """
        return self._stop

    def set(
        self,
        channel: str,
        value: float,
        *,
        before_step: Callable[[], None] | None = None,
        stop: threading.Event | None = None,
    ) -> float:
        """Set a channel and return what it reads back.

        The command is sent once, with the multiple of the channel's `step` nearest to `value`. If
        it or an answer is lost on the way, the read-back over a new connection decides whether it
        arrived. A channel with `slew` goes there in steps, each of them a set like any other, from
        where it reads back; between them the session is free.

        Parameters
        ----------
        channel
            Name of a channel that can be set.
        value
            In the channel's unit; 0 or 1 of a switch, the place of a choice's word.
        before_step
            Called before every step of a ramp; whatever it raises ends the ramp there.
        stop
            What `until_made_safe` gave; by default what it gives now.

        Raises
        ------
        LimitViolation
            Outside the limits or not finite; nothing was sent.
        InstrumentReported
            The error queue was not empty afterwards.
        ProtocolError
            The read-back differs by more than the tolerance.
        ConnectionLost, DeviceTimeout
            It could not be read back, or was not ready in time: the state is unknown, make the
            bench safe.
        DeviceError
            It was made safe meanwhile.
        """
        self.check(channel, value)
        stop = self._stop if stop is None else stop
        declared = self.channel(channel)
        if not isinstance(declared, NumberChannel):
            return self._dialogue.set_once(channel, value, stop)
        value = declared.nearest(value)
        if declared.slew is None:
            return self._dialogue.set_once(channel, value, stop)
        return climb(
            declared,
            value,
            start=self.read(channel),
            set_level=lambda level: self._dialogue.set_once(channel, level, stop),
            before_step=before_step,
            stop=stop,
            what=f"{self}: `{channel}`",
        )

    def make_safe(self, targets: Mapping[str, float] | None = None) -> None:
        """Switch off, bring levels to their safe values, and verify by reading back.

        What can only darken goes out before the first question, so a deaf instrument may still
        obey. A level whose safe value is not the one nearest to zero waits until the switches are
        verified off: where one stays on, it is lowered but never raised. No ramp is taken, and one
        that is under way in another thread stops.

        Parameters
        ----------
        targets
            Channel to safe value; by default every switch off and every declared `safe`.

        Raises
        ------
        DeviceError
            Says which channels could not be verified: light may still be on.
        """
        self._stop.set()
        self._stop = threading.Event()
        self.go_dark(self._safe_values() if targets is None else targets)

    def go_dark(self, safe: Mapping[str, float]) -> None:
        """Do what `make_safe` does, and stop nothing that is on its way: a step to somewhere else.

        Parameters
        ----------
        safe
            Channel to safe value.

        Raises
        ------
        DeviceError
            Says which channels could not be verified: light may still be on.
        """
        if not safe:
            return
        order = sorted(safe, key=lambda name: not isinstance(self.channel(name), SwitchChannel))
        failures: list[DeviceError] = []
        with self._session.operation(patience_s=self._longest_answer_s()) as deadline:
            for channel in order:
                if not self._only_darkens(channel, safe[channel]):
                    continue
                try:
                    self._session.send(self._dialogue.command(channel, safe[channel]))
                except DeviceError as error:
                    _log.warning("%s; reconnecting to make it safe", error)
            for channel in order:
                try:
                    self._verify_safe(channel, safe[channel], deadline, may_raise=not failures)
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
            elif isinstance(channel, ChoiceChannel):
                if channel.safe is not None:
                    values[name] = float(channel.words.index(channel.safe))
            elif channel.safe is not None:
                values[name] = channel.safe
        return values

    def _only_darkens(self, channel: str, value: float) -> bool:
        """Whether no level the channel can be at is nearer to zero than `value`."""
        declared = self.channel(channel)
        if not isinstance(declared, NumberChannel) or declared.limits is None:
            return True
        low, high = declared.limits
        return abs(value) <= abs(min(max(0.0, low), high))

    def _longest_answer_s(self) -> float:
        """How long another thread may hold the session for one answer."""
        within_ms = [
            channel.ready.within_ms
            for channel in self.declaration.channels.values()
            if channel.ready is not None
        ]
        return max([self.declaration.timeout_ms, *within_ms]) / 1000

    def _verify_safe(
        self, channel: str, value: float, deadline: Deadline, *, may_raise: bool
    ) -> None:
        """Read back; if the blind command did not arrive, send it (again) over a clean line."""
        got = self._dialogue.read(channel, deadline)
        if self._dialogue.agrees(channel, value, got):
            return
        if abs(got) < abs(value) and not may_raise:
            return  # darker than asked, and light may leave: it stays so
        self._session.make_clean(deadline)
        self._session.send(self._dialogue.command(channel, value))
        self._dialogue.require_agreement(channel, value, self._dialogue.read(channel, deadline))

    def _choice(self, channel: str) -> ChoiceChannel:
        declared = self.channel(channel)
        if not isinstance(declared, ChoiceChannel):
            raise DeclarationError(
                f"{self}: `{channel}` asked by a word, but it is a {declared.kind}; name a channel "
                "of `kind: choice`"
            )
        return declared

    def _parse_identity(self, answer: str) -> str:
        if not self.declaration.recognises(answer):
            raise ValueError(f"{answer!r}, which does not match {self.declaration.identify!r},")
        return answer
