"""Claim: on the demo bench the next trial is captured while the last ones are scored.

Duty cycle = (exposure and readout + stages travelling + settling) / wall time, summed over the
trials of the ledger; wall time is from the start of the first trial's capture to the last score.
Of the demo as shipped (10 ms) with the autoregressive density at least .85 is due. Beside it: the
same told at once and scored in this process (what overlap replaces), the Gaussian density, and
exposures of 50 ms. `with_training` counts the training of the density before the first trial as
well. `score_s` is what a score takes its worker, `waited_s` what the capture waited for it; the
run's load average says whether the machine was shared.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

from record import save

from instrument.campaign.ledger import Ledger, TrialRow

NEEDED = ("exposure", "travel", "settle")
FULL_WELL_MS = 10.0
"""The demo's exposure and light; longer exposures get less light, so that nothing saturates."""

DUE = 0.85


def options(density: str, exposure_ms: float, *, is_overlapped: bool) -> list[str]:
    level = 10.0 * FULL_WELL_MS / exposure_ms
    chosen = [
        f"score.density={density}",
        f"bench.roles.camera.exposure_ms={exposure_ms:g}",
        f"bench.roles.light.level={level:g}",
    ]
    if not is_overlapped:
        chosen += ["score.workers=0", "search.told_late=0"]
    return [word for each in chosen for word in ("--set", each)]


CASES: dict[str, tuple[str, float, bool]] = {
    "autoregressive, 10 ms": ("autoregressive", 10.0, True),
    "autoregressive, 10 ms, told at once": ("autoregressive", 10.0, False),
    "autoregressive, 50 ms": ("autoregressive", 50.0, True),
    "gaussian, 10 ms": ("gaussian", 10.0, False),
}


def measure(case: str, folder: Path, extra: list[str]) -> dict[str, Any]:
    """Run the demo once."""
    density, exposure_ms, is_overlapped = CASES[case]
    run_dir = folder / case.replace(" ", "-").replace(",", "")
    command = ["infoloop", "demo", "--quiet", "--json", "--output", str(run_dir)]
    chosen = options(density, exposure_ms, is_overlapped=is_overlapped)
    ran = subprocess.run([*command, *chosen, *extra], capture_output=True, text=True, check=True)
    summary = json.loads(ran.stdout)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    truth = summary["truth"]
    return {
        **duty(run_dir),
        "final_residual_rad": truth["final_residual_rad"],
        "load_average": load,
    }


def duty(run_dir: Path) -> dict[str, Any]:
    """Sum up what the ledger says of a run's time."""
    with Ledger.read(run_dir) as ledger:
        rows = [row for row in ledger.trials() if row.state == "scored"]
        meta = ledger.meta()
    lag = int(meta.get("told_late", 0))
    began, ended = _captured(rows[0])[0], _captured(rows[-1])[1]
    # Scores told after the last capture: what was waited for, or scored, from there on.
    tail_s = sum(row.timings.get("wait", 0.0) for row in rows[-1 - lag :])
    if "wait" not in rows[-1].timings:
        tail_s += rows[-1].timings.get("score", 0.0)
    wall_s = (ended - began).total_seconds() + tail_s
    needed_s = sum(row.timings.get(name, 0.0) for row in rows for name in NEEDED)
    training_s = float((meta.get("trained_density") or {}).get("seconds", 0.0))
    return {
        "trials": len(rows),
        "duty_cycle": needed_s / wall_s,
        "duty_cycle_with_training": needed_s / (wall_s + training_s),
        "wall_s": wall_s,
        "training_s": training_s,
        "needed_s_per_trial": needed_s / len(rows),
        "score_s": _mean(rows, "score"),
        "waited_s": _mean(rows, "wait"),
        "told_late": lag,
    }


def _captured(row: TrialRow) -> tuple[datetime, datetime]:
    start, end = row.record["captured_at"]
    return datetime.fromisoformat(start), datetime.fromisoformat(end)


def _mean(rows: list[TrialRow], name: str) -> float:
    return sum(row.timings.get(name, 0.0) for row in rows) / len(rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few trials, first case, no record")
    parser.add_argument("--case", choices=CASES, help="one case only, no record")
    asked = parser.parse_args()
    few = ["--set", "search.trials=20", "--set", "search.confirm.repeats=1"]
    cases = [asked.case] if asked.case else list(CASES)[: 1 if asked.quick else None]
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for case in cases:
            found[case] = row = measure(case, Path(folder), few if asked.quick else [])
            print(
                f"{case}: duty cycle {row['duty_cycle']:.1%} "
                f"({row['duty_cycle_with_training']:.1%} with training), {row['trials']} trials, "
                f"{row['needed_s_per_trial']:.2f} s needed a trial, score {row['score_s']:.2f} s, "
                f"waited {row['waited_s']:.2f} s, load {row['load_average']}",
                flush=True,
            )
    if asked.quick or asked.case:
        return 0
    shipped = found["autoregressive, 10 ms"]["duty_cycle"]
    print(save("duty_cycle", {"due": DUE, "duty_cycle": shipped, "cases": found}))
    return 0 if shipped >= DUE else 1


if __name__ == "__main__":
    raise SystemExit(main())
