"""Noise models: from a count to the entropy that noise alone put into it."""

from estimation.noise.infrared import InfraredNoise
from estimation.noise.protocol import CalibratedNoise, FixedPattern, NoiseModel, SimulatedNoise
from estimation.noise.sensor import SensorNoise
from estimation.noise.simple import GaussianNoise, PoissonNoise

__all__ = [
    "CalibratedNoise",
    "FixedPattern",
    "GaussianNoise",
    "InfraredNoise",
    "NoiseModel",
    "PoissonNoise",
    "SensorNoise",
    "SimulatedNoise",
]
