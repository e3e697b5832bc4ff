"""Micro-Manager devices behind our protocols: one adapter over a CMMCore-like object.

The same adapter serves C++ device adapters (`CMMCorePlus`) and the Python devices of the virtual
bench. The core is driven directly, not through `core.mda`, which ends a run with missing frames as
COMPLETED. Values are validated here because the core does not: `setExposure` ignores property
limits and `setSLMImage` wraps 300 to 44.
"""

from drivers.micromanager._core import MicroManager
from drivers.micromanager._devices import (
    MicroManagerCamera,
    MicroManagerSLM,
    MicroManagerStage,
    MicroManagerXYStage,
)

__all__ = [
    "MicroManager",
    "MicroManagerCamera",
    "MicroManagerSLM",
    "MicroManagerStage",
    "MicroManagerXYStage",
]
