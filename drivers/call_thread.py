"""One thread that owns a vendor's library, so that every call into it has a time limit.

Such libraries (a Micro-Manager core, a camera's SDK) are not safe to call from several threads, and
may never return. Calls are queued to a single daemon thread; a caller waits no longer than its
limit. After a call that did not return the library is unusable: later calls fail at once instead of
queueing behind it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, TypeVar

from drivers.errors import ConnectionLost, DeviceTimeout

ResultT = TypeVar("ResultT")
_Job = tuple[Future[Any], Callable[[], Any]]


class CallThread:
    """Serialises calls and bounds the wait for each.

    A daemon thread, unlike a `ThreadPoolExecutor`'s: a hung adapter must not keep the process from
    leaving once the light is off.

    Parameters
    ----------
    name
        Of the thread.
    library
        What is called, in messages.
    owned
        What is closed when the thread has ended, in messages.
    """

    def __init__(self, name: str, *, library: str, owned: str):
        self._library = library
        self._owned = owned
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._hung: str | None = None
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def call(self, function: Callable[[], ResultT], *, what: str, timeout_s: float) -> ResultT:
        """Run `function` on the thread and return its result.

        Raises
        ------
        DeviceTimeout
            If it has not returned after `timeout_s`; the library is given up, unless the call was
            still queued behind another thread's: then it is taken back.
        ConnectionLost
            If an earlier call never returned, or the thread is closed.
        """
        if self._hung is not None:
            raise ConnectionLost(
                f"{what}: {self._library} has not returned from '{self._hung}'; "
                "switch the device off and on, then start again"
            )
        if not self._thread.is_alive():
            raise ConnectionLost(f"{what}: {self._owned} is closed")
        future: Future[ResultT] = Future()
        self._jobs.put((future, function))
        try:
            return future.result(timeout=timeout_s)
        except FutureTimeout:
            if future.cancel():  # never begun: a move must not start after its caller gave up
                raise DeviceTimeout(
                    f"{what}: not begun, {self._library} was busy with an earlier call for "
                    f"{timeout_s:g} s; wait for that call first"
                ) from None
            if future.done():  # the call raised a TimeoutError itself, or returned just now
                return future.result()
            self._hung = what
            raise DeviceTimeout(
                f"{what}: no return from {self._library} within {timeout_s:g} s, so its thread "
                f"{self._thread.name!r} is left behind; check the device's power and cable"
            ) from None

    def close(self, *, timeout_s: float = 2.0) -> bool:
        """Let the thread end; return whether it did within `timeout_s`. Idempotent."""
        self._jobs.put(None)
        self._thread.join(0.0 if self._hung else timeout_s)  # a hung call has had its time
        return not self._thread.is_alive()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, function = job
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(function())
            except BaseException as error:  # noqa: BLE001 - carried to the caller's thread
                future.set_exception(error)
