"""The virtual bench: Python devices in the real Micro-Manager core. Only here is unicore known.

`UniMMCore` is experimental and about to be rewritten (pymmcore-plus #609); whatever changes there
is repaired in this file.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pymmcore_plus.experimental.unicore import (  # noqa: TID251 - the one module that may
    SimpleCameraDevice,
    SLMDevice,
    StageDevice,
    UniMMCore,
    XYStageDevice,
)

from drivers.errors import ConnectionLost
from drivers.virtual.options import PupilMicroscopeOptions
from drivers.virtual.scpi_server import ScpiServer, VirtualLed
from drivers.virtual.world import XY_TRAVEL_UM, Z_TRAVEL_UM, PupilWorld

EXPOSURE_LIMITS_MS = (0.01, 1000.0)


class VirtualCamera(SimpleCameraDevice):
    """Exposes in real time: a frame takes as long as its exposure."""

    def __init__(self, world: PupilWorld):
        super().__init__()
        self._world = world
        self._exposure_ms = 10.0
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
        return self._world.sensor.offset_adu.shape

    def dtype(self) -> type[np.uint16]:
        """Raw counts."""
        return np.uint16

    def snap(self, buffer: np.ndarray) -> Mapping[str, Any]:
        """Expose for the exposure time and read out."""
        ends_s = time.perf_counter() + self._exposure_ms / 1e3
        buffer[:] = self._world.expose(self._exposure_ms / 1e3)
        self._never.wait(max(0.0, ends_s - time.perf_counter()))  # the shutter is still open
        return {}


class VirtualSLM(SLMDevice):
    """8-bit phase modulator; read-back is what was written, before the crystal has settled."""

    def __init__(self, world: PupilWorld):
        super().__init__()
        self._world = world
        self._loaded = np.zeros(world.slm_shape, np.uint8)
        self._exposure_ms = 0.0

    def shape(self) -> tuple[int, int]:
        """(height, width); the base class says (width, height), the core uses this."""
        return self._world.slm_shape

    def dtype(self) -> type[np.uint8]:
        """8 bit."""
        return np.uint8

    def set_image(self, pixels: np.ndarray) -> None:
        """Load a pattern without showing it."""
        self._loaded = pixels.copy()

    def get_image(self) -> np.ndarray:
        """Pattern last loaded."""
        return self._loaded.copy()

    def display_image(self) -> None:
        """Show the loaded pattern."""
        self._world.show(self._loaded)

    def set_exposure(self, interval_ms: float) -> None:
        """Kept for the core; the modulator never switches off by itself."""
        self._exposure_ms = interval_ms

    def get_exposure(self) -> float:
        """Interval last set, ms."""
        return self._exposure_ms


class VirtualFocus(StageDevice):
    """Focus stage with finite speed."""

    def __init__(self, world: PupilWorld):
        super().__init__()
        self._world = world
        self.register_property(
            "Position",
            default_value=0.0,
            getter=VirtualFocus.get_position_um,
            setter=VirtualFocus.set_position_um,
            limits=Z_TRAVEL_UM,
        )

    def set_position_um(self, val: float) -> None:
        """Start moving."""
        low, high = Z_TRAVEL_UM
        if not low <= val <= high:
            raise ValueError(f"position {val} um, travel {low} to {high} um")
        self._world.move_z(val)

    def get_position_um(self) -> float:
        """Present position."""
        return self._world.z_travel.position()[0]

    def busy(self) -> bool:
        """Whether the stage is travelling."""
        return not self._world.z_travel.is_done()

    def home(self) -> None:
        """Go to zero."""
        self.set_position_um(0.0)

    def stop(self) -> None:
        """Stop here."""
        self._world.move_z(self.get_position_um())

    def set_origin(self) -> None:
        """Refused: the origin is where the hidden defocus is defined."""
        raise NotImplementedError("the virtual focus stage has a fixed origin")


class VirtualXY(XYStageDevice):
    """Sample stage with finite speed."""

    def __init__(self, world: PupilWorld):
        super().__init__()
        self._world = world

    def set_position_um(self, x: float, y: float) -> None:
        """Start moving."""
        low, high = XY_TRAVEL_UM
        if not (low <= x <= high and low <= y <= high):
            raise ValueError(f"position ({x}, {y}) um, travel {low} to {high} um")
        self._world.move_xy(x, y)

    def get_position_um(self) -> tuple[float, float]:
        """Present position."""
        x, y = self._world.xy_travel.position()
        return x, y

    def busy(self) -> bool:
        """Whether the stage is travelling."""
        return not self._world.xy_travel.is_done()

    def home(self) -> None:
        """Go to the middle."""
        self.set_position_um(0.0, 0.0)

    def stop(self) -> None:
        """Stop here."""
        self._world.move_xy(*self.get_position_um())

    def set_origin_x(self) -> None:
        """Refused: the sample map has a fixed origin."""
        raise NotImplementedError("the virtual sample stage has a fixed origin")

    def set_origin_y(self) -> None:
        """Refused: the sample map has a fixed origin."""
        raise NotImplementedError("the virtual sample stage has a fixed origin")


class VirtualBench:
    """A running virtual bench: the core, where its instruments listen, and the truth.

    Parameters
    ----------
    options
        What to simulate.
    """

    def __init__(self, options: PupilMicroscopeOptions):
        self._light = _RemoteLed(options.led) if options.led else _LocalLed()
        self.world = PupilWorld(
            seed=options.seed,
            sample=options.sample,
            fill=options.fill,
            aberration_rms_rad=options.aberration_rms_rad,
            optical_power_mw=self._light.optical_power_mw,
        )
        # No compiled adapter is needed; without a path pymmcore-plus looks for an installation of
        # Micro-Manager and complains where there is none.
        self.core = UniMMCore(mm_path=str(Path(__file__).parent))
        for label, device in {
            "Camera": VirtualCamera(self.world),
            "SLM": VirtualSLM(self.world),
            "XY": VirtualXY(self.world),
            "Z": VirtualFocus(self.world),
        }.items():
            self.core.loadPyDevice(label, device)
            self.core.initializeDevice(label)

    def address(self, name: str) -> str:
        """Return the VISA address of the bench's own instrument `name`.

        Raises
        ------
        ConnectionLost
            If this bench has none of that name.
        """
        if name != "led":
            raise ConnectionLost(
                f"the virtual bench has no instrument {name!r}; its only one is 'led'"
            )
        return self._light.address

    def truth(self) -> dict[str, float]:
        """Return what only the simulator knows of its present state."""
        return {"residual_rad": self.world.residual_rad()}

    def close(self) -> None:
        """Stop the instrument server; the core is closed by whoever drives it. Idempotent."""
        self._light.close()


class _LocalLed:
    """LED server inside this process."""

    def __init__(self) -> None:
        self._led = VirtualLed()
        self._server = ScpiServer(self._led)
        self.address = self._server.address

    def optical_power_mw(self) -> float:
        return self._led.optical_power_mw()

    def close(self) -> None:
        self._server.close()


class _RemoteLed:
    """Light of an LED server in another process; the photons travel over a socket of their own."""

    def __init__(self, where: str):
        host, port = where.rsplit(":", 1)
        self._where = where
        self.address = f"TCPIP::{host}::{port}::SOCKET"
        try:
            self._socket = socket.create_connection((host, int(port)), timeout=2.0)
        except OSError as error:
            raise ConnectionLost(
                f"virtual LED at {where}: nothing listens there ({error}); "
                "start it with `python -m drivers.virtual.scpi_server`"
            ) from error
        self._answers = self._socket.makefile("r", encoding="ascii", newline="\n")

    def optical_power_mw(self) -> float:
        try:
            self._socket.sendall(b"SIM:OPT?\n")
            return float(self._answers.readline())
        except (OSError, ValueError) as error:
            raise ConnectionLost(
                f"virtual LED at {self._where}: no power came back ({error}); start it again"
            ) from error

    def close(self) -> None:
        self._answers.close()
        self._socket.close()
