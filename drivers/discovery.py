"""What is connected: VISA resources with their identity, Micro-Manager adapters, monitors."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from drivers.errors import DeviceError

IDENTIFY_TIMEOUT_MS = 500


@dataclass(frozen=True, slots=True)
class VisaResource:
    """A VISA address, and what answered there.

    Parameters
    ----------
    address
        VISA resource name.
    identity
        Answer to `*IDN?`, or None.
    problem
        Why there was none.
    """

    address: str
    identity: str | None
    problem: str = ""


def visa_resources(
    backend: str = "@py", *, addresses: Sequence[str] = ()
) -> Iterator[VisaResource]:
    """Ask every VISA resource that announces itself, and `addresses`, which do not, who it is.

    Only `*IDN?` is sent. Sockets never announce themselves.
    """
    import pyvisa

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pyvisa-py names every optional backend that is missing
        manager = pyvisa.ResourceManager(backend)
        try:
            for address in dict.fromkeys([*manager.list_resources("?*"), *addresses]):
                yield _identified(manager, address)
        finally:
            manager.close()


def micromanager_adapters() -> Iterator[tuple[Path, list[str]]]:
    """Yield (folder, names of the device adapters in it) along the core's search path."""
    from pymmcore_plus import CMMCorePlus

    from drivers.micromanager import MicroManager

    manager = MicroManager(CMMCorePlus())
    try:
        adapters = manager.call("device adapters", manager.core.getDeviceAdapterNames)
        folders = manager.call("search path", manager.core.getDeviceAdapterSearchPaths)
        yield Path(folders[0] if folders else "."), sorted(adapters)
    finally:
        manager.close()


def monitors() -> Iterator[str]:
    """Yield number, name, size and place of every monitor, or why there is none to use."""
    from drivers.display import list_monitors

    try:
        for monitor in list_monitors():
            height, width = monitor.shape
            x, y = monitor.position
            rate = f"{monitor.refresh_hz} Hz" if monitor.refresh_hz else "rate not said"
            which = ", the primary one" if monitor.index == 0 else ""
            yield (
                f"{monitor.index}: {monitor.name!r}, shape [{height}, {width}], {rate}, "
                f"at {x}, {y}{which}"
            )
    except DeviceError as error:
        yield f"({error})"


def _identified(manager: object, address: str) -> VisaResource:
    from pyvisa.errors import Error

    try:
        instrument = manager.open_resource(  # type: ignore[attr-defined]
            address,
            timeout=IDENTIFY_TIMEOUT_MS,
            open_timeout=IDENTIFY_TIMEOUT_MS,
            read_termination="\n",  # sockets and serial lines mark the end of an answer only so
            write_termination="\n",
        )
    except (Error, OSError, ValueError) as error:  # ValueError: it has registers, no messages
        return VisaResource(address, None, f"cannot be opened: {error}")
    try:
        return VisaResource(address, instrument.query("*IDN?").strip())
    except (Error, OSError, ValueError) as error:
        return VisaResource(address, None, f"no answer to *IDN?: {error}")
    finally:
        instrument.close()
