"""Calibrate the camera on its own bench: darks with the light verified off, then a ladder of light.

The ladder is chosen from a quick look, so that its top stays below 85 % of saturation (a
photon-transfer top at 98 % costs 4 % of gain). It climbs by light level where the bench has a
light, and by exposure where it has none. Levels are saved as they come.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from drivers import DeviceError
from estimation import SensorNoise
from estimation.calibration import CalibrationResult, SensorCalibration
from instrument.bench.bench import Bench
from instrument.bench.timing import Stopwatch

TOP_FRACTION = 0.85
BRIGHT_PERCENTILE = 99.9
LOOK_FRACTION = 0.1
CAPTURE_TIMEOUT_S = 10.0

OnLevel = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """How many frames of what.

    Parameters
    ----------
    dark_frames
        At the working exposure: they carry the offset and read-noise maps.
    dark_exposures
        Factors of the working exposure for the dark current, `dark_series_frames` at each.
    levels, frames
        Steps of the ladder, and frames at each.
    """

    dark_frames: int
    dark_exposures: tuple[float, ...]
    dark_series_frames: int
    levels: int
    frames: int


PROTOCOLS = {
    "quick": Protocol(
        dark_frames=100, dark_exposures=(4.0, 16.0), dark_series_frames=16, levels=12, frames=8
    ),
    "full": Protocol(
        dark_frames=400, dark_exposures=(4.0, 16.0, 64.0), dark_series_frames=32, levels=20,
        frames=32,
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """One level to be captured: how long, under how much light, how often."""

    exposure_ms: float
    light: float
    frames: int

    def __str__(self) -> str:
        return f"{self.light:g} at {self.exposure_ms:g} ms" if self.light else (
            f"dark at {self.exposure_ms:g} ms"
        )  # fmt: skip


def calibrate(
    bench: Bench, protocol: Protocol, *, state: Path | None, on_level: OnLevel
) -> CalibrationResult:
    """Capture what `protocol` asks for and fit the camera's noise.

    Parameters
    ----------
    bench
        Connected; the sample stays where it is, and need not be flat: frames are compared with
        each other, pixel by pixel.
    protocol
        One of `PROTOCOLS`.
    state
        File of the frames' sums; levels that it holds already are not captured again.
    on_level
        Called with steps done, steps in all, and what was captured.

    Raises
    ------
    estimation.calibration.CalibrationRefused
        The frames do not support a calibration; says what to do.
    DeviceError, InterlockTripped
        From the bench; the light is off.
    """
    sums = SensorCalibration(bit_depth=bench.camera.bit_depth)
    if state is not None and state.exists():
        sums = SensorCalibration.load(state)
    steps = plan_steps(bench, protocol)
    for done, step in enumerate(steps):
        if sums.levels.get((step.exposure_ms / 1e3, step.light), 0) < step.frames:
            frames = _capture(bench, step)
            sums.add(frames, exposure_s=step.exposure_ms / 1e3, light=step.light)
            if state is not None:
                sums.save(state)
        on_level(done + 1, len(steps), str(step))
    bench.camera.set_exposure_ms(bench.camera_role.exposure_ms)
    return sums.fit()


def camera_key(bench: Bench) -> dict[str, Any]:
    """Say which camera, in which mode, frames of this bench come from."""
    camera = bench.camera.describe()
    return {
        "camera": f"{camera.identity}:{camera.name}",
        "shape": list(bench.camera.shape),
        "binning": camera.properties.get("Binning", "1"),
        "pixel_type": camera.properties.get("PixelType", ""),
        "exposure_ms": bench.exposure_ms,
    }


def as_noise(result: CalibrationResult, bench: Bench, protocol: Protocol) -> SensorNoise:
    """Noise for scoring frames of this bench, keyed by the camera and mode it was measured in.

    The responsivity map is left out: on a bench whose sample is in view it holds the sample. With a
    gain map it stays, because the two are one scale.
    """
    responsivity = None if result.gain_map is None else result.noise.responsivity
    key = camera_key(bench)
    exposure_ms = key.pop("exposure_ms")
    longest_ms = exposure_ms * max((1.0, *protocol.dark_exposures))
    key["exposure_ms_range"] = [exposure_ms, longest_ms]
    return replace(result.noise, responsivity=responsivity, exposure_ms=exposure_ms, key=key)


def plan_steps(bench: Bench, protocol: Protocol) -> list[Step]:
    """Darks first, then the ladder from below, its top found by a quick look."""
    exposure_ms = bench.camera_role.exposure_ms
    low_ms, high_ms = bench.camera.exposure_limits_ms or (0.0, np.inf)
    darks = [Step(exposure_ms, 0.0, protocol.dark_frames)]
    darks += [
        Step(factor * exposure_ms, 0.0, protocol.dark_series_frames)
        for factor in protocol.dark_exposures
        if low_ms <= factor * exposure_ms <= high_ms
    ]
    top = _top_of_ladder(bench)
    fractions = np.linspace(0, 1, protocol.levels + 1)[1:] ** 2  # evenly spaced in noise
    if bench.lights():
        ladder = [Step(exposure_ms, round(top * f, 6), protocol.frames) for f in fractions]
    else:
        ladder = [
            Step(max(low_ms, round(top * f, 6)), round(top * f, 6), protocol.frames)
            for f in fractions
        ]
    return darks + ladder


def _top_of_ladder(bench: Bench) -> float:
    """Light level, or exposure in ms, at which bright pixels reach 85 % of saturation."""
    full_adu = 2**bench.camera.bit_depth - 1
    exposure_ms = bench.camera_role.exposure_ms
    lights = bench.lights()
    highest = next(iter(lights.values())).limits[1] if lights else _longest_ms(bench)
    look = LOOK_FRACTION * highest if lights else exposure_ms
    dark_adu = float(np.median(_capture(bench, Step(exposure_ms, 0.0, 2))))
    bright = _capture(bench, Step(exposure_ms if lights else look, look, 2))
    signal_adu = float(np.percentile(bright, BRIGHT_PERCENTILE)) - dark_adu
    if signal_adu <= 0:
        raise DeviceError(
            f"{bench.camera.name} (role camera): no light reaches the camera at {look:g}; open the "
            "shutter, or raise exposure_ms"
        )
    return min(highest, look * (TOP_FRACTION * full_adu - dark_adu) / signal_adu)


def _longest_ms(bench: Bench) -> float:
    limits = bench.camera.exposure_limits_ms
    return limits[1] if limits else 100 * bench.camera_role.exposure_ms


def _capture(bench: Bench, step: Step) -> np.ndarray:
    """Frames of one step, (frames, height, width); dark ones only with the light verified off."""
    bench.camera.set_exposure_ms(step.exposure_ms)
    with _light(bench, step):
        return bench.camera.capture(step.frames, timeout_s=CAPTURE_TIMEOUT_S)


@contextlib.contextmanager
def _light(bench: Bench, step: Step) -> Iterator[None]:
    lit = [role for role, light in bench.lights().items() if light.is_on()]
    if lit:
        raise DeviceError(f"{', '.join(lit)}: still on, the light was to be off between levels")
    if not step.light or not bench.lights():
        yield
        return
    first, *others = bench.lights()
    levels = {first: step.light, **dict.fromkeys(others, 0.0)}
    with bench.illuminated(stopwatch=Stopwatch(), levels=levels):
        yield
