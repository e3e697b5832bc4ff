"""From a batch to a number: the calibrated noise and the estimator, as the bench file asks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt16

from estimation import (
    CalibrationMismatch,
    InformationEstimate,
    InfraredNoise,
    SensorNoise,
    estimate_information,
)
from estimation.information import DensityName
from instrument.bench.bench import Bench
from instrument.bench.camera_mode import CameraMode, camera_mode
from instrument.campaign.count_noise import GaussianCounts
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

NOISE_FILE = "noise.npz"

BenchNoise = SensorNoise | InfraredNoise | GaussianCounts
"""What the noise of a bench's frames may be known as."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Objective of a trial, with the standard error that counts between designs.

    Designs of a campaign see the same objects, so what separates two scores is the noise of the
    frames, not the choice of objects: the error is the former where the density knows it.

    Parameters
    ----------
    estimate
        All that was estimated.
    scale
        Objective per bit a pixel: the values of a measurement, or 1.
    standard_error_per_pixel
        Between designs on the same objects, bits/pixel.
    """

    estimate: InformationEstimate
    scale: float
    standard_error_per_pixel: float

    @property
    def objective(self) -> float:
        """What the search maximises, bits."""
        return self.estimate.bits_per_pixel * self.scale

    @property
    def standard_error(self) -> float:
        """Of the objective, bits."""
        return self.standard_error_per_pixel * self.scale


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


def noise_at(noise: BenchNoise, exposure_ms: float) -> BenchNoise:
    """Return the noise of frames of one exposure: with the dark electrons of that exposure."""
    if not isinstance(noise, SensorNoise) or noise.dark_current is None:
        return noise  # nothing in it depends on the exposure
    return noise if noise.exposure_ms == exposure_ms else noise.at_exposure(exposure_ms)


def expected_black_adu(noise: BenchNoise) -> float:
    """Mean count of a dark frame: the offset and what the dark current adds."""
    dark_e = 0.0
    if isinstance(noise, SensorNoise) and noise.exposure_ms is not None:
        dark_e = float(np.mean(noise.dark_electrons))
    gain = 1.0 if isinstance(noise, GaussianCounts) else float(np.mean(noise.gain))
    return float(np.mean(noise.offset)) + gain * dark_e


def score_batch(
    counts: UInt16[np.ndarray, "objects shots height width"],
    noise: BenchNoise,
    config: Config,
    *,
    density: DensityName,
) -> Score:
    """Estimate the information of a batch.

    Parameters
    ----------
    counts
        Raw counts in ADU.
    noise
        Of the sensor and the exposure they came from.
    config
        For patch, objective and seed.
    density
        One for a whole campaign, so that differences are differences of designs.

    Raises
    ------
    estimation.EstimationError
        The batch does not support a score; says why.
    """
    return score_counts(
        counts,
        noise,
        density=density,
        patch=config.score.patch,
        objective=config.score.objective,
        seed=config.search.seed,
    )


def score_counts(
    counts: UInt16[np.ndarray, "objects shots height width"],
    noise: BenchNoise,
    *,
    density: DensityName,
    patch: int | tuple[int, int],
    objective: str,
    seed: int,
) -> Score:
    """Estimate the information of a batch; `score_batch` without a bench file.

    Parameters
    ----------
    counts, noise, density
        As for `score_batch`.
    patch
        Side, or height and width, pixels.
    objective
        `bits_per_measurement` or `bits_per_pixel`.
    seed
        Of everything random in the estimate.

    Raises
    ------
    estimation.EstimationError
        The batch does not support a score; says why.
    """
    estimate = estimate_information(counts, noise, density=density, patch=patch, seed=seed)
    error = estimate.frame_noise_standard_error
    per_pixel = estimate.standard_error if error is None else error
    scale = 1.0 if objective == "bits_per_pixel" else float(counts[0].size)
    return Score(estimate=estimate, scale=scale, standard_error_per_pixel=per_pixel)


def as_plain(estimate: InformationEstimate) -> dict[str, Any]:
    """Turn an estimate into what JSON holds, for the ledger."""
    return {
        "bits_per_pixel": estimate.bits_per_pixel,
        "standard_error": estimate.standard_error,
        "frame_noise_standard_error": estimate.frame_noise_standard_error,
        "interval": list(estimate.interval),
        "bits_per_measurement": estimate.bits_per_measurement,
        "entropy": estimate.entropy,
        "conditional_entropy": estimate.conditional_entropy,
        "density": estimate.density,
        "patch": list(estimate.patch),
        "is_misspecified": bool(estimate.diagnostics["is_misspecified"]),
        "per_object_bits": [round(float(bits), 6) for bits in estimate.per_object_bits],
    }
