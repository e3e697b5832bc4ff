"""Claim: what a fitted decoder proves of a radio array is the information, from below.

Of the Gaussian process of `interferometer` the information is exact, and the prior of the
noise-free visibilities T is known, so that a decoder's bound I >= h(T) + E log2 q(T | Y) can be
held against it (D. Barber and F. Agakov, NeurIPS 2003). `q` is normal about the linear estimate.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from benchmarks.domains.common import arguments, protocol
from benchmarks.domains.decoders import fit_lmmse
from benchmarks.domains.interferometer import response
from benchmarks.record import save
from drivers.virtual.objects import rings
from drivers.virtual.twins import Interferometer
from estimation.decoder import decoder_lower_bound

FAINTEST = 0.1
"""Variance of a direction that is still asked for, in units of the noise's."""


def normal_log_density(values: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Return ln of the normal density of mean 0 at `values` (samples, directions), nats."""
    factor = np.linalg.cholesky(covariance)
    white = np.linalg.solve(factor, values.T)
    log_volume = np.log(np.diag(factor)).sum() + 0.5 * len(factor) * np.log(2 * np.pi)
    return -0.5 * np.square(white).sum(axis=0) - log_volume


def main() -> int:
    quick = arguments(__doc__).quick
    fixed = protocol("interferometer_bracket", is_quick=quick)
    count = fixed["objects"]["for_covariance"] // (6 if quick else 1)
    train = fixed["samples"]["train"] // (4 if quick else 1)
    rng = np.random.default_rng(fixed["seeds"]["objects"])
    images = rings(count, fixed["side"], rng=rng).reshape(count, -1)
    covariance = np.cov(images, rowvar=False)
    everybody = Interferometer(
        side=fixed["side"],
        count=fixed["stations"],
        declination_deg=fixed["source_declination_deg"],
    )
    names = list(everybody.hand_made())[:: 7 if quick else 1]
    whole = response(everybody.with_values({"stations": np.ones(8)}).annealed(0.5))
    ends = [np.tile(np.asarray(end), 2) for end in (everybody._first, everybody._second)]  # noqa: SLF001
    noise_rng = np.random.default_rng(fixed["seeds"]["noise"])
    rows: dict[str, dict[str, Any]] = {}
    for name in names:
        inside = np.array([station in name.split("+") for station in everybody.names])
        matrix = whole[inside[ends[0]] & inside[ends[1]]]
        signal = matrix @ covariance @ matrix.T
        exact = 0.5 * np.linalg.slogdet(signal + np.eye(len(matrix)))[1] / np.log(2)
        variances, directions = np.linalg.eigh(signal)
        asked = variances > FAINTEST
        variances, directions = variances[asked], directions[:, asked]
        samples = train + fixed["samples"]["test"]
        target = noise_rng.standard_normal((samples, len(variances))) * np.sqrt(variances)
        # noise along other directions says nothing of these, and faint ones are noise to them
        y = target + noise_rng.standard_normal(target.shape)
        half = train // 2
        decoder = fit_lmmse(
            y[:half], target[:half], validation=(y[half:train], target[half:train]), ridges=[0.0]
        )
        errors = target[half:train] - decoder(y[half:train])
        spread = np.atleast_2d(np.cov(errors, rowvar=False))
        log_q = normal_log_density(target[train:] - decoder(y[train:]), spread)
        log_prior = normal_log_density(target[train:], np.diag(variances))
        bound = decoder_lower_bound(log_q, log_prior=log_prior)
        rows[name] = {
            "bits": float(exact),
            "decoder_bits": bound.bits_per_measurement,
            "decoder_standard_error": bound.standard_error,
            "directions": len(variances),
        }
    table = list(rows.values())
    found = {
        "is_bracket_kept": all(
            r["decoder_bits"] <= r["bits"] + 3 * r["decoder_standard_error"] for r in table
        ),
        "least_share_proved": min(r["decoder_bits"] / r["bits"] for r in table),
        "largest_share_proved": max(r["decoder_bits"] / r["bits"] for r in table),
        "arrays": rows,
    }
    print({k: v for k, v in found.items() if k != "arrays"})
    if not quick:
        kept = {k: v for k, v in fixed.items() if k != "settings"}
        print(save("domain_interferometer_bracket", {"protocol": kept, **found}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
