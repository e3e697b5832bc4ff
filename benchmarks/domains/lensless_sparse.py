"""Claim: on sparse beads many lenslets tell more than one, though a Gaussian says the contrary.

Eight masks, beads of 5000 electrons on 2 % of the pixels. Every score stands between what a decoder
proves of the whole field and the entropy of the beads in view; how far above the latter it lies is
the error of the density. Objects are free here, so the density is scored on objects of its own
instead of being cross-fitted.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from benchmarks.domains.common import arguments, protocol, rank_correlation, seconds
from benchmarks.domains.lensless import bead_bits, camera, in_view_bits, mean_and_scatter
from benchmarks.record import save
from drivers.virtual.objects import beads
from estimation import AutoregressiveMixture, FullGaussian, SensorNoise
from estimation.ensemble import as_measurements, prepare
from estimation.ideal.design import expected_electrons


def summarise(rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return ranks, brackets and the largest score over the entropy in view."""
    table = list(rows.values())
    return {
        "against_decoder_bits": {
            score: rank_correlation([r[score] for r in table], [r["decoder_bits"] for r in table])
            for score in ("bits", "gaussian_bits", "in_view_bits")
        },
        "is_bracket_kept": all(r["decoder_bits"] <= r["bits"] for r in table),
        "largest_score_over_in_view": max(r["score_over_in_view"] for r in table),
        "best_by_bits": max(rows, key=lambda n: rows[n]["bits"]),
        "best_by_gaussian": max(rows, key=lambda n: rows[n]["gaussian_bits"]),
        "best_by_decoder": max(rows, key=lambda n: rows[n]["decoder_bits"]),
        "designs": rows,
    }


def main() -> int:
    quick = arguments(__doc__).quick
    fixed = protocol("lensless_sparse", is_quick=quick)
    counts = {name: number // (10 if quick else 1) for name, number in fixed["objects"].items()}
    if quick:
        fixed["field_decoder"]["steps"] = 20
        fixed["seeds"]["neural"] = fixed["seeds"]["neural"][:2]
        fixed["density_steps"] = dict.fromkeys(fixed["density_steps"], 200)
    train, tests = counts["train"], counts["test"]
    rng = np.random.default_rng(fixed["seeds"]["objects"])
    objects = beads(train + tests, fixed["field"], fill=fixed["fill"], rng=rng)
    first = counts["decoder"]
    parts = {
        "train": np.arange(first),
        "validation": np.arange(first, first + counts["validation"]),
        "test": np.arange(train, train + tests),
    }
    noise = SensorNoise(**fixed["noise"])
    designs = dict(list(fixed["designs"].items())[-2 if quick else None :])
    rows: dict[str, dict[str, Any]] = {}
    for number, (name, choice) in enumerate(designs.items()):
        twin = camera(choice, fixed)
        expected = expected_electrons(twin, objects)
        drawn = np.random.default_rng([fixed["seeds"]["noise"], 0, number])
        measured = as_measurements(noise.sample(expected, drawn))
        ensemble = prepare(measured, noise, patch=fixed["patch"], seed=0)
        fit_on, test_on = ensemble.take(np.arange(train)), ensemble.take(parts["test"])
        noise_bits = np.asarray(noise.entropy_at(expected[train:])).mean(axis=(1, 2, 3))
        family = AutoregressiveMixture(**fixed["density"], steps=fixed["density_steps"][name])
        with seconds() as score_s:
            fitted = family.fit(fit_on)
        per_object = fitted.negative_log_likelihood(test_on) / np.log(2) - noise_bits
        gaussian = FullGaussian().fit(fit_on).negative_log_likelihood(test_on) / np.log(2)
        with seconds() as decode_s:
            bounds = bead_bits(
                twin, expected, objects > 0, parts=parts, fill=fixed["fill"], fixed=fixed,
                noise=noise, seeds=fixed["seeds"]["neural"],
            )  # fmt: skip
        values = fixed["side"] ** 2
        view = float(in_view_bits(twin, fixed["fill"], fixed["noise"]["read_noise"]).sum())
        network_bits = values * float(per_object.mean())
        gaussian_bits = values * float((gaussian - noise_bits).mean())
        bits = min(network_bits, gaussian_bits)
        rows[name] = {
            "bits": bits,
            "bits_per_pixel": bits / values,
            "standard_error": float(per_object.std(ddof=1) / np.sqrt(tests)),
            "gaussian_bits": gaussian_bits,
            "in_view_bits": view,
            "score_over_in_view": bits / view,
            "steps": fitted.steps,
            "remaining_gap_bits": fitted.remaining_gap_bits,
            **mean_and_scatter("decoder_bits", [b.bits_per_measurement for b in bounds]),
            "decoder_standard_error": bounds[0].standard_error,
            "score": score_s,
            "decode": decode_s,
        }
        print(name, rows[name], flush=True)
    found = summarise(rows)
    print({k: v for k, v in found.items() if k != "designs"})
    if not quick:
        kept = {k: v for k, v in fixed.items() if k != "settings"}
        print(save("domain_lensless_sparse", {"protocol": kept, **found}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
