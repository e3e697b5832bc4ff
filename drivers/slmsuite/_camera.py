"""A camera of slmsuite's (`drivers.devices.Camera`).

What slmsuite does to be helpful would change the statistics that scores stand on, and is switched
off or refused: exposures are clipped with a warning, failed frames taken again up to five times,
frames summed, exposures combined, pixels binned in software (`Camera`, 0.5.0).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivers.devices import DeviceDescription
from drivers.errors import FrameLoss, LimitViolation, ProtocolError
from drivers.slmsuite._calls import Calls
from drivers.slmsuite._describe import describe, require

_MARGIN_S = 0.25  # the camera's own time limit should strike first: after ours it is given up


class SlmsuiteCamera:
    """A camera that returns raw counts of up to 16 bits, of any make that slmsuite drives.

    Parameters
    ----------
    camera
        Instance of a subclass of `slmsuite.hardware.cameras.camera.Camera`. Its
        `capture_attempts` becomes 1.
    name
        Label of the device on this bench.
    calls
        Its thread, if it was opened on one.

    Raises
    ------
    ProtocolError
        It is no camera of slmsuite's, or one whose frames are no raw counts.
    """

    def __init__(self, camera: Any, *, name: str, calls: Calls | None = None):
        require(camera, "slmsuite.hardware.cameras.camera", "Camera", name)
        self.name = name
        self.raw = camera
        self.bit_depth = int(camera.bitdepth)
        height, width = camera.shape
        self.shape = (int(height), int(width))
        self._refuse_what_counts_no_more()
        camera.capture_attempts = 1  # a lost frame is to be known, not replaced
        self._calls = Calls(name) if calls is None else calls
        self._is_closed = False

    @property
    def exposure_limits_ms(self) -> tuple[float, float] | None:
        """Shortest and longest exposure that slmsuite has for it."""
        bounds_s = self.raw.exposure_bounds_s
        return None if bounds_s is None else (float(bounds_s[0]) * 1e3, float(bounds_s[1]) * 1e3)

    def describe(self) -> DeviceDescription:
        """Class, limits, and what slmsuite has of its sensor."""
        keys = ("bitdepth", "dtype", "pitch_um", "exposure_s", "binning", "woi")
        return self._calls(
            "describe",
            lambda: describe(
                self.raw, self.name, "camera", keys, exposure_ms=self.exposure_limits_ms
            ),
        )

    def set_exposure_ms(self, exposure_ms: float) -> float:
        """Check against the limits, beyond which slmsuite clips, set, and read back, ms."""
        low, high = self.exposure_limits_ms or (0.0, math.inf)
        if not (low <= exposure_ms <= high and 0 < exposure_ms < math.inf):  # also catches NaN
            raise LimitViolation(
                f"{self.name}: exposure {exposure_ms:g} ms asked, above 0 and {low:g} to {high:g} "
                "ms allowed; correct exposure_ms in the bench file"
            )
        set_s = self._calls(
            f"exposure {exposure_ms:g} ms",
            lambda: float(self.raw.set_exposure(exposure_ms / 1e3)),
        )
        return set_s * 1e3

    def snap(self, *, timeout_s: float) -> NDArray[np.uint16]:
        """Expose once; (height, width) copy in ADU."""

        def expose() -> NDArray[np.generic]:
            self.raw.flush(timeout_s=timeout_s)  # what a running camera took before is no answer
            return np.asarray(self.raw.get_image(timeout_s=timeout_s, hdr=False, averaging=False))

        limit_s = self._longest_s(frames=1, timeout_s=timeout_s)
        return self._counts(self._calls("snap", expose, timeout_s=limit_s), (1, *self.shape))[0]

    def capture(self, frames: int, *, timeout_s: float) -> NDArray[np.uint16]:
        """Take consecutive exposures; (frames, height, width) copies in ADU."""
        if frames < 1:
            raise LimitViolation(f"{self.name}: {frames} frames asked, at least 1 needed")

        def expose() -> NDArray[np.generic]:
            self.raw.flush(timeout_s=timeout_s)
            return np.asarray(self.raw.get_images(frames, timeout_s=timeout_s))

        limit_s = self._longest_s(frames=frames, timeout_s=timeout_s)
        stack = self._calls(f"{frames} frames", expose, timeout_s=limit_s)
        return self._counts(stack, (frames, *self.shape))

    def make_safe(self) -> None:
        """Do nothing: a camera emits nothing, and none is left running."""

    def close(self) -> None:
        """Release the camera. Idempotent."""
        if not self._is_closed:
            self._is_closed = True
            try:
                self._calls("close", self.raw.close)
            finally:
                self._calls.close()

    def _refuse_what_counts_no_more(self) -> None:
        """Refuse a camera whose frames are sums, means or floats rather than one raw readout."""
        kind = type(self.raw).__name__
        if not 1 <= self.bit_depth <= 16:
            raise ProtocolError(f"{self.name}: {kind} has {self.bit_depth} bits, 1 to 16 allowed")
        if self.raw.bitresolution != 2**self.bit_depth:
            raise ProtocolError(
                f"{self.name}: {kind} of {self.bit_depth} bits gives {self.raw.bitresolution} "
                "levels: it averages frames or bins pixels in software; take `averaging` out of "
                "its options and its binning to 1"
            )
        if np.dtype(self.raw.dtype).kind not in "iu":
            raise ProtocolError(
                f"{self.name}: frames of {kind} are {np.dtype(self.raw.dtype)}, no raw counts"
            )

    def _longest_s(self, *, frames: int, timeout_s: float) -> float:
        """Return the limit for some frames and the few before them that are thrown away."""
        flushed = 2  # by `Camera.flush`, where the camera has no better way
        return (frames + flushed) * float(self.raw.exposure_s) + timeout_s + _MARGIN_S

    def _counts(
        self, came: NDArray[np.generic], wanted: tuple[int, int, int]
    ) -> NDArray[np.uint16]:
        """Return frames as a copy in ADU; raise where some are missing or are no raw counts."""
        stack = came[None] if came.ndim == 2 else came
        if stack.shape[0] < wanted[0]:
            raise FrameLoss(
                f"{self.name}: {wanted[0]} frames asked, {stack.shape[0]} came; check its "
                "connection and trigger"
            )
        if stack.shape != wanted:
            raise FrameLoss(
                f"{self.name}: frames of {stack.shape} came, {wanted} expected; window or binning "
                "changed under us"
            )
        if stack.dtype.kind not in "iu" or stack.min() < 0 or stack.max() >= 2**self.bit_depth:
            raise ProtocolError(
                f"{self.name}: values from {stack.min()} to {stack.max()} of {stack.dtype} came, "
                f"whole counts below {2**self.bit_depth} expected; correct its bitdepth"
            )
        return stack.astype(np.uint16)  # the one copy: a driver may reuse its buffer
