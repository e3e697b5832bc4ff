"""The design file: a twin in place of a bench, and a search by gradient. Same words otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, Tag, ValidationError

from drivers.virtual.twin_options import ObjectOptions, TwinOptions
from instrument.config._load import ConfigError, read_sections
from instrument.config._model import (
    Finite,
    NoiseFile,
    NoiseNumbers,
    NoiseOfOneSigma,
    NoiseOfPhotons,
    NoiseOfThermalCamera,
    Section,
    either,
)
from instrument.config._problems import sentences

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


class GradientSearch(Section):
    """How the gradient is followed.

    `rate` is the step in shares of each parameter's range; `linear` takes the covariance of the
    images of an affine twin in closed form, from all objects at once; `autoregressive` is slower,
    and right on sparse scenes and colour.
    """

    surrogate: Literal["gaussian", "stationary", "linear", "autoregressive"] = "gaussian"
    steps: int = Field(default=200, ge=1, le=100_000)
    rate: Finite = Field(default=0.02, gt=0, le=1)
    batch: int = Field(default=256, ge=2, le=100_000)
    patience: int = Field(default=5, ge=1, le=1000)
    random_starts: int = Field(default=3, ge=0, le=100)
    hand_made_starts: int = Field(default=2, ge=0, le=100)
    seed: int = Field(default=0, ge=0, lt=2**31)


class TwinScore(Section):
    """How the candidates are scored at the end, on objects that the search has not seen."""

    density: Literal["auto", "auto-gaussian", "gaussian", "stationary", "autoregressive"] = (
        "auto-gaussian"
    )
    patch: int = Field(default=16, ge=1, le=64)


class DesignConfig(Section):
    """The whole design file."""

    twin: TwinOptions
    objects: ObjectOptions
    noise: TwinNoise
    search: GradientSearch = GradientSearch()
    score: TwinScore = TwinScore()
    output: Path = Path("runs")


def load_design_config(
    path: Path, *, overrides: Sequence[str] = (), seed: int | None = None
) -> DesignConfig:
    """Read a design file, as `load_config` reads a bench file; raise `ConfigError`."""
    raw, folder = read_sections(path, overrides=overrides, seed=seed, first="twin")
    if isinstance(raw.get("noise"), str):
        raw["noise"] = {"file": raw["noise"]}
    return parse_design_config(raw, source=str(path), folder=folder)


def parse_design_config(raw: Mapping[str, Any], *, source: str, folder: Path) -> DesignConfig:
    """Check plain data; the noise file's path is relative to `folder`. Raises `ConfigError`."""
    try:
        config = DesignConfig.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(source, sentences(error, raw, root=DesignConfig)) from error
    if isinstance(config.noise, NoiseFile):
        absolute = NoiseFile(file=(folder / config.noise.file).resolve())
        return config.model_copy(update={"noise": absolute})
    return config
