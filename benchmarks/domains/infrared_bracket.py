"""Claim: what a linear decoder proves by telling thermal scenes apart lies below the score."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from benchmarks.domains.common import arguments, protocol
from benchmarks.domains.decoders import fit_lmmse, identification_bits
from benchmarks.domains.infrared import look
from benchmarks.record import save
from drivers.virtual.objects import thermal_scenes
from estimation import InfraredNoise, SaturatedMeasurements, estimate_information
from estimation.errors import InvalidMeasurements


def main() -> int:
    quick = arguments(__doc__).quick
    fixed, table = (protocol(n, is_quick=quick) for n in ("infrared_bracket", "infrared"))
    counts = {name: number // (4 if quick else 1) for name, number in fixed["objects"].items()}
    rng = np.random.default_rng(fixed["seeds"]["objects"])
    objects = thermal_scenes(sum(counts.values()), table["field"], rng=rng)
    ends = np.cumsum(list(counts.values()))
    parts = dict(zip(counts, np.split(np.arange(ends[-1]), ends[:-1]), strict=True))
    first = (table["field"] - fixed["target_side"]) // 2
    inside = slice(first, first + fixed["target_side"])
    target = objects[:, inside, inside].reshape(len(objects), -1)
    noise = InfraredNoise(**table["noise"])
    rows: dict[str, dict[str, Any]] = {}
    refused: list[str] = []
    for number, (name, choice) in enumerate(table["designs"].items()):
        expected = look(choice, objects, fixed=table, waves=[0.0])
        counts_adu = noise.sample(
            expected, np.random.default_rng([fixed["seeds"]["noise"], number])
        )
        known = slice(0, ends[1])
        try:
            estimate = estimate_information(
                counts_adu[known], noise, density="gaussian", patch=table["patch"],
                expected=expected[known],
            )  # fmt: skip
        except (SaturatedMeasurements, InvalidMeasurements):
            refused.append(name)
            continue
        y = counts_adu.reshape(len(objects), -1).astype(float)
        decoder = fit_lmmse(
            y[parts["train"]],
            target[parts["train"]],
            validation=(y[parts["validation"]], target[parts["validation"]]),
            ridges=fixed["settings"]["lmmse"]["ridges"],
        )
        told = parts["told_apart"]
        proved = identification_bits(decoder(y[told]), target[told])
        rows[name] = {
            "bits": estimate.bits_per_measurement,
            "decoder_bits": proved.bits_per_measurement,
            "decoder_standard_error": proved.standard_error,
        }
        print(name, rows[name], flush=True)
    found = {
        "is_bracket_kept": all(r["decoder_bits"] <= r["bits"] for r in rows.values()),
        "refused": refused,
        "designs": rows,
    }
    if not quick:
        kept = {k: v for k, v in fixed.items() if k != "settings"}
        print(save("domain_infrared_bracket", {"protocol": kept, **found}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
