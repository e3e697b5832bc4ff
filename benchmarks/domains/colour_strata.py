"""Claim: sorted by contrast, photographs rank mosaics by bits as the error's log-determinant does.

The bits are what the twin tells through `LinearStrata`: no frames are measured, nothing is trained.
Ten mosaics of the list of `colour`, dim and bright; decoders are linear.
"""

from __future__ import annotations

import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.domains.colour import METRICS as SIGNS
from benchmarks.domains.colour import lmmse_of_moments, logdet_error_bits, preference
from benchmarks.domains.common import arguments, protocol, psnr_db, rank_correlation
from benchmarks.domains.decoders import fit_lmmse
from benchmarks.record import save
from drivers.virtual.objects import colour_photographs
from drivers.virtual.twins import Colour
from estimation import SensorNoise
from estimation.ideal import LinearStrata
from estimation.ideal.design import expected_electrons


def bits_of(twin: Colour, law: LinearStrata, objects: np.ndarray, noise: SensorNoise) -> float:
    """Return bits per measurement: H(Y) by the directions kept, less the noise's entropy."""
    size = (twin.side, twin.side)
    nats = float(law.entropy_nats(twin, None, noise, patch=size, key=None))
    known = float(np.asarray(noise.entropy_at(expected_electrons(twin, objects))).mean())
    return (nats / np.log(2) - known) * twin.side**2


def judge(
    expected: np.ndarray, target: np.ndarray, parts: dict[str, np.ndarray], fixed: dict[str, Any]
) -> dict[str, float]:
    """Return every metric of one mask, on crops of the training photographs and of others."""
    noise = SensorNoise(**fixed["noise"])
    rng = np.random.default_rng([fixed["seeds"]["noise"], 2])
    y = {
        name: noise.sample(expected[chosen], rng).reshape(len(chosen), -1) * 1.0
        for name, chosen in parts.items()
    }
    wanted = {name: target[chosen] for name, chosen in parts.items()}
    moments = lmmse_of_moments(
        expected[parts["train"]].reshape(len(parts["train"]), -1),
        wanted["train"],
        read_noise_e=fixed["noise"]["read_noise"],
        offset=fixed["noise"]["offset"],
    )
    ridge = fit_lmmse(
        y["train"],
        wanted["train"],
        validation=(y["validation"], wanted["validation"]),
        ridges=fixed["settings"]["lmmse"]["ridges"],
    )
    found: dict[str, float] = {}
    for part, suffix in {"test": "", "fresh": "_fresh"}.items():
        exact, fitted = (decoder(y[part]) - wanted[part] for decoder in (moments, ridge))
        ridge_name = "logdet_fresh_bits" if suffix else "logdet_error_bits"
        found[f"logdet_moments{suffix}_bits"] = logdet_error_bits(exact)
        found[ridge_name] = logdet_error_bits(fitted)
        found[f"psnr_moments{suffix}_db"] = psnr_db(exact, peak=1.0)
        found[f"psnr_lmmse{suffix}_db"] = psnr_db(fitted, peak=1.0)
    return found


def table(fixed: dict[str, Any], *, is_quick: bool) -> dict[str, Any]:
    """Return rows and ranks of every light level."""
    counts = {name: number // (5 if is_quick else 1) for name, number in fixed["objects"].items()}
    side, rank = fixed["side"], fixed["rank"] // (5 if is_quick else 1)
    rng = np.random.default_rng(fixed["seeds"]["objects"])
    known = sum(counts.values()) - counts["test"]
    objects = np.concatenate([
        colour_photographs(known, side, rng=rng),
        colour_photographs(counts["test"], side, split="test", rng=rng),
    ])
    ends = np.cumsum(list(counts.values()))
    parts = dict(zip(counts, np.split(np.arange(ends[-1]), ends[:-1]), strict=True))
    train = objects[parts["train"]]
    inside = slice((side - fixed["target_side"]) // 2, (side + fixed["target_side"]) // 2)
    target = objects[:, :, inside, inside].reshape(len(objects), -1)
    laws = {k: LinearStrata.of(train, strata=k, rank=rank) for k in fixed["strata"]}
    levels: dict[str, Any] = {}
    for photons in fixed["photons"]:
        rows: dict[str, dict[str, float]] = {}
        for number, (name, choice) in enumerate(fixed["masks"].items()):
            wanted = preference(choice, seed=fixed["seeds"]["masks"], number=number)
            twin = Colour(jnp.asarray(wanted, jnp.float64), electrons=photons, side=side)
            noise = SensorNoise(**fixed["noise"])
            rows[name] = {
                **{f"bits_{k}": bits_of(twin, law, train, noise) for k, law in laws.items()},
                **judge(expected_electrons(twin, objects), target, parts, fixed),
            }
            print(photons, name, rows[name], flush=True)
        levels[str(photons)] = summarise(rows, fixed)
    return levels


def summarise(rows: dict[str, dict[str, float]], fixed: dict[str, Any]) -> dict[str, Any]:
    """Return rank correlations of the bits of every number of classes with every metric."""
    sign = {m: SIGNS.get(m, 1 if m.startswith("psnr") else -1) for m in fixed["metrics"]}
    listed = list(rows.values())
    short: dict[str, Any] = {
        f"bits_{k}_against": {
            m: rank_correlation([r[f"bits_{k}"] for r in listed], [sign[m] * r[m] for r in listed])
            for m in fixed["metrics"]
        }
        for k in fixed["strata"]
    }
    last = f"bits_{fixed['strata'][-1]}"
    short["order_by_bits"] = sorted(rows, key=lambda name: -rows[name][last])
    return {**short, "masks": rows}


def main() -> int:
    quick = arguments(__doc__).quick
    fixed = protocol("colour_strata", is_quick=quick)
    with jax.enable_x64(True):
        levels = table(fixed, is_quick=quick)
    for photons, found in levels.items():
        print(photons, {k: v for k, v in found.items() if k != "masks"})
    if not quick:
        kept = {k: v for k, v in fixed.items() if k != "settings"}
        print(save("domain_colour_strata", {"protocol": kept, "photons": levels}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
