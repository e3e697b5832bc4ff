"""Claim: on sparse beads the best number of lenslets falls as beads get denser; a Gaussian says 1.

Beads (Poisson, 100 photons a pixel and 10 of background) through 1, 3, 5 and 9 lenslets, 24 x 24
pixels, 6000 objects to fit and 1000 to test, fill .01, .03 and .1. H(Y|X) is exact. The first fit
of the process is cold (it compiles); one warm start is timed on fresh noise of the same objects.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from density_scenes import lenslet_beads, poisson_entropy_bits, stopwatch
from record import save

from estimation import AutoregressiveMixture, FullGaussian, PoissonNoise
from estimation.ensemble import as_measurements, prepare

LENSES = (1, 3, 5, 9)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="600 objects, one fill, no record")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--fills", type=float, nargs="+", default=[0.01, 0.03, 0.1])
    args = parser.parse_args()
    train, test = (600, 200) if args.quick else (6000, 1000)
    family = AutoregressiveMixture(steps=100 if args.quick else args.steps)
    noise, rows = PoissonNoise(), []
    for fill in [0.03] if args.quick else args.fills:
        for lenses in LENSES:
            rng = np.random.default_rng(3)
            mean = lenslet_beads(lenses, fill, train + test, rng)
            ensemble = prepare(as_measurements(rng.poisson(mean)), noise, patch=24, seed=0)
            fit_on, test_on = (
                ensemble.take(np.arange(train)),
                ensemble.take(np.arange(train, train + test)),
            )
            noise_bits = float(poisson_entropy_bits(mean[train:]).mean())
            with stopwatch() as fit_s:
                fitted = family.fit(fit_on)
            with stopwatch() as test_s:
                nats = fitted.negative_log_likelihood(test_on)
            gaussian = FullGaussian().fit(fit_on).negative_log_likelihood(test_on).mean()
            rows.append({
                "fill": fill,
                "lenses": lenses,
                "bits_per_pixel": float(nats.mean() / np.log(2)) - noise_bits,
                "standard_error": float(nats.std(ddof=1) / np.sqrt(test) / np.log(2)),
                "gaussian_bits_per_pixel": float(gaussian / np.log(2)) - noise_bits,
                "remaining_gap_bits": fitted.remaining_gap_bits,
                "steps": fitted.steps,
                "fit": fit_s,
                "test": test_s,
            })
            print(rows[-1], flush=True)
    again = prepare(as_measurements(rng.poisson(mean)), noise, patch=24, seed=0)
    warm = AutoregressiveMixture(start=fitted, warm_steps=100)
    with stopwatch() as warm_s:
        warm.fit(again.take(np.arange(train)))
    print("warm start:", warm_s)
    best = {
        density: {
            str(fill): max((r for r in rows if r["fill"] == fill), key=lambda r: r[key])["lenses"]
            for fill in sorted({r["fill"] for r in rows})
        }
        for density, key in {
            "autoregressive": "bits_per_pixel",
            "gaussian": "gaussian_bits_per_pixel",
        }.items()
    }
    print(best)
    if not args.quick:
        print(save("density_beads", {"best_lenses": best, "warm_start": warm_s, "fits": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
