"""Checks of a bench file that need more than one section; every one before anything is touched."""

from __future__ import annotations

from collections.abc import Iterator

from instrument.config._batch import problems_of_batch
from instrument.config._bench import VirtualMicroManager
from instrument.config._beside_core import problems_beside_core
from instrument.config._blocks import problems_of_blocks
from instrument.config._drift import problems_of_drift
from instrument.config._interlock_checks import interlock_problems, suggest
from instrument.config._model import Config
from instrument.config._modulator import SlmRole
from instrument.config._noise import NoiseCalibrate, NoiseFile
from instrument.config._parameters import (
    AngleParameter,
    ChoiceParameter,
    ExposureParameter,
    LightParameter,
    ParameterConfig,
    PositionParameter,
    PropertyParameter,
)
from instrument.config._patterns import (
    DiscParameter,
    FourierParameter,
    HadamardParameter,
    PatternParameter,
    RawParameter,
    SuperpixelParameter,
    ZernikeParameter,
)
from instrument.config._roles import (
    CameraRole,
    LightRole,
    PropertyRole,
    Role,
    RotationRole,
    SelectorRole,
    StageRole,
    XYStageRole,
    scored_camera,
)
from instrument.config._trigger import problems_of_triggers
from instrument.grid import extent_um, grid_positions

_ROLE_OF = {
    ZernikeParameter: (SlmRole, "slm"),
    SuperpixelParameter: (SlmRole, "slm"),
    DiscParameter: (SlmRole, "slm"),
    RawParameter: (SlmRole, "slm"),
    FourierParameter: (SlmRole, "slm"),
    HadamardParameter: (SlmRole, "slm"),
    PositionParameter: (StageRole, "stage"),
    AngleParameter: (RotationRole, "rotation"),
    ChoiceParameter: (SelectorRole, "selector"),
    PropertyParameter: (PropertyRole, "property"),
    ExposureParameter: (CameraRole, "camera"),
    LightParameter: (LightRole, "light"),
}

WHERE_A_DEVICE_IS = ("Position", "State", "Label")
"""Properties by which Micro-Manager moves a stage or a state device."""


def problems_between_sections(config: Config) -> list[str]:
    """One sentence a problem; empty when the file is consistent."""
    return [
        *_roles(config),
        *_one_role_a_device(config),
        *_visa(config),
        *_one_name_an_address(config),
        *interlock_problems(config),
        *problems_of_blocks(config),
        *problems_beside_core(config),
        *_objects(config),
        *_design(config),
        *_exposure(config),
        *problems_of_triggers(config),
        *_search(config),
        *problems_of_batch(config),
        *problems_of_drift(config),
    ]


def _roles(config: Config) -> Iterator[str]:
    cameras = {n: r for n, r in config.bench.roles.items() if isinstance(r, CameraRole)}
    if not cameras:
        yield (
            "`bench.roles` has 0 cameras; a role of kind camera is needed, "
            "e.g. camera: {device: Camera, exposure_ms: 10}"
        )
    elif scored_camera(config.bench.roles) is None:
        yield (
            f"`bench.roles` has the cameras {', '.join(cameras)}, and not one of them is the one "
            "that is scored; write `scored: true` in one of these roles"
        )
    for name, role in config.bench.roles.items():
        if isinstance(role, PropertyRole) and role.device in {c.device for c in cameras.values()}:
            yield (
                f"`bench.roles.{name}.property` = {role.property!r} is a property of the camera "
                "itself, whose noise the scores stand on; only the exposure may change in a run: "
                "design: {integration: {role: camera, bounds_ms: [1, 10]}}"
            )


def _one_role_a_device(config: Config) -> Iterator[str]:
    """Two roles of one device could go where the limits of one forbid it."""
    first_of: dict[tuple[str, ...], str] = {}
    for name, role in config.bench.roles.items():
        block = config.bench.block_of(role)
        if block == "visa" and not isinstance(role, LightRole):
            continue  # one role a channel: `_visa_roles`
        for key, value, what in _claims(role, block):
            earlier = first_of.setdefault(what, name)
            if earlier != name:
                yield (
                    f"`bench.roles.{name}.{key}` = {value!r} is already the role "
                    f"{earlier!r}, whose limits would not hold here; one role a device"
                )
                break


def _claims(role: Role, block: str) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Key, value and what of the hardware no other role may have."""
    device = (block, role.device)
    if block == "drivers":
        yield "device", role.device, device
        return
    match role:
        case LightRole(channel=str(channel)):
            yield "channel", channel, (*device, channel)
        case LightRole(property=str(level), switch=switch):
            for key, name in (("property", level), ("switch", switch.property if switch else None)):
                if name is not None:
                    yield key, name, device if name in WHERE_A_DEVICE_IS else (*device, name)
        case SelectorRole(group=str(group)):
            yield "group", group, ("config group", group)
        case PropertyRole(property=name) if name not in WHERE_A_DEVICE_IS:
            yield "property", name, (*device, name)
        case _:
            yield "device", role.device, device


def _visa(config: Config) -> Iterator[str]:
    known = config.bench.visa
    for name, role in config.bench.roles.items():
        if isinstance(role, LightRole) and role.channel is not None and role.device not in known:
            yield (
                f"`bench.roles.{name}.device` = {role.device!r} is no instrument; "
                f"{suggest(role.device, known, 'add it to bench.visa')}"
            )
    if not isinstance(config.bench.micromanager, VirtualMicroManager):
        for name, instrument in known.items():
            if instrument.address == "virtual":
                yield (
                    f"`bench.visa.{name}.address` = 'virtual' needs a virtual bench; "
                    "give the instrument's VISA resource name (`infoloop devices` lists them)"
                )


def _one_name_an_address(config: Config) -> Iterator[str]:
    """Two names of one instrument could have a role each, and the limits of one forbid nothing."""
    first_at: dict[tuple[str, str], str] = {}
    for name, instrument in config.bench.visa.items():
        if instrument.address == "virtual":
            continue
        where = (instrument.backend, instrument.address.strip().upper())
        earlier = first_at.setdefault(where, name)
        if earlier != name:
            yield (
                f"`bench.visa.{name}.address` = {instrument.address!r} is already that of "
                f"{earlier!r}; one name an instrument, whose channels may have a role each"
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
    first_of_role: dict[str, str] = {}
    for name, parameter in config.design.items():
        earlier = first_of_role.setdefault(parameter.role, name)
        if earlier != name:
            yield (
                f"`design.{name}.role` = {parameter.role!r} is already set by `design.{earlier}`; "
                "one parameter a role"
            )
        wanted, kind = _ROLE_OF[type(parameter)]
        role = config.bench.roles.get(parameter.role)
        if not isinstance(role, wanted):
            yield f"`design.{name}.role` = {parameter.role!r} is no role of kind {kind}"
        else:
            yield from _bounds(name, parameter, role)


def _bounds(name: str, parameter: ParameterConfig, role: object) -> Iterator[str]:
    """Bounds within the role's limits, the start within the bounds."""
    match parameter, role:
        case PositionParameter(bounds_um=bounds, start_um=start), StageRole(limits_um=limits):
            yield from _within(name, "bounds_um", bounds, limits, "um")
            yield from _start(name, "start_um", start, bounds)
        case AngleParameter(bounds_deg=bounds, start_deg=start), RotationRole(limits_deg=limits):
            yield from _within(name, "bounds_deg", bounds, limits, "deg")
            yield from _start(name, "start_deg", start, bounds)
        case PropertyParameter(bounds=bounds, start=start), PropertyRole(limits=limits, unit=unit):
            yield from _within(name, "bounds", bounds, limits, unit)
            yield from _start(name, "start", start, bounds)
        case LightParameter(bounds=bounds, start=start), LightRole(limits=limits) as light:
            unit = light.unit if light.channel is None else light.channel.rsplit("_", 1)[-1]
            yield from _within(name, "bounds", bounds, limits, unit)
            yield from _start(name, "start", start, bounds)
        case ExposureParameter(bounds_ms=bounds, start_ms=start), _:
            yield from _start(name, "start_ms", start, bounds)
        case ZernikeParameter(bounds_rad=bounds, start_rad=start), _:
            yield from _start(name, "start_rad", start, bounds)
        case SuperpixelParameter(bounds_rad=(low, high), start_rad=start), _:
            yield from _start(name, "start_rad", start, (low, high))
        case SuperpixelParameter(bounds_grey=bounds, start_grey=start, choices=None), _:
            yield from _start(name, "start_grey", start, bounds)
        case (RawParameter() | FourierParameter() | HadamardParameter()) as pattern, _:
            yield from _start(name, f"start_{pattern.unit}", pattern.start, pattern.bounds)
    if isinstance(role, SlmRole) and isinstance(parameter, PatternParameter):
        yield from _answer(name, parameter, role)


def _answer(name: str, parameter: PatternParameter, role: SlmRole) -> Iterator[str]:
    """Let no file or value of a modulator be passed over: which patterns each is for."""
    if parameter.is_phase and role.is_binary:
        yield (
            f"`design.{name}` is a phase, and `bench.roles.{parameter.role}.on_value` makes a "
            "device that is on or off; give grey levels, or leave on_value out"
        )
    if not parameter.is_phase and role.files:
        yield (
            f"`design.{name}` is in grey levels, which {' and '.join(role.files)} of "
            f"`bench.roles.{parameter.role}` would not change; give a phase (bounds_rad), or leave "
            "them out"
        )


def _within(
    name: str, key: str, bounds: tuple[float, float], limits: tuple[float, float], unit: str
) -> Iterator[str]:
    if bounds[0] < limits[0] or bounds[1] > limits[1]:
        yield (
            f"`design.{name}.{key}` = {list(bounds)} goes beyond the limits of its device, "
            f"{limits[0]:g} to {limits[1]:g}{_after(unit)}; narrow the bounds"
        )


def _after(unit: str) -> str:
    return "" if unit == "1" else f" {unit}"


def _start(name: str, key: str, start: float | None, bounds: tuple[float, float]) -> Iterator[str]:
    if start is not None and not bounds[0] <= start <= bounds[1]:
        yield f"`design.{name}.{key}` = {start:g} is outside its own bounds {list(bounds)}"


def _exposure(config: Config) -> Iterator[str]:
    """Refuse exposures that the calibration of the noise does not cover, or not all at once."""
    for name, parameter in config.design.items():
        if not isinstance(parameter, ExposureParameter):
            continue
        scored = scored_camera(config.bench.roles)
        if scored is not None and parameter.role != scored:
            yield (
                f"`design.{name}.role` = {parameter.role!r} is not the camera that is scored, "
                f"{scored!r}; only that one's exposure may be searched"
            )
        if parameter.per_shot and isinstance(config.noise, NoiseFile | NoiseCalibrate):
            yield (
                f"`design.{name}.per_shot`: shots of different exposures have different dark "
                "signals, and a calibration is used at one exposure a measurement; leave per_shot "
                "out, or give the noise as numbers"
            )
        camera = config.bench.roles.get(parameter.role)
        if isinstance(camera, CameraRole) and isinstance(config.noise, NoiseCalibrate):
            low_ms = parameter.bounds_ms[0]
            if low_ms < camera.exposure_ms:
                yield (
                    f"`design.{name}.bounds_ms` begins at {low_ms:g} ms, the calibration at "
                    f"`bench.roles.{parameter.role}.exposure_ms` = {camera.exposure_ms:g} ms and "
                    f"knows nothing below; set exposure_ms to {low_ms:g}"
                )


def _search(config: Config) -> Iterator[str]:
    for name in config.search.steps:
        if name not in config.design:
            yield f"`search.steps.{name}` is no parameter; {suggest(name, config.design, '')}"
