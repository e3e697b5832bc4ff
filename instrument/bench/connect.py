"""From a bench file to a connected bench: lights first, and dark, before anything else is touched.

After a kill -9 nobody knows what the last process left on. So the VISA instruments are opened and
made safe before the Micro-Manager core is even loaded. Independent failures are all reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from drivers import Actuator, Device, DeviceError, LimitViolation
from drivers.events import EventSource
from drivers.visa import VisaInstrument, VisaLight, VisaMeter, load_declaration
from instrument.bench.bench import Bench
from instrument.bench.emitters import open_emitters
from instrument.bench.opening import ConnectError, all_or_every_failure
from instrument.bench.presets import check_group_role, check_listed_devices, set_presets
from instrument.bench.safety import Interlock, UnsafeBench, make_all_safe
from instrument.config import (
    CameraRole,
    Config,
    EmitterRole,
    InterlockConfig,
    LightRole,
    ListedMicroManager,
    LoadedMicroManager,
    PropertyRole,
    Role,
    RotationRole,
    SelectorRole,
    SlmRole,
    StageRole,
    VirtualMicroManager,
    VisaConfig,
)
from instrument.design import DesignError

if TYPE_CHECKING:
    from drivers.micromanager import MicroManager
    from drivers.virtual.bench import VirtualBench


ActuatorT = TypeVar("ActuatorT", bound=Actuator[float])
BETWEEN = 1 / 3**0.5
"""Share of a range that no device counts in."""


def connect(config: Config) -> Bench:
    """Open every device, lights first and dark, and check what each role needs of it.

    Raises
    ------
    ConnectError
        One line a device that could not be opened or does not fit its role. Everything that was
        opened is safe and closed again.
    UnsafeBench
        A light could not be switched off.
    """
    with ExitStack() as undo:
        virtual = _open_virtual(config, undo)
        instruments = _open_instruments(config, virtual, undo)
        lights = _open_lights(config, instruments)
        interlocks = [_interlock(entry, instruments) for entry in config.bench.interlocks]
        manager = _open_micromanager(config, virtual, undo)
        emitters = open_emitters(config, manager)
        set_presets(config, manager, emitters)
        devices = {**_open_roles(config, manager), **lights, **emitters}
        return _build(config, devices, interlocks, virtual, _listen(manager, undo), undo)


def _build(
    config: Config,
    devices: dict[str, Device],
    interlocks: Sequence[Interlock],
    virtual: VirtualBench | None,
    events: EventSource,
    undo: ExitStack,
) -> Bench:
    """Put the bench together, and see that its devices can do what the design may ask of them."""
    kept = ExitStack()  # empty until all is well: before, `undo` closes what was opened
    try:
        bench = Bench(
            config,
            {role: devices[role] for role in config.bench.roles},
            interlocks=interlocks,
            closers=[kept.close],
            truth=virtual.truth if virtual else None,
            events=events,
        )
    except DesignError as error:
        raise ConnectError([f"`design`: {error}"]) from error
    check_reachable(bench)
    kept.enter_context(undo.pop_all())
    return bench


def _listen(manager: MicroManager, undo: ExitStack) -> EventSource:
    from drivers.micromanager import MicroManagerEvents

    events = MicroManagerEvents(manager)
    undo.callback(events.close)
    return events


def check_reachable(bench: Bench) -> None:
    """Check that the devices take both bounds of every parameter, and a value between them.

    A property may take a few values only, the bounds among them: better said now than in the
    middle of a run.

    Raises
    ------
    ConnectError
        With what a device refused. Nothing has moved.
    """
    try:
        space = bench.space()
        for share in (0.0, 1.0, BETWEEN):
            bench.check(space.from_unit(np.full(space.dimension, share)), space=space)
    except (DesignError, LimitViolation) as error:
        raise ConnectError([f"`design`: {error}"]) from error


def _open_virtual(config: Config, undo: ExitStack) -> VirtualBench | None:
    block = config.bench.micromanager
    if not isinstance(block, VirtualMicroManager):
        return None
    from drivers.virtual.bench import VirtualBench

    seed = config.search.seed if block.seed is None else block.seed
    options = block.model_copy(update={"seed": seed})
    virtual = VirtualBench(options)  # pyright: ignore[reportArgumentType] - one of VIRTUAL_BENCHES
    undo.callback(virtual.close)
    return virtual


def _open_instruments(
    config: Config, virtual: VirtualBench | None, undo: ExitStack
) -> dict[str, VisaInstrument]:
    def open_one(name: str, visa: VisaConfig) -> VisaInstrument:
        address = visa.address
        if address == "virtual" and virtual is not None:
            address = virtual.address(name)
        declaration = load_declaration(Path(visa.declaration))
        instrument = VisaInstrument.open(declaration, address, name=name, backend=visa.backend)
        undo.callback(instrument.close)
        return instrument

    return all_or_every_failure({
        f"bench.visa.{name}": lambda n=name, v=v: open_one(n, v)
        for name, v in config.bench.visa.items()
    })


def _open_lights(config: Config, instruments: dict[str, VisaInstrument]) -> dict[str, Device]:
    def open_one(role: LightRole) -> VisaLight:
        return VisaLight(
            instruments[role.device],
            level=role.quantity(),
            output=role.output,
            limits=role.limits,
            safe=role.safe,
        )

    lights: dict[str, Device] = all_or_every_failure({
        f"bench.roles.{name}": lambda r=role: open_one(r)
        for name, role in config.bench.roles.items()
        if isinstance(role, LightRole) and role.channel is not None
    })
    unsafe = make_all_safe(list(lights.items()))
    if unsafe:
        raise UnsafeBench(unsafe)
    return lights


def _interlock(entry: InterlockConfig, instruments: dict[str, VisaInstrument]) -> Interlock:
    name, channel = entry.channel.split(".")
    return Interlock(
        channel=entry.channel,
        meter=VisaMeter(instruments[name], channel=channel),
        below=entry.below,
        above=entry.above,
        action=entry.action,
        longest_pause_s=entry.longest_pause_s,
    )


def _open_micromanager(
    config: Config, virtual: VirtualBench | None, undo: ExitStack
) -> MicroManager:
    from drivers.micromanager import DeviceEntry, MicroManager, load_devices

    block = config.bench.micromanager
    try:
        if isinstance(block, LoadedMicroManager):
            adapters = [block.adapters] if block.adapters else []
            manager = MicroManager.from_config(block.config, adapter_paths=adapters)
        elif isinstance(block, ListedMicroManager):
            adapters = [block.adapters] if block.adapters else []
            entries = {
                label: DeviceEntry(
                    adapter=device.adapter,
                    name=device.name,
                    properties=device.properties,
                    hub=device.hub,
                )
                for label, device in block.devices.items()
            }
            check_listed_devices(config)
            manager = load_devices(entries, adapter_paths=adapters)
        else:
            assert virtual is not None  # noqa: S101 - that kind of block opened it
            manager = MicroManager(virtual.core)
    except ConnectError:
        raise
    except DeviceError as error:
        key = "devices" if isinstance(block, ListedMicroManager) else "config"
        one_line = " ".join(str(error).split())
        raise ConnectError([f"`bench.micromanager.{key}`: {one_line}"]) from error
    undo.callback(manager.close)
    return manager


def _open_roles(config: Config, manager: MicroManager) -> dict[str, Device]:
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
                return MicroManagerSLM(manager, role.device)
            case SelectorRole(group=str(group)):
                presets = MicroManagerPresets(manager, group)
                check_group_role(config, presets)
                return presets
            case SelectorRole():
                return MicroManagerSelector(manager, role.device)
            case StageRole(limits_um=limits):
                stage = MicroManagerStage(manager, role.device)
                return _within_limits(stage, limits, "limits_um")
            case RotationRole(limits_deg=limits):
                rotation = MicroManagerRotation(manager, role.device)
                return _within_limits(rotation, limits, "limits_deg")
            case PropertyRole(limits=limits):
                number = MicroManagerProperty(manager, role.device, role.property)
                return _within_limits(number, limits, "limits")
            case _:
                return MicroManagerXYStage(manager, role.device)

    return all_or_every_failure({
        f"bench.roles.{name}": lambda r=role: open_one(r)
        for name, role in config.bench.roles.items()
        if not isinstance(role, EmitterRole)
    })


def _within_limits(device: ActuatorT, limits: tuple[float, float], key: str) -> ActuatorT:
    """Return the device; raise where soft limits are wider than its own."""
    try:
        for limit in limits:
            device.check(limit)
    except LimitViolation as error:
        raise LimitViolation(f"{key} {list(limits)}: {error}; narrow them") from error
    return device
