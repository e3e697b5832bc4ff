"""Several shots a measurement: how a design's components are dealt out to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from instrument.config import ParameterConfig
from instrument.design import Parameter


def for_every_shot(parameter: Parameter, shots: int) -> Parameter:
    """Return a parameter with one set of components a shot: `shot 1 Z4`, ..., `shot 2 Z4`, ..."""
    return replace(
        parameter,
        labels=tuple(
            f"shot {shot + 1} {label}" for shot in range(shots) for label in parameter.labels
        ),
        start=parameter.start * shots,
        bounds=parameter.bounds * shots,
    )


def components_of_shot(
    parameter: ParameterConfig, components: Sequence[float], shot: int, shots: int
) -> tuple[float, ...]:
    """Return what a shot (from 0) has of a parameter's components: its own set, or all of them."""
    if not parameter.per_shot:
        return tuple(components)
    size = len(components) // shots
    return tuple(components[shot * size : (shot + 1) * size])


def shown_as(role: str, shot: int, shots: int) -> str:
    """Name what a role does in a shot, for people: the role alone where there is one shot."""
    return role if shots == 1 else f"{role}, shot {shot + 1}"
