"""What a finished run says of itself: as plain data, and as lines for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from instrument.campaign.run import RunResult


def summary(result: RunResult, self_checks: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return what `--json` prints."""
    outcome = result.outcome
    best = None
    if outcome is not None and outcome.best_design is not None:
        best = {
            "design": {k: list(v) for k, v in outcome.best_design.values.items()},
            "trial": outcome.best_trial,
            "bits_per_pixel": outcome.best_bits_per_pixel,
            "standard_error": outcome.standard_error,
        }
    said: dict[str, Any] = {
        "run_dir": str(result.run_dir),
        "status": result.status,
        "why": result.why,
        "trials": outcome.trials if outcome else 0,
        "best": best,
        "initial_bits_per_pixel": outcome.initial_bits_per_pixel if outcome else None,
        "seconds": result.seconds,
        "unsafe": [str(failure) for failure in result.unsafe],
        "left_at": result.left_at.record(result.unsafe),
    }
    if result.truth is not None:
        said["truth"] = result.truth
    said["self_checks"] = list(self_checks)
    return said


def summary_lines(result: RunResult) -> Iterator[str]:
    """Yield the result in bits, in rich's markup, and what a simulator knows of it."""
    outcome = result.outcome
    if outcome is not None and outcome.best_bits_per_pixel is not None:
        initial = outcome.initial_bits_per_pixel
        before = "-" if initial is None else f"{initial:.3f}"
        yield (
            f"[bold]{before} -> {outcome.best_bits_per_pixel:.3f} bits/px[/] "
            f"(standard error {outcome.standard_error:.3f}) "
            f"in {outcome.trials} trials, {result.seconds:.0f} s"
        )
    yield f"the bench is left {result.left_at}"
    if result.truth:
        facts = ", ".join(f"{name} {value:.3f}" for name, value in result.truth.items())
        yield f"the simulator knows: {facts}"
