"""Which camera, in which mode, frames come from: what a calibration of its noise is keyed by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drivers import HasTemperature
from instrument.bench.bench import Bench

NOISE_PROPERTIES = ("CameraID", "Gain", "EMGain", "ReadoutMode", "Offset")
"""Micro-Manager's standard names of what the noise depends on (MMDevice's `g_Keyword_...`)."""

TEMPERATURE_SPAN_C = 2.0
"""Degrees by which a sensor may be off its calibration: the dark current is then 20 % off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraMode:
    """All of a camera that its noise must fit; of a bench, or as a run has recorded it.

    Parameters
    ----------
    key
        `camera_key`: camera, mode, and the working exposure in ms as `exposure_ms`.
    bit_depth
        Of its counts.
    temperature_c
        Of its sensor, None where none is read.
    """

    key: Mapping[str, Any]
    bit_depth: int
    temperature_c: float | None

    @property
    def exposure_ms(self) -> float:
        """The working exposure, ms."""
        return float(self.key["exposure_ms"])

    def identity(self, *, exposure_ms: float) -> dict[str, Any]:
        """Return what a calibration is compared with, for frames of one exposure."""
        warmth = {} if self.temperature_c is None else {"temperature_c": self.temperature_c}
        return {**self.key, **warmth, "exposure_ms": exposure_ms}


def camera_mode(bench: Bench) -> CameraMode:
    """Ask the camera whose frames are scored."""
    return CameraMode(
        key=camera_key(bench), bit_depth=bench.camera.bit_depth, temperature_c=temperature_c(bench)
    )


def camera_key(bench: Bench) -> dict[str, Any]:
    """Say which camera, in which mode, frames of this bench come from.

    Every property that the bench file sets belongs to the mode, and those of `NOISE_PROPERTIES`
    that the camera has. The temperature drifts and is not among them: `temperature_c`.
    """
    camera = bench.camera.describe()
    said = camera.properties
    in_mode = [*NOISE_PROPERTIES, *bench.camera_role.properties]
    return {
        "camera": f"{camera.identity}:{camera.name}",
        "shape": list(bench.camera.shape),
        "binning": said.get("Binning", "1"),
        "pixel_type": said.get("PixelType", ""),
        "exposure_ms": bench.exposure_ms,
        **({"roi": said["ROI"]} if "ROI" in said else {}),
        **{f"property {name}": said[name] for name in in_mode if name in said},
    }


def temperature_c(bench: Bench) -> float | None:
    """Temperature of the sensor that is scored, degrees Celsius; None where none is read."""
    camera = bench.camera
    return camera.temperature_c() if isinstance(camera, HasTemperature) else None


def temperature_key(bench: Bench) -> dict[str, list[float]]:
    """Temperatures at which a calibration made now may be used; empty where none is read."""
    warm_c = temperature_c(bench)
    if warm_c is None:
        return {}
    return {"temperature_c_range": [warm_c - TEMPERATURE_SPAN_C, warm_c + TEMPERATURE_SPAN_C]}
