"""Our side of `reference_package.py`: the same arrays through the public names of `estimation`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import side_meter

from estimation import AutoregressiveMixture, GaussianNoise, PoissonNoise, estimate_information
from estimation.ensemble import as_measurements, cut_patches, patch_origins, prepare

PACKAGES = ("infoloop", "numpy", "scipy", "jax")
Arrays = Mapping[str, np.ndarray]
Settings = Mapping[str, Any]


def patches(arrays: Arrays, settings: Settings, meter: side_meter.Meter) -> dict[str, Any]:
    frames, side = arrays["frames"], settings["patch"]
    cut = np.empty(0)

    def cut_all() -> np.ndarray:
        usable = np.ones(frames.shape[1:], dtype=bool)
        return cut_patches(frames[:, None], patch_origins((side, side), usable), (side, side))

    for label in ["cold"] + ["warm"] * settings["repeats"]:
        cut = meter.timed(label, cut_all)
    cut = cut.reshape(-1, side, side)
    if not np.array_equal(cut[0], frames[0, :side, :side]):
        raise ValueError("the first patch is not the corner of the first frame")
    return {"patches": len(cut)}


def estimate(arrays: Arrays, settings: Settings, meter: side_meter.Meter) -> dict[str, Any]:
    """Every call has its interval."""
    bits, interval = 0.0, (0.0, 0.0)
    for label in ["cold"] + ["warm"] * settings["repeats"]:
        found = meter.timed(
            label,
            lambda: estimate_information(
                arrays["images"],
                GaussianNoise(settings["sigma"]),
                density=settings["density"],
                patch=settings["patch"],
            ),
        )
        bits, interval = found.bits_per_pixel, found.interval
    return {"bits_per_pixel": bits, "interval": interval}


def photographs(arrays: Arrays, settings: Settings, meter: side_meter.Meter) -> dict[str, Any]:
    importlib.import_module("estimation.density.mixture_network")  # loads JAX: not timed
    ensembles = [
        prepare(as_measurements(arrays[name]), PoissonNoise(), patch=settings["patch"], seed=0)
        for name in ("train", "test")
    ]
    chosen = {} if settings["steps"] is None else {"steps": settings["steps"]}
    family = AutoregressiveMixture(seed=settings["seed"], **chosen)
    fitted = meter.timed("fit", lambda: family.fit(ensembles[0]))
    nats = meter.timed("score", lambda: fitted.negative_log_likelihood(ensembles[1]))
    return {
        "seed": settings["seed"],
        "test_nats": float(nats.mean()),
        "standard_error_nats": float(nats.std(ddof=1) / np.sqrt(len(nats))),
        "steps": fitted.steps,
        "remaining_gap_bits": fitted.remaining_gap_bits,
    }


def closed_forms(arrays: Arrays, settings: Settings, meter: side_meter.Meter) -> dict[str, Any]:
    importlib.import_module("estimation.density.mixture_network")
    rows = []
    for run in settings["runs"]:
        images = arrays[run["images"]]
        noise = PoissonNoise() if run["sigma"] is None else GaussianNoise(run["sigma"])
        means = arrays[run["means"]] if run["means"] else None
        found = meter.timed(
            run["case"],
            lambda images=images, noise=noise, means=means, run=run: estimate_information(
                images, noise, density=run["density"], patch=64, seed=run["seed"], expected=means
            ),
        )
        rows.append({**run, "bits_per_pixel": found.bits_per_pixel})
        print(f"  ours       {run['case']:24s} {run['density']:15s} {found.bits_per_pixel:.5f}")
    return {"rows": rows}


if __name__ == "__main__":
    side_meter.main(
        {
            "patches": patches,
            "estimate": estimate,
            "photographs": photographs,
            "closed_forms": closed_forms,
        },
        PACKAGES,
    )
