"""Claims about every device: its protocol, its description, safe and closed more than once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from drivers.conformance._running import Check, NotApplicable, Scope, require
from drivers.devices import Device, DeviceDescription
from drivers.registry import missing_abilities

Limits = tuple[float, float]


def first_checks(device: Device, protocol: type, kind: str) -> list[Check]:
    """Return what is asked of every device before anything else.

    Parameters
    ----------
    device
        The device.
    protocol, kind
        What it must be, and its word in a description.
    """

    def keeps_protocol() -> str:
        missing = missing_abilities(device, protocol)
        return require(
            not missing, f"it has no {', '.join(missing)}" if missing else protocol.__name__
        )

    def says_what_it_is() -> str:
        said = device.describe()
        require(isinstance(said, DeviceDescription), f"a {type(said).__name__} came")
        require(said.name == device.name, f"name {said.name!r}, but it is {device.name!r}")
        require(said.kind == kind, f"kind {said.kind!r}, {kind!r} expected")
        require(said.identity.strip(), "no identity")
        for quantity, limits in said.limits.items():
            require_ordered(limits, quantity)
        texts = [*said.properties, *said.properties.values()]
        require(all(type(text) is str for text in texts), "properties that are not all text")
        return said.identity

    return [
        Check(claim="keeps its protocol", asked=protocol.__name__, run=keeps_protocol),
        Check(claim="says what it is", asked="describe()", run=says_what_it_is),
    ]


def last_checks(device: Device, is_safe: Callable[[], str]) -> list[Check]:
    """Return what is asked of every device after anything else.

    Parameters
    ----------
    device
        The device.
    is_safe
        Returns what came if it is in its safe state, and raises otherwise.
    """

    def safe_twice() -> str:
        for _ in range(2):
            device.make_safe()
        return is_safe()

    def closed_twice() -> str:
        for _ in range(2):
            device.close()
        return "closed"

    return [
        Check(claim="is safe", asked="make_safe() twice", run=safe_twice, scope=Scope.MOVE),
        Check(claim="closes twice", asked="close() twice", run=closed_twice, scope=Scope.SIMULATED),
    ]


def require_ordered(limits: Limits | None, what: str) -> str:
    """See that limits are two numbers, the lower one first."""
    if limits is None:
        return f"{what}: none declared"
    low, high = limits
    return require(low < high, f"{what} {low:g} to {high:g}")  # refuses NaN too


def require_number(value: object, what: str) -> float:
    """Return a finite number; what is none, a bool or NaN does not pass."""
    try:
        number = math.nan if isinstance(value, (bool, str)) else float(value)  # pyright: ignore[reportArgumentType]
    except (TypeError, ValueError):
        number = math.nan
    require(math.isfinite(number), f"{what} {value!r}, which is no finite number")
    return number


def require_text(value: object, what: str) -> str:
    """Return a text that says something."""
    require(isinstance(value, str) and value.strip(), f"{what} is {value!r}")
    return str(value)


def beyond(limits: Limits | None) -> Sequence[float]:
    """Return a value below and one above declared limits; `NotApplicable` if there are none."""
    if limits is None:
        raise NotApplicable("it declares no limits")
    low, high = limits
    return [
        edge + side * max(0.01 * (high - low), 1e-6 * abs(edge))
        for edge, side in ((low, -1), (high, 1))
        if math.isfinite(edge)
    ]
