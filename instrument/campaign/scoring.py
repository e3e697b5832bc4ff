"""From a batch to a number: the calibrated noise and the estimator, as the bench file asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt16

from estimation import InformationEstimate, SensorNoise, estimate_information
from instrument.config import Config, NoiseFile, NoiseNumbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Objective of a trial, with the standard error that counts between designs.

    Designs of a campaign see the same objects, so what separates two scores is the noise of the
    frames, not the choice of objects; `standard_error` is the former where the density knows it.
    """

    objective: float
    standard_error: float
    estimate: InformationEstimate


def load_noise(config: Config, *, bit_depth: int) -> SensorNoise:
    """Sensor noise from the file, or from the numbers of a data sheet.

    Parameters
    ----------
    config
        The bench file.
    bit_depth
        The camera's, used where the data sheet's numbers do not name one.
    """
    if isinstance(config.noise, NoiseFile):
        return SensorNoise.load(config.noise.file)
    numbers: NoiseNumbers = config.noise
    return SensorNoise(
        gain=numbers.gain,
        offset=numbers.offset,
        read_noise=numbers.read_noise,
        bit_depth=numbers.bit_depth or bit_depth,
    )


def score_batch(
    counts: UInt16[np.ndarray, "objects shots height width"],
    noise: SensorNoise,
    config: Config,
    *,
    density: str,
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
    per_pixel = config.score.objective == "bits_per_pixel"
    objective = estimate.bits_per_pixel if per_pixel else estimate.bits_per_measurement
    error = estimate.frame_noise_standard_error
    return Score(
        objective=objective,
        standard_error=(estimate.standard_error if error is None else error)
        * (objective / estimate.bits_per_pixel if estimate.bits_per_pixel else 1.0),
        estimate=estimate,
    )


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
