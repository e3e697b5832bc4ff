"""How checks are run: each alone, bounded in time, its outcome in words."""

from __future__ import annotations

import enum
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from drivers.devices import Device
from drivers.errors import LimitViolation

ARRIVE_S = 30.0
"""Longest wait for a move, as the bench's."""
LONGEST_CHECK_S = 90.0
"""After which a check is given up: no driver may wait without a bound."""
Status = Literal["passed", "failed", "skipped"]


class Scope(enum.IntEnum):
    """How far a check may go; each includes those before it.

    READ_ONLY asks and checks values, but moves, exposes and lights nothing. MOVE works the device
    within its limits. SIMULATED also asks `start` for what it must refuse, and closes the device:
    a driver that does not refuse would do harm to real hardware.
    """

    READ_ONLY = 0
    MOVE = 1
    SIMULATED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """What became of one check.

    Parameters
    ----------
    device, check
        Label of the device, and what is claimed of it.
    status
        `passed`, `failed` or `skipped`.
    asked, came
        What was called, and what it answered, or the reason.
    scope
        How far the check goes.
    seconds
        What it took.
    """

    device: str
    check: str
    status: Status
    asked: str
    came: str
    scope: Scope
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A claim about a device.

    `run` returns what came in words, and raises where the claim does not hold.
    """

    claim: str
    asked: str
    run: Callable[[], str]
    scope: Scope = Scope.READ_ONLY


class NotAsPromised(Exception):  # noqa: N818 - what a check raises, and `run_checks` words
    """A claim does not hold: what came instead."""


class NotApplicable(Exception):  # noqa: N818
    """A claim means nothing for this device: why."""


def run_checks(device: Device, checks: Sequence[Check], *, scope: Scope) -> list[CheckResult]:
    """Run checks in their order; none is lost when one before it fails.

    Parameters
    ----------
    device
        Whose they are.
    checks
        The first is what all others rest on: where it fails, they are skipped.
    scope
        Checks that go further are skipped.

    Returns
    -------
    list of CheckResult
        One a check. After a check that did not return, the rest are skipped: another call could
        hang behind it.
    """
    results: list[CheckResult] = []
    stopped = ""
    for number, check in enumerate(checks):
        started_s = time.perf_counter()
        if stopped:
            status, came = "skipped", stopped
        elif check.scope > scope:
            status, came = "skipped", _BEYOND[check.scope]
        else:
            status, came = _outcome(check)
        if status == "failed" and number == 0:
            stopped = "all else rests on its protocol"
        elif status == "failed" and came.startswith(_NO_RETURN):
            stopped = f"'{check.claim}' has not returned"
        results.append(
            CheckResult(
                device=str(getattr(device, "name", type(device).__name__)),
                check=check.claim,
                status=status,
                asked=check.asked,
                came=came,
                scope=check.scope,
                seconds=time.perf_counter() - started_s,
            )
        )
    return results


def require(holds: object, came: str) -> str:
    """Return what came if a claim holds; raise `NotAsPromised` with it otherwise."""
    if not holds:
        raise NotAsPromised(came)
    return came


def require_refused(what: Sequence[object], ask: Callable[..., object]) -> str:
    """See that every value is refused with a `LimitViolation`; return the last one's message."""
    said = "nothing to refuse"
    for value in what:
        try:
            ask(value)
        except LimitViolation as error:
            said = str(error)
        except Exception as error:
            raise NotAsPromised(
                f"{shown(value)}: {_words(error)}; LimitViolation expected"
            ) from error
        else:
            raise NotAsPromised(f"{shown(value)} was accepted")
    return said


def shown(value: object) -> str:
    """Write a value as briefly as it can be told from others."""
    shape = getattr(value, "shape", None)
    return f"{getattr(value, 'dtype', '')} {shape}" if shape else repr(value)


_NO_RETURN = "no return within"
_BEYOND = {
    Scope.MOVE: "not asked for: it moves, exposes or lights",
    Scope.SIMULATED: "not asked for: it is for simulated devices",
}


def _outcome(check: Check) -> tuple[Status, str]:
    """Run a check on a thread of its own: a driver that hangs must not take the suite along."""
    outcomes: queue.SimpleQueue[tuple[Status, str]] = queue.SimpleQueue()

    def work() -> None:
        try:
            outcomes.put(("passed", check.run()))
        except NotApplicable as why:
            outcomes.put(("skipped", str(why)))
        except NotAsPromised as what:
            outcomes.put(("failed", str(what)))
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is this check's outcome
            outcomes.put(("failed", _words(error)))

    thread = threading.Thread(target=work, name=f"conformance: {check.claim}", daemon=True)
    thread.start()
    try:
        outcome = outcomes.get(timeout=LONGEST_CHECK_S)
    except queue.Empty:
        return "failed", f"{_NO_RETURN} {LONGEST_CHECK_S:g} s"
    except BaseException:  # Ctrl-C: what the check has lit, it switches off itself
        thread.join(LONGEST_CHECK_S)
        raise
    thread.join()
    return outcome


def _words(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
