"""Claim: few objects for many values (d = 1088, 5000 objects) cost no density its accuracy.

32 shots of 34 pixels of a Gaussian process (exponential in shot and pixel), sigma known. The truth
is the closed form.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from density_scenes import stopwatch
from record import save

from estimation import AutoregressiveMixture, GaussianNoise, estimate_information


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="4 shots, 400 objects, no record")
    parser.add_argument("--steps", type=int, default=300)
    args = parser.parse_args()
    shots, pixels, objects = (4, 34, 400) if args.quick else (32, 34, 5000)
    rng = np.random.default_rng(0)

    def correlation(size: int, length: float) -> np.ndarray:
        return np.exp(-np.abs(np.subtract.outer(np.arange(size), np.arange(size))) / length)

    rows_cov, columns_cov = correlation(shots, 3.0), correlation(pixels, 4.0)
    eigenvalues = np.outer(np.linalg.eigvalsh(rows_cov), np.linalg.eigvalsh(columns_cov))
    amplitude, sigma = 2.0, 1.0
    truth = float(0.5 * np.log2(1 + amplitude**2 * eigenvalues / sigma**2).mean())
    factors = np.linalg.cholesky(rows_cov), np.linalg.cholesky(columns_cov)
    field = amplitude * (factors[0] @ rng.normal(size=(objects, shots, pixels)) @ factors[1].T)
    values = (field + sigma * rng.normal(size=field.shape))[:, :, None, :]
    rows = []
    autoregressive = AutoregressiveMixture(steps=100 if args.quick else args.steps)
    for density in ("gaussian", "stationary", autoregressive):
        with stopwatch() as seconds:
            estimate = estimate_information(
                values, GaussianNoise(sigma), density=density, patch=pixels
            )
        row = {
            "density": estimate.density,
            "bits_per_pixel": estimate.bits_per_pixel,
            "relative_error": estimate.bits_per_pixel / truth - 1,
            "standard_error": estimate.standard_error,
            "held_out_bits_above": (
                estimate.diagnostics["held_out_nats"] / np.log(2) - estimate.entropy
            ),
            "score": seconds,
        }
        if "network_nats" in estimate.diagnostics:
            row["member"] = estimate.diagnostics["member"]
            nats = estimate.diagnostics["network_nats"]
            row["network_relative_error"] = (
                nats / np.log(2) - estimate.conditional_entropy
            ) / truth - 1
        rows.append(row)
        print(truth, row, flush=True)
    if not args.quick:
        print(save("density_finite_samples", {"truth": truth, "densities": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
