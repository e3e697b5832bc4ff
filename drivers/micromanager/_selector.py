"""State device of a Micro-Manager core: a wheel, a turret, anything with numbered positions."""

from __future__ import annotations

from drivers.devices import DeviceDescription
from drivers.errors import LimitViolation, ProtocolError
from drivers.micromanager._core import MicroManager


class MicroManagerSelector:
    """A device with numbered positions (`drivers.devices.Selector`).

    Parameters
    ----------
    manager
        Owner of the core.
    label
        Device label.

    Raises
    ------
    ConnectionLost, ProtocolError
        If there is no such device, it is no state device, or it does not count its positions.
    """

    def __init__(self, manager: MicroManager, label: str):
        manager.require(label, "selector")
        self.name = label
        self._manager = manager
        self._core = manager.core
        self.labels = manager.call(f"{label}: labels of positions", self._read_labels)
        if not self.labels:
            raise ProtocolError(
                f"{label}: Micro-Manager knows none of its positions; configure it again"
            )

    def describe(self) -> DeviceDescription:
        """Identity, positions and every property."""
        return self._manager.describe(
            self.name, "selector", position=(0.0, float(len(self.labels) - 1))
        )

    def check(self, target: int) -> None:
        """Refuse what is no number of a position."""
        is_whole = isinstance(target, int) and not isinstance(target, bool)
        if not is_whole or not 0 <= target < len(self.labels):
            raise LimitViolation(
                f"{self.name}: position {target!r} asked, there are 0 to {len(self.labels) - 1} "
                f"({', '.join(self.labels)})"
            )

    def start(self, target: int) -> None:
        """Start turning to a position."""
        self.check(target)
        self._manager.call(
            f"{self.name}: turn to position {target} ({self.labels[target]})",
            lambda: self._core.setState(self.name, target),
        )

    def wait(self, *, timeout_s: float) -> None:
        """Wait until the device is not busy."""
        self._manager.wait(self.name, timeout_s=timeout_s)

    def read_back(self) -> int:
        """Present position."""
        return self._manager.call(
            f"{self.name}: position", lambda: int(self._core.getState(self.name))
        )

    def make_safe(self) -> None:
        """Stay: a position emits nothing."""

    def close(self) -> None:
        """Nothing of its own to release; the core is closed by its owner."""

    def _read_labels(self) -> tuple[str, ...]:
        count = self._core.getNumberOfStates(self.name)
        labels = tuple(map(str, self._core.getStateLabels(self.name)))
        # A wheel whose hub does not answer has labels of positions it cannot count.
        return labels[:count] if len(labels) >= count else tuple(map(str, range(count)))
