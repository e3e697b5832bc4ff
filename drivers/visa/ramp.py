"""Bringing a level somewhere slowly: bounded steps, bounded time, and stopped when it must be dark.

Knows no instrument: it is told how to set a level.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from drivers.errors import DeviceError, DeviceTimeout
from drivers.visa.channels import NumberChannel


class Stopped(DeviceError):  # noqa: N818 - it is no error of the device
    """Something was made safe while it was on its way elsewhere."""


def climb(
    channel: NumberChannel,
    target: float,
    *,
    start: float,
    set_level: Callable[[float], float],
    before_step: Callable[[], None] | None,
    stop: threading.Event,
    what: str,
) -> float:
    """Set levels from `start` to `target`, none further from the last than the channel's slew.

    Parameters
    ----------
    channel
        Has a `slew`.
    target
        A level the channel can be set to, in its unit; every level on the way is one too.
    start
        Where it is now.
    set_level
        Sets, verifies and returns the read-back; whatever it raises ends the ramp there.
    before_step
        Called before every step; an interlock raises in it, and the level stays where it is.
    stop
        When set, no further level is.
    what
        Instrument and channel, for messages.

    Returns
    -------
    float
        Read-back at the end.

    Raises
    ------
    Stopped
        `stop` was set.
    DeviceTimeout
        It took longer than the slew's `longest_s`: the instrument answers too slowly.
    """
    slew = channel.slew
    assert slew is not None  # noqa: S101 - the caller asked
    deadline_s = time.monotonic() + slew.longest_s
    level = start
    while True:
        if before_step is not None:
            before_step()
        level = channel.towards(level, target)
        got = set_level(level)
        if level == target:
            return got
        if stop.wait(slew.interval_ms / 1000):
            raise Stopped(f"{what} was on its way from {start:g} to {target:g}: stopped, made safe")
        if time.monotonic() > deadline_s:
            raise DeviceTimeout(
                f"{what} {target:g} {channel.unit} asked, {level:g} after {slew.longest_s:g} s; "
                "the instrument answers too slowly for its `slew`: raise `longest_s` or `step`"
            )
