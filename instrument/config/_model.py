"""The sections of a bench file, in DESIGN's words, each a frozen pydantic model.

`kind` of a role and `of` of a parameter choose the model; both are filled in from what the file
says anyway (`_load`), so that nobody has to write them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_validator,
)

from drivers.virtual.options import PupilMicroscopeOptions


class Section(BaseModel):
    """A part of the file: frozen, and a misspelt key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _ordered(pair: object) -> object:
    if (
        isinstance(pair, (list, tuple))
        and len(pair) == 2
        and all(isinstance(v, (int, float)) for v in pair)
        and not pair[0] < pair[1]
    ):
        raise ValueError("the first number must be below the second")
    return pair


Finite = Annotated[float, Field(allow_inf_nan=False)]
Range = Annotated[tuple[Finite, Finite], BeforeValidator(_ordered)]


# ---- bench


class VirtualMicroManager(PupilMicroscopeOptions):
    """`micromanager: {virtual: pupil_microscope}`; the seed is the campaign's unless given."""

    virtual: Literal["pupil_microscope"]
    seed: int | None = Field(default=None, ge=0)  # pyright: ignore[reportIncompatibleVariableOverride,reportGeneralTypeIssues]


class LoadedMicroManager(Section):
    """`micromanager: {config: bench.cfg}`: devices that Micro-Manager's wizard configured.

    `adapters` names the folder of a Micro-Manager installation, where pymmcore-plus does not find
    it by itself.
    """

    config: Path
    adapters: Path | None = None


class VisaConfig(Section):
    """One VISA instrument: which declaration describes it and where it listens.

    `address` is a VISA resource name, or `virtual` for the virtual bench's own instrument of this
    name.
    """

    declaration: str
    address: str
    backend: str = "@py"


class CameraRole(Section):
    """Role of a camera."""

    kind: Literal["camera"] = "camera"
    device: str
    exposure_ms: float = Field(gt=0, allow_inf_nan=False)


class SlmRole(Section):
    """Role of a spatial light modulator; `settle_ms` is waited after its read-back."""

    kind: Literal["slm"] = "slm"
    device: str
    settle_ms: float = Field(default=0.0, ge=0, allow_inf_nan=False)


class StageRole(Section):
    """Role of a one-axis stage."""

    kind: Literal["stage"] = "stage"
    device: str
    limits_um: Range
    tolerance_um: float = Field(default=0.5, gt=0, allow_inf_nan=False)
    settle_ms: float = Field(default=0.0, ge=0, allow_inf_nan=False)


class XYStageRole(Section):
    """Role of a two-axis stage."""

    kind: Literal["xy_stage"] = "xy_stage"
    device: str
    limits_um: tuple[Range, Range]
    tolerance_um: float = Field(default=0.5, gt=0, allow_inf_nan=False)
    settle_ms: float = Field(default=0.0, ge=0, allow_inf_nan=False)


class LightRole(Section):
    """Role of a light: `level` while frames are taken, `safe` at all other times."""

    kind: Literal["light"] = "light"
    device: str
    channel: str
    output: str | None = "output"
    level: Finite
    limits: Range
    safe: Finite = 0.0
    settle_ms: float = Field(default=0.0, ge=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _level_within_limits(self) -> LightRole:
        low, high = self.limits
        if not low <= self.level <= high:
            raise ValueError(f"level {self.level:g} is outside limits {low:g} to {high:g}")
        return self


Role = Annotated[
    CameraRole | SlmRole | StageRole | XYStageRole | LightRole, Field(discriminator="kind")
]


class InterlockConfig(Section):
    """A condition that must hold while light is on: `channel` (`led.temperature_c`) within bounds.

    `pause` switches the light off and waits, at most `longest_pause_s`, until it holds again;
    `abort` ends the run.
    """

    channel: str = Field(pattern=r"^[^.]+\.[^.]+$")
    below: Finite | None = None
    above: Finite | None = None
    action: Literal["pause", "abort"] = "abort"
    longest_pause_s: float = Field(default=600.0, gt=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _has_a_bound(self) -> InterlockConfig:
        if self.below is None and self.above is None:
            raise ValueError("an interlock needs `below`, `above` or both")
        return self


def either(tags: dict[str, str], default: str) -> Discriminator:
    """Choose a model by the first of the given keys that stands in the file."""

    def choose(value: object) -> str:
        keys = value if isinstance(value, dict) else type(value).model_fields  # type: ignore[attr-defined]
        return next((tag for key, tag in tags.items() if key in keys), default)

    return Discriminator(choose)


MicroManagerConfig = Annotated[
    Annotated[VirtualMicroManager, Tag("virtual")] | Annotated[LoadedMicroManager, Tag("loaded")],
    either({"virtual": "virtual"}, "loaded"),
]


class BenchConfig(Section):
    """Devices, what they are for, and what must hold."""

    micromanager: MicroManagerConfig
    visa: dict[str, VisaConfig] = Field(default_factory=dict)
    roles: dict[str, Role]
    interlocks: tuple[InterlockConfig, ...] = ()


# ---- experiment


class StageGrid(Section):
    """Objects are fields of view on a square grid of stage positions around `centre_um`."""

    role: str = "sample"
    count: int = Field(ge=2, le=10_000)
    spacing_um: float = Field(gt=0, allow_inf_nan=False)
    order: Literal["snake", "shuffled"] = "snake"
    centre_um: tuple[Finite, Finite] = (0.0, 0.0)


class ObjectsConfig(Section):
    """The ensemble. Without one there is no mutual information."""

    stage_grid: StageGrid


class PatternParameter(Section):
    """A pattern on a modulator: Zernike modes `modes[0]` to `modes[1]` (Noll), in rad rms."""

    of: Literal["slm"] = "slm"
    role: str
    basis: Literal["zernike"]
    modes: tuple[int, int]
    bounds_rad: Range
    start_rad: Finite = 0.0

    @model_validator(mode="after")
    def _modes_in_order(self) -> PatternParameter:
        first, last = self.modes
        if not 1 <= first <= last <= 231:
            raise ValueError(f"modes {first} to {last}: Noll numbers from 1 to 231, in order")
        return self


class PositionParameter(Section):
    """A position of a one-axis stage."""

    of: Literal["stage"] = "stage"
    role: str
    bounds_um: Range
    start_um: Finite | None = None


class LightParameter(Section):
    """Level of a light, in the unit of its channel."""

    of: Literal["light"] = "light"
    role: str
    bounds: Range
    start: Finite | None = None


ParameterConfig = Annotated[
    PatternParameter | PositionParameter | LightParameter, Field(discriminator="of")
]


class NoiseNumbers(Section):
    """Noise of the sensor from its data sheet: gain in ADU/e-, offset in ADU, read noise in e-."""

    gain: float = Field(gt=0, allow_inf_nan=False)
    offset: Finite
    read_noise: float = Field(gt=0, allow_inf_nan=False)
    bit_depth: int | None = Field(default=None, ge=1, le=16)


class NoiseFile(Section):
    """Noise of the sensor from a calibration file (`.npz`)."""

    file: Path


class NoiseCalibrate(Section):
    """Calibrate the sensor on the bench before the first trial: `quick` (a minute) or `full`."""

    calibrate: Literal["quick", "full"]


class NoiseOfThermalCamera(Section):
    """A bright thermal camera, for twins: `residual_pattern` is what two-point correction leaves.

    Gain in ADU/e-, offset in ADU, read noise in e- rms, the pattern relative to the signal.
    """

    gain: float = Field(gt=0, allow_inf_nan=False)
    offset: Finite
    read_noise: float = Field(gt=0, allow_inf_nan=False)
    residual_pattern: float = Field(ge=0, le=0.1)
    bit_depth: int = Field(default=14, ge=1, le=32)


class NoiseOfPhotons(Section):
    """Ideal photon counting, for twins: shot noise and nothing else."""

    photons: Literal["counted"]


class NoiseOfOneSigma(Section):
    """Additive Gaussian noise, for twins, in the units of their values."""

    sigma: float = Field(gt=0, allow_inf_nan=False)


NoiseConfig = Annotated[
    Annotated[NoiseNumbers, Tag("numbers")]
    | Annotated[NoiseFile, Tag("file")]
    | Annotated[NoiseCalibrate, Tag("calibrate")],
    either({"file": "file", "calibrate": "calibrate"}, "numbers"),
]


class ScoreConfig(Section):
    """How a batch becomes a number.

    `gaussian`, `stationary` and `auto-gaussian` (the lower of the two) take a tenth of a second a
    trial; `autoregressive` and `auto` (all of them) are tighter, right on sparse scenes, and slow.
    """

    density: Literal["auto", "auto-gaussian", "gaussian", "stationary", "autoregressive"] = (
        "auto-gaussian"
    )
    patch: int = Field(default=16, ge=1, le=64)
    objective: Literal["bits_per_measurement", "bits_per_pixel"] = "bits_per_measurement"


class ConfirmConfig(Section):
    """Repeat captures of the contenders, and the difference (in sigmas) that counts."""

    repeats: int = Field(default=3, ge=1, le=100)
    sigma: float = Field(default=2.0, gt=0, allow_inf_nan=False)


class SearchConfig(Section):
    """What proposes designs. `steps` (in the parameter's unit) is for the modal sweep."""

    engine: Literal["auto", "modal", "tpe", "cmaes", "sobol"] = "auto"
    trials: int = Field(default=100, ge=1, le=100_000)
    seed: int = Field(default=0, ge=0, lt=2**31)
    steps: dict[str, float] = Field(default_factory=dict)
    confirm: ConfirmConfig = ConfirmConfig()


LEAST_REPEATS = 4  # `estimation.self_check`'s, which would take a second to import


class SafetyConfig(Section):
    """What is refused, what is checked, and where the bench is left.

    `self_check_repeats` frames of one static scene are taken at the start and the end of a run and
    their noise compared with the calibration; 0 switches that off.
    """

    saturated_fraction: float = Field(default=1e-3, ge=0, le=1)
    on_saturation: Literal["fail", "mark"] = "fail"
    black_level_tolerance_adu: float = Field(default=2.0, gt=0, allow_inf_nan=False)
    self_check_repeats: int = Field(default=8, ge=0, le=16)
    on_stop: Literal["best", "start", "safe"] = "best"

    @field_validator("self_check_repeats")
    @classmethod
    def _enough_repeats(cls, repeats: int) -> int:
        if 0 < repeats < LEAST_REPEATS:
            raise ValueError(
                f"{repeats} repeats say nothing about noise; give {LEAST_REPEATS} to 16, or 0 to "
                "switch the self-check off"
            )
        return repeats


class Config(Section):
    """The whole file, after the checks that need more than one section."""

    bench: BenchConfig
    objects: ObjectsConfig
    design: dict[str, ParameterConfig]
    noise: NoiseConfig
    score: ScoreConfig = ScoreConfig()
    search: SearchConfig = SearchConfig()
    safety: SafetyConfig = SafetyConfig()
    output: Path = Path("runs")
