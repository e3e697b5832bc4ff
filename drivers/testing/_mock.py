"""What every mock device has: a record of commands, and faults that happen at the n-th call."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from drivers.devices import DeviceDescription
from drivers.errors import LimitViolation

Limits = tuple[float, float]
LONGEST_HANG_S = 60.0


class Call(NamedTuple):
    """One command that a device was given."""

    device: str
    command: str
    value: object = None


@dataclass
class Record:
    """Commands in the order in which they came, of one device or of all that share it.

    Commands change something (`start`, `wait`, `snap`, `make_safe`, ...); questions (`check`,
    `read_back`, `is_on`, `describe`) are not noted.
    """

    calls: list[Call] = field(default_factory=list)

    def names(self) -> list[tuple[str, str]]:
        """Device and command of every call."""
        return [(call.device, call.command) for call in self.calls]


class Hang:
    """A call that does not return until it is released."""

    def __init__(self, what: str):
        self._what = what
        self._reached = threading.Event()
        self._released = threading.Event()

    def wait_until_reached(self, *, timeout_s: float = LONGEST_HANG_S) -> None:
        """Return when a call hangs; raise `TimeoutError` after `timeout_s`."""
        if not self._reached.wait(timeout_s):
            raise TimeoutError(f"{self._what} was not called within {timeout_s:g} s")

    def release(self) -> None:
        """Let the call, and every later one, return."""
        self._released.set()

    def hold(self) -> None:
        """Hang; raise `TimeoutError` if nobody releases the call within a minute."""
        self._reached.set()
        if not self._released.wait(LONGEST_HANG_S):
            raise TimeoutError(f"{self._what} was never released; release() it in the test")


@dataclass
class _Planned:
    fault: BaseException | Hang | Literal["ignore"]
    calls_before: int
    times: int | None


class MockDevice:
    """Base of the mock devices: a plain class whose methods can be patched and spied on.

    Parameters
    ----------
    name
        Label on the bench.
    record
        Takes the commands; give several devices the same one to see their order.
    """

    kind = "device"

    def __init__(self, name: str, *, record: Record | None = None):
        self.name = name
        self.record = Record() if record is None else record
        self.is_closed = False
        self._planned: dict[str, list[_Planned]] = {}

    def raise_on(
        self, command: str, error: BaseException, *, at: int = 1, times: int | None = None
    ) -> None:
        """Raise an error when a method is called.

        Parameters
        ----------
        command
            Name of the method, `start` or `read_back` say.
        error
            What it raises.
        at
            Which call from now on is the first to fail, from 1.
        times
            How many fail in a row; None for all of them.
        """
        self._plan(command, error, at, times)

    def hang_on(self, command: str, *, at: int = 1) -> Hang:
        """Let a method not return, from its call number `at` on, until `Hang.release`."""
        hang = Hang(f"{self.name}: {command}")
        self._plan(command, hang, at, None)
        return hang

    def ignore(self, command: str = "start", *, at: int = 1, times: int | None = None) -> None:
        """Let a command return and do nothing: the device stays as it was, and nobody says so."""
        self._plan(command, "ignore", at, times)

    def heal(self) -> None:
        """Forget all faults; calls that hang already stay until they are released."""
        self._planned.clear()

    def describe(self) -> DeviceDescription:
        """Say what it is."""
        self._question("describe")
        return DeviceDescription(
            name=self.name, kind=self.kind, identity=f"mock {self.kind}", limits=self._limits_said()
        )

    def make_safe(self) -> None:
        """Go to the safe state."""
        if self._command("make_safe"):
            self._become_safe()

    def close(self) -> None:
        """Go to the safe state and be closed. Idempotent."""
        if self._command("close") and not self.is_closed:
            self._become_safe()
            self.is_closed = True

    def _become_safe(self) -> None:
        """Nothing to do, unless the device emits something."""

    def _limits_said(self) -> dict[str, Limits]:
        return {}

    def _command(self, command: str, value: object = None) -> bool:
        """Note a command, go wrong if planned; return whether it shall be carried out."""
        self.record.calls.append(Call(self.name, command, value))
        return self._go_wrong(command)

    def _question(self, command: str) -> None:
        self._go_wrong(command)

    def _plan(
        self,
        command: str,
        fault: BaseException | Hang | Literal["ignore"],
        at: int,
        times: int | None,
    ) -> None:
        if not callable(getattr(self, command, None)):
            raise AttributeError(f"{self.name} has no method {command!r} that could go wrong")
        if at < 1:
            raise ValueError(f"at={at}: calls are counted from 1")
        self._planned.setdefault(command, []).append(_Planned(fault, at - 1, times))

    def _go_wrong(self, command: str) -> bool:
        """Let the first fault that is due happen; return False if the call shall do nothing."""
        due = None
        for planned in self._planned.get(command, []):
            if planned.calls_before > 0:
                planned.calls_before -= 1
            elif due is None and planned.times != 0:
                due = planned
        if due is None:
            return True
        if due.times is not None:
            due.times -= 1
        if isinstance(due.fault, Hang):
            due.fault.hold()
        elif isinstance(due.fault, BaseException):
            raise due.fault
        return due.fault != "ignore"


def check_number(name: str, target: float, limits: Limits | None, unit: str) -> None:
    """Raise `LimitViolation` for what is outside the limits, or no number."""
    low, high = limits or (-math.inf, math.inf)
    if not (math.isfinite(target) and low <= target <= high):
        raise LimitViolation(f"{name}: {target:g} {unit} asked, {low:g} to {high:g} {unit} allowed")
