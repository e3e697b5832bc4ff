"""What `infoloop devices` says of VISA instruments, and the lines of a bench file they begin with.

Text only; the command line prints it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from drivers.discovery import VisaResource
from drivers.visa import InstrumentDeclaration, NumberChannel, SwitchChannel
from instrument.config import VisaConfig

LIGHT_UNITS = {"mW", "W", "uW", "mA", "A", "%"}
"""Units of a level that can be a light's; what has another may still be one."""


@dataclass(frozen=True, slots=True)
class Matched:
    """A resource, and the declaration that recognises its identity, if one does.

    Parameters
    ----------
    resource
        Address and identity.
    label
        Name for it in a bench file.
    declaration
        Name of its declaration, or None.
    declared
        What that declaration says, or None.
    """

    resource: VisaResource
    label: str
    declaration: str | None = None
    declared: InstrumentDeclaration | None = None


def match(
    resources: Iterable[VisaResource], declarations: Mapping[str, InstrumentDeclaration]
) -> list[Matched]:
    """Find each resource's declaration by its `*IDN?` pattern, and give it a name of its own."""
    matched: list[Matched] = []
    for resource in resources:
        fitting = [
            name
            for name, declared in declarations.items()
            if resource.identity is not None and declared.recognises(resource.identity)
        ]
        name = fitting[0] if fitting else None
        label = _unused(name or "instrument", {other.label for other in matched})
        matched.append(Matched(resource, label, name, declarations[name] if name else None))
    return matched


def describe(matched: Iterable[Matched]) -> str:
    """Identity, declaration, what it may be on a bench and its limits, a few lines each."""
    return "\n".join(line for one in matched for line in _description(one))


def starter(matched: Iterable[Matched], *, backend: str) -> str:
    """Lines of a bench file: the `visa` block, and comments with the roles they could have.

    Empty where no resource has a declaration.
    """
    known = [one for one in matched if one.declared is not None]
    if not known:
        return ""
    tail = (
        "" if backend == VisaConfig.model_fields["backend"].default else f', backend: "{backend}"'
    )
    lines = ["bench:", "  visa:"]
    lines += [
        f"    {one.label}: "
        f'{{declaration: {one.declaration}, address: "{one.resource.address}"{tail}}}'
        for one in known
    ]
    lights = [line for one in known for line in _light_roles(one)]
    if lights:
        lines += [
            "  # roles:                   # narrow `limits` to what your light stands",
            *lights,
        ]
    interlocks = [line for one in known for line in _interlocks(one)]
    if interlocks:
        lines += ["  # interlocks:              # with `below`, `above` or both", *interlocks]
    return "\n".join(lines)


def _description(one: Matched) -> Iterator[str]:
    yield f"  {one.resource.address}  {one.resource.identity or f'({one.resource.problem})'}"
    if one.declared is None:
        if one.resource.identity is not None:
            yield "    no declaration recognises it; write one: docs/how-to/visa-declaration.md"
        return
    yield f"    declaration {one.declaration}; {_uses(one.declared)}"
    for name, channel in one.declared.channels.items():
        if isinstance(channel, NumberChannel) and channel.limits is not None:
            low, high = channel.limits
            yield f"    {name}: {low:g} to {high:g} {channel.unit}"


def _uses(declared: InstrumentDeclaration) -> str:
    level, meters = _level(declared), _meters(declared)
    uses = [f"a light by {level}"] if level else []
    uses += [f"a meter by {', '.join(meters)}"] if meters else []
    return " or ".join(uses) or "settings, and numbers and choices to move"


def _light_roles(one: Matched) -> Iterator[str]:
    assert one.declared is not None  # noqa: S101 - the caller chose
    level = _level(one.declared)
    if level is None:
        return
    channel = one.declared.channels[level]
    assert isinstance(channel, NumberChannel) and channel.limits is not None  # noqa: S101, PT018
    (low, high), safe = channel.limits, channel.safe or 0.0
    switches = [n for n, c in one.declared.channels.items() if isinstance(c, SwitchChannel)]
    output = "" if "output" in switches else f"output: {switches[0] if switches else 'null'}, "
    yield (
        f"  #   {one.label}: {{kind: light, device: {one.label}, channel: {level}, {output}"
        f"level: {low:g}, limits: [{low:g}, {high:g}], safe: {safe:g}}}"
    )


def _interlocks(one: Matched) -> Iterator[str]:
    assert one.declared is not None  # noqa: S101 - the caller chose
    for meter in _meters(one.declared):
        yield f"  #   - {{channel: {one.label}.{meter}, below: ..., action: pause}}"


def _level(declared: InstrumentDeclaration) -> str | None:
    """First number that can be set, is dark in the safe state and has a light's unit."""
    return next(
        (
            name
            for name, channel in declared.channels.items()
            if isinstance(channel, NumberChannel)
            and channel.set is not None
            and channel.safe is not None
            and channel.unit in LIGHT_UNITS
        ),
        None,
    )


def _meters(declared: InstrumentDeclaration) -> list[str]:
    return [
        name
        for name, channel in declared.channels.items()
        if isinstance(channel, NumberChannel) and channel.set is None
    ]


def _unused(label: str, taken: set[str]) -> str:
    if label not in taken:
        return label
    number = 2
    while f"{label}_{number}" in taken:
        number += 1
    return f"{label}_{number}"
