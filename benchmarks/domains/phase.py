"""Claim: information ranks LED illuminations as phase reconstruction and classification do.

Twelve illuminations of white blood cells at equal dose; the same at equal time is reported beside
it, because there a single LED gets a hundred times less light.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from benchmarks.domains.common import arguments, protocol, rank_correlation, seconds
from benchmarks.domains.decoders import fit_lmmse, train_network
from benchmarks.record import save
from drivers.virtual.objects import cells
from drivers.virtual.twins import PhaseContrast
from drivers.virtual.twins.phase import led_positions
from estimation import SensorNoise, estimate_information
from estimation.ideal.design import expected_electrons

CLASSES = 3


def drive(shot: dict[str, float]) -> np.ndarray:
    """Return which LEDs are on in one shot of the protocol's design list, (leds,)."""
    y, x = led_positions().T
    radius = np.hypot(y, x)
    if "led_at_deg" in shot:
        angle = np.deg2rad(shot["led_at_deg"])
        away = np.hypot(x - shot["radius"] * np.cos(angle), y - shot["radius"] * np.sin(angle))
        return (np.arange(len(x)) == np.argmin(away)).astype(float)
    is_on = radius <= shot.get("max_radius", 1.0)
    is_on &= radius >= shot.get("min_radius", 0.0)
    if "half_deg" in shot:
        angle = np.deg2rad(shot["half_deg"])
        is_on &= x * np.cos(angle) + y * np.sin(angle) > 0.01
    return is_on.astype(float)


def main() -> int:
    quick = arguments(__doc__).quick
    fixed = protocol("phase", is_quick=quick)
    settings = fixed["settings"]
    if quick:
        settings["neural"]["steps"] = 20
    train, validation, tests = (
        fixed["objects"][part] // (5 if quick else 1) for part in ("train", "validation", "test")
    )
    rng = np.random.default_rng(fixed["seeds"]["objects"])
    objects, classes = cells(train + validation + tests, fixed["field"], rng=rng)
    first = (fixed["field"] - fixed["side"]) // 2
    inside = slice(first, first + fixed["side"])
    phase = objects[:, 0] - objects[:, 0].mean(axis=(1, 2), keepdims=True)
    target = phase[:, inside, inside].reshape(len(objects), -1)
    size = float(np.sqrt(np.mean(target[train + validation :] ** 2)))
    noise = SensorNoise(**fixed["noise"])
    parts = np.split(np.arange(len(objects)), [train, train + validation])
    designs = dict(list(fixed["designs"].items())[: 3 if quick else None])
    modes: dict[str, Any] = {}
    for exposure in fixed["exposures"]:
        rows: dict[str, dict[str, Any]] = {}
        for number, (name, shots) in enumerate(designs.items()):
            twin = PhaseContrast(
                np.stack([drive(shot) for shot in shots]),
                dose_e=fixed["dose_e"],
                exposure=exposure,
                field=fixed["field"],
                side=fixed["side"],
            )
            expected = expected_electrons(twin, objects)
            drawn = np.random.default_rng([fixed["seeds"]["noise"], number])
            counts = noise.sample(expected, drawn)
            used = slice(0, train + validation)
            with seconds() as score_s:
                estimate = estimate_information(
                    counts[used],
                    noise,
                    density="gaussian",
                    patch=fixed["patch"],
                    expected=expected[used],
                )

            def draw(chosen, generator, expected=expected):
                return noise.sample(expected[chosen], generator).reshape(len(chosen), -1) * 1.0

            y = counts.reshape(len(counts), -1).astype(float)
            with seconds() as decode_s:
                linear = fit_lmmse(
                    y[parts[0]],
                    target[parts[0]],
                    validation=(y[parts[1]], target[parts[1]]),
                    ridges=settings["lmmse"]["ridges"],
                )
                common = {"objects": parts[0], "settings": settings["neural"]}
                common["seed"] = fixed["seeds"]["neural"][0]
                neural = train_network(
                    draw, target, outputs=target.shape[1], is_classifier=False, base=linear,
                    **common,
                )  # fmt: skip
                classifier = train_network(
                    draw, classes, outputs=CLASSES, is_classifier=True, base=None, **common
                )
            seen, wanted = y[parts[2]], target[parts[2]]
            rows[name] = {
                "shots": len(shots),
                "bits": estimate.bits_per_measurement,
                "bits_per_pixel": estimate.bits_per_pixel,
                "standard_error": estimate.standard_error,
                "is_undersampled": bool(estimate.diagnostics["is_undersampled"]),
                "nrmse_lmmse": float(np.sqrt(np.mean((linear(seen) - wanted) ** 2))) / size,
                "nrmse_neural": float(np.sqrt(np.mean((neural(seen) - wanted) ** 2))) / size,
                "accuracy": float(np.mean(classifier(seen).argmax(axis=1) == classes[parts[2]])),
                "score": score_s,
                "decode": decode_s,
            }
            print(exposure, name, rows[name], flush=True)
        table = list(rows.values())
        modes[exposure] = {
            f"{score}_against": {
                metric: rank_correlation(
                    [row[score] for row in table], [sign * row[metric] for row in table]
                )
                for metric, sign in {"nrmse_lmmse": -1, "nrmse_neural": -1, "accuracy": 1}.items()
            }
            for score in ("bits", "bits_per_pixel")
        } | {"designs": rows}
        print({k: v for k, v in modes[exposure].items() if k != "designs"}, flush=True)
    if not quick:
        kept = {k: v for k, v in fixed.items() if k != "settings"}
        print(save("domain_phase", {"protocol": kept, "exposures": modes}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
