"""What an instrument's answers mean: each parser raises ValueError for what is no answer to it."""

from __future__ import annotations

import re

from drivers.visa.channels import ChoiceChannel, NumberChannel, Ready, SwitchChannel, canonical
from drivers.visa.declaration import ErrorQuery

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_SCPI_INFINITY = 9.9e37  # SCPI-99 volume 1, 7.2.1.4 and 7.2.1.5: 9.9E37 is INF and 9.91E37 is NAN
_SWITCH_ANSWERS = {"1": 1.0, "ON": 1.0, "0": 0.0, "OFF": 0.0}


def parse_channel(answer: str, channel: NumberChannel | SwitchChannel | ChoiceChannel) -> float:
    """Value of a channel in its unit, 1.0 or 0.0 of a switch, the place of a choice's word."""
    match channel:
        case SwitchChannel():
            return _switch(answer)
        case ChoiceChannel():
            place = channel.place(_part(answer, channel.field))
            if place is None:
                raise ValueError(f"{answer!r}, which is none of {', '.join(channel.words)},")
            return place
        case NumberChannel():
            return _number(_part(answer, channel.field)) / channel.scale


def parse_ready(answer: str, ready: Ready) -> bool:
    """Whether the answer says that the instrument is done."""
    if ready.mask is None:
        return canonical(answer) == canonical(ready.answer or "")
    return _register(answer) & ready.mask == ready.equals


def parse_error(answer: str, error_query: ErrorQuery) -> str | None:
    """Entry of the error queue, or None when there is nothing in it."""
    if error_query.mask is not None:
        bits = _register(answer) & error_query.mask
        return f"{error_query.query} {bits} (of bits {error_query.mask})" if bits else None
    if error_query.empty is not None:
        return None if re.search(error_query.empty, answer) else answer
    code = re.match(r"([+-]?\d+)\s*(,|$)", answer)
    if code is None:
        raise ValueError(f"{answer!r}, which does not begin with an error number,")
    return None if int(code[1]) == 0 else answer


def _part(answer: str, field: int | None) -> str:
    if field is None:
        return answer
    parts = answer.split(",")
    if field > len(parts):
        raise ValueError(f"{answer!r}, which has no part {field} between its commas,")
    return parts[field - 1].strip()


def _number(answer: str) -> float:
    if not _NUMBER.fullmatch(answer):
        raise ValueError(f"{answer!r}, which is not a number,")
    value = float(answer)
    if abs(value) >= _SCPI_INFINITY:  # infinity too
        raise ValueError(f"{answer!r}, which is how SCPI says overload or not a number,")
    return value


def _switch(answer: str) -> float:
    said = canonical(answer)
    if said not in _SWITCH_ANSWERS:
        raise ValueError(f"{answer!r}, which is neither 1 or ON nor 0 or OFF,")
    return _SWITCH_ANSWERS[said]


def _register(answer: str) -> int:
    if not re.fullmatch(r"\+?\d+", answer):
        raise ValueError(f"{answer!r}, which is no register,")
    return int(answer)
