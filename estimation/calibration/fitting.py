"""From the moments of all levels to a calibrated sensor: one straight sequence.

Sources: reference/noise.md sections 1 and 3; EMVA Standard 1288 for the scalars.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from estimation.calibration import checks
from estimation.calibration.darks import (
    ROUNDING_VARIANCE,
    DarkMeans,
    fit_dark_means,
    fit_read_variance,
    mean_errors,
)
from estimation.calibration.defects import find_interpolated, find_stuck
from estimation.calibration.errors import GainNotFound, NoDarks, NoUsableLevels
from estimation.calibration.findings import (
    CalibrationWarning,
    Finding,
    merge_alike,
)
from estimation.calibration.flats import Linearity, excess_spread, fit_linearity
from estimation.calibration.levels import Choice, choose_levels
from estimation.calibration.maps import Maps
from estimation.calibration.moments import LevelMoments
from estimation.calibration.photon_transfer import (
    Coupling,
    Line,
    Point,
    find_coupling,
    fit_line,
    make_point,
)
from estimation.calibration.result import CalibrationResult
from estimation.calibration.support import level_warnings, support_warnings


def fit_levels(
    levels: Sequence[LevelMoments], *, bit_depth: int, codes: np.ndarray
) -> CalibrationResult:
    """Fit everything the levels can support; see `SensorCalibration.fit`."""
    darks = _darks(levels)
    found = checks.check_zeros(darks)
    second_gain_adu = checks.check_codes(codes)
    darks, dark_warnings = _guard_against_drift(darks, None)
    means = fit_dark_means(darks)
    stuck = find_stuck([level for level in levels if level.frames > 1])
    lit, lit_warnings = _guard_against_drift(
        [level for level in levels if not level.is_dark and level.frames > 1], means.offset
    )
    choice = choose_levels(
        lit,
        offset=means.offset,
        dark_variance=float(np.median(darks[0].noise_variance())),
        good=~stuck,
        top=2.0**bit_depth - 1,
        second_gain_adu=second_gain_adu,
    )
    line, points = _curve(choice, darks, means, good=~stuck)
    checks.check_follows_light(choice.levels, means.offset)
    noisiest = _noisy(darks, means, line.gain)
    line, points = _curve(choice, darks, means, good=~stuck & ~noisiest)
    if not line.gain > 3 * line.gain_se:
        raise GainNotFound(
            f"the variance grows by {line.gain:.3g} +- {line.gain_se:.2g} ADU per ADU of signal, "
            "which is no shot noise; use more light, raw frames without denoising, and levels that "
            "differ"
        )
    coupling = find_coupling(choice.levels, darks, offset=means.offset)
    gain, gain_se = _corrected(line, coupling)
    maps = Maps(darks, choice, means, raw_gain=line.gain, gain=gain, gain_se=gain_se, stuck=stuck)
    if not maps.good.any():
        raise NoUsableLevels(
            f"all {maps.good.size} pixels are dead, stuck or switching; look at the frames, and "
            "give a region that sees light"
        )
    linearity = fit_linearity(
        choice.levels,
        means,
        good=maps.good & np.all(choice.masks, axis=0),  # the same pixels, clear in every level
        lowest_adu=0.05 * (choice.saturation or 2.0**bit_depth),
        offset_error=maps.common_offset_se,
    )
    steadiest = max(darks, key=lambda dark: dark.frames)
    interpolated = int(np.count_nonzero(find_interpolated(steadiest, choice.levels)))
    found += [*checks.check_glitches(levels), *checks.check_bands(steadiest, gain)]
    found += [*dark_warnings, *lit_warnings, *choice.warnings]
    found += level_warnings(darks, choice, means, line.gain)
    found += checks.check_fit(line, points) + checks.check_coupling(coupling)
    found += support_warnings(darks, lit, maps, interpolated, linearity, second_gain_adu)
    found = merge_alike(found)
    result = _result(maps, line, points, choice, coupling, linearity, found, bit_depth=bit_depth)
    return replace(result, **_band_noise(steadiest, gain))


def _band_noise(dark: LevelMoments, gain: float) -> dict[str, float]:
    """Return the noise of rows and columns with errors, e- rms, 0 where it does not show."""
    bands, found = dark.bands, {}
    if bands is None:
        return {}
    lines = {"row": dark.mean.shape[0], "column": dark.mean.shape[1]}
    for name, n_lines in lines.items():
        square, error = getattr(bands, name), getattr(bands, f"{name}_se")
        own = max(square, 0.0) * np.sqrt(3 / (dark.pairs * n_lines))
        rms = np.sqrt(max(square, 0.0))
        error = np.hypot(error, own)
        found[f"{name}_noise"] = float(rms / gain)
        # where nothing shows, what could hide in the error
        found[f"{name}_noise_se"] = float(min(error / (2 * rms or 1e-12), np.sqrt(error)) / gain)
    return found


def _darks(levels: Sequence[LevelMoments]) -> list[LevelMoments]:
    darks = [level for level in levels if level.is_dark and level.frames > 1]
    if not darks:
        raise NoDarks(
            "no dark level (light=0) of two frames or more came; offset and read noise need 100 "
            "darks or more: switch the light off, close the shutter, and add them with light=0.0"
        )
    return sorted(darks, key=lambda dark: dark.exposure_s)


def _guard_against_drift(
    levels: Sequence[LevelMoments], offset: np.ndarray | None
) -> tuple[list[LevelMoments], list[CalibrationWarning]]:
    """Read levels whose pixels drift on their own through successive differences."""
    kept, found = [], []
    for level in levels:
        drifts = checks.drifts_by_pixel(level, None if offset is None else level.mean - offset)
        kept.append(level.with_steps() if drifts else level)
        if drifts:
            sentence = (
                f"pixels drift on their own at light {level.light}, {level.exposure_s:g} s; "
                "successive differences are used. Keep temperature and illumination steady"
            )
            found.append(CalibrationWarning(Finding.PIXEL_DRIFT, sentence))
    return kept, found


def _curve(
    choice: Choice, darks: Sequence[LevelMoments], means: DarkMeans, *, good: np.ndarray
) -> tuple[Line, tuple[Point, ...]]:
    points = [make_point(dark, offset=means.offset, good=good) for dark in darks]
    points += [
        make_point(level, offset=means.offset, good=good & mask)
        for level, mask in zip(choice.levels, choice.masks, strict=True)
    ]
    best = max(darks, key=lambda dark: dark.freedom)
    variance = best.noise_variance()[good]
    sampling = 2 * float(variance.mean()) ** 2 / best.freedom
    spread2 = max(0.0, float(variance.var()) - sampling)
    return fit_line(points, dark_spread2=spread2), tuple(points)


def _noisy(darks: Sequence[LevelMoments], means: DarkMeans, gain: float) -> np.ndarray:
    """Return pixels whose noise or dark current would only blur the curve."""
    variance, error = fit_read_variance(darks, means, gain=max(gain, 0.0))
    usual = max(float(np.median(variance)), 0.0) + ROUNDING_VARIANCE
    noisy = variance - 3 * error > 4 * usual
    if means.slope is not None:
        slope_error = mean_errors(darks, means, read_variance=variance, gain=max(gain, 0.0))[1]
        noisy |= means.slope > np.median(means.slope) + 10 * slope_error
    return noisy


def _corrected(line: Line, coupling: Coupling | None) -> tuple[float, float]:
    """Return the gain and its error, corrected for coupling where that is seen."""
    if coupling is None or not coupling.is_seen:
        return line.gain, line.gain_se
    error = np.hypot(line.gain_se * coupling.factor, line.gain * coupling.factor_se)
    return line.gain * coupling.factor, float(error)


def _result(
    maps: Maps,
    line: Line,
    points: tuple[Point, ...],
    choice: Choice,
    coupling: Coupling | None,
    linearity: Linearity | None,
    warnings: Sequence[CalibrationWarning],
    *,
    bit_depth: int,
) -> CalibrationResult:
    good = maps.good
    dynamic_range = None
    if choice.saturation is not None:
        capacity_e = (choice.saturation - float(np.mean(maps.means.offset[good]))) / maps.gain
        dark_variance = float(np.mean(maps.read_variance[good])) + ROUNDING_VARIANCE
        dynamic_range = capacity_e / (np.sqrt(dark_variance) / maps.gain + 0.5)
    responsivity = maps.responsivity
    return CalibrationResult(
        noise=maps.noise(choice.saturation, bit_depth),
        gain=maps.gain,
        gain_se=maps.gain_se,
        gain_map=maps.gain_map,
        gain_spread=maps.pixel_gains.spread,
        offset=maps.means.offset,
        offset_se=maps.offset_se,
        read_noise=maps.read_noise,
        read_noise_se=maps.read_noise_se,
        responsivity=responsivity.values,
        responsivity_se=responsivity.errors,
        dark_current=maps.dark_current,
        dark_current_se=maps.dark_current_se,
        defects=maps.defects,
        prnu=excess_spread(responsivity.values[good], responsivity.errors[good]),
        dsnu=excess_spread(maps.means.offset[good], maps.offset_se[good]) / maps.gain,
        linearity_error=None if linearity is None else linearity.error,
        linearity_error_se=None if linearity is None else linearity.standard_error,
        saturation=choice.saturation,
        dynamic_range=dynamic_range,
        correlation=None if coupling is None else coupling.correlation,
        correlation_se=None if coupling is None else coupling.correlation_se,
        curve=points,
        curve_residuals=line.residuals,
        warnings=tuple(warnings),
    )
