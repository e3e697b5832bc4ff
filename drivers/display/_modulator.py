"""A modulator that is a monitor (`drivers.devices.SpatialLightModulator`)."""

from __future__ import annotations

import hashlib
import statistics
import time
from collections import deque
from concurrent.futures import Future

import numpy as np
from numpy.typing import NDArray

from drivers.devices import DeviceDescription
from drivers.display._messages import Kind, Message
from drivers.display._process import OPEN_TIMEOUT_S, DisplayProcess
from drivers.display._screen import ScreenFacts
from drivers.errors import DeviceTimeout, InstrumentReported, LimitViolation, ProtocolError

_SHOW_TIMEOUT_S = 5.0  # where the caller gives none


class DisplaySLM:
    """Grey levels on a whole monitor, one pixel of the pattern a pixel of the monitor.

    `wait` returns when the pattern was swapped in with the vertical retrace and a whole frame has
    been drawn since. What happens behind the video cable (the modulator's own frame buffer, its
    liquid crystal) nobody can see from here: that is `settle_ms` of the role.

    Parameters
    ----------
    monitor
        Its number, 0 being the primary one, or its name.
    name
        Label of the device on this bench.
    shape
        (height, width) the monitor must have; None takes what it has.
    open_timeout_s
        Longest wait for the window.

    Raises
    ------
    ConnectionLost
        No window: no such monitor, another shape, no window system, the extra `display` missing.
    DeviceTimeout
        The window did not open in time.
    """

    levels = 256

    def __init__(
        self,
        monitor: int | str = 0,
        *,
        name: str = "display",
        shape: tuple[int, int] | None = None,
        open_timeout_s: float = OPEN_TIMEOUT_S,
    ):
        self.name = name
        arguments = [f"--monitor={monitor}"]
        arguments += ["--named"] if isinstance(monitor, str) else []
        arguments += ["--shape", *map(str, shape)] if shape else []
        self._process = DisplayProcess(name, *arguments)
        try:
            ready = self._process.answer(self._process.ready, "open", timeout_s=open_timeout_s)
            self._facts = ScreenFacts.model_validate_json(ready.content)
        except BaseException:
            self._process.close()
            raise
        self.shape = self._facts.monitor.shape
        self._pending: Future[Message] | None = None
        self._is_overdue = False
        self._asked: tuple[bytes, int] | None = None  # digest, time
        self._latencies_ms: deque[float] = deque(maxlen=100)
        self.on_since_s: float | None = None
        """Since when all of the pattern is on the monitor, `time.perf_counter`; None: unknown."""

    @property
    def process_id(self) -> int:
        """Number of the window's process."""
        return self._process.pid

    def describe(self) -> DeviceDescription:
        """Monitor, frame period, and how long patterns took from `start` until all was on."""
        facts = self._facts
        monitor = facts.monitor
        properties = {
            "monitor": str(monitor.index),
            "position": f"{monitor.position[0]}, {monitor.position[1]}",
            "refresh_hz": str(monitor.refresh_hz or "not said; 60 assumed"),
            "frame_period_ms": f"{facts.frame_period_ms:.3f}",
            "swap_interval_ms": f"{facts.swap_interval_ms:.3f}",
            "waits_for_retrace": "yes" if facts.waits_for_retrace else "no",
            "gamma": facts.gamma,
            "renderer": facts.renderer,
            "window_system": facts.window_system,
        }
        if self._latencies_ms:
            properties["latency_ms"] = f"{statistics.median(self._latencies_ms):.1f}"
            properties["longest_latency_ms"] = f"{max(self._latencies_ms):.1f}"
        height, width = self.shape
        return DeviceDescription(
            name=self.name,
            kind="slm",
            identity=f"monitor {monitor.name}, {width} x {height}",
            limits={"grey_level": (0, self.levels - 1)},
            properties=properties,
        )

    def check(self, target: NDArray[np.uint8]) -> None:
        """Refuse anything but uint8 of the exact shape: nothing is scaled, clipped or rounded."""
        pattern = np.asarray(target)
        if pattern.dtype != np.uint8 or pattern.shape != self.shape:
            raise LimitViolation(
                f"{self.name}: a pattern of {pattern.dtype} {pattern.shape} asked, "
                f"uint8 {self.shape} needed"
            )

    def start(self, target: NDArray[np.uint8]) -> None:
        """Send a pattern to the window and return.

        Raises
        ------
        LimitViolation
            It is no pattern of this display.
        DeviceTimeout
            The window has not shown an earlier one in its time, and still has not.
        ConnectionLost
            The display is closed.
        """
        self.check(target)
        if self._is_overdue and self._pending is not None and not self._pending.done():
            raise DeviceTimeout(
                f"{self.name}: show a pattern: the window has not answered an earlier request; is "
                "the monitor switched on, and the computer not asleep?"
            )
        content = np.ascontiguousarray(target).tobytes()
        self.on_since_s = None
        self._is_overdue = False
        self._asked = hashlib.sha256(content).digest(), time.perf_counter_ns()
        self._pending = self._process.ask(Message(Kind.SHOW, content))

    def wait(self, *, timeout_s: float) -> None:
        """Return when a whole frame of the pattern has been drawn.

        Raises
        ------
        DeviceTimeout
            Not within `timeout_s`.
        ConnectionLost
            The window was closed, its process killed, or the monitor unplugged.
        InstrumentReported
            The window could not show the pattern as it was sent.
        """
        if self._pending is None or self._asked is None:
            return
        try:
            reply = self._process.answer(self._pending, "show a pattern", timeout_s=timeout_s)
        except DeviceTimeout:
            self._is_overdue = True
            raise
        if self.on_since_s is not None:
            return
        digest, asked_ns = self._asked
        if self._expect(reply, Kind.SHOWN, "show a pattern").content != digest:
            raise ProtocolError(f"{self.name}: the window shows another pattern than it was sent")
        self._latencies_ms.append((reply.complete_ns - asked_ns) * 1e-6)
        self.on_since_s = reply.complete_ns * 1e-9

    def read_back(self) -> NDArray[np.uint8]:
        """Grey levels as the window read them from the screen's buffer, (height, width)."""
        what = "read the pattern"
        reply = self._process.answer(
            self._process.ask(Message(Kind.READ)), what, timeout_s=_SHOW_TIMEOUT_S
        )
        content = self._expect(reply, Kind.PIXELS, what).content
        return np.frombuffer(content, np.uint8).reshape(self.shape).copy()

    def make_safe(self) -> None:
        """Flat: all grey levels 0."""
        self.start(np.zeros(self.shape, np.uint8))
        self.wait(timeout_s=_SHOW_TIMEOUT_S)

    def close(self) -> None:
        """Show black, close the window, end its process. Idempotent."""
        self._process.close()

    def _expect(self, reply: Message, kind: Kind, what: str) -> Message:
        if reply.kind is Kind.REFUSED:
            raise InstrumentReported(f"{self.name}: {what}: {reply.content.decode()}")
        if reply.kind is not kind:
            raise ProtocolError(
                f"{self.name}: {what}: {reply.kind.name} came, {kind.name} expected"
            )
        return reply
