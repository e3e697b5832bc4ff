"""Protocols of the hardware: one small promise a capability, and what a device says of itself.

A driver wraps, validates and translates. It knows no science: positions are micrometres, patterns
are grey levels, frames are raw counts. Moving is split in four so that a bench can check every
value of a design before the first device moves, and let all of them travel at the same time:

`check` (nothing moves) -> `start` (returns at once) -> `wait` (bounded) -> `read_back`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

TargetT = TypeVar("TargetT")

Position = tuple[float, float]
"""x and y in micrometres."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceDescription:
    """What a device says of itself when the bench is built; recorded with every run.

    Parameters
    ----------
    name
        The label on the bench: a Micro-Manager device label or a key of the `visa` block.
    kind
        Capability in one word: `camera`, `slm`, `stage`, `xy_stage`, `rotation`, `selector`,
        `property`, `light`, `shutter`, `meter`.
    identity
        What identifies the hardware: library and adapter, or the `*IDN?` answer.
    limits
        Name of a quantity with its unit to (low, high), the device's own limits.
    properties
        Anything else worth keeping (firmware, pixel type, LUT), as text.
    """

    name: str
    kind: str
    identity: str
    limits: dict[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])
    properties: dict[str, str] = field(default_factory=dict[str, str])


@runtime_checkable
class Device(Protocol):
    """Anything with a name that must be put into a safe state and closed."""

    @property
    def name(self) -> str:
        """Label of the device on this bench."""
        ...

    def describe(self) -> DeviceDescription:
        """Identity, limits and properties, read from the device; raise `DeviceError`."""
        ...

    def make_safe(self) -> None:
        """Bring the device into its safe state, bounded in time, and verify it by reading back.

        Light off, shutter closed, SLM flat; stages stay where they are. Idempotent.
        """
        ...

    def close(self) -> None:
        """Release the device. Idempotent; never leaves a light on."""
        ...


class Actuator(Device, Protocol[TargetT]):
    """A device that can be brought to a target."""

    def check(self, target: TargetT) -> None:
        """Raise `LimitViolation` if the device would refuse, clip or wrap `target`; no move."""
        ...

    def start(self, target: TargetT) -> None:
        """Check, then start towards `target` and return without waiting."""
        ...

    def wait(self, *, timeout_s: float) -> None:
        """Return when the device says it has arrived; raise `DeviceTimeout` after `timeout_s`."""
        ...

    def read_back(self) -> TargetT:
        """Where the device says it is now."""
        ...


@runtime_checkable
class Camera(Device, Protocol):
    """A camera that returns raw counts in ADU."""

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of a frame in pixels."""
        ...

    @property
    def bit_depth(self) -> int:
        """Bits of the analogue-to-digital converter."""
        ...

    @property
    def exposure_limits_ms(self) -> tuple[float, float] | None:
        """Shortest and longest exposure the device declares, or None if it declares none."""
        ...

    def set_exposure_ms(self, exposure_ms: float) -> float:
        """Set the exposure within the limits and return what the device reads back."""
        ...

    def snap(self, *, timeout_s: float) -> NDArray[np.uint16]:
        """Expose once and return a (height, width) copy in ADU.

        Raises `DeviceTimeout` after `timeout_s` beyond the exposure, `FrameLoss` if no frame came.
        """
        ...

    def capture(self, frames: int, *, timeout_s: float) -> NDArray[np.uint16]:
        """Return exactly `frames` consecutive exposures as (frames, height, width) copies in ADU.

        Raises `FrameLoss` if fewer arrive, `DeviceTimeout` after `timeout_s` in all.
        """
        ...


@runtime_checkable
class HasTemperature(Protocol):
    """An optional ability of a camera: it knows how warm its sensor is."""

    def temperature_c(self) -> float | None:
        """Degrees Celsius, or None where none is to be had."""
        ...


@runtime_checkable
class KeepsSettings(Protocol):
    """An optional ability: a device can say whether it still is as the bench set it up."""

    def verify(self) -> None:
        """Raise `ProtocolError` naming what is different from what was set; change nothing."""
        ...


@runtime_checkable
class SpatialLightModulator(Actuator[NDArray[np.uint8]], Protocol):
    """A modulator that shows (height, width) grey levels.

    `check` refuses any array that is not uint8 of the exact shape: Micro-Manager would wrap a 300
    to 44 without a word.
    """

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of a pattern in pixels."""
        ...

    @property
    def levels(self) -> int:
        """Number of grey levels, 256 for 8 bit."""
        ...


@runtime_checkable
class SequencedModulator(SpatialLightModulator, Protocol):
    """An optional ability of a modulator: it steps through loaded patterns on a trigger line.

    The first pattern is shown when the sequence starts, each trigger brings the next; after the
    last comes the first. What gives the trigger is wired on the bench and set in the device.
    """

    @property
    def sequence_length(self) -> int:
        """Most patterns that it holds; 0 if it has no sequences, so that the caller must step."""
        ...

    def load_sequence(self, patterns: Sequence[NDArray[np.uint8]], *, timeout_s: float) -> None:
        """Send patterns, each as `check` wants it; raise `LimitViolation` for too many or none."""
        ...

    def start_sequence(self) -> None:
        """Show the first pattern and listen for triggers."""
        ...

    def stop_sequence(self) -> None:
        """Listen no more; idempotent. Which pattern stays is not known: `start` one."""
        ...


@runtime_checkable
class Stage(Actuator[float], Protocol):
    """One axis in micrometres."""

    @property
    def limits_um(self) -> tuple[float, float] | None:
        """Travel the device declares, or None."""
        ...


@runtime_checkable
class XYStage(Actuator[Position], Protocol):
    """Two axes in micrometres."""

    @property
    def limits_um(self) -> tuple[tuple[float, float], tuple[float, float]] | None:
        """Travel of x and of y the device declares, or None."""
        ...


@runtime_checkable
class RotationStage(Actuator[float], Protocol):
    """One axis in degrees."""

    @property
    def limits_deg(self) -> tuple[float, float] | None:
        """Travel the device declares, or None."""
        ...


@runtime_checkable
class Selector(Actuator[int], Protocol):
    """Numbered positions from 0: a filter wheel, a turret, a switch between stations.

    `check` refuses anything that is not the whole number of a position.
    """

    @property
    def labels(self) -> tuple[str, ...]:
        """Name of every position, in their order."""
        ...


@runtime_checkable
class NumericProperty(Actuator[float], Protocol):
    """One number of a device (a lens's f-number, a delay), in the device's own unit.

    `check` refuses what the device would round: a fraction where it takes whole numbers.
    """

    @property
    def limits(self) -> tuple[float, float] | None:
        """Lowest and highest value the device declares, or None."""
        ...

    @property
    def is_integer(self) -> bool:
        """Whether it takes whole numbers only."""
        ...


@runtime_checkable
class LightSource(Actuator[float], Protocol):
    """A light whose level is one number (power, current) and which can be switched off.

    A shutter is one too, of the levels 1 (open) and 0 (closed).
    """

    @property
    def unit(self) -> str:
        """Unit of the level, `mW` say."""
        ...

    @property
    def limits(self) -> tuple[float, float]:
        """Lowest and highest level allowed."""
        ...

    def is_on(self) -> bool:
        """Whether the device says that light can leave it now (output on and level above zero)."""
        ...


@runtime_checkable
class Meter(Device, Protocol):
    """A device that measures one number."""

    @property
    def unit(self) -> str:
        """Unit of the reading."""
        ...

    def read(self) -> float:
        """One reading; raises `DeviceError`, never returns NaN."""
        ...
