"""Claim: information ranks CT scans as the linear decoder does, and wants few views at low dose."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from benchmarks.domains.common import arguments, protocol, psnr_db, rank_correlation, seconds
from benchmarks.domains.decoders import fit_lmmse
from benchmarks.record import save
from drivers.virtual.objects import ellipses
from drivers.virtual.twins import Tomography
from estimation import SensorNoise, estimate_information
from estimation.ideal.design import expected_electrons


def scan(choice: dict[str, Any], *, side: int, dose_e: float, seed: int) -> Tomography:
    """Return the twin of one entry of the protocol's design list."""
    views = choice["views"]
    span = np.deg2rad(choice.get("within_deg", 180))
    angles = span * np.arange(views) / views
    if choice.get("is_random"):
        angles = np.sort(np.random.default_rng(seed).uniform(0, np.pi, views))
    shares = np.geomspace(choice.get("dose_ratio", 1.0), 1.0, views)
    return Tomography(angles, shares / shares.sum(), dose_e=dose_e, side=side)


def line_integrals(counts: np.ndarray, twin: Tomography, noise: SensorNoise) -> np.ndarray:
    """Return -log of the measured transmission, one photon at least, (objects, values)."""
    photons = np.maximum((counts - float(noise.offset)) / float(noise.gain), 1.0)
    empty = np.asarray(twin.dose_e * twin.dose_shares)[:, None, None]
    return -np.log(photons / empty).reshape(len(counts), -1)


def main() -> int:
    quick = arguments(__doc__).quick
    fixed = protocol("tomography", is_quick=quick)
    sizes = fixed["objects"]
    train, validation, tests = (
        sizes[part] // (5 if quick else 1) for part in ("train", "validation", "test")
    )
    rng = np.random.default_rng(fixed["seeds"]["objects"])
    objects = ellipses(train + validation + tests, fixed["side"], rng=rng)
    target = objects.reshape(len(objects), -1)
    peak = float(objects[:train].max(axis=(1, 2)).mean())
    noise = SensorNoise(**fixed["noise"])
    parts = np.split(np.arange(len(objects)), [train, train + validation])
    designs = dict(list(fixed["designs"].items())[: 3 if quick else None])
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
            used = slice(0, train + validation)
            with seconds() as score_s:
                estimate = estimate_information(
                    counts[used], noise, density="gaussian", patch=64, expected=expected[used]
                )
            decoded = {}
            with seconds() as decode_s:
                for decoder, y in {
                    "lmmse_counts": counts.reshape(len(counts), -1).astype(float),
                    "lmmse_logarithm": line_integrals(counts, twin, noise),
                }.items():
                    fitted = fit_lmmse(
                        y[parts[0]],
                        target[parts[0]],
                        validation=(y[parts[1]], target[parts[1]]),
                        ridges=fixed["settings"]["lmmse"]["ridges"],
                    )
                    errors = [fitted(y[part]) - target[part] for part in parts[1:]]
                    decoded[decoder] = [psnr_db(error, peak=peak) for error in errors]
            chosen = max(decoded, key=lambda d: decoded[d][0])
            rows[name] = {
                "views": choice["views"],
                "bits": estimate.bits_per_measurement,
                "bits_per_pixel": estimate.bits_per_pixel,
                "standard_error": estimate.standard_error,
                "is_undersampled": bool(estimate.diagnostics["is_undersampled"]),
                "decoder": chosen,
                "psnr_lmmse_db": decoded[chosen][1],
                **{f"psnr_{d}_db": both[1] for d, both in decoded.items()},
                "score": score_s,
                "decode": decode_s,
            }
            print(dose_e, name, rows[name], flush=True)
        even = [n for n in rows if n.endswith(" views")]
        table = list(rows.values())
        doses[str(dose_e)] = {
            "bits_against": {
                metric: rank_correlation([r["bits"] for r in table], [r[metric] for r in table])
                for metric in ("psnr_lmmse_db", "psnr_lmmse_counts_db", "psnr_lmmse_logarithm_db")
            },
            "bits_per_pixel_against_psnr_lmmse_db": rank_correlation(
                [r["bits_per_pixel"] for r in table], [r["psnr_lmmse_db"] for r in table]
            ),
            "best_views_by_bits": rows[max(even, key=lambda n: rows[n]["bits"])]["views"],
            "best_views_by_psnr": rows[max(even, key=lambda n: rows[n]["psnr_lmmse_db"])]["views"],
            "designs": rows,
        }
        print({k: v for k, v in doses[str(dose_e)].items() if k != "designs"}, flush=True)
    if not quick:
        kept = {k: v for k, v in fixed.items() if k != "settings"}
        print(save("domain_tomography", {"protocol": kept, "doses_e": doses}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
