"""A number and a choice made of channels of a declared instrument, which a design may move."""

from __future__ import annotations

import time
from collections.abc import Callable

from drivers.devices import DeviceDescription
from drivers.errors import DeviceTimeout, LimitViolation
from drivers.visa.channels import ChoiceChannel, NumberChannel
from drivers.visa.declaration import DeclarationError
from drivers.visa.instrument import VisaInstrument

_POLL_S = 0.01


class VisaNumber:
    """One number of an instrument, a delay say (`drivers.devices.NumericProperty`).

    What is asked is rounded to the channel's `step`, and read back as what it was rounded to. A
    channel with a `slew` is ramped. In the safe state it is at the channel's `safe` value; without
    one it stays. No light is switched here: a light's level and output belong to `VisaLight`.

    Parameters
    ----------
    instrument
        Opened, and closed, by the caller.
    channel
        Name of a number channel that can be set, `b_delay_us` say.

    Raises
    ------
    DeclarationError
        There is no such channel, or it is no number that can be set.
    """

    def __init__(self, instrument: VisaInstrument, *, channel: str) -> None:
        declared = instrument.channel(channel)
        if not isinstance(declared, NumberChannel) or declared.limits is None:
            what = "only read" if isinstance(declared, NumberChannel) else f"a {declared.kind}"
            raise DeclarationError(
                f"{instrument}: `{channel}` asked as a number to set, but it is {what}; name a "
                "number with `set`"
            )
        self._instrument = instrument
        self._channel = channel
        self._declared = declared
        self._limits = declared.limits
        self._target: float | None = None

    @property
    def name(self) -> str:
        """Instrument and channel, `delays.b_delay_us`."""
        return f"{self._instrument.name}.{self._channel}"

    @property
    def unit(self) -> str:
        """Unit of the number."""
        return self._declared.unit

    @property
    def limits(self) -> tuple[float, float]:
        """Lowest and highest value that the declaration allows."""
        return self._limits

    @property
    def safe(self) -> float | None:
        """Where it goes in the safe state, or None if it stays."""
        return self._declared.safe

    @property
    def is_integer(self) -> bool:
        """Whether its `step` is 1: then `check` refuses fractions, in place of rounding them."""
        return self._declared.step == 1

    def describe(self) -> DeviceDescription:
        """Identity, asked anew, and the declared limits."""
        of_instrument = self._instrument.describe()
        safe = {} if self.safe is None else {"safe": f"{self.safe:g}"}
        return DeviceDescription(
            name=self.name,
            kind="property",
            identity=of_instrument.identity,
            limits={self._channel: self._limits},
            properties={**of_instrument.properties, "unit": self.unit, **safe},
        )

    def check(self, target: float) -> None:
        """Raise `LimitViolation` for what is beyond the limits or no number. Sends nothing."""
        self._instrument.check(self._channel, target)
        if self.is_integer and target != round(target):
            raise LimitViolation(
                f"{self._instrument}: `{self._channel}` {target:g} {self.unit} asked, it takes "
                "whole numbers only"
            )

    def start(self, target: float) -> None:
        """Check, set the channel and verify it; returns when it is ready, a ramp when it ended.

        When this raises, the number may be anywhere within its limits: make it safe.
        """
        self.check(target)
        self._target = None  # what a failed start leaves behind is no target to wait for
        self._instrument.set(self._channel, target)
        self._target = target

    def wait(self, *, timeout_s: float) -> None:
        """Return when it reads back as started; `DeviceTimeout` after `timeout_s`."""
        if self._target is None:
            return
        wanted = self._declared.nearest(self._target)
        _wait_until(
            lambda: abs(self.read_back() - wanted) <= self._declared.agreement,
            timeout_s=timeout_s,
            otherwise=lambda: (
                f"{self._instrument}: `{self._channel}` {wanted:g} {self.unit} asked, "
                f"{self.read_back():g} after {timeout_s:g} s; look what holds it"
            ),
        )

    def read_back(self) -> float:
        """Value that the instrument answers, in `unit`; raises `DeviceError`, never NaN."""
        return self._instrument.read(self._channel)

    def make_safe(self) -> None:
        """Go to the channel's `safe` value at once, and verify it; stay if it has none."""
        if self.safe is not None:
            self._target = None
            self._instrument.make_safe({self._channel: self.safe})

    def close(self) -> None:
        """Make safe. Idempotent; the instrument's session is closed by whoever opened it."""
        if not self._instrument.is_closed:
            self.make_safe()


class VisaChoice:
    """One word of several of an instrument, a trigger's source say (`drivers.devices.Selector`).

    Parameters
    ----------
    instrument
        Opened, and closed, by the caller.
    channel
        Name of a channel of `kind: choice`; its words are the positions, in their order.

    Raises
    ------
    DeclarationError
        There is no such channel, or it is no choice.
    """

    def __init__(self, instrument: VisaInstrument, *, channel: str) -> None:
        declared = instrument.channel(channel)
        if not isinstance(declared, ChoiceChannel):
            raise DeclarationError(
                f"{instrument}: `{channel}` asked as a choice, but it is a {declared.kind}; name a "
                "channel of `kind: choice`"
            )
        self._instrument = instrument
        self._channel = channel
        self._declared = declared
        self._target: int | None = None

    @property
    def name(self) -> str:
        """Instrument and channel, `delays.trigger`."""
        return f"{self._instrument.name}.{self._channel}"

    @property
    def labels(self) -> tuple[str, ...]:
        """The words of the declaration, in their order."""
        return self._declared.words

    @property
    def safe(self) -> int | None:
        """Position of the safe state, or None if it stays."""
        word = self._declared.safe
        return None if word is None else self.labels.index(word)

    def describe(self) -> DeviceDescription:
        """Identity, asked anew, and the positions."""
        of_instrument = self._instrument.describe()
        safe = {} if self._declared.safe is None else {"safe": self._declared.safe}
        return DeviceDescription(
            name=self.name,
            kind="selector",
            identity=of_instrument.identity,
            limits={"position": (0.0, float(len(self.labels) - 1))},
            properties={**of_instrument.properties, "words": ", ".join(self.labels), **safe},
        )

    def check(self, target: int) -> None:
        """Raise `LimitViolation` for what is no number of a position. Sends nothing."""
        is_whole = isinstance(target, int) and not isinstance(target, bool)
        if not is_whole or not 0 <= target < len(self.labels):
            raise LimitViolation(
                f"{self._instrument}: `{self._channel}` position {target!r} asked, there are 0 to "
                f"{len(self.labels) - 1} ({', '.join(self.labels)})"
            )

    def start(self, target: int) -> None:
        """Check, set the channel and verify it; returns when it is ready."""
        self.check(target)
        self._target = None
        self._instrument.set(self._channel, target)
        self._target = target

    def wait(self, *, timeout_s: float) -> None:
        """Return when it reads back as started; `DeviceTimeout` after `timeout_s`."""
        wanted = self._target
        if wanted is None:
            return
        _wait_until(
            lambda: self.read_back() == wanted,
            timeout_s=timeout_s,
            otherwise=lambda: (
                f"{self._instrument}: `{self._channel}` {self.labels[wanted]} asked, "
                f"{self.labels[self.read_back()]} after {timeout_s:g} s; look what holds it"
            ),
        )

    def read_back(self) -> int:
        """Position that the instrument answers."""
        return int(self._instrument.read(self._channel))

    def make_safe(self) -> None:
        """Go to the channel's `safe` word and verify it; stay if it has none."""
        if self.safe is not None:
            self._target = None
            self._instrument.make_safe({self._channel: float(self.safe)})

    def close(self) -> None:
        """Make safe. Idempotent; the instrument's session is closed by whoever opened it."""
        if not self._instrument.is_closed:
            self.make_safe()


def _wait_until(
    arrived: Callable[[], bool], *, timeout_s: float, otherwise: Callable[[], str]
) -> None:
    """Ask until it is there; raise `DeviceTimeout` with what `otherwise` says."""
    deadline_s = time.monotonic() + timeout_s
    while not arrived():
        if time.monotonic() >= deadline_s:
            raise DeviceTimeout(otherwise())
        time.sleep(_POLL_S)  # no instrument here tells by itself that it has arrived
