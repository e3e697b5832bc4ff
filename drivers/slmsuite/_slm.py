"""A modulator of slmsuite's (`drivers.devices.SpatialLightModulator`).

slmsuite thinks in phases: floats are wrapped, corrected by a measured wavefront and scaled by
wavelength. We send grey levels. Of its ways to show a pattern the one for integers of the
modulator's own type "is passed directly" (`SLM.set_phase`, 0.5.0); that this holds is checked on
every pattern.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivers.devices import DeviceDescription
from drivers.errors import DeviceTimeout, LimitViolation, ProtocolError
from drivers.slmsuite._calls import CALL_TIMEOUT_S, Calls
from drivers.slmsuite._describe import describe, require


class SlmsuiteSLM:
    """A modulator of up to 8 bits, of any make that slmsuite drives.

    Parameters
    ----------
    slm
        Instance of a subclass of `slmsuite.hardware.slms.slm.SLM`.
    name
        Label of the device on this bench.
    calls
        Its thread, if it was opened on one.

    Raises
    ------
    ProtocolError
        It is no modulator of slmsuite's, or one of more than 8 bits.
    """

    def __init__(self, slm: Any, *, name: str, calls: Calls | None = None):
        require(slm, "slmsuite.hardware.slms.slm", "SLM", name)
        self.name = name
        self.raw = slm
        height, width = slm.shape
        self.shape = (int(height), int(width))
        self.levels = 2 ** int(slm.bitdepth)
        if slm.bitdepth > 8 or slm.dtype != np.uint8:
            raise ProtocolError(
                f"{name}: {type(slm).__name__} has {slm.bitdepth} bits, patterns here have 8; "
                "give it bitdepth: 8 if it can be driven so"
            )
        self._settle_s = float(slm.settle_time_s)
        self._settled_at_s = time.monotonic()
        self._calls = Calls(name) if calls is None else calls
        self._is_closed = False

    def describe(self) -> DeviceDescription:
        """Class, geometry, wavelength and settling time, as slmsuite has them."""
        keys = ("bitdepth", "pitch_um", "wav_um", "wav_design_um", "settle_time_s")
        return describe(self.raw, self.name, "slm", keys, grey_level=(0.0, self.levels - 1.0))

    def check(self, target: NDArray[np.uint8]) -> None:
        """Refuse anything but uint8 of the exact shape: slmsuite would crop it."""
        pattern = np.asarray(target)
        if pattern.dtype != np.uint8 or pattern.shape != self.shape:
            raise LimitViolation(
                f"{self.name}: a pattern of {pattern.dtype} {pattern.shape} asked, "
                f"uint8 {self.shape} needed"
            )
        if pattern.size and pattern.max() >= self.levels:
            raise LimitViolation(
                f"{self.name}: grey level {pattern.max()} asked, 0 to {self.levels - 1} allowed"
            )

    def start(self, target: NDArray[np.uint8]) -> None:
        """Show a pattern; returns when slmsuite has handed it to the modulator.

        Raises
        ------
        LimitViolation
            It is no pattern of this modulator.
        ProtocolError
            slmsuite altered it on its way.
        DeviceError
            What the modulator said.
        """
        self.check(target)
        pattern = np.array(target)  # a copy: slmsuite may keep what it is given
        shown = self._calls("show a pattern", lambda: self._show(pattern))
        self._settled_at_s = time.monotonic() + self._settle_s
        if shown.shape != pattern.shape or not np.array_equal(shown, pattern):
            raise ProtocolError(
                f"{self.name}: {type(self.raw).__name__} turned the pattern into another "
                f"({shown.dtype} {shown.shape}); it cannot show grey levels as they are"
            )

    def wait(self, *, timeout_s: float) -> None:
        """Wait as long as its `settle_time_s` says; raise `DeviceTimeout` if that is too long."""
        left_s = self._settled_at_s - time.monotonic()
        if left_s > timeout_s:
            raise DeviceTimeout(
                f"{self.name}: settles for {self._settle_s:g} s, {timeout_s:g} s allowed; "
                "shorten settle_time_s in its options"
            )
        time.sleep(
            max(left_s, 0.0)
        )  # the crystal says nothing; the vendor's figure is all there is

    def read_back(self) -> NDArray[np.uint8]:
        """Grey levels that slmsuite holds for the ones on the modulator."""
        return self._calls("read the pattern", lambda: _as_numpy(self.raw.display).copy())

    def make_safe(self) -> None:
        """Flat: all grey levels 0."""
        self.start(np.zeros(self.shape, np.uint8))
        self.wait(timeout_s=CALL_TIMEOUT_S)

    def close(self) -> None:
        """Release the modulator. Idempotent."""
        if not self._is_closed:
            self._is_closed = True
            try:
                self._calls("close", self.raw.close)
            finally:
                self._calls.close()

    def _show(self, pattern: NDArray[np.uint8]) -> NDArray[np.generic]:
        sent = self.raw.set_phase(pattern, phase_correct=False, settle=False)
        return _as_numpy(sent).copy()


def _as_numpy(array: Any) -> NDArray[Any]:
    """On the host, wherever slmsuite keeps it (it uses CuPy where that is installed)."""
    from slmsuite.misc.xp import as_numpy

    return np.asarray(as_numpy(array))
