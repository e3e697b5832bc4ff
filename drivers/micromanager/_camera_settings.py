"""The mode a camera is brought to when the bench connects: whatever a crash left, set and verified.

Order matters: the pixel type and the binning first, because they reset the region on most cameras,
then the other properties, then the region, in binned pixels. All is read back at the end, because
one setting may have changed another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from drivers.errors import LimitViolation, ProtocolError
from drivers.micromanager._core import MicroManager
from drivers.micromanager._settings import (
    PropertyValue,
    as_number,
    check_properties,
    property_facts,
    set_properties,
    verify_properties,
)

Roi = tuple[int, int, int, int]
"""x, y, width, height in (binned) pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraSettings:
    """The mode of a camera.

    Parameters
    ----------
    roi
        Region of interest in binned pixels; None is the whole sensor.
    binning
        Pixels added up along each side; None leaves it.
    pixel_type
        `8bit`, `16bit`, as the device calls it; None leaves it.
    properties
        Any other property of the device to its value, in the order they are to be set.
    temperature
        Property that holds the sensor's temperature in degrees Celsius, or None.
    sequence_buffer_mb
        Memory for the frames of a sequence, MB; None leaves it.
    """

    roi: Roi | None = None
    binning: int | None = None
    pixel_type: str | None = None
    properties: Mapping[str, PropertyValue] = field(default_factory=dict[str, PropertyValue])
    temperature: str | None = None
    sequence_buffer_mb: int | None = None


def apply_camera_settings(
    manager: MicroManager, label: str, settings: CameraSettings
) -> tuple[dict[str, PropertyValue], Roi]:
    """Stop the camera, bring it to its mode, and read back.

    Returns
    -------
    dict, tuple of int
        The properties that were set, and the region the camera says.

    Raises
    ------
    LimitViolation
        The camera would refuse a value; no property has been set.
    ProtocolError
        It reads back something else.
    """
    core = manager.core
    wanted = _properties(manager, label, settings)
    check_properties(manager, label, wanted)
    if settings.temperature is not None:
        read_temperature_c(manager, label, settings.temperature)

    def stop() -> None:
        if core.isSequenceRunning(label):  # first: a running camera cannot be selected
            core.stopSequenceAcquisition(label)

    manager.call(f"{label}: stop before its settings", stop)
    set_properties(manager, label, wanted)
    roi = _set_roi(manager, label, settings.roi)
    verify_properties(manager, label, wanted)
    if settings.sequence_buffer_mb is not None:
        _set_buffer(manager, settings.sequence_buffer_mb)
    return wanted, roi


def read_roi(manager: MicroManager, label: str) -> Roi:
    """Region that the camera reads out: x, y, width, height."""
    x, y, width, height = manager.call(f"{label}: region", lambda: manager.core.getROI(label))
    return int(x), int(y), int(width), int(height)


def read_temperature_c(manager: MicroManager, label: str, name: str) -> float:
    """Temperature of the sensor; raises `ProtocolError` for what is no number."""
    manager.require_property(label, name)
    text = str(manager.call(f"{label}.{name}", lambda: manager.core.getProperty(label, name)))
    number = as_number(text)
    if number is None:
        raise ProtocolError(
            f"{label}.{name}: {text!r} read as temperature, which is no number; name another "
            "property under `temperature`, or leave it out"
        )
    return number


def _properties(
    manager: MicroManager, label: str, settings: CameraSettings
) -> dict[str, PropertyValue]:
    wanted: dict[str, PropertyValue] = {}
    if settings.pixel_type is not None:
        wanted["PixelType"] = settings.pixel_type
    if settings.binning is not None:
        wanted["Binning"] = _binning(manager, label, settings.binning)
    return {**wanted, **settings.properties}


def _binning(manager: MicroManager, label: str, binning: int) -> PropertyValue:
    """Return the binning as this camera writes it: some say 2, some 2x2."""
    if "Binning" in manager.property_names(label):
        facts = property_facts(manager, label, "Binning")
        square = f"{binning}x{binning}"
        if square in {*facts.allowed, facts.text}:
            return square
    return binning


def _set_roi(manager: MicroManager, label: str, asked: Roi | None) -> Roi:
    core = manager.core

    def clear() -> None:
        core.setCameraDevice(label)
        core.clearROI()

    manager.call(f"{label}: whole sensor", clear)
    whole = read_roi(manager, label)
    if asked is None:
        return whole
    x, y, width, height = asked
    _, _, full_width, full_height = whole
    if x + width > full_width or y + height > full_height:
        raise LimitViolation(
            f"{label}: roi {list(asked)} asked, the sensor is {full_width} x {full_height} binned "
            "pixels; write [x, y, width, height] inside it"
        )
    if asked != whole:
        manager.call(
            f"{label}: region {list(asked)}", lambda: core.setROI(label, x, y, width, height)
        )
    there = read_roi(manager, label)
    if there != asked:
        raise ProtocolError(
            f"{label}: roi {list(asked)} asked, {list(there)} read back; the camera takes steps of "
            "its own: write what came back"
        )
    return there


def _set_buffer(manager: MicroManager, megabytes: int) -> None:
    core = manager.core

    def resize() -> int:
        core.setCircularBufferMemoryFootprint(megabytes)
        return int(core.getCircularBufferMemoryFootprint())

    there = manager.call(f"sequence buffer of {megabytes} MB", resize)
    if there != megabytes:
        raise ProtocolError(
            f"sequence_buffer_mb: {megabytes} asked, {there} read back; ask for less"
        )
