"""Lines of `infoloop devices`: what is connected or installed, family by family.

Text only; the command line prints it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from instrument.config import find_declarations


def listed(addresses: Sequence[str], backend: str) -> Iterator[str]:
    """Yield the lines of every family; each is asked only when its turn has come.

    Parameters
    ----------
    addresses
        VISA addresses that do not announce themselves.
    backend
        VISA library, in pyvisa's words.
    """
    yield from _visa(addresses, backend)
    yield from _adapters()
    yield from _monitors()
    yield from _drivers()


def _visa(addresses: Sequence[str], backend: str) -> Iterator[str]:
    from drivers.discovery import visa_resources
    from drivers.visa import load_declaration
    from instrument.faces.devices import describe, match, starter

    paths = find_declarations(Path())
    declarations = {name: load_declaration(path) for name, path in paths.items()}
    found = match(visa_resources(backend, addresses=addresses), declarations)
    yield f"VISA resources (backend {backend}):"
    yield describe(found) or "  none (sockets do not announce themselves: use --address)"
    lines = starter(found, backend=backend)
    if lines:
        yield f"To begin a bench file with:\n{lines}"


def _adapters() -> Iterator[str]:
    from drivers.discovery import micromanager_adapters

    yield "Micro-Manager device adapters:"
    for folder, names in micromanager_adapters():
        yield f"  {folder}: {', '.join(names)}"


def _monitors() -> Iterator[str]:
    from drivers.discovery import monitors

    yield "Monitors (for bench.displays):"
    yield from (f"  {monitor}" for monitor in monitors())


def _drivers() -> Iterator[str]:
    from drivers.registry import GROUP, what_they_take

    yield f"Drivers of other packages (entry points {GROUP!r}):"
    drivers = list(what_they_take())
    yield from (f"  {driver.name}  {driver.package}  {options}" for driver, options in drivers)
    if not drivers:
        yield "  none"
