"""From a design to what every device is asked for: one knob a parameter of the bench file.

The only place that knows which parameter asks what of which device. A knob says what the search may
do with it (`parameter`, starting from the present setting of the bench) and turns components into a
target (`target`); it moves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from drivers import (
    Device,
    LightSource,
    NumericProperty,
    RotationStage,
    Selector,
    SpatialLightModulator,
    Stage,
)
from instrument.bench.actuators import as_kind
from instrument.bench.patterns import PatternBasis, pattern_parameter
from instrument.bench.shots import components_of_shot, for_every_shot, shown_as
from instrument.config import (
    AngleParameter,
    CameraRole,
    ChoiceParameter,
    Config,
    ExposureParameter,
    LightParameter,
    LightRole,
    PatternParameter,
    PositionParameter,
    PropertyParameter,
    PropertyRole,
)
from instrument.design import Design, DesignError, DesignSpace, Parameter

Target = float | int | UInt8[np.ndarray, "height width"]
"""What a device is asked for: a position or level, the number of a station, a pattern."""

Setting = dict[str, Target]
"""What every role of a design is asked for in one shot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What is on the bench after a design was applied.

    `patterns` are the grey levels by modulator role (and shot, where shots differ), of all shots;
    `read_back` what the devices say in the first shot, by role, in the role's unit.
    """

    patterns: dict[str, UInt8[np.ndarray, "height width"]]
    read_back: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Knob:
    """What the search may do with a role, and what that asks of its device."""

    parameter: Callable[[], Parameter]
    target: Callable[[tuple[float, ...]], Target]


def make_space(config: Config, knobs: Mapping[str, Knob]) -> DesignSpace:
    """Return the design space, starting from the present setting of the bench."""
    parameters = []
    for name, knob in knobs.items():
        parameter = knob.parameter()
        is_per_shot = config.design[name].per_shot
        parameters.append(for_every_shot(parameter, config.shots) if is_per_shot else parameter)
    return DesignSpace(tuple(parameters))


def make_settings(config: Config, knobs: Mapping[str, Knob], design: Design) -> tuple[Setting, ...]:
    """Return what a checked design asks of each role, one setting a shot."""
    settings: tuple[Setting, ...] = tuple({} for _ in range(config.shots))
    for name, knob in knobs.items():
        parameter, values = config.design[name], design.values[name]
        target = None if parameter.per_shot else knob.target(tuple(values))  # drawn once
        for shot, setting in enumerate(settings):
            own = components_of_shot(parameter, values, shot, config.shots)
            setting[parameter.role] = knob.target(own) if target is None else target
    return settings


def shown(
    config: Config, settings: Sequence[Setting]
) -> dict[str, UInt8[np.ndarray, "height width"]]:
    """Return the patterns of all shots, named as `instrument.bench.patterns` names them."""
    patterns = {}
    for parameter in config.design.values():
        shots = len(settings) if parameter.per_shot else 1
        for shot, setting in enumerate(settings[:shots]):
            target = setting[parameter.role]
            if isinstance(target, np.ndarray):
                patterns[shown_as(parameter.role, shot, shots)] = target
    return patterns


def make_knob(name: str, config: Config, device: Device, basis: PatternBasis | None) -> Knob:
    """Return the knob of a parameter.

    Parameters
    ----------
    name
        Of the parameter in `config.design`.
    config
        The whole bench file.
    device
        Of the parameter's role.
    basis
        Of a pattern.

    Raises
    ------
    ProtocolError
        The device is not of the role's kind.
    DesignError
        It does not have the positions that the parameter names.
    """
    parameter = config.design[name]
    role = config.bench.roles[parameter.role]
    if isinstance(parameter, PatternParameter):
        assert basis is not None  # noqa: S101 - the bench makes one for every pattern
        shape = as_kind(device, SpatialLightModulator, parameter.role).shape
        described = pattern_parameter(name, parameter, shape)
        return Knob(parameter=lambda: described, target=basis.pattern)
    match parameter:
        case PositionParameter(bounds_um=bounds, start_um=start):
            stage = as_kind(device, Stage, parameter.role)
            quantity = _Quantity(name, "position", "um", bounds, start, is_modal=True)
            return quantity.knob(stage.read_back)
        case AngleParameter(bounds_deg=bounds, start_deg=start):
            rotation = as_kind(device, RotationStage, parameter.role)
            return _Quantity(name, "angle", "deg", bounds, start).knob(rotation.read_back)
        case ExposureParameter(bounds_ms=bounds, start_ms=start):
            assert isinstance(role, CameraRole)  # noqa: S101 - the config's checks
            quantity = _Quantity(name, "exposure", "ms", bounds, start)
            return quantity.knob(lambda: role.exposure_ms)
        case PropertyParameter(bounds=bounds, start=start):
            assert isinstance(role, PropertyRole)  # noqa: S101
            number = as_kind(device, NumericProperty, parameter.role)
            quantity = _Quantity(
                name, role.property, role.unit, bounds, start, is_whole=number.is_integer
            )
            return quantity.knob(number.read_back)
        case LightParameter(bounds=bounds, start=start):
            assert isinstance(role, LightRole)  # noqa: S101
            light = as_kind(device, LightSource, parameter.role)
            return _Quantity(name, "level", light.unit, bounds, start).knob(lambda: role.level)
        case ChoiceParameter():
            return _choice(name, parameter, as_kind(device, Selector, parameter.role))


@dataclass(frozen=True, slots=True)
class _Quantity:
    """One number that a device is brought to, rounded where the device takes whole numbers only."""

    name: str
    label: str
    unit: str
    bounds: tuple[float, float]
    start: float | None
    is_modal: bool = False
    is_whole: bool = False

    def knob(self, here: Callable[[], float]) -> Knob:
        """Return the knob; `here` says where the device is, for a start that is not given."""

        def parameter() -> Parameter:
            low, high = self.bounds
            start = here() if self.start is None else self.start
            return Parameter(
                name=self.name, unit=self.unit, lower=low, upper=high, labels=(self.label,),
                start=(min(max(start, low), high),), modal=self.is_modal,
            )  # fmt: skip

        def target(components: tuple[float, ...]) -> float:
            return float(round(components[0])) if self.is_whole else components[0]

        return Knob(parameter=parameter, target=target)


def _choice(name: str, parameter: ChoiceParameter, selector: Selector) -> Knob:
    positions = _positions(name, parameter, selector)
    labels = tuple(selector.labels[position] for position in positions)

    def choose() -> Parameter:
        start = parameter.start
        here = selector.read_back() if start is None else _position(name, start, selector)
        index = positions.index(here) if here in positions else 0
        return Parameter(
            name=name, unit="choice", lower=0.0, upper=len(positions) - 1.0,
            labels=("choice",), start=(float(index),), choices=labels,
        )  # fmt: skip

    return Knob(parameter=choose, target=lambda components: positions[int(components[0])])


def _positions(name: str, parameter: ChoiceParameter, selector: Selector) -> list[int]:
    """Numbers of the positions that a choice is among, in the file's order."""
    if parameter.choices == "all":
        positions = list(range(len(selector.labels)))
    else:
        positions = [_position(name, choice, selector) for choice in parameter.choices]
    if len(set(positions)) < max(2, len(positions)):
        raise DesignError(
            f"design.{name}: {positions} of {selector.name} are no choice among different positions"
        )
    return positions


def _position(name: str, choice: int | str, selector: Selector) -> int:
    labels = selector.labels
    if isinstance(choice, str) and choice in labels:
        return labels.index(choice)
    if isinstance(choice, int) and 0 <= choice < len(labels):
        return choice
    raise DesignError(
        f"design.{name}: {selector.name} has no position {choice!r}; there are 0 to "
        f"{len(labels) - 1} ({', '.join(labels)})"
    )
