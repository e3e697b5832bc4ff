"""Claim: the self-check stays silent on an honest calibration and sees a wrong one.

A sensor of its own (`tests/estimation/calibration/simulated_sensor.py`), 256 x 256, calibrated from
100 darks and 15 x 8 flats, looks at still scenes of 1 to 300 e- with 50 % contrast. Each gives
4, 8 or 16 repeats to that calibration, to wrong ones, and to what may happen at a bench.
Model-free minus calibrated, bits/px; the alarm is at .02.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from record import save

from estimation import SensorNoise, check_repeats
from estimation.calibration import SensorCalibration

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "estimation" / "calibration"))
from simulated_sensor import SimulatedSensor

MEANS_E = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
REPEATS = (4, 8, 16)
CONTRAST = 0.5

WRONG: dict[str, Callable[[SensorNoise], SensorNoise]] = {
    "gain_5_percent_high": lambda noise: replace(noise, gain=noise.gain * 1.05),
    "gain_5_percent_low": lambda noise: replace(noise, gain=noise.gain / 1.05),
    "read_noise_10_percent_high": lambda noise: replace(noise, read_noise=noise.read_noise * 1.1),
    "read_noise_10_percent_low": lambda noise: replace(noise, read_noise=noise.read_noise / 1.1),
    "gain_of_another_mode": lambda noise: replace(noise, gain=noise.gain / 2),
}
HAPPENING: dict[str, dict[str, float]] = {
    "lamp_flicker_1_percent": {"flicker": 0.01},
    "lamp_drift_1_percent_a_frame": {"drift": 0.01},
    "black_level_drift_half_a_count_a_frame": {"black_drift_adu": 0.5},
}


def calibrated(sensor: SimulatedSensor) -> SensorNoise:
    calibration = SensorCalibration(bit_depth=sensor.bit_depth)
    calibration.add(sensor.frames(100), exposure_s=0.01, light=0.0)
    for mean_e in range(100, 1501, 100):
        calibration.add(sensor.frames(8, mean_e=mean_e), exposure_s=0.01, light=float(mean_e))
    return replace(calibration.fit().noise, responsivity=None)


def checks_of(size: int, seeds: int) -> dict[str, dict[tuple[int, float], list[Any]]]:
    found: dict[str, dict[tuple[int, float], list[Any]]] = defaultdict(lambda: defaultdict(list))
    for seed in range(seeds):
        sensor = SimulatedSensor(size=size, seed=seed)
        noise, rng = calibrated(sensor), np.random.default_rng([seed, 7])
        for repeats in REPEATS:
            for mean_e in MEANS_E:
                spread = np.sqrt(np.log(1 + CONTRAST**2))
                scene = mean_e * np.exp(spread * rng.standard_normal((size, size)) - spread**2 / 2)

                def shots(
                    sensor: Any = sensor, scene: Any = scene, count: int = repeats, **happens: float
                ) -> Any:
                    frames = sensor.frames(count, mean_e=1.0, shading=scene, **happens)
                    return np.stack(list(frames))

                counts, place = shots(), (repeats, mean_e)
                found["honest"][place].append(check_repeats(counts, noise, rng=rng))
                for name, wrong in WRONG.items():
                    found[name][place].append(check_repeats(counts, wrong(noise), rng=rng))
                for name, happens in HAPPENING.items():
                    check = check_repeats(shots(**happens), noise, rng=rng)
                    found[name][place].append(check)
                copies = np.repeat(counts[:1], repeats, axis=0)
                found["copies_of_one_frame"][place].append(check_repeats(copies, noise, rng=rng))
    return found


def row(place: tuple[int, float], checks: list[Any]) -> dict[str, Any]:
    differences = np.asarray([check.difference_bits for check in checks])
    return {
        "repeats": place[0],
        "mean_e": place[1],
        "mean_difference": float(differences.mean()),
        "scatter": float(differences.std(ddof=1)) if len(checks) > 1 else None,
        "reported_se": float(np.mean([check.standard_error for check in checks])),
        "alarms": sum(check.is_alarm for check in checks),
        "checks": len(checks),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="96 x 96, one seed, no record")
    quick = parser.parse_args().quick
    size, seeds = (96, 1) if quick else (256, 20)
    found = checks_of(size, seeds)
    rows = {
        name: [row(place, cs) for place, cs in places.items()] for name, places in found.items()
    }
    honest = [check for checks in found["honest"].values() for check in checks]
    summary = {
        "size": size,
        "honest_checks": len(honest),
        "honest_alarms": sum(check.is_alarm for check in honest),
        "honest_worst_difference": max(abs(check.difference_bits) for check in honest),
        "honest_worst_mean_difference": max(abs(r["mean_difference"]) for r in rows["honest"]),
        "share_of_alarms": {
            name: {
                f"{mean_e:g} e-": float(
                    np.mean([
                        check.is_alarm
                        for place, checks in places.items()
                        if place[1] == mean_e
                        for check in checks
                    ])
                )
                for mean_e in MEANS_E
            }
            for name, places in found.items()
        },
    }
    for name, value in summary.items():
        print(f"{name}: {value}")
    if not quick:
        print(save("self_check", {**summary, "rows": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
