"""What a calibration says about a sensor, put together for people: pure functions of its result.

Terms and symbols are those of EMVA Standard 1288 (K, sigma_d, mu_d, mu_I, DSNU, PRNU, LE, DR), in
electrons: without an absolute photon flux there is no quantum efficiency, and none is needed.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from estimation.calibration import CalibrationResult, CalibrationWarning, Defect, Finding, Point
from estimation.calibration.findings import UNUSABLE
from instrument.faces.page_style import as_sentence

Map = NDArray[np.float64]

_NOT_MEASURED = {
    Finding.SATURATION_NOT_REACHED,
    Finding.LINEARITY_UNKNOWN,
    Finding.DARK_CURRENT_UNKNOWN,
}
_LIT_LABEL = re.compile(r"light (?P<light>.+) at (?P<exposure>\S+) s")
_LEAST_FOR_LINE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """One line of the table; `value` None says in `remark` why."""

    name: str
    symbol: str
    unit: str
    value: float | None
    se: float | None = None
    remark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Levels whose doses are known relative to each other, and their line."""

    name: str
    dose: NDArray[np.float64]
    signal: NDArray[np.float64]
    deviation: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class DefectivePixel:
    """A pixel with its classes and what each map says of it."""

    row: int
    column: int
    classes: tuple[str, ...]
    offset: float
    read_noise: float
    responsivity: float
    dark_current: float | None


def usable_pixels(result: CalibrationResult) -> NDArray[np.bool_]:
    """Return the pixels the scores use: neither dead, nor stuck, nor telegraph."""
    return (result.defects & int(UNUSABLE)) == 0


def grouped_warnings(
    warnings: Sequence[CalibrationWarning],
) -> list[tuple[Finding, list[str]]]:
    """Gather sentences by name; what is wrong comes before what was not measured."""
    sentences: defaultdict[Finding, list[str]] = defaultdict(list)
    for warning in warnings:
        sentences[warning.name].append(as_sentence(warning.sentence))
    return sorted(sentences.items(), key=lambda group: group[0] in _NOT_MEASURED)


def reason(result: CalibrationResult, name: Finding, otherwise: str) -> str:
    """Return the sentence that explains why something is missing."""
    found = [warning.sentence for warning in result.warnings if warning.name == name]
    return as_sentence(found[0] if found else otherwise)


def emva_table(result: CalibrationResult, *, is_sample_in_view: bool) -> list[Quantity]:
    """Return the sensor in the terms of EMVA 1288, with standard errors where known."""
    return [*_temporal(result), *_range(result), *_spatial(result, is_sample_in_view)]


def read_noise_rms(result: CalibrationResult) -> tuple[float, float]:
    """Return the rms over usable pixels and its standard error, e-."""
    used = usable_pixels(result)
    noise, relative = result.read_noise[used], result.gain_se / result.gain
    own = _without_gain(result.read_noise_se[used], noise, relative)
    rms = float(np.sqrt(np.mean(noise**2)))
    sampling = float(np.sqrt(np.sum((noise * own) ** 2))) / (noise.size * rms) if rms else 0.0
    return rms, float(np.hypot(sampling, rms * relative))


def dark_current_mean(result: CalibrationResult) -> tuple[float, float] | None:
    """Return the mean over usable pixels and its standard error, e-/s; None if not measured."""
    if result.dark_current is None or result.dark_current_se is None:
        return None
    used = usable_pixels(result)
    current, relative = result.dark_current[used], result.gain_se / result.gain
    own = _without_gain(result.dark_current_se[used], current, relative)
    mean = float(current.mean())
    return mean, float(np.hypot(np.sqrt(np.sum(own**2)) / current.size, mean * relative))


def dynamic_range_error(result: CalibrationResult) -> float | None:
    """Return the part of the error that comes from the gain.

    In capacity over threshold, (S / K) / (s / K + 1/2), the gain cancels but for the half electron.
    """
    if result.dynamic_range is None:
        return None
    share = 0.5 / _threshold_e(result)
    return result.dynamic_range * share * result.gain_se / result.gain


def curve_line(result: CalibrationResult) -> tuple[float, float]:
    """Return slope (ADU) and variance at no signal (ADU^2) of the fitted line.

    The slope is that of the line drawn, before any correction for coupling.
    """
    signal = np.array([point.signal for point in result.curve])
    variance = np.array([point.variance for point in result.curve])
    told = variance > 0  # elsewhere the residual is -1, whatever the model
    model = variance[told] / (1 + result.curve_residuals[told])
    slope, dark_variance = np.polyfit(signal[told], model, 1)
    return float(slope), float(dark_variance)


def residual_errors(result: CalibrationResult) -> NDArray[np.float64]:
    """Return the standard error of each relative residual, from counting alone.

    As in the fit (`estimation.calibration.photon_transfer`), the spread of dark variance over
    pixels left out: that of a level's variance is sqrt((2 v^2 / freedom + K^3 x / frames) / pixels)
    with the mean square of v over pixels.
    """
    slope, dark_variance = curve_line(result)
    errors = []
    for p in result.curve:
        shot = slope * max(p.signal, 0.0)
        model = shot + max(dark_variance, 1 / 12)
        square = 2 * (model**2 + slope**2 * p.signal_spread2) / p.freedom
        errors.append(np.sqrt((square + slope**2 * shot / p.frames) / p.pixels) / model)
    return np.array(errors)


def linearity_series(curve: Sequence[Point]) -> list[Series]:
    """Return the series of three levels or more whose relative doses are known.

    Levels of numeric light are one series over exposure x light; those of one label are another,
    over exposure. The line minimises relative residuals, as in `CalibrationResult`.
    """
    gathered: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for point in curve:
        found = _LIT_LABEL.fullmatch(point.label)
        if found is None or point.signal <= 0:
            continue
        exposure_s = float(found["exposure"])
        try:
            gathered["exposure \N{MULTIPLICATION SIGN} light"].append((
                exposure_s * float(found["light"]),
                point.signal,
            ))
        except ValueError:
            gathered[f"exposure, {found['light']}"].append((exposure_s, point.signal))
    return [
        _series(name, levels)
        for name, levels in gathered.items()
        if len({dose for dose, _ in levels}) >= _LEAST_FOR_LINE
    ]


def mean_power(
    image: Map, used: NDArray[np.bool_], *, axis: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return frequencies, cycles per pixel, and the mean power spectrum along an axis.

    White spatial noise of variance s^2 has the power s^2 at every frequency. Pixels out of use
    take the mean of the others; frequency 0, the mean along the axis, is left out.
    """
    mean = image[used].mean()
    flat = np.where(used, image - mean, 0.0)
    length = image.shape[axis]
    power: Map = np.abs(np.fft.rfft(flat, axis=axis)) ** 2 / length
    frequency = np.asarray(np.fft.rfftfreq(length), np.float64)
    return frequency[1:], np.asarray(power.mean(axis=1 - axis))[1:]


def robust_range(values: Map, percent: float) -> tuple[float, float]:
    """Return the range that leaves out `percent` at each end; one bad pixel must not set it."""
    low, high = np.percentile(values, [percent, 100 - percent])
    if low == high:
        margin = 0.5 * max(abs(low), 1.0) * 1e-3
        return float(low - margin), float(high + margin)
    return float(low), float(high)


def defect_counts(defects: NDArray[np.int32]) -> list[tuple[Defect, int]]:
    """Return how many pixels are in each class; a pixel may be in several."""
    return [(kind, int(np.count_nonzero(defects & int(kind)))) for kind in Defect]


def worst_pixels(result: CalibrationResult, most: int) -> list[DefectivePixel]:
    """Return the pixels out of use, then those furthest from the others in any map."""
    rows, columns = np.nonzero(result.defects)
    distance = np.max(
        [_distance(values)[rows, columns] for values in _maps(result).values()], axis=0
    )
    out_of_use = ~usable_pixels(result)[rows, columns]
    order = np.lexsort((-distance, ~out_of_use))[:most]
    return [_pixel(result, int(rows[i]), int(columns[i])) for i in order]


# ---- parts of the table


def _temporal(result: CalibrationResult) -> list[Quantity]:
    gain, relative = result.gain, result.gain_se / result.gain
    noise, noise_se = read_noise_rms(result)
    used = usable_pixels(result)
    offset_se = float(np.sqrt(np.sum(result.offset_se[used] ** 2))) / np.count_nonzero(used)
    current = dark_current_mean(result)
    at = "at the exposure of the darks" if current is None else "at no exposure"
    return [
        Quantity(
            name="overall system gain", symbol="K", unit="ADU/e-", value=gain, se=result.gain_se
        ),
        Quantity(
            name="inverse gain", symbol="1/K", unit="e-/ADU", value=1 / gain, se=relative / gain
        ),
        Quantity(
            name="temporal dark noise", symbol="sigma_d", unit="e-", value=noise, se=noise_se,
            remark=f"rms over pixels, {at}, without the rounding noise",
        ),
        Quantity(
            name="mean dark signal", symbol="mu_d", unit="ADU",
            value=float(result.offset[used].mean()), se=offset_se, remark=at,
        ),
        Quantity(
            name="dark current", symbol="mu_I", unit="e-/s",
            value=None if current is None else current[0],
            se=None if current is None else current[1],
            remark="mean over pixels, from means" if current is not None else reason(
                result, Finding.DARK_CURRENT_UNKNOWN, "not measured"
            ),
        ),
    ]  # fmt: skip


def _range(result: CalibrationResult) -> list[Quantity]:
    relative = result.gain_se / result.gain
    capacity = _capacity_e(result)
    threshold = _threshold_e(result)
    ratio, ratio_se = result.dynamic_range, dynamic_range_error(result)
    why = reason(result, Finding.SATURATION_NOT_REACHED, "no level saturates")
    unknown = "" if capacity is not None else "needs the saturation"
    return [
        Quantity(
            name="saturation", symbol="mu_sat", unit="ADU", value=result.saturation,
            remark="" if result.saturation is not None else why,
        ),
        Quantity(
            name="saturation capacity", symbol="mu_e.sat", unit="e-", value=capacity,
            se=None if capacity is None else capacity * relative,
            remark=unknown or "error of the gain alone",
        ),
        Quantity(
            name="absolute sensitivity threshold", symbol="mu_e.min", unit="e-", value=threshold,
            se=(threshold - 0.5) * relative,
            remark="dark noise of the curve, rounding included, and half an electron",
        ),
        Quantity(
            name="maximum signal-to-noise ratio", symbol="SNR_max", unit="",
            value=None if capacity is None else float(np.sqrt(capacity)),
            se=None if capacity is None else float(np.sqrt(capacity)) * relative / 2,
            remark=unknown or "shot noise at saturation",
        ),
        Quantity(
            name="dynamic range", symbol="DR", unit="", value=ratio, se=ratio_se,
            remark="needs the saturation" if ratio is None else (
                f"{20 * np.log10(ratio):.1f} dB, {np.log2(ratio):.1f} bits; error of the gain alone"
            ),
        ),
    ]  # fmt: skip


def _spatial(result: CalibrationResult, is_sample_in_view: bool) -> list[Quantity]:
    used, gain = usable_pixels(result), result.gain
    dsnu_se = _spread_error(result.offset[used] / gain, result.dsnu)
    dsnu_se = float(np.hypot(dsnu_se, result.dsnu * result.gain_se / gain))
    prnu_se = 100 * _spread_error(result.responsivity[used], result.prnu)
    linearity = result.linearity_error
    neighbours = result.correlation
    return [
        Quantity(
            name="dark signal nonuniformity", symbol="DSNU", unit="e-", value=result.dsnu,
            se=dsnu_se, remark="standard deviation over pixels, temporal noise taken out",
        ),
        Quantity(
            name="photo response nonuniformity", symbol="PRNU", unit="%", value=100 * result.prnu,
            se=prnu_se, remark="holds the sample and the illumination: not the sensor's own"
            if is_sample_in_view else "holds the shading of the illumination",
        ),
        *_line_noise(result),
        *_gain_spread(result),
        Quantity(
            name="linearity error", symbol="LE", unit="%",
            value=None if linearity is None else 100 * linearity,
            se=_percent(result.linearity_error_se),
            remark="largest deviation from a line" if linearity is not None else reason(
                result, Finding.LINEARITY_UNKNOWN, "not measured"
            ),
        ),
        Quantity(
            name="neighbour correlation of the shot noise", symbol="", unit="%",
            value=None if neighbours is None else 100 * neighbours,
            se=_percent(result.correlation_se),
            remark="" if neighbours is not None else "no frames that follow each other came",
        ),
        Quantity(
            name="quantum efficiency", symbol="eta", unit="%", value=None,
            remark="needs an absolute photon flux; information in electrons does not",
        ),
    ]  # fmt: skip


def _line_noise(result: CalibrationResult) -> list[Quantity]:
    """Return what whole rows and columns do in the dark, where frames could tell."""
    lines = (
        ("row", result.row_noise, result.row_noise_se),
        ("column", result.column_noise, result.column_noise_se),
    )
    return [
        Quantity(
            name=f"temporal {name} noise", symbol="", unit="e-", value=value, se=se,
            remark="beyond what independent pixels make of a mean",
        )
        for name, value, se in lines if value is not None
    ]  # fmt: skip


def _gain_spread(result: CalibrationResult) -> list[Quantity]:
    """Return the spread of the gain over pixels where the frames carried a map of it."""
    if result.gain_map is None:
        return []
    return [
        Quantity(
            name="spread of the gain over pixels", symbol="", unit="ADU/e-",
            value=result.gain_spread, se=_spread_error(
                result.gain_map[usable_pixels(result)], result.gain_spread
            ),
            remark="standard deviation, scatter of the estimates taken out; each pixel is used "
            "with its own",
        )
    ]  # fmt: skip


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _capacity_e(result: CalibrationResult) -> float | None:
    if result.saturation is None:
        return None
    return (result.saturation - float(result.offset[usable_pixels(result)].mean())) / result.gain


def _threshold_e(result: CalibrationResult) -> float:
    return float(np.sqrt(max(curve_line(result)[1], 0.0)) / result.gain + 0.5)


def _without_gain(error: Map, value: Map, relative_gain_error: float) -> Map:
    """Take the gain's error, common to all pixels, out of the pixels' errors."""
    return np.sqrt(np.maximum(error**2 - (value * relative_gain_error) ** 2, 0.0))


def _spread_error(values: Map, spread: float) -> float:
    """Return the error of a standard deviation, from the fourth moment: outliers count.

    Where noise explains all the spread, the standard deviation that could hide in its error.
    """
    centred = values - values.mean()
    variance = float(np.mean(centred**2))
    error2 = max(float(np.mean(centred**4)) - variance**2, 0.0) / values.size
    return float(error2**0.5 / (2 * spread)) if spread > 0 else float(error2**0.25)


# ---- other parts


def _series(name: str, levels: Sequence[tuple[float, float]]) -> Series:
    dose, signal = np.array(sorted(levels)).T
    slope, intercept = np.polyfit(dose, signal, 1, w=1 / signal)
    model = intercept + slope * dose
    return Series(name=name, dose=dose, signal=signal, deviation=signal / model - 1)


def _maps(result: CalibrationResult) -> dict[str, Map]:
    maps = {
        "offset": result.offset,
        "read_noise": result.read_noise,
        "responsivity": result.responsivity,
    }
    return maps if result.dark_current is None else {**maps, "dark_current": result.dark_current}


def _distance(values: Map) -> Map:
    """Distance from the median in robust standard deviations."""
    away = np.abs(values - np.median(values))
    usual = 1.4826 * float(np.median(away))
    return away / usual if usual else away


def _pixel(result: CalibrationResult, row: int, column: int) -> DefectivePixel:
    mask = int(result.defects[row, column])
    current = result.dark_current
    return DefectivePixel(
        row=row,
        column=column,
        classes=tuple((kind.name or "").lower() for kind in Defect if mask & int(kind)),
        offset=float(result.offset[row, column]),
        read_noise=float(result.read_noise[row, column]),
        responsivity=float(result.responsivity[row, column]),
        dark_current=None if current is None else float(current[row, column]),
    )
