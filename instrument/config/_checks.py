"""Checks of a bench file that need more than one section; every one before anything is touched."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from instrument.config._model import (
    CameraRole,
    Config,
    LightParameter,
    LightRole,
    PatternParameter,
    PositionParameter,
    SlmRole,
    StageRole,
    VirtualMicroManager,
    XYStageRole,
)
from instrument.grid import extent_um, grid_positions

_ROLE_OF = {
    PatternParameter: (SlmRole, "slm"),
    PositionParameter: (StageRole, "stage"),
    LightParameter: (LightRole, "light"),
}


def problems_between_sections(config: Config) -> list[str]:
    """One sentence a problem; empty when the file is consistent."""
    return [*_roles(config), *_visa(config), *_objects(config), *_design(config), *_search(config)]


def _roles(config: Config) -> Iterator[str]:
    cameras = [n for n, role in config.bench.roles.items() if isinstance(role, CameraRole)]
    if len(cameras) != 1:
        yield (
            f"`bench.roles` has {len(cameras)} cameras; exactly one role of kind camera is needed, "
            "e.g. camera: {device: Camera, exposure_ms: 10}"
        )


def _visa(config: Config) -> Iterator[str]:
    known = config.bench.visa
    for name, role in config.bench.roles.items():
        if isinstance(role, LightRole) and role.device not in known:
            yield (
                f"`bench.roles.{name}.device` = {role.device!r} is no instrument; "
                f"{_suggest(role.device, known, 'add it to bench.visa')}"
            )
    for index, interlock in enumerate(config.bench.interlocks):
        instrument = interlock.channel.split(".")[0]
        if instrument not in known:
            yield (
                f"`bench.interlocks.{index}.channel` = {interlock.channel!r}: no instrument "
                f"{instrument!r}; {_suggest(instrument, known, 'add it to bench.visa')}"
            )
    if not isinstance(config.bench.micromanager, VirtualMicroManager):
        for name, instrument in known.items():
            if instrument.address == "virtual":
                yield (
                    f"`bench.visa.{name}.address` = 'virtual' needs a virtual bench; "
                    "give the instrument's VISA resource name (`infoloop devices` lists them)"
                )


def _objects(config: Config) -> Iterator[str]:
    grid = config.objects.stage_grid
    role = config.bench.roles.get(grid.role)
    if not isinstance(role, XYStageRole):
        yield (
            f"`objects.stage_grid.role` = {grid.role!r} is no role of kind xy_stage; "
            "name one in bench.roles"
        )
        return
    positions = grid_positions(
        grid.count, spacing_um=grid.spacing_um, centre_um=grid.centre_um, order="snake", seed=0
    )
    for axis, (low, high), (lowest, highest) in zip(
        "xy", role.limits_um, extent_um(positions), strict=True
    ):
        if lowest < low or highest > high:
            yield (
                f"`objects.stage_grid`: {grid.count} positions {grid.spacing_um:g} um apart need "
                f"{axis} from {lowest:g} to {highest:g} um, `bench.roles.{grid.role}.limits_um` "
                f"allow {low:g} to {high:g} um; use a smaller spacing_um or count"
            )


def _design(config: Config) -> Iterator[str]:
    if not config.design:
        yield "`design` is empty: name at least one parameter that the search may change"
    for name, parameter in config.design.items():
        wanted, kind = _ROLE_OF[type(parameter)]
        role = config.bench.roles.get(parameter.role)
        if not isinstance(role, wanted):
            yield f"`design.{name}.role` = {parameter.role!r} is no role of kind {kind}"
        elif isinstance(parameter, PositionParameter) and isinstance(role, StageRole):
            yield from _within(name, "bounds_um", parameter.bounds_um, role.limits_um, "um")
            yield from _start(name, "start_um", parameter.start_um, parameter.bounds_um)
        elif isinstance(parameter, LightParameter) and isinstance(role, LightRole):
            unit = role.channel.rsplit("_", 1)[-1]
            yield from _within(name, "bounds", parameter.bounds, role.limits, unit)
            yield from _start(name, "start", parameter.start, parameter.bounds)
        elif isinstance(parameter, PatternParameter):
            yield from _start(name, "start_rad", parameter.start_rad, parameter.bounds_rad)


def _within(
    name: str, key: str, bounds: tuple[float, float], limits: tuple[float, float], unit: str
) -> Iterator[str]:
    if bounds[0] < limits[0] or bounds[1] > limits[1]:
        yield (
            f"`design.{name}.{key}` = {list(bounds)} goes beyond the limits of its device, "
            f"{limits[0]:g} to {limits[1]:g} {unit}; narrow the bounds"
        )


def _start(name: str, key: str, start: float | None, bounds: tuple[float, float]) -> Iterator[str]:
    if start is not None and not bounds[0] <= start <= bounds[1]:
        yield f"`design.{name}.{key}` = {start:g} is outside its own bounds {list(bounds)}"


def _search(config: Config) -> Iterator[str]:
    for name in config.search.steps:
        if name not in config.design:
            yield f"`search.steps.{name}` is no parameter; {_suggest(name, config.design, '')}"


def _suggest(name: str, known: object, otherwise: str) -> str:
    names = list(known)  # type: ignore[call-overload]
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(names)}" if names else otherwise
