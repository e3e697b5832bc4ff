"""What a VISA instrument can do, as data: the YAML block that takes the place of a driver.

The only module that reads such a file and says in its words what is wrong with it; `channels` knows
what a channel may be. A declaration holds the instrument's own limits; a bench file can only narrow
them.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    ValidationError,
    model_validator,
)

from drivers.errors import DeviceError
from drivers.visa.channels import (
    KINDS,
    BitMask,
    Channel,
    ChoiceChannel,
    Command,
    Declared,
    NumberChannel,
    Positive,
    Ready,
    Slew,
    SwitchChannel,
)


class DeclarationError(DeviceError):
    """An instrument's declaration cannot be used as it is written, or for what was asked of it."""


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


Termination = Annotated[str, AfterValidator(_require_termination)]
ChannelName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class ErrorQuery(Declared):
    """How the instrument is asked what went wrong; `error_query: "SYST:ERR?"` is the usual way.

    Parameters
    ----------
    query
        Asked until it says that there is nothing more. Without the keys below the answer begins
        with a number that is 0 when there is nothing: `0,"No error"`, or just `0`.
    mask
        Or the answer is a register, and these bits mean errors: 60 for `*ESR?` (IEEE 488.2,
        11.5.1.1), which reading it clears.
    empty
        Or a regular expression that the answer contains when there is nothing, `NO ERROR` say.
    """

    query: Command
    mask: BitMask | None = None
    empty: Annotated[str, AfterValidator(_require_selective_pattern)] | None = None

    @model_validator(mode="after")
    def _one_sign(self) -> ErrorQuery:
        if self.mask is not None and self.empty is not None:
            raise ValueError("give `mask` or `empty`, not both")
        return self


def _usual_error_query(query: Any) -> Any:
    return {"query": query} if isinstance(query, str) else query


class InstrumentDeclaration(Declared):
    """Everything `VisaInstrument` needs to know of a kind of instrument.

    Parameters
    ----------
    identify
        Regular expression that the answer to `*IDN?` must contain. It must not match other
        answers: it also tells after a fault whether question and answer are in step again.
    channels
        Name to `NumberChannel`, to `SwitchChannel` with `kind: switch`, or to `ChoiceChannel` with
        `kind: choice`.
    read_termination, write_termination
        What ends an answer and a command.
    timeout_ms
        How long one answer may take.
    error_query
        Query of the instrument's error queue, or an `ErrorQuery` where it is not SCPI's.
    """

    identify: Annotated[str, AfterValidator(_require_selective_pattern)]
    channels: Annotated[dict[ChannelName, Channel], Field(min_length=1)]
    read_termination: Termination = "\n"
    write_termination: Termination = "\n"
    timeout_ms: Positive = 1000.0
    error_query: Annotated[ErrorQuery | None, BeforeValidator(_usual_error_query)] = None

    def recognises(self, identity: str) -> bool:
        """Whether an answer to `*IDN?` is one of this kind of instrument's."""
        return re.search(self.identify, identity) is not None


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
    if len(place) > 2 and place[0] == "channels" and place[2] in KINDS:
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
            return (
                f"`{key}.kind` is unknown; write `kind: switch` or `kind: choice`, or leave it "
                "out for a number"
            )
        case "string_pattern_mismatch":
            return f"`{key}`: write channel names in small letters with the unit, power_mw say"
        case "value_error":
            return f"`{key}` = {shown}: {problem['msg'].removeprefix('Value error, ')}"
        case _:
            return f"`{key}` = {shown}: {problem['msg'][:1].lower()}{problem['msg'][1:]}"


def _suggestion(place: list[str]) -> str:
    known = [key for model in _models_at(place) for key in model.model_fields]
    close = difflib.get_close_matches(place[-1], known, n=1)
    return (
        f"did you mean `{close[0]}`?" if close else f"known are {', '.join(dict.fromkeys(known))}"
    )


def _models_at(place: list[str]) -> list[type[BaseModel]]:
    """Models whose keys may stand at a place of the file."""
    inner: dict[str, type[BaseModel]] = {"ready": Ready, "slew": Slew, "error_query": ErrorQuery}
    if len(place) > 1 and place[-2] in inner:
        return [inner[place[-2]]]
    if place[0] == "channels":
        return [NumberChannel, SwitchChannel, ChoiceChannel]
    return [InstrumentDeclaration]


def _shown(value: Any) -> str:
    """Value as it may stand in a sentence: an error is no place for a whole file."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
