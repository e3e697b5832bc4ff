"""Claims: a scan's autoregressive bound is no higher than the Gaussian's; few views at low dose."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from benchmarks.domains.common import arguments, protocol, psnr_db, rank_correlation, seconds
from benchmarks.domains.decoders import fit_lmmse, identification_bits
from benchmarks.domains.lensless import gaussian_bits
from benchmarks.domains.tomography import line_integrals, scan
from benchmarks.record import save
from drivers.virtual.objects import ellipses
from drivers.virtual.twins import Tomography
from estimation import AutoregressiveMixture, SensorNoise, estimate_information
from estimation.ideal.design import expected_electrons

WHOLE = 64
"""Patch: larger than any sinogram."""


def decode(
    counts: np.ndarray,
    target: np.ndarray,
    twin: Tomography,
    *,
    parts: list[np.ndarray],
    fixed: dict[str, Any],
    noise: SensorNoise,
) -> dict[str, Any]:
    """Return the better linear decoder's decibels and the bits that it proves."""
    peak = float(target[parts[0]].max(axis=1).mean())
    found = {}
    for name, y in {
        "lmmse_counts": counts.reshape(len(counts), -1).astype(float),
        "lmmse_logarithm": line_integrals(counts, twin, noise),
    }.items():
        linear = fit_lmmse(
            y[parts[0]],
            target[parts[0]],
            validation=(y[parts[1]], target[parts[1]]),
            ridges=fixed["settings"]["lmmse"]["ridges"],
        )
        guesses = [linear(y[part]) for part in parts[1:]]
        decibels = [
            psnr_db(g - target[p], peak=peak) for g, p in zip(guesses, parts[1:], strict=True)
        ]
        found[name] = decibels, identification_bits(guesses[1], target[parts[2]])
    chosen = max(found, key=lambda name: found[name][0][0])
    return {
        "decoder": chosen,
        "psnr_lmmse_db": found[chosen][0][1],
        "decoder_bits": found[chosen][1].bits_per_measurement,
    }


def table(entry: str, *, is_quick: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the fixed choices and the rows of every dose."""
    fixed = protocol(entry, is_quick=is_quick)
    sizes = fixed["objects"]
    train, validation, tests = (
        sizes[part] // (5 if is_quick else 1) for part in ("train", "validation", "test")
    )
    rng = np.random.default_rng(fixed["seeds"]["objects"])
    objects = ellipses(train + validation + tests, fixed["side"], rng=rng)
    target = objects.reshape(len(objects), -1)
    noise = SensorNoise(**fixed["noise"])
    parts = np.split(np.arange(len(objects)), [train, train + validation])
    used = slice(0, train + validation)
    is_trained = fixed["density"] != "gaussian"
    density = AutoregressiveMixture(**fixed["density"]) if is_trained else "gaussian"
    designs = dict(list(fixed["designs"].items())[: 2 if is_quick else None])
    doses: dict[str, Any] = {}
    for dose_e in fixed["doses_e"]:
        rows: dict[str, dict[str, Any]] = {}
        for number, (name, choice) in enumerate(designs.items()):
            twin = scan(
                choice, side=fixed["side"], dose_e=dose_e, seed=fixed["seeds"]["random_views"]
            )
            expected = expected_electrons(twin, objects)
            drawn = np.random.default_rng([fixed["seeds"]["noise"], dose_e, number])
            counts = noise.sample(expected, drawn)
            with seconds() as score_s:
                estimate = estimate_information(
                    counts[used], noise, density=density, patch=WHOLE, expected=expected[used]
                )
            row: dict[str, Any] = {
                "views": choice["views"],
                "bits": estimate.bits_per_measurement,
                "bits_per_pixel": estimate.bits_per_pixel,
                "standard_error": estimate.standard_error,
                **decode(counts, target, twin, parts=parts, fixed=fixed, noise=noise),
                "score": score_s,
            }
            if is_trained:
                values = int(np.prod(counts.shape[1:]))
                row["gaussian_bits"] = gaussian_bits(estimate, values)
                above = values * float(estimate.diagnostics["gaussian_excess_bits"])
                row["network_bits"] = row["gaussian_bits"] - above
                row["member"] = estimate.diagnostics["member"]
            rows[name] = row
            print(dose_e, name, row, flush=True)
        doses[str(dose_e)] = summarise(rows)
        print(dose_e, {k: v for k, v in doses[str(dose_e)].items() if k != "designs"}, flush=True)
    return fixed, doses


def summarise(rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return ranks, the best number of evenly spread views, and the autoregressive excess."""
    listed = list(rows.values())
    even = [name for name in rows if name.endswith(" views")]
    scores = [s for s in ("bits", "gaussian_bits", "network_bits") if s in listed[0]]
    found: dict[str, Any] = {
        f"{score}_against": {
            "psnr_lmmse_db": rank_correlation(
                [row[score] for row in listed], [row["psnr_lmmse_db"] for row in listed]
            )
        }
        for score in scores
    }
    for score in scores:
        found[f"best_views_by_{score}"] = rows[max(even, key=lambda n: rows[n][score])]["views"]
    found["best_views_by_psnr"] = rows[max(even, key=lambda n: rows[n]["psnr_lmmse_db"])]["views"]
    if "gaussian_bits" in scores:
        found["largest_excess_over_gaussian"] = max(
            row["bits"] / row["gaussian_bits"] - 1 for row in listed
        )
    found["is_bracket_kept"] = all(row["decoder_bits"] <= row["bits"] for row in listed)
    return {**found, "designs": rows}


def main() -> int:
    quick = arguments(__doc__).quick
    for entry in ("tomography_doses", "tomography_autoregressive"):
        fixed, doses = table(entry, is_quick=quick)
        if not quick:
            kept = {k: v for k, v in fixed.items() if k != "settings"}
            print(save(f"domain_{entry}", {"protocol": kept, "doses_e": doses}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
