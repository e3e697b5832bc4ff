"""What happens during a campaign, as values; and the bus that carries them to observers.

Terminal, viewer and report are observers. Each has a thread and a bounded queue of its own, so a
slow one misses live frames and a raising one is dropped with a warning: neither stalls the loop.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8, UInt16

from instrument.design import Design, DesignSpace
from instrument.search.enough import Sampling

_log = logging.getLogger(__name__)
_QUEUE_LENGTH = 256
_CLOSE_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Anything that happened; `sequence` counts from 0 within a process."""

    sequence: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignStarted(Event):
    """The bench is connected and the first trial follows.

    `trials` is the budget; `done` of them are in the ledger already (a resumed run).
    """

    run_dir: str
    space: DesignSpace
    trials: int
    done: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialStarted(Event):
    """A design is on the bench; `patterns` holds what each modulator shows, by role (and shot).

    Those named in `greys` are levels of brightness, the others of phase.
    """

    trial: int
    phase: str
    design: Design
    patterns: dict[str, UInt8[np.ndarray, "height width"]]
    greys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameCaptured(Event):
    """One frame of the running trial, for live view only. May be dropped."""

    trial: int
    index: int
    of: int
    frame: UInt16[np.ndarray, "height width"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialScored(Event):
    """A trial is in the ledger. `bits_per_pixel` is None for a failed one, `why` says why.

    `standard_error` is the one between designs, which all see the same objects, bits/pixel.
    `sampling` says how many objects were enough, where the batch was adaptive.
    """

    trial: int
    phase: str
    design: Design
    bits_per_pixel: float | None
    standard_error: float | None
    best_trial: int | None
    best_bits_per_pixel: float | None
    seconds: float
    why: str | None = None
    sampling: Sampling | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseChecked(Event):
    """Repeats of a static scene were compared with the calibrated noise.

    `when` is `start` or `end` of the campaign; `text` says what came of it, with the remedy; the
    numbers are in the ledger.
    """

    when: str
    text: str
    is_alarm: bool

    @property
    def headline(self) -> str:
        """The whole in one line for people."""
        verdict = "ALARM" if self.is_alarm else "self-check"
        return f"{verdict}, noise at the {self.when} of the run: {self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice(Event):
    """Something the person at the bench should read."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspended(Notice):
    """The light is off and the campaign waits for an interlock, at most `longest_s`."""

    interlock: str
    longest_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed(Notice):
    """The interlock holds again after `seconds`; the campaign goes on."""

    interlock: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignEnded(Event):
    """The last event: `status` is `finished`, `aborted` or `failed`."""

    status: str
    text: str


Observer = Callable[[Event], None]


class EventBus:
    """Carries events to observers without ever waiting for one."""

    def __init__(self) -> None:
        self._sequence = 0
        self._mailboxes: list[_Mailbox] = []

    def subscribe(self, observer: Observer, *, name: str) -> None:
        """Deliver every later event to `observer`, on a thread of its own."""
        self._mailboxes.append(_Mailbox(observer, name))

    def emit(self, event: Event) -> None:
        """Hand an event to every observer that keeps up."""
        object.__setattr__(event, "sequence", self._sequence)  # stamped here, frozen for all others
        self._sequence += 1
        for mailbox in self._mailboxes:
            mailbox.put(event)

    def close(self) -> None:
        """Let every observer finish its queue, within a limit. Idempotent."""
        for mailbox in self._mailboxes:
            mailbox.close()
        self._mailboxes.clear()


class _Mailbox:
    """One observer, its queue and its thread."""

    def __init__(self, observer: Observer, name: str):
        self._observer = observer
        self._name = name
        self._queue: queue.Queue[Event | None] = queue.Queue(_QUEUE_LENGTH)
        self._is_dropped = False
        self._thread = threading.Thread(target=self._deliver, name=f"observer-{name}", daemon=True)
        self._thread.start()

    def put(self, event: Event) -> None:
        if self._is_dropped:
            return
        # Half of the queue is kept for what must not be missed.
        if isinstance(event, FrameCaptured) and self._queue.qsize() > _QUEUE_LENGTH // 2:
            return
        try:
            self._queue.put_nowait(event)
        except queue.Full:
            self._drop("it does not keep up")

    def close(self) -> None:
        try:
            self._queue.put(None, timeout=_CLOSE_TIMEOUT_S)
        except queue.Full:
            self._drop("it does not keep up")
            return
        self._thread.join(_CLOSE_TIMEOUT_S)

    def _deliver(self) -> None:
        while (event := self._queue.get()) is not None:
            if self._is_dropped:
                continue
            try:
                self._observer(event)
            except Exception as error:  # noqa: BLE001 - an observer may never harm the loop
                self._drop(f"it raised {type(error).__name__}: {error}")

    def _drop(self, reason: str) -> None:
        self._is_dropped = True
        _log.warning("the %s no longer follows the run: %s", self._name, reason)
