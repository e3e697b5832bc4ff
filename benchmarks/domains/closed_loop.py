"""Claim: a bench file and no gradient reach 95 % of what gradient design reaches on the twin.

One design of every domain, found twice: by IDEAL with all the freedom that the twin has (for the
radio array: by trying all choices), and by `infoloop run` on the virtual bench through the real
Micro-Manager core, from a start that favours nothing. Both are then scored by the same estimator on
the same fresh objects and noise of the twin.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.domains.common import protocol, seconds
from benchmarks.record import RESULTS, save
from drivers.virtual import objects as make
from drivers.virtual import twins
from drivers.virtual.samples import sample_map
from drivers.virtual.worlds import colour, infrared, interferometer, lensless, phase, pupil
from drivers.virtual.worlds import tomography as scanner
from estimation import GaussianNoise, InfraredNoise, SensorNoise, estimate_information
from estimation.ideal import LinearGaussian, maximise_information
from estimation.ideal.design import expected_electrons
from instrument.bench.patterns import render_patterns
from instrument.campaign.ledger import Ledger
from instrument.config import Config, parse_config
from instrument.design import Design

CONFIGS = Path(__file__).parents[2] / "configs"


def options_of(config: Config) -> Any:
    """Return the options of the virtual bench, whichever it is."""
    return config.bench.micromanager


@dataclass(frozen=True, slots=True)
class Found:
    """What a run on the virtual bench came to."""

    config: Config
    design: Design
    meta: dict[str, Any]
    record: dict[str, Any]

    @property
    def options(self) -> Any:
        """Options of the virtual bench."""
        return options_of(self.config)

    def pattern(self, role: str) -> np.ndarray:
        """Grey levels that a modulator shows."""
        return render_patterns(self.meta, self.design)[role]


@dataclass(frozen=True, slots=True)
class Domain:
    """How a domain is compared: twin with all its freedom, objects, the loop's design as a twin."""

    full: Callable[[Config], Any]
    objects: Callable[[Config, int, np.random.Generator], np.ndarray]
    looped: Callable[[Found, Any], Any]
    noise: Callable[[Config], Any]
    is_linear: bool = False


def run_loop(path: Path, overrides: list[str], *, seed: int, folder: Path) -> Found:
    """Run the command itself, as a person does, and read its record."""
    run_dir = folder / path.stem
    changes = [part for override in overrides for part in ("--set", override)]
    command = ["infoloop", "run", str(path), "--seed", str(seed), "--output", str(run_dir)]
    started_s = time.perf_counter()
    finished = subprocess.run(
        [*command, *changes, "--json", "--quiet"], stdout=subprocess.PIPE, text=True, check=True
    )
    wall_s = time.perf_counter() - started_s
    summary = json.loads(finished.stdout)
    best = summary["best"]
    with Ledger.read(run_dir) as ledger:
        meta, trials = ledger.meta(), list(ledger.trials())
    config = parse_config(meta["config"], source=str(run_dir), folder=run_dir)
    design = Design({name: tuple(values) for name, values in best["design"].items()})
    record = {
        "engine": config.search.engine,
        "trials": len(trials),
        "failed_trials": sum(row.state == "failed" for row in trials),
        "frames": sum(r.record["objects"] * r.record["shots"] for r in trials if r.record),
        "loop_seconds": round(wall_s, 1),
        "start_bits_per_pixel_on_the_bench": summary["initial_bits_per_pixel"],
        "confirmed_bits_per_pixel_on_the_bench": best["bits_per_pixel"],
        "self_checks": [check.get("is_alarm") for check in summary["self_checks"]],
        "design": best["design"],
    }
    return Found(config, design, meta, record)


def sensor(config: Config) -> SensorNoise:
    return SensorNoise(**config.noise.model_dump())


def pupil_objects(_: Config, count: int, rng: np.random.Generator) -> np.ndarray:
    """Cut fields of 64 pixels from one sample map of the bench's kind."""
    sample = sample_map("texture", pupil.SAMPLE_SIDE, rng=rng)
    places = rng.integers(0, pupil.SAMPLE_SIDE - 64, (count, 2))
    return np.stack([sample[y : y + 64, x : x + 64] for y, x in places]).astype(float)


def pupil_twin(config: Config) -> twins.AdaptivePupil:
    """Return the twin with the hidden aberration and the light of this run's bench."""
    options = options_of(config)
    world = pupil.PupilWorld(
        seed=config.search.seed,
        sample=options.sample,
        fill=options.fill,
        aberration_rms_rad=options.aberration_rms_rad,
        optical_power_mw=lambda: 0.0,
    )
    light = pupil.ELECTRONS_PER_MW_MS * 10.0 * 10.0  # the bench file's level and exposure
    return twins.AdaptivePupil(
        aberration_rad=np.asarray(world.twin.aberration_rad, float),
        electrons=light * (1 - pupil.STRAY_FRACTION),
        background_e=light * pupil.STRAY_FRACTION + pupil.BACKGROUND_E_PER_MS * 10.0,
    )


def tomography_twin(config: Config) -> twins.Tomography:
    options = options_of(config)
    return twins.Tomography(dose_e=options.photons_per_ms * config.shots, side=24, views=12)


DOMAINS: dict[str, Domain] = {
    "lensless": Domain(
        full=lambda _: twins.Lensless(
            np.random.default_rng(0).uniform(-8, 8, (5, 2)),
            electrons=100.0,
            background_e=lensless.BACKGROUND_E,
            field=lensless.FIELD,
            side=lensless.SIDE,
            smallest_sigma_px=lensless.SIGMA_PX,
            reach_px=lensless.REACH_PX,
        ),
        objects=lambda config, count, rng: lensless.objects_of(options_of(config), count, rng=rng),
        looped=lambda found, _: lensless.twin_of(found.options).with_values({
            "weights": lensless.shares_of(found.pattern("mask"), found.options.cells)
        }),
        noise=sensor,
    ),
    "colour": Domain(
        full=lambda _: twins.Colour(np.random.default_rng(0).uniform(-1, 1, (8, 8, 4)), side=32),
        objects=lambda config, count, rng: make.colour_photographs(
            count,
            32,
            rng=rng,
            is_chroma_independent=options_of(config).is_chroma_independent,
        ),
        looped=lambda found, twin: twin.with_values({
            "preference": colour.preference_of_filters(found.pattern("mosaic"))
        }),
        noise=sensor,
    ),
    "infrared": Domain(
        full=lambda _: twins.Infrared(),
        objects=lambda _, count, rng: make.thermal_scenes(count, 32, rng=rng),
        looped=lambda found, twin: twin.with_values({
            "f_number": found.design.values["f_number"][0],
            "cubic_waves": found.design.values["cubic"][0],
            "time_ms": found.design.values["integration"][0],
        }),
        noise=lambda _: InfraredNoise(**infrared.SENSOR),
    ),
    "tomography": Domain(
        full=tomography_twin,
        objects=lambda _, count, rng: make.ellipses(count, scanner.SIDE, rng=rng),
        looped=lambda found, twin: twins.Tomography(
            np.deg2rad(found.design.values["directions"]),
            dose_e=float(twin.dose_e),
            side=scanner.SIDE,
        ),
        noise=sensor,
    ),
    "phase": Domain(
        full=lambda config: twins.PhaseContrast(
            dose_e=options_of(config).electrons_per_ms,
            exposure=options_of(config).exposure,
        ),
        objects=lambda _, count, rng: make.cells(count, phase.FIELD, rng=rng)[0],
        looped=lambda found, twin: twin.with_values({
            "sources": phase.drives_of(found.pattern("leds"))[None],
            "defocus_rad": phase.DEFOCUS_RAD_PER_UM * found.design.values["focus"][0],
        }),
        noise=sensor,
        is_linear=True,
    ),
    "pupil_microscope": Domain(
        full=pupil_twin,
        objects=pupil_objects,
        looped=lambda found, twin: twin.with_values({
            "modes_rad": found.design.values["pupil"],
            "focus_um": found.design.values["focus"][0],
        }),
        noise=lambda _: SensorNoise(gain=2.17, offset=100.0, read_noise=1.3, bit_depth=12),
    ),
}


def bits_of(twin: Any, objects: np.ndarray, noise: Any, *, patch: Any, seed: int) -> float:
    expected = expected_electrons(twin, objects)
    values = noise.sample(expected, np.random.default_rng(seed))
    return estimate_information(
        values, noise, density="gaussian", patch=patch, seed=seed, expected=expected
    ).bits_per_measurement


def by_gradient(
    domain: Domain, found: Found, settings: dict[str, Any], *, seed: int, patch: Any
) -> tuple[Any, dict[str, Any]]:
    rng = np.random.default_rng(seed)
    objects = domain.objects(found.config, settings["objects"], rng)
    with seconds() as taken:
        ideal = maximise_information(
            domain.full(found.config),
            objects,
            domain.noise(found.config),
            seed=seed,
            surrogate=LinearGaussian.of(objects, rank=512) if domain.is_linear else "gaussian",
            steps=settings["steps"],
            random_starts=settings["random_starts"],
            hand_made_starts=settings["hand_made_starts"],
            batch=settings["batch"],
            density="gaussian",
            patch=patch,
        )
    best = ideal.best
    return ideal.twin, {"ideal": taken, "ideal_from": f"{best.name}, {best.origin}"}


def by_trying_all(
    found: Found, objects: np.ndarray, *, seed: int
) -> tuple[float, float, dict[str, Any]]:
    """Return bits of the loop's stations and of the best of all choices, on the same objects."""
    everybody = twins.Interferometer(count=found.options.stations, side=interferometer.SIDE)
    names = list(everybody.hand_made())
    noise = GaussianNoise(1.0)
    with seconds() as taken:
        bits = [
            bits_of(
                everybody.with_stations_chosen(name.split("+")), objects, noise, patch=64, seed=seed
            )
            for name in names
        ]
    chosen = int(found.design.values["stations"][0])
    record = {
        "exhaustive": taken,
        "loop_stations": names[chosen],
        "best_stations": names[int(np.argmax(bits))],
        "loop_rank": sorted(bits, reverse=True).index(bits[chosen]) + 1,
    }
    return bits[chosen], max(bits), record


def compare(name: str, fixed: dict[str, Any], *, folder: Path, is_quick: bool) -> dict[str, Any]:
    settings, seeds = fixed["domains"][name], fixed["seeds"]
    trials, engine = settings["trials"], settings["engine"]
    if is_quick:
        trials, engine = trials // 4, "tpe" if engine == "exhaustive" else engine
        settings = {**settings, "steps": 10, "random_starts": 0}
    overrides = [f"search.engine={engine}", f"search.trials={trials}"]
    found = run_loop(CONFIGS / settings["config"], overrides, seed=seeds["loop"], folder=folder)
    fresh = np.random.default_rng(seeds["objects"])
    if name == "interferometer":
        images = interferometer.objects_of(found.options, settings["score_objects"], rng=fresh)
        loop_bits, ideal_bits, record = by_trying_all(found, images, seed=seeds["noise"])
    else:
        domain, patch = DOMAINS[name], found.config.score.patch
        twin, record = by_gradient(domain, found, settings, seed=seeds["ideal"], patch=patch)
        objects = domain.objects(found.config, settings["score_objects"], fresh)
        noise = domain.noise(found.config)
        looped = domain.looped(found, twin)
        loop_bits, ideal_bits = (
            bits_of(made, objects, noise, patch=patch, seed=seeds["noise"])
            for made in (looped, twin)
        )
        record["ideal_values"] = {
            key: np.round(np.asarray(value), 4).tolist()
            for key, value in twin.values().items()
            if np.size(value) <= 32
        }
    return {
        **found.record,
        "loop_bits_per_measurement": loop_bits,
        "ideal_bits_per_measurement": ideal_bits,
        "ratio": loop_bits / ideal_bits,
        **record,
    }


def keep(entry: str, name: str, row: dict[str, Any], fixed: dict[str, Any]) -> Path:
    """Write a domain into an entry's record, beside those measured under the same protocol."""
    kept = {k: v for k, v in fixed.items() if k != "settings"}
    file = RESULTS / f"domain_{entry}.json"
    earlier = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    same = earlier.get("protocol") == kept
    rows = {**(earlier["domains"] if same else {}), name: row}
    worst = min(each["ratio"] for each in rows.values())
    return save(f"domain_{entry}", {"protocol": kept, "worst_ratio": worst, "domains": rows})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few trials and steps, no record")
    parser.add_argument("--only", nargs="+", help="some domains; the record keeps the others")
    parser.add_argument("--entry", default="closed_loop", help="of the protocol")
    asked = parser.parse_args()
    fixed = protocol(asked.entry, is_quick=asked.quick)
    with tempfile.TemporaryDirectory() as folder:
        for name in asked.only or fixed["domains"]:
            row = compare(name, fixed, folder=Path(folder), is_quick=asked.quick)
            print(name, row, flush=True)
            if not asked.quick:
                print(keep(asked.entry, name, row, fixed), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
