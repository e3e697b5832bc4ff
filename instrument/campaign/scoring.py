"""From a batch to a number: the calibrated noise and the estimator, as the bench file asks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt16

from estimation import InformationEstimate, SensorNoise, estimate_information
from estimation.information import DensityName
from instrument.bench.bench import Bench
from instrument.bench.calibration import camera_key
from instrument.config import Config, NoiseCalibrate, NoiseFile, NoiseNumbers

NOISE_FILE = "noise.npz"


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


def load_noise(config: Config, bench: Bench, run_dir: Path) -> SensorNoise:
    """Sensor noise from a calibration or a data sheet, refused if it is another camera's.

    Parameters
    ----------
    config
        The bench file.
    bench
        Connected: its camera and exposure must be those of the calibration.
    run_dir
        Where `noise: {calibrate: ...}` left its file.

    Raises
    ------
    CalibrationMismatch
        The calibration was made with another camera, mode or exposure.
    """
    match config.noise:
        case NoiseNumbers() as numbers:
            return SensorNoise(
                gain=numbers.gain,
                offset=numbers.offset,
                read_noise=numbers.read_noise,
                bit_depth=numbers.bit_depth or bench.camera.bit_depth,
            )
        case NoiseFile(file=file):
            path = file
        case NoiseCalibrate():
            path = run_dir / NOISE_FILE
    noise = SensorNoise.load(path)
    noise.check_key(camera_key(bench))
    return noise.at_exposure(bench.exposure_ms)


def expected_black_adu(noise: SensorNoise) -> float:
    """Mean count of a dark frame: the offset and what the dark current adds."""
    dark_e = 0.0
    if noise.dark_current is not None and noise.exposure_ms is not None:
        dark_e = float(np.mean(noise.dark_current)) * noise.exposure_ms / 1e3
    return float(np.mean(noise.offset)) + float(np.mean(noise.gain)) * dark_e


def score_batch(
    counts: UInt16[np.ndarray, "objects shots height width"],
    noise: SensorNoise,
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
        Of the sensor they came from.
    config
        For patch, objective and seed.
    density
        One for a whole campaign, so that differences are differences of designs.

    Raises
    ------
    estimation.EstimationError
        The batch does not support a score; says why.
    """
    estimate = estimate_information(
        counts,
        noise,
        density=density,
        patch=config.score.patch,
        seed=config.search.seed,
    )
    error = estimate.frame_noise_standard_error
    per_pixel = estimate.standard_error if error is None else error
    if config.score.objective == "bits_per_pixel":
        return Score(estimate=estimate, scale=1.0, standard_error_per_pixel=per_pixel)
    values = counts[0].size
    return Score(estimate=estimate, scale=float(values), standard_error_per_pixel=per_pixel)


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
