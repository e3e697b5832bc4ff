"""From a batch to a number: the calibrated noise and the estimator, as the bench file asks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import UInt16

from estimation import CalibrationMismatch, InfraredNoise, SensorNoise
from estimation.density import Density
from estimation.information import DensityName
from instrument.bench.bench import Bench
from instrument.bench.camera_mode import CameraMode, camera_mode
from instrument.campaign.count_noise import GaussianCounts
from instrument.campaign.estimating import (
    BenchNoise,
    Score,
    ScoreSettings,
    as_plain,
    noise_at,
    score_counts,
)
from instrument.config import (
    Config,
    ExposureParameter,
    NoiseCalibrate,
    NoiseConfig,
    NoiseFile,
    NoiseNumbers,
    NoiseOfCounts,
    NoiseOfThermalCamera,
)

__all__ = [
    "NOISE_FILE",
    "BenchNoise",
    "Score",
    "ScoreSettings",
    "as_plain",
    "calibrated_temperatures_c",
    "check_calibratable",
    "expected_black_adu",
    "exposures_of",
    "load_noise",
    "noise_at",
    "score_batch",
    "score_counts",
    "score_settings",
]

NOISE_FILE = "noise.npz"


def load_noise(config: Config, bench: Bench, run_dir: Path) -> BenchNoise:
    """Noise from a calibration or a data sheet, refused if it is another camera's.

    Parameters
    ----------
    config
        The bench file.
    bench
        Connected: its camera and exposures must be those of the calibration.
    run_dir
        Where `noise: {calibrate: ...}` left its file.

    Raises
    ------
    CalibrationMismatch
        The calibration was made with another camera or mode, or does not cover the exposures that
        the run may use.
    """
    mode = camera_mode(bench)
    noise = noise_of(config.noise, run_dir, mode)
    if isinstance(config.noise, NoiseFile | NoiseCalibrate) and isinstance(noise, SensorNoise):
        for exposure_ms in exposures_of(config) or (mode.exposure_ms,):
            noise.check_key(mode.identity(exposure_ms=exposure_ms))
    return noise


def noise_of(asked: NoiseConfig, run_dir: Path, mode: CameraMode) -> BenchNoise:
    """Return the noise that a `noise` section names, for frames of one camera; check no key.

    Parameters
    ----------
    asked
        The section.
    run_dir
        Where `noise: {calibrate: ...}` left its file.
    mode
        Of the camera: its bit depth where the section has none, and its working exposure.

    Raises
    ------
    InvalidCalibration
        The file is no calibration.
    OSError
        The file cannot be read.
    """
    match asked:
        case NoiseNumbers() as numbers:
            return SensorNoise(
                gain=numbers.gain,
                offset=numbers.offset,
                read_noise=numbers.read_noise,
                bit_depth=numbers.bit_depth or mode.bit_depth,
            )
        case NoiseOfThermalCamera() as thermal:
            return InfraredNoise(**thermal.model_dump())
        case NoiseOfCounts(sigma_adu=sigma_adu, offset=offset):
            return GaussianCounts(sigma_adu=sigma_adu, offset=offset, bit_depth=mode.bit_depth)
        case NoiseFile(file=file):
            path = file
        case NoiseCalibrate():
            path = run_dir / NOISE_FILE
    return SensorNoise.load(path).at_exposure(mode.exposure_ms)


def calibrated_temperatures_c(noise: BenchNoise) -> tuple[float, float] | None:
    """Lowest and highest temperature of the sensor that its calibration is for, or None."""
    found = noise.key.get("temperature_c_range") if isinstance(noise, SensorNoise) else None
    return None if found is None else (float(found[0]), float(found[1]))


def exposures_of(config: Config) -> tuple[float, ...]:
    """Return the shortest and the longest exposure that a design may ask for; empty without."""
    return tuple(
        exposure_ms
        for parameter in config.design.values()
        if isinstance(parameter, ExposureParameter)
        for exposure_ms in parameter.bounds_ms
    )


def check_calibratable(config: Config, *, longest_factor: float) -> None:
    """Refuse, before the minutes it takes, a calibration that would not cover the exposures.

    Parameters
    ----------
    config
        The bench file.
    longest_factor
        Longest dark exposure of the calibration, in working exposures.

    Raises
    ------
    CalibrationMismatch
        With the exposures that it would cover.
    """
    for name, parameter in config.design.items():
        if isinstance(parameter, ExposureParameter):
            working_ms = config.bench.roles[parameter.role].exposure_ms  # pyright: ignore[reportAttributeAccessIssue] - a camera's
            longest_ms = longest_factor * working_ms
            if parameter.bounds_ms[1] > longest_ms:
                raise CalibrationMismatch(
                    f"`design.{name}.bounds_ms` ends at {parameter.bounds_ms[1]:g} ms, this "
                    f"calibration would know the dark signal up to {longest_ms:g} ms; lower the "
                    "bound, use calibrate: full, or give the noise as numbers"
                )


def expected_black_adu(noise: BenchNoise) -> float:
    """Mean count of a dark frame: the offset and what the dark current adds."""
    dark_e = 0.0
    if isinstance(noise, SensorNoise) and noise.exposure_ms is not None:
        dark_e = float(np.mean(noise.dark_electrons))
    gain = 1.0 if isinstance(noise, GaussianCounts) else float(np.mean(noise.gain))
    return float(np.mean(noise.offset)) + gain * dark_e


def score_settings(config: Config) -> ScoreSettings:
    """Return what the bench file says of scores."""
    return ScoreSettings(
        patch=config.score.patch,
        seed=config.search.seed,
        objective=config.score.objective,
    )


def score_batch(
    counts: UInt16[np.ndarray, "objects shots height width"],
    noise: BenchNoise,
    config: Config,
    *,
    density: DensityName | Density,
) -> Score:
    """Estimate the information of a batch; see `ScoreSettings.score`.

    Raises
    ------
    estimation.EstimationError
        The batch does not support a score; says why.
    """
    return score_settings(config).score(counts, noise, density=density)
