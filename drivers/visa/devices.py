"""A light and a meter made of channels of a declared instrument."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from drivers.devices import DeviceDescription
from drivers.errors import DeviceTimeout, LimitViolation
from drivers.visa.channels import NumberChannel, SwitchChannel
from drivers.visa.declaration import DeclarationError
from drivers.visa.instrument import VisaInstrument

_POLL_S = 0.01


class VisaLight:
    """A light whose level is one channel and whose switch, if it has one, is another.

    A level is where the light is *as seen from outside*: with the output off it reads back as the
    safe level, whatever level is stored in the instrument. Starting towards the safe level, or
    towards zero, switches off, at once. A level with a `slew` is switched on at its safe level and
    goes up from there.

    Parameters
    ----------
    instrument
        Opened, and closed, by the caller.
    level
        Name of the number channel, `power_mw` say.
    output
        Name of the switch channel, or None for a light that is off at its safe level.
    limits
        The bench's limits in the channel's unit; only narrower than the declared ones.
    safe
        The dark level; by default the declared one.
    """

    def __init__(
        self,
        instrument: VisaInstrument,
        *,
        level: str = "power_mw",
        output: str | None = "output",
        limits: tuple[float, float] | None = None,
        safe: float | None = None,
    ) -> None:
        channel = instrument.channel(level)
        if not isinstance(channel, NumberChannel) or channel.limits is None:
            raise DeclarationError(
                f"{instrument}: `{level}` asked as the level of a light, but it is not a number "
                "that can be set; name a channel with `set`"
            )
        if output is not None and not isinstance(instrument.channel(output), SwitchChannel):
            raise DeclarationError(
                f"{instrument}: `{output}` asked as the switch of a light, but it is a number; "
                "name a channel of `kind: switch`"
            )
        safe = channel.safe if safe is None else safe
        if safe is None:
            raise DeclarationError(
                f"{instrument}: `{level}` has no dark level; give `safe` in the bench file"
            )
        instrument.check(level, safe)
        self._instrument = instrument
        self._level = level
        self._output = output
        self._unit = channel.unit
        self._channel = channel
        self._safe = safe
        self._before_step: Callable[[], None] | None = None
        self._limits = self._narrowed(channel.limits, limits)
        self._target: float | None = None

    @property
    def name(self) -> str:
        """Label of the light on this bench."""
        return self._instrument.name

    @property
    def unit(self) -> str:
        """Unit of the level."""
        return self._unit

    @property
    def limits(self) -> tuple[float, float]:
        """Lowest and highest level the bench allows; the safe level is allowed besides."""
        return self._limits

    def describe(self) -> DeviceDescription:
        """Identity, asked anew, and the limits in force."""
        of_instrument = self._instrument.describe()
        return DeviceDescription(
            name=self.name,
            kind="light",
            identity=of_instrument.identity,
            limits={self._level: self._limits},
            properties={**of_instrument.properties, "unit": self._unit, "safe": f"{self._safe:g}"},
        )

    def check(self, target: float) -> None:
        """Raise `LimitViolation` if `target` is outside the limits. Sends nothing."""
        if target == self._safe:
            return
        low, high = self._limits
        if not low <= target <= high:  # refuses NaN too
            raise LimitViolation(
                f"{self._instrument}: `{self._level}` {target:g} {self._unit} asked, {low:g} to "
                f"{high:g} {self._unit} allowed here; narrow the bounds of the design"
            )
        self._instrument.check(self._level, target)

    def guard_ramps(self, check: Callable[[], None]) -> None:
        """Call `check` before every step of a ramp from now on; what it raises ends the ramp.

        A bench checks its interlocks in it.
        """
        self._before_step = check

    def start(self, target: float) -> None:
        """Check, bring the level to `target` and verify it, and only then switch the output on.

        A level with a `slew` comes last: the output goes on at the safe level, and this returns
        when the ramp has ended.

        When this raises, the light may be in any state: make it safe.
        """
        self.check(target)
        self._target = None  # what a failed start leaves behind is no target to wait for
        stop = self._instrument.until_made_safe()
        if self._is_dark(target):
            self._instrument.make_safe(self._dark())
        elif self._channel.slew is None:
            self._instrument.set(self._level, target, stop=stop)
            self._switch_on(stop)
        else:
            if self._output is not None and not self._instrument.read(self._output):
                self._instrument.go_dark(self._dark())
                self._switch_on(stop)
            self._instrument.set(self._level, target, before_step=self._before_step, stop=stop)
        self._target = target

    def wait(self, *, timeout_s: float) -> None:
        """Return when level and output read back as started; `DeviceTimeout` after `timeout_s`."""
        if self._target is None:
            return
        wanted = self._channel.nearest(self._safe if self._is_dark(self._target) else self._target)
        deadline_s = time.monotonic() + timeout_s
        while abs((got := self.read_back()) - wanted) > self._channel.agreement:
            if time.monotonic() >= deadline_s:
                raise DeviceTimeout(
                    f"{self._instrument}: `{self._level}` {wanted:g} {self._unit} asked, {got:g} "
                    f"after {timeout_s:g} s; look for an interlock that switched it off"
                )
            time.sleep(_POLL_S)  # no instrument here tells by itself that it has arrived

    def read_back(self) -> float:
        """Level that leaves the light now; the safe level when the output is off."""
        if self._output is not None and not self._instrument.read(self._output):
            return self._safe
        return self._instrument.read(self._level)

    def is_on(self) -> bool:
        """Whether light can leave it now: output on and level above zero."""
        if self._output is not None and not self._instrument.read(self._output):
            return False
        return self._instrument.read(self._level) > 0

    def make_safe(self) -> None:
        """Output off, then level to safe, then verify; `DeviceError` says if it may still be on."""
        self._target = None
        self._instrument.make_safe(self._dark())

    def close(self) -> None:
        """Make safe. Idempotent; the instrument's session is closed by whoever opened it."""
        if not self._instrument.is_closed:
            self.make_safe()

    def _dark(self) -> dict[str, float]:
        switch = {} if self._output is None else {self._output: 0.0}
        return {**switch, self._level: self._safe}

    def _switch_on(self, stop: threading.Event) -> None:
        if self._output is not None and not self._instrument.read(self._output):
            self._instrument.set(self._output, 1.0, stop=stop)

    def _is_dark(self, level: float) -> bool:
        return level in {self._safe, 0.0}

    def _narrowed(
        self, declared: tuple[float, float], asked: tuple[float, float] | None
    ) -> tuple[float, float]:
        if asked is None:
            return declared
        if not declared[0] <= asked[0] <= asked[1] <= declared[1]:
            raise LimitViolation(
                f"{self._instrument}: limits [{asked[0]:g}, {asked[1]:g}] {self._unit} asked for "
                f"`{self._level}`, its declaration allows [{declared[0]:g}, {declared[1]:g}]; a "
                "bench can only narrow them"
            )
        return asked


class VisaMeter:
    """One channel of an instrument, read only.

    Parameters
    ----------
    instrument
        Opened, and closed, by the caller.
    channel
        Name of the number channel, `temperature_c` say.
    """

    def __init__(self, instrument: VisaInstrument, *, channel: str) -> None:
        declared = instrument.channel(channel)
        if not isinstance(declared, NumberChannel):
            raise DeclarationError(
                f"{instrument}: `{channel}` asked as a meter, but it is a {declared.kind}; name a "
                "number"
            )
        self._instrument = instrument
        self._channel = channel
        self._unit = declared.unit

    @property
    def name(self) -> str:
        """Instrument and channel, `led.temperature_c`, as interlocks name it."""
        return f"{self._instrument.name}.{self._channel}"

    @property
    def unit(self) -> str:
        """Unit of the reading."""
        return self._unit

    def describe(self) -> DeviceDescription:
        """Identity of the instrument, asked anew."""
        of_instrument = self._instrument.describe()
        return DeviceDescription(
            name=self.name,
            kind="meter",
            identity=of_instrument.identity,
            properties={**of_instrument.properties, "unit": self._unit},
        )

    def read(self) -> float:
        """One reading in `unit`; raises `DeviceError`, never NaN."""
        return self._instrument.read(self._channel)

    def make_safe(self) -> None:
        """Nothing: a reading does no harm."""

    def close(self) -> None:
        """Nothing: the instrument's session is closed by whoever opened it."""
