"""The bench: devices by role, a design applied whole or not at all, light only while it is needed.

Every value of a design is checked against the space, the role's limits and the device before the
first device moves; then all start, all are waited for, the slowest settles, and each is read back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8

from drivers import (
    Camera,
    Device,
    DeviceDescription,
    DeviceError,
    LightSource,
    Position,
    ProtocolError,
    SpatialLightModulator,
    Stage,
    XYStage,
)
from instrument.bench.limits import check_within
from instrument.bench.patterns import ZernikeBasis, zernike_labels
from instrument.bench.safety import Interlock, Unsafe, UnsafeBench, make_all_safe, signals_wait
from instrument.bench.timing import Stopwatch
from instrument.config import (
    CameraRole,
    Config,
    LightParameter,
    LightRole,
    PositionParameter,
    SlmRole,
    StageRole,
    XYStageRole,
    ZernikeParameter,
)
from instrument.design import Design, DesignSpace, Parameter

MOVE_TIMEOUT_S = 30.0
LIGHT_TIMEOUT_S = 5.0

AnyRole = CameraRole | SlmRole | StageRole | XYStageRole | LightRole


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What is on the bench after a design was applied.

    `patterns` are the grey levels by modulator role, `read_back` the positions in um by stage role.
    """

    patterns: dict[str, UInt8[np.ndarray, "height width"]]
    read_back: dict[str, float]


class Bench:
    """Connected devices by role. Built by `connect`; close it, or use `with`.

    Parameters
    ----------
    config
        The whole bench file.
    devices
        Role to device, each implementing the protocol of its role's kind.
    interlocks
        Conditions that must hold while light is on.
    closers
        What is called, in order, after the bench is safe.
    truth
        On a virtual bench, what only the simulator knows.
    """

    def __init__(
        self,
        config: Config,
        devices: Mapping[str, Device],
        *,
        interlocks: Sequence[Interlock] = (),
        closers: Sequence[Callable[[], None]] = (),
        truth: Callable[[], dict[str, float]] | None = None,
    ):
        self.config = config
        self.roles: dict[str, AnyRole] = dict(config.bench.roles)
        self.devices = dict(devices)
        self.interlocks = tuple(interlocks)
        self.truth = truth
        self._closers = tuple(closers)
        self._is_closed = False
        self._keeps_design = False
        self._unsafe: tuple[Unsafe, ...] = ()
        self.camera_role, self.camera = self._only_camera()
        self._light_level = {
            name: role.level for name, role in self.roles.items() if isinstance(role, LightRole)
        }
        self._bases = {
            name: ZernikeBasis(*parameter.modes, shape=self.slm(parameter.role).shape)
            for name, parameter in config.design.items()
            if isinstance(parameter, ZernikeParameter)
        }
        self.exposure_ms = self.camera.set_exposure_ms(self.camera_role.exposure_ms)

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self.close_or_say_so()

    # ---- devices by role

    def slm(self, role: str) -> SpatialLightModulator:
        """Return the modulator of a role."""
        return _as(self.devices[role], SpatialLightModulator, role)

    def stage(self, role: str) -> Stage:
        """Return the one-axis stage of a role."""
        return _as(self.devices[role], Stage, role)

    def xy_stage(self, role: str) -> XYStage:
        """Return the two-axis stage of a role."""
        return _as(self.devices[role], XYStage, role)

    def lights(self) -> dict[str, LightSource]:
        """Lights by role."""
        return {
            name: _as(self.devices[name], LightSource, name)
            for name, role in self.roles.items()
            if isinstance(role, LightRole)
        }

    def light_level(self, role: str) -> float:
        """Level of a light while frames are taken, in its unit: the file's, or the design's."""
        return self._light_level[role]

    def describe(self) -> list[DeviceDescription]:
        """Ask every device what it is, in the order of the roles."""
        return [self.devices[role].describe() for role in self.roles]

    def slm_shapes(self) -> dict[str, tuple[int, int]]:
        """(height, width) of every modulator, by role."""
        return {
            name: self.slm(name).shape
            for name, role in self.roles.items()
            if isinstance(role, SlmRole)
        }

    def space(self) -> DesignSpace:
        """Return the design space, starting from the present setting of the bench."""
        return DesignSpace(
            tuple(self._parameter(name, p) for name, p in self.config.design.items())
        )

    # ---- a design, whole or not at all

    def apply(self, design: Design, *, space: DesignSpace, stopwatch: Stopwatch) -> Applied:
        """Bring the bench to a design and read it back.

        Raises
        ------
        DesignError
            The design does not fit `space`. Nothing has moved.
        LimitViolation
            A role's or a device's limit forbids a value. Nothing has moved.
        DeviceTimeout, ProtocolError, DeviceError
            A device did not arrive; the bench must be made safe.
        """
        targets, light_level = self.check(design, space=space)
        self._light_level.update(light_level)  # takes effect when the light next comes on
        with stopwatch.measure("command"):
            for role, target in targets.items():
                self._start(role, target)
        with stopwatch.measure("travel"):
            for role in targets:
                self._wait(role)
        with stopwatch.measure("settle"):
            self._settle(targets)
        patterns = {role: t for role, t in targets.items() if isinstance(t, np.ndarray)}
        with stopwatch.measure("command"):
            read_back = {
                role: self._verify_position(role, target)
                for role, target in targets.items()
                if isinstance(self.roles[role], StageRole)
            }
        return Applied(patterns=patterns, read_back=read_back)

    def check(
        self, design: Design, *, space: DesignSpace
    ) -> tuple[dict[str, Any], dict[str, float]]:
        """Check every value of a design, as `apply` does, and move nothing.

        Returns
        -------
        targets, light_level
            Role to what its device would be asked for, and levels of lights.
        """
        space.check(design)
        targets, light_level = self._targets(design)
        for role, target in [*targets.items(), *light_level.items()]:
            self._check(role, target)
        return targets, light_level

    def move_sample(self, role: str, position_um: Position, *, stopwatch: Stopwatch) -> Position:
        """Bring the sample stage to a position within its soft limits; return its read-back."""
        stage = self.xy_stage(role)
        settings = self.roles[role]
        self._check(role, position_um)
        with stopwatch.measure("command"):
            stage.start(position_um)
        with stopwatch.measure("travel"):
            stage.wait(timeout_s=MOVE_TIMEOUT_S)
        if isinstance(settings, XYStageRole) and settings.settle_ms:
            with stopwatch.measure("settle"):
                time.sleep(settings.settle_ms / 1e3)  # mechanics ring on after the read-back
        with stopwatch.measure("command"):
            there = stage.read_back()
        tolerance = settings.tolerance_um if isinstance(settings, XYStageRole) else 0.0
        if max(abs(there[0] - position_um[0]), abs(there[1] - position_um[1])) > tolerance:
            raise ProtocolError(
                f"{stage.name} (role {role}): {position_um} um asked, {there} um read back, "
                f"tolerance {tolerance:g} um; check for an obstacle, or widen tolerance_um"
            )
        return there

    # ---- light

    @contextmanager
    def illuminated(
        self, *, stopwatch: Stopwatch, levels: Mapping[str, float] | None = None
    ) -> Iterator[None]:
        """Light on for the length of the block, off and verified off afterwards, come what may.

        Parameters
        ----------
        stopwatch
            Takes the seconds.
        levels
            Level by role of light; by default the bench file's, or the design's.

        Raises
        ------
        InterlockTripped
            Before any light leaves, if a condition does not hold.
        """
        lights = self.lights()
        if not lights:
            yield
            return
        self.check_interlocks()
        asked = self._light_level if levels is None else levels
        for role in lights:
            self._check(role, asked[role])
        try:
            with stopwatch.measure("light"):
                for role, light in lights.items():
                    light.start(asked[role])
                    light.wait(timeout_s=LIGHT_TIMEOUT_S)
            with stopwatch.measure("settle"):
                self._settle(lights)
            yield
        finally:
            with signals_wait(), stopwatch.measure("light"):
                self._darken(lights)

    def check_interlocks(self) -> None:
        """Raise `InterlockTripped` for the first condition that does not hold."""
        for interlock in self.interlocks:
            interlock.check()

    # ---- the ways out

    def safe(self) -> tuple[Unsafe, ...]:
        """Light off first, modulators flat, cameras stopped, stages stay; report what failed."""
        lights_first = sorted(
            self.devices.items(), key=lambda item: not isinstance(self.roles[item[0]], LightRole)
        )
        with signals_wait():
            return make_all_safe([
                (role, device)
                for role, device in lights_first
                if not (self._keeps_design and isinstance(self.roles[role], SlmRole))
            ])

    def keep_design(self) -> None:
        """Leave modulators as they are when the bench is made safe; lights go off all the same."""
        self._keeps_design = True

    def close(self) -> tuple[Unsafe, ...]:
        """Make safe, then release every device; return what could not be made safe. Idempotent."""
        if not self._is_closed:
            self._is_closed = True
            with signals_wait():
                try:
                    self._unsafe = self.safe()
                finally:
                    self._unsafe += self._release()
        return self._unsafe

    def close_or_say_so(self) -> None:
        """Close on the way out of an error or a signal: what is unsafe outranks either.

        Raises
        ------
        UnsafeBench
            If something could not be made safe.
        """
        try:
            self.close()
        finally:
            if self._unsafe:
                raise UnsafeBench(self._unsafe)

    # ---- inside

    def _release(self) -> tuple[Unsafe, ...]:
        failures = []
        for closer in self._closers:
            try:
                closer()
            except DeviceError as error:
                failures.append(Unsafe("bench", "closing", str(error)))
        return tuple(failures)

    def _only_camera(self) -> tuple[CameraRole, Camera]:
        for name, role in self.roles.items():
            if isinstance(role, CameraRole):
                return role, _as(self.devices[name], Camera, name)
        raise ProtocolError("the bench has no camera")  # the config's checks refuse such a file

    def _parameter(
        self, name: str, parameter: ZernikeParameter | PositionParameter | LightParameter
    ) -> Parameter:
        match parameter:
            case ZernikeParameter(modes=modes, bounds_rad=(low, high), start_rad=start):
                labels = zernike_labels(*modes)
                return Parameter(
                    name=name, unit="rad", lower=low, upper=high, labels=labels,
                    start=(start,) * len(labels), modal=True,
                )  # fmt: skip
            case PositionParameter(role=role, bounds_um=(low, high), start_um=start):
                here = self.stage(role).read_back() if start is None else start
                return Parameter(
                    name=name, unit="um", lower=low, upper=high, labels=("position",),
                    start=(min(max(here, low), high),), modal=True,
                )  # fmt: skip
            case LightParameter(role=role, bounds=(low, high), start=start):
                level = self._light_level[role] if start is None else start
                return Parameter(
                    name=name, unit=self.lights()[role].unit, lower=low, upper=high,
                    labels=("level",), start=(min(max(level, low), high),),
                )  # fmt: skip

    def _targets(self, design: Design) -> tuple[dict[str, Any], dict[str, float]]:
        """Role to what its device is asked for; apart, levels of lights."""
        targets: dict[str, Any] = {}
        light_level: dict[str, float] = {}
        for name, parameter in self.config.design.items():
            components = design.values[name]
            if isinstance(parameter, ZernikeParameter):
                targets[parameter.role] = self._bases[name].pattern(components)
            elif isinstance(parameter, PositionParameter):
                targets[parameter.role] = components[0]
            else:
                light_level[parameter.role] = components[0]
        return targets, light_level

    def _check(self, role: str, target: Any) -> None:
        settings = self.roles[role]
        device = self.devices[role]
        if isinstance(settings, StageRole):
            check_within(role, device.name, (target,), (settings.limits_um,), "um")
        elif isinstance(settings, XYStageRole):
            check_within(role, device.name, target, settings.limits_um, "um")
        device.check(target)  # type: ignore[attr-defined]

    def _start(self, role: str, target: Any) -> None:
        self.devices[role].start(target)  # type: ignore[attr-defined]

    def _wait(self, role: str) -> None:
        self.devices[role].wait(timeout_s=MOVE_TIMEOUT_S)  # type: ignore[attr-defined]

    def _settle(self, roles: Mapping[str, Any]) -> None:
        settle_ms = max(
            (getattr(self.roles[role], "settle_ms", 0.0) for role in roles), default=0.0
        )
        # The read-back arrives before a liquid crystal has turned or a stage has stopped ringing.
        time.sleep(settle_ms / 1e3)

    def _verify_position(self, role: str, asked_um: float) -> float:
        settings = self.roles[role]
        there = self.stage(role).read_back()
        if isinstance(settings, StageRole) and abs(there - asked_um) > settings.tolerance_um:
            raise ProtocolError(
                f"{self.devices[role].name} (role {role}): {asked_um:g} um asked, {there:g} um "
                f"read back, tolerance {settings.tolerance_um:g} um; check for an obstacle, or "
                "widen tolerance_um"
            )
        return there

    @staticmethod
    def _darken(lights: Mapping[str, LightSource]) -> None:
        unsafe = make_all_safe(list(lights.items()))
        if unsafe:
            raise UnsafeBench(unsafe)


def _as(device: Device, protocol: type[Any], role: str) -> Any:
    if not isinstance(device, protocol):
        raise ProtocolError(
            f"{device.name} (role {role}) cannot do what a {protocol.__name__} must; "
            "check bench.roles"
        )
    return device
