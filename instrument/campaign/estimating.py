"""From counts to a score, by values alone: knows no bench, so that a worker process can do it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt16

from estimation import InformationEstimate, InfraredNoise, SensorNoise, estimate_information
from estimation.density import Density
from estimation.information import DensityName
from instrument.campaign.count_noise import GaussianCounts
from instrument.search.enough import Sampling

BenchNoise = SensorNoise | InfraredNoise | GaussianCounts
"""What the noise of a bench's frames may be known as."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreSettings:
    """What a score is of, the same for every trial of a campaign.

    Parameters
    ----------
    patch
        Pixels of a side, or (height, width).
    seed
        Of the estimate.
    objective
        `bits_per_measurement` or `bits_per_pixel`.
    """

    patch: int | tuple[int, int]
    seed: int
    objective: str

    def score(
        self,
        counts: UInt16[np.ndarray, "objects shots height width"],
        noise: BenchNoise,
        *,
        density: DensityName | Density,
    ) -> Score:
        """Estimate the information of a batch; see `score_counts`."""
        return score_counts(
            counts,
            noise,
            density=density,
            patch=self.patch,
            objective=self.objective,
            seed=self.seed,
        )


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
    sampling
        Of an adaptive batch: how many objects were enough, and why. `estimate` is then on the scale
        of a full batch (`instrument.search.enough`).
    """

    estimate: InformationEstimate
    scale: float
    standard_error_per_pixel: float
    sampling: Sampling | None = None

    @property
    def objective(self) -> float:
        """What the search maximises, bits."""
        return self.estimate.bits_per_pixel * self.scale

    @property
    def standard_error(self) -> float:
        """Of the objective, bits."""
        return self.standard_error_per_pixel * self.scale

    def record(self) -> dict[str, Any]:
        """Return what JSON holds, for the ledger."""
        said = as_plain(self.estimate)
        return said if self.sampling is None else {**said, "sampling": self.sampling.record()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A score as plain values, as it crosses from one process to another and into the ledger.

    Parameters
    ----------
    objective, standard_error
        What the search maximises and its error between designs, bits.
    standard_error_per_pixel
        The same error, bits/pixel.
    estimate
        See `Score.record`.
    """

    objective: float
    standard_error: float
    standard_error_per_pixel: float
    estimate: dict[str, Any]

    @property
    def bits_per_pixel(self) -> float:
        """Of the estimate."""
        return float(self.estimate["bits_per_pixel"])

    @classmethod
    def of(cls, score: Score) -> Scored:
        """Leave out what only this process can hold."""
        return cls(
            objective=score.objective,
            standard_error=score.standard_error,
            standard_error_per_pixel=score.standard_error_per_pixel,
            estimate=score.record(),
        )


def noise_at(noise: BenchNoise, exposure_ms: float) -> BenchNoise:
    """Return the noise of frames of one exposure: with the dark electrons of that exposure."""
    if not isinstance(noise, SensorNoise) or noise.dark_current is None:
        return noise  # nothing in it depends on the exposure
    return noise if noise.exposure_ms == exposure_ms else noise.at_exposure(exposure_ms)


def score_counts(
    counts: UInt16[np.ndarray, "objects shots height width"],
    noise: BenchNoise,
    *,
    density: DensityName | Density,
    patch: int | tuple[int, int],
    objective: str,
    seed: int,
) -> Score:
    """Estimate the information of a batch.

    Parameters
    ----------
    counts
        Raw counts in ADU.
    noise
        Of the sensor and the exposure they came from.
    density
        One for a whole campaign, so that differences are differences of designs.
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
