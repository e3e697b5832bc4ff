"""Claim: on a sharp sparse scene training brings the score close to the entropy of the objects.

Beads of 5000 electrons on 2 % of the pixels, Gaussian spot of 1 px, 10 electrons of background,
Poisson, frames of 96 x 96. H(Y|X) is exact; no measurement says more than the beads' entropy, .1414
bits/pixel. That holds for the entropy rate: pixels with all their context in view, here at least 7
pixels from the edges (but the lower one, below which nothing earlier lies). The whole frame scores
higher: its first rows see beads outside of it. Writes score against seconds, and plots it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
from density_scenes import poisson_entropy_bits, stopwatch
from record import RESULTS, save

from estimation import AutoregressiveMixture, PoissonNoise
from estimation.ensemble import as_measurements, prepare

mpl.use("Agg")
from matplotlib import pyplot as plt

FILL, SIZE = 0.02, 96
CONTEXT = 7
"""Pixels from the upper and side edges at which a pixel has all its context in view."""

CAP = float(-(FILL * np.log2(FILL) + (1 - FILL) * np.log2(1 - FILL)))


def bead_frames(number: int, rng: np.random.Generator) -> np.ndarray:
    margin = 8
    side = SIZE + 2 * margin
    axis = np.fft.fftfreq(side) * side
    psf = np.exp(-(axis[:, None] ** 2 + axis[None] ** 2) / 2)
    wave = np.fft.rfft2(psf / psf.sum())
    mean = np.empty((number, SIZE, SIZE))
    for i in range(number):
        beads = 5000.0 * (rng.random((side, side)) < FILL)
        frame = np.fft.irfft2(np.fft.rfft2(beads) * wave, (side, side))
        mean[i] = np.maximum(frame[margin:-margin, margin:-margin], 0) + 10.0
    return mean


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few frames and steps, no record")
    parser.add_argument("--frames", type=int, default=1200)
    parser.add_argument("--steps", type=int, nargs="+", default=[3500, 52000])
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--rate", type=float, default=4e-3)
    parser.add_argument("--neighbours", type=int, default=60)
    parser.add_argument("--components", type=int, default=10)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--no-record", action="store_true")
    parser.add_argument("--keep", action="store_true", help="recorded fits of other lengths")
    args = parser.parse_args()
    frames = 40 if args.quick else args.frames
    rng = np.random.default_rng(0)
    mean = bead_frames(frames + 40, rng)
    ensemble = prepare(as_measurements(rng.poisson(mean)), PoissonNoise(), patch=SIZE, seed=0)
    fit_on = ensemble.take(np.arange(frames))
    test_on = ensemble.take(np.arange(frames, frames + 40))
    noise_bits = poisson_entropy_bits(mean[frames:])
    rows = []
    for steps in [100] if args.quick else args.steps:
        family = AutoregressiveMixture(
            steps=steps,
            hidden=args.hidden,
            layers=args.layers,
            batch=args.batch,
            rate=args.rate,
            neighbours=args.neighbours,
            components=args.components,
            patience=1000,
        )
        with stopwatch() as fit_s:
            fitted = family.fit(fit_on)
        bits = fitted.value_nats(test_on).reshape(-1, SIZE, SIZE) / np.log(2) - noise_bits
        rate = bits[:, CONTEXT:, CONTEXT:-CONTEXT].mean(axis=(1, 2))
        test_bits = float(rate.mean())
        # the curve is of other (validation) frames, with another share of beads: moved to the test
        lowest = min(n for _, n, _ in fitted.curve)
        rows.append({
            "steps": steps,
            "bits_per_pixel": test_bits,
            "over_cap": test_bits / CAP,
            "standard_error": float(rate.std(ddof=1) / np.sqrt(len(rate))),
            "whole_frame_bits_per_pixel": float(bits.mean()),
            "remaining_gap_bits": fitted.remaining_gap_bits,
            "fit": fit_s,
            "curve_seconds_bits": [
                (round(s, 1), round(test_bits + float(n - lowest) / np.log(2), 4))
                for _, n, s in fitted.curve
            ],
        })
        print({**rows[-1], "curve_seconds_bits": rows[-1]["curve_seconds_bits"][::4]}, flush=True)
    if args.quick or args.no_record:
        return 0
    if args.keep:
        recorded = json.loads((RESULTS / "density_sparse.json").read_text())
        earlier = [{"commit": recorded["commit"], **fit} for fit in recorded["fits"]]
        rows += [fit for fit in earlier if fit["steps"] not in args.steps]
    rows.sort(key=lambda row: row["steps"])
    path = save("density_sparse", {"cap": CAP, "settings": vars(args), "fits": rows})
    plot(rows, path.with_suffix(".png"))
    print(path)
    return 0


def plot(rows: list[dict], path: Path) -> None:
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for row in rows:
        seconds, bits = np.transpose(row["curve_seconds_bits"])
        axes.loglog(seconds[1:], bits[1:], label=f"{row['steps']} steps")
    for factor in (1.0, 1.3, 2.0):
        axes.axhline(factor * CAP, color="k", lw=0.6, ls="--" if factor > 1 else "-")
        axes.annotate(f"{factor:g} x cap", (seconds[1], factor * CAP))
    axes.set(xlabel="seconds, 2 cores", ylabel="entropy-rate score, bits/pixel")
    axes.set_xticks([10, 30, 60, 120, 300, 600], ["10", "30", "60", "120", "300", "600"])
    axes.set_yticks([0.15, 0.2, 0.3, 0.4, 0.6], ["0.15", "0.2", "0.3", "0.4", "0.6"])
    axes.minorticks_off()
    axes.legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    sys.exit(main())
