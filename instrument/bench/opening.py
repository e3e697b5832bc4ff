"""How devices are opened: all of them tried, and every failure reported, not only the first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from drivers import Actuator, DeviceError, LimitViolation

ActuatorT = TypeVar("ActuatorT", bound=Actuator[Any])


class ConnectError(DeviceError):
    """The bench could not be connected; holds every failure, not only the first."""

    def __init__(self, failures: Sequence[str]):
        super().__init__("\n".join(failures))
        self.failures = tuple(failures)


def all_or_every_failure(openers: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
    """Run every opener; return results by name, or raise all failures.

    Parameters
    ----------
    openers
        By their key in the file, `bench.BLOCK.NAME`.
    """
    opened: dict[str, Any] = {}
    failures: list[str] = []
    for key, opener in openers.items():
        try:
            opened[key.split(".", 2)[-1]] = opener()
        except DeviceError as error:
            failures.append(f"`{key}`: {error}")
    if failures:
        raise ConnectError(failures)
    return opened


def within_limits(device: ActuatorT, limits: Sequence[Any], key: str) -> ActuatorT:
    """Return the device; raise `LimitViolation` where soft limits are wider than its own.

    Parameters
    ----------
    device
        Whose `check` says what it allows.
    limits
        The lowest and the highest target.
    key
        Where they stand in the role.
    """
    try:
        for limit in limits:
            device.check(limit)
    except LimitViolation as error:
        raise LimitViolation(f"{key} {list(limits)}: {error}; narrow them") from error
    return device
