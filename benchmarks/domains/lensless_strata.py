"""Claim: lensless cameras for photographs, ranked by what the twin tells of scenes by contrast."""

from __future__ import annotations

import sys
from typing import Any

import jax
import numpy as np

from benchmarks.domains.common import arguments, protocol, rank_correlation
from benchmarks.domains.lensless import camera, judge, middle, scenes
from benchmarks.record import save
from estimation import SensorNoise
from estimation.ideal import LinearStrata
from estimation.ideal.design import expected_electrons

KIND = "photographs"


def main() -> int:
    quick = arguments(__doc__).quick
    fixed = protocol("lensless_strata", is_quick=quick)
    counts = {name: number // (4 if quick else 1) for name, number in fixed["objects"].items()}
    fixed["settings"]["neural"]["steps"] = 20 if quick else fixed["neural_steps"]
    rank = fixed["rank"] // (4 if quick else 1)
    objects, classes = scenes(KIND, fixed, counts)
    target = middle(objects, fixed["target_side"])
    ends = np.cumsum(list(counts.values()))
    parts = dict(zip(counts, np.split(np.arange(ends[-1]), ends[:-1]), strict=True))
    known = objects[parts["train"]]
    noise, size = SensorNoise(**fixed["noise"]), (fixed["patch"], fixed["patch"])
    laws = {k: LinearStrata.of(known, strata=k, rank=rank) for k in fixed["strata"]}
    rows: dict[str, dict[str, Any]] = {}
    for name, choice in fixed["designs"].items():
        twin = camera(choice, fixed)
        expected = expected_electrons(twin, objects)
        noise_bits = float(np.asarray(noise.entropy_at(expected[parts["train"]])).mean())
        with jax.enable_x64(True):
            nats = {
                k: float(law.entropy_nats(twin, None, noise, patch=size, key=None))
                for k, law in laws.items()
            }
        rows[name] = {
            **{
                f"bits_{k}": (value / np.log(2) - noise_bits) * fixed["patch"] ** 2
                for k, value in nats.items()
            },
            **judge(KIND, expected, target, classes, parts=parts, fixed=fixed, noise=noise),
        }
        print(name, rows[name], flush=True)
    table, score = list(rows.values()), f"bits_{fixed['strata'][-1]}"
    found: dict[str, Any] = {
        f"bits_{k}_against": {
            metric: rank_correlation([r[f"bits_{k}"] for r in table], [r[metric] for r in table])
            for metric in fixed["metrics"]
        }
        for k in fixed["strata"]
    }
    found |= {
        "best_by_bits": max(rows, key=lambda n: rows[n][score]),
        "best_by_psnr": max(rows, key=lambda n: rows[n]["psnr_neural_db"]),
        "is_bracket_kept": all(r["identification_bits"] <= r[score] for r in table),
    }
    print(found)
    if not quick:
        kept = {k: v for k, v in fixed.items() if k != "settings"}
        print(save("domain_lensless_strata", {"protocol": kept, **found, "designs": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
