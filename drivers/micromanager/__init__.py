"""Micro-Manager devices behind our protocols: one adapter over a CMMCore-like object.

The same adapter serves C++ device adapters (`CMMCorePlus`) and the Python devices of the virtual
bench. The core is driven directly, not through `core.mda`, which ends a run with missing frames as
COMPLETED. Values are validated here because the core does not: `setExposure` ignores property
limits and `setSLMImage` wraps 300 to 44.
"""

from drivers.micromanager._camera import MicroManagerCamera
from drivers.micromanager._camera_settings import CameraSettings
from drivers.micromanager._core import MicroManager
from drivers.micromanager._events import MicroManagerEvents
from drivers.micromanager._inventory import FoundDevice, Inventory, take_inventory
from drivers.micromanager._loading import DeviceEntry, load_devices
from drivers.micromanager._meter import MicroManagerMeter
from drivers.micromanager._presets import (
    MicroManagerPresets,
    PresetSetting,
    apply_preset,
    config_groups,
    preset_settings,
)
from drivers.micromanager._property import MicroManagerProperty
from drivers.micromanager._selector import MicroManagerSelector
from drivers.micromanager._settings import PropertyFacts
from drivers.micromanager._shutter import MicroManagerLight, MicroManagerShutter, Switch
from drivers.micromanager._slm import MicroManagerSLM
from drivers.micromanager._stages import (
    MicroManagerRotation,
    MicroManagerStage,
    MicroManagerXYStage,
)

__all__ = [
    "CameraSettings",
    "DeviceEntry",
    "FoundDevice",
    "Inventory",
    "MicroManager",
    "MicroManagerCamera",
    "MicroManagerEvents",
    "MicroManagerLight",
    "MicroManagerMeter",
    "MicroManagerPresets",
    "MicroManagerProperty",
    "MicroManagerRotation",
    "MicroManagerSLM",
    "MicroManagerSelector",
    "MicroManagerShutter",
    "MicroManagerStage",
    "MicroManagerXYStage",
    "PresetSetting",
    "PropertyFacts",
    "Switch",
    "apply_preset",
    "config_groups",
    "load_devices",
    "preset_settings",
    "take_inventory",
]
