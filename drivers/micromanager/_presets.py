"""Config groups of a Micro-Manager core: presets that are waited for and read back.

The core's own `waitForConfig` swallows every timeout (micro-manager/pymmcore #90), so each device
of a preset is waited for here; its `getCurrentConfig` compares letters, in which 2 is not 2.0000,
so each setting is read back.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from drivers.devices import DeviceDescription
from drivers.errors import DeviceTimeout, LimitViolation, ProtocolError
from drivers.micromanager._core import MicroManager
from drivers.micromanager._settings import same_value

PRESET_TIMEOUT_S = 30.0
NO_PRESET = -1
"""Read back by a group that is in none of its presets."""
_CORE = "Core"


@dataclass(frozen=True, slots=True)
class PresetSetting:
    """One line of a preset: a property of a device, and its value."""

    device: str
    property: str
    value: str

    def __str__(self) -> str:
        return f"{self.device}.{self.property} = {self.value}"


def config_groups(manager: MicroManager) -> dict[str, tuple[str, ...]]:
    """Return the config groups of a core, each with the names of its presets."""

    def read() -> dict[str, tuple[str, ...]]:
        core = manager.core
        return {
            str(group): tuple(map(str, core.getAvailableConfigs(group)))
            for group in core.getAvailableConfigGroups()
        }

    return manager.call("config groups", read)


def preset_settings(manager: MicroManager, group: str, preset: str) -> tuple[PresetSetting, ...]:
    """Return what a preset sets, in its order.

    Raises
    ------
    ProtocolError
        There is no such group or preset; names those there are.
    """
    presets = _presets_of(manager, group)
    if preset not in presets:
        raise ProtocolError(
            f"config group {group!r} has no preset {preset!r}; there is {', '.join(presets)}"
        )
    lines = manager.call(
        f"{group}: what {preset} sets", lambda: list(manager.core.getConfigData(group, preset))
    )
    return tuple(PresetSetting(*map(str, line)) for line in lines)


def apply_preset(
    manager: MicroManager, group: str, preset: str, *, timeout_s: float = PRESET_TIMEOUT_S
) -> None:
    """Set a preset, wait for its devices, and read every one of its settings back.

    Raises
    ------
    ProtocolError
        There is no such group or preset, or a device reads back something else.
    DeviceTimeout
        A device was still busy after `timeout_s` in all.
    """
    settings = preset_settings(manager, group, preset)
    _set(manager, group, preset, timeout_s=timeout_s)
    _wait(manager, group, preset, settings, timeout_s=timeout_s)
    different = _differences(manager, settings)
    if different:
        raise ProtocolError(
            f"{group} (preset {preset}): {'; '.join(different)}; correct the preset in the .cfg, "
            "or look what holds the device"
        )


class MicroManagerPresets:
    """The presets of one config group, as positions (`drivers.devices.Selector`).

    Parameters
    ----------
    manager
        Owner of the core.
    group
        Name of the config group.

    Raises
    ------
    ProtocolError
        There is no such group, or it has no presets.
    """

    def __init__(self, manager: MicroManager, group: str):
        self.name = group
        self._manager = manager
        self.labels = _presets_of(manager, group)
        self.settings = {preset: preset_settings(manager, group, preset) for preset in self.labels}
        self._asked: int | None = None

    def describe(self) -> DeviceDescription:
        """Presets, each with what it sets."""
        return DeviceDescription(
            name=self.name,
            kind="selector",
            identity="Micro-Manager config group",
            limits={"position": (0.0, float(len(self.labels) - 1))},
            properties={
                preset: ", ".join(map(str, settings)) for preset, settings in self.settings.items()
            },
        )

    def check(self, target: int) -> None:
        """Refuse what is no number of a preset."""
        is_whole = isinstance(target, int) and not isinstance(target, bool)
        if not is_whole or not 0 <= target < len(self.labels):
            raise LimitViolation(
                f"{self.name}: position {target!r} asked, there are 0 to {len(self.labels) - 1} "
                f"({', '.join(self.labels)})"
            )

    def start(self, target: int) -> None:
        """Set the devices of a preset on their way."""
        self.check(target)
        self._asked = target
        _set(self._manager, self.name, self.labels[target], timeout_s=PRESET_TIMEOUT_S)

    def wait(self, *, timeout_s: float) -> None:
        """Wait until none of the preset's devices is busy, `timeout_s` in all."""
        if self._asked is not None:
            preset = self.labels[self._asked]
            settings = self.settings[preset]
            _wait(self._manager, self.name, preset, settings, timeout_s=timeout_s)

    def read_back(self) -> int:
        """Return the number of the preset the devices are in; `NO_PRESET` if they are in none.

        Presets may share their settings: the one last asked for comes first.
        """
        order = sorted(range(len(self.labels)), key=lambda position: position != self._asked)
        for position in order:
            if not _differences(self._manager, self.settings[self.labels[position]]):
                return position
        return NO_PRESET

    def make_safe(self) -> None:
        """Stay: a preset emits nothing; its lamps and shutters have roles of their own."""

    def close(self) -> None:
        """Nothing of its own to release; the core is closed by its owner."""


def _presets_of(manager: MicroManager, group: str) -> tuple[str, ...]:
    groups = config_groups(manager)
    if group not in groups:
        raise ProtocolError(
            f"there is no config group {group!r}; there is {', '.join(groups) or 'none'} "
            "(groups stand in the .cfg)"
        )
    if not groups[group]:
        raise ProtocolError(f"config group {group!r} has no presets; define some in the .cfg")
    return groups[group]


def _set(manager: MicroManager, group: str, preset: str, *, timeout_s: float) -> None:
    manager.call(
        f"{group}: set preset {preset}",
        lambda: manager.core.setConfig(group, preset),
        timeout_s=timeout_s,
    )


def _wait(
    manager: MicroManager,
    group: str,
    preset: str,
    settings: tuple[PresetSetting, ...],
    *,
    timeout_s: float,
) -> None:
    deadline_s = time.monotonic() + timeout_s
    for device in dict.fromkeys(setting.device for setting in settings):
        if device == _CORE:
            continue
        try:
            manager.wait(device, timeout_s=max(0.0, deadline_s - time.monotonic()))
        except DeviceTimeout as error:
            raise DeviceTimeout(
                f"{group} (preset {preset}): {error}; {timeout_s:g} s in all"
            ) from error


def _differences(manager: MicroManager, settings: tuple[PresetSetting, ...]) -> list[str]:
    def read() -> list[str]:
        core = manager.core
        return [str(core.getProperty(setting.device, setting.property)) for setting in settings]

    there = manager.call("settings of a preset", read)
    return [
        f"{setting} asked, {value!r} read back"
        for setting, value in zip(settings, there, strict=True)
        if not same_value(value, setting.value)
    ]
