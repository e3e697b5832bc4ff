"""Spatial light modulator of a Micro-Manager core.

The core has two ways for a pixel, 8-bit grey and 32-bit colour. A pattern is grey either way: on a
modulator of colour the same level goes into red, green and blue. What the core accepts was read in
pymmcore 12.5 (`pymmcore_swig_wrap.cpp`, `CMMCore_setSLMImage_pywrap`) and pymmcore-plus 0.18
(`experimental/unicore/core/_unicore.py`):

- a compiled modulator takes (height, width) uint8, or (height, width, 3) uint8 if it has 4 bytes a
  pixel;
- a Python device takes an array of its own shape, casts it to its own type without a word (300
  becomes 44), and refuses raw bytes;
- `loadSLMSequence` takes a list of bytes, of a compiled modulator one a pixel and no more, so that
  one of colour cannot be loaded.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from enum import Enum
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from drivers.devices import DeviceDescription
from drivers.errors import InstrumentReported, LimitViolation, ProtocolError
from drivers.micromanager._core import MicroManager

DISPLAY_TOLERANCE = 0.05
"""Of the time a modulator lights a pattern: they count frames of their own, and round to them."""
_EVERY_CHANNEL = 0x010101
_log = logging.getLogger(__name__)


class PixelFormat(Enum):
    """How a core takes the pixels of a modulator."""

    GREY_8 = "8-bit grey"
    RGB_8 = "32-bit colour, as three channels"
    PACKED_32 = "32-bit colour, packed"

    def pixels(self, grey: NDArray[np.uint8]) -> NDArray[np.uint8] | NDArray[np.uint32]:
        """Return grey levels as the core takes them, the same in every channel."""
        match self:
            case PixelFormat.GREY_8:
                return np.ascontiguousarray(grey)
            case PixelFormat.RGB_8:
                return np.repeat(grey[:, :, np.newaxis], 3, axis=2)
            case PixelFormat.PACKED_32:
                return grey.astype(np.uint32) * np.uint32(_EVERY_CHANNEL)


@runtime_checkable
class _HoldsPythonDevices(Protocol):
    """A core that knows devices written in Python beside compiled ones."""

    def isPyDevice(self, label: str) -> bool:  # noqa: N802 - the core's name
        """Whether the device of this label is written in Python."""
        ...


class MicroManagerSLM:
    """A modulator of grey levels (`drivers.devices.SpatialLightModulator`).

    It is a `drivers.devices.SequencedModulator` too, of `sequence_length` 0 where the device has no
    sequences.

    Parameters
    ----------
    manager
        Owner of the core.
    label
        Of the device.
    display_ms
        How long the modulator lights a pattern, where it has a light of its own; None leaves it.
    shows_on_load
        Whether it shows a pattern when it is loaded, so that it must not be told to display it.
    flat_level
        Grey level of the safe state: 0, or what is off.

    Raises
    ------
    ConnectionLost, ProtocolError
        No such device, or none whose pixels we know.
    InstrumentReported
        It takes no such time.
    """

    levels = 256

    def __init__(
        self,
        manager: MicroManager,
        label: str,
        *,
        display_ms: float | None = None,
        shows_on_load: bool = False,
        flat_level: int = 0,
    ):
        manager.require(label, "slm")
        self.name = label
        self._manager = manager
        self._core = manager.core
        self._shows_on_load = shows_on_load
        self._flat_level = flat_level
        self.shape = manager.call(f"{label}: format", self._read_shape)
        self.pixel_format = self._read_format()
        self.sequence_length = self._read_sequence_length()
        self._shown: NDArray[np.uint8] | None = None
        self._is_stepping = False
        if display_ms is not None:
            self._set_display_ms(display_ms)

    def describe(self) -> DeviceDescription:
        """Identity, pixels, longest sequence and every property."""
        described = self._manager.describe(self.name, "slm", grey_level=(0, self.levels - 1))
        own = {
            "pixels": self.pixel_format.value,
            "longest sequence": str(self.sequence_length),
        }
        return replace(described, properties={**described.properties, **own})

    def check(self, target: NDArray[np.uint8]) -> None:
        """Refuse anything but uint8 of the exact shape: the core would wrap or stretch it."""
        pattern = np.asarray(target)
        if pattern.dtype != np.uint8 or pattern.shape != self.shape:
            raise LimitViolation(
                f"{self.name}: a pattern of {pattern.dtype} {pattern.shape} asked, "
                f"uint8 {self.shape} needed; the core would wrap what 8 bits do not hold"
            )

    def start(self, target: NDArray[np.uint8]) -> None:
        """Load and show a pattern; ends a sequence."""
        self.check(target)
        self.stop_sequence()
        pixels = self.pixel_format.pixels(np.asarray(target))

        def show() -> None:
            self._core.setSLMImage(self.name, pixels)
            if not self._shows_on_load:
                self._core.displaySLMImage(self.name)

        self._shown = None  # unknown, should it fail half-way
        self._manager.call(f"{self.name}: show a pattern", show)
        self._shown = np.array(target, dtype=np.uint8)

    def wait(self, *, timeout_s: float) -> None:
        """Wait until the device is not busy; the crystal settles later (`settle_ms`)."""
        self._manager.wait(self.name, timeout_s=timeout_s)

    def read_back(self) -> NDArray[np.uint8]:
        """Pattern last shown; most modulators cannot be read, so this is what was sent."""
        if self._shown is None:
            raise InstrumentReported(f"{self.name}: no pattern is known to be shown")
        return self._shown.copy()

    # ---- sequences in hardware

    def load_sequence(self, patterns: Sequence[NDArray[np.uint8]], *, timeout_s: float) -> None:
        """Send patterns that the device will step through by itself; what is shown stays.

        Raises
        ------
        LimitViolation
            More patterns than the device holds, none, or one that `check` refuses. Nothing is sent.
        InstrumentReported, DeviceTimeout
            From the core.
        """
        if not 1 <= len(patterns) <= self.sequence_length:
            most = self.sequence_length or "none: step through them one by one"
            raise LimitViolation(
                f"{self.name}: a sequence of {len(patterns)} patterns asked, the device holds "
                f"{most}"
            )
        for pattern in patterns:
            self.check(pattern)
        self.stop_sequence()
        images = [self.pixel_format.pixels(np.asarray(p)).tobytes() for p in patterns]
        self._manager.call(
            f"{self.name}: load a sequence",
            lambda: self._core.loadSLMSequence(self.name, images),
            timeout_s=timeout_s,
        )

    def start_sequence(self) -> None:
        """Show the first pattern; every trigger brings the next."""
        self._shown = None
        self._is_stepping = True  # also if it fails half-way, so that it is stopped
        self._manager.call(
            f"{self.name}: start the sequence", lambda: self._core.startSLMSequence(self.name)
        )

    def stop_sequence(self) -> None:
        """Stop stepping; idempotent. Which pattern stays is not known."""
        if not self._is_stepping:
            return
        self._manager.call(
            f"{self.name}: stop the sequence", lambda: self._core.stopSLMSequence(self.name)
        )
        self._is_stepping = False

    # ---- the ways out

    def make_safe(self) -> None:
        """Flat, also where a sequence cannot be stopped."""
        try:
            self.stop_sequence()
        finally:
            self._is_stepping = False
            self.start(np.full(self.shape, self._flat_level, np.uint8))

    def close(self) -> None:
        """Nothing of its own to release; the core is closed by its owner."""

    # ---- what the device says

    def _read_shape(self) -> tuple[int, int]:
        return self._core.getSLMHeight(self.name), self._core.getSLMWidth(self.name)

    def _read_format(self) -> PixelFormat:
        core, label = self._core, self.name

        def read() -> tuple[int, int]:
            return core.getSLMBytesPerPixel(label), core.getSLMNumberOfComponents(label)

        n_bytes, channels = self._manager.call(f"{label}: pixels", read)
        match n_bytes, channels, self._is_python:
            case 1, 1, _:
                return PixelFormat.GREY_8
            case (1, 3, True) | (4, _, False):
                return PixelFormat.RGB_8
            case 4, 1, True:
                return PixelFormat.PACKED_32
        raise ProtocolError(
            f"{label}: pixels of {n_bytes} bytes and {channels} channels; modulators of 8-bit grey "
            "and of 32-bit colour are known"
        )

    def _read_sequence_length(self) -> int:
        """Read the longest sequence, 0 where there is none to be had."""
        label = self.name
        if self.pixel_format is PixelFormat.RGB_8 and not self._is_python:
            return 0  # the core's wrapper refuses more than a byte a pixel
        try:
            return int(
                self._manager.call(
                    f"{label}: longest sequence", lambda: self._core.getSLMSequenceMaxLength(label)
                )
            )
        except InstrumentReported as error:  # compiled modulators without sequences say it so
            _log.info("%s has no sequences: %s", label, error)
            return 0

    @property
    def _is_python(self) -> bool:
        core = self._core
        return isinstance(core, _HoldsPythonDevices) and core.isPyDevice(self.name)

    def _set_display_ms(self, display_ms: float) -> None:
        core, label = self._core, self.name
        if not 0 < display_ms < float("inf"):
            raise LimitViolation(f"{label}: display_ms {display_ms:g} asked, above 0 needed")

        def set_it() -> float:
            core.setSLMExposure(label, display_ms)
            return core.getSLMExposure(label)

        there_ms = self._manager.call(f"{label}: display time", set_it)
        if not abs(there_ms - display_ms) <= DISPLAY_TOLERANCE * display_ms:  # also catches NaN
            raise ProtocolError(
                f"{label}: a display time of {display_ms:g} ms asked, {there_ms:g} ms read back; "
                "correct display_ms, or leave it out"
            )
