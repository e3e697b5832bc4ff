"""Random designs on a bench of spies: what may never happen, judged by a reckoning of its own.

The devices here obey anything: whatever keeps them within the file's limits is the bench. The space
is wider than the limits, as if somebody had got the bounds wrong. `judge` says what went wrong with
one case; it knows the limits from its own table and not from the code under test. Shared by
`test_random_designs.py` and `benchmarks/random_designs.py`.
"""

import math
from dataclasses import dataclass, replace

from hypothesis import strategies as st

from drivers import LimitViolation
from instrument.bench.bench import Bench
from instrument.bench.interlocks import Interlock, PositionReading
from instrument.bench.timing import Stopwatch
from instrument.design import Design, DesignError, DesignSpace
from tests.instrument.fakes import (
    FakeCamera,
    FakeLight,
    FakeProperty,
    FakeRotation,
    FakeSelector,
    FakeSlm,
    FakeStage,
    FakeXY,
    Log,
    make_config,
)

SHOTS = 2
ROLES = {
    "focus": {"device": "Z", "limits_um": [-50, 50], "slew": {"most": 15}},
    "angle": {"device": "Rotation", "limits_deg": [0, 180]},
    "iris": {
        "device": "Lens", "property": "FNumber", "limits": [1, 6], "tolerance": 0.01,
        "slew": {"most": 3, "beyond": "refuse"},
    },
    "stations": {"device": "Stations"},
    "leds": {"device": "LEDs"},
}  # fmt: skip
DESIGN = {
    "focus": {"role": "focus", "bounds_um": [-50, 39]},
    "leds": {"role": "leds", "basis": "superpixel", "cells": [1, 2], "per_shot": True},
    "angle": {"role": "angle", "bounds_deg": [0, 180], "per_shot": True},
    "f_number": {"role": "iris", "bounds": [1, 6], "start": 2},
    "array": {"role": "stations", "choices": "all"},
    "integration": {"role": "camera", "bounds_ms": [0.5, 300]},
    "power": {"role": "light", "bounds": [1, 15], "per_shot": True},
}
FOCUS_INTERLOCK_UM = 40.0
WIDE = {
    "focus": (-500.0, 500.0), "angle": (-500.0, 500.0), "f_number": (-50.0, 50.0),
    "integration": (-10.0, 5000.0), "power": (-40.0, 400.0),
}  # fmt: skip
"""What the space allows beyond the limits."""

ALLOWED = {
    "pupil": (-2.0, 2.0), "leds": (0.0, 255.0), "focus": (-50.0, 50.0), "angle": (0.0, 180.0),
    "f_number": (1.0, 6.0), "array": (0.0, 3.0), "integration": (0.1, 1000.0), "power": (0.0, 20.0),
}  # fmt: skip
SIZES = {"pupil": 3, "leds": 2 * SHOTS, "angle": SHOTS, "power": SHOTS}
"""Components of each parameter; one where nothing is said."""

LARGEST_F_NUMBER_STEP = 3.0
COMMANDS = {
    "Z": (-50.0, FOCUS_INTERLOCK_UM), "Rotation": (0.0, 180.0), "Lens": (1.0, 6.0),
    "Stations": (0.0, 3.0), "Camera": (0.1, 1000.0), "led": (0.0, 20.0), "XY": (-500.0, 500.0),
}  # fmt: skip
"""What a device may be told, by its label; the modulators take any 8-bit pattern."""


class Obeys:
    """A device that refuses nothing by itself."""

    def check(self, target):
        pass


class SpyStage(Obeys, FakeStage):
    pass


class SpyRotation(Obeys, FakeRotation):
    pass


class SpyProperty(Obeys, FakeProperty):
    pass


class SpySelector(Obeys, FakeSelector):
    pass


class SpyLight(Obeys, FakeLight):
    pass


class SpyCamera(FakeCamera):
    def set_exposure_ms(self, exposure_ms):
        self.note("start", exposure_ms)
        return exposure_ms


def spied_bench(tmp_path):
    """Return a bench of every kind of role, with all that its devices are told in `bench.log`."""
    config = make_config(
        tmp_path, bench={"roles": ROLES}, design=DESIGN, shots=SHOTS,
        safety={"interlock_interval_s": 60, "watchdog_s": 60},
    )  # fmt: skip
    log = Log()
    stage, xy, slm, light = (
        SpyStage("Z", log),
        FakeXY("XY", log),
        FakeSlm("SLM", log),
        SpyLight("led", log),
    )
    devices = {
        "camera": SpyCamera("Camera", log, stage=stage, xy=xy, slm=slm, light=light), "slm": slm,
        "sample": xy, "focus": stage, "light": light, "angle": SpyRotation("Rotation", log),
        "iris": SpyProperty("Lens", log, at=2.0), "stations": SpySelector("Stations", log),
        "leds": FakeSlm("LEDs", log),
    }  # fmt: skip
    interlock = Interlock(
        name="focus", meter=PositionReading(stage, "", "um"), below=FOCUS_INTERLOCK_UM,
        role="focus", is_behind_core=True,
    )  # fmt: skip
    bench = Bench(
        config, {name: devices[name] for name in config.bench.roles}, interlocks=[interlock]
    )
    bench.log = log
    bench.lied_to = _wide(bench.space())
    return bench


def _wide(space):
    return DesignSpace(
        tuple(
            replace(p, lower=WIDE[p.name][0], upper=WIDE[p.name][1], bounds=())
            if p.name in WIDE else p
            for p in space.parameters
        )
    )  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A design, and where the sample is sent under it."""

    design: Design
    positions: tuple


@dataclass(frozen=True)
class Verdict:
    """Whether the case was allowed, and what happened that may not."""

    is_valid: bool
    violations: tuple


def _value(name):
    low, high = ALLOWED[name]
    if name == "array":
        return st.integers(0, 3).map(float)
    return st.floats(low, 39.0 if name == "focus" else high)


def _bad(name):
    """Values that are wrong; most of them beyond the limits and yet within the space."""
    low, high = ALLOWED[name]
    far = st.sampled_from([math.nan, math.inf, -math.inf, low - 1e-6, high + 1e-6, 1e300, -1e300])
    if name not in WIDE:
        return st.one_of(far, st.just(1.5) if name == "array" else st.just(2 * high + 1))
    lowest, highest = WIDE[name]
    within = [st.floats(high, highest, exclude_min=True), st.floats(lowest, low, exclude_max=True)]
    if name == "focus":
        within.append(st.floats(FOCUS_INTERLOCK_UM, high))
    return st.one_of(*within, far)


@st.composite
def cases(draw):
    """Many good; the others wrong in one or two values, in size, or in names."""
    values = {}
    for name in ALLOWED:
        size = SIZES.get(name, 1)
        values[name] = tuple(draw(st.lists(_value(name), min_size=size, max_size=size)))
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 1, 2]))):
        name = draw(st.sampled_from(sorted(set(values) & set(ALLOWED))))
        match draw(st.sampled_from([*["value"] * 9, "size", "name", "gone"])):
            case "value":
                components = list(values[name]) or [0.0]
                components[draw(st.integers(0, len(components) - 1))] = draw(_bad(name))
                values[name] = tuple(components)
            case "size":
                values[name] = values[name][:-1] if draw(st.booleans()) else (*values[name], 0.0)
            case "name":
                values["unknown"] = (0.0,)
            case _:
                values.pop(name)
    coordinate = st.one_of(st.floats(-500, 500), st.sampled_from([math.nan, 500.001, -1e6]))
    positions = draw(st.lists(st.tuples(coordinate, coordinate), max_size=2))
    return Case(Design(values), tuple(positions))


def is_allowed(design, f_number_now):
    """Reckon, without the code under test, whether a design may be applied."""
    values = design.values
    if set(values) != set(ALLOWED):
        return False
    for name, (low, high) in ALLOWED.items():
        components = values[name]
        if len(components) != SIZES.get(name, 1):
            return False
        if not all(low <= value <= high for value in components):
            return False
    return (
        values["array"][0] == int(values["array"][0])
        and values["focus"][0] < FOCUS_INTERLOCK_UM
        and abs(values["f_number"][0] - f_number_now) <= LARGEST_F_NUMBER_STEP
    )


def judge(bench, case):
    """Apply a design, show its shots in the light, move the sample; say what may not have been."""
    log, violations = bench.log, []
    log.calls.clear()
    is_valid = is_allowed(case.design, bench.devices["iris"].at)
    try:
        bench.apply(case.design, space=bench.lied_to, stopwatch=Stopwatch())
    except (DesignError, LimitViolation):
        if log.calls:
            violations.append(f"refused, but {log.calls[0]}")
        if is_valid:
            violations.append("refused, but every value is allowed")
    else:
        if not is_valid:
            violations.append("applied, but a value is not allowed")
        _expose(bench, case)
    violations += [
        f"{name} told {value}" for name, what, value in log.calls if not _may(name, what, value)
    ]
    if bench.devices["light"].is_on():
        violations.append("the light is on")
    return Verdict(is_valid, tuple(violations))


def _expose(bench, case):
    stopwatch = Stopwatch()
    with bench.illuminated(stopwatch=stopwatch):
        for shot in range(SHOTS):
            bench.show_shot(shot, stopwatch=stopwatch)
            for position in case.positions:
                try:
                    bench.move_sample("sample", position, stopwatch=stopwatch)
                except LimitViolation:
                    continue


def _may(name, what, value):
    if what != "start" or value == "pattern":
        return True
    low, high = COMMANDS[name]
    numbers = value if isinstance(value, tuple) else (value,)
    return all(low <= number <= high for number in numbers)
