"""What the child's loop needs of a window, and what a window says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict


class Monitor(BaseModel):
    """A monitor as the window system names it.

    Parameters
    ----------
    index
        Its number, 0 being the primary one.
    name
        Its name (from its EDID, where the system passes it on).
    shape
        (height, width) in pixels, as it is set now.
    position
        (x, y) of its upper left corner on the desktop, in pixels.
    refresh_hz
        Frames a second, 0 where it does not say.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    index: int
    name: str
    shape: tuple[int, int]
    position: tuple[int, int]
    refresh_hz: int


class ScreenFacts(BaseModel):
    """What a window found when it opened.

    Parameters
    ----------
    monitor
        Where it is.
    frame_period_ms
        Of the monitor's refresh rate, or of the one assumed.
    swap_interval_ms
        Median time from one swap to the next, measured.
    waits_for_retrace
        Whether that is as long as a frame.
    gamma
        Of the graphics card's table: straight, straightened, or no table.
    renderer, window_system
        Who draws.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    monitor: Monitor
    frame_period_ms: float
    swap_interval_ms: float
    waits_for_retrace: bool
    gamma: str
    renderer: str
    window_system: str


class WindowError(Exception):
    """The screen does not show what was asked, and may show the next; why, in one sentence."""


class WindowLost(WindowError):  # noqa: N818 - it is a state of the bench
    """There is no window any more, or no monitor."""


@dataclass(frozen=True, slots=True)
class Shown:
    """When a pattern came on, `time.perf_counter_ns`, which all processes of a machine share."""

    swapped_ns: int
    complete_ns: int


class Screen(Protocol):
    """A window that shows grey levels."""

    shape: tuple[int, int]
    facts: ScreenFacts
    pixels: NDArray[np.uint8]
    """Grey levels that are on the screen, (height, width)."""

    def show(self, pattern: NDArray[np.uint8]) -> Shown:
        """Show a pattern and return when all of it is on; raise `WindowError`."""
        ...

    def wait_for_events(self, timeout_s: float) -> None:
        """Answer the window system until something happens; raise `WindowLost`."""
        ...

    def wake(self) -> None:
        """Let `wait_for_events` return; may be called from any thread."""
        ...
