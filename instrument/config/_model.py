"""The whole bench file, in DESIGN's words, each section a frozen pydantic model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, field_validator

from instrument.config._batch import BatchConfig
from instrument.config._bench import BenchConfig
from instrument.config._dose import DoseConfig
from instrument.config._drift import DriftConfig
from instrument.config._noise import NoiseConfig
from instrument.config._parameters import ParameterConfig
from instrument.config._recover import RecoverConfig
from instrument.config._section import Duration, Finite, Positive, Section


class StageGrid(Section):
    """Objects are fields of view on a square grid of stage positions around `centre_um`."""

    role: str = "sample"
    count: int = Field(ge=2, le=10_000)
    spacing_um: Positive
    order: Literal["snake", "shuffled"] = "snake"
    centre_um: tuple[Finite, Finite] = (0.0, 0.0)


class ObjectsConfig(Section):
    """The ensemble. Without one there is no mutual information."""

    stage_grid: StageGrid


Side = Annotated[int, Field(ge=1, le=64)]
Patch = Annotated[
    Annotated[Side, Tag("square")] | Annotated[tuple[Side, Side], Tag("oblong")],
    Discriminator(lambda value: "oblong" if isinstance(value, list | tuple) else "square"),
]


class ScoreConfig(Section):
    """How a batch becomes a number; `patch` in pixels, one side or [height, width].

    `gaussian`, `stationary` and `auto-gaussian` (the lower of the two) take a tenth of a second a
    trial; `autoregressive` and `auto` (all of them) are tighter, right on sparse scenes, and slow.
    `workers` are processes that score while the next trial is captured; 0 scores between two
    captures, `auto` takes some where the density is slow and none else.
    """

    density: Literal["auto", "auto-gaussian", "gaussian", "stationary", "autoregressive"] = (
        "auto-gaussian"
    )
    patch: Patch = 16
    objective: Literal["bits_per_measurement", "bits_per_pixel"] = "bits_per_measurement"
    workers: Literal["auto"] | Annotated[int, Field(ge=0, le=16)] = "auto"


class ConfirmConfig(Section):
    """Repeat captures of the contenders, and the difference (in sigmas) that counts."""

    repeats: int = Field(default=3, ge=1, le=100)
    sigma: Positive = 2.0


class SearchConfig(Section):
    """What proposes designs. `steps` (in the parameter's unit) is for the modal sweep.

    `told_late` is by how many trials scores come late: that many may be under way while the next is
    captured. `auto` is 2 where the density is slow, else 0.
    """

    engine: Literal["auto", "modal", "tpe", "cmaes", "sobol", "exhaustive"] = "auto"
    trials: int = Field(default=100, ge=1, le=100_000)
    seed: int = Field(default=0, ge=0, lt=2**31)
    steps: dict[str, float] = Field(default_factory=dict)
    confirm: ConfirmConfig = ConfirmConfig()
    told_late: Literal["auto"] | Annotated[int, Field(ge=0, le=16)] = "auto"


LEAST_REPEATS = 4  # `estimation.self_check`'s, which would take a second to import


class SafetyConfig(Section):
    """What is refused, what is checked, and where the bench is left.

    `self_check_repeats` frames of one static scene are taken at the start and the end of a run and
    their noise compared with the calibration; 0 switches that off. A batch in which something else
    than the bench moved a device for good is refused, unless `on_disturbance: mark`. While light is
    on, every interlock is read at least every `interlock_interval_s`, and the light goes off when
    something takes `watchdog_s` longer than it is known to need; `guardian` is the process that
    switches it off if this one dies. `recover` says how often a run goes on after a fault, `dose`
    limits the light on the sample. While the disk of a run has less left than a batch and
    `least_free_disk_mb`, the run waits in the dark. A wait or pause
    that nobody ends in `longest_pause_s` ends the run.
    """

    saturated_fraction: float = Field(default=1e-3, ge=0, le=1)
    on_saturation: Literal["fail", "mark"] = "fail"
    on_disturbance: Literal["fail", "mark"] = "fail"
    black_level_tolerance_adu: Positive = 2.0
    self_check_repeats: int = Field(default=8, ge=0, le=16)
    on_stop: Literal["best", "start", "safe"] = "best"
    interlock_interval_s: Positive = 1.0
    watchdog_s: Positive = 5.0
    guardian: bool = True
    recover: RecoverConfig = RecoverConfig()
    dose: DoseConfig | None = None
    least_free_disk_mb: Duration = 500.0
    longest_pause_s: Positive = 8 * 3600.0

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
    """The whole file, after the checks that need more than one section.

    `shots` exposures of every object make one measurement; `shots_order` says whether all shots of
    one object are taken in turn, or all objects under one shot's setting (for slow actuators).
    """

    bench: BenchConfig
    objects: ObjectsConfig
    batch: BatchConfig = BatchConfig()
    shots: int = Field(default=1, ge=1, le=64)
    shots_order: Literal["objects_first", "shots_first"] = "objects_first"
    design: dict[str, ParameterConfig]
    noise: NoiseConfig
    score: ScoreConfig = ScoreConfig()
    search: SearchConfig = SearchConfig()
    drift: DriftConfig | None = None
    safety: SafetyConfig = SafetyConfig()
    output: Path = Path("runs")
