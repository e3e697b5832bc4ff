"""Claim: information ranks radio arrays, and its estimate from noisy data equals the exact value.

All 70 choices of four of eight stations watch M87. For the Gaussian process with the covariance of
ring images both the information and the linear decoder are exact:

    I = 1/2 log2 det(I + A C A^T),    C_error = C - C A^T (A C A^T + I)^-1 A C

with A the whitened visibilities, real and imaginary parts as rows.
"""

from __future__ import annotations

import sys
from typing import Any

import jax
import numpy as np

from benchmarks.domains.common import arguments, protocol, psnr_db, rank_correlation, seconds
from benchmarks.record import save
from drivers.virtual.objects import rings
from drivers.virtual.twins import Interferometer
from estimation import FullGaussian, GaussianNoise, estimate_information


def response(twin: Interferometer) -> np.ndarray:
    """Return A: what every pixel alone does to the whitened visibilities, (reals, pixels)."""
    pixels = np.eye(twin.side**2).reshape(-1, twin.side, twin.side)
    with jax.enable_x64(True):
        return np.asarray(twin(pixels)).reshape(len(pixels), -1).T


def main() -> int:
    quick = arguments(__doc__).quick
    fixed = protocol("interferometer", is_quick=quick)
    count = 800 if quick else fixed["objects"]["for_covariance"]
    tests = 200 if quick else fixed["objects"]["test"]
    rng = np.random.default_rng(fixed["seeds"]["objects"])
    side = fixed["side"]
    images = rings(count + tests, side, rng=rng)
    learn, test = images[:count].reshape(count, -1), images[count:].reshape(tests, -1)
    mean, covariance = learn.mean(axis=0), np.cov(learn, rowvar=False)
    factor = np.linalg.svd(learn - mean, full_matrices=False)
    factor = (factor[1][:, None] * factor[2]) / np.sqrt(count - 1.0)  # factor.T @ factor = C
    peak = float(images[:count].max(axis=(1, 2)).mean())
    everybody = Interferometer(
        side=side, count=fixed["stations"], declination_deg=fixed["source_declination_deg"]
    )
    names = list(everybody.hand_made())
    names = names[::7] if quick else names

    exact: dict[str, dict[str, Any]] = {}
    matrices = {}
    with seconds() as exact_s:
        whole = response(everybody.with_values({"stations": np.ones(8)}).annealed(0.5))
        first, second = np.tile(np.asarray(everybody._first), 2), np.asarray(everybody._second)  # noqa: SLF001
        second = np.tile(second, 2)
        for name in names:
            inside = np.array([s in name.split("+") for s in everybody.names])
            matrix = whole[inside[first] & inside[second]]
            seen = matrix @ covariance @ matrix.T + np.eye(len(matrix))
            gain = np.linalg.solve(seen, matrix @ covariance)
            error = np.trace(covariance) - np.sum(gain * (matrix @ covariance))
            matrices[name] = matrix, gain
            exact[name] = {
                "bits": float(0.5 * np.linalg.slogdet(seen)[1] / np.log(2)),
                "visibilities": len(matrix) // 2,
                "psnr_gaussian_process_db": float(10 * np.log10(peak**2 * side**2 / error)),
            }
    noise_rng = np.random.default_rng(fixed["seeds"]["noise"])
    samples = 3000 if quick else fixed["samples"]
    process = mean + noise_rng.standard_normal((samples, len(factor))) @ factor
    with seconds() as estimate_s:
        for name, (matrix, gain) in matrices.items():
            noise = GaussianNoise(1.0)
            values = noise.sample(process @ matrix.T, noise_rng).reshape(samples, 2, 1, -1)
            estimate = estimate_information(
                values, noise, density=FullGaussian(), patch=(1, values.shape[-1])
            )
            noisy = noise.sample((test - mean) @ matrix.T, noise_rng)
            exact[name] |= {
                "estimated_bits": estimate.bits_per_measurement,
                "psnr_rings_db": psnr_db(noisy @ gain - (test - mean), peak=peak),
            }
    rows = list(exact.values())
    bits = [row["bits"] for row in rows]
    by_psnr = sorted(names, key=lambda n: -exact[n]["psnr_gaussian_process_db"])
    most = max(names, key=lambda n: exact[n]["bits"])
    worst = max(
        min(abs(r["estimated_bits"] - r["bits"]), abs(r["estimated_bits"] / r["bits"] - 1) * 100)
        for r in rows
    )
    found = {
        "protocol": {k: v for k, v in fixed.items() if k != "settings"},
        "exact_70": exact_s,
        "estimates": estimate_s,
        "largest_error_bits_or_percent": worst,
        "bits_against": {
            metric: rank_correlation(bits, [row[metric] for row in rows])
            for metric in ("psnr_gaussian_process_db", "psnr_rings_db", "visibilities")
        },
        "most_informative": most,
        "its_rank_by_psnr": by_psnr.index(most) + 1,
        "arrays": exact,
    }
    print({k: v for k, v in found.items() if k not in {"arrays", "protocol"}})
    if not quick:
        print(save("domain_interferometer", found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
