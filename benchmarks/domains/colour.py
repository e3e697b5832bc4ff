"""Claim: bits rank filter mosaics as the log-determinant of a decoder's error does; PSNR need not.

Ten mosaics on photographs, dim and bright; sixteen on scenes whose colours do not follow
brightness, where PSNR should be ranked as well.
"""

from __future__ import annotations

import sys
from typing import Any, Literal

import numpy as np

from benchmarks.domains.common import arguments, protocol, psnr_db, rank_correlation, seconds
from benchmarks.domains.decoders import Linear, fit_lmmse, identification_bits, train_network
from benchmarks.domains.lensless import gaussian_bits, known_or_none, mean_and_scatter
from benchmarks.record import save
from drivers.virtual.objects import colour_photographs
from drivers.virtual.twins import Colour
from drivers.virtual.twins.colour import FILTERS, PERIOD, preference_of
from estimation import AutoregressiveMixture, SensorNoise, estimate_information
from estimation.density.geometry import Geometry
from estimation.ideal.design import expected_electrons

ENTRIES = ("colour_chroma_gaussian", "colour_photographs", "colour_chroma")
METRICS = {
    "logdet_moments_bits": -1,
    "logdet_moments_fresh_bits": -1,
    "logdet_error_bits": -1,
    "logdet_fresh_bits": -1,
    "psnr_moments_db": 1,
    "psnr_lmmse_db": 1,
    "psnr_neural_db": 1,
    "psnr_luminance_db": 1,
    "psnr_patches_db": 1,
    "psnr_gamma_patches_db": 1,
}
"""Sign: larger is better after it. An entry has those that its protocol names."""

GAMMA = 2.2
FLOOR = 1e-9
"""Of the error covariance's eigenvalues, in units of the mean brightness squared."""


def preference(choice: dict[str, Any], *, seed: int, number: int) -> np.ndarray:
    """Return the preference of one mask of the protocol's list, (8, 8, 4)."""
    if "tile" in choice:
        return preference_of(choice["tile"])
    letters = np.repeat(list(choice["shuffled"]), list(choice["shuffled"].values()))
    np.random.default_rng([seed, number]).shuffle(letters)
    return preference_of(" ".join("".join(row) for row in letters.reshape(PERIOD, PERIOD)))


def logdet_error_bits(errors: np.ndarray) -> float:
    """Return log2 det(second moments of the errors) / 2, bits; `errors` (objects, values)."""
    eigenvalues = np.linalg.eigvalsh(errors.T @ errors / len(errors))
    return float(0.5 * np.log2(np.maximum(eigenvalues, FLOOR)).sum())


def patch_psnr_db(estimates: np.ndarray, targets: np.ndarray, *, peak: float) -> float:
    """Return the mean over objects of each object's decibels."""
    squared = np.mean((estimates - targets) ** 2, axis=1)
    return float(np.mean(10 * np.log10(peak**2 / np.maximum(squared, FLOOR))))


def lmmse_of_moments(
    expected: np.ndarray, target: np.ndarray, *, read_noise_e: float, offset: float
) -> Linear:
    """Return the LMMSE by its definition: no ridge to choose, no noise in the moments.

    Covariance of counts: of the noise-free electrons, plus mean shot noise, read noise and rounding
    (S. M. Kay, Estimation Theory (1993), section 12.3); gain 1.
    """
    mean, mean_target = expected.mean(axis=0), target.mean(axis=0)
    centred = expected - mean
    noise = np.diag(mean + read_noise_e**2 + 1 / 12)
    covariance = centred.T @ centred / len(expected) + noise
    cross = centred.T @ (target - mean_target) / len(expected)
    return Linear(mean + offset, mean_target, np.linalg.solve(covariance, cross), 0.0)


def judge(
    expected: np.ndarray,
    target: np.ndarray,
    *,
    parts: dict[str, np.ndarray],
    fixed: dict[str, Any],
    noise: SensorNoise,
) -> dict[str, float]:
    """Return every metric of one mask, and the bits that the network proves."""

    def draw(chosen: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        return noise.sample(expected[chosen], generator).reshape(len(chosen), -1) * 1.0

    rng = np.random.default_rng([fixed["seeds"]["noise"], 2])
    y = {name: draw(chosen, rng) for name, chosen in parts.items()}
    wanted = {name: target[chosen] for name, chosen in parts.items()}
    linear = fit_lmmse(
        y["train"],
        wanted["train"],
        validation=(y["validation"], wanted["validation"]),
        ridges=fixed["settings"]["lmmse"]["ridges"],
    )
    decibels, proved = [], []
    for seed in fixed["seeds"]["neural"]:
        neural = train_network(
            draw, target, outputs=target.shape[1], is_classifier=False, base=linear,
            objects=parts["train"], settings=fixed["settings"]["neural"], seed=seed,
        )  # fmt: skip
        decibels.append(psnr_db(neural(y["test"]) - wanted["test"], peak=1.0))
        told_apart = identification_bits(neural(y["fresh"]), wanted["fresh"])
        proved.append(told_apart.bits_per_measurement)
    guess, truth = linear(y["test"]), wanted["test"]
    moments = lmmse_of_moments(
        expected[parts["train"]].reshape(len(parts["train"]), -1),
        wanted["train"],
        read_noise_e=fixed["noise"]["read_noise"],
        offset=fixed["noise"]["offset"],
    )
    grey = [values.reshape(len(values), 3, -1).sum(axis=1) for values in (guess, truth)]
    shown = [np.maximum(values, 0.0) ** (1 / GAMMA) for values in (guess, truth)]
    exact = {part: moments(y[part]) - wanted[part] for part in ("fresh", "test")}
    return {
        "logdet_moments_bits": logdet_error_bits(exact["test"]),
        "logdet_moments_fresh_bits": logdet_error_bits(exact["fresh"]),
        "logdet_error_bits": logdet_error_bits(guess - truth),
        "logdet_fresh_bits": logdet_error_bits(linear(y["fresh"]) - wanted["fresh"]),
        "psnr_moments_db": psnr_db(exact["test"], peak=1.0),
        "psnr_lmmse_db": psnr_db(guess - truth, peak=1.0),
        **mean_and_scatter("psnr_neural_db", decibels),
        "psnr_luminance_db": psnr_db(grey[0] - grey[1], peak=3.0),
        "psnr_patches_db": patch_psnr_db(guess, truth, peak=1.0),
        "psnr_gamma_patches_db": patch_psnr_db(shown[0], shown[1], peak=1.0),
        **mean_and_scatter("decoder_bits", proved),
    }


def density(
    choice: str | dict[str, Any], classes: np.ndarray, *, is_quick: bool
) -> Literal["gaussian"] | AutoregressiveMixture:
    """Return the density of the protocol; a network is told the filter above each pixel."""
    if isinstance(choice, str):
        return "gaussian"
    settings = {**choice, **({"steps": 100} if is_quick else {})}
    return AutoregressiveMixture(**settings, geometry=Geometry(classes=classes))


def table(fixed: dict[str, Any], *, is_quick: bool) -> dict[str, Any]:
    """Return the rows of every light level, and their ranks."""
    counts = {name: number // (10 if is_quick else 1) for name, number in fixed["objects"].items()}
    known, side = sum(counts.values()) - counts["test"], fixed["side"]
    rng = np.random.default_rng(fixed["seeds"]["objects"])
    chroma = {"rng": rng, "is_chroma_independent": fixed["is_chroma_independent"]}
    objects = np.concatenate([
        colour_photographs(known, side, **chroma),
        colour_photographs(counts["test"], side, split="test", **chroma),
    ])
    ends = np.cumsum(list(counts.values()))
    parts = dict(zip(counts, np.split(np.arange(ends[-1]), ends[:-1]), strict=True))
    used = np.arange(min(fixed["scored"], counts["train"]))
    inside = slice((side - fixed["target_side"]) // 2, (side + fixed["target_side"]) // 2)
    target = objects[:, :, inside, inside].reshape(len(objects), -1)
    noise = SensorNoise(**fixed["noise"])
    masks = dict(list(fixed["masks"].items())[: 2 if is_quick else None])
    levels: dict[str, Any] = {}
    for photons in fixed["photons"]:
        rows: dict[str, dict[str, Any]] = {}
        for number, (name, choice) in enumerate(masks.items()):
            wanted = preference(choice, seed=fixed["seeds"]["masks"], number=number)
            twin = Colour(wanted, electrons=photons, side=side)
            filters = np.argmax(wanted, axis=-1)
            classes = np.tile(filters, (side // PERIOD, side // PERIOD))
            family = density(fixed["density"], classes, is_quick=is_quick)
            expected = expected_electrons(twin, objects)
            drawn = np.random.default_rng([fixed["seeds"]["noise"], photons, number])
            counts_adu = noise.sample(expected[used], drawn)
            with seconds() as score_s:
                estimate = estimate_information(
                    counts_adu, noise, density=family, patch=fixed["patch"], expected=expected[used]
                )
            with seconds() as decode_s:
                found = judge(expected, target, parts=parts, fixed=fixed, noise=noise)
            rows[name] = {
                "filters": {f: int((filters == k).sum()) for k, f in enumerate(FILTERS)},
                "bits": estimate.bits_per_measurement,
                "bits_per_pixel": estimate.bits_per_pixel,
                "standard_error": estimate.standard_error,
                "gaussian_bits": gaussian_bits(estimate, side**2),
                "member": estimate.diagnostics.get("member", estimate.density),
                "remaining_gap_bits": known_or_none(estimate.diagnostics.get("remaining_gap_bits")),
                **found,
                "score": score_s,
                "decode": decode_s,
            }
            print(photons, name, rows[name], flush=True)
        levels[str(photons)] = summarise(rows, fixed["metrics"])
        print(photons, {k: v for k, v in levels[str(photons)].items() if k != "masks"}, flush=True)
    return levels


def summarise(rows: dict[str, dict[str, Any]], metrics: list[str]) -> dict[str, Any]:
    """Return ranks of the score and of the Gaussian one, against every metric."""
    listed = list(rows.values())
    order = sorted(rows, key=lambda n: -rows[n]["bits"])
    return {
        **{
            f"{score}_against": {
                metric: rank_correlation(
                    [r[score] for r in listed], [METRICS[metric] * r[metric] for r in listed]
                )
                for metric in metrics
            }
            for score in ("bits", "gaussian_bits")
        },
        "order_by_bits": order,
        "best_by_psnr": max(rows, key=lambda n: rows[n]["psnr_neural_db"]),
        "is_bracket_kept": all(r["decoder_bits"] <= r["bits"] for r in listed),
        "masks": rows,
    }


def main() -> int:
    quick = arguments(__doc__).quick
    for entry in ENTRIES:
        fixed = protocol(entry, is_quick=quick)
        fixed["settings"]["neural"]["steps"] = 20 if quick else fixed["neural_steps"]
        levels = table(fixed, is_quick=quick)
        if not quick:
            kept = {k: v for k, v in fixed.items() if k != "settings"}
            print(save(f"domain_{entry}", {"protocol": kept, "photons": levels}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
