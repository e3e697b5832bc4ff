"""How devices are opened: all of them tried, and every failure reported, not only the first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from drivers import DeviceError


class ConnectError(DeviceError):
    """The bench could not be connected; holds every failure, not only the first."""

    def __init__(self, failures: Sequence[str]):
        super().__init__("\n".join(failures))
        self.failures = tuple(failures)


def all_or_every_failure(openers: dict[str, Callable[[], Any]]) -> dict[str, Any]:
    """Run every opener; return results by the last part of their key, or raise all failures."""
    opened: dict[str, Any] = {}
    failures: list[str] = []
    for key, opener in openers.items():
        try:
            opened[key.rsplit(".", 1)[-1]] = opener()
        except DeviceError as error:
            failures.append(f"`{key}`: {error}")
    if failures:
        raise ConnectError(failures)
    return opened
