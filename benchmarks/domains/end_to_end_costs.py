"""What one design costs by IDEAL and by end-to-end learning, on a machine that does nothing else.

The first random start of every problem of the entry `end_to_end`, each method in a fresh process
on one thread, the large decoder for a few steps. Qualities are the business of `end_to_end`.

`python -m benchmarks.domains.end_to_end_costs [--folder DIR]`
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.domains.common import protocol
from benchmarks.domains.end_to_end import Study
from benchmarks.domains.end_to_end_problems import write_objects
from benchmarks.domains.end_to_end_summary import converged_step
from benchmarks.record import save

MEASURED = ("cost", "step_cpu_s", "load_average", "steps", "decoder_parameters", "frame")


def costs_of(study: Study, name: str) -> dict[str, Any]:
    """Run every method once; ratios are of processor seconds and of memory above the imports."""
    fixed = study.fixed
    write_objects(study.folder, name, fixed)
    start = f"random {fixed['seeds']['random_starts'][0]}"
    small = study.run("end_to_end", name, start=start)
    steps = converged_step(small["curve"])
    found: dict[str, Any] = {
        "end_to_end": {key: small[key] for key in MEASURED if key in small},
        "steps_the_small_decoder_needed": steps,
        "unet": {},
        "ideal": {},
    }
    for batch in fixed["unet"]["batches"][name]:
        large = study.run("unet", name, start=start, batch=batch)
        found["unet"][f"batch {batch}"] = {key: large[key] for key in MEASURED if key in large}
    for method in study.methods:
        run = study.run("ideal", name, start=start, method=method)
        cost = run["cost"]
        found["ideal"][method] = {
            **{key: run[key] for key in MEASURED if key in run},
            "over_end_to_end": {
                key: round(cost[key] / small["cost"][key], 3) for key in ("cpu_s", "growth_mib")
            },
            "over_unet": {
                batch: {
                    "cpu_s": round(cost["cpu_s"] / (large["step_cpu_s"] * steps), 5),
                    "growth_mib": round(cost["growth_mib"] / large["cost"]["growth_mib"], 3),
                }
                for batch, large in found["unet"].items()
            },
        }
        print(name, method, found["ideal"][method], flush=True)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="where finished runs are kept")
    parser.add_argument("--methods", nargs="*", help="only these surrogates of IDEAL, no record")
    asked = parser.parse_args()
    fixed = protocol("end_to_end", is_quick=False)
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="infoloop-costs-"))
    folder.mkdir(parents=True, exist_ok=True)
    methods = tuple(asked.methods or fixed["ideal"])
    study = Study("end_to_end", fixed, folder, False, methods, False, [])
    problems = {name: costs_of(study, name) for name in fixed["problems"]}
    if not asked.methods:
        print(
            save(
                "domain_end_to_end_costs", {"acceptance": fixed["acceptance"], "problems": problems}
            )
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
