"""One batch: measurements of every object under the design on the bench, and what went with them.

Light is on from the first object to the last and at no other time; it is off, and verified off,
when this returns or raises.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
from jaxtyping import UInt16

from drivers import FrameLoss, Position
from instrument.bench.bench import Bench
from instrument.bench.camera_mode import temperature_c
from instrument.bench.disturbance import Disturbance, Watch
from instrument.bench.holding import PauseAsked, never
from instrument.bench.interlocks import InterlockTripped
from instrument.bench.monitors import Monitors
from instrument.bench.timing import Stopwatch
from instrument.bench.triggered import TriggeredShots, triggered_shots
from instrument.grid import Positions

DARK_FRAMES = 2

OnFrame = Callable[[int, UInt16[np.ndarray, "height width"]], None]


class BatchRefused(Exception):  # noqa: N818 - it is a decision, not a fault
    """A batch that must not be scored; says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Raw counts of many objects under one design, and what the devices said.

    Parameters
    ----------
    counts
        (objects, shots, height, width) in ADU.
    positions_um
        Read-back of the sample stage, one (x, y) an object.
    exposure_ms
        Read-back of the camera, in the first shot.
    read_back
        What the devices of the design said, one dict a shot: role to each value read in that shot,
        in the order of time and in the role's unit; a single one where the role does not differ
        between shots.
    black_level_adu
        Mean of the dark frames taken just before, light off; None on a bench without a light or
        shutter that it could switch.
    saturated_fraction, zero_fraction
        Share of counts at full scale and at zero.
    captured_at
        Start and end, UTC, ISO 8601.
    pauses
        Why and when the light was off in the middle, with the number of frames taken before.
    temperature_c
        Of the sensor, after the last frame; None where the bench file names no property for it.
    disturbances
        What something else than the bench did to the devices meanwhile.
    monitors
        Of the cameras that are not scored, by role: `mean_adu` (objects, shots) and
        `saturated_fraction`.
    stepping
        What brought the shots: this program, or the modulator's own sequence on the camera's
        trigger (`hardware`).
    """

    counts: UInt16[np.ndarray, "objects shots height width"]
    positions_um: Positions
    exposure_ms: float
    black_level_adu: float | None
    saturated_fraction: float
    zero_fraction: float
    captured_at: tuple[str, str]
    read_back: tuple[dict[str, list[float]], ...] = ()
    pauses: tuple[dict[str, Any], ...] = ()
    temperature_c: float | None = None
    disturbances: tuple[Disturbance, ...] = ()
    monitors: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    stepping: Literal["software", "hardware"] = "software"

    def record(self) -> dict[str, Any]:
        """Everything but the counts, as plain data for the ledger.

        `mean_adu` is the mean of all counts, black level included: what tells a lamp that drifts.
        """
        return {
            "objects": self.counts.shape[0],
            "shots": self.counts.shape[1],
            "mean_adu": float(self.counts.mean()),
            "stepping": self.stepping,
            "positions_um": [list(position) for position in self.positions_um],
            "exposure_ms": self.exposure_ms,
            "temperature_c": self.temperature_c,
            "disturbances": [disturbance.text for disturbance in self.disturbances],
            "monitors": self.monitors,
            "read_back": list(self.read_back),
            "black_level_adu": self.black_level_adu,
            "saturated_fraction": self.saturated_fraction,
            "zero_fraction": self.zero_fraction,
            "captured_at": list(self.captured_at),
            "pauses": list(self.pauses),
        }


def end_the_batch(held: InterlockTripped | PauseAsked) -> None:
    """Wait for nothing: raise it."""
    raise held


def capture_batch(
    bench: Bench,
    positions: Positions,
    *,
    stopwatch: Stopwatch,
    on_frame: OnFrame,
    on_trip: Callable[[InterlockTripped | PauseAsked], None] = end_the_batch,
    checkpoint: Callable[[], None] = never,
) -> Batch:
    """Visit every position with the light on and expose once a shot at each.

    Shots come in the order of the bench file: all shots of one object in turn, or all objects under
    the setting of one shot. A frame during which an interlock opened is taken again; so are all
    shots of the object where the modulator brings them by itself (`instrument.bench.triggered`).
    After every wait the sample stage is told again where to be: somebody may have been at it.

    Parameters
    ----------
    bench
        With a design applied.
    positions
        Objects of the ensemble: sample stage positions (x, y) in um.
    stopwatch
        Takes the seconds spent moving, settling, exposing, switching light.
    on_frame
        Called with index and frame; for live view, must return at once.
    on_trip
        Called in the dark when an interlock does not hold or a pause is asked; returns when the
        batch may go on.
    checkpoint
        Called before the light comes on and before every exposure; raises `PauseAsked` when the
        light is to go off for a while. What else it raises ends the batch, in the dark.

    Raises
    ------
    InterlockTripped, PauseAsked
        From `on_trip`.
    WatchdogTripped
        Something took too long with the light on; it is off.
    FrameLoss, DeviceError
        From the devices.
    """
    config = bench.config
    role, shots = config.objects.stage_grid.role, config.shots
    counts = np.empty((len(positions), shots, *bench.camera.shape), np.uint16)
    there: dict[int, Position] = {}
    started_at = _now()
    bench.show_shot(0, stopwatch=stopwatch)
    exposure_ms = bench.exposure_ms
    read_back = _first_read_back(bench)
    watch = Watch(bench, stopwatch)
    monitors = Monitors(bench, objects=len(positions), shots=shots)
    black_level_adu = black_level(bench, stopwatch=stopwatch)
    visits = deque(_visits(len(positions), shots, order=config.shots_order))
    taken, visited = 0, None
    pauses: list[dict[str, Any]] = []
    with triggered_shots(bench, stopwatch=stopwatch) as triggered:
        while visits:
            try:
                checkpoint()
                with bench.illuminated(stopwatch=stopwatch):
                    while visits:
                        checkpoint()
                        index, shot = visits[0]
                        if index != visited:
                            here = bench.move_sample(role, positions[index], stopwatch=stopwatch)
                            there.setdefault(index, here)
                            visited = index
                        frames = _take(bench, shot, triggered, read_back, stopwatch)
                        # None beside triggered shots: the config's checks refuse such a file.
                        monitors.expose(index, shot, stopwatch=stopwatch)
                        for frame in frames:
                            index, shot = visits.popleft()
                            counts[index, shot] = frame
                            on_frame(taken, counts[index, shot])
                            taken += 1
            except (InterlockTripped, PauseAsked) as held:
                if triggered is not None:
                    triggered.stop()
                pauses.append({"frames_before": taken, "at": _now(), "why": str(held)})
                visited = None
                with stopwatch.measure("pause"):
                    on_trip(held)
    if taken != len(positions) * shots:
        raise FrameLoss(f"{len(positions) * shots} frames planned, {taken} taken")
    disturbances = tuple(watch.disturbances())
    full_scale = 2**bench.camera.bit_depth - 1
    with stopwatch.measure("checks"):
        return Batch(
            counts=counts,
            positions_um=tuple(there[index] for index in range(len(positions))),
            exposure_ms=exposure_ms,
            black_level_adu=black_level_adu,
            saturated_fraction=float(np.mean(counts >= full_scale)),
            zero_fraction=float(np.mean(counts == 0)),
            captured_at=(started_at, _now()),
            read_back=read_back,
            pauses=tuple(pauses),
            temperature_c=temperature_c(bench),
            disturbances=disturbances,
            monitors=monitors.record(),
            stepping="software" if triggered is None else "hardware",
        )


def _visits(
    objects: int, shots: int, *, order: Literal["objects_first", "shots_first"]
) -> Iterator[tuple[int, int]]:
    """Object and shot of every exposure, in the order they are taken."""
    if order == "objects_first":
        return itertools.product(range(objects), range(shots))
    return ((index, shot) for shot, index in itertools.product(range(shots), range(objects)))


def _take(
    bench: Bench,
    shot: int,
    triggered: TriggeredShots | None,
    read_back: tuple[dict[str, list[float]], ...],
    stopwatch: Stopwatch,
) -> UInt16[np.ndarray, "frames height width"]:
    """Expose under a shot, or under all of them where the modulator brings them by itself."""
    if triggered is not None:
        return triggered.capture(stopwatch=stopwatch)
    for name, value in bench.show_shot(shot, stopwatch=stopwatch).items():
        read_back[shot].setdefault(name, []).append(value)
    return bench.expose(stopwatch=stopwatch)[np.newaxis]


def _first_read_back(bench: Bench) -> tuple[dict[str, list[float]], ...]:
    """Return what is known before the first exposure: the first shot, and what never changes."""
    return tuple(
        {
            role: [value]
            for role, value in bench.read_back.items()
            if shot == 0 or role not in bench.roles_per_shot
        }
        for shot in range(bench.config.shots)
    )


def capture_repeats(
    bench: Bench,
    position: Position | None,
    repeats: int,
    *,
    stopwatch: Stopwatch,
    checkpoint: Callable[[], None] = never,
    on_frame: Callable[[float], None] = lambda _seconds: None,
) -> UInt16[np.ndarray, "repeats height width"]:
    """Expose `repeats` times on one object, as `capture_batch` does once; nothing moves meanwhile.

    Without a position the sample stays where it is. `on_frame` takes the seconds of each frame.

    Raises
    ------
    InterlockTripped
        A condition does not hold; the light is off.
    PauseAsked
        From `checkpoint`, which is called as in `capture_batch`; the light is off.
    FrameLoss, DeviceError
        From the devices.
    """
    role = bench.config.objects.stage_grid.role
    counts = np.empty((repeats, *bench.camera.shape), np.uint16)
    checkpoint()
    with bench.illuminated(stopwatch=stopwatch):
        if position is not None:
            bench.move_sample(role, position, stopwatch=stopwatch)
        for index in range(repeats):
            checkpoint()
            began_s = time.perf_counter()
            counts[index] = bench.expose(stopwatch=stopwatch)
            on_frame(time.perf_counter() - began_s)
    return counts


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the bench file's policies say of a batch: warnings to record, and why it is refused."""

    warnings: list[str]
    refused: str | None


def check_batch(
    batch: Batch,
    bench: Bench,
    *,
    expected_black_adu: float,
    temperatures_c: tuple[float, float] | None = None,
) -> Verdict:
    """Apply the bench file's policies on saturation, disturbances and black level.

    Parameters
    ----------
    batch, bench
        What came, and from where.
    expected_black_adu
        Mean of a dark frame by the noise calibration.
    temperatures_c
        Lowest and highest temperature of the sensor that the calibration is for, or None.
    """
    safety = bench.config.safety
    warnings: list[str] = []
    refused = None
    if batch.saturated_fraction > safety.saturated_fraction:
        text = (
            f"{batch.saturated_fraction:.2%} of the counts are saturated, "
            f"{safety.saturated_fraction:.2%} allowed; lower exposure_ms or the light's level"
        )
        if safety.on_saturation == "fail":
            refused = text
        else:
            warnings.append(text)
    for disturbance in batch.disturbances:
        if disturbance.is_lasting and safety.on_disturbance == "fail":
            refused = disturbance.text
        else:
            warnings.append(disturbance.text)
    warm_c = batch.temperature_c
    if temperatures_c is not None and warm_c is not None:
        low_c, high_c = temperatures_c
        if not low_c <= warm_c <= high_c:
            refused = (
                f"{bench.camera.name} (role camera): the sensor is at {warm_c:g} degC, its "
                f"calibration is for {low_c:g} to {high_c:g} degC; wait until it is there, or "
                "calibrate again"
            )
    black_adu = batch.black_level_adu
    tolerance_adu = safety.black_level_tolerance_adu
    if black_adu is not None and abs(black_adu - expected_black_adu) > tolerance_adu:
        warnings.append(
            f"black level {black_adu:.2f} ADU, {expected_black_adu:.2f} ADU by the "
            "noise calibration; look for stray light, or calibrate again"
        )
    return Verdict(warnings, refused)


def black_level(bench: Bench, *, stopwatch: Stopwatch) -> float | None:
    """Return the mean of a few frames with the light off, ADU; None without a light to be off."""
    if not bench.lights():
        return None
    darks = [bench.expose(stopwatch=stopwatch) for _ in range(DARK_FRAMES)]
    return float(np.mean(darks))


def _now() -> str:
    return datetime.now(UTC).isoformat()
