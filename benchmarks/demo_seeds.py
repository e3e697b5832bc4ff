"""Claim: `infoloop demo` finds the aberration it cannot see, on every seed, within its budget.

Runs the command itself, seeds 0 to 4, and keeps from each the truth that only the simulator knows,
the time of the whole command including start-up and JIT, and the loop's overhead: the share of the
trials' time that is not exposure and readout, stages travelling and settling, or scoring. Travel is
only the wait until a stage says that it has arrived; ordering it and reading it back are overhead.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from record import save

from instrument.campaign.ledger import Ledger

NEEDED = ("exposure", "travel", "settle", "score")


def run_seed(seed: int, folder: Path, extra: list[str]) -> dict[str, Any]:
    run_dir = folder / f"seed{seed}"
    command = ["infoloop", "demo", "--seed", str(seed), "--output", str(run_dir)]
    started_s = time.perf_counter()
    finished = subprocess.run(
        [*command, "--json", "--quiet", *extra], capture_output=True, text=True, check=True
    )
    wall_s = time.perf_counter() - started_s
    summary = json.loads(finished.stdout)
    truth, best = summary["truth"], summary["best"]
    return {
        "seed": seed,
        "trials": summary["trials"],
        "command_s": round(wall_s, 1),
        "initial_residual_rad": truth["initial_residual_rad"],
        "final_residual_rad": truth["final_residual_rad"],
        "initial_bits_per_pixel": summary["initial_bits_per_pixel"],
        "best_bits_per_pixel": best["bits_per_pixel"],
        "standard_error": best["standard_error"],
        "unaberrated_bits_per_pixel": truth["unaberrated_bits_per_pixel"],
        "fraction_of_unaberrated": best["bits_per_pixel"] / truth["unaberrated_bits_per_pixel"],
        **overhead(run_dir),
    }


def overhead(run_dir: Path) -> dict[str, Any]:
    """Where the time of the trials went."""
    with Ledger.read(run_dir) as ledger:
        rows = [row for row in ledger.trials() if row.state == "scored"]
    total_s = sum(row.seconds or 0.0 for row in rows)
    names = sorted({name for row in rows for name in row.timings})
    shares = {n: sum(row.timings.get(n, 0.0) for row in rows) / total_s for n in names}
    return {
        "trial_s": total_s / len(rows),
        "time_shares": shares,
        "overhead": 1 - sum(shares.get(name, 0.0) for name in NEEDED),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one seed, few trials, no record")
    quick = parser.parse_args().quick
    extra = ["--set", "search.trials=10", "--set", "search.confirm.repeats=1"] if quick else []
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in [0] if quick else range(5):
            rows.append(run_seed(seed, Path(folder), extra))
            row = rows[-1]
            print(
                f"seed {seed}: {row['initial_residual_rad']:.2f} -> "
                f"{row['final_residual_rad']:.3f} rad, "
                f"{row['best_bits_per_pixel']:.3f} bits/px = "
                f"{row['fraction_of_unaberrated']:.1%} of unaberrated, {row['trials']} trials, "
                f"{row['command_s']:.0f} s, loop overhead {row['overhead']:.1%}",
                flush=True,
            )
    if quick:
        return 0
    worst = {
        "worst_final_residual_rad": max(row["final_residual_rad"] for row in rows),
        "worst_fraction_of_unaberrated": min(row["fraction_of_unaberrated"] for row in rows),
        "most_trials": max(row["trials"] for row in rows),
        "longest_command_s": max(row["command_s"] for row in rows),
        "worst_overhead": max(row["overhead"] for row in rows),
    }
    print(save("demo_seeds", {**worst, "seeds": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
