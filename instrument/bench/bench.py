"""The bench: devices by role, a design applied whole or not at all, light only while it is needed.

Every value of a design, of all its shots, is checked against the space, the role's limits and the
device before the first device moves; then all start, all are waited for, the slowest settles, and
each is read back. The first shot is on the bench after that; `show_shot` brings the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from drivers import (
    Actuator,
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
from drivers.events import EventSource, HardwareEvent
from instrument.bench.actuators import (
    ExposureActuator,
    as_kind,
    check_target,
    verify,
    verify_position,
)
from instrument.bench.emitters import lights_first
from instrument.bench.knobs import Applied, Setting, make_knob, make_settings, make_space, shown
from instrument.bench.patterns import make_basis
from instrument.bench.safety import Interlock, Unsafe, UnsafeBench, make_all_safe, signals_wait
from instrument.bench.timing import Stopwatch
from instrument.config import (
    CameraRole,
    Config,
    EmitterRole,
    LightRole,
    PatternParameter,
    Role,
    SlmRole,
    XYStageRole,
    scored_camera,
)
from instrument.design import Design, DesignError, DesignSpace

MOVE_TIMEOUT_S = 30.0
LIGHT_TIMEOUT_S = 5.0


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
    events
        What the hardware tells by itself.
    """

    def __init__(
        self,
        config: Config,
        devices: Mapping[str, Device],
        *,
        interlocks: Sequence[Interlock] = (),
        closers: Sequence[Callable[[], None]] = (),
        truth: Callable[[], dict[str, float]] | None = None,
        events: EventSource | None = None,
    ):
        self.config = config
        self.roles: dict[str, Role] = dict(config.bench.roles)
        self.devices = dict(devices)
        self.interlocks = tuple(interlocks)
        self.truth = truth
        self._events = events
        self._closers = tuple(closers)
        self._is_closed = False
        self._keeps_design = False
        self._unsafe: tuple[Unsafe, ...] = ()
        self._is_lit = False
        self._settings: tuple[Setting, ...] = ()
        self._read_back: dict[str, float] = {}
        self.shot: int | None = None
        """Shot of the applied design that is on the bench, from 0; None before any design."""
        camera_name, self.camera_role, self.camera = self._scored_camera()
        exposures = {
            name: ExposureActuator(as_kind(self.devices[name], Camera, name), role.exposure_ms)
            for name, role in self.roles.items()
            if isinstance(role, CameraRole)
        }
        self.exposure = exposures[camera_name]
        self._actuators: dict[str, Any] = {**self.devices, **exposures}
        self.monitors = {
            name: as_kind(self.devices[name], Camera, name)
            for name in exposures
            if name != camera_name
        }
        """Cameras by role that are exposed with the scored one, and not scored."""
        self._light_level = {
            name: role.level for name, role in self.roles.items() if isinstance(role, EmitterRole)
        }
        bases = {
            name: make_basis(parameter, self.slm(parameter.role).shape)
            for name, parameter in config.design.items()
            if isinstance(parameter, PatternParameter)
        }
        self._knobs = {
            name: make_knob(name, config, self.devices[parameter.role], bases.get(name))
            for name, parameter in config.design.items()
        }
        self.roles_per_shot = tuple(
            p.role for p in config.design.values() if p.per_shot and config.shots > 1
        )

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self.close_or_say_so()

    @property
    def exposure_ms(self) -> float:
        """Read-back of the camera, ms."""
        return self.exposure.exposure_ms

    @property
    def read_back(self) -> dict[str, float]:
        """What the devices of the applied design said last, by role, in the role's unit."""
        return dict(self._read_back)

    # ---- devices by role

    def slm(self, role: str) -> SpatialLightModulator:
        """Return the modulator of a role."""
        return as_kind(self.devices[role], SpatialLightModulator, role)

    def stage(self, role: str) -> Stage:
        """Return the one-axis stage of a role."""
        return as_kind(self.devices[role], Stage, role)

    def xy_stage(self, role: str) -> XYStage:
        """Return the two-axis stage of a role."""
        return as_kind(self.devices[role], XYStage, role)

    def lights(self) -> dict[str, LightSource]:
        """Lights by role, shutters last: in the order in which they come on and go dark."""
        return {
            name: as_kind(self.devices[name], LightSource, name)
            for name in lights_first(self.roles)
            if isinstance(self.roles[name], EmitterRole)
        }

    def light_level(self, role: str) -> float:
        """Level of a light while frames are taken, in its unit: the file's, or the design's."""
        return self._light_level[role]

    def describe(self) -> list[DeviceDescription]:
        """Ask every device what it is, in the order of the roles."""
        return [self.devices[role].describe() for role in self.roles]

    def told(self) -> list[HardwareEvent]:
        """Return what the hardware told since the last call; empty where it tells nothing."""
        return [] if self._events is None else self._events.take()

    def slm_shapes(self) -> dict[str, tuple[int, int]]:
        """(height, width) of every modulator, by role."""
        return {
            name: self.slm(name).shape
            for name, role in self.roles.items()
            if isinstance(role, SlmRole)
        }

    def space(self) -> DesignSpace:
        """Return the design space, starting from the present setting of the bench."""
        return make_space(self.config, self._knobs)

    # ---- a design, whole or not at all

    def apply(self, design: Design, *, space: DesignSpace, stopwatch: Stopwatch) -> Applied:
        """Bring the bench to the first shot of a design and read it back.

        Raises
        ------
        DesignError
            The design does not fit `space`. Nothing has moved.
        LimitViolation
            A role's or a device's limit forbids a value, in any shot. Nothing has moved.
        DeviceTimeout, ProtocolError, DeviceError
            A device did not arrive; the bench must be made safe.
        """
        settings = self.check(design, space=space)
        self._settings, self.shot, self._read_back = settings, None, {}
        self._bring(settings[0], stopwatch)
        self.shot = 0
        return Applied(patterns=shown(self.config, settings), read_back=self.read_back)

    def check(self, design: Design, *, space: DesignSpace) -> tuple[Setting, ...]:
        """Check every value of a design, in all its shots, as `apply` does, and move nothing.

        Returns
        -------
        tuple of Setting
            What each role would be asked for, one setting a shot.
        """
        space.check(design)
        settings = make_settings(self.config, self._knobs, design)
        for setting in settings:
            for role, target in setting.items():
                self._check(role, target)
        return settings

    def show_shot(self, shot: int, *, stopwatch: Stopwatch) -> dict[str, float]:
        """Bring what differs between shots to a shot (from 0) of the applied design.

        Returns
        -------
        dict
            Read-back of the roles that were set, by role; empty where the shot was on already.

        Raises
        ------
        DesignError
            No design was applied, and its shots differ.
        DeviceTimeout, ProtocolError, DeviceError
            A device did not arrive; the bench must be made safe.
        """
        if shot == self.shot or not self.roles_per_shot:
            return {}
        if not self._settings:
            raise DesignError(f"shot {shot + 1} asked, but no design is on the bench; apply one")
        self.shot = None
        setting = self._settings[shot]
        said = self._bring({role: setting[role] for role in self.roles_per_shot}, stopwatch)
        self.shot = shot
        return said

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
            return verify_position(role, settings, stage, position_um)

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
            self._is_lit = True
            with stopwatch.measure("light"):
                for role, light in lights.items():
                    light.start(asked[role])
                    light.wait(timeout_s=LIGHT_TIMEOUT_S)
            with stopwatch.measure("settle"):
                self._settle(lights)
            yield
        finally:
            self._is_lit = False
            with signals_wait(), stopwatch.measure("light"):
                self._darken(lights)

    def check_interlocks(self) -> None:
        """Raise `InterlockTripped` for the first condition that does not hold."""
        for interlock in self.interlocks:
            interlock.check()

    # ---- the ways out

    def safe(self) -> tuple[Unsafe, ...]:
        """Light off first, then shutters; modulators flat, stages stay; report what failed."""
        with signals_wait():
            return make_all_safe([
                (role, self.devices[role])
                for role in lights_first(self.roles)
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

    def _scored_camera(self) -> tuple[str, CameraRole, Camera]:
        name = scored_camera(self.roles)
        role = self.roles.get(name or "")
        if name is None or not isinstance(role, CameraRole):  # the config's checks refuse the file
            raise ProtocolError("the bench has no camera that is scored")
        return name, role, as_kind(self.devices[name], Camera, name)

    def _bring(self, setting: Setting, stopwatch: Stopwatch) -> dict[str, float]:
        """Start all, wait for all, settle, read all back; levels wait for the light to come on."""
        levels = {r: t for r, t in setting.items() if isinstance(self.roles[r], LightRole)}
        self._light_level.update(levels)  # type: ignore[arg-type] - a level is a number
        moving = {r: t for r, t in setting.items() if self._is_lit or r not in levels}
        with stopwatch.measure("command"):
            for role, target in moving.items():
                self._actuator(role).start(target)
        with stopwatch.measure("travel"):
            for role in moving:
                self._actuator(role).wait(timeout_s=MOVE_TIMEOUT_S)
        with stopwatch.measure("settle"):
            self._settle(moving)
        with stopwatch.measure("command"):
            there = {
                role: verify(role, self.roles[role], self._actuator(role), target)
                for role, target in moving.items()
            }
        said = {role: value for role, value in there.items() if value is not None}
        self._read_back.update(said)
        return said

    def _actuator(self, role: str) -> Actuator[Any]:
        return self._actuators[role]

    def _check(self, role: str, target: Any) -> None:
        check_target(role, self.roles[role], self._actuator(role), target)

    def _settle(self, roles: Iterable[str]) -> None:
        settle_ms = max(
            (getattr(self.roles[role], "settle_ms", 0.0) for role in roles), default=0.0
        )
        # The read-back arrives before a liquid crystal has turned or a stage has stopped ringing.
        time.sleep(settle_ms / 1e3)

    @staticmethod
    def _darken(lights: Mapping[str, LightSource]) -> None:
        unsafe = make_all_safe(list(lights.items()))
        if unsafe:
            raise UnsafeBench(unsafe)
