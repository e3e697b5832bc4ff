"""Checks of roles that are channels of VISA instruments, against the instruments' declarations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from drivers.visa import (
    ChoiceChannel,
    DeclarationError,
    InstrumentDeclaration,
    NumberChannel,
    load_declaration,
)
from instrument.config._interlock_checks import suggest
from instrument.config._roles import LightRole, PropertyRole, SelectorRole

if TYPE_CHECKING:
    from instrument.config._model import Config

_GRID = 1e-9
"""Of a step: floating point's share."""


def problems_of_visa_roles(config: Config) -> Iterator[str]:
    """One sentence for every role that is no channel of its instrument, or not one to be moved.

    Parameters
    ----------
    config
        With the paths of the declarations resolved: they are read where a role names a channel.
    """
    declared: dict[str, InstrumentDeclaration | None] = {}
    first_of: dict[tuple[str, str], str] = {}
    for name, role in config.bench.roles.items():
        if isinstance(role, SelectorRole):
            yield from _key_of_selector(name, role, config)
        if config.bench.block_of(role) != "visa" or isinstance(role, LightRole):
            continue
        assert isinstance(role, PropertyRole | SelectorRole)  # noqa: S101 - `block_of`
        key, channel = _key_and_channel(name, role)
        if channel is None:
            continue
        if role.device not in declared:
            declared[role.device], problem = _load(role.device, config)
            if problem:
                yield problem
        earlier = first_of.setdefault((role.device, channel), name)
        if earlier != name:
            yield f"`{key}` = {channel!r} is already the role {earlier!r}; one role a channel"
        light = _light_of(role.device, channel, config)
        if light is not None:
            yield (
                f"`{key}` = {channel!r} is what the role {light!r} switches, which alone keeps it "
                f"dark between frames; move its level instead: design: {{power: {{role: {light}, "
                "bounds: [LOW, HIGH]}}"
            )
            continue
        declaration = declared[role.device]
        if declaration is not None:
            yield from _channel(name, role, declaration, config)


def _key_and_channel(name: str, role: PropertyRole | SelectorRole) -> tuple[str, str | None]:
    if isinstance(role, PropertyRole):
        return f"bench.roles.{name}.property", role.property
    return f"bench.roles.{name}.channel", role.channel


def _key_of_selector(name: str, role: SelectorRole, config: Config) -> Iterator[str]:
    """Only a VISA instrument's selector has a channel, and it must have one."""
    key, block = f"bench.roles.{name}", config.bench.block_of(role)
    if block == "visa" and role.channel is None:
        yield (
            f"`{key}.channel` is missing: {role.device} is an instrument of bench.visa; name its "
            "channel of `kind: choice`"
        )
    elif block == "micromanager" and role.channel is not None:
        yield (
            f"`{key}.device` = {role.device!r} is no instrument; "
            f"{suggest(role.device, config.bench.visa, 'add it to bench.visa')}, or leave channel "
            "out for a device of Micro-Manager"
        )
    elif block != "visa" and role.channel is not None:
        yield (
            f"`{key}.channel` = {role.channel!r} is for VISA instruments, and {role.device} is in "
            f"bench.{block}; leave it out"
        )


def _load(device: str, config: Config) -> tuple[InstrumentDeclaration | None, str]:
    try:
        return load_declaration(Path(config.bench.visa[device].declaration)), ""
    except DeclarationError as error:
        return None, f"`bench.visa.{device}.declaration`: {error}"


def _light_of(device: str, channel: str, config: Config) -> str | None:
    """Return the role of the light whose level or switch a channel is, if there is one."""
    for name, role in config.bench.roles.items():
        if not isinstance(role, LightRole) or config.bench.block_of(role) != "visa":
            continue
        if role.device == device and channel in {role.channel, role.output}:
            return name
    return None


def _channel(
    name: str, role: PropertyRole | SelectorRole, declaration: InstrumentDeclaration, config: Config
) -> Iterator[str]:
    key, wanted = _key_and_channel(name, role)
    channel = declaration.channels.get(wanted or "")
    if channel is None:
        yield (
            f"`{key}` = {wanted!r} is no channel of {role.device!r}; "
            f"{suggest(wanted or '', declaration.channels, '')}"
        )
    elif isinstance(role, SelectorRole):
        if not isinstance(channel, ChoiceChannel):
            yield (
                f"`{key}` = {wanted!r} is a {channel.kind} of {role.device!r} and has no positions;"
                " name a channel of `kind: choice`"
                + (", or write property for channel" if channel.kind == "number" else "")
            )
    elif not isinstance(channel, NumberChannel):
        yield (
            f"`{key}` = {wanted!r} is a {channel.kind} of {role.device!r}, not a number; "
            + (
                f"for a choice write {{kind: selector, device: {role.device}, channel: {wanted}}}"
                if isinstance(channel, ChoiceChannel)
                else "set it once, in its settings"
            )
        )
    elif channel.limits is None:
        yield (
            f"`{key}` = {wanted!r} of {role.device!r} is only read; name a channel with `set` in "
            "its declaration"
        )
    else:
        yield from _number(name, role, channel, channel.limits, config)


def _number(
    name: str,
    role: PropertyRole,
    channel: NumberChannel,
    declared: tuple[float, float],
    config: Config,
) -> Iterator[str]:
    """Limits, unit and tolerance of a role against those of its channel."""
    key, (low, high) = f"bench.roles.{name}", role.limits
    if low < declared[0] or high > declared[1]:
        yield (
            f"`{key}.limits` = {list(role.limits)} is wider than the declaration of "
            f"{role.property!r} allows, {declared[0]:g} to {declared[1]:g} {channel.unit}; narrow "
            "them"
        )
    if role.unit != channel.unit:
        yield (
            f"`{key}.unit` = {role.unit!r}, but {role.property!r} of {role.device!r} is in "
            f"{channel.unit}; write unit: {channel.unit}, and limits and bounds in it"
        )
    if channel.step is not None and role.tolerance < channel.step / 2 * (1 - _GRID):
        yield (
            f"`{key}.tolerance` = {role.tolerance:g}, but {role.property!r} goes in steps of "
            f"{channel.step:g} {channel.unit} and takes the nearest; widen it to half a step, "
            f"{channel.step / 2:g}"
        )
    setting = config.bench.visa[role.device].settings.get(role.property)
    if isinstance(setting, float) and not low <= setting <= high:
        yield (
            f"`bench.visa.{role.device}.settings.{role.property}` = {setting:g} is beyond "
            f"`{key}.limits` = {list(role.limits)}; correct one of them"
        )
