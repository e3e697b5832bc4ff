"""Frames in, bits out: how much a batch of raw frames says about the objects it shows.

>>> import numpy as np
>>> from estimation import SensorNoise, estimate_information
>>> noise = SensorNoise(gain=2.17, offset=100.0, read_noise=1.4, bit_depth=12)
>>> rng = np.random.default_rng(0)
>>> brightness = rng.uniform(50.0, 500.0, size=(200, 1, 1)) * np.ones((8, 8))
>>> counts = noise.sample(brightness, rng)
>>> estimate = estimate_information(counts, noise, density="gaussian", patch=4)
>>> 0.1 < estimate.bits_per_pixel < 1.0
True
"""

from estimation.calibration import CalibrationRefused, CalibrationResult, SensorCalibration
from estimation.comparison import DesignComparison, compare_designs
from estimation.decoder import LowerBound, decoder_lower_bound
from estimation.density import (
    AutoregressiveMixture,
    Density,
    DensityScore,
    FittedDensity,
    FullGaussian,
    Geometry,
    StationaryGaussian,
)
from estimation.ensemble import Ensemble
from estimation.errors import (
    CalibrationMismatch,
    EstimationError,
    InvalidCalibration,
    InvalidMeasurements,
    NotFinite,
    SaturatedMeasurements,
    TooFewObjects,
)
from estimation.estimate import InformationEstimate
from estimation.information import estimate_information
from estimation.noise import GaussianNoise, InfraredNoise, NoiseModel, PoissonNoise, SensorNoise
from estimation.self_check import SelfCheck, check_repeats

__all__ = [
    "AutoregressiveMixture",
    "CalibrationMismatch",
    "CalibrationRefused",
    "CalibrationResult",
    "Density",
    "DensityScore",
    "DesignComparison",
    "Ensemble",
    "EstimationError",
    "FittedDensity",
    "FullGaussian",
    "GaussianNoise",
    "Geometry",
    "InformationEstimate",
    "InfraredNoise",
    "InvalidCalibration",
    "InvalidMeasurements",
    "LowerBound",
    "NoiseModel",
    "NotFinite",
    "PoissonNoise",
    "SaturatedMeasurements",
    "SelfCheck",
    "SensorCalibration",
    "SensorNoise",
    "StationaryGaussian",
    "TooFewObjects",
    "check_repeats",
    "compare_designs",
    "decoder_lower_bound",
    "estimate_information",
]
