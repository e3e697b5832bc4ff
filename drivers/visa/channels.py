"""Channels of an instrument as data: what is asked, what is sent, and within which bounds.

The only module that knows the keys of a channel in a declaration, and what they mean for a number:
`scale`, `step` and the digits of a command.
"""

from __future__ import annotations

import math
import re
import string
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StrictFloat,
    StrictInt,
    Tag,
    model_validator,
)

RAMP_INTERVAL_MS = 50.0
"""Time between the steps of a ramp that is given as a rate."""

_GRID = 1e-9  # of a step: floating point's share in whether a value is a multiple


def _require_command(text: str) -> str:
    if not text.strip() or not text.isascii() or not text.isprintable():
        raise ValueError("a command is one line of printable ASCII; terminations have own keys")
    return text


def _template_for(example: object, written: str) -> AfterValidator:
    """Make sure that a command takes one value like `example`; `written` shows how to write it."""

    def check(text: str) -> str:
        try:
            fields = [name for _, name, _, _ in string.Formatter().parse(text) if name is not None]
            if fields != ["value"]:
                raise ValueError
            text.format(value=example)
        except (ValueError, IndexError, KeyError, TypeError):
            raise ValueError(
                f"write the command with `{{value}}` once where the value goes, {written!r} say"
            ) from None
        return text

    return AfterValidator(check)


Command = Annotated[str, AfterValidator(_require_command)]
NumberTemplate = Annotated[
    str, AfterValidator(_require_command), _template_for(0.5, "SOUR:POW {value:.6f}")
]
TextTemplate = Annotated[
    str, AfterValidator(_require_command), _template_for("SIN", "SOUR:FUNC {value}")
]
Positive = Annotated[StrictFloat, Field(gt=0)]
BitMask = Annotated[StrictInt, Field(gt=0, lt=1 << 32)]


class Declared(BaseModel):
    """Part of a declaration: read once, never changed, no key that nobody knows."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Ready(Declared):
    """How an instrument says that it has done what a command asked.

    Parameters
    ----------
    query
        Asked again and again until it is answered as below: `*OPC?`, or a status register.
    within_ms
        How long that may take in all, and how long one answer may take: `*OPC?` answers only when
        the instrument is done.
    answer
        The answer that means ready.
    mask, equals
        Or the bits of the answer that count, and what they are when it is ready.
    """

    query: Command
    within_ms: Positive
    answer: Annotated[str, Field(min_length=1)] | None = None
    mask: BitMask | None = None
    equals: Annotated[StrictInt, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _one_sign(self) -> Ready:
        if (self.answer is None) == (self.mask is None):
            raise ValueError(
                "give either `answer`, '1' say, or `mask` with `equals` for a status register"
            )
        if self.mask is not None and self.equals & ~self.mask:
            raise ValueError(f"`equals` {self.equals} has bits that `mask` {self.mask} leaves out")
        return self


class Slew(Declared):
    """How a level is brought to another one: in steps, never at once.

    Parameters
    ----------
    step
        Largest change of one command, in the channel's unit.
    interval_ms
        Shortest time between two commands.
    longest_s
        How long a ramp may take; the whole range must fit into it.
    """

    step: Positive
    interval_ms: Positive = RAMP_INTERVAL_MS
    longest_s: Positive = 30.0


def _rate_as_steps(slew: Any) -> Any:
    """Turn `slew: 100`, a rate per second, into steps."""
    if isinstance(slew, (int, float)) and not isinstance(slew, bool):
        return {"step": slew * RAMP_INTERVAL_MS / 1000, "interval_ms": RAMP_INTERVAL_MS}
    return slew


class NumberChannel(Declared):
    """A number that is read, and set too where `set` is given.

    Parameters
    ----------
    get
        The query; answered with one decimal number.
    unit
        Unit of every number below, `mW` or `degC` say.
    scale
        What a number in `unit` is multiplied with to be the instrument's: 0.001 for mA where the
        instrument speaks of A.
    field
        Which part of an answer with commas is the number, counted from 1.
    set
        The command with `{value}` in it. A channel that can be set needs `limits`, and `tolerance`
        or `step`.
    limits
        Lowest and highest value the instrument takes.
    safe
        Where the channel goes in the safe state; left as it is if not given.
    step
        Resolution: the multiple of it that is nearest to what is asked is sent.
    tolerance
        Greatest difference allowed between what was sent and what is read back; half a step by
        default.
    slew
        Largest change a second, or `{step, interval_ms, longest_s}`; the way to the safe state
        takes no ramp.
    ready
        What to wait for after a set, before it is read back.
    """

    kind: Literal["number"] = "number"
    get: Command
    unit: Annotated[str, Field(min_length=1)]
    scale: Positive = 1.0
    field: Annotated[StrictInt, Field(ge=1)] | None = None
    set: NumberTemplate | None = None
    limits: tuple[StrictFloat, StrictFloat] | None = None
    safe: StrictFloat | None = None
    step: Positive | None = None
    tolerance: Positive | None = None
    slew: Annotated[Slew | None, BeforeValidator(_rate_as_steps)] = None
    ready: Ready | None = None

    @property
    def agreement(self) -> float:
        """Greatest difference between what was sent and what is read back, in `unit`."""
        return self.tolerance or (self.step or 0.0) / 2

    def nearest(self, value: float) -> float:
        """Value that is sent when `value` is asked: a multiple of `step`, within `limits`."""
        if self.step is None or self.limits is None or not math.isfinite(value):
            return value
        low, high = self.limits
        return min(max(round(value / self.step) * self.step, low), high)

    def towards(self, level: float, target: float) -> float:
        """Level after one step of a ramp from `level`; `target` itself when it is that near."""
        if self.slew is None or self.limits is None or abs(target - level) <= self.slew.step:
            return target
        there = level + math.copysign(self.slew.step, target - level)
        if self.step is not None:  # rounded back towards `level`: no command exceeds the slew
            whole = math.floor if target > level else math.ceil
            there = whole(there / self.step + math.copysign(_GRID, target - level)) * self.step
        low, high = self.limits
        return min(max(there, low), high)

    def command(self, value: float) -> str:
        """Return the command that sets `value`, in `unit`."""
        return (self.set or "").format(value=value * self.scale)

    @model_validator(mode="after")
    def _belongs_together(self) -> NumberChannel:
        if self.set is None:
            only_set = ("limits", "safe", "tolerance", "step", "slew", "ready")
            extra = [key for key in only_set if getattr(self, key) is not None]
            if extra:
                raise ValueError(f"`{extra[0]}` needs `set`; a channel without `set` is only read")
            return self
        if self.limits is None or (self.tolerance is None and self.step is None):
            raise ValueError(
                "a channel with `set` needs `limits: [low, high]`, and `tolerance` or `step`"
            )
        self._check_values(*self.limits)
        self._check_slew(*self.limits)
        self._check_digits(*self.limits)
        return self

    def _check_values(self, low: float, high: float) -> None:
        if not low < high:
            raise ValueError(f"`limits` are [low, high]; {low:g} is not below {high:g}")
        if self.safe is not None and not low <= self.safe <= high:
            raise ValueError(f"`safe` {self.safe:g} is outside `limits` [{low:g}, {high:g}]")
        for value in (low, high, *(() if self.safe is None else (self.safe,))):
            if self.step is not None and abs(math.remainder(value, self.step)) > _GRID * self.step:
                raise ValueError(f"{value:g} is no multiple of `step` {self.step:g}")

    def _check_slew(self, low: float, high: float) -> None:
        if self.slew is None:
            return
        if self.safe is None:
            raise ValueError("`slew` needs `safe`: where the level goes at once when it must")
        if self.step is not None and self.slew.step < self.step:
            raise ValueError(
                f"`slew` allows steps of {self.slew.step:g}, less than the `step` {self.step:g} "
                "that the instrument can do"
            )
        ramp_s = math.ceil((high - low) / self.slew.step) * self.slew.interval_ms / 1000
        if ramp_s > self.slew.longest_s:
            raise ValueError(
                f"a ramp over `limits` takes {ramp_s:g} s, `slew` allows {self.slew.longest_s:g} "
                "s; make its steps larger, or give it `longest_s`"
            )

    def _check_digits(self, low: float, high: float) -> None:
        """Refuse a format that loses more than the tolerance, or rounds a limit to beyond it."""
        (form,) = [f for _, name, f, _ in string.Formatter().parse(self.set or "") if name]
        for value in (low, high, low + (high - low) / 3, low + (high - low) / 7):
            asked = self.nearest(value)
            try:
                sent = float(format(asked * self.scale, form or "")) / self.scale
            except ValueError:
                raise ValueError(
                    f"`{{value:{form}}}` in `set` is not written as a number"
                ) from None
            rounding = _GRID * abs(asked)
            if abs(sent - asked) > self.agreement * (1 + _GRID) + rounding:
                raise ValueError(
                    f"`{{value:{form}}}` in `set` loses digits: {asked:g} would be sent as "
                    f"{sent:g}; give it more"
                )
            if not low - rounding <= sent <= high + rounding:
                raise ValueError(
                    f"`{{value:{form}}}` in `set` rounds the limit {asked:g} to {sent:g}, which is "
                    "beyond it; give it more digits"
                )


class SwitchChannel(Declared):
    """Something that is on or off, read as 1.0 or 0.0; the safe state is off.

    The keys are not `on` and `off` because YAML 1.1 reads those words as true and false.
    """

    kind: Literal["switch"]
    get: Command
    turn_on: Command
    turn_off: Command
    ready: Ready | None = None


Word = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$")]
SentText = Annotated[
    str,
    BeforeValidator(lambda sent: str(sent) if type(sent) is int else sent),
    AfterValidator(_require_command),
]


class ChoiceChannel(Declared):
    """One word of several; as a number it is the word's place in `values`, from 0.

    Parameters
    ----------
    get
        The query; answered with what is sent for the word, in any case and with or without quotes.
    set
        The command with `{value}` in it.
    values
        Word to what is sent for it.
    safe
        Word of the safe state; left as it is if not given.
    field
        Which part of an answer with commas says it, counted from 1.
    ready
        What to wait for after a set, before it is read back.
    """

    kind: Literal["choice"]
    get: Command
    set: TextTemplate
    values: Annotated[dict[Word, SentText], Field(min_length=2)]
    safe: str | None = None
    field: Annotated[StrictInt, Field(ge=1)] | None = None
    ready: Ready | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """The words in their order."""
        return tuple(self.values)

    def command(self, place: float) -> str:
        """Return the command that chooses the word at a place."""
        return self.set.format(value=self.values[self.words[int(place)]])

    def place(self, answer: str) -> float | None:
        """Place of the word that an answer stands for, or None."""
        said = canonical(answer)
        for place, sent in enumerate(self.values.values()):
            if canonical(sent) == said:
                return float(place)
        return None

    @model_validator(mode="after")
    def _tells_words_apart(self) -> ChoiceChannel:
        sent = [canonical(text) for text in self.values.values()]
        if len(set(sent)) < len(sent):
            raise ValueError("`values` sends the same for two words, which no answer tells apart")
        if self.safe is not None and self.safe not in self.values:
            raise ValueError(f"`safe` {self.safe!r} is none of `values` ({', '.join(self.values)})")
        return self


def canonical(answer: str) -> str:
    """Answer without what instruments add to a word: quotes, case, the sign of a whole number."""
    bare = answer.strip().strip("\"'").strip().upper()
    return str(int(bare)) if re.fullmatch(r"[+-]?\d+", bare) else bare


def kind_of(channel: Any) -> str:
    """Word that chooses the model of a channel; a number needs none."""
    if isinstance(channel, dict):
        return channel.get("kind", "number")
    return getattr(channel, "kind", "number")  # a built channel, or garbage for pydantic to refuse


Channel = Annotated[
    Annotated[NumberChannel, Tag("number")]
    | Annotated[SwitchChannel, Tag("switch")]
    | Annotated[ChoiceChannel, Tag("choice")],
    Discriminator(kind_of),
]
KINDS = ("number", "switch", "choice")
