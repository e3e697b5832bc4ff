"""After a fault of a device: dark, everything closed, connected again, and the trial once more.

Cables are pulled and adapters hang; a night of measurements must not end with the first of them.
A light that could not be reached is tried again before all else, because connecting makes lights
dark first. What is never tried again: an order that was refused before anything moved, and a bench
of which anything else than a light could not be made safe: a camera that hangs in its driver.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TypeVar

from drivers import DeviceError, DriverUnavailable, LimitViolation
from instrument.bench.bench import Bench
from instrument.bench.connect import ConnectError
from instrument.bench.safety import UnsafeBench
from instrument.config import RecoverConfig

ResultT = TypeVar("ResultT")
Journal = Callable[[str, str], None]
"""Takes the kind of an entry, `fault` or `recovery`, and its text."""

NOT_TRIED_AGAIN = (UnsafeBench, LimitViolation, DriverUnavailable)
"""Faults that another attempt would only repeat, or that a person must look at first."""


class Recovery:
    """Brings a bench back after faults, within what `safety.recover` allows.

    Parameters
    ----------
    settings
        Of the bench file.
    connect
        Opens the bench anew, lights first and dark.
    wait
        Lets seconds go by in the dark; raises where the campaign is to pause or end.
    progress
        Number of trials scored so far: only faults without progress count towards the limit.
    journal
        Is told of every fault and every recovery.
    """

    def __init__(
        self,
        settings: RecoverConfig,
        *,
        connect: Callable[[], Bench],
        wait: Callable[[float], None],
        progress: Callable[[], int],
        journal: Journal,
    ):
        self._settings = settings
        self._connect = connect
        self._wait = wait
        self._progress = progress
        self._journal = journal
        self._attempts = 0
        self._progress_then = -1

    def keep(self, bench: Bench, work: Callable[[Bench], ResultT]) -> tuple[Bench, ResultT]:
        """Do `work` on a bench, and on its successors after faults.

        Parameters
        ----------
        bench
            Connected.
        work
            Goes on where it was when it is called again.

        Returns
        -------
        tuple
            The bench that `work` ended on, still open, and what it returned.

        Raises
        ------
        DeviceError
            The last fault, when no more attempts are left or none is allowed. Its bench is closed,
            and `Bench.close` says again what could not be made safe.
        """
        while True:
            try:
                return bench, work(bench)
            except NOT_TRIED_AGAIN:
                raise
            except DeviceError as fault:
                bench = self._bench_after(fault, bench)
            # The exception and the devices it came from hold each other, frames and all, until a
            # full collection, which comes by itself, but seldom in a process as large as this.
            gc.collect()

    def _bench_after(self, fault: DeviceError, bench: Bench) -> Bench:
        """Close the bench and return its successor."""
        unsafe = bench.close()
        self._journal("fault", f"{type(fault).__name__}: {fault}")
        for failure in unsafe:
            self._journal("fault", str(failure))
        if any(failure.role not in bench.lights() for failure in unsafe):
            raise fault
        problem: DeviceError = fault
        while self._may_try_again():
            seconds = self._wait_s()
            self._attempts += 1
            self._journal(
                "recovery",
                f"attempt {self._attempts} of {self._settings.attempts}: dark and closed, "
                f"connecting again in {seconds:g} s",
            )
            self._wait(seconds)
            try:
                successor = self._connect()
            except (ConnectError, UnsafeBench) as error:
                self._journal("fault", f"cannot connect again: {error}")
                problem = error
                continue
            self._journal("recovery", "the bench is connected again")
            return successor
        if problem is fault:
            raise fault
        raise problem from fault

    def _may_try_again(self) -> bool:
        now = self._progress()
        if now != self._progress_then:
            self._progress_then, self._attempts = now, 0
        return self._attempts < self._settings.attempts

    def _wait_s(self) -> float:
        return min(self._settings.wait_s * 2**self._attempts, self._settings.longest_wait_s)
