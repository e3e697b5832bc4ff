"""Claim: `infoloop calibrate` recovers the virtual bench's sensor within the errors it states.

Both protocols on `configs/demo.yaml`, through the bench's own Micro-Manager core and VISA light;
the truth is what the virtual sensor was drawn with. Says how long each takes, and what it warns of.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from record import save

from drivers.virtual.bench import VirtualBench
from drivers.virtual.options import PupilMicroscopeOptions
from drivers.virtual.sensor import VirtualSensor
from instrument.campaign.calibrate import Calibration, calibrate_bench
from instrument.config import load_config
from instrument.faces.calibration_report import write_calibration_report

CASES = [("quick", 1), ("quick", 2), ("quick", 3), ("full", 1)]


def sensor_of(seed: int) -> VirtualSensor:
    bench = VirtualBench(PupilMicroscopeOptions(seed=seed))
    try:
        return bench.world.sensor
    finally:
        bench.close()


def against_truth(done: Calibration, truth: VirtualSensor) -> dict[str, Any]:
    result, used = done.result, ~done.noise.defects
    ratio = result.read_noise / truth.read_noise_e
    usual = used & (truth.read_noise_e < 2.5)
    gain_error = result.gain / truth.gain_adu_per_e - 1
    return {
        "gain_error": gain_error,
        "gain_error_over_se": gain_error * truth.gain_adu_per_e / result.gain_se,
        "gain_relative_se": result.gain_se / result.gain,
        "read_noise_rms_error": float(np.sqrt(np.mean(np.square(ratio[used] - 1)))),
        "read_noise_mean_error": float(ratio[usual].mean()) - 1,
        "read_noise_pull_sd": float(
            np.std(((result.read_noise - truth.read_noise_e) / result.read_noise_se)[used])
        ),
        "offset_pull_sd": float(np.std((result.offset - truth.offset_adu) / result.offset_se)),
        "saturation_adu": result.saturation,
        "true_saturation_adu": truth.saturation_adu,
        "dynamic_range": result.dynamic_range,
        "pixels_masked": int(np.count_nonzero(~used)),
        "warnings": {str(warning.name): warning.sentence for warning in result.warnings},
    }


def measure(protocol: str, seed: int) -> dict[str, Any]:
    config = load_config(Path("demo.yaml"), seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "camera.npz"
        started_s = time.perf_counter()
        done = calibrate_bench(config, output, protocol=protocol, on_level=lambda *_: None)
        seconds = time.perf_counter() - started_s
        report = write_calibration_report(done.result, Path(folder) / "report.html", meta={})
        report_bytes = report.stat().st_size
    return {
        "protocol": protocol,
        "seed": seed,
        "seconds": seconds,
        "report_bytes": report_bytes,
        "unsafe": [str(failure) for failure in done.unsafe],
        **against_truth(done, sensor_of(seed)),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the quick protocol, no record")
    quick = parser.parse_args().quick
    runs = [measure(name, seed) for name, seed in ([("quick", 1)] if quick else CASES)]
    for run in runs:
        print(run, flush=True)
    if not quick:
        print(save("calibration_protocols", {"runs": runs}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
