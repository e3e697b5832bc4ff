"""Calibrate the camera on its own bench, level by level, from a plan that an interruption survives.

Frames are added up as they come and never held; after every level the sums are on the disk. Plan
and sums lie in one file, with the camera they belong to.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from drivers import DeviceError
from estimation import SensorNoise
from estimation.calibration import (
    CalibrationResult,
    CalibrationWarning,
    Finding,
    SensorCalibration,
)
from instrument.bench.bench import Bench
from instrument.bench.calibration_plan import PROTOCOLS, Plan, Protocol, make_plan, step_frames
from instrument.bench.camera_mode import camera_key, temperature_key
from instrument.bench.holding import never

__all__ = ["PROTOCOLS", "OnLevel", "Protocol", "as_noise", "calibrate", "camera_key", "forget"]

OnLevel = Callable[[int, int, str], None]

SAMPLE_IN_VIEW = (
    "the bench's sample was in view, so responsivity and PRNU are the sample's and the lamp's, not "
    "the sensor's, and the scores do without them; for the sensor's own, calibrate on an empty, "
    "evenly lit field"
)


def calibrate(
    bench: Bench,
    protocol: Protocol,
    *,
    state: Path | None,
    on_level: OnLevel,
    checkpoint: Callable[[], None] = never,
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
        File of the frames' sums, with the plan beside it (`.plan.json`); levels that it holds
        already are not captured again. The caller removes both (`forget`) when all is well.
    on_level
        Called with steps done, steps in all, and what was captured.
    checkpoint
        Called in the dark before every sequence of frames; what it raises (`PauseAsked`) costs the
        frames of one level.

    Raises
    ------
    estimation.calibration.CalibrationRefused
        The frames do not support a calibration; says what to do.
    DeviceError, InterlockTripped
        From the bench; the light is off. Also if `state` is another camera's or protocol's.
    """
    checkpoint()
    plan, sums = _begin(bench, protocol, state)
    for done, step in enumerate(plan.steps):
        exposure_s = step.exposure_ms / 1e3
        if (exposure_s, step.light) not in sums.levels:
            frames = step_frames(bench, step, checkpoint=checkpoint)
            sums.add(frames, exposure_s=exposure_s, light=step.light)
            if state is not None:
                _save(sums, state)
        on_level(done + 1, len(plan.steps), str(step))
    bench.camera.set_exposure_ms(bench.camera_role.exposure_ms)
    return _with_bench_findings(sums.fit(), plan)


def forget(state: Path) -> None:
    """Remove what an interrupted calibration would go on from."""
    state.unlink(missing_ok=True)
    _plan_file(state).unlink(missing_ok=True)


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
    key.update(temperature_key(bench))
    return replace(result.noise, responsivity=responsivity, exposure_ms=exposure_ms, key=key)


# ---- plan and sums on the disk


def _begin(bench: Bench, protocol: Protocol, state: Path | None) -> tuple[Plan, SensorCalibration]:
    """Make a plan, or take up the one of an interrupted calibration with its sums."""
    empty = SensorCalibration(bit_depth=bench.camera.bit_depth)
    if state is None:
        return make_plan(bench, protocol), empty
    header = {
        "key": camera_key(bench),
        "bit_depth": bench.camera.bit_depth,
        "protocol": json.loads(json.dumps(asdict(protocol))),
    }
    file = _plan_file(state)
    if file.exists():
        recorded = json.loads(file.read_text(encoding="utf-8"))
        if {name: recorded[name] for name in header} != header:
            differing = ", ".join(name for name in header if recorded[name] != header[name])
            raise DeviceError(
                f"{bench.camera.name} (role camera): {state} holds an interrupted calibration of "
                f"another {differing}; go on with that one, or remove {state} and {file} to start "
                "afresh"
            )
        sums = SensorCalibration.load(state) if state.exists() else empty
        return Plan.from_plain(recorded["plan"]), sums
    state.unlink(missing_ok=True)  # sums without a plan cannot be told apart from another bench's
    plan = make_plan(bench, protocol)
    _replace(file, lambda path: path.write_text(json.dumps({**header, "plan": plan.as_plain()})))
    return plan, empty


def _plan_file(state: Path) -> Path:
    return state.with_suffix(".plan.json")


def _save(sums: SensorCalibration, state: Path) -> None:
    _replace(state, sums.save)


def _replace(path: Path, write: Callable[[Path], Any]) -> None:
    """Write beside `path`, then rename: a kill leaves the old file or the new one."""
    partial = path.with_name(path.name + ".partial")
    write(partial)
    partial.replace(path)


# ---- what the frames cannot know


def _with_bench_findings(result: CalibrationResult, plan: Plan) -> CalibrationResult:
    """Add what only the bench knows: the sample in view, and light too weak to overexpose."""
    found = [*result.warnings, CalibrationWarning(Finding.SAMPLE_IN_VIEW, SAMPLE_IN_VIEW)]
    if plan.not_overexposed is not None:
        found = [
            CalibrationWarning(warning.name, plan.not_overexposed)
            if warning.name == Finding.SATURATION_NOT_REACHED
            else warning
            for warning in found
        ]
    return replace(result, warnings=tuple(found))
