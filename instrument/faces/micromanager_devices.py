"""What `infoloop devices --config` says: a bench file to begin with, its devices as comments.

The file is one that `infoloop check` accepts. Limits are narrow and around where the stages are
now, because Micro-Manager knows no travel: whoever owns the bench widens them.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import yaml

from drivers.micromanager import (
    FoundDevice,
    Inventory,
    MicroManager,
    PropertyFacts,
    take_inventory,
)

FOCUS_UM, SEARCH_UM = 50.0, 10.0
"""Half of the limits of a stage in the starter, and of the bounds of the search."""
GRID_COUNT, GRID_SPACING_UM, MARGIN_UM = 36, 50.0, 50.0
EXPOSURE_MS = 10.0
PIXEL_TYPES = ("16bit", "8bit")
"""What can be scored, best first."""
TEMPERATURES = ("CCDTemperature RO", "CCDTemperature", "Sensor Temperature", "Temperature")
LEVELS = re.compile(r"intensity|power|level|brightness|current", re.IGNORECASE)
"""Names of properties that may be a lamp's."""
WIDTH = 110
_USE = {
    "camera": "camera",
    "slm": "modulator: slm",
    "stage": "stage: focus",
    "xy_stage": "sample stage: sample",
    "selector": "selector",
    "shutter": "shutter",
}


def starter_of(config: Path, adapters: Path | None) -> str:
    """Load a `.cfg` and return a bench file for it; raises `DeviceError` if it cannot be loaded."""
    config = config.resolve()
    folders = [adapters] if adapters else []
    manager = MicroManager.from_config(config, adapter_paths=folders)
    try:
        found = take_inventory(manager)
    finally:
        manager.close()
    return starter(found, config=config, adapters=adapters and adapters.resolve())


def starter(found: Inventory, *, config: Path, adapters: Path | None) -> str:
    """Return a bench file for a `.cfg`, with what is in it as comments.

    Parameters
    ----------
    found
        What the core says of its devices.
    config, adapters
        As the bench file shall name them; absolute, so that the file may lie anywhere.
    """
    lines = ["# Devices:", *(line for device in found.devices for line in _device(device))]
    if found.groups:
        lines.append("# Config groups (micromanager.presets, or group of a role):")
        for name, presets in found.groups.items():
            lines += _comment(f"{name}: {', '.join(presets)}", indent=2)
    where = f"config: {json.dumps(str(config))}"
    if adapters is not None:
        where += f", adapters: {json.dumps(str(adapters))}"
    lines += [
        "# Yours to choose: limits, the grid of objects, what is searched, the camera's noise.",
        "bench:",
        f"  micromanager: {{{where}}}",
        "  roles:",
        *(f"    {line}" for line in _roles(found)),
        *_objects(found),
        *_design(found),
        "# From the data sheet (ADU/e-, ADU, e- rms), or {calibrate: quick} where a light or a",
        "# shutter can be switched.",
        "noise: {gain: 1.0, offset: 100, read_noise: 2.0}",
        "search: {trials: 20}",
        "output: runs/",
    ]
    return "\n".join(lines)


# ---- comments


def _device(device: FoundDevice) -> Iterator[str]:
    use = _USE.get(device.kind or "", "light" if _lamp(device) else "no role")
    text = f"{device.label}: {device.type} ({device.identity}), {use}{_where(device)}"
    yield from _comment(text, indent=2)
    limited = [f"{name} {_range(facts)}" for name, facts in _settable(device) if _range(facts)]
    yield from _comment(", ".join(limited), indent=4)


def _comment(text: str, *, indent: int) -> list[str]:
    start = "#" + " " * indent
    return textwrap.wrap(text, WIDTH, initial_indent=start, subsequent_indent=start + "  ")


def _where(device: FoundDevice) -> str:
    if device.position:
        return f", at {', '.join(f'{p:g}' for p in device.position)} um"
    return f", positions {', '.join(device.labels)}" if device.labels else ""


def _settable(device: FoundDevice) -> Iterator[tuple[str, PropertyFacts]]:
    for name, facts in device.properties.items():
        if not (facts.is_read_only or facts.is_pre_init):
            yield name, facts


def _range(facts: PropertyFacts) -> str:
    if facts.limits is not None:
        return f"{facts.limits[0]:g} to {facts.limits[1]:g}"
    return " | ".join(facts.allowed)


def _lamp(device: FoundDevice) -> str | None:
    """Name of a property that may be the level of a lamp."""
    if device.kind is not None:
        return None
    for name, facts in _settable(device):
        if facts.is_number and facts.limits is not None and LEVELS.search(name):
            return name
    return None


# ---- the file


def _roles(found: Inventory) -> Iterator[str]:
    taken: set[str] = set()
    for kind, name in (("camera", "camera"), ("xy_stage", "sample"), ("stage", "focus")):
        first, *others = found.of_kind(kind) or [None]
        if first is None:
            yield f"# {name}: there is no {kind.replace('_', ' ')} in the .cfg, and one is needed"
            continue
        taken.add(name)
        yield f"{name}: {_role(first)}"
        for other in others:
            if other is not None:
                yield f"# {_name(other, taken)}: {_role(other)}"
    for device in found.of_kind("shutter"):
        is_core_s = device.label == found.defaults.get("shutter")
        name = "shutter" if is_core_s else _name(device, taken)
        yield f"{'' if is_core_s else '# '}{name}: {{kind: shutter, device: {_text(device.label)}}}"
    for device in found.of_kind("selector"):
        yield f"{_name(device, taken)}: {{kind: selector, device: {_text(device.label)}}}"
    for device in found.of_kind("slm"):
        yield f"# {_name(device, taken)}: {{kind: slm, device: {_text(device.label)}}}"
    for device in found.devices:
        lamp = _lamp(device)
        if lamp is not None:
            low, high = device.properties[lamp].limits or (0.0, 0.0)
            yield (
                f"# {_name(device, taken)}: {{kind: light, device: {_text(device.label)}, "
                f"property: {_text(lamp)}, level: {low:g}, limits: [{low:g}, {high:g}], "
                f"safe: {low:g}}}    # and switch: {{property: ..., on: ..., off: ...}}"
            )


def _role(device: FoundDevice) -> str:
    label = _text(device.label)
    match device.kind:
        case "camera":
            return f"{{device: {label}, exposure_ms: {_exposure_ms(device):g}{_mode(device)}}}"
        case "xy_stage":
            half = MARGIN_UM + GRID_SPACING_UM * (GRID_COUNT**0.5) / 2
            limits = ", ".join(f"[{p - half:g}, {p + half:g}]" for p in device.position)
            return f"{{device: {label}, limits_um: [{limits}]}}"
        case _:
            low, high = _around(device, FOCUS_UM)
            return f"{{device: {label}, limits_um: [{low:g}, {high:g}]}}"


def _exposure_ms(camera: FoundDevice) -> float:
    facts = camera.properties.get("Exposure")
    low, high = (facts.limits if facts else None) or (0.0, EXPOSURE_MS)
    return min(max(EXPOSURE_MS, low), high)


def _mode(camera: FoundDevice) -> str:
    """Pixel type where the present one cannot be scored, and the thermometer if there is one."""
    said = ""
    pixels = camera.properties.get("PixelType")
    if pixels is not None and pixels.text not in PIXEL_TYPES:
        usable = next((name for name in PIXEL_TYPES if name in pixels.allowed), None)
        said += f", pixel_type: {usable}" if usable else ""
    thermometer = next(
        (n for n in TEMPERATURES if n in camera.properties and camera.properties[n].is_number), None
    )
    return said + (f", temperature: {_text(thermometer)}" if thermometer else "")


def _around(stage: FoundDevice, half_um: float) -> tuple[float, float]:
    """Range around where a stage is, within the travel that it declares."""
    here = stage.position[0]
    facts = stage.properties.get("Position")
    low, high = (facts.limits if facts else None) or (here - half_um, here + half_um)
    return max(low, here - half_um), min(high, here + half_um)


def _objects(found: Inventory) -> Iterator[str]:
    stages = found.of_kind("xy_stage")
    centre = stages[0].position if stages else (0.0, 0.0)
    yield (
        f"objects: {{stage_grid: {{role: sample, count: {GRID_COUNT}, spacing_um: "
        f"{GRID_SPACING_UM:g}, centre_um: [{centre[0]:g}, {centre[1]:g}]}}}}"
    )


def _design(found: Inventory) -> Iterator[str]:
    yield "design:"
    stages, cameras = found.of_kind("stage"), found.of_kind("camera")
    if stages:
        low, high = _around(stages[0], SEARCH_UM)
        yield f"  focus: {{role: focus, bounds_um: [{low:g}, {high:g}]}}"
    elif cameras:
        exposure_ms = _exposure_ms(cameras[0])
        yield f"  exposure: {{role: camera, bounds_ms: [{exposure_ms / 2:g}, {exposure_ms:g}]}}"


def _name(device: FoundDevice, taken: set[str]) -> str:
    """Return a role's name for a device: its label in small letters, if nothing has it yet."""
    stem = re.sub(r"\W+", "_", device.label).strip("_").lower()
    if not stem or yaml.safe_load(stem) != stem:  # YAML takes `on` for true, `1` for a number
        stem = f"device_{stem}"
    name, number = stem, 2
    while name in taken or name in {"camera", "sample", "focus", "slm", "light", "shutter"}:
        name, number = f"{stem}_{number}", number + 1
    taken.add(name)
    return name


def _text(label: str) -> str:
    """Return a label as YAML: as it is where that is safe, quoted otherwise."""
    is_plain = re.fullmatch(r"[A-Za-z]\w*", label) and yaml.safe_load(label) == label
    return label if is_plain else json.dumps(label)
