"""Claim: adaptive batches reach the confirmed design of fixed ones with half of the frames or less.

The demo bench, each seed with fixed batches (36 objects a trial), with `batch: {adaptive: {}}`, and
as a control with fixed batches of as many objects as the adaptive ones had on average, so that it
shows whether deciding trial by trial does better than simply taking fewer objects.

Quality of a confirmed design is what only the simulator can say: the rms of the wavefront that is
left, and the true score: the design's information with the simulator's own expected images of 64
objects of another grid and fresh noise, averaged over many repeats.

Equal means (stated before the first run): the 95 % interval of the paired difference in true score,
adaptive less fixed, Student's t over seeds, ends above -MARGIN bits/pixel. The margin is the
standard error between designs of one full batch (.0012 bits/pixel, .16 % of the score): less than
that no single trial of the fixed campaign could have shown.

Frames are those that lit the sample: batches of all trials, failed ones included, and beside them
those of the self-checks and the calibration, which are the same with all three.

The fixed campaigns' frames also say what equal numbers of objects are needed for: `scales` compares
the score of the first 12 objects with that of all 36, plainly and as the search is told of it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from record import save
from scipy import stats

from drivers.virtual.options import PupilMicroscopeOptions
from drivers.virtual.worlds.pupil import SLM_SETTLE_S, PupilWorld
from instrument.bench.calibration_plan import LOOK_FRAMES
from instrument.bench.connect import connect
from instrument.bench.timing import Stopwatch
from instrument.campaign.ledger import Ledger, TrialRow
from instrument.campaign.run import recorded_config
from instrument.campaign.scoring import load_noise, score_batch
from instrument.config import CameraRole, Config, LightRole
from instrument.design import Design
from instrument.grid import grid_positions
from instrument.search.enough import is_worse, paired, spread, told_standard_error

MARGIN = 0.0012  # bits/pixel
SEEDS = range(10)
TRUE_OBJECTS, TRUE_SPACING_UM, TRUE_REPEATS = 64, 100.0, 30
COUNT, LOOKS = 36, (12, 24, 36)
LEVEL = 0.05


def campaign(run_dir: Path, seed: int, settings: list[str]) -> dict[str, Any]:
    """Run `infoloop demo` and say what it took and came to."""
    chosen = [part for setting in settings for part in ("--set", setting)]
    command = ["infoloop", "demo", "--seed", str(seed), "--output", str(run_dir), *chosen]
    finished = subprocess.run(
        [*command, "--json", "--quiet"], capture_output=True, text=True, check=True
    )
    said = json.loads(finished.stdout)
    with Ledger.read(run_dir) as ledger:
        rows = ledger.trials()
    return {
        "trials": said["trials"],
        "frames": said["frames"],
        "other_frames": other_frames(run_dir, said),
        "seconds": said["seconds"],
        "residual_rad": said["truth"]["final_residual_rad"],
        "best_bits_per_pixel": said["best"]["bits_per_pixel"],
        "design": said["best"]["design"],
        "ends": {why: ends(rows).count(why) for why in sorted(set(ends(rows)))},
    }


def ends(rows: list[TrialRow]) -> list[str]:
    """Return how many objects each trial of the search was given, and why they were enough."""
    found = [row.estimate["sampling"] for row in rows if "sampling" in row.estimate]
    return [f"{sampling['objects']} {sampling['why']}" for sampling in found]


def other_frames(run_dir: Path, said: dict[str, Any]) -> int:
    """Return lit frames outside of trials: self-checks, and a calibration's ladder and looks."""
    checks = sum(check.get("repeats", 0) for check in said["self_checks"])
    plan = json.loads((run_dir / "calibration.plan.json").read_text(encoding="utf-8"))
    lit = sum(step["frames"] for step in plan["plan"]["steps"] if step["light"])
    return checks + lit + LOOK_FRAMES


def true_scores(run_dir: Path, designs: dict[str, Design]) -> dict[str, list[float]]:
    """Bits/pixel of designs on the simulator itself, one a repeat, with noise of their own."""
    with Ledger.read(run_dir) as ledger:
        config = recorded_config(ledger)
    with connect(config) as bench:
        noise = load_noise(config, bench, run_dir)
        space, watch = bench.space(), Stopwatch()
        patterns = {
            name: bench.apply(design, space=space, stopwatch=watch).patterns["slm"]
            for name, design in designs.items()
        }
    options = config.bench.micromanager
    seed = config.search.seed  # the bench's too, unless the file gives one
    light, camera = config.bench.roles["light"], config.bench.roles["camera"]
    if not (
        isinstance(options, PupilMicroscopeOptions)
        and isinstance(light, LightRole)
        and isinstance(camera, CameraRole)
    ):
        raise TypeError("the demo's bench is a pupil microscope with a light and a camera")
    world = PupilWorld(
        seed=seed,
        sample=options.sample,
        fill=options.fill,
        aberration_rms_rad=options.aberration_rms_rad,
        optical_power_mw=lambda: light.level,
    )
    found: dict[str, list[float]] = {}
    exposure_s = camera.exposure_ms / 1e3
    for index, (name, design) in enumerate(designs.items()):
        world.show(patterns[name])
        world.z.move(design.values["focus"][0])
        expected = expected_electrons(world, exposure_s)
        rng = np.random.default_rng((seed, index))
        found[name] = []
        for _ in range(TRUE_REPEATS):
            counts = np.stack([
                world.sensor.expose(e, exposure_s=exposure_s, rng=rng) for e in expected
            ])[:, np.newaxis]
            score = score_batch(counts, noise, config, density="gaussian")
            found[name].append(score.estimate.bits_per_pixel)
    return found


def expected_electrons(world: PupilWorld, exposure_s: float) -> list[np.ndarray]:
    """Return the expected image of every object, once modulator and stages have come to rest."""
    positions = grid_positions(
        TRUE_OBJECTS, spacing_um=TRUE_SPACING_UM, centre_um=(0, 0), order="snake", seed=0
    )
    images: list[np.ndarray] = []
    for position in positions:
        world.xy.move(*position)
        at_rest_s = time.monotonic() + SLM_SETTLE_S
        while not (world.xy.is_done() and world.z.is_done() and time.monotonic() > at_rest_s):
            time.sleep(SLM_SETTLE_S)
        images.append(world.expected_electrons(exposure_s))
    return images


def scales(run_dir: Path, config: Config) -> dict[str, Any]:
    """Compare what 12 objects of full batches say, plainly and as the search is told, with all.

    Every trial of the search is compared with the best full score before it, and repeats of one
    design in the confirmation, which are equal designs, with each other.
    """
    order = list(spread(COUNT, LOOKS, seed=config.search.seed))[: LOOKS[0]]
    with Ledger.read(run_dir) as ledger, connect(config) as bench:
        noise = load_noise(config, bench, run_dir)
        rows = [row for row in ledger.trials() if row.state == "scored"]

        def first(row: TrialRow) -> np.ndarray:
            counts = ledger.load_batch(row)[order]
            return score_batch(counts, noise, config, density="gaussian").estimate.per_object_bits

        bits = {row.number: first(row) for row in rows}
    full = {row.number: row.estimate["bits_per_pixel"] for row in rows}
    plain, told, claimed = [], [], []
    for row in rows[1:]:
        if row.phase != "search":
            continue
        incumbent = max((r for r in rows if r.number < row.number), key=lambda r: full[r.number])
        difference = paired(bits[row.number], bits[incumbent.number])
        plain.append(bits[row.number].mean() - full[row.number])
        told.append(full[incumbent.number] + difference.bits - full[row.number])
        claimed.append(told_standard_error(difference, objects=LOOKS[0], count=COUNT))
    repeats = [row for row in rows if row.phase == "confirm"]
    equal = [(a, b) for a in repeats for b in repeats if a is not b and a.design == b.design]
    turned_down = [
        is_worse(paired(bits[a.number], bits[b.number]), objects=LOOKS[0], level=LEVEL)
        for a, b in equal
    ]
    return {
        "plain_shift": float(np.mean(plain)),
        "plain_shift_sd": float(np.std(plain, ddof=1)),
        "told_shift": float(np.mean(told)),
        "told_shift_sd": float(np.std(told, ddof=1)),
        "told_standard_error": float(np.sqrt(np.mean(np.square(claimed)))),
        "full_batch_standard_error": float(
            np.mean([row.estimate["frame_noise_standard_error"] for row in rows])
        ),
        "equal_pairs": len(equal),
        "equal_pairs_turned_down": int(np.sum(turned_down)),
    }


def run_seed(seed: int, *, extra: tuple[str, ...]) -> dict[str, Any]:
    """One seed: three campaigns, then the truth about their designs."""
    with tempfile.TemporaryDirectory() as folder:
        dirs = {name: Path(folder) / name for name in ("fixed", "adaptive", "control")}
        ways = {"fixed": [], "adaptive": ["batch.adaptive={}"]}
        found = {n: campaign(dirs[n], seed, [*ways[n], *extra]) for n in ways}
        objects = round(found["adaptive"]["frames"] / found["adaptive"]["trials"])
        smaller = [f"objects.stage_grid.count={objects}", *extra]
        found["control"] = campaign(dirs["control"], seed, smaller)
        designs = {
            name: Design({key: tuple(values) for key, values in result.pop("design").items()})
            for name, result in found.items()
        }
        scores = true_scores(dirs["fixed"], designs)
        with Ledger.read(dirs["fixed"]) as ledger:
            scale = scales(dirs["fixed"], recorded_config(ledger))
    for name, result in found.items():
        result["true_bits_per_pixel"] = float(np.mean(scores[name]))
        result["true_standard_error"] = float(np.std(scores[name], ddof=1) / np.sqrt(TRUE_REPEATS))
    return {"seed": seed, "control_objects": objects, **found, "scales": scale}


def difference(rows: list[dict[str, Any]], ours: str, theirs: str, key: str) -> dict[str, float]:
    """Paired difference over seeds with its 95 % interval (Student's t)."""
    values = np.array([row[ours][key] - row[theirs][key] for row in rows])
    error = float(np.std(values, ddof=1) / np.sqrt(len(values)))
    half = float(stats.t.ppf(0.975, len(values) - 1)) * error
    mean = float(values.mean())
    return {"mean": mean, "low": mean - half, "high": mean + half}


def conclude(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Say over all seeds what the claim needs."""
    score = difference(rows, "adaptive", "fixed", "true_bits_per_pixel")
    shares = [row["adaptive"]["frames"] / row["fixed"]["frames"] for row in rows]
    with_other = [
        (row["adaptive"]["frames"] + row["adaptive"]["other_frames"])
        / (row["fixed"]["frames"] + row["fixed"]["other_frames"])
        for row in rows
    ]
    pairs = sum(row["scales"]["equal_pairs"] for row in rows)
    turned_down = sum(row["scales"]["equal_pairs_turned_down"] for row in rows)
    return {
        "margin_bits_per_pixel": MARGIN,
        "adaptive_less_fixed_bits_per_pixel": score,
        "is_equal_within_margin": score["low"] > -MARGIN,
        "adaptive_less_fixed_residual_rad": difference(rows, "adaptive", "fixed", "residual_rad"),
        "share_of_frames": {"mean": float(np.mean(shares)), "most": max(shares)},
        "share_of_frames_with_calibration": {
            "mean": float(np.mean(with_other)),
            "most": max(with_other),
        },
        "adaptive_less_control_bits_per_pixel": difference(
            rows, "adaptive", "control", "true_bits_per_pixel"
        ),
        "adaptive_less_control_residual_rad": difference(
            rows, "adaptive", "control", "residual_rad"
        ),
        "equal_pairs_turned_down": f"{turned_down} of {pairs} at level {LEVEL}",
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two seeds, few trials, no record")
    parser.add_argument("--first-seed", type=int, default=0, help="100 and above for tuning")
    parser.add_argument("--seeds", type=int, default=len(SEEDS))
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    extra = ("search.trials=16", "search.confirm.repeats=2") if asked.quick else ()
    seeds = range(asked.first_seed, asked.first_seed + (2 if asked.quick else asked.seeds))
    rows: list[dict[str, Any]] = []
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(asked.processes, mp_context=spawn) as pool:
        for row in pool.map(partial(run_seed, extra=extra), seeds):
            rows.append(row)
            told = "; ".join(
                f"{name} {row[name]['frames']} frames, {row[name]['residual_rad']:.3f} rad, "
                f"{row[name]['true_bits_per_pixel']:.4f} bits/px"
                for name in ("fixed", "adaptive", "control")
            )
            print(f"seed {row['seed']}: {told}", flush=True)
    conclusion = conclude(rows)
    print(json.dumps(conclusion, indent=2))
    if seeds == SEEDS and not asked.quick:
        print(save("adaptive_batches", {**conclusion, "seeds": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
