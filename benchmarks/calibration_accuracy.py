"""Claims of issue 4 about `SensorCalibration`, against a simulated sensor of known truth.

The sensor is `tests/estimation/calibration/simulated_sensor.py`, written apart from the estimator:
gain 2.17 ADU/e-, 12 bit, offset 100, read noise of median 1.3 e- with a 2 % tail to 9 e-, PRNU 1 %,
dark current with hot pixels; 256 x 256. "Naive" is the slope of mean temporal variance on mean.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from calibration_entropy import scene_errors
from record import save

from estimation.calibration import CalibrationRefused, CalibrationResult, Defect, SensorCalibration

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "estimation" / "calibration"))
from simulated_sensor import SimulatedSensor

EXPOSURE_S = 0.01
LADDER = tuple(range(100, 1501, 100))
TRUE_GAIN = 2.17


def calibration_of(
    sensor: SimulatedSensor,
    *,
    darks: int = 100,
    means_e: Iterable[float] = LADDER,
    frames: int = 2,
    dark_exposures_s: Sequence[float] = (EXPOSURE_S,),
    **lit: Any,
) -> SensorCalibration:
    calibration = SensorCalibration(bit_depth=sensor.bit_depth)
    for time_s in dark_exposures_s:
        calibration.add(sensor.frames(darks, exposure_s=time_s), exposure_s=time_s, light=0.0)
    for mean_e in means_e:
        calibration.add(
            sensor.frames(frames, mean_e=mean_e, **lit), exposure_s=EXPOSURE_S, light=float(mean_e)
        )
    return calibration


def naive_gain(sensor: SimulatedSensor, means_e: Iterable[float], frames: int, **lit: Any) -> float:
    rows = []
    for mean_e in (0.0, *means_e):
        stack = np.stack(list(sensor.frames(frames, mean_e=mean_e, **lit))).astype(float)
        rows.append((stack.mean(), stack.var(axis=0, ddof=1).mean()))
    mean, variance = np.asarray(rows).T
    signal = mean[1:] - mean[0]
    return float(signal @ (variance[1:] - variance[0]) / (signal @ signal))


def gain_error(result: CalibrationResult) -> float:
    return result.gain / TRUE_GAIN - 1


def gain_scatter(size: int, seeds: int, darks: int, first: int = 0) -> dict[str, Any]:
    sensors = (SimulatedSensor(size=size, seed=first + seed) for seed in range(seeds))
    fits = [calibration_of(sensor, darks=darks).fit() for sensor in sensors]
    errors = np.asarray([gain_error(fit) for fit in fits])
    reported = float(np.mean([fit.gain_se / fit.gain for fit in fits]))
    scatter = float(errors.std(ddof=1))
    return {
        "darks": darks,
        "seeds": seeds,
        "worst": float(np.abs(errors).max()),
        "mean": float(errors.mean()),
        "mean_se": scatter / seeds**0.5,
        "scatter": scatter,
        "reported_se": reported,
        "reported_over_scatter": reported / scatter,
    }


def dark_maps(size: int, seeds: int) -> list[dict[str, Any]]:
    rows = []
    for seed in range(seeds):
        sensor = SimulatedSensor(size=size, seed=seed)
        calibration = calibration_of(sensor, darks=100)
        truth = sensor.offsets + TRUE_GAIN * sensor.dark_current * EXPOSURE_S
        for more, total in ((0, 100), (300, 400), (600, 1000)):
            calibration.add(sensor.frames(more), exposure_s=EXPOSURE_S, light=0.0)
            fit = calibration.fit()
            relative = fit.read_noise / sensor.read_noise - 1
            noisy = sensor.read_noise > 3
            rows.append({
                "seed": seed,
                "darks": total,
                "read_noise_rms_error": rms(relative),
                "read_noise_rms_error_noisy_pixels": rms(relative[noisy]),
                "offset_pull_sd": float(np.std((fit.offset - truth) / fit.offset_se)),
                "read_noise_pull_sd": float(
                    np.std(relative * sensor.read_noise / fit.read_noise_se)
                ),
                "dsnu_error": fit.dsnu / (truth.std(ddof=1) / TRUE_GAIN) - 1,
                "telegraph_false": int(np.count_nonzero(fit.defects & Defect.TELEGRAPH)),
            })
    return rows


def flats(size: int, seeds: int) -> list[dict[str, Any]]:
    rows = []
    for seed in range(seeds):
        sensor = SimulatedSensor(size=size, seed=seed)
        truth = sensor.responsivity / sensor.responsivity.mean()
        calibration = calibration_of(sensor, darks=400, means_e=())
        for more, total in ((16, 16), (48, 64), (192, 256)):
            calibration.add(sensor.frames(more, mean_e=900), exposure_s=EXPOSURE_S, light=1.0)
            fit = calibration.fit()
            error = fit.responsivity - truth
            rows.append({
                "seed": seed,
                "flats": total,
                "responsivity_rms_error": rms(error),
                "responsivity_pull_sd": float(np.std(error / fit.responsivity_se)),
                "prnu_error": fit.prnu / truth.std(ddof=1) - 1,
            })
    return rows


def dark_current(size: int, seeds: int) -> list[dict[str, Any]]:
    rows = []
    for seed in range(seeds):
        sensor = SimulatedSensor(size=size, seed=seed)
        times_s = (0.0, 4 / 3, 8 / 3, 4.0)
        fit = calibration_of(sensor, darks=32, dark_exposures_s=times_s).fit()
        current = required(fit.dark_current)
        usual, hot = sensor.dark_current < 5, sensor.dark_current > 5
        flagged = (fit.defects & Defect.HOT) > 0
        rows.append({
            "seed": seed,
            "rms_error_e_per_s": rms((current - sensor.dark_current)[usual]),
            "median_e_per_s": float(np.median(current)),
            "true_median_e_per_s": float(np.median(sensor.dark_current)),
            "hot": int(hot.sum()),
            "hot_missed": int((hot & ~flagged).sum()),
            "false_positive_rate": float((flagged & ~hot).mean()),
            "read_noise_median_error": float(np.median(fit.read_noise / sensor.read_noise)) - 1,
            "gain_error": gain_error(fit),
        })
    return rows


def traps(size: int, seeds: int) -> dict[str, Any]:
    """Gain errors under each trap, worst of `seeds`, beside the naive estimate's."""
    cases: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "flicker_0.5_percent_at_1500e": ({}, {"means_e": (1500,), "frames": 60, "flicker": 5e-3}),
        "drift_3e-4_a_frame": ({}, {"means_e": (500, 1000, 1500), "frames": 60, "drift": 3e-4}),
        "coupling_1_percent": ({"coupling": 0.01}, {"means_e": LADDER, "frames": 2}),
        "levels_to_saturation": ({}, {"means_e": (*LADDER, 1700, 1800, 1840, 2000), "frames": 2}),
    }
    found: dict[str, Any] = {}
    for name, (sensor, capture) in cases.items():
        fits = [
            calibration_of(SimulatedSensor(size=size, seed=s, **sensor), **capture).fit()
            for s in range(seeds)
        ]
        errors = np.asarray([gain_error(fit) for fit in fits])
        naive = [
            naive_gain(SimulatedSensor(size=size, seed=s, **sensor), **capture)
            for s in range(seeds)
        ]
        found[name] = {
            "worst": float(np.abs(errors).max()),
            "mean": float(errors.mean()),
            "scatter": float(errors.std(ddof=1)) if seeds > 1 else None,
            "reported_se": float(np.mean([fit.gain_se / fit.gain for fit in fits])),
            "naive_mean": float(np.mean(naive) / TRUE_GAIN - 1),
            "warnings": sorted({str(w.name) for fit in fits for w in fit.warnings}),
        }
    try:
        calibration_of(SimulatedSensor(size=size, offset=3.0)).fit()
        found["offset_3_adu"] = "accepted"
    except CalibrationRefused as refusal:
        found["offset_3_adu"] = f"{type(refusal).__name__}: {refusal}"
    return found


def required(found: np.ndarray | None) -> np.ndarray:
    if found is None:
        raise SystemExit("the calibration gave no dark current")
    return found


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def entropy(size: int, seeds: int) -> list[dict[str, Any]]:
    rows = []
    for seed in range(seeds):
        sensor = SimulatedSensor(size=size, seed=seed)
        fit = calibration_of(sensor, darks=400, means_e=LADDER, frames=16).fit()
        rows += [{"seed": seed, **row} for row in scene_errors(sensor, fit, seed=seed)]
    return rows


def timed(action: Callable[[], Any], name: str) -> Any:
    started_s = time.perf_counter()
    found = action()
    print(f"{name} ({time.perf_counter() - started_s:.0f} s): {found}", flush=True)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="96 x 96, one or two seeds, no record")
    quick = parser.parse_args().quick
    size, many, few = (96, 2, 1) if quick else (256, 20, 5)
    found = {
        "size": size,
        "gain_15x2": timed(lambda: gain_scatter(size, many, 100), "gain"),
        "gain_15x2_and_2_darks": timed(lambda: gain_scatter(size, many, 2), "gain, 2 darks"),
        # the scatter of 20 seeds is itself known to 16 %: 60 other seeds say more
        "gain_15x2_60_other_seeds": timed(
            lambda: gain_scatter(size, 3 * many, 100, first=20), "gain, other seeds"
        ),
        "dark_maps": timed(lambda: dark_maps(size, few), "dark maps"),
        "flats": timed(lambda: flats(size, few), "flats"),
        "dark_current": timed(lambda: dark_current(size, few), "dark current"),
        "traps": timed(lambda: traps(size, few), "traps"),
        "entropy": timed(lambda: entropy(size, few), "entropy"),
    }
    if not quick:
        print(save("calibration_accuracy", found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
