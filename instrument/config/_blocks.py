"""Which block of the bench opens the device of each role, and what of the role that block knows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from instrument.config._bench import ListedMicroManager
from instrument.config._modulator import SlmRole
from instrument.config._roles import (
    CameraRole,
    LightRole,
    PropertyRole,
    Role,
    SelectorRole,
    ShutterRole,
)
from instrument.config._section import Section

if TYPE_CHECKING:
    from instrument.config._model import Config

CORE_ONLY: Mapping[type[Section], tuple[str, ...]] = {
    CameraRole: (
        "roi",
        "binning",
        "pixel_type",
        "properties",
        "temperature",
        "sequence_buffer_mb",
    ),
    LightRole: ("property", "switch", "unit"),
    SlmRole: ("display_ms", "shows_on_load"),
}
"""Keys of roles that only devices of Micro-Manager follow."""


def problems_of_blocks(config: Config) -> Iterator[str]:
    """One sentence for every device that no block provides, or two, or that cannot do its role."""
    yield from _names_used_twice(config)
    for name, role in config.bench.roles.items():
        key, block = f"bench.roles.{name}", config.bench.block_of(role)
        if isinstance(role, LightRole):
            yield from _of_light(key, role, block)
        if isinstance(role, ShutterRole) and block != "micromanager":
            yield (
                f"`{key}.device` = {role.device!r} is in bench.{block}, and only Micro-Manager has "
                "shutters; give it a role of kind light"
            )
        if block == "micromanager" and config.bench.micromanager is None:
            visa = "visa, " if isinstance(role, PropertyRole | SelectorRole) else ""
            yield (
                f"`{key}.device` = {role.device!r} is none of bench.{visa}drivers, displays or "
                "slmsuite, and there is no bench.micromanager; add the one that has it"
            )
        if block != "micromanager":
            yield from _of_core_only(key, role, block)


def _names_used_twice(config: Config) -> Iterator[str]:
    bench = config.bench
    first_in: dict[str, str] = {}
    listed = bench.micromanager if isinstance(bench.micromanager, ListedMicroManager) else None
    names: dict[str, Iterable[str]] = {
        "micromanager.devices": listed.devices if listed else (),
        "visa": bench.visa,
        "drivers": bench.drivers,
        "displays": bench.displays,
        "slmsuite": bench.slmsuite,
    }
    for block, of_block in names.items():
        for name in of_block:
            earlier = first_in.setdefault(name, block)
            if earlier != block:
                yield f"`bench.{block}.{name}` is also in bench.{earlier}; rename one of them"


def _of_light(key: str, role: LightRole, block: str) -> Iterator[str]:
    if block == "micromanager" and role.property is None:
        yield (
            f"`{key}`: say what sets its level: `channel` of a VISA instrument, or `property` of a "
            "Micro-Manager device"
        )
    elif block in {"displays", "slmsuite"}:
        yield (
            f"`{key}.device` = {role.device!r} is in bench.{block}, which has no lights; name a "
            "VISA instrument, a device of Micro-Manager or one of bench.drivers"
        )
    elif block == "drivers":
        for part in ("channel", "output", "safe"):
            value = getattr(role, part)
            if value != LightRole.model_fields[part].default:
                yield (
                    f"`{key}.{part}` = {value!r} is for VISA instruments; a driver's light has a "
                    "level, and is off when it is safe: leave it out"
                )


def _of_core_only(key: str, role: Role, block: str) -> Iterator[str]:
    for part in CORE_ONLY.get(type(role), ()):
        value = getattr(role, part)
        if value != type(role).model_fields[part].get_default(call_default_factory=True):
            yield (
                f"`{key}.{part}` = {value!r} is for devices of Micro-Manager, and {role.device} is "
                f"in bench.{block}; set it there, or leave it out"
            )
    if isinstance(role, SlmRole) and role.off_value:
        yield (
            f"`{key}.off_value` = {role.off_value} cannot be shown when {role.device} is safe: "
            f"what bench.{block} opens then shows 0; invert it there, or leave off_value out"
        )
