"""The simulated sensor, for all tests of calibration."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location(
    "simulated_sensor", Path(__file__).parent / "simulated_sensor.py"
)
_module = importlib.util.module_from_spec(_spec)
sys.modules["simulated_sensor"] = _module
_spec.loader.exec_module(_module)


@pytest.fixture
def make_sensor():
    def make(**changes):
        return _module.SimulatedSensor(**{"size": 96, **changes})

    return make


@pytest.fixture
def calibrate():
    """Add `darks` darks and a ladder of lit levels, mean electrons from `means_e`, then return."""
    from estimation.calibration import SensorCalibration

    def run(sensor, *, darks=100, means_e=range(100, 1501, 100), frames=2, **lit):
        calibration = SensorCalibration(bit_depth=sensor.bit_depth)
        calibration.add(sensor.frames(darks), exposure_s=0.01, light=0.0)
        for mean_e in means_e:
            calibration.add(
                sensor.frames(frames, mean_e=mean_e, **lit), exposure_s=0.01, light=float(mean_e)
            )
        return calibration

    return run
