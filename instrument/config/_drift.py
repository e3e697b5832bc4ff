"""The `drift` section: how drift of lamp and sample is measured and removed while a run goes on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from instrument.config._parameters import AngleParameter, PositionParameter, PropertyParameter
from instrument.config._section import Positive, Section

if TYPE_CHECKING:
    from instrument.config._model import Config


class FollowConfig(Section):
    """How far to either side of the reference a parameter is stepped, in its own unit.

    `step_um` of a stage, `step_deg` of a rotation, `step` of a property.
    """

    step_um: Positive | None = None
    step_deg: Positive | None = None
    step: Positive | None = None

    @model_validator(mode="after")
    def _one_step(self) -> FollowConfig:
        if sum(step is not None for step in (self.step_um, self.step_deg, self.step)) != 1:
            raise ValueError("give one step: step_um of a stage, step_deg of a rotation, or step")
        return self

    @property
    def size(self) -> float:
        """The step, in the parameter's unit."""
        return next(s for s in (self.step_um, self.step_deg, self.step) if s is not None)


class DriftConfig(Section):
    """A reference design is measured again and again; what changes in it is drift.

    A visit comes after `every` trials, at the start, before the confirmation and at the end. What
    the lamp has lost is added to all scores in proportion; a parameter under `follow` moves with
    the top of the reference's score. `reference: best` changes to a better design once there is
    one, where a shift shows more clearly; `start` stays with the start.
    """

    every: int = Field(default=12, ge=2, le=10_000)
    reference: Literal["best", "start"] = "best"
    follow: dict[str, FollowConfig] = Field(default_factory=dict)


def problems_of_drift(config: Config) -> Iterator[str]:
    """One sentence for everything that is followed and cannot be."""
    for name, follow in config.drift.follow.items() if config.drift is not None else ():
        parameter = config.design.get(name)
        match parameter:
            case None:
                yield f"`drift.follow.{name}` is no parameter; there is {', '.join(config.design)}"
                continue
            case PositionParameter(bounds_um=bounds):
                key, given, unit = "step_um", follow.step_um, "um"
            case AngleParameter(bounds_deg=bounds):
                key, given, unit = "step_deg", follow.step_deg, "deg"
            case PropertyParameter(bounds=bounds):
                key, given, unit = "step", follow.step, "of its unit"
            case _:
                yield (
                    f"`drift.follow.{name}`: design.{name} is neither a position, an angle nor a "
                    "property; only such a number can follow a drift"
                )
                continue
        if parameter.per_shot and config.shots > 1:
            yield (
                f"`drift.follow.{name}`: design.{name} has a value for each of {config.shots} "
                "shots; only a parameter of one value can follow a drift"
            )
        if given is None:
            yield f"`drift.follow.{name}`: the step of design.{name} is given as {key}"
        elif 4 * given > bounds[1] - bounds[0]:
            yield (
                f"`drift.follow.{name}.{key}` = {given:g}: both sides of the reference must fit "
                f"into {bounds[0]:g} to {bounds[1]:g} with room to move; at most a quarter of "
                f"that, {(bounds[1] - bounds[0]) / 4:g} {unit}"
            )
