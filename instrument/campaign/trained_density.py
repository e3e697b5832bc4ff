"""The density that a campaign trains once, and scores every trial with.

Training takes far longer than a capture, and two trainings differ. So the autoregressive density is
trained once, before the first trial, on frames of the start design, and kept in the run directory.
Every trial is then scored from these same weights, with its own linear predictor and as many steps
as any other: differences of scores are differences of designs, whatever the order of the trials.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt16

from estimation.density import AutoregressiveMixture, Density, FittedAutoregressive
from estimation.density.saved import fits_from_bytes, fits_to_bytes
from estimation.errors import EstimationError
from estimation.information import DensityName
from instrument.campaign.estimating import BenchNoise, ScoreSettings
from instrument.campaign.ledger.files import put_in_place
from instrument.campaign.ledger.problems import of_write

DENSITY_FILE = "density.npz"

TRAINED = AutoregressiveMixture(
    components=6,
    neighbours=30,
    hidden=64,
    layers=2,
    batch=512,
    warm_steps=100,
    sample=1024,
)
"""Small enough for a score within a capture; see docs/concepts/overlap.md for what that costs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DensityChoice:
    """What a trial is scored with.

    Parameters
    ----------
    name
        Of the density.
    file, sha256
        The campaign's training, relative to the run directory, and its hash; None where there is
        none.
    """

    name: DensityName
    file: str | None = None
    sha256: str | None = None


def density_of(choice: DensityChoice, run_dir: Path, *, seed: int) -> DensityName | Density:
    """Return the density that a trial is scored with.

    Raises
    ------
    EstimationError
        The file is not what the campaign trained.
    """
    if choice.file is None or choice.sha256 is None:
        return choice.name
    fits = _fits(run_dir / choice.file, choice.sha256)
    return replace(TRAINED, seed=seed, start=fits)


def recorded_density(meta: Mapping[str, Any]) -> DensityChoice | None:
    """Return the density that a run has trained, from what its ledger says; None without."""
    recorded = meta.get("trained_density")
    if recorded is None or recorded["file"] is None:
        return None
    return DensityChoice(name="autoregressive", file=recorded["file"], sha256=recorded["sha256"])


def train(
    counts: UInt16[np.ndarray, "objects shots height width"],
    noise: BenchNoise,
    settings: ScoreSettings,
    file: Path,
) -> str:
    """Train the campaign's density on a batch, keep it durably, and return its SHA-256.

    Raises
    ------
    EstimationError
        The frames do not support a density.
    LedgerError
        It cannot be written.
    """
    family = replace(TRAINED, seed=settings.seed)
    fits = settings.score(counts, noise, density=family).estimate.fitted
    content = fits_to_bytes(fits)
    partial = file.with_name(file.name + ".partial")
    try:
        partial.write_bytes(content)
        put_in_place(partial, file)
    except OSError as error:
        raise of_write(file, error, needed_bytes=len(content)) from error
    return hashlib.sha256(content).hexdigest()


@lru_cache(maxsize=2)
def _fits(file: Path, sha256: str) -> tuple[FittedAutoregressive, ...]:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise EstimationError(f"{file}: the trained density cannot be read ({error})") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise EstimationError(
            f"{file} is not the density that this run was scored with (its SHA-256 differs); "
            "restore it from a copy"
        )
    return fits_from_bytes(content)
