"""From the moments of all levels to a calibrated sensor: one straight sequence.

Sources: reference/noise.md sections 1 and 3; EMVA Standard 1288 for the scalars.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from estimation.calibration import checks
from estimation.calibration.darks import (
    ROUNDING_VARIANCE,
    DarkMeans,
    common_error,
    fit_dark_means,
    fit_read_variance,
    mean_errors,
)
from estimation.calibration.defects import find_defects, find_stuck, find_telegraph
from estimation.calibration.errors import GainNotFound, NoDarks
from estimation.calibration.findings import (
    UNUSABLE,
    CalibrationWarning,
    Defect,
    Finding,
    merge_alike,
)
from estimation.calibration.flats import (
    Responsivity,
    excess_spread,
    fit_responsivity,
    linearity_error,
)
from estimation.calibration.levels import Choice, choose_levels
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
from estimation.noise import SensorNoise

FEW_DARKS = 20


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
    maps = _Maps(darks, choice, means, raw_gain=line.gain, gain=gain, gain_se=gain_se, stuck=stuck)
    good = (maps.defects & int(UNUSABLE)) == 0
    linearity = linearity_error(
        choice.levels, means, good=good, lowest_adu=0.05 * (choice.saturation or 2.0**bit_depth)
    )
    found += [*dark_warnings, *lit_warnings, *choice.warnings]
    found += _level_warnings(darks, choice, means, line.gain)
    found += checks.check_fit(line, points) + checks.check_coupling(coupling)
    found += _support_warnings(darks, lit, maps, linearity, second_gain_adu)
    found = merge_alike(found)
    return _result(maps, line, points, choice, coupling, linearity, found, bit_depth=bit_depth)


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


class _Maps:
    """All maps of the result, computed in the order they need each other.

    `raw_gain` is ADU^2 of variance per ADU of signal, which is what takes dark shot noise out of a
    pixel's own variance; `gain` turns ADU into electrons.
    """

    def __init__(
        self,
        darks: Sequence[LevelMoments],
        choice: Choice,
        means: DarkMeans,
        *,
        raw_gain: float,
        gain: float,
        gain_se: float,
        stuck: np.ndarray,
    ) -> None:
        self.means, self.gain, self.gain_se = means, gain, gain_se
        variance, variance_se = fit_read_variance(darks, means, gain=raw_gain)
        self.read_variance = variance
        self.read_noise = np.sqrt(np.maximum(variance, 0.0)) / gain
        own_error = variance_se / (2 * np.sqrt(np.maximum(variance, variance_se))) / gain
        self.common_read_noise_se = float(np.sqrt(np.mean(own_error**2) / own_error.size))
        self.common_offset_se = common_error(darks)
        self.read_noise_se = np.hypot(own_error, self.read_noise * gain_se / gain)
        self.offset_se, slope_se = mean_errors(darks, means, read_variance=variance, gain=raw_gain)
        self.dark_current = self.dark_current_se = None
        if means.slope is not None:
            self.dark_current = means.slope / gain
            self.dark_current_se = np.hypot(slope_se, means.slope * gain_se / gain) / gain
        self.responsivity = self._responsivity(choice, raw_gain, ~stuck)
        best = max(darks, key=lambda dark: (dark.frames, -dark.exposure_s))
        self.defects = find_defects(
            stuck=stuck,
            telegraph=find_telegraph(best, gain=raw_gain, offset=means.offset),
            read_noise=self.read_noise,
            read_noise_se=self.read_noise_se,
            responsivity=self.responsivity.values,
            dark_current=self.dark_current,
            dark_current_se=self.dark_current_se,
        )

    def _responsivity(self, choice: Choice, raw_gain: float, good: np.ndarray) -> Responsivity:
        clear = [
            level
            for level, mask in zip(choice.levels, choice.masks, strict=True)
            if np.count_nonzero(mask) > 0.999 * np.count_nonzero(good)
        ]
        return fit_responsivity(
            clear or choice.levels[:1],
            self.means,
            read_variance=self.read_variance,
            offset_errors=self.offset_se,
            gain=raw_gain,
            good=good,
        )


def _level_warnings(
    darks: Sequence[LevelMoments], choice: Choice, means: DarkMeans, gain: float
) -> list[CalibrationWarning]:
    found = []
    for level in [*darks, *reversed(choice.levels)]:  # the brightest shows most
        signal = float(np.mean(level.mean - means.offset))
        found += checks.check_common(level, signal=signal, gain=gain)
    return found


def _support_warnings(
    darks: Sequence[LevelMoments],
    lit: Sequence[LevelMoments],
    maps: _Maps,
    linearity: float | None,
    second_gain_adu: float | None,
) -> list[CalibrationWarning]:
    """Return what the frames could not support, with what to add."""
    found = []

    def warn(name: Finding, sentence: str) -> None:
        found.append(CalibrationWarning(name, sentence))

    frames = sum(dark.frames for dark in darks)
    if frames < FEW_DARKS:
        warn(
            Finding.FEW_DARKS,
            f"{frames} darks give the read noise of a pixel to {1 / np.sqrt(2 * frames):.0%}; "
            "take 100 or more",
        )
    if maps.dark_current is None:
        warn(
            Finding.DARK_CURRENT_UNKNOWN,
            "darks have one exposure, so dark current is not known, and offset and read noise "
            "contain it; take darks at four exposures",
        )
        times = {level.exposure_s for level in lit}
        if any(not np.isclose(t, darks[0].exposure_s, rtol=0.01) for t in times):
            warn(
                Finding.DARK_EXPOSURE_DIFFERS,
                f"darks have {darks[0].exposure_s:g} s, lit levels {sorted(times)} s; take darks "
                "at those exposures",
            )
    if float(np.median(maps.read_variance)) < 0.4**2:
        warn(
            Finding.READ_NOISE_BELOW_ROUNDING,
            "the read noise is below 0.4 ADU, where rounding hides it; raise the camera's gain",
        )
    if linearity is None:
        warn(
            Finding.LINEARITY_UNKNOWN,
            "fewer than three usable levels of known relative exposure; give `light` as a number, "
            "or one label at three exposures",
        )
    elif linearity > 0.01:
        warn(Finding.NOT_LINEAR, f"the signal deviates by {linearity:.1%} from a line")
    if second_gain_adu is not None:
        warn(
            Finding.DUAL_GAIN,
            f"codes are missing above {second_gain_adu:.0f} ADU: the camera joins two gains; the "
            "calibration holds below that only. Use a single-gain mode, or stay below",
        )
    n_telegraph = int(np.count_nonzero(maps.defects & int(Defect.TELEGRAPH)))
    if n_telegraph:
        warn(
            Finding.TELEGRAPH_PIXELS,
            f"{n_telegraph} pixels switch between levels (random telegraph noise) and are masked",
        )
    return found


def _result(
    maps: _Maps,
    line: Line,
    points: tuple[Point, ...],
    choice: Choice,
    coupling: Coupling | None,
    linearity: float | None,
    warnings: Sequence[CalibrationWarning],
    *,
    bit_depth: int,
) -> CalibrationResult:
    good = (maps.defects & int(UNUSABLE)) == 0
    dynamic_range = None
    if choice.saturation is not None:
        capacity_e = (choice.saturation - float(np.mean(maps.means.offset[good]))) / maps.gain
        dynamic_range = capacity_e / (np.sqrt(line.dark_variance) / maps.gain + 0.5)
    responsivity = maps.responsivity
    return CalibrationResult(
        noise=_noise(maps, good, choice.saturation, bit_depth),
        gain=maps.gain,
        gain_se=maps.gain_se,
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
        linearity_error=linearity,
        saturation=choice.saturation,
        dynamic_range=dynamic_range,
        correlation=None if coupling is None else coupling.correlation,
        curve=points,
        curve_residuals=line.residuals,
        warnings=tuple(warnings),
    )


def _noise(maps: _Maps, good: np.ndarray, saturation: float | None, bit_depth: int) -> SensorNoise:
    """Return the sensor for the scores; masked pixels get plain values, which are never used."""
    offset, dark_current = maps.means.offset, None
    if maps.dark_current is not None:
        # where the line slopes down there is no dark current: the offset is then the plain mean
        offset = np.where(maps.dark_current < 0, maps.means.flat_offset, offset)
        dark_current = np.maximum(maps.dark_current, 0.0)
    plain = np.where(good & (maps.responsivity.values > 0), maps.responsivity.values, 1.0)
    return SensorNoise(
        gain=maps.gain,
        offset=offset,
        read_noise=maps.read_noise,
        bit_depth=bit_depth,
        responsivity=plain,
        dark_current=dark_current,
        saturation=saturation,
        defects=~good | (maps.responsivity.values <= 0),
        gain_standard_error=maps.gain_se,
        read_noise_standard_error=maps.common_read_noise_se,
        offset_standard_error=maps.common_offset_se,
    )
