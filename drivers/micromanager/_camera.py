"""Camera of a Micro-Manager core."""

from __future__ import annotations

import contextlib
import math
import time
import weakref
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from drivers.devices import DeviceDescription
from drivers.errors import (
    DeviceError,
    DeviceTimeout,
    FrameLoss,
    LimitViolation,
    ProtocolError,
)
from drivers.micromanager._camera_settings import (
    CameraSettings,
    apply_camera_settings,
    read_roi,
    read_temperature_c,
)
from drivers.micromanager._core import MicroManager
from drivers.micromanager._settings import PropertyValue, verify_properties

_POLL_S = 1e-3
_SLICE_S = 0.02


class MicroManagerCamera:
    """A camera that returns raw 8- to 16-bit counts (`drivers.devices.Camera`).

    Parameters
    ----------
    manager
        Owner of the core.
    label
        Device label.
    settings
        Mode to bring it to; None takes the camera as it is.

    Raises
    ------
    ConnectionLost, ProtocolError, LimitViolation
        There is no such camera, or it is not in the mode asked for: what was asked, what it allows
        and what it read back are named.
    """

    def __init__(
        self, manager: MicroManager, label: str, *, settings: CameraSettings | None = None
    ):
        manager.require(label, "camera")
        self.name = label
        self._manager = manager
        self._core = manager.core
        self._settings = settings
        self._set_properties: dict[str, PropertyValue] = {}
        self._roi = read_roi(manager, label)
        if settings is not None:
            self._set_properties, self._roi = apply_camera_settings(manager, label, settings)
        self._exposure_limits_ms = manager.property_limits(label, "Exposure")
        self._exposure_ms = manager.call(
            f"{label}: exposure", lambda: self._core.getExposure(label)
        )
        self._last_buffer: weakref.ref[NDArray[np.generic]] | None = None
        self._hands_out_its_buffer: bool | None = None
        self.shape, self.bit_depth = manager.call(f"{label}: format", self._format)

    @property
    def exposure_limits_ms(self) -> tuple[float, float] | None:
        """Shortest and longest exposure the device declares."""
        return self._exposure_limits_ms

    def describe(self) -> DeviceDescription:
        """Identity, limits, region (`ROI`: x, y, width, height) and every property."""
        said = self._manager.describe(self.name, "camera", exposure_ms=self._exposure_limits_ms)
        roi = ", ".join(map(str, read_roi(self._manager, self.name)))
        return replace(said, properties={**said.properties, "ROI": roi})

    def temperature_c(self) -> float | None:
        """Temperature of the sensor in degrees Celsius; None where the settings name none."""
        if self._settings is None or self._settings.temperature is None:
            return None
        return read_temperature_c(self._manager, self.name, self._settings.temperature)

    def verify(self) -> None:
        """Raise `ProtocolError` if exposure, region or a property set is another by now."""
        verify_properties(self._manager, self.name, self._set_properties)
        roi = read_roi(self._manager, self.name)
        exposure_ms = self._manager.call(
            f"{self.name}: exposure", lambda: self._core.getExposure(self.name)
        )
        if roi != self._roi:
            raise ProtocolError(
                f"{self.name}: region {list(self._roi)} was set, {list(roi)} read back; "
                "something else changes it"
            )
        if not abs(exposure_ms - self._exposure_ms) <= 1e-6 * self._exposure_ms:
            raise ProtocolError(
                f"{self.name}: exposure {self._exposure_ms:g} ms was set, {exposure_ms:g} ms read "
                "back; something else changes it"
            )

    def set_exposure_ms(self, exposure_ms: float) -> float:
        """Check against the limits, which the core itself does not, set, and read back."""
        low, high = self._exposure_limits_ms or (0.0, math.inf)
        if not (low <= exposure_ms <= high and 0 < exposure_ms < math.inf):  # also catches NaN
            raise LimitViolation(
                f"{self.name}: exposure {exposure_ms:g} ms asked, above 0 and {low:g} to {high:g} "
                "ms allowed; correct exposure_ms in the bench file"
            )

        def set_and_read() -> float:
            self._core.setExposure(self.name, exposure_ms)
            return self._core.getExposure(self.name)

        self._exposure_ms = self._manager.call(
            f"{self.name}: exposure {exposure_ms:g} ms", set_and_read
        )
        return self._exposure_ms

    def snap(self, *, timeout_s: float) -> NDArray[np.uint16]:
        """Expose once; (height, width) copy in ADU."""

        def expose() -> NDArray[np.generic]:
            self._select()
            self._core.snapImage()
            frame = self._core.getImage()
            if self._hands_out_its_buffer is None:
                # The C++ core copies for every caller, a Python camera lends the same array to all.
                self._hands_out_its_buffer = np.shares_memory(frame, self._core.getImage())
            return frame

        frame = self._manager.call(
            f"{self.name}: snap", expose, timeout_s=self._exposure_ms / 1e3 + timeout_s
        )
        # The core keeps the last frame of a Python camera and hands it out again when none came.
        if self._last_buffer is not None and self._last_buffer() is frame:
            raise FrameLoss(f"{self.name}: 1 frame asked, none came; check its connection")
        self._last_buffer = weakref.ref(frame)
        self._require_format(frame)
        return frame.astype(np.uint16, copy=bool(self._hands_out_its_buffer))

    def capture(self, frames: int, *, timeout_s: float) -> NDArray[np.uint16]:
        """Run a finite sequence and count what arrives; (frames, height, width) in ADU."""
        if frames < 1:
            raise LimitViolation(f"{self.name}: {frames} frames asked, at least 1 needed")
        stack = np.empty((frames, *self.shape), np.uint16)
        deadline_s = time.monotonic() + frames * self._exposure_ms / 1e3 + timeout_s
        self._manager.call(f"{self.name}: start sequence", lambda: self._start(frames))
        try:
            taken = 0
            while taken < frames:
                taken += self._take(stack, taken, deadline_s)
        except BaseException:
            with contextlib.suppress(DeviceError):  # what went wrong first is what counts
                self._stop()
            raise
        self._stop()
        return stack

    def make_safe(self) -> None:
        """Stop any sequence; a camera emits nothing."""

        def stop() -> None:
            if self._core.isSequenceRunning(self.name):
                self._core.stopSequenceAcquisition(self.name)

        self._manager.call(f"{self.name}: stop", stop)

    def close(self) -> None:
        """Nothing of its own to release; the core is closed by its owner."""

    def _format(self) -> tuple[tuple[int, int], int]:
        self._select()
        core = self._core
        if core.getNumberOfComponents() != 1 or core.getBytesPerPixel() > 2:
            raise ValueError(
                f"{core.getBytesPerPixel()} bytes and {core.getNumberOfComponents()} components a "
                "pixel; set PixelType to 8bit or 16bit: bits are counted on raw counts"
            )
        # A Python camera of the virtual bench cannot report its depth through the core.
        depth = core.getProperty(self.name, "BitDepth") if self._has_depth() else None
        return (core.getImageHeight(), core.getImageWidth()), int(depth or core.getImageBitDepth())

    def _has_depth(self) -> bool:
        return bool(self._core.hasProperty(self.name, "BitDepth"))

    def _select(self) -> None:
        if self._core.getCameraDevice() != self.name:
            self._core.setCameraDevice(self.name)

    def _start(self, frames: int) -> None:
        self._select()
        # It empties the buffer, and stops on overflow: a frame that was overwritten must not be
        # scored as another.
        self._core.startSequenceAcquisition(frames, 0.0, True)

    def _stop(self) -> None:
        self._manager.call(
            f"{self.name}: stop sequence", lambda: self._core.stopSequenceAcquisition(self.name)
        )

    def _take(self, stack: NDArray[np.uint16], taken: int, deadline_s: float) -> int:
        """Move what arrives in a slice of time into `stack`, after those `taken`; return how many.

        Asking for every frame in a call of its own would cost two switches of threads each.
        """
        frames = len(stack)

        def take() -> tuple[bool, int]:
            until_s = time.monotonic() + _SLICE_S
            running, place = True, taken
            while place < frames and time.monotonic() < until_s:
                running = self._core.isSequenceRunning(self.name)  # before the count: it may end
                if self._core.getRemainingImageCount() > 0:
                    frame = self._core.popNextImage()
                    self._require_format(frame)
                    stack[place] = frame  # the one copy: the core may reuse its buffer
                    place += 1
                elif running:
                    time.sleep(_POLL_S)  # the core offers no event for a new frame
                else:
                    break
            return running, place - taken

        running, arrived = self._manager.call(f"{self.name}: frame {taken + 1} of {frames}", take)
        if not (running or arrived):
            raise FrameLoss(
                f"{self.name}: {frames} frames asked, {taken} came before the camera stopped; "
                "check its connection and the sequence buffer"
            )
        if taken + arrived < frames and time.monotonic() > deadline_s:
            raise DeviceTimeout(
                f"{self.name}: {frames} frames asked, {taken + arrived} came in time; "
                "check trigger and exposure"
            )
        return arrived

    def _require_format(self, frame: NDArray[np.generic]) -> None:
        if frame.shape != self.shape or frame.dtype not in (np.uint8, np.uint16):
            raise FrameLoss(
                f"{self.name}: a frame of {frame.dtype} {frame.shape} came, uint16 {self.shape} "
                "expected; ROI, binning or pixel type changed under us"
            )
