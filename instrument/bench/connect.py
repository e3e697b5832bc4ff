"""From a bench file to a connected bench: lights first, and dark, before anything else is touched.

After a kill -9 nobody knows what the last process left on. So the VISA instruments are opened and
made safe before the Micro-Manager core is even loaded. Independent failures are all reported.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from drivers import Actuator, Device, DeviceError, LimitViolation
from drivers.visa import VisaInstrument, VisaLight, VisaMeter, load_declaration
from instrument.bench.bench import Bench
from instrument.bench.guardian import GuardedLight, Guardian
from instrument.bench.interlocks import Interlock, PositionReading, Reading
from instrument.bench.safety import UnsafeBench, make_all_safe
from instrument.bench.slew import unit_of
from instrument.config import (
    CameraRole,
    Config,
    InterlockConfig,
    LightRole,
    LoadedMicroManager,
    PropertyRole,
    Role,
    RotationRole,
    SelectorRole,
    SlmRole,
    StageRole,
    VirtualMicroManager,
    VisaConfig,
    XYStageRole,
)
from instrument.design import DesignError

if TYPE_CHECKING:
    from drivers.micromanager import MicroManager
    from drivers.virtual.bench import VirtualBench


ActuatorT = TypeVar("ActuatorT", bound=Actuator[float])
SILENCE_S = 15.0
"""Beyond the watchdog's patience: after that this process is beyond help."""

BETWEEN = 1 / 3**0.5
"""Share of a range that no device counts in."""


class ConnectError(DeviceError):
    """The bench could not be connected; holds every failure, not only the first."""

    def __init__(self, failures: Sequence[str]):
        super().__init__("\n".join(failures))
        self.failures = tuple(failures)


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
        guardian = _start_guardian(config, undo)  # ends after the instruments are closed
        instruments = _open_instruments(config, virtual, undo)
        lights = _open_lights(config, instruments)
        manager = _open_micromanager(config, virtual, undo)
        devices = {**_open_roles(config, manager), **lights}
        interlocks = _open_interlocks(config, instruments, manager, devices)
        return _build(config, devices, interlocks, virtual, guardian, undo)


def _build(
    config: Config,
    devices: dict[str, Device],
    interlocks: Sequence[Interlock],
    virtual: VirtualBench | None,
    guardian: Guardian | None,
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
            guardian=guardian,
        )
    except DesignError as error:
        raise ConnectError([f"`design`: {error}"]) from error
    except LimitViolation as error:
        raise ConnectError([f"`bench.roles`: {error}"]) from error
    check_reachable(bench)
    kept.enter_context(undo.pop_all())
    return bench


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
            bench.check_values(space.from_unit(np.full(space.dimension, share)), space=space)
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

    return _all_or_every_failure({
        f"bench.visa.{name}": lambda n=name, v=v: open_one(n, v)
        for name, v in config.bench.visa.items()
    })


def _open_lights(config: Config, instruments: dict[str, VisaInstrument]) -> dict[str, Device]:
    def open_one(role: LightRole) -> VisaLight:
        return VisaLight(
            instruments[role.device],
            level=role.channel,
            output=role.output,
            limits=role.limits,
            safe=role.safe,
        )

    lights: dict[str, Device] = _all_or_every_failure({
        f"bench.roles.{name}": lambda r=role: open_one(r)
        for name, role in config.bench.roles.items()
        if isinstance(role, LightRole)
    })
    unsafe = make_all_safe(list(lights.items()))
    if unsafe:
        raise UnsafeBench(unsafe)
    return lights


def _open_micromanager(
    config: Config, virtual: VirtualBench | None, undo: ExitStack
) -> MicroManager:
    from drivers.micromanager import MicroManager

    block = config.bench.micromanager
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


def _open_roles(config: Config, manager: MicroManager) -> dict[str, Device]:
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
                return MicroManagerSLM(manager, role.device)
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

    return _all_or_every_failure({
        f"bench.roles.{name}": lambda r=role: open_one(r)
        for name, role in config.bench.roles.items()
        if not isinstance(role, LightRole)
    })


def _start_guardian(config: Config, undo: ExitStack) -> Guardian | None:
    """Start the process that switches lights off if this one dies; none for virtual ones."""
    lights = []
    for name, role in config.bench.roles.items():
        visa = config.bench.visa.get(role.device)
        if not isinstance(role, LightRole) or visa is None or visa.address == "virtual":
            continue
        lights.append(
            GuardedLight(
                name=name,
                declaration=visa.declaration,
                address=visa.address,
                backend=visa.backend,
                channel=role.channel,
                output=role.output,
                limits=role.limits,
                safe=role.safe,
            )
        )
    if not lights or not config.safety.guardian:
        return None
    guardian = Guardian(lights, silence_s=config.safety.watchdog_s + SILENCE_S)
    undo.callback(guardian.close)
    return guardian


def _open_interlocks(
    config: Config,
    instruments: dict[str, VisaInstrument],
    manager: MicroManager,
    devices: dict[str, Device],
) -> list[Interlock]:
    from drivers.micromanager import MicroManagerMeter

    def meter(entry: InterlockConfig) -> Reading:
        if entry.channel is not None:
            name, channel = entry.channel.split(".")
            return VisaMeter(instruments[name], channel=channel)
        name, part = entry.role_and_part
        role = config.bench.roles[name]
        if part and not isinstance(role, XYStageRole):
            return MicroManagerMeter(manager, role.device, part, unit=entry.unit)
        return PositionReading(cast("Actuator[Any]", devices[name]), part, unit_of(role))

    def open_one(entry: InterlockConfig) -> Interlock:
        name, part = entry.role_and_part
        reading = meter(entry)
        is_position = isinstance(reading, PositionReading)
        return Interlock(
            name=entry.name,
            meter=reading,
            below=entry.below,
            above=entry.above,
            hysteresis=entry.hysteresis,
            action=entry.action,
            longest_pause_s=entry.longest_pause_s,
            role=name if is_position else None,
            axis=part if is_position else "",
            is_behind_core=entry.channel is None,
        )

    opened = _all_or_every_failure({
        f"bench.interlocks.{index}": lambda e=entry: open_one(e)
        for index, entry in enumerate(config.bench.interlocks)
    })
    return list(opened.values())


def _within_limits(device: ActuatorT, limits: tuple[float, float], key: str) -> ActuatorT:
    """Return the device; raise where soft limits are wider than its own."""
    try:
        for limit in limits:
            device.check(limit)
    except LimitViolation as error:
        raise LimitViolation(f"{key} {list(limits)}: {error}; narrow them") from error
    return device


def _all_or_every_failure(openers: dict[str, Callable[[], Any]]) -> dict[str, Any]:
    """Run every opener; return results by the last part of their key, or raise all failures."""
    opened: dict[str, Any] = {}
    failures: list[str] = []
    for key, opener in openers.items():
        try:
            opened[key.rsplit(".", 1)[-1]] = opener()
        except DeviceError as error:
            failures.append(f"`{key}`: {error}")
    if failures:
        raise ConnectError(failures)
    return opened
