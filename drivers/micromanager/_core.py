"""Owner of one Micro-Manager core: its thread, its time limits, its errors, its clean end."""

from __future__ import annotations

import atexit
import functools
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pymmcore

from drivers.devices import DeviceDescription
from drivers.errors import (
    ConnectionLost,
    DeviceError,
    DeviceTimeout,
    InstrumentReported,
    ProtocolError,
)
from drivers.micromanager._thread import CoreThread

if TYPE_CHECKING:
    from pymmcore_plus import CMMCorePlus

ResultT = TypeVar("ResultT")
DEFAULT_TIMEOUT_S = 5.0
_POLL_S = 1e-3  # the core's own waitForDevice polls every 10 ms, longer than many moves
_CORE_TYPES = {
    "camera": "Camera",
    "slm": "SLM",
    "stage": "Stage",
    "xy_stage": "XYStage",
    "selector": "State",
    "shutter": "Shutter",
}
_log = logging.getLogger(__name__)


class MicroManager:
    """Owner of one core: its thread, its time limits, its clean end.

    Parameters
    ----------
    core
        A `CMMCorePlus`, or anything with its interface, devices loaded and initialised.
    timeout_s
        Longest wait for any single call, beyond the time it is known to need.
    """

    def __init__(self, core: CMMCorePlus, *, timeout_s: float = DEFAULT_TIMEOUT_S):
        self.core = core
        self.timeout_s = timeout_s
        self._thread = CoreThread("micro-manager")
        self._is_closed = False
        # The core's notification thread asks for the GIL while the interpreter goes down and
        # aborts the process, in half of all runs (reference/instrument.md section 3).
        self._silence = functools.partial(pymmcore.CMMCore.registerCallback, core, None)
        atexit.register(self._silence)

    @classmethod
    def from_config(
        cls,
        config: Path,
        *,
        adapter_paths: Sequence[Path] = (),
        timeout_s: float = DEFAULT_TIMEOUT_S,
        load_timeout_s: float = 60.0,
    ) -> MicroManager:
        """Load a Micro-Manager `.cfg` into a new core.

        Parameters
        ----------
        config
            System configuration file written by Micro-Manager's hardware wizard.
        adapter_paths
            Folders of device adapters; by default what pymmcore-plus finds.
        timeout_s, load_timeout_s
            Longest wait for any later call, and for loading and initialising all devices.

        Raises
        ------
        ConnectionLost
            If the file is missing or a device in it cannot be loaded or initialised.
        """
        if not config.is_file():
            raise ConnectionLost(
                f"Micro-Manager configuration {config}: no such file; write one with "
                "Micro-Manager's hardware wizard, or correct bench.micromanager.config"
            )
        from pymmcore_plus import CMMCorePlus

        self = cls(CMMCorePlus(adapter_paths=[str(p) for p in adapter_paths]), timeout_s=timeout_s)
        searched = ", ".join(self.core.getDeviceAdapterSearchPaths())  # a hung core tells no more
        try:
            self.call(
                f"Micro-Manager configuration {config}",
                lambda: self.core.loadSystemConfiguration(str(config)),
                timeout_s=load_timeout_s,
            )
        except DeviceError as error:
            self.close()
            raise ConnectionLost(
                f"{error}; search path for adapters: {searched or 'empty'} "
                "(set bench.micromanager.adapters to your Micro-Manager folder)"
            ) from error
        return self

    def call(
        self, what: str, function: Callable[[], ResultT], *, timeout_s: float | None = None
    ) -> ResultT:
        """Run one core call on the core's thread and translate what it raises."""
        limit_s = self.timeout_s if timeout_s is None else timeout_s
        try:
            return self._thread.call(function, what=what, timeout_s=limit_s)
        except DeviceError:
            raise
        except TimeoutError as error:
            raise DeviceTimeout(f"{what}: {error}") from error
        except Exception as error:  # C++ raises RuntimeError, a Python device whatever it likes
            reason = str(error) or type(error).__name__
            raise InstrumentReported(f"{what}: Micro-Manager reports: {reason}") from error

    def labels(self) -> tuple[str, ...]:
        """Labels of all loaded devices but the core itself."""
        loaded = self.call("list of devices", self.core.getLoadedDevices)
        return tuple(label for label in loaded if label != "Core")

    def require(self, label: str, kind: str) -> None:
        """Raise `ConnectionLost` unless a device of that label and capability is loaded."""
        self._require_label(label)
        found = self.call(label, lambda: self.core.getDeviceType(label)).name
        wanted = _CORE_TYPES[kind]
        if found not in (wanted, f"{wanted}Device"):
            raise ProtocolError(f"Micro-Manager device {label!r} is a {found}, not a {wanted}")

    def require_property(self, label: str, name: str) -> None:
        """Raise `ConnectionLost` unless the device is loaded, `ProtocolError` without property."""
        names = self.property_names(label)
        if name not in names:
            raise ProtocolError(
                f"{label}: no property {name!r}; there is {', '.join(names) or 'none'}"
            )

    def property_names(self, label: str) -> tuple[str, ...]:
        """Names of a device's properties; raises `ConnectionLost` if there is no such device."""
        self._require_label(label)
        names = self.call(f"{label}: properties", lambda: self.core.getDevicePropertyNames(label))
        return tuple(map(str, names))

    def switch_autoshutter_off(self) -> None:
        """Let no exposure open a shutter by itself; raise `ProtocolError` if that stays on."""

        def switch_off() -> bool:
            if self.core.getAutoShutter():
                self.core.setAutoShutter(False)
            return bool(self.core.getAutoShutter())

        if self.call("autoshutter off", switch_off):
            raise ProtocolError(
                "Micro-Manager's autoshutter stays on, so that a shutter may be left open; set "
                "Core.AutoShutter to 0 in the .cfg"
            )

    def autoshutter(self) -> str | None:
        """Label of the shutter that the core opens by itself for every exposure, or None."""

        def read() -> str:
            return str(self.core.getShutterDevice()) if self.core.getAutoShutter() else ""

        return self.call("autoshutter", read) or None

    def wait(self, label: str, *, timeout_s: float) -> None:
        """Wait until the device is no longer busy, at most `timeout_s`."""
        deadline_s = time.monotonic() + timeout_s
        while self.call(f"{label}: busy?", lambda: self.core.deviceBusy(label)):
            if time.monotonic() > deadline_s:
                raise DeviceTimeout(f"{label}: still busy after {timeout_s:g} s")
            time.sleep(_POLL_S)  # the core offers no event for the end of a move

    def describe(
        self, label: str, kind: str, **limits: tuple[float, float] | None
    ) -> DeviceDescription:
        """Read what identifies a device."""

        def read() -> DeviceDescription:
            core = self.core
            names = core.getDevicePropertyNames(label)
            return DeviceDescription(
                name=label,
                kind=kind,
                identity=f"{core.getDeviceLibrary(label)}/{core.getDeviceName(label)}",
                limits={name: value for name, value in limits.items() if value is not None},
                properties={str(name): str(core.getProperty(label, name)) for name in names},
            )

        return self.call(f"{label}: describe", read)

    def property_limits(self, label: str, name: str) -> tuple[float, float] | None:
        """(low, high) of a property, or None if the device declares none."""

        def read() -> tuple[float, float] | None:
            core = self.core
            if not core.hasProperty(label, name) or not core.hasPropertyLimits(label, name):
                return None
            return core.getPropertyLowerLimit(label, name), core.getPropertyUpperLimit(label, name)

        return self.call(f"{label}: limits of {name}", read)

    def close(self) -> None:
        """Unload the devices and silence the core. Idempotent; never raises on a hung core."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            self.call("unloading devices", self.core.unloadAllDevices)
        except DeviceError as error:
            _log.warning("closing Micro-Manager: %s", error)
        if self._thread.close():
            self._silence()
            atexit.unregister(self._silence)

    def _require_label(self, label: str) -> None:
        labels = self.labels()
        if label not in labels:
            raise ConnectionLost(
                f"no Micro-Manager device is labelled {label!r}; "
                f"loaded: {', '.join(labels) or 'none'}"
            )
