"""What `infoloop check` shows: limits in force, interlocks with their readings, and a dry run."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from rich.markup import escape
from rich.table import Table

from drivers import Actuator, Camera, Selector
from drivers.visa import VisaChoice, VisaNumber
from instrument.bench.bench import Bench
from instrument.bench.interlocks import InterlockTripped
from instrument.bench.knobs import Setting
from instrument.bench.limits import amount, span
from instrument.bench.slew import slew_of, unit_of
from instrument.config import (
    CameraRole,
    LightRole,
    PropertyRole,
    Role,
    RotationRole,
    SelectorRole,
    ShutterRole,
    SlmRole,
    StageRole,
    XYStageRole,
    triggered_role,
)
from instrument.design import Design, DesignSpace

Limits = tuple[float, float]


def limits_table(bench: Bench) -> Table:
    """Return, by role, the limits in force, the largest move, and what making safe does."""
    table = _table("in force", "role", "limits", "slew", "made safe")
    for name, role in bench.roles.items():
        cells = (
            name,
            _in_force(bench, name, role),
            _slew(bench, name, role),
            _safe(bench, name, role),
        )
        table.add_row(*map(escape, cells))  # brackets of a label are no markup
    return table


def interlock_table(bench: Bench) -> Table:
    """Return every interlock with its present reading; reads, and raises nothing."""
    table = _table("interlocks", "reading", "now", "must be", "otherwise")
    for interlock in bench.interlocks:
        try:
            reading: float | None = interlock.check()
            style = "green"
        except InterlockTripped as tripped:
            reading, style = tripped.reading, "bold red"
        now = "no answer" if reading is None else amount(reading, interlock.meter.unit)
        state = "" if style == "green" else " OPEN"
        otherwise = "light off, the run ends"
        if interlock.action == "pause":
            otherwise = f"light off, wait {interlock.longest_pause_s:g} s at most"
        cells = map(escape, (interlock.bounds_shown(), otherwise))
        table.add_row(escape(interlock.name), f"[{style}]{escape(now + state)}[/]", *cells)
    return table


def a_design(space: DesignSpace, *, is_random: bool, seed: int) -> Design:
    """Return the start of a space, or a design drawn evenly from it."""
    if not is_random:
        return space.start
    return space.from_unit(np.random.default_rng(seed).random(space.dimension))


def dry_run_table(bench: Bench, settings: tuple[Setting, ...], title: str) -> Table:
    """Return what each role is now and would be asked for, in its unit, shot by shot.

    Parameters
    ----------
    bench
        Connected; its devices are asked where they are and told nothing.
    settings
        What `Bench.check` returned.
    title
        Of the table.
    """
    table = _table(title, "role", "device", "now", "would be asked for")
    for name in settings[0]:
        asked = [_shown(bench, name, setting[name]) for setting in settings]
        if len(set(asked)) > 1:
            asked = [f"shot {shot + 1}: {value}" for shot, value in enumerate(asked)]
        else:
            asked = asked[:1]
        cells = (name, bench.devices[name].name, _now(bench, name), "\n".join(asked))
        table.add_row(*map(escape, cells))
    return table


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _in_force(bench: Bench, name: str, role: Role) -> str:
    device: Any = bench.devices[name]
    match role:
        case StageRole(limits_um=limits):
            text = f"{span(_both(limits, device.limits_um))} um"
        case RotationRole(limits_deg=limits):
            text = f"{span(_both(limits, device.limits_deg))} deg"
        case PropertyRole(limits=limits, unit=unit):
            text = span(_both(limits, device.limits), unit)
        case LightRole(limits=limits):
            text = span(_both(limits, device.limits), device.unit)
        case XYStageRole(limits_um=limits):
            own = device.limits_um or (None, None)
            text = "\n".join(
                f"{axis} {span(_both(mine, its))} um"
                for axis, mine, its in zip("xy", limits, own, strict=True)
            )
        case ShutterRole():
            text = "closed or open"
        case CameraRole():
            text = _exposures(bench, device)
        case SlmRole():
            height, width = bench.slm(name).shape
            text = f"{height} x {width} pixels, grey 0 to {bench.slm(name).levels - 1}"
            if triggered_role(bench.config) == name:
                text += f"\nbrings the {bench.config.shots} shots by itself (trigger)"
        case SelectorRole() if isinstance(device, Selector):
            text = ", ".join(f"{n} {label}" for n, label in enumerate(device.labels))
        case _:
            text = "-"
    own_interlocks = [i for i in bench.interlocks if i.role == name]
    return "\n".join([text, *(f"interlock {i.name}: {i.bounds_shown()}" for i in own_interlocks)])


def _exposures(bench: Bench, camera: Camera) -> str:
    low, high = camera.exposure_limits_ms or (0.0, float("inf"))
    if bench.interlocks.all and bench.is_busy_exposing:
        at_a_time = 1 if triggered_role(bench.config) is None else bench.config.shots
        high = min(high, 1e3 * bench.interlocks.interval_s / at_a_time)
    return f"exposure {span((low, high))} ms"


def _slew(bench: Bench, name: str, role: Role) -> str:
    slew = slew_of(role)
    if slew is None:
        return "-"
    per = "per second" if slew.per == "s" else "a move"
    beyond = "farther in steps" if slew.beyond == "ramp" else "farther refused"
    return f"{amount(slew.most, _unit(bench, name, role))} {per}, {beyond}"


def _safe(bench: Bench, name: str, role: Role) -> str:
    device, block = bench.devices[name], bench.config.bench.block_of(role)
    match role:
        case LightRole(switch=switch, safe=safe) if block == "micromanager":
            return f"level {safe:g}" if switch is None else f"{switch.property} off, level {safe:g}"
        case LightRole(safe=safe) if block == "drivers":
            return "off"
        case LightRole(safe=safe, output=output):
            return f"level {safe:g}" if output is None else f"{output} off, level {safe:g}"
        case ShutterRole():
            return "closed"
        case SlmRole(off_value=off):
            return f"flat (all {off})"
        case CameraRole():
            return "stopped"
        case PropertyRole(unit=unit) if isinstance(device, VisaNumber) and device.safe is not None:
            return amount(device.safe, unit)
        case SelectorRole() if isinstance(device, VisaChoice) and device.safe is not None:
            return _shown(bench, name, device.safe)
    return "stays"


def _now(bench: Bench, name: str) -> str:
    role, device = bench.roles[name], bench.devices[name]
    match role:
        case SlmRole():
            return "(cannot be read)"
        case CameraRole():
            return f"{bench.exposure_of(name):g} ms"
        case LightRole():
            return "off"
        case ShutterRole():
            return "closed"
    return _shown(bench, name, cast("Actuator[Any]", device).read_back())


def _shown(bench: Bench, name: str, target: Any) -> str:
    role, device = bench.roles[name], bench.devices[name]
    if isinstance(target, np.ndarray):
        height, width = target.shape
        greys = f"grey {target.min()} to {target.max()}, mean {target.mean():.1f}"
        return f"{height} x {width} pixels, {greys}"
    if isinstance(role, SelectorRole) and isinstance(device, Selector):
        return f"{int(target)} ({device.labels[int(target)]})"
    if isinstance(role, CameraRole):
        return f"{target:g} ms"
    return amount(target, _unit(bench, name, role))


def _unit(bench: Bench, name: str, role: Role) -> str:
    return bench.lights()[name].unit if isinstance(role, LightRole) else unit_of(role)


def _both(mine: Limits, its: Limits | None) -> Limits:
    """Return the narrower of the file's limits and the device's own."""
    return mine if its is None else (max(mine[0], its[0]), min(mine[1], its[1]))
