"""The `noise` section: where the noise of the frames is known from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, Tag

from instrument.config._section import Finite, Positive, Section, either


class NoiseNumbers(Section):
    """Noise of the sensor from its data sheet: gain in ADU/e-, offset in ADU, read noise in e-."""

    gain: Positive
    offset: Finite
    read_noise: Positive
    bit_depth: int | None = Field(default=None, ge=1, le=16)


class NoiseFile(Section):
    """Noise of the sensor from a calibration file (`.npz`)."""

    file: Path


class NoiseCalibrate(Section):
    """Calibrate the sensor on the bench before the first trial: `quick` (a minute) or `full`."""

    calibrate: Literal["quick", "full"]


class NoiseOfThermalCamera(Section):
    """A bright thermal camera: `residual_pattern` is what its two-point correction leaves.

    Gain in ADU/e-, offset in ADU, read noise in e- rms, the pattern relative to the signal.
    """

    gain: Positive
    offset: Finite
    read_noise: Positive
    residual_pattern: float = Field(ge=0, le=0.1)
    bit_depth: int = Field(default=14, ge=1, le=32)


class NoiseOfCounts(Section):
    """Additive Gaussian noise of one size on counts (the outputs of a correlator, say), in ADU.

    `offset` is the count that stands for zero. Below one count rounding is no longer part of the
    noise but hides it, so that no entropy follows from `sigma_adu`.
    """

    sigma_adu: float = Field(ge=1, allow_inf_nan=False)
    offset: Finite = 0.0


class NoiseOfPhotons(Section):
    """Ideal photon counting, for twins: shot noise and nothing else."""

    photons: Literal["counted"]


class NoiseOfOneSigma(Section):
    """Additive Gaussian noise, for twins, in the units of their values."""

    sigma: Positive


NoiseConfig = Annotated[
    Annotated[NoiseNumbers, Tag("numbers")]
    | Annotated[NoiseFile, Tag("file")]
    | Annotated[NoiseCalibrate, Tag("calibrate")]
    | Annotated[NoiseOfThermalCamera, Tag("thermal")]
    | Annotated[NoiseOfCounts, Tag("counts")],
    either(
        {
            "file": "file",
            "calibrate": "calibrate",
            "residual_pattern": "thermal",
            "sigma_adu": "counts",
        },
        "numbers",
    ),
]
"""Of a bench."""

TwinNoise = Annotated[
    Annotated[NoiseNumbers, Tag("numbers")]
    | Annotated[NoiseFile, Tag("file")]
    | Annotated[NoiseOfPhotons, Tag("photons")]
    | Annotated[NoiseOfOneSigma, Tag("sigma")]
    | Annotated[NoiseOfThermalCamera, Tag("thermal")],
    either(
        {"file": "file", "photons": "photons", "sigma": "sigma", "residual_pattern": "thermal"},
        "numbers",
    ),
]
"""Of a twin."""
