"""Claim: information ranks thermal cameras as the error in kelvin does, while focus is known.

With an unknown defocus for every object the plain score, the worst depth's and the mean over depths
are reported beside the error, whatever they say.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from benchmarks.domains.common import arguments, protocol, rank_correlation, seconds
from benchmarks.domains.decoders import fit_lmmse
from benchmarks.record import save
from drivers.virtual.objects import thermal_scenes
from drivers.virtual.twins import Infrared
from estimation import InfraredNoise, SaturatedMeasurements, estimate_information
from estimation.errors import InvalidMeasurements
from estimation.ideal.design import expected_electrons


def look(
    choice: list[float], objects: np.ndarray, *, fixed: dict[str, Any], waves: list[float]
) -> np.ndarray:
    """Return expected electrons; object k is out of focus by entry k of `waves`, repeated."""
    f_number, time_ms, cubic = choice
    expected = np.empty((len(objects), 1, fixed["side"], fixed["side"]))
    for level, defocus in enumerate(waves):
        twin = Infrared(
            f_number, time_ms, cubic, defocus / f_number**2,
            field=fixed["field"], side=fixed["side"],
        )  # fmt: skip
        mine = slice(level, None, len(waves))
        expected[mine] = expected_electrons(twin, objects[mine])
    return expected


def main() -> int:
    quick = arguments(__doc__).quick
    fixed = protocol("infrared", is_quick=quick)
    train, validation, tests = (
        fixed["objects"][part] // (3 if quick else 1) for part in ("train", "validation", "test")
    )
    rng = np.random.default_rng(fixed["seeds"]["objects"])
    known = thermal_scenes(train + validation, fixed["field"], rng=rng)
    unseen = thermal_scenes(tests, fixed["field"], rng=rng, split="test")
    objects = np.concatenate([known, unseen])
    first = (fixed["field"] - fixed["target_side"]) // 2
    inside = slice(first, first + fixed["target_side"])
    target = objects[:, inside, inside].reshape(len(objects), -1)
    noise = InfraredNoise(**fixed["noise"])
    forgetful = InfraredNoise(**{**fixed["noise"], "residual_pattern": 0.0})
    parts = np.split(np.arange(len(objects)), [train, train + validation])
    used = slice(0, train + validation)
    tables: dict[str, Any] = {}
    focus = {"in focus": [0.0], "random defocus": fixed["defocus_waves_times_f2"]}
    designs = dict(list(fixed["designs"].items())[-3:] if quick else fixed["designs"].items())
    for table, waves in focus.items():
        rows: dict[str, dict[str, Any]] = {}
        for number, (name, choice) in enumerate(designs.items()):
            expected = look(choice, objects, fixed=fixed, waves=waves)
            drawn = np.random.default_rng([fixed["seeds"]["noise"], number])
            counts = noise.sample(expected, drawn)

            def bits(which: slice, model: InfraredNoise = noise, y=counts, mean=expected) -> float:
                return estimate_information(
                    y[which], model, density="gaussian", patch=fixed["patch"], expected=mean[which]
                ).bits_per_pixel

            with seconds() as score_s:
                try:
                    plain = bits(used)
                except (SaturatedMeasurements, InvalidMeasurements) as refusal:
                    rows[name] = {"refused": str(refusal), "mean_e": float(expected.mean())}
                    print(table, name, rows[name], flush=True)
                    continue
            depths = [bits(slice(level, used.stop, len(waves))) for level in range(len(waves))]
            y = counts.reshape(len(counts), -1).astype(float)
            linear = fit_lmmse(
                y[parts[0]],
                target[parts[0]],
                validation=(y[parts[1]], target[parts[1]]),
                ridges=fixed["settings"]["lmmse"]["ridges"],
            )
            error = linear(y[parts[2]]) - target[parts[2]]
            rows[name] = {
                "mean_e": float(expected.mean()),
                "bits_per_pixel": plain,
                "worst_depth_bits_per_pixel": min(depths),
                "mean_depth_bits_per_pixel": float(np.mean(depths)),
                "bits_per_pixel_without_pattern": bits(used, forgetful),
                "rmse_k": float(np.sqrt(np.mean(error**2))),
                "score": score_s,
            }
            print(table, name, rows[name], flush=True)
        scored = [row for row in rows.values() if "refused" not in row]
        bright = [row for row in scored if row["mean_e"] >= 1e7]
        tables[table] = {
            "against_rmse_k": {
                score: rank_correlation(
                    [row[score] for row in scored], [-row["rmse_k"] for row in scored]
                )
                for score in (
                    "bits_per_pixel",
                    "worst_depth_bits_per_pixel",
                    "mean_depth_bits_per_pixel",
                    "bits_per_pixel_without_pattern",
                )
            },
            "refused": [name for name, row in rows.items() if "refused" in row],
            "least_excess_without_pattern_at_1e7_e": min(
                (r["bits_per_pixel_without_pattern"] - r["bits_per_pixel"] for r in bright),
                default=None,
            ),
            "designs": rows,
        }
        print({k: v for k, v in tables[table].items() if k != "designs"}, flush=True)
    if not quick:
        kept = {k: v for k, v in fixed.items() if k != "settings"}
        print(save("domain_infrared", {"protocol": kept, "tables": tables}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
