"""Mock stages, selectors and properties: what they are asked for is there at once.

    record = Record()
    stage = MockStage("Z", record=record)
    stage.raise_on("wait", DeviceTimeout("Z: no answer"), at=2)
    stage.off_by = 0.6  # reads back elsewhere than asked

They check, copy and read back as real drivers must: each passes the conformance suite.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from drivers.devices import Position
from drivers.errors import LimitViolation
from drivers.testing._mock import Limits, MockDevice, Record, check_number


class MockAxis(MockDevice):
    """One number that goes where it is told.

    Parameters
    ----------
    name, record
        As of every mock.
    at
        Where it is at first, in its unit.
    limits
        What it declares and checks, or None.
    """

    unit = "1"

    def __init__(
        self,
        name: str,
        *,
        record: Record | None = None,
        at: float = 0.0,
        limits: Limits | None = None,
    ):
        super().__init__(name, record=record)
        self.at = at
        self.off_by = 0.0
        """Added to what is read back."""
        self._limits = limits

    def check(self, target: float) -> None:
        """Refuse what is outside the limits, or no number."""
        self._question("check")
        check_number(self.name, target, self._limits, self.unit)

    def start(self, target: float) -> None:
        """Be there."""
        check_number(self.name, target, self._limits, self.unit)
        if self._command("start", target):
            self.at = target

    def wait(self, *, timeout_s: float) -> None:
        """Return at once."""
        self._command("wait")

    def read_back(self) -> float:
        """Where it is, and `off_by`."""
        self._question("read_back")
        return self.at + self.off_by

    def _limits_said(self) -> dict[str, Limits]:
        return {} if self._limits is None else {f"position_{self.unit}": self._limits}


class MockStage(MockAxis):
    """One axis in micrometres (`drivers.Stage`)."""

    kind, unit = "stage", "um"

    @property
    def limits_um(self) -> Limits | None:
        """Travel declared."""
        return self._limits


class MockRotation(MockAxis):
    """One axis in degrees (`drivers.RotationStage`)."""

    kind, unit = "rotation", "deg"

    @property
    def limits_deg(self) -> Limits | None:
        """Travel declared."""
        return self._limits


class MockProperty(MockAxis):
    """One number in its own unit (`drivers.NumericProperty`); `is_integer` may be set."""

    kind = "property"
    is_integer = False

    @property
    def limits(self) -> Limits | None:
        """Lowest and highest value declared."""
        return self._limits

    def check(self, target: float) -> None:
        """Refuse what is outside the limits, or a fraction where whole numbers are taken."""
        super().check(target)
        self._check_whole(target)

    def start(self, target: float) -> None:
        """Be there."""
        self._check_whole(target)
        super().start(target)

    def _check_whole(self, target: float) -> None:
        if self.is_integer and math.isfinite(target) and target != round(target):
            raise LimitViolation(f"{self.name}: {target:g} asked, it takes whole numbers only")


class MockXYStage(MockDevice):
    """Two axes in micrometres (`drivers.XYStage`).

    Parameters
    ----------
    name, record
        As of every mock.
    at
        Where it is at first, micrometres.
    limits_um
        Travel of x and of y that it declares and checks, or None.
    """

    kind = "xy_stage"

    def __init__(
        self,
        name: str,
        *,
        record: Record | None = None,
        at: Position = (0.0, 0.0),
        limits_um: tuple[Limits, Limits] | None = None,
    ):
        super().__init__(name, record=record)
        self.at = at
        self.off_by: Position = (0.0, 0.0)
        """Added to what is read back."""
        self.limits_um = limits_um

    def check(self, target: Position) -> None:
        """Refuse what is outside the limits, or no two numbers."""
        self._question("check")
        self._check(target)

    def start(self, target: Position) -> None:
        """Be there."""
        self._check(target)
        if self._command("start", target):
            self.at = target

    def wait(self, *, timeout_s: float) -> None:
        """Return at once."""
        self._command("wait")

    def read_back(self) -> Position:
        """Where it is, and `off_by`."""
        self._question("read_back")
        return self.at[0] + self.off_by[0], self.at[1] + self.off_by[1]

    def _check(self, target: Position) -> None:
        for value, limits in zip(target, self.limits_um or (None, None), strict=True):
            check_number(self.name, value, limits, "um")

    def _limits_said(self) -> dict[str, Limits]:
        if self.limits_um is None:
            return {}
        return {"x_um": self.limits_um[0], "y_um": self.limits_um[1]}


class MockSelector(MockDevice):
    """Numbered positions (`drivers.Selector`).

    Parameters
    ----------
    name, record
        As of every mock.
    labels
        Of its positions.
    at
        Position at first.
    """

    kind = "selector"

    def __init__(
        self,
        name: str,
        *,
        record: Record | None = None,
        labels: Sequence[str] = ("closed", "red", "green", "blue"),
        at: int = 0,
    ):
        super().__init__(name, record=record)
        self.labels = tuple(labels)
        self.at = at
        self.off_by = 0
        """Added to what is read back."""

    def check(self, target: int) -> None:
        """Refuse what is no number of a position."""
        self._question("check")
        self._check(target)

    def start(self, target: int) -> None:
        """Be there."""
        self._check(target)
        if self._command("start", target):
            self.at = target

    def wait(self, *, timeout_s: float) -> None:
        """Return at once."""
        self._command("wait")

    def read_back(self) -> int:
        """Where it is, and `off_by`."""
        self._question("read_back")
        return self.at + self.off_by

    def _check(self, target: int) -> None:
        if type(target) is not int or not 0 <= target < len(self.labels):
            raise LimitViolation(
                f"{self.name}: position {target!r} asked, there are 0 to {len(self.labels) - 1}"
            )

    def _limits_said(self) -> dict[str, Limits]:
        return {"position": (0.0, len(self.labels) - 1.0)}
