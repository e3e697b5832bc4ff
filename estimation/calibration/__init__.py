"""Calibrate a camera's noise: gain, offset, read noise, responsivity, dark current, defects."""

from estimation.calibration.errors import (
    AutomaticGain,
    CalibrationRefused,
    CodesMissing,
    GainNotFound,
    NoDarks,
    NoUsableLevels,
    OffsetTooLow,
)
from estimation.calibration.findings import CalibrationWarning, Defect, Finding
from estimation.calibration.photon_transfer import Point
from estimation.calibration.result import CalibrationResult
from estimation.calibration.session import SensorCalibration

__all__ = [
    "AutomaticGain",
    "CalibrationRefused",
    "CalibrationResult",
    "CalibrationWarning",
    "CodesMissing",
    "Defect",
    "Finding",
    "GainNotFound",
    "NoDarks",
    "NoUsableLevels",
    "OffsetTooLow",
    "Point",
    "SensorCalibration",
]
