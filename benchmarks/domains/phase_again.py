"""Claim: information ranks LED illuminations as classification does, where the classifier can tell.

The table of `phase` at equal dose on fresh cells: five times the test cells, a longer classifier,
three seeds of both networks, and the classifier's log score beside its accuracy.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from benchmarks.domains.common import arguments, protocol, rank_correlation, seconds
from benchmarks.domains.decoders import class_bits, fit_lmmse, train_network
from benchmarks.domains.lensless import mean_and_scatter
from benchmarks.domains.phase import CLASSES, drive
from benchmarks.record import save
from drivers.virtual.objects import cells
from drivers.virtual.twins import PhaseContrast
from estimation import SensorNoise, estimate_information
from estimation.ideal.design import expected_electrons

METRICS = {"nrmse_lmmse": -1, "nrmse_neural": -1, "accuracy": 1, "class_bits": 1}
"""Sign: larger is better after it."""


def judge(
    expected: np.ndarray,
    target: np.ndarray,
    classes: np.ndarray,
    *,
    parts: list[np.ndarray],
    fixed: dict[str, Any],
    noise: SensorNoise,
) -> dict[str, float]:
    """Return every metric of one illumination."""

    def draw(chosen: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        return noise.sample(expected[chosen], generator).reshape(len(chosen), -1) * 1.0

    rng = np.random.default_rng([fixed["seeds"]["noise"], 2])
    y = [draw(part, rng) for part in parts]
    linear = fit_lmmse(
        y[0],
        target[parts[0]],
        validation=(y[1], target[parts[1]]),
        ridges=fixed["settings"]["lmmse"]["ridges"],
    )
    wanted, known = target[parts[2]], classes[parts[2]]
    size = np.sqrt(np.mean(wanted**2))
    errors, right, proved = [], [], []
    for seed in fixed["seeds"]["neural"]:
        common: dict[str, Any] = {"objects": parts[0], "seed": seed}
        neural = train_network(
            draw, target, outputs=target.shape[1], is_classifier=False, base=linear,
            settings={**fixed["settings"]["neural"], "steps": fixed["neural_steps"]}, **common,
        )  # fmt: skip
        classifier = train_network(
            draw, classes, outputs=CLASSES, is_classifier=True, base=None,
            settings={**fixed["settings"]["neural"], "steps": fixed["classifier_steps"]}, **common,
        )  # fmt: skip
        errors.append(float(np.sqrt(np.mean((neural(y[2]) - wanted) ** 2)) / size))
        logits = classifier(y[2])
        right.append(float(np.mean(logits.argmax(axis=1) == known)))
        bound = class_bits(logits, known, entropy_bits=float(np.log2(CLASSES)))
        proved.append(bound.bits_per_measurement)
    return {
        "nrmse_lmmse": float(np.sqrt(np.mean((linear(y[2]) - wanted) ** 2)) / size),
        **mean_and_scatter("nrmse_neural", errors),
        **mean_and_scatter("accuracy", right),
        **mean_and_scatter("class_bits", proved),
    }


def main() -> int:
    quick = arguments(__doc__).quick
    fixed = protocol("phase_again", is_quick=quick)
    if quick:
        fixed["neural_steps"] = fixed["classifier_steps"] = 20
    sizes = [
        fixed["objects"][part] // (5 if quick else 1) for part in ("train", "validation", "test")
    ]
    rng = np.random.default_rng(fixed["seeds"]["objects"])
    objects, classes = cells(sum(sizes), fixed["field"], rng=rng)
    first = (fixed["field"] - fixed["side"]) // 2
    inside = slice(first, first + fixed["side"])
    phase = objects[:, 0] - objects[:, 0].mean(axis=(1, 2), keepdims=True)
    target = phase[:, inside, inside].reshape(len(objects), -1)
    noise = SensorNoise(**fixed["noise"])
    parts = np.split(np.arange(len(objects)), np.cumsum(sizes)[:-1])
    used = np.concatenate(parts[:2])
    rows: dict[str, dict[str, Any]] = {}
    designs = dict(list(fixed["designs"].items())[: 2 if quick else None])
    for number, (name, shots) in enumerate(designs.items()):
        twin = PhaseContrast(
            np.stack([drive(shot) for shot in shots]),
            dose_e=fixed["dose_e"],
            exposure=fixed["exposure"],
            field=fixed["field"],
            side=fixed["side"],
        )
        expected = expected_electrons(twin, objects)
        drawn = np.random.default_rng([fixed["seeds"]["noise"], 0, number])
        counts = noise.sample(expected[used], drawn)
        with seconds() as score_s:
            estimate = estimate_information(
                counts, noise, density="gaussian", patch=fixed["patch"], expected=expected[used]
            )
        with seconds() as decode_s:
            found = judge(expected, target, classes, parts=parts, fixed=fixed, noise=noise)
        rows[name] = {
            "shots": len(shots),
            "bits": estimate.bits_per_measurement,
            "bits_per_pixel": estimate.bits_per_pixel,
            "standard_error": estimate.standard_error,
            **found,
            "score": score_s,
            "decode": decode_s,
        }
        print(name, rows[name], flush=True)
    table = list(rows.values())
    result = {
        **{
            f"{score}_against": {
                metric: rank_correlation(
                    [row[score] for row in table], [sign * row[metric] for row in table]
                )
                for metric, sign in METRICS.items()
            }
            for score in ("bits", "bits_per_pixel")
        },
        "is_bracket_kept": all(row["class_bits"] <= row["bits"] for row in table),
        "designs": rows,
    }
    print({k: v for k, v in result.items() if k != "designs"})
    if not quick:
        kept = {k: v for k, v in fixed.items() if k != "settings"}
        print(save("domain_phase_again", {"protocol": kept, **result}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
