"""What happens during a campaign, as values; and the bus that carries them to observers.

Terminal and viewer are observers. Each has a thread and a bounded queue of its own, and so have all
callbacks of `psygnal` signals together: a slow one misses live frames, and one that raises or does
not keep up is dropped with a warning. Neither stalls the loop.
"""

from __future__ import annotations

import functools
import logging
import queue
import re
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8, UInt16
from psygnal import EmitLoopError, Signal, SignalInstance

from instrument.campaign.checks import Preflight
from instrument.campaign.states import State
from instrument.design import Design, DesignSpace

_log = logging.getLogger(__name__)
_QUEUE_LENGTH = 256
_CLOSE_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Anything that happened; `sequence` counts from 0 on the bus that carried it."""

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
class PreflightDone(Event):
    """What the run will take and stands on was looked at, before its first trial."""

    preflight: Preflight


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
    `sampling` says how many objects were enough, where the batch was adaptive, as in the ledger's
    estimate.
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
    sampling: dict[str, Any] | None = None


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
class StateChanged(Event):
    """The campaign does something else now; in `paused` and `suspended` the light is off."""

    before: State
    now: State
    why: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObserverDropped(Notice):
    """An observer hears no more of the run; `reason` is what it did."""

    observer: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignEnded(Event):
    """The last event: `status` is `finished`, `aborted` or `failed`."""

    status: str
    text: str


Observer = Callable[[Event], None]


class EventBus:
    """Carries events to observers without ever waiting for one; any thread may emit.

    `subscribe` takes everything. For one kind of event there is a `psygnal` signal of its name:
    `bus.trial_scored.connect(callback)`; an event is also told as what it is a kind of (`Suspended`
    as `notice`). All callbacks share one thread. One that raises is dropped, with the others of its
    signal; one that does not keep up, with all.
    """

    campaign_started = Signal(CampaignStarted)
    trial_started = Signal(TrialStarted)
    frame_captured = Signal(FrameCaptured)
    trial_scored = Signal(TrialScored)
    noise_checked = Signal(NoiseChecked)
    notice = Signal(Notice)
    suspended = Signal(Suspended)
    resumed = Signal(Resumed)
    state_changed = Signal(StateChanged)
    observer_dropped = Signal(ObserverDropped)
    preflight_done = Signal(PreflightDone)
    campaign_ended = Signal(CampaignEnded)

    def __init__(self) -> None:
        self._lock = threading.RLock()  # numbers go out in their order; held for puts only
        self._sequence = 0
        self._mailboxes: list[_Mailbox] = []
        self._callbacks: _Mailbox | None = None
        self._dropped: deque[ObserverDropped] = deque()
        self._is_closed = False

    def subscribe(self, observer: Observer, *, name: str) -> None:
        """Deliver every later event to `observer`, on a thread of its own."""
        with self._lock:
            self._mailboxes.append(_Mailbox(observer, name, on_raise=self._drop))

    def emit(self, event: Event) -> None:
        """Hand an event to every observer that keeps up."""
        with self._lock:
            waiting = deque([event])
            while waiting:
                waiting.extend(self._post(waiting.popleft()))

    def take_dropped(self) -> list[ObserverDropped]:
        """Return what was dropped since the last call: for the record."""
        with self._lock:
            dropped = list(self._dropped)
            self._dropped.clear()
            return dropped

    def close(self) -> None:
        """Let every observer finish its queue, within a limit. Idempotent."""
        with self._lock:
            self._is_closed = True
            mailboxes = [*self._mailboxes, *([self._callbacks] if self._callbacks else [])]
            self._mailboxes.clear()
            self._callbacks = None
        for mailbox in mailboxes:
            mailbox.close()

    def _post(self, event: Event) -> list[ObserverDropped]:
        """Stamp an event and put it into every mailbox; return whom that was too much for."""
        object.__setattr__(event, "sequence", self._sequence)  # stamped here, frozen for all others
        self._sequence += 1
        if isinstance(event, ObserverDropped):
            self._dropped.append(event)
        self._mailboxes = [mailbox for mailbox in self._mailboxes if not mailbox.is_over]
        mailboxes = list(self._mailboxes)
        if not self._is_closed and any(len(signal) for signal in self._signals_of(event)):
            if self._callbacks is None:
                self._callbacks = _Mailbox(self._call_back, "callbacks", on_raise=self._drop)
            mailboxes.append(self._callbacks)
        return [
            _is_dropped(mailbox.name, TOO_SLOW) for mailbox in mailboxes if not mailbox.put(event)
        ]

    def _signals_of(self, event: Event) -> list[SignalInstance]:
        return [getattr(self, name) for name in _signal_names(type(event))]

    def _call_back(self, event: Event) -> None:
        for signal in self._signals_of(event):
            try:
                signal.emit(event)
            except EmitLoopError as error:
                signal.disconnect()
                self._drop(f"callbacks of {signal.name}", _reason(error.__cause__ or error))

    def _drop(self, name: str, reason: str) -> None:
        self.emit(_is_dropped(name, reason))


@functools.cache
def _signal_names(kind: type[Event]) -> tuple[str, ...]:
    """Names of the signals that tell of a kind of event, the narrowest first."""
    names = [re.sub(r"(?<!^)(?=[A-Z])", "_", each.__name__).lower() for each in kind.__mro__]
    return tuple(name for name in names if isinstance(vars(EventBus).get(name), Signal))


def _is_dropped(name: str, reason: str) -> ObserverDropped:
    event = ObserverDropped(
        text=f"the {name} no longer follows the run: {reason}", observer=name, reason=reason
    )
    _log.warning("%s", event.text)
    return event


def _reason(error: BaseException) -> str:
    return f"it raised {type(error).__name__}: {error}"


TOO_SLOW = "it does not keep up"


class _Mailbox:
    """One observer, its queue and its thread."""

    def __init__(self, observer: Observer, name: str, *, on_raise: Callable[[str, str], None]):
        self.name = name
        self._observer = observer
        self._on_raise = on_raise
        self._queue: queue.Queue[Event | None] = queue.Queue(_QUEUE_LENGTH)
        self._is_dropped = False
        self._thread = threading.Thread(target=self._deliver, name=f"observer-{name}", daemon=True)
        self._thread.start()

    @property
    def is_over(self) -> bool:
        """Whether the observer was dropped and its thread has ended."""
        return self._is_dropped and not self._thread.is_alive()

    def put(self, event: Event) -> bool:
        """Leave an event; return False when that was one too many, and this is the end."""
        if self._is_dropped:
            return True
        # Half of the queue is kept for what must not be missed.
        if isinstance(event, FrameCaptured) and self._queue.qsize() > _QUEUE_LENGTH // 2:
            return True
        try:
            self._queue.put_nowait(event)
        except queue.Full:
            self._is_dropped = True
            return False
        return True

    def close(self) -> None:
        if threading.current_thread() is self._thread:
            return  # an observer that closes the bus cannot wait for itself
        if self._is_dropped:  # its thread ends by itself, as soon as the observer lets it
            self._thread.join(_CLOSE_TIMEOUT_S)
            return
        try:
            self._queue.put(None, timeout=_CLOSE_TIMEOUT_S)
        except queue.Full:
            self._say_it_is_late()
            return
        self._thread.join(_CLOSE_TIMEOUT_S)
        if self._thread.is_alive():
            self._say_it_is_late()

    def _deliver(self) -> None:
        while (event := self._queue.get()) is not None:
            if self._is_dropped:
                return
            try:
                self._observer(event)
            except Exception as error:  # noqa: BLE001 - an observer may never harm the loop
                self._is_dropped = True
                self._on_raise(self.name, _reason(error))
                return

    def _say_it_is_late(self) -> None:
        if not self._is_dropped:
            self._is_dropped = True
            _log.warning("the %s did not take the last events of the run in time", self.name)
