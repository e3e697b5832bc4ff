"""Where the bench is left at the end of a run, and what the ledger says of it.

`safety.on_stop` is followed where no device is in the middle of something: when the campaign has
finished, and when somebody asked it to end, which it does between two exposures or trials. After a
signal or a fault nobody knows what a device was doing, and the safe state is all there is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from instrument.bench.bench import Bench
from instrument.bench.safety import Unsafe
from instrument.bench.timing import Stopwatch
from instrument.campaign.outcome import Outcome
from instrument.campaign.plan import Proposal
from instrument.design import Design, DesignSpace


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftAt:
    """Where the bench was left; lights are off in any case.

    Parameters
    ----------
    what
        `best` or `start`: that design is on the bench. `safe`: modulators are flat, stages are
        where they were.
    design
        On the bench; None for `safe`.
    is_confirmed
        Whether repeats have confirmed the `best` design.
    offsets
        By how much its parameters were moved to follow the drift, in their units.
    why
        One sentence.
    at
        UTC, ISO 8601.
    """

    what: Literal["best", "start", "safe"]
    why: str
    design: Design | None = None
    is_confirmed: bool | None = None
    offsets: Mapping[str, Sequence[float]] = field(default_factory=dict[str, list[float]])
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat())

    def __str__(self) -> str:
        """Words after 'the bench is left'."""
        match self.what:
            case "best":
                confirmed = "" if self.is_confirmed else ", not confirmed"
                return f"at its best design{self._moved}{confirmed}"
            case "start":
                return f"at its start design{self._moved}"
            case "safe":
                return f"safe, with no design on it: {self.why}"

    @property
    def _moved(self) -> str:
        if not self.offsets:
            return ""
        moved = ", ".join(f"{name} by {by:+.3g}" for name, (by,) in self.offsets.items())
        return f", moved with the drift ({moved})"

    def record(self, unsafe: Sequence[Unsafe] = ()) -> dict[str, Any]:
        """Return plain data for the ledger, with what could not be made safe."""
        return {
            "what": self.what,
            "design": None if self.design is None else self.design.to_json(),
            "is_confirmed": self.is_confirmed,
            "offsets": {name: list(by) for name, by in self.offsets.items()},
            "why": self.why,
            "unsafe": [str(device) for device in unsafe],
            "at": self.at,
        }


def leave_bench(
    bench: Bench,
    space: DesignSpace,
    outcome: Outcome,
    *,
    is_complete: bool,
    here: Callable[[Design], Proposal] = lambda design: Proposal("end", design),
) -> LeftAt:
    """Bring the bench to where `safety.on_stop` wants it, in the dark.

    Parameters
    ----------
    bench, space, outcome
        Of the campaign.
    is_complete
        Whether all repeats of the confirmation were taken: else the best design is the best so far.
    here
        Where a design is on the bench as it has drifted.

    Raises
    ------
    DeviceError, LimitViolation
        It did not get there.
    """
    wanted = bench.config.safety.on_stop
    why = f"safety.on_stop: {wanted}"
    if wanted == "safe":
        return LeftAt(what="safe", why=why)
    design, is_confirmed = space.start, None
    if wanted == "best":
        if outcome.best_design is None:
            return LeftAt(what="safe", why=f"{why}, and no trial was scored")
        design, is_confirmed = outcome.best_design, is_complete and outcome.decision is not None
    left = here(design)
    bench.apply(left.on_bench, space=space, stopwatch=Stopwatch())
    bench.keep_design()
    return LeftAt(
        what=wanted,
        design=design,
        is_confirmed=is_confirmed,
        offsets=left.plan.get("offsets", {}),
        why=why,
    )
