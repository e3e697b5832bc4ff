"""Claim: `SensorCalibration` agrees with the PyPI package `emva1288` where that gives a number.

The same frames go to both: 30 levels of two frames past saturation at one exposure, and 64 darks
and 64 flats at half of saturation, from the simulated sensor of the tests. `emva1288` is GPL and
is only run, in a Python of its own (1.0.2 needs what NumPy 2 removed):
`python -m venv VENV && VENV/bin/pip install emva1288 "numpy<2"`, then
`python benchmarks/calibration_emva1288.py --emva-python VENV/bin/python`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from record import save

from estimation.calibration import SensorCalibration

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "estimation" / "calibration"))
from simulated_sensor import SimulatedSensor

EXPOSURE_S = 0.01
LEVELS_E = tuple(np.linspace(65, 1950, 30).round().tolist())
HALF_E = 900.0
STACK = 64

EMVA_SCRIPT = """
import json, logging, sys
import numpy as np
logging.disable(logging.CRITICAL)
from emva1288.process import Data1288, LoadImageData, Results1288
images = json.load(open(sys.argv[1]))
images = {kind: {float(t): {float(p): names for p, names in levels.items()}
          for t, levels in times.items()} for kind, times in images.items()}
data = Data1288(LoadImageData(images, fload=np.load, loglevel=50).data, loglevel=50)
r = Results1288(data.data, loglevel=50)
print(json.dumps({"gain": float(r.K), "dark_noise_e": float(r.sigma_d), "dsnu_e": float(r.DSNU1288),
    "prnu": float(r.PRNU1288) / 100, "saturation_e": float(r.u_e_sat), "dynamic_range": float(r.DR),
    "linearity_error": max(abs(float(r.LE_min)), abs(float(r.LE_max))) / 100}))
"""


def capture(sensor: SimulatedSensor) -> dict[tuple[str, float], list[np.ndarray]]:
    """Return the frames of each (kind, mean electrons), kinds as `emva1288` names them."""
    found = {("temporal", e): list(sensor.frames(2, mean_e=e)) for e in (0.0, *LEVELS_E)}
    return found | {("spatial", e): list(sensor.frames(STACK, mean_e=e)) for e in (0.0, HALF_E)}


def of_emva(frames: dict[tuple[str, float], list[np.ndarray]], python: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        images: dict[str, Any] = {"temporal": {"1": {}}, "spatial": {"1": {}}}
        for (kind, mean_e), stack in frames.items():
            names = [str(Path(folder) / f"{kind}_{mean_e}_{i}.npy") for i in range(len(stack))]
            for name, frame in zip(names, stack, strict=True):
                np.save(name, frame)
            images[kind]["1"][str(mean_e)] = names
        listing = Path(folder) / "images.json"
        listing.write_text(json.dumps(images))
        command = [python, "-c", EMVA_SCRIPT, str(listing)]
        finished = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(finished.stdout.strip().splitlines()[-1])


def of_infoloop(frames: dict[tuple[str, float], list[np.ndarray]]) -> dict[str, float | None]:
    calibration = SensorCalibration(bit_depth=12)
    for (_, mean_e), stack in frames.items():
        calibration.add(stack, exposure_s=EXPOSURE_S, light=mean_e)
    fit = calibration.fit()
    usable = ~fit.noise.defects
    saturation_e = (fit.saturation or np.nan) - float(fit.offset[usable].mean())
    return {
        "gain": fit.gain,
        "gain_se": fit.gain_se,
        "dark_noise_e": float(np.sqrt(np.mean(fit.read_noise[usable] ** 2))),
        "dsnu_e": fit.dsnu,
        "prnu": fit.prnu,
        "saturation_e": saturation_e / fit.gain,
        "dynamic_range": fit.dynamic_range,
        "linearity_error": fit.linearity_error,
    }


def truth_of(sensor: SimulatedSensor) -> dict[str, float]:
    dark_e = sensor.dark_current * EXPOSURE_S
    offsets_e = sensor.offsets / sensor.gain + dark_e
    noise_e = float(np.sqrt(np.mean(sensor.read_noise**2 + dark_e)))
    saturation_e = (2**sensor.bit_depth - 1) / sensor.gain - float(offsets_e.mean())
    rounding_e2 = 1 / 12 / sensor.gain**2
    return {
        "gain": sensor.gain,
        "dark_noise_e": noise_e,
        "dsnu_e": float(offsets_e.std(ddof=1)),
        "prnu": float(sensor.responsivity.std(ddof=1) / sensor.responsivity.mean()),
        "saturation_e": saturation_e,
        "dynamic_range": saturation_e / (np.sqrt(noise_e**2 + rounding_e2) + 0.5),
        "linearity_error": 0.0,
    }


def summary(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return rms relative error of each scalar (of linearity, the rms value) for both."""
    found: dict[str, dict[str, float]] = {}
    for name in rows[0]["truth"]:
        for who in ("infoloop", "emva1288"):
            truth = np.asarray([row["truth"][name] for row in rows])
            error = np.asarray([row[who][name] for row in rows]) - truth
            relative = error if name == "linearity_error" else error / truth
            found.setdefault(name, {})[who] = float(np.sqrt(np.mean(relative**2)))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--emva-python", required=True, help="a Python with emva1288 installed")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--quick", action="store_true", help="96 x 96, one seed, no record")
    options = parser.parse_args()
    rows = []
    for seed in range(1 if options.quick else options.seeds):
        sensor = SimulatedSensor(size=96 if options.quick else 256, seed=seed)
        frames = capture(sensor)
        rows.append({
            "seed": seed,
            "truth": truth_of(sensor),
            "infoloop": of_infoloop(frames),
            "emva1288": of_emva(frames, options.emva_python),
        })
    rms = summary(rows)
    print(json.dumps(rms, indent=2), json.dumps(rows[0], indent=2))
    if not options.quick:
        print(save("calibration_emva1288", {"rms_relative_error": rms, "seeds": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
