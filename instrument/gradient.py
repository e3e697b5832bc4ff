"""`infoloop design` without its face: twin, objects and noise from a file, IDEAL, and the record.

The record of a design is one folder: `config.json` (everything resolved), `design.json` (all
candidates with their scores, and how each ascent went) and `design.npz` (the parameters, arrays by
name). Files are written whole or not at all.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from estimation import GaussianNoise, InfraredNoise, PoissonNoise, SensorNoise
from instrument.config import (
    ConfigError,
    DesignConfig,
    NoiseFile,
    NoiseNumbers,
    NoiseOfOneSigma,
    NoiseOfPhotons,
    NoiseOfThermalCamera,
)

if TYPE_CHECKING:
    from estimation.ideal import Candidate, IdealDesign, Progress

LINEAR_RANK = 512
"""Directions of the objects that the closed form of affine twins keeps."""

TWIN_BIT_DEPTH = 16
"""Of a sensor whose data sheet does not say: wide enough not to clip by surprise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DesignRun:
    """A design, and where it is recorded."""

    found: IdealDesign
    folder: Path


def design_by_gradient(
    config: DesignConfig, *, folder: Path, watch: Callable[[Progress], None] | None = None
) -> DesignRun:
    """Find the most informative design of a twin and record it.

    Parameters
    ----------
    config
        As `load_design_config` gives it.
    folder
        Of the record; made here, must not exist.
    watch
        Called with every `Progress` of an ascent.

    Raises
    ------
    ConfigError
        If the objects are nothing that the twin can look at, or the folder is there already.
    EstimationError
        As `maximise_information`.
    """
    from drivers.virtual.twins.factory import make_objects, make_twin
    from estimation.ideal import LinearGaussian, maximise_information

    if folder.exists():
        raise ConfigError(str(folder), ["is there already; name another folder"])
    search = config.search
    for_twin, for_objects = np.random.default_rng(search.seed).spawn(2)
    twin = make_twin(config.twin, rng=for_twin)
    try:
        objects = make_objects(config.objects, twin, rng=for_objects)
    except ValueError as error:
        raise ConfigError("objects", [str(error)]) from error
    found = maximise_information(
        twin,  # pyright: ignore[reportArgumentType] - a frozen Parameter is a RangedParameter
        objects,
        _noise(config),
        seed=search.seed,
        surrogate=(
            LinearGaussian.of(objects, rank=LINEAR_RANK)
            if search.surrogate == "linear"
            else search.surrogate
        ),
        random_starts=search.random_starts,
        hand_made_starts=search.hand_made_starts,
        steps=search.steps,
        rate=search.rate,
        batch=search.batch,
        patience=search.patience,
        patch=config.score.patch,
        density=config.score.density,
        watch=watch,
    )
    _record(config, found, folder)
    return DesignRun(found=found, folder=folder)


def summary(found: IdealDesign) -> dict[str, Any]:
    """Return plain data about the best design and all candidates, without arrays."""
    return {
        "best": _plain(found.best),
        "surrogate": found.surrogate,
        "candidates": [_plain(candidate) for candidate in found.candidates],
    }


def new_design_dir(output: Path, name: str) -> Path:
    """Name a new folder, from the design file's name and the time."""
    stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S-%f")
    return output / f"{name}-{stamp}"


def _noise(
    config: DesignConfig,
) -> SensorNoise | InfraredNoise | PoissonNoise | GaussianNoise:
    match config.noise:
        case NoiseOfPhotons():
            return PoissonNoise()
        case NoiseOfOneSigma(sigma=sigma):
            return GaussianNoise(sigma)
        case NoiseOfThermalCamera() as camera:
            return InfraredNoise(**camera.model_dump())
        case NoiseFile(file=file):
            return SensorNoise.load(file)
        case NoiseNumbers() as numbers:
            return SensorNoise(
                gain=numbers.gain,
                offset=numbers.offset,
                read_noise=numbers.read_noise,
                bit_depth=numbers.bit_depth or TWIN_BIT_DEPTH,
            )


def _plain(candidate: Candidate) -> dict[str, Any]:
    estimate, ascent = candidate.estimate, candidate.ascent
    plain: dict[str, Any] = {
        "name": candidate.name,
        "origin": candidate.origin,
        "choice_bits_per_measurement": candidate.choice_bits if estimate is not None else None,
        "bits_per_measurement": None if estimate is None else estimate.bits_per_measurement,
        "bits_per_pixel": None if estimate is None else estimate.bits_per_pixel,
        "standard_error": None if estimate is None else estimate.standard_error,
        "density": None if estimate is None else estimate.density,
        "refusal": candidate.refusal or None,
    }
    if ascent is not None:
        plain["ascent"] = {
            "steps": ascent.steps,
            "is_stopped_early": ascent.is_stopped_early,
            "surrogate_bits_per_pixel": ascent.bits_per_pixel,
            "history": [asdict(progress) for progress in ascent.history],
        }
    return plain


def _record(config: DesignConfig, found: IdealDesign, folder: Path) -> None:
    folder.mkdir(parents=True)
    document = {
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "infoloop_version": metadata.version("infoloop"),
        **summary(found),
    }
    _write(folder / "config.json", json.dumps(config.model_dump(mode="json"), indent=2).encode())
    _write(folder / "design.json", json.dumps(document, indent=2, allow_nan=False).encode())
    unfinished = folder / "design.part.npz"
    values: dict[str, Any] = {name: np.asarray(v) for name, v in found.best.values.items()}
    np.savez(unfinished, **values)
    unfinished.replace(folder / "design.npz")


def _write(path: Path, content: bytes) -> None:
    unfinished = path.with_name(path.name + ".part")
    with unfinished.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
