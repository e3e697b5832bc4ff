"""Options of the virtual benches, as plain data: reading a bench file must not start JAX."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SampleKind = Literal["texture", "beads", "cells"]


class VirtualBenchOptions(BaseModel):
    """What the options of all virtual benches share.

    A bench adds `virtual: Literal["its_name"] = "its_name"`, the word that chooses it in a bench
    file, and its own keys.

    Parameters
    ----------
    seed
        Fixes all that is random in the bench.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(default=0, ge=0)


class PupilMicroscopeOptions(VirtualBenchOptions):
    """Options of `virtual: pupil_microscope` in a bench file; `seed` also fixes its aberration.

    Parameters
    ----------
    sample, fill
        Kind of sample; for beads, the fraction of pixels that hold one.
    aberration_rms_rad
        Size of the hidden aberration, rad rms over Zernike modes 4 to 15.
    led
        `host:port` of an LED server that runs as a process of its own
        (`python -m drivers.virtual.scpi_server`); by default the bench starts one inside.
    """

    virtual: Literal["pupil_microscope"] = "pupil_microscope"
    sample: SampleKind = "texture"
    fill: float = Field(default=0.02, gt=0, lt=1)
    aberration_rms_rad: float = Field(default=1.0, ge=0, le=3)
    led: str | None = Field(default=None, pattern=r"^[^:]+:\d+$")


VIRTUAL_BENCHES: tuple[type[VirtualBenchOptions], ...] = (PupilMicroscopeOptions,)
"""Every virtual bench that a bench file may name."""
