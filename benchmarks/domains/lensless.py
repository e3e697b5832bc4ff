"""Claim: behind a bare sensor one lens is best on dense scenes, and bits say so as decoders do.

Eight masks on photographs, digits and dense beads. `lensless_sparse` is the table of sparse ones.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

from benchmarks.domains.common import arguments, protocol, psnr_db, rank_correlation, seconds
from benchmarks.domains.decoders import (
    class_bits,
    fit_lmmse,
    identification_bits,
    train_network,
)
from benchmarks.domains.field import train_field_decoder
from benchmarks.record import RESULTS, save
from drivers.virtual.objects import bead_entropy_bits, beads, digits, photographs
from drivers.virtual.twins import Lensless
from estimation import (
    AutoregressiveMixture,
    InformationEstimate,
    SensorNoise,
    estimate_information,
)
from estimation.decoder import LowerBound, decoder_lower_bound
from estimation.ideal.design import expected_electrons

ENTRY = "lensless_centred"
KINDS: tuple[str, ...] = ()
"""Of objects to look at; all of the protocol's unless said."""

DIGITS = 10
MIDDLE_TILE = (1, 1)
"""Of the four by four digits of a field; the sensor sees nearly all of it directly."""


def camera(choice: dict[str, Any], fixed: dict[str, Any]) -> Lensless:
    """Return the twin of one entry of the protocol's design list."""
    if choice.get("is_diffuser"):
        spots, within = fixed["diffuser"]["spots"], fixed["diffuser"]["within_px"]
        rng = np.random.default_rng(fixed["diffuser"]["seed"])
        places = rng.uniform(-within, within, (spots, 2))
    elif choice["lenslets"] == 1:
        places = np.zeros((1, 2))
    else:
        places = np.array(fixed["places_px"][: choice["lenslets"]], float)
    weights = np.array(choice.get("weights", [1.0] * len(places)), float)
    return Lensless(
        places,
        weights / weights.sum(),
        choice.get("sigma_px", 1.0),
        electrons=fixed["electrons"],
        background_e=fixed["background_e"],
        field=fixed["field"],
        side=fixed["side"],
    )


def in_view_bits(twin: Lensless, fill: float, read_noise_e: float) -> np.ndarray:
    """Return what the sensor could tell of each pixel's bead alone in the dark, (field, field).

    At most the entropy of the bead. Of a binary source b in normal noise the information is at
    most log2(1 + var(b) sum_p a_p^2 / v) / 2, with a its light on the sensor and v the noise there.
    Beads are independent, so that the sum bounds the information of a measurement on all of them.
    """
    light = float(twin.electrons) / fill * np.fft.ifftshift(np.asarray(twin.psf()))
    sensor = np.zeros(twin.object_shape)
    first = (twin.field - twin.side) // 2
    sensor[first : first + twin.side, first : first + twin.side] = 1.0
    waves = np.fft.rfft2(sensor) * np.conj(np.fft.rfft2(light**2))
    energy = np.maximum(np.fft.irfft2(waves, s=twin.object_shape), 0.0)
    signal = fill * (1 - fill) * energy / (float(twin.background_e) + read_noise_e**2)
    return np.minimum(bead_entropy_bits(fill), 0.5 * np.log2(1.0 + signal))


def bead_bits(
    twin: Lensless,
    expected: np.ndarray,
    is_lit: np.ndarray,
    *,
    parts: dict[str, np.ndarray],
    fill: float,
    fixed: dict[str, Any],
    noise: SensorNoise,
    seeds: list[int],
) -> list[LowerBound]:
    """Return what field decoders prove, one a seed: independent pixels' informations add up."""

    def draw(chosen: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        return noise.sample(expected[chosen], generator)[:, 0] - fixed["noise"]["offset"]

    settings = fixed["field_decoder"]
    rng = np.random.default_rng([fixed["seeds"]["noise"], 1])
    flat = {name: draw(chosen, rng).reshape(len(chosen), -1) for name, chosen in parts.items()}
    wanted = {name: is_lit[chosen].reshape(len(chosen), -1) for name, chosen in parts.items()}
    linear = fit_lmmse(
        flat["train"],
        wanted["train"],
        validation=(flat["validation"], wanted["validation"]),
        ridges=settings["ridges"],
    )
    share = in_view_bits(twin, fill, fixed["noise"]["read_noise"]) / bead_entropy_bits(fill)
    lit = wanted["test"].sum(axis=1)
    prior = lit * np.log(fill) + (wanted["test"].shape[1] - lit) * np.log1p(-fill)
    bounds = []
    for seed in seeds:
        decoder = train_field_decoder(
            draw,
            is_lit,
            objects=parts["train"],
            linear=linear,
            psf=np.asarray(twin.psf()),
            bead_e=fixed["electrons"] / fill,
            background_e=fixed["background_e"],
            read_noise_e=fixed["noise"]["read_noise"],
            in_view=share,
            fill=fill,
            settings=settings,
            seed=seed,
        )
        seen = flat["test"].reshape(-1, fixed["side"], fixed["side"])
        nats = decoder.log_probability(seen, is_lit[parts["test"]])
        bounds.append(decoder_lower_bound(nats, log_prior=prior))
    return bounds


def scenes(
    kind: str, fixed: dict[str, Any], counts: dict[str, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return all objects, in the order of `counts`, and classes of the middle digit (or zeros)."""
    rng = np.random.default_rng(fixed["seeds"]["objects"])
    known, side = sum(counts.values()) - counts["test"], fixed["field"]
    none = np.zeros(known + counts["test"], int)
    if kind == "photographs":
        own = photographs(known, side, rng=rng)
        return np.concatenate([own, photographs(counts["test"], side, rng=rng, split="test")]), none
    if kind == "digits":
        classes = middle_classes(known, side, np.random.default_rng(fixed["seeds"]["objects"]))
        own = digits(known, side, rng=rng)
        other = digits(counts["test"], side, rng=rng, split="test")
        return np.concatenate([own, other]), np.concatenate([classes, none[known:]])
    return beads(known + counts["test"], side, fill=fixed["kinds"][kind]["fill"], rng=rng), none


def middle_classes(count: int, side: int, rng: np.random.Generator) -> np.ndarray:
    """Return the class of `MIDDLE_TILE` of the training fields that `digits` draws with `rng`."""
    labels = digit_labels()
    across = -(-side // 12)
    return labels[rng.integers(len(labels), size=(count, across, across))][:, *MIDDLE_TILE]


def digit_labels() -> np.ndarray:
    """Return the classes of the digits that training fields are made of."""
    from sklearn.datasets import load_digits

    return np.asarray(load_digits(return_X_y=True)[1])[:1400]


def entropy_bits(labels: np.ndarray) -> float:
    """Return the entropy of a label drawn from `labels`."""
    share = np.bincount(labels) / len(labels)
    return float(-(share[share > 0] * np.log2(share[share > 0])).sum())


def middle(fields: np.ndarray, size: int) -> np.ndarray:
    first = (fields.shape[-1] - size) // 2
    return fields[:, first : first + size, first : first + size].reshape(len(fields), -1)


def judge(
    kind: str,
    expected: np.ndarray,
    target: np.ndarray,
    classes: np.ndarray,
    *,
    parts: dict[str, np.ndarray],
    fixed: dict[str, Any],
    noise: SensorNoise,
) -> dict[str, Any]:
    """Return decibels of both decoders, and bits that they prove (not for beads)."""

    def draw(chosen: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        return noise.sample(expected[chosen], generator).reshape(len(chosen), -1) * 1.0

    rng = np.random.default_rng([fixed["seeds"]["noise"], 2])
    y = {name: draw(chosen, rng) for name, chosen in parts.items()}
    wanted = {name: target[chosen] for name, chosen in parts.items()}
    peak = float(wanted["train"].max(axis=1).mean())
    linear = fit_lmmse(
        y["train"],
        wanted["train"],
        validation=(y["validation"], wanted["validation"]),
        ridges=fixed["settings"]["lmmse"]["ridges"],
    )
    decibels, proved = [], []
    single: dict[str, float] = {}
    for seed in fixed["seeds"]["neural"]:
        common = {"objects": parts["train"], "settings": fixed["settings"]["neural"], "seed": seed}
        neural = train_network(
            draw, target, outputs=target.shape[1], is_classifier=False, base=linear, **common
        )
        decibels.append(psnr_db(neural(y["test"]) - wanted["test"], peak=peak))
        if kind.startswith("beads"):
            continue
        told_apart = identification_bits(neural(y["fresh"]), wanted["fresh"])
        proved.append({"identification_bits": told_apart.bits_per_measurement})
        if kind == "digits" and "class_bits" not in single:
            classify = train_network(
                draw, classes, outputs=DIGITS, is_classifier=True, base=None, **common
            )
            logits = classify(y["fresh"])
            single["class_bits"] = class_bits(
                logits, classes[parts["fresh"]], entropy_bits=entropy_bits(digit_labels())
            ).bits_per_measurement
    return {
        "psnr_lmmse_db": psnr_db(linear(y["test"]) - wanted["test"], peak=peak),
        **mean_and_scatter("psnr_neural_db", decibels),
        **single,
        **{
            key: value
            for name in (proved[0] if proved else ())
            for key, value in mean_and_scatter(name, [bits[name] for bits in proved]).items()
        },
    }


def gaussian_bits(estimate: InformationEstimate, values: int) -> float:
    """Return the lower of the Gaussian members' scores, bits a measurement."""
    bounds = estimate.diagnostics["entropy_bits"]
    lower = min(bounds[name] for name in ("gaussian", "stationary") if name in bounds)
    return float(values * (lower - estimate.conditional_entropy))


def known_or_none(value: float | None) -> float | None:
    """Return `None` for what is not known, be it said by `None` or by NaN."""
    return None if value is None or not np.isfinite(value) else float(value)


def mean_and_scatter(name: str, values: list[float]) -> dict[str, float]:
    """Return the mean under `name`, and the standard deviation over decoder seeds beside it."""
    scatter = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return {name: float(np.mean(values)), f"{name}_scatter": scatter}


def main() -> int:
    quick = arguments(__doc__).quick
    fixed = protocol(ENTRY, is_quick=quick)
    counts = {name: number // (10 if quick else 1) for name, number in fixed["objects"].items()}
    fixed["settings"]["neural"]["steps"] = fixed["neural_steps"]
    if quick:
        fixed["settings"]["neural"]["steps"] = fixed["field_decoder"]["steps"] = 20
        fixed["seeds"]["neural"] = fixed["seeds"]["neural"][:2]
    family = AutoregressiveMixture(**{**fixed["density"], **({"steps": 100} if quick else {})})
    ends = np.cumsum(list(counts.values()))
    parts = dict(zip(counts, np.split(np.arange(ends[-1]), ends[:-1]), strict=True))
    used = np.arange(min(fixed["scored"], counts["train"]))
    noise = SensorNoise(**fixed["noise"])
    designs = dict(list(fixed["designs"].items())[-2 if quick else None :])
    tables: dict[str, Any] = {}
    for kind in KINDS or fixed["kinds"]:
        objects, classes = scenes(kind, fixed, counts)
        target = middle(objects, fixed["target_side"])
        rows: dict[str, dict[str, Any]] = {}
        for number, (name, choice) in enumerate(designs.items()):
            twin = camera(choice, fixed)
            expected = expected_electrons(twin, objects)
            drawn = np.random.default_rng([fixed["seeds"]["noise"], 0, number])
            counts_adu = noise.sample(expected[used], drawn)
            with seconds() as score_s:
                estimate = estimate_information(
                    counts_adu, noise, density=family, patch=fixed["patch"], expected=expected[used]
                )
            with seconds() as decode_s:
                found = judge(
                    kind, expected, target, classes, parts=parts, fixed=fixed, noise=noise
                )
                if kind.startswith("beads"):
                    fill = fixed["kinds"][kind]["fill"]
                    bound = bead_bits(
                        twin, expected, objects > 0, parts=parts, fill=fill, fixed=fixed,
                        noise=noise, seeds=fixed["seeds"]["neural"][:1],
                    )[0]  # fmt: skip
                    found["field_bits"] = bound.bits_per_measurement
                    view = in_view_bits(twin, fill, fixed["noise"]["read_noise"])
                    found["in_view_bits"] = float(view.sum())
            proved = [v for k, v in found.items() if k in PROVED]
            rows[name] = {
                "bits": estimate.bits_per_measurement,
                "bits_per_pixel": estimate.bits_per_pixel,
                "standard_error": estimate.standard_error,
                "gaussian_bits": gaussian_bits(estimate, fixed["side"] ** 2),
                "member": estimate.diagnostics["member"],
                "remaining_gap_bits": known_or_none(estimate.diagnostics["remaining_gap_bits"]),
                **found,
                "decoder_bits": max(proved),
                "score": score_s,
                "decode": decode_s,
            }
            print(kind, name, rows[name], flush=True)
        tables[kind] = summarise(rows)
        print(kind, {k: v for k, v in tables[kind].items() if k != "designs"}, flush=True)
    if not quick:
        kept = {k: v for k, v in protocol(ENTRY).items() if k != "settings"}
        print(save(f"domain_{ENTRY}", {"protocol": kept, "kinds": {**_kept(kept), **tables}}))
    return 0


def _kept(fixed: dict[str, Any]) -> dict[str, Any]:
    """Return the kinds that another run of the same protocol has recorded."""
    path = RESULTS / f"domain_{ENTRY}.json"
    recorded = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    is_same = recorded.get("protocol") == json.loads(json.dumps(fixed))
    return recorded["kinds"] if is_same else {}


PROVED = ("identification_bits", "class_bits", "field_bits")
METRICS = ("psnr_lmmse_db", "psnr_neural_db", "decoder_bits")


def summarise(rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return ranks of the score and of the Gaussian one, the best design and the brackets."""
    table = list(rows.values())
    return {
        **{
            f"{score}_against": {
                metric: rank_correlation([r[score] for r in table], [r[metric] for r in table])
                for metric in METRICS
            }
            for score in ("bits", "gaussian_bits")
        },
        "best_by_bits": max(rows, key=lambda n: rows[n]["bits"]),
        "best_by_psnr": max(rows, key=lambda n: rows[n]["psnr_neural_db"]),
        "is_bracket_kept": all(r["decoder_bits"] <= r["bits"] for r in table),
        "designs": rows,
    }


if __name__ == "__main__":
    sys.exit(main())
