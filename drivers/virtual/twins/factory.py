"""From options in a file to a twin and the objects it looks at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from drivers.virtual import objects as make
from drivers.virtual import twin_options as options_of
from drivers.virtual.twins.colour import Colour
from drivers.virtual.twins.infrared import Infrared
from drivers.virtual.twins.interferometer import Interferometer
from drivers.virtual.twins.lensless import Lensless
from drivers.virtual.twins.phase import PhaseContrast
from drivers.virtual.twins.pupil import MODES, AdaptivePupil
from drivers.virtual.twins.tomography import Tomography
from drivers.virtual.twins.twin import Twin
from drivers.virtual.zernike import FIRST_MODE

_WITHOUT_CHOICES: Mapping[str, type[Twin]] = {
    "infrared": Infrared,
    "tomography": Tomography,
    "phase": PhaseContrast,
    "interferometer": Interferometer,
}
_PLAIN: Mapping[str, Callable[..., np.ndarray]] = {
    "photographs": make.photographs,
    "digits": make.digits,
    "cells": lambda count, side, *, rng: make.cells(count, side, rng=rng)[0],
    "ellipses": make.ellipses,
    "thermal_scenes": make.thermal_scenes,
    "rings": make.rings,
}


def make_twin(options: options_of.TwinOptions, *, rng: np.random.Generator) -> Twin:
    """Return the twin of a domain under a design that favours nothing."""
    given = options.model_dump(exclude={"domain"})
    match options:
        case options_of.LenslessOptions(lenslets=lenslets, reach_px=reach):
            given.pop("lenslets")
            places = rng.uniform(-reach, reach, (lenslets, 2))
            return Lensless(places, sigma_px=max(1.0, options.smallest_sigma_px), **given)
        case options_of.ColourOptions():
            return Colour(rng.uniform(-1, 1, (8, 8, 4)), **given)
        case options_of.AdaptivePupilOptions(aberration_rms_rad=rms):
            given.pop("aberration_rms_rad")
            hidden = rng.standard_normal(MODES) / np.sqrt(np.arange(MODES) + FIRST_MODE)
            hidden *= rms / np.linalg.norm(hidden)
            return AdaptivePupil(aberration_rad=hidden, **given)
        case _:
            return _WITHOUT_CHOICES[options.domain](**given)


def make_objects(
    options: options_of.ObjectOptions, twin: Twin, *, rng: np.random.Generator
) -> np.ndarray:
    """Return objects of the twin's shape, (count, *object_shape), float64.

    Raises
    ------
    ValueError
        If objects of this kind are nothing that this twin can look at.
    """
    given: dict[str, Any] = options.model_dump(exclude={"kind", "count"})
    side = twin.object_shape[-1]
    maker = _PLAIN.get(options.kind) or getattr(make, options.kind)
    drawn = maker(options.count, side, rng=rng, **given)
    if drawn.shape[1:] != twin.object_shape:
        raise ValueError(
            f"{options.kind} have the shape {drawn.shape[1:]}, and this twin looks at objects of "
            f"{twin.object_shape}: choose another kind of objects"
        )
    return drawn
