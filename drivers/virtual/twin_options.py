"""Options of twins and of their objects, as plain data: reading a file must not start JAX."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

Side = Annotated[int, Field(ge=4, le=256)]
Electrons = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Options(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


# ---- twins


class LenslessOptions(_Options):
    """Lenslets in front of a sensor of `side` pixels that sees a `field`; px are pixels."""

    domain: Literal["lensless"]
    lenslets: int = Field(default=5, ge=1, le=100)
    electrons: Electrons = 100.0
    background_e: float = Field(default=10.0, ge=0, allow_inf_nan=False)
    field: Side = 48
    side: Side = 20
    smallest_sigma_px: float = Field(default=0.8, ge=0.05, le=6)
    reach_px: float = Field(default=10.0, gt=0, allow_inf_nan=False)


class ColourOptions(_Options):
    """A filter mosaic; `electrons` of a white pixel."""

    domain: Literal["colour"]
    electrons: Electrons = 1000.0
    side: Side = 16


class InfraredOptions(_Options):
    """A long-wave infrared camera."""

    domain: Literal["infrared"]
    field: Side = 32
    side: Side = 16


class TomographyOptions(_Options):
    """Parallel-beam tomography with up to `views` views; `dose_e` photons a detector in all."""

    domain: Literal["tomography"]
    dose_e: Electrons = 2e4
    side: Side = 24
    views: int = Field(default=32, ge=1, le=256)


class PhaseOptions(_Options):
    """An LED-array phase-contrast microscope."""

    domain: Literal["phase"]
    shots: int = Field(default=1, ge=1, le=16)
    dose_e: Electrons = 1000.0
    exposure: Literal["equal_dose", "equal_time"] = "equal_dose"
    field: Side = 32
    side: Side = 16


class InterferometerOptions(_Options):
    """A radio interferometer: `count` of eight stations."""

    domain: Literal["interferometer"]
    count: int = Field(default=4, ge=2, le=8)
    side: Side = 24
    declination_deg: float = Field(default=12.391, ge=-90, le=90)


class AdaptivePupilOptions(_Options):
    """The demo's microscope, with a hidden aberration of its own."""

    domain: Literal["pupil_microscope"]
    aberration_rms_rad: float = Field(default=1.0, ge=0, le=3)
    electrons: Electrons = 400.0
    background_e: float = Field(default=20.0, ge=0, allow_inf_nan=False)
    side: Side = 32
    margin: Side = 16


TwinOptions = Annotated[
    LenslessOptions
    | ColourOptions
    | InfraredOptions
    | TomographyOptions
    | PhaseOptions
    | InterferometerOptions
    | AdaptivePupilOptions,
    Field(discriminator="domain"),
]


# ---- objects


class _Objects(_Options):
    count: int = Field(default=1500, ge=20, le=100_000)


class WhiteOptions(_Objects):
    """Independent Gaussian pixels of mean 0."""

    kind: Literal["white"]
    variance: float = Field(default=1.0, gt=0, allow_inf_nan=False)


class BeadsOptions(_Objects):
    """Independent pixels, lit with probability `fill`."""

    kind: Literal["beads"]
    fill: float = Field(default=0.02, gt=0, lt=1)


class TexturesOptions(_Objects):
    """Log-normal textures with a spectrum falling as 1 / f ** exponent."""

    kind: Literal["textures"]
    exponent: float = Field(default=2.0, ge=0, le=6)
    contrast: float = Field(default=0.5, gt=0, le=3)


class ColourPhotographsOptions(_Objects):
    """Crops of colour photographs (extra `photographs`)."""

    kind: Literal["colour_photographs"]
    is_chroma_independent: bool = False


class PlainOptions(_Objects):
    """Kinds without options of their own; photographs and thermal scenes need `photographs`."""

    kind: Literal["photographs", "digits", "cells", "ellipses", "thermal_scenes", "rings"]


ObjectOptions = Annotated[
    WhiteOptions | BeadsOptions | TexturesOptions | ColourPhotographsOptions | PlainOptions,
    Field(discriminator="kind"),
]


def _choices(options: Any, discriminator: str) -> tuple[str, ...]:
    """Return every word that chooses a model of a union."""
    models = get_args(get_args(options)[0])
    return tuple(
        word for m in models for word in get_args(m.model_fields[discriminator].annotation)
    )


DOMAINS = _choices(TwinOptions, "domain")
KINDS_OF_OBJECTS = _choices(ObjectOptions, "kind")
