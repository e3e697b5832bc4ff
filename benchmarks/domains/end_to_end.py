"""Claim: designing by information (IDEAL) is as good as end-to-end learning, and cheaper.

Four problems; the same parameters, bounds, projection, annealing, light and starts for both; the
same fresh decoder on every final design. Every design run is a process of its own on one thread.

`python -m benchmarks.domains.end_to_end [--quick] [--folder DIR] [--entry NAME]`: finished runs are
kept in the folder, and a second call goes on where the first ended.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.domains.common import protocol
from benchmarks.domains.end_to_end_judging import judged, own_over_fresh
from benchmarks.domains.end_to_end_problems import (
    Problem,
    described,
    problem,
    write_objects,
)
from benchmarks.domains.end_to_end_process import ONE_THREAD
from benchmarks.domains.end_to_end_summary import summary
from benchmarks.record import save


@dataclass(frozen=True, slots=True)
class Study:
    """All runs of one protocol, with what is already finished on the disk."""

    entry: str
    fixed: Mapping[str, Any]
    folder: Path
    is_quick: bool
    methods: tuple[str, ...]
    is_as_it_is: bool
    missing: list[str]

    def run(self, kind: str, name: str, *, start: str, method: str = "", **more: Any) -> Any:
        """Return what a design process found, from the disk if it has been run; maybe `None`."""
        words = [kind, method, name, start, *(f"{k} {v}" for k, v in more.items())]
        path = self.folder / ("-".join(filter(None, words)).replace(" ", "_") + ".json")
        if not path.exists() and self.is_as_it_is:
            self.missing.append(path.stem)
            return None
        if not path.exists():
            job = {
                "entry": self.entry,
                "kind": kind,
                "problem": name,
                "start": start,
                "method": method,
                "seed": self.fixed["seeds"]["design"],
                "folder": str(self.folder),
                "is_quick": self.is_quick,
                **more,
            }
            asked = path.with_suffix(".job")
            asked.write_text(json.dumps(job), encoding="utf-8")
            command = [sys.executable, "-m", "benchmarks.domains.end_to_end_process"]
            environment = {**os.environ, **ONE_THREAD}
            subprocess.run([*command, str(asked), str(path)], check=True, env=environment)
        found = json.loads(path.read_text(encoding="utf-8"))
        print(path.stem, found["cost"], f"load {found['load_average']:.1f}", flush=True)
        return found

    def judge(self, now: Problem, label: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the qualities of a design, from the disk if it has been judged."""
        path = self.folder / (f"judged-{now.name}-{label}".replace(" ", "_") + ".json")
        if not path.exists():
            arrays = {name: np.asarray(value) for name, value in values.items()}
            found = judged(now, arrays, folder=self.folder, fixed=self.fixed)
            document = {**found, "design": described(now.twin, arrays)}
            path.write_text(json.dumps(document), encoding="utf-8")
        found = json.loads(path.read_text(encoding="utf-8"))
        print(now.name, label, found, flush=True)
        return found


def one_problem(study: Study, name: str) -> dict[str, Any]:
    """Run and judge everything of one problem."""
    fixed, now = study.fixed, problem(name, study.fixed)
    write_objects(study.folder, name, fixed)
    hand_made = {h: study.judge(now, h, now.start(h)) for h in now.twin.hand_made()}
    randoms = [f"random {seed}" for seed in fixed["seeds"]["random_starts"]]
    if study.is_quick:
        randoms = randoms[:1]
    first = {r: study.judge(now, r, now.start(r)) for r in randoms}

    def ascended(label: str, start: str, run: Mapping[str, Any]) -> dict[str, Any]:
        """Judge where the gradient led, if the estimator chose the start instead."""
        if "ascended" not in run or run["ascended"] == run["values"]:
            return {}
        return {"ascended": study.judge(now, f"{label} {start} ascended", run["ascended"])}

    def designed(label: str, runs: dict[str, Any]) -> dict[str, Any]:
        return {
            start: {
                **study.judge(now, f"{label} {start}", run["values"]),
                **ascended(label, start, run),
                **{k: run[k] for k in ("cost", "curve", "load_average")},
                **{k: run[k] for k in ("step_cpu_s", "candidates", "chosen") if k in run},
            }
            for start, run in runs.items()
            if run is not None
        }

    results: dict[str, Any] = {
        "metric": now.metric,
        "hand_made": hand_made,
        "random": first,
        "end_to_end": designed(
            "end to end",
            {s: study.run("end_to_end", name, start=s) for s in randoms},
        ),
        "ideal": {},
        "ideal_scores_of_hand_made": {},
    }
    for run in results["end_to_end"].values():
        run["own_error_over_fresh"] = own_over_fresh(
            now, run["curve"][-1][1], run["validation"], folder=study.folder, fixed=fixed
        )
    for method in study.methods:
        settings = fixed["ideal"][method]
        if name not in settings["starts"]:
            continue
        starts = randoms[: settings["starts"][name]]
        hand_made_starts = settings.get("hand_made_starts", settings.get("is_hand_made_a_start", 0))
        if hand_made_starts:
            scored = study.run("score", name, start=randoms[0], method=method)
            scores = scored["candidates"] if scored else {}
            bits = {h: scores.get(f"hand made: {h}", {}).get("choice_bits") for h in hand_made}
            known = {h: b for h, b in bits.items() if b is not None}
            results["ideal_scores_of_hand_made"][method] = known
            starts += sorted(known, key=lambda h, known=known: -known[h])[: int(hand_made_starts)]
        ascents = designed(
            f"ideal {method}",
            {s: study.run("ideal", name, start=s, method=method) for s in starts},
        )
        if ascents:
            results["ideal"][method] = ascents
    kept = ("cost", "step_cpu_s", "decoder_parameters", "frame", "load_average")
    results["unet"] = {}
    for batch in fixed["unet"]["batches"][name]:
        large = study.run("unet", name, start=randoms[0], batch=batch)
        if large is not None:
            results["unet"][f"batch {batch}"] = {key: large[key] for key in kept}
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one start, other seeds, no record")
    parser.add_argument("--folder", type=Path, help="where finished runs are kept")
    parser.add_argument("--entry", default="end_to_end_again", help="of the protocol")
    parser.add_argument("--problem", help="only this one, no record")
    parser.add_argument("--methods", nargs="*", help="only these surrogates of IDEAL")
    parser.add_argument("--as-it-is", action="store_true", help="what is finished, no new runs")
    asked = parser.parse_args()
    fixed = protocol(asked.entry, is_quick=asked.quick)
    default = Path(tempfile.gettempdir()) / f"infoloop-{asked.entry}{'-quick' * asked.quick}"
    folder = asked.folder or default
    folder.mkdir(parents=True, exist_ok=True)
    methods = tuple(asked.methods or fixed["ideal"])
    study = Study(asked.entry, fixed, folder, asked.quick, methods, asked.as_it_is, [])
    names = [asked.problem] if asked.problem else list(fixed["problems"])
    problems = {name: one_problem(study, name) for name in names}
    short = {name: summary(found, fixed) for name, found in problems.items()}
    print(json.dumps(short, indent=1))
    if not asked.quick and not asked.problem:
        kept = {key: value for key, value in fixed.items() if key != "settings"}
        document = {"protocol": kept, "summary": short, "runs": problems, "not_run": study.missing}
        print(save(f"domain_{asked.entry}", document))
    return 0


if __name__ == "__main__":
    sys.exit(main())
