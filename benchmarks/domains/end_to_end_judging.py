"""The judge of all designs: one fresh decoder, trained alike, whoever made the design."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.domains.decoders import fit_lmmse, train_network
from benchmarks.domains.end_to_end_problems import Problem, Values, hardened, read_objects
from estimation.ideal.forward import expected_electrons


def judged(
    now: Problem, values: Values, *, folder: Path, fixed: Mapping[str, Any]
) -> dict[str, float]:
    """Return the quality of a design by the linear and by the neural decoder.

    Under `"validation"` and `"test"` stands the decoder that is better on validation objects. All
    designs of a problem see the same objects and the same seeds.
    """
    seeds = fixed["seeds"]
    twin = hardened(now.twin, values)
    rng = np.random.default_rng(seeds["noise"])
    seen: dict[str, np.ndarray] = {}
    wanted: dict[str, np.ndarray] = {}
    expected: dict[str, np.ndarray] = {}
    for part in ("train", "test"):
        objects = read_objects(folder, now.name, part)
        expected[part] = expected_electrons(twin, objects).astype(np.float32)
        seen[part] = now.noise.sample(expected[part], rng).reshape(len(objects), -1) * 1.0
        wanted[part] = now.target(objects)
    fitted = len(wanted["train"]) - fixed["validation"]
    held_out = {
        "validation": (seen["train"][fitted:], wanted["train"][fitted:]),
        "test": (seen["test"], wanted["test"]),
    }
    linear = fit_lmmse(
        seen["train"][:fitted],
        wanted["train"][:fitted],
        validation=held_out["validation"],
        ridges=fixed["settings"]["lmmse"]["ridges"],
    )

    def draw(chosen: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        counts = now.noise.sample(expected["train"][chosen], generator)
        return counts.reshape(len(chosen), -1) * 1.0

    neural = train_network(
        draw,
        wanted["train"],
        objects=np.arange(fitted),
        outputs=wanted["train"].shape[1],
        is_classifier=False,
        base=linear,
        settings=fixed["judge"],
        seed=seeds["neural"],
    )
    qualities = {
        f"{decoder}_{part}": round(now.quality(decode(y) - target, target), 4)
        for part, (y, target) in held_out.items()
        for decoder, decode in {"lmmse": linear, "neural": neural}.items()
    }
    better = max(("lmmse", "neural"), key=lambda d: now.gain(qualities[f"{d}_validation"]))
    return {**qualities, **{part: qualities[f"{better}_{part}"] for part in held_out}}


def own_over_fresh(
    now: Problem,
    own_error: float,
    validation_quality: float,
    *,
    folder: Path,
    fixed: Mapping[str, Any],
) -> float:
    """Return how much worse end-to-end's own decoder is than the fresh one, in squared error.

    1 where joint training ends with a decoder as good as the design allows; `own_error` is in units
    of the targets' variance, as `train_jointly` tells it.
    """
    objects = read_objects(folder, now.name, "train")
    held_out = now.target(objects[-fixed["validation"] :])
    if now.metric == "psnr_db":
        fresh = held_out.max(axis=1).mean() ** 2 * 10.0 ** (-validation_quality / 10.0)
    else:
        fresh = validation_quality**2 * float(np.mean(held_out**2))
    return round(float(own_error * now.target(objects[:1000]).var() / fresh), 3)
