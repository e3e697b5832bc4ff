"""Densities: models of p(frames) whose negative log-likelihood bounds the entropy of frames."""

from estimation.density.autoregressive import AutoregressiveMixture, FittedAutoregressive
from estimation.density.crossfit import cross_fit
from estimation.density.gaussian import FullGaussian
from estimation.density.geometry import Geometry
from estimation.density.protocol import (
    Density,
    DensityScore,
    FittedDensity,
    SelfScoring,
    lowest,
)
from estimation.density.stationary import StationaryGaussian

__all__ = [
    "AutoregressiveMixture",
    "Density",
    "DensityScore",
    "FittedAutoregressive",
    "FittedDensity",
    "FullGaussian",
    "Geometry",
    "SelfScoring",
    "StationaryGaussian",
    "cross_fit",
    "lowest",
]
