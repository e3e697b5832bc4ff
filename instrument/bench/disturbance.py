"""What moved under us: a joystick, a hand, another program, between apply and the last frame.

Two ways to know. Every role with a number is read back after the last frame and held against what
it said when it was set (or, if no design sets it, before the first frame): a lasting disturbance.
What hardware tells meanwhile shows also what came and went: a passing one. Devices that say nothing
by themselves are known by the former only, the sample stage between two objects by neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from drivers import KeepsSettings
from drivers.events import EXPOSURE, POSITION, HardwareEvent
from instrument.bench.bench import Bench
from instrument.bench.timing import Stopwatch
from instrument.config import (
    CameraRole,
    PropertyRole,
    Role,
    RotationRole,
    SelectorRole,
    StageRole,
)


@dataclass(frozen=True, slots=True)
class Disturbance:
    """Something that the bench did not ask for; `is_lasting` if it was so after the last frame."""

    text: str
    is_lasting: bool


class Watch:
    """What the devices say before the first frame of a batch, for `disturbances` after the last.

    Parameters
    ----------
    bench
        With a design applied, or as it is.
    stopwatch
        Takes the seconds of reading back.

    Raises
    ------
    DeviceError
        A device cannot be read.
    """

    def __init__(self, bench: Bench, stopwatch: Stopwatch):
        self._bench = bench
        self._stopwatch = stopwatch
        bench.told()  # what was told before is our own doing, or was read back since
        with stopwatch.measure("read back"):
            known = bench.read_back
            self._before = {
                name: known[name] if name in known else self._read(name)
                for name, role in bench.roles.items()
                if tolerance_of(role) is not None
            }

    def disturbances(self) -> list[Disturbance]:
        """Return what is, or was meanwhile, elsewhere than it should be.

        Raises
        ------
        ProtocolError
            The camera is no longer in the mode that the noise belongs to: no batch may be scored
            until the bench is connected anew.
        """
        with self._stopwatch.measure("read back"):
            camera = self._bench.camera
            if isinstance(camera, KeepsSettings):
                camera.verify()
            lasting = list(self._lasting())
        passing = dict.fromkeys(text for event in self._bench.told() for text in self._of(event))
        return [*lasting, *(Disturbance(text, is_lasting=False) for text in passing)]

    def _lasting(self) -> Iterator[Disturbance]:
        for name, before in self._expected().items():
            there, role = self._read(name), self._bench.roles[name]
            if not _is_near(there, before, role):
                yield Disturbance(
                    f"{role.device} (role {name}): {there:g} after the last frame, {before:g} when "
                    "it was set; something else moved it",
                    is_lasting=True,
                )

    def _expected(self) -> dict[str, float]:
        """Return what each role said last when the bench had set it; shots may have changed it."""
        known = self._bench.read_back
        return {name: known.get(name, before) for name, before in self._before.items()}

    def _of(self, event: HardwareEvent) -> Iterator[str]:
        for name, role in self._bench.roles.items():
            if role.device != event.device or name in self._bench.roles_per_shot:
                continue  # the bench itself moves what differs between shots
            should = self._should_be(name, role, event)
            if should is not None and not _says(event.value, should, role):
                yield (
                    f"{event.device} (role {name}): {event.what} {event.value} was told during the "
                    f"batch, {should} is what the bench set; something else moved it meanwhile"
                )

    def _should_be(self, name: str, role: Role, event: HardwareEvent) -> float | str | None:
        """Return what the event should say, or None if it is of no matter here."""
        match role:
            case StageRole() | RotationRole() if event.what == POSITION:
                return self._before[name]
            case SelectorRole(group=None) if event.what == "State":
                return self._before[name]
            case PropertyRole(property=own) if event.what == own:
                return self._before[name]
            case CameraRole() if role is self._bench.camera_role:
                if event.what == EXPOSURE:
                    return self._bench.exposure_ms
                asked = role.properties.get(event.what)
                return None if asked is None else str(asked)
        return None

    def _read(self, name: str) -> float:
        return float(self._bench.devices[name].read_back())  # type: ignore[attr-defined]


def tolerance_of(role: Role) -> float | None:
    """By how much a role's number may differ and be the same; None for roles without a number."""
    match role:
        case StageRole(tolerance_um=tolerance) | RotationRole(tolerance_deg=tolerance):
            return tolerance
        case PropertyRole(tolerance=tolerance):
            return tolerance
        case SelectorRole():
            return 0.0
    return None


def _is_near(there: float, before: float, role: Role) -> bool:
    tolerance = tolerance_of(role)
    return abs(there - before) <= (tolerance or 0.0) + 1e-6 * abs(before)  # nor NaN


def _says(text: str, should: float | str, role: Role) -> bool:
    if text == str(should):
        return True
    try:
        return _is_near(float(text), float(should), role)
    except ValueError:
        return False
