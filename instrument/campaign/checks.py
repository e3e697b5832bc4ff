"""What a preflight says: a list of checks, each with a value, a verdict and one sentence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """Of a check: as it should be, worth a look before you leave, or no run."""

    OK = "ok"
    WARN = "warn"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at before a run.

    Parameters
    ----------
    name, value
        What, and what was found, in words with units.
    verdict
        Whether the run may go on.
    text
        One sentence: what follows from it, and the remedy if there is something to do.
    """

    name: str
    value: str
    verdict: Verdict
    text: str


@dataclass(frozen=True, slots=True)
class Preflight:
    """Everything that was looked at before a run, in the order it is shown."""

    checks: tuple[Check, ...]

    @property
    def verdict(self) -> Verdict:
        """The gravest of all."""
        found = {check.verdict for check in self.checks}
        return next((v for v in (Verdict.STOP, Verdict.WARN) if v in found), Verdict.OK)

    @property
    def stops(self) -> tuple[Check, ...]:
        """What forbids the run."""
        return tuple(check for check in self.checks if check.verdict is Verdict.STOP)

    def as_plain(self) -> dict[str, Any]:
        """Return what JSON holds."""
        checks = [{**asdict(check), "verdict": check.verdict.value} for check in self.checks]
        return {"verdict": self.verdict.value, "checks": checks}


class PreflightStopped(Exception):  # noqa: N818 - it is a verdict
    """A run that must not begin; says every reason with its remedy."""

    def __init__(self, preflight: Preflight):
        reasons = [f"preflight, {check.name}: {check.text}" for check in preflight.stops]
        super().__init__("\n".join(reasons))
        self.preflight = preflight


LookAt = Callable[[Mapping[str, Any] | None], Preflight]
"""The preflight of a run, by the record of the self-check if there was one."""
