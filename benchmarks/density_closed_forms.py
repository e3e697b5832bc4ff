"""Claim: where the information is known, the score is it: Poisson and Gaussian channels, fields.

Closed forms and exact sums of issue 3. H(Y|X) is exact, from the very inputs drawn.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np
from density_scenes import poisson_entropy_bits, stopwatch
from record import save
from scipy.stats import norm, poisson

from estimation import (
    GaussianNoise,
    InformationEstimate,
    PoissonNoise,
    SensorNoise,
    estimate_information,
)


def read_noise_entropy_bits(mean_e: float, sigma: float) -> float:
    """Exact entropy of round(Poisson + Gaussian), bits."""
    electrons = np.arange(int(mean_e + 12 * np.sqrt(mean_e) + 20))
    counts = np.arange(-int(10 * sigma) - 2, len(electrons) + int(10 * sigma))
    inside = norm.cdf((counts[:, None] + 0.5 - electrons) / sigma) - norm.cdf(
        (counts[:, None] - 0.5 - electrons) / sigma
    )
    p = inside @ poisson.pmf(electrons, mean_e)
    p = p[p > 0]
    return float(-(p * np.log2(p)).sum())


def scalars(values: np.ndarray) -> np.ndarray:
    return values.reshape(-1, 1, 1)


def cases(number: int) -> dict[str, tuple[Any, ...]]:
    """Name: measurements, noise, truth (bits/pixel), exact H(Y|X) or None, tolerance."""
    rng = np.random.default_rng(1)
    out: dict[str, tuple[Any, ...]] = {}

    def poisson_case(name: str, mean: np.ndarray, truth: float, tolerance: float = 0.01) -> None:
        bits = float(poisson_entropy_bits(mean).mean())
        out[name] = (scalars(rng.poisson(mean)), PoissonNoise(), truth, bits, tolerance)

    poisson_case("Poisson {4, 20}", rng.permutation(np.repeat([4.0, 20.0], number // 2)), 0.974257)
    poisson_case("Poisson {0, 5}", rng.permutation(np.repeat([0.0, 5.0], number // 2)), 0.970821)
    poisson_case("uniform 0..255", rng.integers(0, 256, number).astype(float), 2.769004, 0.03)
    poisson_case("exponential, mean 10", rng.exponential(10, number), 1.579364)
    for name, levels, sigma, truth in (
        ("read noise 3 e-, {10, 30}", (10.0, 30.0), 3.0, 0.889967),
        ("read noise 1.6 e-, {2, 8}", (2.0, 8.0), 1.6, 0.561706),
    ):
        noise = SensorNoise(gain=1.0, offset=100.0, read_noise=sigma, bit_depth=12)
        mean = rng.permutation(np.repeat(levels, number // 2))
        bits = float(np.mean([read_noise_entropy_bits(m, sigma) for m in levels]))
        out[name] = (noise.sample(scalars(mean), rng), noise, truth, bits, 0.01)
    values = np.sqrt(10) * rng.normal(size=number) + rng.normal(size=number)
    out["scalar Gaussian, SNR 10"] = (scalars(values), GaussianNoise(1.0), 1.72972, None, 0.01)
    chain = rng.normal(size=(8000, 1, 64))
    for i in range(1, 64):
        chain[..., i] = 0.9 * chain[..., i - 1] + np.sqrt(0.19) * chain[..., i]
    chain = 10 * chain + 5 * rng.normal(size=chain.shape)
    out["AR(1), n 64"] = (chain, GaussianNoise(5.0), 0.579908, None, 0.01)
    distance = np.abs(np.subtract.outer(np.arange(16), np.arange(16)))
    factor = np.linalg.cholesky(np.exp(-distance / 4))
    field = 20 * (factor @ rng.normal(size=(4000, 16, 16)) @ factor.T)
    field = field + 5 * rng.normal(size=field.shape)
    out["16 x 16 exponential field"] = (field, GaussianNoise(5.0), 1.127713, None, 0.01)
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few objects, two cases, no record")
    quick = parser.parse_args().quick
    rows = []
    for name, (values, noise, truth, bits, tolerance) in cases(2000 if quick else 40000).items():
        if quick and name not in {"Poisson {4, 20}", "scalar Gaussian, SNR 10"}:
            continue
        with stopwatch() as seconds:
            estimate: InformationEstimate = estimate_information(
                values, noise, density="autoregressive", patch=64
            )
        found = estimate.bits_per_pixel if bits is None else estimate.entropy - bits
        error = found - truth
        rows.append({
            "case": name,
            "bits_per_pixel": found,
            "truth": truth,
            "error": error,
            "standard_error": estimate.standard_error,
            "within_tolerance": abs(error) <= tolerance,
            "within_3_standard_errors": abs(error) <= 3 * estimate.standard_error,
            "member": estimate.diagnostics["member"],
            "score": seconds,
        })
        print(rows[-1], flush=True)
    if not quick:
        print(save("density_closed_forms", {"cases": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
