"""The Micro-Manager core of a bench, and the devices of it that let no light out."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from drivers import Device, DeviceError
from drivers.events import EventSource
from instrument.bench.opening import ConnectError, all_or_every_failure, within_limits
from instrument.bench.presets import check_group_role, check_listed_devices
from instrument.config import (
    CameraRole,
    Config,
    EmitterRole,
    ListedMicroManager,
    LoadedMicroManager,
    PropertyRole,
    Role,
    RotationRole,
    SelectorRole,
    SlmRole,
    StageRole,
    VirtualMicroManager,
)

if TYPE_CHECKING:
    from drivers.micromanager import MicroManager
    from drivers.virtual.bench import VirtualBench


def open_virtual(config: Config, undo: ExitStack) -> VirtualBench | None:
    """Build the virtual bench of the file, if it names one; `undo` closes it."""
    block = config.bench.micromanager
    if not isinstance(block, VirtualMicroManager):
        return None
    from drivers.virtual.bench import VirtualBench

    seed = config.search.seed if block.seed is None else block.seed
    options = block.model_copy(update={"seed": seed})
    virtual = VirtualBench(options)  # pyright: ignore[reportArgumentType] - one of VIRTUAL_BENCHES
    undo.callback(virtual.close)
    return virtual


def open_micromanager(
    config: Config, virtual: VirtualBench | None, undo: ExitStack
) -> MicroManager | None:
    """Load the core's devices, or return None for a bench without Micro-Manager.

    Raises
    ------
    ConnectError
        They could not be loaded, or a listed property goes where a role forbids it.
    """
    block = config.bench.micromanager
    if block is None:
        return None
    from drivers.micromanager import MicroManager

    check_listed_devices(config)
    key = "devices" if isinstance(block, ListedMicroManager) else "config"
    try:
        if isinstance(block, LoadedMicroManager):
            adapters = [block.adapters] if block.adapters else []
            manager = MicroManager.from_config(block.config, adapter_paths=adapters)
        elif isinstance(block, ListedMicroManager):
            manager = _load_listed(block)
        else:
            assert virtual is not None  # noqa: S101 - that kind of block opened it
            manager = MicroManager(virtual.core)
    except DeviceError as error:
        one_line = " ".join(str(error).split())
        raise ConnectError([f"`bench.micromanager.{key}`: {one_line}"]) from error
    undo.callback(manager.close)
    return manager


def _load_listed(block: ListedMicroManager) -> MicroManager:
    from drivers.micromanager import DeviceEntry, load_devices

    entries = {
        label: DeviceEntry(
            adapter=device.adapter,
            name=device.name,
            properties=device.properties,
            hub=device.hub,
        )
        for label, device in block.devices.items()
    }
    return load_devices(entries, adapter_paths=[block.adapters] if block.adapters else [])


def listen(manager: MicroManager | None, undo: ExitStack) -> EventSource | None:
    """Return what the core tells by itself from now on; `undo` ends it."""
    if manager is None:
        return None
    from drivers.micromanager import MicroManagerEvents

    events = MicroManagerEvents(manager)
    undo.callback(events.close)
    return events


def open_core_roles(config: Config, manager: MicroManager) -> dict[str, Device]:
    """Open the core's devices that have a role, but what lets light out.

    Raises
    ------
    ConnectError
        One line a device that could not be opened or does not fit its role.
    """
    from drivers.micromanager import (
        CameraSettings,
        MicroManagerCamera,
        MicroManagerPresets,
        MicroManagerProperty,
        MicroManagerRotation,
        MicroManagerSelector,
        MicroManagerSLM,
        MicroManagerStage,
        MicroManagerXYStage,
    )

    def open_one(role: Role) -> Device:
        match role:
            case CameraRole():
                settings = CameraSettings(
                    roi=role.roi,
                    binning=role.binning,
                    pixel_type=role.pixel_type,
                    properties=role.properties,
                    temperature=role.temperature,
                    sequence_buffer_mb=role.sequence_buffer_mb,
                )
                return MicroManagerCamera(manager, role.device, settings=settings)
            case SlmRole():
                return MicroManagerSLM(
                    manager,
                    role.device,
                    display_ms=role.display_ms,
                    shows_on_load=role.shows_on_load,
                    flat_level=role.off_value,
                )
            case SelectorRole(group=str(group)):
                presets = MicroManagerPresets(manager, group)
                check_group_role(config, presets)
                return presets
            case SelectorRole():
                return MicroManagerSelector(manager, role.device)
            case StageRole(limits_um=limits):
                stage = MicroManagerStage(manager, role.device)
                return within_limits(stage, limits, "limits_um")
            case RotationRole(limits_deg=limits):
                rotation = MicroManagerRotation(manager, role.device)
                return within_limits(rotation, limits, "limits_deg")
            case PropertyRole(limits=limits):
                number = MicroManagerProperty(manager, role.device, role.property)
                return within_limits(number, limits, "limits")
            case _:
                return MicroManagerXYStage(manager, role.device)

    return all_or_every_failure({
        f"bench.roles.{name}": lambda r=role: open_one(r)
        for name, role in config.bench.roles.items()
        if config.bench.block_of(role) == "micromanager" and not isinstance(role, EmitterRole)
    })
