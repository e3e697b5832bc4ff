"""Python devices for the real Micro-Manager core. Only here is unicore known.

`UniMMCore` is experimental and about to be rewritten (pymmcore-plus #609); whatever changes there
is repaired in this file.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from pymmcore_plus.experimental.unicore import (  # noqa: TID251 - the one module that may
    GenericDevice,
    SimpleCameraDevice,
    SLMDevice,
    StageDevice,
    StateDevice,
    UniMMCore,
    XYStageDevice,
)

from drivers.virtual.travel import Axes
from drivers.virtual.worlds.protocol import World

EXPOSURE_LIMITS_MS = (0.01, 1000.0)
LONGEST_SLM_SEQUENCE = 64

VirtualDevice = (
    SimpleCameraDevice | SLMDevice | StageDevice | XYStageDevice | StateDevice | GenericDevice
)


class ShowsPatterns(Protocol):
    """A world with a modulator of 8-bit grey levels."""

    @property
    def slm_shape(self) -> tuple[int, int]:
        """(height, width) of a pattern."""
        ...

    def show(self, pattern: np.ndarray) -> None:
        """Let the modulator go to `pattern`; raise `ValueError` where it cannot."""
        ...


class HasChoices(Protocol):
    """A world with a selector."""

    choices: tuple[str, ...]
    choice: int

    def choose(self, choice: int) -> None:
        """Go to `choices[choice]`."""
        ...


@dataclass(frozen=True, slots=True)
class Knob:
    """A numeric property of a device: an attribute of the world, with the range of its motor."""

    attribute: str
    limits: tuple[float, float]


def core_with(devices: Mapping[str, VirtualDevice]) -> UniMMCore:
    """Return a core with these devices loaded and initialised, by label."""
    # No compiled adapter is needed; without a path pymmcore-plus looks for an installation of
    # Micro-Manager and complains where there is none.
    core = UniMMCore(mm_path=str(Path(__file__).parent))
    for label, device in devices.items():
        core.loadPyDevice(label, device)
        core.initializeDevice(label)
    return core


class VirtualCamera(SimpleCameraDevice):
    """Exposes in real time: a frame takes as long as its exposure.

    `exposure_out` is called at the end of every exposure, like the line of that name.
    """

    def __init__(
        self,
        world: World,
        *,
        exposure_ms: float = 10.0,
        exposure_out: Callable[[], None] = lambda: None,
    ):
        super().__init__()
        self._world = world
        self._exposure_ms = exposure_ms
        self._exposure_out = exposure_out
        self._never = threading.Event()
        self.set_property_limits("Exposure", EXPOSURE_LIMITS_MS)
        self.register_property("BitDepth", default_value=world.sensor.bit_depth, is_read_only=True)

    def get_exposure(self) -> float:
        """Exposure in ms."""
        return self._exposure_ms

    def set_exposure(self, exposure: float) -> None:
        """Set the exposure in ms."""
        low, high = EXPOSURE_LIMITS_MS
        if not low <= exposure <= high:
            raise ValueError(f"exposure {exposure} ms, allowed {low} to {high} ms")
        self._exposure_ms = exposure

    def get_camera_name(self) -> str:
        """Name that a calibration is keyed by."""
        return "infoloop virtual sCMOS"

    def sensor_shape(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self._world.sensor.shape

    def dtype(self) -> type[np.uint16]:
        """Raw counts."""
        return np.uint16

    def snap(self, buffer: np.ndarray) -> Mapping[str, Any]:
        """Expose for the exposure time and read out."""
        ends_s = time.perf_counter() + self._exposure_ms / 1e3
        buffer[:] = self._world.expose(self._exposure_ms / 1e3)
        self._never.wait(max(0.0, ends_s - time.perf_counter()))  # the shutter is still open
        self._exposure_out()
        return {}


SlmPixels = Literal["grey8", "rgb8", "packed32"]
"""Pixels of a virtual modulator: a byte, three bytes, or 0x00RRGGBB in 32 bits."""


class VirtualSLM(SLMDevice):
    """Modulator of 8-bit levels; read-back is what was written, before a crystal has settled.

    Parameters
    ----------
    world
        Shows its grey levels.
    pixels
        How it takes them; a colour that is no grey is refused.
    longest_sequence
        Patterns that it holds and steps through on its trigger input (`trigger_in`).
    """

    def __init__(
        self,
        world: ShowsPatterns,
        *,
        pixels: SlmPixels = "grey8",
        longest_sequence: int = LONGEST_SLM_SEQUENCE,
    ):
        super().__init__()
        self._world = world
        self._pixels: SlmPixels = pixels
        self._longest_sequence = longest_sequence
        self._loaded = np.zeros(self.shape(), self.dtype())
        self._sequence: list[np.ndarray] = []
        self._step: int | None = None
        self._exposure_ms = 0.0

    def shape(self) -> tuple[int, ...]:
        """(height, width); the base class says (width, height), the core uses this."""
        shape = self._world.slm_shape
        return (*shape, 3) if self._pixels == "rgb8" else shape

    def dtype(self) -> type[np.uint8] | type[np.uint32]:
        """8 bit, or 32 for packed colour."""
        return np.uint32 if self._pixels == "packed32" else np.uint8

    def set_image(self, pixels: np.ndarray) -> None:
        """Load a pattern without showing it."""
        self._grey(pixels)
        self._loaded = pixels.copy()

    def get_image(self) -> np.ndarray:
        """Pattern last loaded."""
        return self._loaded.copy()

    def get_sequence_max_length(self) -> int:
        """Most patterns of a sequence."""
        return self._longest_sequence

    def send_sequence(self, sequence: Sequence[np.ndarray]) -> None:
        """Keep patterns for a sequence."""
        self._sequence = [self._grey(pixels).copy() for pixels in sequence]

    def start_sequence(self) -> None:
        """Show the first pattern and listen to the trigger input."""
        if not self._sequence:
            raise RuntimeError("no sequence is loaded")
        self._step = 0
        self._world.show(self._sequence[0])

    def stop_sequence(self) -> None:
        """Listen no more; the pattern stays."""
        self._step = None

    def trigger_in(self) -> None:
        """Go to the next pattern of a running sequence, after the last one to the first."""
        if self._step is not None:
            self._step = (self._step + 1) % len(self._sequence)
            self._world.show(self._sequence[self._step])

    def _grey(self, pixels: np.ndarray) -> np.ndarray:
        match self._pixels:
            case "grey8":
                return pixels
            case "rgb8":
                channels = np.moveaxis(pixels, 2, 0)
            case "packed32":
                channels = np.stack([(pixels >> shift) & 0xFF for shift in (16, 8, 0)])
        if np.any(channels != channels[:1]):
            raise ValueError("red, green and blue differ; this modulator has one level a pixel")
        return channels[0].astype(np.uint8)

    def display_image(self) -> None:
        """Show the loaded pattern."""
        self._world.show(self._grey(self._loaded))

    def set_exposure(self, interval_ms: float) -> None:
        """Kept for the core; the modulator never switches off by itself."""
        self._exposure_ms = interval_ms

    def get_exposure(self) -> float:
        """Interval last set, ms."""
        return self._exposure_ms


class VirtualStage(StageDevice):
    """One axis with finite speed, in its own unit (um, deg)."""

    def __init__(self, axis: Axes):
        super().__init__()
        self._axis = axis
        self.register_property(
            "Position",
            default_value=0.0,
            getter=VirtualStage.get_position_um,
            setter=VirtualStage.set_position_um,
            limits=axis.limits[0],
        )

    def set_position_um(self, val: float) -> None:
        """Start moving."""
        self._axis.move(val)

    def get_position_um(self) -> float:
        """Present position."""
        return self._axis.position()[0]

    def busy(self) -> bool:
        """Whether the stage is travelling."""
        return not self._axis.is_done()

    def home(self) -> None:
        """Go to zero."""
        self.set_position_um(0.0)

    def stop(self) -> None:
        """Stop here."""
        self._axis.move(self.get_position_um())

    def set_origin(self) -> None:
        """Refused: the world's zero is where it is."""
        raise NotImplementedError("a virtual stage has a fixed origin")


class VirtualXY(XYStageDevice):
    """Sample stage with finite speed."""

    def __init__(self, axes: Axes):
        super().__init__()
        self._axes = axes

    def set_position_um(self, x: float, y: float) -> None:
        """Start moving."""
        self._axes.move(x, y)

    def get_position_um(self) -> tuple[float, float]:
        """Present position."""
        x, y = self._axes.position()
        return x, y

    def busy(self) -> bool:
        """Whether the stage is travelling."""
        return not self._axes.is_done()

    def home(self) -> None:
        """Go to the middle."""
        self.set_position_um(0.0, 0.0)

    def stop(self) -> None:
        """Stop here."""
        self._axes.move(*self.get_position_um())

    def set_origin_x(self) -> None:
        """Refused: the sample has a fixed origin."""
        raise NotImplementedError("the virtual sample stage has a fixed origin")

    def set_origin_y(self) -> None:
        """Refused: the sample has a fixed origin."""
        raise NotImplementedError("the virtual sample stage has a fixed origin")


class VirtualSelector(StateDevice):
    """A switch with labelled positions."""

    def __init__(self, world: HasChoices):
        super().__init__(dict(enumerate(world.choices)))
        self._world = world

    def get_state(self) -> int:
        """Index of the present position."""
        return self._world.choice

    def set_state(self, position: int) -> None:
        """Switch."""
        self._world.choose(position)


class VirtualKnobs(GenericDevice):
    """A device that is nothing but numeric properties."""

    def __init__(self, world: object, knobs: Mapping[str, Knob]):
        super().__init__()
        self._world = world
        for name, knob in knobs.items():
            self._register(name, knob)

    def _register(self, name: str, knob: Knob) -> None:
        low, high = knob.limits

        def read(device: VirtualKnobs) -> float:
            return float(getattr(device._world, knob.attribute))

        def write(device: VirtualKnobs, value: float) -> None:
            if not low <= value <= high:
                raise ValueError(f"{name} {value}, allowed {low} to {high}")
            setattr(device._world, knob.attribute, float(value))

        self.register_property(
            name,
            default_value=float(getattr(self._world, knob.attribute)),
            getter=read,
            setter=write,
            limits=knob.limits,
        )
