"""The family of bases: the one place that knows which one a bench file names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from jaxtyping import UInt8

from instrument.bench.patterns._disc import DISC_BOUNDS, DISC_LABELS, DiscBasis
from instrument.bench.patterns._superpixel import SuperpixelBasis, superpixel_labels
from instrument.bench.patterns._zernike import ZernikeBasis, zernike_labels
from instrument.bench.shots import components_of_shot, shown_as
from instrument.config import (
    Config,
    DiscParameter,
    PatternParameter,
    SuperpixelParameter,
    ZernikeParameter,
)
from instrument.design import Design, Parameter

DEFAULT_GREY = 128


class PatternBasis(Protocol):
    """From components of a parameter to grey levels of a modulator of one shape."""

    def pattern(self, components: Sequence[float], /) -> UInt8[np.ndarray, "height width"]:
        """Grey levels; raises `DesignError` rather than wrap or clip one."""
        ...


def make_basis(parameter: PatternParameter, shape: tuple[int, int]) -> PatternBasis:
    """Return the basis that a parameter names, on a modulator of (height, width) pixels.

    Raises
    ------
    DesignError
        The modulator is too small for it.
    """
    match parameter:
        case ZernikeParameter(modes=(first, last)):
            return ZernikeBasis(first, last, shape=shape)
        case SuperpixelParameter(cells=cells, tiles=tiles, choices=choices):
            return SuperpixelBasis(cells, shape=shape, tiles=tiles, choices=choices)
        case DiscParameter(grey=grey):
            return DiscBasis(shape=shape, grey=grey)


def pattern_parameter(name: str, parameter: PatternParameter) -> Parameter:
    """Return the design parameter of a pattern: labels, bounds and start of its components."""
    match parameter:
        case ZernikeParameter(modes=modes, bounds_rad=(low, high), start_rad=start):
            labels = zernike_labels(*modes)
            return Parameter(
                name=name, unit="rad", lower=low, upper=high, labels=labels,
                start=(start,) * len(labels), modal=True,
            )  # fmt: skip
        case SuperpixelParameter(choices=None, bounds_grey=(low, high), start_grey=start):
            labels = superpixel_labels(parameter.cells)
            grey = min(max(DEFAULT_GREY, low), high) if start is None else start
            return Parameter(
                name=name, unit="grey", lower=low, upper=high, labels=labels,
                start=(float(grey),) * len(labels),
            )  # fmt: skip
        case SuperpixelParameter(choices=(*choices,), start_grey=start):
            labels = superpixel_labels(parameter.cells)
            index = 0 if start is None else choices.index(start)
            return Parameter(
                name=name, unit="grey", lower=0.0, upper=len(choices) - 1.0, labels=labels,
                start=(float(index),) * len(labels), choices=tuple(map(str, choices)),
            )  # fmt: skip
        case DiscParameter(start=start):
            return Parameter(
                name=name, unit="1", lower=-1.0, upper=1.5, labels=DISC_LABELS,
                start=start, bounds=DISC_BOUNDS,
            )  # fmt: skip
    raise TypeError(f"{parameter!r} is a pattern of no known basis")


def render_patterns(
    meta: Mapping[str, Any], design: Design
) -> dict[str, UInt8[np.ndarray, "height width"]]:
    """Draw again what each modulator showed, from a run's record.

    Parameters
    ----------
    meta
        The ledger's `meta`: `config` and `slm_shapes`.
    design
        Any design of the run.

    Returns
    -------
    dict
        Role of the modulator (with the shot, where shots differ) to its grey levels; empty for a
        bench without one.
    """
    config = Config.model_validate(meta["config"])
    patterns = {}
    for name, parameter in config.design.items():
        if isinstance(parameter, PatternParameter):
            basis = make_basis(parameter, tuple(meta["slm_shapes"][parameter.role]))
            shots = config.shots if parameter.per_shot else 1
            for shot in range(shots):
                own = components_of_shot(parameter, design.values[name], shot, shots)
                patterns[shown_as(parameter.role, shot, shots)] = basis.pattern(own)
    return patterns


def grey_patterns(config: Config) -> tuple[str, ...]:
    """Name the patterns, as `render_patterns` does, whose levels are brightness and not phase."""
    return tuple(
        shown_as(parameter.role, shot, shots)
        for parameter in config.design.values()
        if isinstance(parameter, SuperpixelParameter | DiscParameter)
        for shots in [config.shots if parameter.per_shot else 1]
        for shot in range(shots)
    )
