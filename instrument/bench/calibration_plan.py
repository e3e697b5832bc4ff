"""What a calibration captures: darks, a ladder of light below saturation, one level above it.

The ladder's top is chosen from a quick look, so that bright pixels stay below 85 % of saturation (a
photon-transfer top at 98 % costs 4 % of gain). It climbs by light level, or by exposure where the
light cannot be dimmed so far. One more level lies above saturation on purpose, by light within its
limits or else by exposure: without it saturation and dynamic range are not known.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from drivers import DeviceError
from instrument.bench.bench import Bench
from instrument.bench.holding import never
from instrument.bench.timing import Stopwatch
from instrument.config import ShutterRole

TOP_FRACTION = 0.85
OVEREXPOSURE = 1.5
"""Of the level at which bright pixels reach saturation; shading hides some of it."""

LONGEST_OVEREXPOSURE = 16.0
"""Of the working exposure, where the light at its limit does not saturate."""

BRIGHT_PERCENTILE = 99.9
LOOK_FRACTION = 0.1
LOOK_CLIPPED = 0.9
"""Share of full scale from which a quick look says nothing and is taken again, darker."""

LOOKS = 8
LOOK_FRAMES = 4
LOOK_STEP = 4.0
CAPTURE_TIMEOUT_S = 10.0
BYTES_AT_ONCE = 2**27
"""Frames that a sequence holds before they are added up: 128 MB."""


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
        dark_frames=200, dark_exposures=(4.0, 16.0), dark_series_frames=16, levels=12, frames=8
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All steps, and why the last one does not overexpose if it does not."""

    steps: tuple[Step, ...]
    not_overexposed: str | None

    def as_plain(self) -> dict[str, Any]:
        """Return what JSON holds."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Plan:
        """Return the plan that `as_plain` wrote."""
        return cls(
            steps=tuple(Step(**step) for step in plain["steps"]),
            not_overexposed=plain["not_overexposed"],
        )


def make_plan(bench: Bench, protocol: Protocol) -> Plan:
    """Darks first, then the ladder from below, its top found by a quick look, then one above.

    Raises
    ------
    DeviceError
        No light that can be switched off, none that reaches the camera, or too much of it.
    """
    if not bench.lights():
        raise DeviceError(
            f"{bench.camera.name} (role camera): bench.roles names no light that could be switched "
            "off, and a calibration needs the dark; add a role of kind light or shutter, or "
            "calibrate from frames on disk with `infoloop calibrate --from FOLDER`"
        )
    exposure_ms = bench.camera_role.exposure_ms
    low_ms, high_ms = bench.camera.exposure_limits_ms or (0.0, np.inf)
    darks = [Step(exposure_ms, 0.0, protocol.dark_frames)]
    darks += [
        Step(factor * exposure_ms, 0.0, protocol.dark_series_frames)
        for factor in protocol.dark_exposures
        if low_ms <= factor * exposure_ms <= high_ms
    ]
    fractions = np.linspace(0, 1, protocol.levels + 1)[1:] ** 2  # evenly spaced in noise
    is_dimmed = not isinstance(bench.roles[next(iter(bench.lights()))], ShutterRole)
    ladder = _Ladder.by_light(bench) if is_dimmed else _Ladder.by_exposure(bench)
    saturating, share = _saturating_level(bench, ladder)
    if min(ladder.highest, share * saturating) * fractions[0] < ladder.lowest:
        ladder = _Ladder.by_exposure(bench)  # a light that cannot be dimmed so far
        saturating, share = _saturating_level(bench, ladder)
    top = min(ladder.highest, share * saturating)
    levels = [max(ladder.lowest, round(top * float(f), 6)) for f in fractions]
    lit = [ladder.step(level, protocol.frames) for level in dict.fromkeys(levels)]
    over, why_not = _overexposed(bench, ladder, saturating, protocol.frames)
    return Plan(steps=(*darks, *lit, *over), not_overexposed=why_not)


def step_frames(
    bench: Bench, step: Step, *, checkpoint: Callable[[], None] = never
) -> Iterator[np.ndarray]:
    """Yield the frames of one step; dark ones only with the light verified off.

    They come in sequences of at most `BYTES_AT_ONCE`, and the light is on for a sequence only: not
    while somebody takes the frames. `checkpoint` is called before each.
    """
    bench.camera.set_exposure_ms(step.exposure_ms)
    height, width = bench.camera.shape
    at_once = max(2, BYTES_AT_ONCE // (2 * height * width))
    left = step.frames
    while left:
        count = left if left <= at_once + 1 else at_once  # a frame alone has no neighbour in time
        checkpoint()
        with _light(bench, step):
            frames = bench.capture(count, exposure_ms=step.exposure_ms, timeout_s=CAPTURE_TIMEOUT_S)
        yield from frames
        left -= count


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ladder:
    """What is raised from level to level, within which bounds, and what stays."""

    unit: str
    lowest: float
    highest: float
    look: float
    exposure_ms: float | None
    light: float | None

    @classmethod
    def by_light(cls, bench: Bench) -> _Ladder:
        light = next(iter(bench.lights().values()))
        low, high = light.limits
        look = max(low, LOOK_FRACTION * high)
        exposure_ms = bench.camera_role.exposure_ms
        return cls(
            unit=light.unit, lowest=low, highest=high, look=look, exposure_ms=exposure_ms,
            light=None,
        )  # fmt: skip

    @classmethod
    def by_exposure(cls, bench: Bench) -> _Ladder:
        exposure_ms = bench.camera_role.exposure_ms
        low, high = bench.camera.exposure_limits_ms or (0.0, 100 * exposure_ms)
        level = bench.light_level(next(iter(bench.lights())))
        return cls(
            unit="ms", lowest=low, highest=high, look=exposure_ms, exposure_ms=None, light=level
        )

    def step(self, level: float, frames: int) -> Step:
        if self.light is None:
            return Step(self.exposure_ms or 0.0, level, frames)
        return Step(level, self.light, frames)


def _overexposed(
    bench: Bench, ladder: _Ladder, saturating: float, frames: int
) -> tuple[list[Step], str | None]:
    """Return the one level above saturation, or why there is none."""
    asked = OVEREXPOSURE * saturating
    if asked <= ladder.highest:
        return [ladder.step(round(asked, 6), frames)], None
    longest_ms = (bench.camera.exposure_limits_ms or (0.0, np.inf))[1]
    if ladder.exposure_ms is not None:  # the light at its limit, for longer
        exposure_ms = round(ladder.exposure_ms * asked / ladder.highest, 6)
        if exposure_ms <= min(longest_ms, LONGEST_OVEREXPOSURE * ladder.exposure_ms):
            return [Step(exposure_ms, ladder.highest, frames)], None
    return [], (
        f"{ladder.highest:g} {ladder.unit}, the most that is allowed, gives bright pixels "
        f"{ladder.highest / saturating:.0%} of saturation, and no exposure makes up for it, so "
        "saturation and dynamic range are not known; raise exposure_ms, or the light's limits if "
        "the bench permits"
    )


def _saturating_level(bench: Bench, ladder: _Ladder) -> tuple[float, float]:
    """Return the level that saturates bright pixels, and the ladder's share of it."""
    full_adu = 2**bench.camera.bit_depth - 1
    dark_adu = float(np.median(_look(bench, Step(bench.camera_role.exposure_ms, 0.0, LOOK_FRAMES))))
    look, bright_adu = ladder.look, 0.0
    for _ in range(LOOKS):
        bright_adu = float(
            np.percentile(_look(bench, ladder.step(look, LOOK_FRAMES)), BRIGHT_PERCENTILE)
        )
        if bright_adu < LOOK_CLIPPED * full_adu or look <= ladder.lowest:
            break
        look = max(ladder.lowest, look / LOOK_STEP)
    signal_adu = bright_adu - dark_adu
    where = f"{look:g} {ladder.unit}"
    if signal_adu <= 0:
        raise DeviceError(
            f"{bench.camera.name} (role camera): no light reaches the camera at {where}; open the "
            "shutter, or raise exposure_ms"
        )
    if bright_adu >= full_adu and look > ladder.lowest:
        raise DeviceError(
            f"{bench.camera.name} (role camera): {bright_adu:.0f} of {full_adu} ADU at {where} "
            "still; shut out other light, or lower exposure_ms"
        )
    saturating = look * (full_adu - dark_adu) / signal_adu
    return saturating, (TOP_FRACTION * full_adu - dark_adu) / (full_adu - dark_adu)


def _look(bench: Bench, step: Step) -> np.ndarray:
    """Return the mean image: one frame's brightest pixels are bright by noise."""
    return np.mean(list(step_frames(bench, step)), axis=0)


@contextlib.contextmanager
def _light(bench: Bench, step: Step) -> Iterator[None]:
    lit = [role for role, light in bench.lights().items() if light.is_on()]
    if lit:
        raise DeviceError(f"{', '.join(lit)}: still on, the light was to be off between levels")
    if not step.light:
        yield
        return
    first, *others = bench.lights()
    shutters = [role for role in others if isinstance(bench.roles[role], ShutterRole)]
    levels = {first: step.light, **dict.fromkeys(others, 0.0)}
    levels |= {role: bench.light_level(role) for role in shutters}
    with bench.illuminated(stopwatch=Stopwatch(), levels=levels):
        yield
