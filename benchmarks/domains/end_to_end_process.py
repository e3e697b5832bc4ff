"""One design run in a fresh process on one thread: `python -m ...end_to_end_process JOB RESULT`.

JOB and RESULT are JSON files. Imports are over and objects are memory-mapped before the first clock
starts; memory is what the largest resident set exceeds that by. Compilation is in the figures.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.domains.common import protocol
from benchmarks.domains.end_to_end_problems import Problem, problem, read_objects
from benchmarks.domains.end_to_end_training import SmallDecoder, train_jointly
from benchmarks.domains.end_to_end_unet import UNet
from benchmarks.side_meter import Meter
from drivers.virtual.twins import Colour
from drivers.virtual.twins.colour import PERIOD
from estimation import AutoregressiveMixture
from estimation.density import Geometry
from estimation.ideal import (
    AutoregressiveSurrogate,
    LinearGaussian,
    LinearStationary,
    LinearStrata,
    Progress,
    maximise_information,
)

ONE_THREAD = {
    "JAX_PLATFORMS": "cpu",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}
"""What the environment must hold before Python starts; the process also keeps to one core."""

Job = Mapping[str, Any]


def end_to_end(job: Job, fixed: Mapping[str, Any], meter: Meter) -> dict[str, Any]:
    """Train a design with the small decoder."""
    now, settings = problem(job["problem"], fixed), fixed["end_to_end"]
    objects = read_objects(Path(job["folder"]), job["problem"], "train")
    decoder = SmallDecoder(
        int(np.prod(_measured(now, objects))),
        now.target(objects[:1]).shape[1],
        hidden=settings["hidden"],
        key=jax.random.key(job["seed"]),
        is_solved="solve_every" in settings,
    )
    steps = settings["steps"][job["problem"]]
    ahead = {**settings, "design_rate": _of_problem(settings["design_rate"], job)}
    joint = meter.timed(
        "design",
        lambda: train_jointly(
            now, decoder, now.start(job["start"]),
            objects=objects, settings=ahead, steps=steps, seed=job["seed"],
        ),
    )  # fmt: skip
    return {
        "values": _listed(joint.values),
        "curve": joint.curve,
        "steps": steps,
        "step_cpu_s": joint.step_cpu_s,
    }


def unet(job: Job, fixed: Mapping[str, Any], meter: Meter) -> dict[str, Any]:
    """Train with the large decoder for a few steps: what a step costs, and how much memory."""
    now, settings = problem(job["problem"], fixed, is_full_frame=True), fixed["unet"]
    objects = read_objects(Path(job["folder"]), job["problem"], "full_frame")
    shots, height, width = _measured(now, objects)
    channels = now.target(objects[:1]).shape[1] // (height * width)
    decoder = UNet(shots, channels, widths=settings["widths"], key=jax.random.key(job["seed"]))
    size = {"batch": job["batch"], "validation": job["batch"], "check_every": settings["steps"]}
    ahead = {**fixed["end_to_end"], **size, "solve_every": None}
    ahead["design_rate"] = _of_problem(ahead["design_rate"], job)
    joint = meter.timed(
        "design",
        lambda: train_jointly(
            now, decoder, now.start(job["start"]),
            objects=objects, settings=ahead, steps=settings["steps"], seed=job["seed"],
        ),
    )  # fmt: skip
    return {
        "step_cpu_s": joint.step_cpu_s,
        "decoder_parameters": decoder.parameters,
        "frame": [height, width],
        "curve": joint.curve,
    }


def ideal(job: Job, fixed: Mapping[str, Any], meter: Meter) -> dict[str, Any]:
    """Follow the information from one start; with no steps, score the hand-made designs."""
    now, settings = problem(job["problem"], fixed), fixed["ideal"][job["method"]]
    objects = read_objects(Path(job["folder"]), job["problem"], "train")
    twin = now.twin.with_values(now.start(job["start"]))
    is_score = job["kind"] == "score"
    steps = 0 if is_score else settings["steps"][job["problem"]]
    surrogate = settings["surrogate"][job["problem"]]
    began, curve = time.process_time(), list[tuple[int, float, float]]()

    def watch(progress: Progress) -> None:
        curve.append((progress.step, progress.bits_per_pixel, time.process_time() - began))

    found = meter.timed(
        "design",
        lambda: maximise_information(
            twin, objects[: settings["objects"][job["problem"]]], now.noise,
            seed=job["seed"], surrogate=_surrogate(surrogate, now, objects),
            hand_made=None if is_score else {}, random_starts=0, hand_made_starts=0,
            steps=steps, rate=_of_problem(settings["rate"], job), batch=settings["batch"],
            check_every=settings["check_every"], patience=settings["patience"],
            patch=fixed["problems"][job["problem"]]["patch"],
            density=_density(settings["density"], now), watch=watch,
        ),
    )  # fmt: skip
    ascended = next((c for c in found.candidates if c.origin == "gradient"), found.best)
    return {
        "values": _listed(found.best.values),
        "ascended": _listed(ascended.values),
        "chosen": [found.best.origin, found.best.name],
        "surrogate": found.surrogate,
        "curve": curve,
        "candidates": {
            f"{c.origin}: {c.name}": {
                "choice_bits": c.choice_bits if np.isfinite(c.choice_bits) else None,
                "bits": c.estimate.bits_per_measurement if c.estimate else None,
                "refusal": c.refusal,
            }
            for c in found.candidates
        },
    }


def _of_problem(choice: Any, job: Job) -> Any:
    """Return a choice that may have been made for each problem."""
    return choice[job["problem"]] if isinstance(choice, Mapping) else choice


def _surrogate(chosen: Mapping[str, Any], now: Problem, objects: Any) -> Any:
    match chosen:
        case {"kind": "linear", "rank": rank}:
            return LinearGaussian.of(objects, rank=rank)
        case {"kind": "linear strata", "strata": strata, "rank": rank}:
            return LinearStrata.of(objects, strata=strata, rank=rank)
        case {"kind": "linear stationary"}:
            return LinearStationary.of(objects)
        case {"kind": "autoregressive", "family": family, **more}:
            more.pop("kind", None)
            return AutoregressiveSurrogate(family=_family(family, now), **more)
    raise ValueError(f"{chosen!r} is no surrogate of this protocol")


def _density(chosen: Any, now: Problem) -> Any:
    return chosen if isinstance(chosen, str) else _family(chosen, now)


def _family(settings: Mapping[str, Any], now: Problem) -> AutoregressiveMixture:
    """Return a density; of a mosaic it is told each pixel's place in the tile, not the filter.

    The places stay as they are while the filters change.
    """
    geometry = None
    if isinstance(now.twin, Colour):
        place = np.arange(now.twin.side) % PERIOD
        geometry = Geometry(classes=PERIOD * place[:, None] + place)
    return AutoregressiveMixture(**settings, geometry=geometry)


def _measured(now: Problem, objects: Any) -> tuple[int, int, int]:
    shape = jax.eval_shape(now.twin, jax.ShapeDtypeStruct((1, *objects.shape[1:]), np.float32))
    return shape.shape[1:]


def _listed(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: np.asarray(value, float).tolist() for name, value in values.items()}


KINDS = {"end_to_end": end_to_end, "unet": unet, "ideal": ideal, "score": ideal}


def main() -> int:
    """Run the job and write what it found and what it cost."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    fixed = protocol(job["entry"], is_quick=job["is_quick"])
    jax.block_until_ready(jax.numpy.zeros(1))  # the backend is not what is measured
    meter = Meter()
    found = KINDS[job["kind"]](job, fixed, meter)
    cost = meter.calls["design"][0]
    document = {**job, **found, "cost": {**cost, "baseline_mib": round(meter.baseline_mib, 1)}}
    document["load_average"] = os.getloadavg()[0]
    partial = Path(sys.argv[2] + ".partial")
    partial.write_text(json.dumps(document), encoding="utf-8")
    partial.rename(sys.argv[2])
    return 0


if __name__ == "__main__":
    sys.exit(main())
