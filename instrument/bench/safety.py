"""Ways out: signals become exceptions, and nothing stops the dark.

`make_all_safe` is the one place that catches everything: every device is tried, lights first, and
what could not be made safe is reported.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from drivers import Device, DeviceError

_log = logging.getLogger(__name__)
_SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)
]
_raised: list[int] = []
"""Signals that were to end what `signals_raise` is around."""
_recalled: list[int] = []
"""Signals under way of `recall_main_thread`."""


class Interrupted(Exception):  # noqa: N818 - it is not an error
    """Somebody asked the program to stop (Ctrl-C, SIGTERM)."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.number = number


@dataclass(frozen=True, slots=True)
class Unsafe:
    """A device that could not be made safe, and why."""

    role: str
    device: str
    reason: str

    def __str__(self) -> str:
        return f"{self.role} ({self.device}) could NOT be made safe: {self.reason}"


class UnsafeBench(DeviceError):  # noqa: N818 - it is a state of the bench
    """Something could NOT be made safe and was left so: louder than any other error."""

    def __init__(self, failures: Sequence[Unsafe]):
        super().__init__("\n".join(map(str, failures)))
        self.failures = tuple(failures)


def make_all_safe(devices: Sequence[tuple[str, Device]]) -> tuple[Unsafe, ...]:
    """Make every (role, device) safe in the order given, whatever each of them does."""
    unsafe = []
    for role, device in devices:
        try:
            device.make_safe()
        except Exception as error:  # noqa: BLE001 - the other devices must be tried
            unsafe.append(Unsafe(role, _name_of(device), str(error) or repr(error)))
    for failure in unsafe:
        _log.critical("%s", failure)
    return tuple(unsafe)


def _name_of(device: Device) -> str:
    """Return a device's name, also where it can no longer say it: the others must be tried."""
    try:
        return device.name
    except Exception as error:  # noqa: BLE001 - a third party's may ask the hardware for it
        return f"its name cannot be read: {error!r}"


@contextmanager
def signals_raise(on_ctrl_c: Callable[[], bool] | None = None) -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM into `Interrupted` in the main thread, for the length of the block.

    In any other thread it does nothing: there Python delivers no signals.

    Parameters
    ----------
    on_ctrl_c
        Called at Ctrl-C, in the signal handler: it must take no lock. If it returns False,
        `Interrupted` is raised all the same.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if on_ctrl_c is None or not on_ctrl_c():
            _interrupt(number, frame)

    try:
        with _handlers({**dict.fromkeys(_SIGNALS, _interrupt), signal.SIGINT: ask}):
            yield
    finally:
        _raised.clear()


def raise_if_swallowed() -> None:
    """Raise the `Interrupted` of a signal once more, where Python has dropped it.

    A signal's exception that is raised in the middle of a finaliser or of a callback of garbage
    collection (JAX has one) is printed and forgotten; whoever comes here after it was not stopped.
    """
    if _raised and threading.current_thread() is threading.main_thread():
        raise Interrupted(_raised[0])


def recall_main_thread() -> None:
    """Raise `Interrupted` in the main thread, where it waits for something that never comes.

    Only within `signals_raise`: elsewhere the signal would not be ours. It cannot reach into a
    driver's compiled code that does not return.
    """
    if signal.getsignal(signal.SIGTERM) is not _interrupt:
        return
    _recalled.append(signal.SIGTERM)
    if hasattr(signal, "pthread_kill"):  # wakes what it waits in, too
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
    else:
        signal.raise_signal(signal.SIGTERM)  # Python's handler runs in the main thread anyway


def _interrupt(number: int, _frame: FrameType | None) -> None:
    if number in _recalled:
        _recalled.remove(number)  # the watchdog's own, which a run may survive
    else:
        _raised.append(number)
    raise Interrupted(number)


@contextmanager
def signals_wait() -> Iterator[None]:
    """Hold Ctrl-C and SIGTERM back while the bench is made safe; deliver them after, in order."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []

    def hold(number: int, _frame: FrameType | None) -> None:
        held.append(number)
        _log.warning("%s: held until the bench is safe", signal.Signals(number).name)

    try:
        with _handlers(dict.fromkeys(_SIGNALS, hold)):
            yield
    finally:
        for number in held:  # the first that raises is the last
            signal.raise_signal(number)


@contextmanager
def _handlers(handlers: Mapping[int, Callable[[int, FrameType | None], None]]) -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in handlers}
    for number, handler in handlers.items():
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
