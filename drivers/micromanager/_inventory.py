"""What is loaded in a Micro-Manager core: every device with its kind, its limits and its place."""

from __future__ import annotations

from dataclasses import dataclass, field

from drivers.errors import DeviceError
from drivers.micromanager._core import MicroManager
from drivers.micromanager._presets import config_groups
from drivers.micromanager._settings import PropertyFacts, property_facts

KIND_OF_TYPE = {
    "Camera": "camera",
    "SLM": "slm",
    "Stage": "stage",
    "XYStage": "xy_stage",
    "State": "selector",
    "Shutter": "shutter",
}
"""Kind of role by Micro-Manager's type of device; others have properties at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundDevice:
    """A loaded device.

    Parameters
    ----------
    label, identity
        Its label, and adapter library and name.
    type
        Micro-Manager's: `Camera`, `State`, `Hub`.
    kind
        Kind of role that it can have, or None.
    properties
        What it says of every property that can be read.
    position
        Where a stage is, um: one number or two; empty for others.
    labels
        Positions of a state device.
    """

    label: str
    identity: str
    type: str
    kind: str | None
    properties: dict[str, PropertyFacts]
    position: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """All devices of a core, its config groups, and the devices it takes by default.

    `defaults` maps a kind (`camera`, `stage`, `xy_stage`, `shutter`) to a label.
    """

    devices: tuple[FoundDevice, ...]
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    defaults: dict[str, str] = field(default_factory=dict[str, str])

    def of_kind(self, kind: str) -> list[FoundDevice]:
        """Devices of a kind, the core's own choice first."""
        found = [device for device in self.devices if device.kind == kind]
        return sorted(found, key=lambda device: device.label != self.defaults.get(kind))


def take_inventory(manager: MicroManager) -> Inventory:
    """Ask every device of a core what it is; nothing moves.

    Raises
    ------
    DeviceError
        The core does not answer; a single property that cannot be read is left out.
    """
    return Inventory(
        devices=tuple(_found(manager, label) for label in manager.labels()),
        groups=config_groups(manager),
        defaults=manager.call("devices the core takes by default", lambda: _defaults(manager)),
    )


def _defaults(manager: MicroManager) -> dict[str, str]:
    core = manager.core
    said = {
        "camera": core.getCameraDevice(),
        "stage": core.getFocusDevice(),
        "xy_stage": core.getXYStageDevice(),
        "shutter": core.getShutterDevice(),
    }
    return {kind: str(label) for kind, label in said.items() if label}


def _found(manager: MicroManager, label: str) -> FoundDevice:
    core = manager.core
    kind_of_device, identity = manager.call(
        f"{label}: what it is",
        lambda: (
            core.getDeviceType(label).name.removesuffix("Device"),
            f"{core.getDeviceLibrary(label)}/{core.getDeviceName(label)}",
        ),
    )
    kind = KIND_OF_TYPE.get(kind_of_device)
    return FoundDevice(
        label=label,
        identity=identity,
        type=kind_of_device,
        kind=kind,
        properties=_properties(manager, label),
        position=_position(manager, label, kind),
        labels=_labels(manager, label) if kind == "selector" else (),
    )


def _properties(manager: MicroManager, label: str) -> dict[str, PropertyFacts]:
    facts: dict[str, PropertyFacts] = {}
    for name in manager.property_names(label):
        try:
            facts[name] = property_facts(manager, label, name)
        except DeviceError:
            continue  # one that cannot be read now (a camera's, say, while it is off) is no loss
    return facts


def _position(manager: MicroManager, label: str, kind: str | None) -> tuple[float, ...]:
    core = manager.core
    if kind == "stage":
        # + 0.0: a stage may be at -0.
        return (manager.call(f"{label}: position", lambda: float(core.getPosition(label))) + 0.0,)
    if kind == "xy_stage":
        x_um, y_um = manager.call(f"{label}: position", lambda: core.getXYPosition(label))
        return float(x_um) + 0.0, float(y_um) + 0.0
    return ()


def _labels(manager: MicroManager, label: str) -> tuple[str, ...]:
    labels = manager.call(f"{label}: positions", lambda: manager.core.getStateLabels(label))
    return tuple(map(str, labels))
