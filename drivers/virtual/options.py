"""Options of the virtual benches, as plain data: reading a bench file must not start JAX."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

SampleKind = Literal["texture", "beads", "cells"]
Cells = Annotated[int, Field(ge=1, le=32)]
Electrons = Annotated[float, Field(gt=0, allow_inf_nan=False)]


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


class DriftOptions(BaseModel):
    """What changes by itself on a virtual bench, hidden from everything but its truth.

    Parameters
    ----------
    lamp_per_hour
        Relative change of the light in an hour: -0.02 loses 2 % in every hour.
    focus_um_per_hour
        How fast the sample creeps through the focus at first.
    focus_settles_h
        Time constant with which the creep comes to rest, hours; by default it never does.
    hours_per_second
        Hours of drift in a second of the wall clock: 0.08 makes a night of ten hours of two
        minutes. By default 1/3600, real time.
    began_at
        When all was as it should be, ISO 8601 with time zone; by default when the bench file is
        read. A run records it, so that a resumed one finds the bench where it has drifted to.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    lamp_per_hour: float = Field(default=0.0, gt=-1, le=1, allow_inf_nan=False)
    focus_um_per_hour: float = Field(default=0.0, ge=-100, le=100, allow_inf_nan=False)
    focus_settles_h: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    hours_per_second: float = Field(default=1 / 3600, gt=0, le=10, allow_inf_nan=False)
    began_at: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))


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
    drift
        Of lamp and focus; by default nothing drifts.
    """

    virtual: Literal["pupil_microscope"] = "pupil_microscope"
    sample: SampleKind = "texture"
    fill: float = Field(default=0.02, gt=0, lt=1)
    aberration_rms_rad: float = Field(default=1.0, ge=0, le=3)
    led: str | None = Field(default=None, pattern=r"^[^:]+:\d+$")
    drift: DriftOptions | None = None


# ---- benches whose physics is a twin


class TwinBenchOptions(VirtualBenchOptions):
    """A plate of `sites` x `sites` sites under the stage `XY`, 100 um apart, seen by `Camera`."""

    sites: int = Field(default=16, ge=2, le=64)


class LenslessBench(TwinBenchOptions):
    """`virtual: lensless`: a modulator `Mask` of cells, each the brightness of a spot."""

    virtual: Literal["lensless"] = "lensless"
    cells: tuple[Cells, Cells] = (3, 3)
    objects: Literal["beads", "digits", "photographs"] = "beads"
    fill: float = Field(default=0.1, gt=0, lt=1)
    electrons_per_ms: Electrons = 100.0


class ColourBench(TwinBenchOptions):
    """`virtual: colour`: a modulator `Filters` of 8 x 8 filters (extra `photographs`).

    Grey levels 0 to 3 are red, green, blue and white.
    """

    virtual: Literal["colour"] = "colour"
    electrons_per_ms: Electrons = 1000.0
    is_chroma_independent: bool = False


class InfraredBench(TwinBenchOptions):
    """`virtual: infrared`: a lens `Lens` with properties `FNumber` and `Cubic` (waves)."""

    virtual: Literal["infrared"] = "infrared"


class TomographyBench(TwinBenchOptions):
    """`virtual: tomography`: a stage `Rotation` in degrees, and a detector of `slices` lines."""

    virtual: Literal["tomography"] = "tomography"
    photons_per_ms: Electrons = 2500.0
    slices: int = Field(default=16, ge=1, le=256)


class PhaseBench(TwinBenchOptions):
    """`virtual: phase`: a modulator `LEDs` of 15 x 15 LEDs, a focus stage `Z`, cells in wells.

    `equal_time`: `electrons_per_ms` is what all LEDs at full drive give a pixel. `equal_dose`: the
    LEDs' supply gives as much, however few LEDs are lit.
    """

    virtual: Literal["phase"] = "phase"
    exposure: Literal["equal_time", "equal_dose"] = "equal_time"
    electrons_per_ms: Electrons = 1000.0


class InterferometerBench(TwinBenchOptions):
    """`virtual: interferometer`: a selector `Stations` of every choice of `stations` of eight."""

    virtual: Literal["interferometer"] = "interferometer"
    stations: int = Field(default=4, ge=2, le=7)


VIRTUAL_BENCHES: tuple[type[VirtualBenchOptions], ...] = (
    PupilMicroscopeOptions,
    LenslessBench,
    ColourBench,
    InfraredBench,
    TomographyBench,
    PhaseBench,
    InterferometerBench,
)
"""Every virtual bench that a bench file may name."""
