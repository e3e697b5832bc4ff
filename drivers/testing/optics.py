"""Mock cameras, modulators, lights and meters; each passes the conformance suite."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from drivers.errors import LimitViolation
from drivers.testing._mock import Limits, MockDevice, Record, check_number


class MockSlm(MockDevice):
    """A modulator (`drivers.SpatialLightModulator`) of 8-bit grey levels.

    Parameters
    ----------
    name, record
        As of every mock.
    shape
        (height, width) in pixels.
    """

    kind = "slm"
    levels = 256

    def __init__(
        self, name: str, *, record: Record | None = None, shape: tuple[int, int] = (16, 16)
    ):
        super().__init__(name, record=record)
        self.shape = shape
        self.shown = np.zeros(shape, np.uint8)

    def check(self, target: NDArray[np.uint8]) -> None:
        """Refuse anything but uint8 of the exact shape."""
        self._question("check")
        self._check(target)

    def start(self, target: NDArray[np.uint8]) -> None:
        """Show a pattern; the record says `pattern`, not its pixels."""
        self._check(target)
        if self._command("start", "pattern"):
            self.shown = target.copy()

    def wait(self, *, timeout_s: float) -> None:
        """Return at once."""
        self._command("wait")

    def read_back(self) -> NDArray[np.uint8]:
        """Pattern shown."""
        self._question("read_back")
        return self.shown.copy()

    def _check(self, target: NDArray[np.uint8]) -> None:
        pattern = np.asarray(target)
        if pattern.dtype != np.uint8 or pattern.shape != self.shape:
            raise LimitViolation(
                f"{self.name}: a pattern of {pattern.dtype} {pattern.shape} asked, "
                f"uint8 {self.shape} needed"
            )

    def _become_safe(self) -> None:
        self.shown = np.zeros(self.shape, np.uint8)


class MockLight(MockDevice):
    """A light (`drivers.LightSource`) that is off at level 0.

    Parameters
    ----------
    name, record
        As of every mock.
    unit
        Of the level.
    limits
        Lowest and highest level; 0 is allowed besides.
    """

    kind = "light"

    def __init__(
        self,
        name: str,
        *,
        record: Record | None = None,
        unit: str = "mW",
        limits: Limits = (0.0, 20.0),
    ):
        super().__init__(name, record=record)
        self.unit = unit
        self.limits = limits
        self.level = 0.0

    def check(self, target: float) -> None:
        """Refuse what is outside the limits, or no number."""
        self._question("check")
        self._check(target)

    def start(self, target: float) -> None:
        """Shine at a level."""
        self._check(target)
        if self._command("start", target):
            self.level = target

    def wait(self, *, timeout_s: float) -> None:
        """Return at once."""
        self._command("wait")

    def read_back(self) -> float:
        """Level now."""
        self._question("read_back")
        return self.level

    def is_on(self) -> bool:
        """Whether its level is above 0."""
        self._question("is_on")
        return self.level > 0

    def _check(self, target: float) -> None:
        if target != 0:
            check_number(self.name, target, self.limits, self.unit)

    def _become_safe(self) -> None:
        self.level = 0.0

    def _limits_said(self) -> dict[str, Limits]:
        return {"level": self.limits}


class MockMeter(MockDevice):
    """A meter (`drivers.Meter`).

    Parameters
    ----------
    name, record
        As of every mock.
    unit
        Of its readings.
    values
        Its readings, one after the other, the last one for ever.
    """

    kind = "meter"

    def __init__(
        self,
        name: str,
        *,
        record: Record | None = None,
        unit: str = "degC",
        values: Sequence[float] = (20.0,),
    ):
        super().__init__(name, record=record)
        self.unit = unit
        self.values = list(values)

    def read(self) -> float:
        """Take the next value."""
        self._question("read")
        return self.values.pop(0) if len(self.values) > 1 else self.values[0]


class MockCamera(MockDevice):
    """A camera (`drivers.Camera`).

    Parameters
    ----------
    name, record
        As of every mock.
    shape, bit_depth
        (height, width) in pixels, and bits of its converter.
    exposure_limits_ms
        What it declares and checks, or None.
    picture
        Counts of frame number 0, 1, ...; by default different noise around 100 ADU in each.
    """

    kind = "camera"

    def __init__(
        self,
        name: str,
        *,
        record: Record | None = None,
        shape: tuple[int, int] = (16, 16),
        bit_depth: int = 12,
        exposure_limits_ms: Limits | None = (0.1, 10_000.0),
        picture: Callable[[int], NDArray[np.uint16]] | None = None,
    ):
        super().__init__(name, record=record)
        self.shape = shape
        self.bit_depth = bit_depth
        self.exposure_limits_ms = exposure_limits_ms
        self.exposure_ms = 1.0
        self.frames = 0
        """Taken so far."""
        self._picture = self._noise if picture is None else picture

    def set_exposure_ms(self, exposure_ms: float) -> float:
        """Set the exposure within the limits."""
        low_ms, high_ms = self.exposure_limits_ms or (0.0, math.inf)
        if not (low_ms <= exposure_ms <= high_ms and 0 < exposure_ms < math.inf):
            raise LimitViolation(
                f"{self.name}: exposure {exposure_ms:g} ms asked, above 0 and {low_ms:g} to "
                f"{high_ms:g} ms allowed"
            )
        if self._command("set_exposure_ms", exposure_ms):
            self.exposure_ms = exposure_ms
        return self.exposure_ms

    def snap(self, *, timeout_s: float) -> NDArray[np.uint16]:
        """Return one frame at once."""
        self._command("snap")
        return self._next()

    def capture(self, frames: int, *, timeout_s: float) -> NDArray[np.uint16]:
        """Return frames at once."""
        if frames < 1:
            raise LimitViolation(f"{self.name}: {frames} frames asked, at least 1 needed")
        self._command("capture", frames)
        return np.stack([self._next() for _ in range(frames)])

    def _next(self) -> NDArray[np.uint16]:
        number, self.frames = self.frames, self.frames + 1
        return np.array(self._picture(number), np.uint16)

    def _noise(self, number: int) -> NDArray[np.uint16]:
        return np.random.default_rng(number).poisson(100, self.shape).astype(np.uint16)

    def _limits_said(self) -> dict[str, Limits]:
        return {} if self.exposure_limits_ms is None else {"exposure_ms": self.exposure_limits_ms}
