"""The Micro-Manager core of a bench, and the devices of it that let no light out."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from drivers import Device, DeviceError
from instrument.bench.opening import ConnectError, all_or_every_failure, within_limits
from instrument.config import (
    CameraRole,
    Config,
    LightRole,
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
        They could not be loaded.
    """
    block = config.bench.micromanager
    if block is None:
        return None
    from drivers.micromanager import MicroManager

    if isinstance(block, LoadedMicroManager):
        adapters = [block.adapters] if block.adapters else []
        try:
            manager = MicroManager.from_config(block.config, adapter_paths=adapters)
        except DeviceError as error:
            one_line = " ".join(str(error).split())
            raise ConnectError([f"`bench.micromanager.config`: {one_line}"]) from error
    else:
        assert virtual is not None  # noqa: S101 - the other kind of block opened it
        manager = MicroManager(virtual.core)
    undo.callback(manager.close)
    return manager


def open_core_roles(config: Config, manager: MicroManager) -> dict[str, Device]:
    """Open the core's devices that have a role, but its lights.

    Raises
    ------
    ConnectError
        One line a device that could not be opened or does not fit its role.
    """
    from drivers.micromanager import (
        MicroManagerCamera,
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
                return MicroManagerCamera(manager, role.device)
            case SlmRole():
                return MicroManagerSLM(
                    manager,
                    role.device,
                    display_ms=role.display_ms,
                    shows_on_load=role.shows_on_load,
                    flat_level=role.off_value,
                )
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
        if config.bench.block_of(role) == "micromanager" and not isinstance(role, LightRole)
    })
