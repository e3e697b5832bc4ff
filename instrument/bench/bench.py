"""The bench: devices by role, a design applied whole or not at all, light only while it is needed.

Every value of a design, of all its shots, is checked against the space, the role's limits and the
device before the first device moves; then all start, all are waited for, the slowest settles, and
each is read back. The first shot is on the bench after that; `show_shot` brings the others.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from jaxtyping import UInt16

from drivers import (
    Actuator,
    Camera,
    Device,
    DeviceDescription,
    DeviceError,
    LightSource,
    LimitViolation,
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
    verify,
    verify_position,
)
from instrument.bench.emitters import lights_first
from instrument.bench.guardian import Guardian
from instrument.bench.interlocks import Interlock, Interlocks
from instrument.bench.knobs import (
    Applied,
    Setting,
    Target,
    make_knob,
    make_settings,
    make_space,
    shown,
)
from instrument.bench.lighting import Lighting
from instrument.bench.motion import Motion
from instrument.bench.patterns import Response, make_basis, make_response
from instrument.bench.safety import (
    Unsafe,
    UnsafeBench,
    make_all_safe,
    raise_if_swallowed,
    signals_wait,
)
from instrument.bench.timing import Stopwatch
from instrument.config import (
    CameraRole,
    Config,
    EmitterRole,
    LightRole,
    PatternParameter,
    Role,
    SlmRole,
    scored_camera,
)
from instrument.design import Design, DesignError, DesignSpace

AFTER_THE_WATCHDOG_S = 2.0
"""An exposure that hangs ends in the dark first, and then with its own error."""


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
    seed_noise
        On a virtual bench, called with trial and part before a capture: its noise depends on these
        alone, so that a resumed campaign sees what an unbroken one would.
    guardian
        Switches the lights off if this process dies; closed by whoever started it.
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
        seed_noise: Callable[[int, int], None] | None = None,
        guardian: Guardian | None = None,
        events: EventSource | None = None,
    ):
        self.config = config
        self.roles: dict[str, Role] = dict(config.bench.roles)
        self.devices = dict(devices)
        self.interlocks = Interlocks(interlocks, interval_s=config.safety.interlock_interval_s)
        self.truth = truth
        self.seed_noise = seed_noise
        self._events = events
        self._closers = tuple(closers)
        self._is_closed = False
        self._keeps_design = False
        self._unsafe: tuple[Unsafe, ...] = ()
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
        self._exposures = exposures
        self.exposure = exposures[camera_name]
        self._actuators: dict[str, Any] = {**self.devices, **exposures}
        self.monitors = {
            name: as_kind(self.devices[name], Camera, name)
            for name in exposures
            if name != camera_name
        }
        """Cameras by role that are exposed with the scored one, and not scored."""
        emitters: dict[str, EmitterRole] = {}
        for name in lights_first(config.bench):
            role = self.roles[name]
            if isinstance(role, EmitterRole):
                emitters[name] = role
        self.lighting = Lighting(
            {name: as_kind(self.devices[name], LightSource, name) for name in emitters},
            emitters,
            self.interlocks,
            patience_s=config.safety.watchdog_s,
            guardian=guardian,
        )
        self._motion = Motion(self.roles, self._actuators, self.interlocks, self.lighting)
        bases = {
            name: make_basis(parameter, self._response(parameter.role))
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

    def exposure_of(self, role: str) -> float:
        """Read-back of any camera, ms."""
        return self._exposures[role].exposure_ms

    @property
    def read_back(self) -> dict[str, float]:
        """What the devices of the applied design said last, by role, in the role's unit."""
        return dict(self._read_back)

    # ---- devices by role

    def slm(self, role: str) -> SpatialLightModulator:
        """Return the modulator of a role."""
        return as_kind(self.devices[role], SpatialLightModulator, role)

    def _response(self, role: str) -> Response:
        settings = self.roles[role]
        assert isinstance(settings, SlmRole)  # noqa: S101 - the config's checks
        return make_response(role, settings, self.slm(role).shape)

    def stage(self, role: str) -> Stage:
        """Return the one-axis stage of a role."""
        return as_kind(self.devices[role], Stage, role)

    def xy_stage(self, role: str) -> XYStage:
        """Return the two-axis stage of a role."""
        return as_kind(self.devices[role], XYStage, role)

    def lights(self) -> dict[str, LightSource]:
        """Lights by role, shutters last: in the order in which they come on and go dark."""
        return dict(self.lighting.lights)

    def light_level(self, role: str) -> float:
        """Level of a light while frames are taken, in its unit: the file's, or the design's."""
        return self.lighting.level[role]

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
            A limit, slew limit or interlock forbids a value, in any shot. Nothing has moved.
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
        settings = self.check_values(design, space=space)
        for role in settings[0]:
            self._motion.check_moves(role, [setting[role] for setting in settings])
        return settings

    def check_values(self, design: Design, *, space: DesignSpace) -> tuple[Setting, ...]:
        """Check as `check` does, but for the slew limits of the way from where the bench is now."""
        space.check(design)
        settings = make_settings(self.config, self._knobs, design)
        for setting in settings:
            for role, target in setting.items():
                self._motion.check(role, target)
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

    def targets(self, role: str) -> tuple[Target, ...]:
        """Return what a role is asked for in each shot of the applied design.

        Raises
        ------
        DesignError
            No design was applied.
        """
        if not self._settings:
            raise DesignError(f"shots of role {role} asked, but no design is on the bench")
        return tuple(setting[role] for setting in self._settings)

    def forget_shot(self) -> None:
        """Say that something else than `show_shot` changes what is on the bench from now on."""
        self.shot = None

    def move_sample(self, role: str, position_um: Position, *, stopwatch: Stopwatch) -> Position:
        """Bring the sample stage to a position within its soft limits; return its read-back."""
        stage = self.xy_stage(role)
        self._motion.check(role, position_um)
        self.lighting.lit_time.sent(position_um)
        self._motion.travel({role: position_um}, stopwatch)
        with stopwatch.measure("command"):
            return verify_position(role, self.roles[role], stage, position_um)

    # ---- light and frames

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
            Before any light leaves, if a condition does not hold, or as soon as one does not.
        WatchdogTripped
            Something took too long with the light on; it is off.
        """
        lights = self.lights()
        if not lights:
            yield
            return
        asked = self.lighting.level if levels is None else levels
        for role in lights:
            self._motion.check(role, asked[role])
            self._motion.check_moves(role, [asked[role]])
        settle = functools.partial(self._motion.settle, lights)
        with self.lighting.on(asked, stopwatch=stopwatch, settle=settle):
            yield

    def expose(
        self, *, stopwatch: Stopwatch, monitor: str | None = None
    ) -> UInt16[np.ndarray, "height width"]:
        """Take one frame, in ADU; while light may leave, only with every interlock holding.

        Parameters
        ----------
        stopwatch
            Takes the seconds.
        monitor
            Role of the camera, if not the one that is scored.

        Raises
        ------
        InterlockTripped
            One does not hold, before the exposure or during it; the light is off.
        WatchdogTripped
            The camera did not return in time; the light is off.
        LimitViolation
            With light on and interlocks that cannot be read during it, an exposure longer than
            `safety.interlock_interval_s`.
        FrameLoss, DeviceError
            From the camera.
        """
        raise_if_swallowed()
        camera = self.camera if monitor is None else self.monitors[monitor]
        exposures = self.exposure if monitor is None else self._exposures[monitor]
        exposure_ms = exposures.exposure_ms
        is_dark = bool(self.lights()) and not self.lighting.is_lit
        if not is_dark:
            with stopwatch.measure("interlock"):
                self.check_interlocks()
            self.check_unread(exposure_ms)
        what = f"{camera.name}: an exposure of {exposure_ms:g} ms"
        with (
            stopwatch.measure("exposure" if monitor is None else "monitors"),
            self.lighting.expecting(what, need_s=exposure_ms / 1e3),
            self.interlocks.unread_while_exposing(),
        ):
            return camera.snap(timeout_s=self.config.safety.watchdog_s + AFTER_THE_WATCHDOG_S)

    def capture(
        self, frames: int, *, exposure_ms: float, timeout_s: float
    ) -> UInt16[np.ndarray, "frames height width"]:
        """Take a sequence, in ADU, each of the exposure that the camera was set to.

        The interlocks are read meanwhile, between its frames.

        Raises
        ------
        InterlockTripped, WatchdogTripped, LimitViolation, FrameLoss, DeviceError
            As `expose`.
        """
        raise_if_swallowed()
        if self.lighting.is_lit:
            self.check_unread(exposure_ms)
        need_s = frames * exposure_ms / 1e3 + timeout_s
        what = f"{self.camera.name}: a sequence of {frames} frames"
        with self.lighting.expecting(what, need_s=need_s):
            return self.camera.capture(frames, timeout_s=timeout_s)

    @property
    def is_busy_exposing(self) -> bool:
        """Whether an exposure keeps an interlock from being read, or a light from going out."""
        block_of = self.config.bench.block_of
        return self.interlocks.are_behind_core or any(
            block_of(self.roles[role]) == "micromanager" for role in self.lights()
        )

    def check_interlocks(self) -> None:
        """Raise `InterlockTripped` for the first condition that does not hold."""
        self.lighting.raise_if_put_out()
        self.interlocks.check()

    def check_unread(self, exposure_ms: float, *, exposures: int = 1) -> None:
        """Raise `LimitViolation` where the interlocks would do nothing for too long meanwhile."""
        longest_s = self.interlocks.interval_s
        is_long = exposures * exposure_ms / 1e3 > longest_s
        if self.interlocks.all and self.is_busy_exposing and is_long:
            what = "an exposure" if exposures == 1 else f"{exposures} exposures at a time"
            raise LimitViolation(
                f"{self.camera.name}: {what} of {exposure_ms:g} ms with the light on, during "
                "which Micro-Manager reads no interlock over a role and puts no light of its own "
                f"out; at most {longest_s:g} s (safety.interlock_interval_s) may go by so"
            )

    # ---- the ways out

    def safe(self) -> tuple[Unsafe, ...]:
        """Light off first, then shutters; modulators flat, stages stay; report what failed."""
        with signals_wait():
            return make_all_safe([
                (role, self.devices[role])
                for role in lights_first(self.config.bench)
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
        """Bring all at a time, settle, read all back; levels wait for the light to come on."""
        levels = {r: t for r, t in setting.items() if isinstance(self.roles[r], LightRole)}
        for role, level in levels.items():
            here, self.lighting.level[role] = self.lighting.level[role], level  # type: ignore[arg-type] - a level is a number
            if self.lighting.is_lit:
                with stopwatch.measure("command"):
                    self.lighting.bring(role, self.lighting.level[role], here=here)
        moving = {role: target for role, target in setting.items() if role not in levels}
        self._motion.travel(moving, stopwatch)
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
