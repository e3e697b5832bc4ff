"""What a VISA instrument can do, as data: the YAML block that takes the place of a driver.

The only module that knows how such a file is written. A declaration holds the instrument's own
limits; a bench file can only narrow them.
"""

from __future__ import annotations

import difflib
import re
import string
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StrictFloat,
    Tag,
    ValidationError,
    model_validator,
)

from drivers.errors import DeviceError


class DeclarationError(DeviceError):
    """An instrument's declaration cannot be used as it is written, or for what was asked of it."""


def _require_command(text: str) -> str:
    if not text.strip() or not text.isascii() or not text.isprintable():
        raise ValueError("a command is one line of printable ASCII; terminations have own keys")
    return text


def _require_template(text: str) -> str:
    try:
        fields = [name for _, name, _, _ in string.Formatter().parse(text) if name is not None]
        if fields != ["value"]:
            raise ValueError
        text.format(value=0.5)
    except (ValueError, IndexError, KeyError, TypeError):
        raise ValueError(
            "write the command with `{value}` once where the number goes, "
            "'SOUR:POW {value:.6f}' say"
        ) from None
    return text


def _require_selective_pattern(pattern: str) -> str:
    try:
        accepts_anything = any(re.search(pattern, answer) for answer in ("", "0", "0.000"))
    except re.error as error:
        raise ValueError(f"not a regular expression ({error})") from None
    if accepts_anything:
        raise ValueError("this pattern accepts any answer; name maker and model in it")
    return pattern


def _require_termination(text: str) -> str:
    if "\\" in text:
        raise ValueError('use double quotes in YAML, "\\n", so that the backslash is understood')
    if not text or not text.isascii() or text[-1] in text[:-1]:
        raise ValueError('must be ASCII and end in a character that comes once, "\\r\\n" say')
    return text


Command = Annotated[str, AfterValidator(_require_command)]
Template = Annotated[str, AfterValidator(_require_command), AfterValidator(_require_template)]
Termination = Annotated[str, AfterValidator(_require_termination)]
Positive = Annotated[StrictFloat, Field(gt=0)]
ChannelName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class _Declared(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class NumberChannel(_Declared):
    """A number that is read, and set too where `set` is given.

    Parameters
    ----------
    get
        The query; answered with one decimal number in `unit`.
    unit
        Unit of every number below, `mW` or `degC` say.
    set
        The command with `{value}` in it. A channel that can be set needs `limits` and `tolerance`.
    limits
        Lowest and highest value the instrument takes.
    safe
        Where the channel goes in the safe state; left as it is if not given.
    tolerance
        Greatest difference allowed between what was asked and what is read back.
    """

    kind: Literal["number"] = "number"
    get: Command
    unit: Annotated[str, Field(min_length=1)]
    set: Template | None = None
    limits: tuple[StrictFloat, StrictFloat] | None = None
    safe: StrictFloat | None = None
    tolerance: Positive | None = None

    @model_validator(mode="after")
    def _belongs_together(self) -> NumberChannel:
        if self.set is None:
            extra = [
                key for key in ("limits", "safe", "tolerance") if getattr(self, key) is not None
            ]
            if extra:
                raise ValueError(f"`{extra[0]}` needs `set`; a channel without `set` is only read")
            return self
        if self.limits is None or self.tolerance is None:
            raise ValueError("a channel with `set` needs `limits: [low, high]` and `tolerance`")
        low, high = self.limits
        if not low < high:
            raise ValueError(f"`limits` are [low, high]; {low:g} is not below {high:g}")
        if self.safe is not None and not low <= self.safe <= high:
            raise ValueError(f"`safe` {self.safe:g} is outside `limits` [{low:g}, {high:g}]")
        return self


class SwitchChannel(_Declared):
    """Something that is on or off, read as 1.0 or 0.0; the safe state is off.

    The keys are not `on` and `off` because YAML 1.1 reads those words as true and false.
    """

    kind: Literal["switch"]
    get: Command
    turn_on: Command
    turn_off: Command


def _kind_of(channel: Any) -> str:
    if isinstance(channel, dict):
        return channel.get("kind", "number")
    return getattr(channel, "kind", "number")  # a built channel, or garbage for pydantic to refuse


Channel = Annotated[
    Annotated[NumberChannel, Tag("number")] | Annotated[SwitchChannel, Tag("switch")],
    Discriminator(_kind_of),
]


class InstrumentDeclaration(_Declared):
    """Everything `VisaInstrument` needs to know of a kind of instrument.

    Parameters
    ----------
    identify
        Regular expression that the answer to `*IDN?` must contain. It must not match other
        answers: it also tells after a fault whether question and answer are in step again.
    channels
        Name to `NumberChannel`, or to `SwitchChannel` with `kind: switch`.
    read_termination, write_termination
        What ends an answer and a command.
    timeout_ms
        How long one answer may take.
    error_query
        Query of the instrument's error queue, answered `code,"text"` and code 0 when empty.
    """

    identify: Annotated[str, AfterValidator(_require_selective_pattern)]
    channels: Annotated[dict[ChannelName, Channel], Field(min_length=1)]
    read_termination: Termination = "\n"
    write_termination: Termination = "\n"
    timeout_ms: Positive = 1000.0
    error_query: Command | None = None


def load_declaration(path: str | Path) -> InstrumentDeclaration:
    """Read a declaration; raise `DeclarationError` that names file, key, value and remedy."""
    path = Path(path)
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DeclarationError(
            f"{path}: there is no such instrument declaration; check the name, or write one "
            "like configs/instruments/led_driver.yaml"
        ) from None
    except OSError as error:
        raise DeclarationError(
            f"{path}: cannot be read ({error.strerror}); give the path of a YAML file"
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        where = " ".join(str(error).split()) or "nested too deeply"
        raise DeclarationError(f"{path}: is not YAML ({where}); correct it there") from error
    if not isinstance(content, dict):
        raise DeclarationError(
            f"{path}: holds {_shown(content)}, not keys and values; "
            "begin with `identify:` and `channels:`"
        )
    try:
        return InstrumentDeclaration.model_validate(content)
    except ValidationError as error:
        sentences = "; ".join(_sentence(problem) for problem in error.errors()[:3])
        raise DeclarationError(f"{path}: {sentences}") from error


def _sentence(problem: Any) -> str:
    """One problem that pydantic found, in the words of whoever wrote the file."""
    # A tag of a union is a place to pydantic, and nowhere in the file.
    place = [str(part) for part in problem["loc"]]
    if len(place) > 2 and place[0] == "channels" and place[2] in {"number", "switch"}:
        del place[2]
    key = ".".join(part for part in place if part != "[key]") or "the file"
    shown = _shown(problem["input"])
    match problem["type"]:
        case "missing":
            return f"`{key}` is missing; add it"
        case "extra_forbidden":
            return f"`{key}` = {shown} is not a key here; {_suggestion(place)}"
        case "invalid_key":
            remedy = (
                "YAML reads the words on and off as true and false, write turn_on and turn_off"
                if isinstance(problem["input"], bool)
                else "put it in quotes"
            )
            return f"`{key.rpartition('.')[0]}` has the key {shown}, which is no text; {remedy}"
        case "union_tag_invalid":
            return f"`{key}.kind` is unknown; write `kind: switch`, or leave it out for a number"
        case "string_pattern_mismatch":
            return f"`{key}`: write channel names in small letters with the unit, power_mw say"
        case "value_error":
            return f"`{key}` = {shown}: {problem['msg'].removeprefix('Value error, ')}"
        case _:
            return f"`{key}` = {shown}: {problem['msg'][:1].lower()}{problem['msg'][1:]}"


def _suggestion(place: list[str]) -> str:
    models: list[type[BaseModel]] = (
        [NumberChannel, SwitchChannel] if place[0] == "channels" else [InstrumentDeclaration]
    )
    known = [key for model in models for key in model.model_fields]
    close = difflib.get_close_matches(place[-1], known, n=1)
    return f"did you mean `{close[0]}`?" if close else f"known are {', '.join(known)}"


def _shown(value: Any) -> str:
    """Value as it may stand in a sentence: an error is no place for a whole file."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
