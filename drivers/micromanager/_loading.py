"""A core from a list of devices instead of a `.cfg`: loaded in order, set up, initialised, set.

Order as Micro-Manager's own configurations have it: all devices are loaded, what must be known
before initialisation is set, all are initialised, the other properties follow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from drivers.errors import ConnectionLost, DeviceError
from drivers.micromanager._core import DEFAULT_TIMEOUT_S, MicroManager
from drivers.micromanager._settings import (
    PropertyValue,
    check_properties,
    property_facts,
    set_properties,
    verify_properties,
)

ResultT = TypeVar("ResultT")
LOAD_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceEntry:
    """A device to be loaded.

    Parameters
    ----------
    adapter
        Library of the device adapter, `DemoCamera` say.
    name
        Of the device in that library.
    properties
        Property to value; those that must be set before initialisation are.
    hub
        Label of the device it hangs on, loaded earlier, or None.
    """

    adapter: str
    name: str
    properties: Mapping[str, PropertyValue] = field(default_factory=dict[str, PropertyValue])
    hub: str | None = None


def load_devices(
    devices: Mapping[str, DeviceEntry],
    *,
    adapter_paths: Sequence[Path] = (),
    timeout_s: float = DEFAULT_TIMEOUT_S,
    load_timeout_s: float = LOAD_TIMEOUT_S,
) -> MicroManager:
    """Load devices into a new core, in their order.

    Parameters
    ----------
    devices
        Label to what it is.
    adapter_paths
        Folders of device adapters; by default what pymmcore-plus finds.
    timeout_s, load_timeout_s
        Longest wait for any later call, and for loading or initialising one device.

    Raises
    ------
    ConnectionLost
        A device cannot be loaded, set up or initialised; names it, and what there is instead.
    """
    from pymmcore_plus import CMMCorePlus

    core = CMMCorePlus(adapter_paths=[str(path) for path in adapter_paths])
    manager = MicroManager(core, timeout_s=timeout_s)
    try:
        _load_all(manager, devices, load_timeout_s)
    except BaseException:
        manager.close()
        raise
    return manager


def _load_all(
    manager: MicroManager, devices: Mapping[str, DeviceEntry], load_timeout_s: float
) -> None:
    core = manager.core
    for label, entry in devices.items():
        what = f"{label}: load {entry.name} of {entry.adapter}"
        try:
            manager.call(
                what,
                lambda label=label, entry=entry: core.loadDevice(label, entry.adapter, entry.name),
                timeout_s=load_timeout_s,
            )
        except DeviceError as error:
            raise ConnectionLost(f"{error}; {_there_is(manager, entry.adapter)}") from error
    early = {label: _set_early(manager, label, entry) for label, entry in devices.items()}
    for label, entry in devices.items():
        _or_lost(
            lambda label=label: manager.call(
                f"{label}: initialise",
                lambda: core.initializeDevice(label),
                timeout_s=load_timeout_s,
            ),
        )
        late = {name: v for name, v in entry.properties.items() if name not in early[label]}
        _or_lost(lambda label=label, late=late: check_properties(manager, label, late))
    for label, entry in devices.items():
        _or_lost(lambda label=label, entry=entry: _set_late(manager, label, entry.properties))


def _set_early(manager: MicroManager, label: str, entry: DeviceEntry) -> set[str]:
    """Set what must be known before initialisation; return the names of these properties."""
    names = manager.property_names(label)
    early = {
        name: value
        for name, value in entry.properties.items()
        if name in names and property_facts(manager, label, name).is_pre_init
    }

    def put() -> None:
        core = manager.core
        if entry.hub is not None:
            core.setParentLabel(label, entry.hub)
        for name, value in early.items():
            core.setProperty(label, name, str(value))

    def set_up() -> None:
        check_properties(manager, label, early, is_initialised=False)
        manager.call(f"{label}: set up", put)

    _or_lost(set_up)
    return set(early)


def _set_late(manager: MicroManager, label: str, properties: Mapping[str, PropertyValue]) -> None:
    """Set the others (those set early say already what they should), and read all back."""
    set_properties(manager, label, properties)
    verify_properties(manager, label, properties)


def _or_lost(act: Callable[[], ResultT]) -> ResultT:
    """Return what `act` returns; a device that something is wrong with is not there."""
    try:
        return act()
    except DeviceError as error:
        raise ConnectionLost(" ".join(str(error).split())) from error


def _there_is(manager: MicroManager, adapter: str) -> str:
    """Say what could be loaded instead."""
    adapters = manager.call("device adapters", manager.core.getDeviceAdapterNames)
    if adapter in adapters:
        known = manager.call(
            f"devices of {adapter}", lambda: manager.core.getAvailableDevices(adapter)
        )
        return f"{adapter} has {', '.join(known)}"
    folders = ", ".join(manager.core.getDeviceAdapterSearchPaths()) or "an empty search path"
    return (
        f"in {folders} there is {', '.join(sorted(adapters)) or 'no adapter'} "
        "(set bench.micromanager.adapters to your Micro-Manager folder)"
    )
