"""The family of bases: the one place that knows which one a bench file names."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float, UInt8

from instrument.bench.patterns._disc import DISC_BOUNDS, DISC_LABELS, DiscBasis
from instrument.bench.patterns._fourier import FourierBasis, fourier_labels
from instrument.bench.patterns._hadamard import hadamard_labels, hadamard_modes
from instrument.bench.patterns._modes import PlacedModes
from instrument.bench.patterns._raw import RawBasis, raw_labels
from instrument.bench.patterns._response import Response, make_response
from instrument.bench.patterns._superpixel import SuperpixelBasis, superpixel_labels
from instrument.bench.patterns._zernike import zernike_labels, zernike_modes
from instrument.bench.shots import components_of_shot, shown_as
from instrument.config import (
    FULL_SCALE,
    Config,
    DiscParameter,
    FourierParameter,
    HadamardParameter,
    PatternParameter,
    RawParameter,
    SlmRole,
    SuperpixelParameter,
    ZernikeParameter,
)
from instrument.design import Design, DesignError, Parameter

DEFAULT_GREY = 128


class PatternBasis(Protocol):
    """From components of a parameter to grey levels of a modulator of one shape."""

    def pattern(self, components: Sequence[float], /) -> UInt8[np.ndarray, "height width"]:
        """Grey levels; raises `DesignError` rather than wrap or clip one."""
        ...


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A basis, and what the modulator makes of what it draws."""

    field: Callable[[Sequence[float]], Float[np.ndarray, "height width"]]
    levels: Callable[[Float[np.ndarray, "height width"]], UInt8[np.ndarray, "height width"]]

    def pattern(self, components: Sequence[float]) -> UInt8[np.ndarray, "height width"]:
        return self.levels(self.field(components))


def make_basis(parameter: PatternParameter, response: Response) -> PatternBasis:
    """Return the basis that a parameter names, on a modulator.

    Raises
    ------
    DesignError
        The modulator is too small for it, or its bounds allow levels or phases that there are not.
    """
    plane = response.plane
    match parameter:
        case ZernikeParameter(modes=(first, last), bounds_rad=bounds_rad):
            modes = zernike_modes(first, last, plane, pupil=parameter.pupil)
            if not response.shows_any_phase:
                response.check_phases(*modes.reach(*bounds_rad))
            return _Drawn(modes.field, response.of_phase)
        case SuperpixelParameter(cells=cells, tiles=tiles, choices=choices):
            is_phase = parameter.is_phase
            cells = SuperpixelBasis(cells, plane, tiles=tiles, choices=choices, is_phase=is_phase)
            if parameter.bounds_rad is None:
                return _Drawn(cells.field, response.of_grey)
            _check_values(response, parameter.bounds_rad)
            return _Drawn(cells.field, response.of_phase)
        case DiscParameter(grey=grey):
            return _Drawn(DiscBasis(plane, grey=grey).field, response.of_grey)
        case RawParameter(region=region):
            raw = RawBasis(plane, region=region, order=response.order)
            if parameter.is_phase:
                _check_values(response, parameter.bounds)
            return _Drawn(raw.field, response.of_phase if parameter.is_phase else response.of_grey)
        case FourierParameter(cycles=cycles, region=region, mean=mean):
            return _of_modes(
                parameter, FourierBasis(cycles, plane, region=region, mean=mean), response
            )
        case HadamardParameter(blocks=blocks, first_and_last=(first, last), region=region):
            modes = hadamard_modes(blocks, first, last, plane, region=region, mean=parameter.mean)
            return _of_modes(parameter, modes, response)


def _check_values(response: Response, bounds_rad: tuple[float, float]) -> None:
    """Refuse bounds of phases that cannot be shown; outside of all cells and regions it is 0."""
    response.check_phases(min(bounds_rad[0], 0.0), max(bounds_rad[1], 0.0))


def _of_modes(
    parameter: FourierParameter | HadamardParameter,
    modes: FourierBasis | PlacedModes,
    response: Response,
) -> PatternBasis:
    """Draw sums of modes in the unit of the file, if every sum within the bounds can be shown."""
    low, high = parameter.bounds
    if parameter.is_phase:
        if not response.shows_any_phase:
            response.check_phases(*modes.reach(low, high))
        return _Drawn(modes.field, response.of_phase)
    lowest, highest = modes.reach(low, high)
    if lowest < 0 or highest > FULL_SCALE:
        _, per_grey = modes.reach(-1.0, 1.0)
        room = min(parameter.mean, FULL_SCALE - parameter.mean) / (per_grey - parameter.mean)
        safe = math.floor(room * 100) / 100  # rounded down, so that what is said is accepted
        raise DesignError(
            f"bounds_grey {low:g} to {high:g} of {parameter.basis} allow grey levels {lowest:.4g} "
            f"to {highest:.4g}, and there are 0 to {FULL_SCALE}; {-safe:g} to {safe:g} fit "
            "whatever the design"
        )
    return _Drawn(modes.field, response.of_grey)


def pattern_parameter(name: str, parameter: PatternParameter, shape: tuple[int, int]) -> Parameter:
    """Return the design parameter of a pattern: labels, bounds and start of its components.

    Parameters
    ----------
    name
        Of the parameter in the bench file.
    parameter
        As the file has it.
    shape
        (height, width) of its modulator in pixels.

    Raises
    ------
    DesignError
        More components than a design can hold.
    """
    match parameter:
        case ZernikeParameter(modes=modes, bounds_rad=(low, high), start_rad=start):
            labels = zernike_labels(*modes)
            return Parameter(
                name=name, unit="rad", lower=low, upper=high, labels=labels,
                start=(start,) * len(labels), modal=True,
            )  # fmt: skip
        case SuperpixelParameter(bounds_rad=(low, high), start_rad=start):
            labels = superpixel_labels(parameter.cells)
            phase = min(max(0.0, low), high) if start is None else start
            return Parameter(
                name=name, unit="rad", lower=low, upper=high, labels=labels,
                start=(phase,) * len(labels),
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
        case RawParameter(region=region):
            return _of_phase_or_grey(name, parameter, raw_labels(shape, region))
        case FourierParameter(cycles=cycles):
            return _of_phase_or_grey(name, parameter, fourier_labels(cycles))
        case HadamardParameter(blocks=blocks, first_and_last=(first, last)):
            return _of_phase_or_grey(name, parameter, hadamard_labels(blocks, first, last))
    raise TypeError(f"{parameter!r} is a pattern of no known basis")


def _of_phase_or_grey(
    name: str,
    parameter: RawParameter | FourierParameter | HadamardParameter,
    labels: tuple[str, ...],
) -> Parameter:
    low, high = parameter.bounds
    is_raw = isinstance(parameter, RawParameter)
    middle = DEFAULT_GREY if is_raw and parameter.unit == "grey" else 0.0
    start = min(max(middle, low), high) if parameter.start is None else parameter.start
    return Parameter(
        name=name, unit=parameter.unit, lower=low, upper=high, labels=labels,
        start=(float(start),) * len(labels), modal=parameter.is_phase and not is_raw,
    )  # fmt: skip


def render_patterns(
    meta: Mapping[str, Any], design: Design, *, folder: Path = Path()
) -> dict[str, UInt8[np.ndarray, "height width"]]:
    """Draw again what each modulator showed, from a run's record.

    Parameters
    ----------
    meta
        The ledger's `meta`: `config` and `slm_shapes`.
    design
        Any design of the run.
    folder
        Run directory, where the record keeps the modulators' calibration files.

    Returns
    -------
    dict
        Role of the modulator (with the shot, where shots differ) to its grey levels; empty for a
        bench without one.

    Raises
    ------
    ModulatorFileError
        A calibration file of a modulator is not there any more.
    """
    config = Config.model_validate(meta["config"])
    patterns = {}
    for name, parameter in config.design.items():
        role = config.bench.roles[parameter.role]
        if isinstance(parameter, PatternParameter) and isinstance(role, SlmRole):
            shape = tuple(meta["slm_shapes"][parameter.role])
            response = make_response(parameter.role, role.in_folder(folder), shape)
            basis = make_basis(parameter, response)
            shots = config.shots if parameter.per_shot else 1
            for shot in range(shots):
                own = components_of_shot(parameter, design.values[name], shot, shots)
                patterns[shown_as(parameter.role, shot, shots)] = basis.pattern(own)
    return patterns


def grey_patterns(config: Config) -> tuple[str, ...]:
    """Name the patterns, as `render_patterns` does, whose levels are not phases of 256 a turn.

    They are brightness, or have gone through a look-up table.
    """
    return tuple(
        shown_as(parameter.role, shot, shots)
        for parameter in config.design.values()
        if isinstance(parameter, PatternParameter)
        if not parameter.is_phase or _has_lookup(config, parameter.role)
        for shots in [config.shots if parameter.per_shot else 1]
        for shot in range(shots)
    )


def _has_lookup(config: Config, role: str) -> bool:
    modulator = config.bench.roles[role]
    return isinstance(modulator, SlmRole) and modulator.lut is not None
