"""Writing that waits for room: a call that found the disk full is made again when there is some."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from instrument.campaign.ledger.problems import LedgerFull

ArgumentsT = ParamSpec("ArgumentsT")
ResultT = TypeVar("ResultT")


class Patient(Protocol):
    """A record whose writes may wait.

    `on_full` is called with the failure and returns when the write may be made again, or raises;
    None: the failure is raised at once. `is_waiting` while it is called: a write meanwhile, from
    wherever, fails at once.
    """

    on_full: Callable[[LedgerFull], None] | None
    is_waiting: bool


PatientT = TypeVar("PatientT", bound=Patient)


def again_when_full(
    write: Callable[Concatenate[PatientT, ArgumentsT], ResultT],
) -> Callable[Concatenate[PatientT, ArgumentsT], ResultT]:
    """Make a write that may be repeated wait for room where the record has somebody to wait."""

    @functools.wraps(write)
    def patient(
        ledger: PatientT, /, *args: ArgumentsT.args, **kwargs: ArgumentsT.kwargs
    ) -> ResultT:
        while True:
            try:
                return write(ledger, *args, **kwargs)
            except LedgerFull as full:
                if ledger.on_full is None or ledger.is_waiting:
                    raise
                ledger.is_waiting = True
                try:
                    ledger.on_full(full)
                finally:
                    ledger.is_waiting = False

    return patient
