"""How devices get where they are sent: checked first, together, within their slew limits.

`check` and `check_moves` move nothing. `travel` starts all, waits for all and settles; what has a
slew limit goes in steps.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from drivers import Actuator, LightSource, NumericProperty
from instrument.bench.actuators import check_target
from instrument.bench.interlocks import Interlocks
from instrument.bench.lighting import Lighting
from instrument.bench.slew import pause_s, slew_of, unit_of, waypoints
from instrument.bench.timing import Stopwatch
from instrument.config import LightRole, Role

MOVE_TIMEOUT_S = 30.0


class Motion:
    """Moves the devices of a bench.

    Parameters
    ----------
    roles, actuators
        By role.
    interlocks
        Those over positions forbid targets.
    lighting
        Hears how long a move takes while light is on.
    """

    def __init__(
        self,
        roles: Mapping[str, Role],
        actuators: Mapping[str, Actuator[Any]],
        interlocks: Interlocks,
        lighting: Lighting,
    ):
        self._roles = roles
        self._actuators = actuators
        self._interlocks = interlocks
        self._lighting = lighting

    def check(self, role: str, target: Any) -> None:
        """Raise `LimitViolation` where a limit or an interlock forbids a target."""
        check_target(role, self._roles[role], self._actuators[role], target)
        self._interlocks.check_target(role, target)

    def check_moves(self, role: str, targets: Sequence[Any]) -> None:
        """Raise `LimitViolation` where a slew limit forbids the way through all targets and back.

        The way begins where the device is; a light's at its safe level, from where it comes on.
        """
        settings = self._roles[role]
        if slew_of(settings) is None:
            return
        if isinstance(settings, LightRole):
            here: Any = settings.safe
        else:
            here = self._actuators[role].read_back()
        for target in (*targets, targets[0]):
            self._way(role, here, target)
            here = target

    def travel(self, targets: Mapping[str, Any], stopwatch: Stopwatch) -> None:
        """Start all, wait for all, again for every step of a ramp; then settle."""
        named = ", ".join(f"{self._actuators[role].name} (role {role})" for role in targets)
        with self._lighting.expecting(f"where {named} is"):
            ways = {role: self._way_from_here(role, target) for role, target in targets.items()}
        pace_s = max(
            (pause_s(self._roles[r]) for r, way in ways.items() if len(way) > 1), default=0
        )
        for step in range(max(map(len, ways.values()), default=0)):
            moving = {role: way[step] for role, way in ways.items() if step < len(way)}
            with self._lighting.expecting(f"a move of {named}"):
                with stopwatch.measure("command"):
                    for role, target in moving.items():
                        self._actuators[role].start(target)
                with stopwatch.measure("travel"):
                    for role in moving:
                        self._actuators[role].wait(timeout_s=MOVE_TIMEOUT_S)
                    if pace_s:
                        time.sleep(pace_s)  # the pace of a ramp, which no device keeps by itself
        with stopwatch.measure("settle"):
            self.settle(targets)

    def settle(self, roles: Iterable[str]) -> None:
        """Wait for the slowest of the roles to come to rest."""
        settle_s = 1e-3 * max(
            (getattr(self._roles[role], "settle_ms", 0.0) for role in roles), default=0.0
        )
        with self._lighting.expecting("settling", need_s=settle_s):
            # The read-back arrives before a liquid crystal has turned or a stage stopped ringing.
            time.sleep(settle_s)

    def _way_from_here(self, role: str, target: Any) -> list[Any]:
        if slew_of(self._roles[role]) is None:
            return [target]
        return self._way(role, self._actuators[role].read_back(), target)

    def _way(self, role: str, here: Any, target: Any) -> list[Any]:
        """Return the steps of a move, all of them allowed."""
        device = self._actuators[role]
        is_whole = isinstance(device, NumericProperty) and device.is_integer
        settings = self._roles[role]
        unit = device.unit if isinstance(device, LightSource) else unit_of(settings)
        way = waypoints(role, settings, here, target, unit=unit, is_whole=is_whole)
        for stop in way[:-1]:
            self.check(role, stop)
        return way
