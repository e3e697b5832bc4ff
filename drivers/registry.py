"""Drivers of third parties: found by the entry points of installed packages, imported when named.

A package that is installed beside infoloop names its drivers in its `pyproject.toml`:

    [project.entry-points."infoloop.drivers"]
    acme-stage = "acme_optics.stage:StageDriver"

and a bench file uses them by that name. Nothing is imported to find them; a driver whose package is
broken is an error of that driver alone.
"""

from __future__ import annotations

import contextlib
import difflib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel

from drivers.devices import Device
from drivers.errors import ConnectionLost, DeviceError, DriverUnavailable

GROUP = "infoloop.drivers"
"""Entry-point group in which a package names its drivers."""


@runtime_checkable
class Driver(Protocol):
    """What an entry point names: a class, an object or a module with these two attributes."""

    @property
    def options(self) -> type[BaseModel]:
        """Model of `options` in the bench file; forbid extra keys, put units in names."""
        ...

    def open(self, name: str, options: Any, /) -> Device:
        """Connect, identify and return a device that is called `name`; raise `DeviceError`.

        `options` is an instance of the model. The device keeps one of the protocols of
        `drivers.devices`, and nothing moves or lights up while it is opened.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledDriver:
    """A driver that some installed package names.

    Parameters
    ----------
    name
        What a bench file calls it.
    package
        Name and version of the distribution, `acme-optics 1.2` say.
    where
        `module:attribute` of the entry point.
    """

    name: str
    package: str
    where: str


def installed_drivers() -> tuple[InstalledDriver, ...]:
    """Return every driver that an installed package names, by name; imports none of them."""
    return tuple(found for found, _ in _entry_points())


def what_they_take() -> Iterator[tuple[InstalledDriver, str]]:
    """Import each installed driver; yield its options, or the reason why it cannot be used."""
    for driver in installed_drivers():
        try:
            fields = load_driver(driver.name).options.model_fields
        except DriverUnavailable as error:
            yield driver, f"(cannot be used: {error})"
        else:
            words = [
                name
                if field.is_required()
                else f"{name} ({field.get_default(call_default_factory=True)!r})"
                for name, field in fields.items()
            ]
            yield driver, f"options: {', '.join(words) or 'none'}"


def load_driver(name: str) -> Driver:
    """Import a driver.

    Parameters
    ----------
    name
        As its package names it.

    Raises
    ------
    DriverUnavailable
        No package names it or several do, its import fails, or it is not a `Driver`.
    """
    found = [(driver, entry) for driver, entry in _entry_points() if driver.name == name]
    if not found:
        raise DriverUnavailable(f"no driver {name!r} is installed; {_remedy(name)}")
    if len(found) > 1:
        packages = " and ".join(driver.package for driver, _ in found)
        raise DriverUnavailable(
            f"driver {name!r} is named by {packages}; uninstall one of these packages"
        )
    installed, entry = found[0]
    who = f"driver {name!r} of {installed.package}"
    try:
        driver = entry.load()
    except Exception as error:  # the code of others raises what it likes
        raise DriverUnavailable(
            f"{who} cannot be imported from {installed.where}: {_said(error)}; "
            "install what it needs, or update it"
        ) from error
    if not isinstance(driver, Driver) or not _is_model(driver.options):
        raise DriverUnavailable(
            f"{who}: {installed.where} is no driver; it must have `options`, a pydantic model "
            "class, and `open(name, options)` (docs/how-to/write-a-driver.md)"
        )
    return driver


def open_device(name: str, driver_name: str, options: Mapping[str, Any]) -> Device:
    """Open a device of a third party's driver.

    Parameters
    ----------
    name
        Label of the device on this bench.
    driver_name
        As its package names it.
    options
        As they stand in the bench file.

    Raises
    ------
    DriverUnavailable
        As `load_driver`; or what the driver opened is no `Device` of that name.
    ConnectionLost
        The driver failed with something that is none of our errors.
    DeviceError
        What the driver itself says.
    """
    driver = load_driver(driver_name)
    who = f"{name} (driver {driver_name})"
    try:
        device = driver.open(name, driver.options.model_validate(dict(options)))
    except DeviceError:
        raise
    except Exception as error:  # the code of others raises what it likes
        raise ConnectionLost(
            f"{who}: cannot be opened: {_said(error)}; check `options` and the cable"
        ) from error
    missing = missing_abilities(device, Device)
    if missing:
        why = f"what was opened is no device, it has no {', '.join(missing)}"
    elif device.name != name:
        why = f"the device calls itself {device.name!r}, and must use the name it is given"
    else:
        return device
    if "close" not in missing:
        with contextlib.suppress(DeviceError):  # what is wrong with it was found first
            close_device(device)
    raise DriverUnavailable(f"{who}: {why}; its author must keep a protocol of drivers.devices")


def close_device(device: Device) -> None:
    """Close a third party's device; whatever it raises becomes a `DeviceError`."""
    try:
        device.close()
    except DeviceError:
        raise
    except Exception as error:
        raise DeviceError(
            f"{device.name}: closing failed: {_said(error)}; look at the device itself"
        ) from error


def missing_abilities(device: object, protocol: type) -> Sequence[str]:
    """Return the names that a protocol promises and a device does not have, in their order."""
    return [name for name in _promised(protocol) if not hasattr(device, name)]


def _promised(protocol: type) -> list[str]:
    promised = {
        name: None
        for ancestor in reversed(protocol.__mro__)
        if getattr(ancestor, "_is_protocol", False)
        for name in vars(ancestor)
        if not name.startswith("_")
    }
    return list(promised)


def _entry_points() -> list[tuple[InstalledDriver, metadata.EntryPoint]]:
    found = []
    for entry in metadata.entry_points(group=GROUP):
        package = "an unnamed package"
        if entry.dist is not None:
            package = f"{entry.dist.name} {entry.dist.version}"
        found.append((InstalledDriver(name=entry.name, package=package, where=entry.value), entry))
    return sorted(found, key=lambda pair: (pair[0].name, pair[0].package))


def _remedy(name: str) -> str:
    known = sorted({driver.name for driver in installed_drivers()})
    if not known:
        return f"no package names any in {GROUP}; install the one that has it (pip install ...)"
    close = difflib.get_close_matches(name, known, n=1)
    guess = f"did you mean {close[0]!r}? " if close else ""
    return f"{guess}installed: {', '.join(known)}"


def _is_model(options: object) -> bool:
    is_class = inspect.isclass(options) and issubclass(options, BaseModel)
    return is_class and options is not BaseModel  # which itself cannot be filled in


def _said(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
