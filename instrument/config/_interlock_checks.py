"""Checks of interlocks and slew limits against the roles they are about."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from instrument.config._bench import InterlockConfig
from instrument.config._model import Config
from instrument.config._modulator import SlmRole
from instrument.config._parameters import ExposureParameter
from instrument.config._roles import CameraRole, EmitterRole, LightRole, Role, XYStageRole

AXES = ("x", "y")


def interlock_problems(config: Config) -> Iterator[str]:
    """One sentence a problem: what is read must be there, and in time."""
    for index, interlock in enumerate(config.bench.interlocks):
        key = f"bench.interlocks.{index}"
        if interlock.channel is not None:
            yield from _channel(key, interlock.channel, config)
        else:
            yield from _role(key, interlock, config)
    if config.bench.interlocks:
        yield from _exposures(config)


def suggest(name: str, known: object, otherwise: str) -> str:
    """Name what was probably meant, or what there is."""
    names = list(known)  # type: ignore[call-overload]
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(names)}" if names else otherwise


def _channel(key: str, channel: str, config: Config) -> Iterator[str]:
    instrument, _, part = channel.partition(".")
    if not part and instrument in config.bench.drivers:
        return
    if instrument not in config.bench.visa:
        yield (
            f"`{key}.channel` = {channel!r}: no instrument {instrument!r}; "
            f"{suggest(instrument, config.bench.visa, 'add it to bench.visa')}"
        )
    elif not part:
        yield f"`{key}.channel` = {channel!r} names no channel; write {instrument}.CHANNEL"


def _role(key: str, interlock: InterlockConfig, config: Config) -> Iterator[str]:
    name, part = interlock.role_and_part
    role = config.bench.roles.get(name)
    if role is None:
        yield (
            f"`{key}.role` = {interlock.role!r}: no role {name!r}; "
            f"{suggest(name, config.bench.roles, 'add it to bench.roles')}"
        )
        return
    remedy = _remedy(name, part, role, config.bench.block_of(role))
    if remedy:
        yield f"`{key}.role` = {interlock.role!r}: {remedy}"


def _remedy(name: str, part: str, role: Role, block: str) -> str:
    match role:
        case LightRole() if block == "visa":
            return f"a light is no condition for itself; use `channel: {role.device}.NAME`"
        case LightRole() if not part or block != "micromanager":
            return "a light is no condition for itself; read a meter, or a property of a device"
        case XYStageRole() if part not in AXES:
            return f"say which axis, {name}.x or {name}.y"
        case CameraRole() | SlmRole() if not part:
            return f"a {role.kind} is at no position; name a property, {name}.PROPERTY"
    if part and block != "micromanager" and not isinstance(role, XYStageRole):
        return (
            f"{role.device} is in bench.{block}, and only devices of Micro-Manager have properties "
            "to read; name the role alone, or a driver's meter as `channel`"
        )
    return ""


def _exposures(config: Config) -> Iterator[str]:
    """Refuse exposures during which Micro-Manager cannot be asked, or told, for too long."""
    why = why_bounded(config)
    if why is None:
        return
    longest_s = config.safety.interlock_interval_s
    asked = [
        (f"bench.roles.{name}.exposure_ms", role.exposure_ms)
        for name, role in config.bench.roles.items()
        if isinstance(role, CameraRole)
    ]
    asked += [
        (f"design.{name}.bounds_ms", parameter.bounds_ms[1])
        for name, parameter in config.design.items()
        if isinstance(parameter, ExposureParameter)
    ]
    for key, exposure_ms in asked:
        if exposure_ms / 1e3 > longest_s:
            yield (
                f"`{key}` reaches {exposure_ms:g} ms, but {why} while Micro-Manager exposes, and "
                f"safety.interlock_interval_s is {longest_s:g} s; expose for less, or allow it to "
                "take longer"
            )


def why_bounded(config: Config) -> str | None:
    """Say what of the core an interlock would need in an exposure; None if it needs nothing."""
    for name, role in config.bench.roles.items():
        is_behind_core = config.bench.block_of(role) == "micromanager"
        if is_behind_core and any(i.role_and_part[0] == name for i in config.bench.interlocks):
            return f"an interlock over a role ({name}) cannot be read"
        if is_behind_core and isinstance(role, EmitterRole):
            return f"a light of the core ({name}) cannot be put out"
    return None
