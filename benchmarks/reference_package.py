"""Claim: more exact than PyPI's `encoding-information` 0.1.1, 100 times faster, in no more memory.

Both sides get the same arrays in one run: each call of a part is a fresh process (`_own_side.py`
here, `_reference_side.py` in the package's own environment), ours and theirs in turn; imports and
reading are not timed. On a shared machine the best of the rounds counts, for both. The parts:

patches        cutting 16 x 16 patches from a stack
gaussian       full-Gaussian estimate with 95 % interval, 16 x 16
stationary     the same of the stationary density
pixelcnn       photographs, 16 x 16, 100 photons: autoregressive mixture and PixelCNN, test score
closed-forms   error where the information is known, same images, several seeds

A part that is not run keeps the numbers, commit and date of its last run. The reference needs
`python -m venv REF && REF/bin/pip install encoding-information==0.1.1 tensorflow-cpu flax optax
pandas seaborn cleanplots tqdm`, then `--reference-python REF/bin/python`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from density_scenes import photograph_patches, poisson_entropy_bits
from record import RESULTS, save

NAME = "reference_package"
HERE = Path(__file__).parent
SIGMA, PATCH = 5.0, 16
OFFSET = 100.0
"""Added to Gaussian fields: the reference warns about negative and dim images."""


@dataclass(frozen=True, slots=True)
class Sides:
    """Starts a side in a fresh process; the reference only where its interpreter is known."""

    reference_python: Path | None
    folder: Path

    def own(self, task: str, arrays: dict[str, np.ndarray], **settings: Any) -> dict[str, Any]:
        """Return what our side measured."""
        return self._run(Path(sys.executable), "_own_side.py", task, arrays, settings)

    def reference(
        self, task: str, arrays: dict[str, np.ndarray], **settings: Any
    ) -> dict[str, Any] | None:
        """Return what the other side measured; `None` without its interpreter."""
        if self.reference_python is None:
            return None
        return self._run(self.reference_python, "_reference_side.py", task, arrays, settings)

    def _run(
        self,
        python: Path,
        script: str,
        task: str,
        arrays: dict[str, np.ndarray],
        settings: dict[str, Any],
    ) -> dict[str, Any]:
        given, asked, result = (self.folder / n for n in ("a.npz", "s.json", "r.json"))
        np.savez(given, allow_pickle=False, **arrays)
        asked.write_text(json.dumps(settings), encoding="utf-8")
        environment = {**os.environ, "JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3"}
        if python == self.reference_python:
            environment.pop("PYTHONPATH", None)
        command = [str(python), str(HERE / script), task, str(given), str(asked), str(result)]
        subprocess.run(command, check=True, env=environment)
        return json.loads(result.read_text(encoding="utf-8"))


def gaussian_field(number: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Separable exp(-|d|/4) field, variance 400, plus noise, sigma 5."""
    factor = np.linalg.cholesky(_exponential(size))
    signal = 20 * (factor @ rng.normal(size=(number, size, size)) @ factor.T)
    return (OFFSET + signal + SIGMA * rng.normal(size=signal.shape)).astype(np.float32)


def field_truth(size: int) -> float:
    values = np.linalg.eigvalsh(_exponential(size))
    return float(0.5 * np.log2(1 + np.outer(values, values) * 400 / SIGMA**2).mean())


def _exponential(size: int) -> np.ndarray:
    return np.exp(-np.abs(np.subtract.outer(np.arange(size), np.arange(size))) / 4)


def chain(number: int, length: int, rng: np.random.Generator) -> np.ndarray:
    """AR(1) row, variance 100, correlation 0.9, plus noise, sigma 5."""
    factor = np.linalg.cholesky(0.9 ** np.abs(np.subtract.outer(*2 * [np.arange(length)])))
    signal = 10 * rng.normal(size=(number, 1, length)) @ factor.T
    return (OFFSET + signal + SIGMA * rng.normal(size=signal.shape)).astype(np.float32)


def patches_part(sides: Sides, *, quick: bool) -> dict[str, Any]:
    frames = np.random.default_rng(0).poisson(100, size=(20 if quick else 500, 64, 64))
    arrays = {"frames": frames.astype(np.float32)}
    number = len(frames) * (64 // PATCH) ** 2
    rounds = [
        {
            "ours": sides.own("patches", arrays, patch=PATCH, repeats=5),
            "reference": sides.reference("patches", arrays, patch=PATCH, repeats=2, patches=number),
        }
        for _ in range(1 if quick else 3)
    ]
    return {
        "frames": list(frames.shape),
        "patches": number,
        "rows": [
            row("patches, first call", rounds, "cold", "cold"),
            row("patches, later call", rounds, "warm", "warm"),
        ],
        "rounds": rounds,
    }


def estimate_part(density: str, sides: Sides, *, quick: bool) -> dict[str, Any]:
    number, size = (400, 8) if quick else (2000, PATCH)
    images = gaussian_field(number, size, np.random.default_rng(0))
    settings = {"density": density, "sigma": SIGMA, "patch": size}
    rounds = [
        {
            "ours": sides.own("estimate", {"images": images}, **settings, repeats=5),
            "reference": sides.reference(
                "estimate", {"images": images}, **settings, resamples=3 if quick else 100
            ),
        }
        for _ in range(1 if quick else 2)
    ]
    values = {
        "images": list(images.shape),
        "truth_bits_per_pixel": field_truth(size),
        "rows": [
            row(f"{density}, both with interval", rounds, "warm", "with_interval"),
            row(f"{density}, first call, reference without interval", rounds, "cold", "cold"),
            row(f"{density}, later call, reference without interval", rounds, "warm", "warm"),
        ],
        "rounds": rounds,
    }
    if not quick:
        large = gaussian_field(20_000, size, np.random.default_rng(1))
        alone = sides.own("estimate", {"images": large}, **settings, repeats=3)
        values["ours_20000_images"] = {
            "bits_per_pixel": alone["bits_per_pixel"],
            "interval": alone["interval"],
            "calls": alone["calls"],
        }
    return values


def pixelcnn_part(sides: Sides, *, quick: bool, budget_s: float) -> dict[str, Any]:
    """Score the scene of `density_photographs.py`, both sides on the same 1500 test patches."""
    train, test = (300, 100) if quick else (8000, 1500)
    rng = np.random.default_rng(0)
    mean = photograph_patches(train, rng, size=PATCH, is_test=False)
    scale = 100.0 / mean.mean()
    test_mean = scale * photograph_patches(test, rng, size=PATCH, is_test=True)
    arrays = {"train": rng.poisson(scale * mean), "test": rng.poisson(test_mean)}
    noise_bits = float(poisson_entropy_bits(test_mean).mean())

    def bits(nats: float) -> float:
        return float(nats / np.log(2)) - noise_bits

    def ours(seed: int) -> dict[str, Any]:
        found = sides.own(
            "photographs", arrays, patch=PATCH, seed=seed, steps=50 if quick else None
        )
        wall = sum(found["calls"][name][0]["wall_s"] for name in ("fit", "score"))
        cpu = sum(found["calls"][name][0]["cpu_s"] for name in ("fit", "score"))
        out = {**found, "bits_per_pixel": bits(found["test_nats"]), "wall_s": wall, "cpu_s": cpu}
        print({k: out[k] for k in ("seed", "bits_per_pixel", "wall_s", "cpu_s")}, flush=True)
        return out

    own = [ours(0)]
    factors = (1, 5, 20)
    reference = sides.reference(
        "photographs",
        {name: values.astype(np.float32) for name, values in arrays.items()},
        seed=0,
        budget_s=20 if quick else max(budget_s, 20.5 * own[0]["wall_s"]),
        report_at_s=[factor * own[0]["wall_s"] for factor in factors],
    )
    own.append(ours(1))
    values: dict[str, Any] = {"train": train, "test": test, "ours": own}
    if reference is None:
        return {**values, "rows": []}
    epochs = reference["epochs"]
    slower = min(epochs[-1][clock] / max(o[clock] for o in own) for clock in ("wall_s", "cpu_s"))
    worst = max(o["bits_per_pixel"] for o in own)
    return {
        **values,
        "reference": {
            **reference,
            "bits_per_pixel": bits(reference["test_nats"]),
            "reached": [
                {"times_ours": factor, **at, "bits_per_pixel": bits(at["test_nats"])}
                for factor, at in zip(factors, reference["reached"], strict=True)
            ],
            "seconds_an_epoch": (epochs[-1]["wall_s"] - epochs[1]["wall_s"])
            / max(1, len(epochs) - 2),
        },
        "time_ratio_at_least": slower,
        "rows": [
            {
                "line": "photographs, bits/pixel (lower is tighter)",
                "ours": worst,
                "reference": bits(reference["test_nats"]),
                "ratio": bits(reference["test_nats"]) / worst,
            },
            {
                "line": "photographs, seconds"
                + ("" if reference["ended_by_itself"] else " (reference stopped: at least)"),
                "ours": max(o["wall_s"] for o in own),
                "reference": epochs[-1]["wall_s"],
                "ratio": slower,
                "ours_growth_mib": max(o["calls"]["fit"][0]["growth_mib"] for o in own),
                "reference_growth_mib": reference["calls"]["fit"][0]["growth_mib"],
            },
        ],
    }


def closed_forms_part(sides: Sides, *, quick: bool) -> dict[str, Any]:
    arrays: dict[str, np.ndarray] = {}
    runs: list[dict[str, Any]] = []
    few = 400 if quick else None
    for seed in range(1 if quick else 3):
        rng = np.random.default_rng([7, seed])
        size = 8 if quick else PATCH
        means = rng.permutation(np.repeat([4.0, 20.0], (few or 40_000) // 2)).reshape(-1, 1, 1)
        scalar = np.sqrt(10) * rng.normal(size=(few or 40_000, 1, 1))
        made: dict[str, tuple[Any, ...]] = {
            f"{size} x {size} field": (
                gaussian_field(few or 4000, size, rng),
                None,
                SIGMA,
                field_truth(size),
                ("gaussian", "stationary"),
            ),
            "AR(1), n 64": (
                chain(few or 8000, 64, rng),
                None,
                SIGMA,
                0.579908,
                ("gaussian", "stationary"),
            ),
            "scalar Gaussian, SNR 10": (
                (OFFSET + scalar + rng.normal(size=scalar.shape)).astype(np.float32),
                None,
                1.0,
                1.72972,
                ("gaussian", "autoregressive"),
            ),
            "Poisson {4, 20}": (
                rng.poisson(means),
                means,
                None,
                0.974257,
                ("gaussian", "autoregressive"),
            ),
        }
        for case, (images, mean, sigma, truth, densities) in made.items():
            key = f"{case} {seed}"
            arrays[key] = images
            if mean is not None:
                arrays[key + " mean"] = mean
            runs += [
                {
                    "case": case,
                    "density": density,
                    "seed": seed,
                    "images": key,
                    "means": None if mean is None else key + " mean",
                    "sigma": sigma,
                    "truth": truth,
                }
                for density in densities
                # The reference's network takes minutes on a scalar: one seed.
                if density != "autoregressive" or seed == 0
            ]
    ours = sides.own("closed_forms", arrays, runs=runs)
    reference = sides.reference(
        "closed_forms", arrays, runs=runs, budget_s=5 if quick else 240
    ) or {"rows": [{}] * len(runs)}
    table: dict[tuple[str, str], dict[str, Any]] = {}
    for own, other in zip(ours["rows"], reference["rows"], strict=True):
        entry = table.setdefault(
            (own["case"], own["density"]),
            {
                "case": own["case"],
                "density": own["density"],
                "truth": own["truth"],
                "ours": [],
                "reference": [],
                "reference_refused": None,
                "reference_stopped_s": None,
            },
        )
        entry["ours"].append(own["bits_per_pixel"])
        if "bits_per_pixel" in other:
            entry["reference"].append(other["bits_per_pixel"])
            if not other["ended_by_itself"]:
                entry["reference_stopped_s"] = 240
        entry["reference_refused"] = other.get("refused")
    rows = []
    for entry in table.values():
        for side in ("ours", "reference"):
            errors = np.array(entry[side]) - entry["truth"]
            entry[f"{side}_rms_error"] = float(np.sqrt((errors**2).mean())) if len(errors) else None
            entry[f"{side}_mean_error"] = float(errors.mean()) if len(errors) else None
        own_error, other_error = entry["ours_rms_error"], entry["reference_rms_error"]
        rows.append({
            "line": f"{entry['case']}, {entry['density']}: rms error, bits/pixel",
            "ours": own_error,
            "reference": other_error,
            "ratio": None if other_error is None else other_error / own_error,
        })
    return {
        "cases": list(table.values()),
        "rows": rows,
        "versions_of_sides": [side.get("versions") for side in (ours, reference)],
    }


def row(
    line: str, rounds: list[dict[str, Any]], own_label: str, other_label: str
) -> dict[str, Any]:
    """Seconds of the best call of all rounds; memory of the worst, for the fresh process."""
    out: dict[str, Any] = {"line": line + ": seconds"}
    for side, label in (("ours", own_label), ("reference", other_label)):
        if rounds[0][side] is None:
            return {**out, "reference": None, "ratio": None}
        calls = [call for r in rounds for call in r[side]["calls"][label]]
        out[side] = min(call["wall_s"] for call in calls)
        out[f"{side}_cpu_s"] = min(call["cpu_s"] for call in calls)
        # A later call reuses what the first one took, so all calls of the process count.
        everything = [c for r in rounds for calls in r[side]["calls"].values() for c in calls]
        out[f"{side}_growth_mib"] = max(call["growth_mib"] for call in everything)
        out[f"{side}_peak_mib"] = max(call["peak_mib"] for call in everything)
    out["ratio"] = out["reference"] / out["ours"]
    out["cpu_ratio"] = out["reference_cpu_s"] / max(out["ours_cpu_s"], 1e-5)
    return out


def stamp() -> dict[str, Any]:
    """When and at which commit a part was measured; `-dirty` where code had changed."""
    commit = git("rev-parse", "--short", "HEAD")
    changed = git("status", "--porcelain", "--", ":/*.py")
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": (commit + "-dirty" * bool(changed)) or None,
        "load_average": os.getloadavg()[0],
    }


def git(*words: str) -> str:
    command = ["git", *words]
    found = subprocess.run(command, capture_output=True, text=True, check=False, cwd=HERE)
    return found.stdout.strip()


def show(rows: list[dict[str, Any]]) -> None:
    for r in rows:
        numbers = [
            "-" if r.get(name) is None else f"{r[name]:.4g}"
            for name in ("ours", "reference", "ratio", "ours_growth_mib", "reference_growth_mib")
        ]
        print(f"{r['line']:68s}" + "".join(f"{text:>11s}" for text in numbers), flush=True)


def main() -> int:
    parts: dict[str, Callable[..., dict[str, Any]]] = {
        "patches": patches_part,
        "gaussian": lambda sides, quick: estimate_part("gaussian", sides, quick=quick),
        "stationary": lambda sides, quick: estimate_part("stationary", sides, quick=quick),
        "closed-forms": closed_forms_part,
        "pixelcnn": lambda sides, quick: pixelcnn_part(
            sides, quick=quick, budget_s=asked.pixelcnn_budget_s
        ),
    }
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes, no record")
    parser.add_argument("--reference-python", type=Path, help="interpreter of its environment")
    parser.add_argument("--parts", nargs="+", choices=parts, default=list(parts))
    parser.add_argument(
        "--pixelcnn-budget-s",
        type=float,
        default=1200.0,
        help="stop the reference's PixelCNN here, or at 20.5 times our time if that is later",
    )
    asked = parser.parse_args()
    if asked.reference_python is None:
        print("the reference package is not measured: give --reference-python (see --help)")
        if not asked.quick:
            return 2
    with tempfile.TemporaryDirectory() as folder:
        sides = Sides(asked.reference_python, Path(folder))
        for name in asked.parts:
            before = stamp()
            measured = {**parts[name](sides, quick=asked.quick), **before}
            show(measured["rows"])
            if not asked.quick:  # after every part: a run that is stopped keeps what it has
                keep(name, measured)
    return 0


def keep(name: str, measured: dict[str, Any]) -> None:
    path = RESULTS / f"{NAME}.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"parts": {}}
    save(NAME, {"parts": {**known["parts"], name: measured}})


if __name__ == "__main__":
    sys.exit(main())
