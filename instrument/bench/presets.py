"""Presets of config groups on the bench: no preset goes where the limits of a role forbid it.

A preset sets whatever the `.cfg` says, lamps and stages included. So every line of it is held
against the roles of the bench before the first device is set.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from drivers import Device, LimitViolation
from instrument.bench.emitters import make_dark
from instrument.bench.opening import all_or_every_failure
from instrument.config import (
    CameraRole,
    Config,
    EmitterRole,
    LightRole,
    ListedDevice,
    ListedMicroManager,
    LoadedMicroManager,
    PropertyRole,
    Role,
    RotationRole,
    SelectorRole,
    ShutterRole,
    StageRole,
)

if TYPE_CHECKING:
    from drivers.micromanager import MicroManager, MicroManagerPresets, PresetSetting


def set_presets(config: Config, manager: MicroManager, emitters: Mapping[str, Device]) -> None:
    """Bring the config groups of the bench file to their presets; lamps stay dark.

    Parameters
    ----------
    config
        The whole bench file.
    manager
        With the `.cfg` loaded.
    emitters
        Lamps and shutters of the core by role, dark; they are made dark again afterwards.

    Raises
    ------
    ConnectError
        A group or preset that is not there, or one that goes where a role forbids it (nothing has
        been set), or one that its devices did not follow.
    UnsafeBench
        A lamp could not be made dark again.
    """
    from drivers.micromanager import apply_preset, preset_settings

    block = config.bench.micromanager
    presets = block.presets if isinstance(block, LoadedMicroManager) else {}
    if not presets:
        return

    def check(group: str, preset: str) -> None:
        _refuse(preset, _forbidden(config, preset_settings(manager, group, preset)))

    key = "bench.micromanager.presets"
    all_or_every_failure({
        f"{key}.{group}": lambda g=group, p=preset: check(g, p) for group, preset in presets.items()
    })
    try:
        all_or_every_failure({
            f"{key}.{group}": lambda g=group, p=preset: apply_preset(manager, g, p)
            for group, preset in presets.items()
        })
    finally:
        make_dark(emitters)


def check_listed_devices(config: Config) -> None:
    """Hold the properties of `micromanager.devices` against the roles, before anything is loaded.

    Raises
    ------
    ConnectError
        A property would light a lamp, or leave the limits of a role.
    """
    from drivers.micromanager import PresetSetting

    block = config.bench.micromanager
    devices = block.devices if isinstance(block, ListedMicroManager) else {}

    def check(label: str, device: ListedDevice) -> None:
        lines = [PresetSetting(label, name, str(v)) for name, v in device.properties.items()]
        reasons = list(_forbidden(config, lines))
        if reasons:
            raise LimitViolation(f"{'; '.join(reasons)}; take it out")

    all_or_every_failure({
        f"bench.micromanager.devices.{label}": lambda n=label, d=device: check(n, d)
        for label, device in devices.items()
    })


def check_group_role(config: Config, presets: MicroManagerPresets) -> None:
    """Raise `LimitViolation` where a preset that a design may choose is not a design's to set.

    On top of the limits of the roles, it must leave the camera alone, whose noise the scores stand
    on, and what another role drives.
    """
    for preset, settings in presets.settings.items():
        _refuse(preset, [*_forbidden(config, settings), *_another_roles(config, settings)])


def _refuse(preset: str, found: Iterable[str]) -> None:
    reasons = list(found)
    if reasons:
        raise LimitViolation(f"preset {preset}: {'; '.join(reasons)}; correct it in the .cfg")


def _forbidden(config: Config, settings: Iterable[PresetSetting]) -> Iterator[str]:
    """Say which lines would light a lamp, or leave the limits of a role."""
    has_emitters = any(
        isinstance(role, EmitterRole) and config.bench.block_of(role) == "micromanager"
        for role in config.bench.roles.values()
    )
    for line in settings:
        if has_emitters and (line.device, line.property) == ("Core", "AutoShutter"):
            if line.value != "0":
                yield f"{line}: shutters open by their role only"
            continue
        for name, role in config.bench.roles.items():
            if role.device != line.device or config.bench.block_of(role) != "micromanager":
                continue
            if line.property in _lit_by(role):
                yield f"{line}: role {name} switches this light, and nobody else"
            limits = _limits(role, line.property)
            if limits is not None and not _is_within(line.value, limits):
                yield f"{line}: role {name} allows {limits[0]:g} to {limits[1]:g}"


def _another_roles(config: Config, settings: Iterable[PresetSetting]) -> Iterator[str]:
    for line in settings:
        for name, role in config.bench.roles.items():
            if role.device != line.device or (isinstance(role, SelectorRole) and role.group):
                continue
            if isinstance(role, CameraRole):
                yield f"{line}: a setting of the camera (role {name}) is part of its noise"
            elif not isinstance(role, PropertyRole) or role.property == line.property:
                yield f"{line}: role {name} drives this device"


def _lit_by(role: Role) -> tuple[str, ...]:
    """Properties by which a role switches light."""
    match role:
        case LightRole(property=str(level), switch=switch):
            return (level,) if switch is None else (level, switch.property)
        case ShutterRole():
            return ("State", "Label")
    return ()


def _limits(role: Role, name: str) -> tuple[float, float] | None:
    match role:
        case StageRole(limits_um=limits) | RotationRole(limits_deg=limits) if name == "Position":
            return limits
        case PropertyRole(property=own, limits=limits) if name == own:
            return limits
    return None


def _is_within(text: str, limits: tuple[float, float]) -> bool:
    try:
        return limits[0] <= float(text) <= limits[1]
    except ValueError:
        return False
