"""The page: everything the template shows, computed from a calibration's result."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from estimation.calibration import CalibrationResult, Defect, Finding
from estimation.calibration.findings import UNUSABLE
from instrument.faces.calibration_report import figures, summary
from instrument.faces.calibration_report.summary import Map
from instrument.faces.page_style import environment, gradient

SAMPLE_IN_VIEW = "sample in view"
"""Key of `meta` that says so with any value but "no"; or the whole value of another key."""

WORST_PIXELS = 20
_MAP_PERCENT, _HISTOGRAM_PERCENT = 1.0, 0.05
_HISTOGRAM_MARGIN = 0.1
_GREEK = {"mu": "\N{GREEK SMALL LETTER MU}", "sigma": "\N{GREEK SMALL LETTER SIGMA}",
          "eta": "\N{GREEK SMALL LETTER ETA}"}  # fmt: skip
_SHOWN_ELSEWHERE = ("title", "camera", "created_at", "infoloop_version")

_DEFECTS = {
    Defect.HOT: "dark current far above the others",
    Defect.DEAD: "below half the response of its neighbours",
    Defect.NOISY: "read noise above three times the median",
    Defect.TELEGRAPH: "switches between levels",
    Defect.STUCK: "never changes",
}


def write_calibration_report(
    result: CalibrationResult, path: Path, *, meta: Mapping[str, str]
) -> Path:
    """Write one HTML file that needs no other file and no network.

    Parameters
    ----------
    result
        What `SensorCalibration.fit` returned.
    path
        The file; one that is there already is replaced.
    meta
        What was captured, in words: shown as it is. `title` or `camera` heads the page,
        `created_at` (ISO 8601) and `infoloop_version` stand below. With `sample in view`
        responsivity and PRNU are marked as not the sensor's own.

    Returns
    -------
    Path
        `path`.
    """
    rendering = environment(Path(__file__).parent)
    rendering.filters["emva"] = _symbol
    template = rendering.get_template("calibration_report.html.j2")
    path.write_text(template.render(_content(result, meta)), encoding="utf-8")
    return path


def with_error(value: float, se: float | None) -> tuple[str, str | None]:
    """Write a value to the second digit of its standard error, and that error."""
    if se is None or not np.isfinite(se) or se <= 0:
        return (_shortest(value) if abs(value) >= 1 else _minus(f"{value:.2g}")), None
    decimals = max(0, 1 - int(np.floor(np.log10(se))))
    return _minus(f"{value:,.{decimals}f}"), f"{se:,.{decimals}f}"


def is_sample_in_view(meta: Mapping[str, str]) -> bool:
    """Return whether `meta` says that the flat frames show a sample."""
    for key, text in meta.items():
        said = text.strip().lower()
        if key.replace("_", " ").strip().lower() == SAMPLE_IN_VIEW:
            return said not in {"no", "false", "0", ""}
        if said == SAMPLE_IN_VIEW:
            return True
    return False


def _content(result: CalibrationResult, meta: Mapping[str, str]) -> dict[str, Any]:
    sample = is_sample_in_view(meta)
    used = summary.usable_pixels(result)
    counts = summary.defect_counts(result.defects)
    return {
        "name": meta.get("title") or meta.get("camera") or "Camera",
        "meta": meta,
        "captured": {key: text for key, text in meta.items() if key not in _SHOWN_ELSEWHERE},
        "shape": result.offset.shape,
        "is_sample_in_view": sample,
        "warnings": summary.grouped_warnings(result.warnings),
        "tiles": _tiles(result),
        "table": [
            {"quantity": quantity, "written": _written(quantity)}
            for quantity in summary.emva_table(result, is_sample_in_view=sample)
        ],
        "curve": _curve(result),
        "levels": _levels(result),
        "is_coupled": result.warned(Finding.NEIGHBOUR_CORRELATION),
        "linearity": _linearity(result),
        "linearity_error": result.linearity_error,
        "no_linearity": summary.reason(
            result, Finding.LINEARITY_UNKNOWN, "The levels do not say their doses."
        ),
        "maps": _maps(result, sample),
        "no_dark_current": None
        if result.dark_current is not None
        else summary.reason(result, Finding.DARK_CURRENT_UNKNOWN, "not measured"),
        "map_gradient": gradient(figures.MAP_COLORMAP),
        "spectra": _spectra(result),
        "defects": [
            {
                "name": (kind.name or "").lower(),
                "count": count,
                "what": _DEFECTS[kind],
                "is_unusable": bool(kind & UNUSABLE),
            }
            for kind, count in counts
        ],
        "n_defective": int(np.count_nonzero(result.defects)),
        "n_unusable": int(np.count_nonzero(~used)),
        "n_pixels": result.defects.size,
        "worst": summary.worst_pixels(result, WORST_PIXELS),
    }


def _tiles(result: CalibrationResult) -> list[dict[str, Any]]:
    """Return the headline; a tile without a value says in its note why."""
    used = summary.usable_pixels(result)
    gain, relative = result.gain, result.gain_se / result.gain
    inverse, inverse_se = with_error(1 / gain, relative / gain)
    rms = summary.read_noise_rms(result)[0]
    current = result.dark_current
    ratio = result.dynamic_range
    offset = result.offset[used]
    return [
        _tile(
            "gain", *with_error(gain, result.gain_se), "ADU/e\N{SUPERSCRIPT MINUS}",
            f"{inverse} \N{PLUS-MINUS SIGN} {inverse_se} e\N{SUPERSCRIPT MINUS}/ADU",
        ),
        _tile(
            "read noise", f"{np.median(result.read_noise[used]):.2f}", None,
            "e\N{SUPERSCRIPT MINUS}", f"median of pixels; rms {rms:.2f}",
        ),
        _tile(
            "offset", f"{offset.mean():.2f}", None, "ADU",
            f"mean of pixels; spread {offset.std():.2f}",
        ),
        _tile(
            "dark current", None if current is None else _shortest(float(np.median(current[used]))),
            None, "e\N{SUPERSCRIPT MINUS}/s",
            "median of pixels" if current is not None else summary.reason(
                result, Finding.DARK_CURRENT_UNKNOWN, "not measured"),
        ),
        _tile(
            "dynamic range", None if ratio is None else f"{ratio:,.0f}", None, "",
            f"{20 * np.log10(ratio):.1f} dB" if ratio is not None else summary.reason(
                result, Finding.SATURATION_NOT_REACHED, "no level saturates"),
        ),
    ]  # fmt: skip


def _tile(name: str, value: str | None, se: str | None, unit: str, note: str) -> dict[str, Any]:
    return {"name": name, "value": value, "se": se, "unit": unit, "note": note}


def _written(quantity: summary.Quantity) -> str:
    if quantity.value is None:
        return "\N{EN DASH}"
    value, se = with_error(quantity.value, quantity.se)
    return value if se is None else f"{value} \N{PLUS-MINUS SIGN} {se}"


def _curve(result: CalibrationResult) -> dict[str, Any]:
    slope, dark_variance = summary.curve_line(result)
    errors = summary.residual_errors(result)
    drawn = figures.photon_transfer_svg(
        result.curve, result.curve_residuals, errors, slope=slope, dark_variance=dark_variance
    )
    return {"svg": drawn, "slope": slope, "dark_variance": dark_variance}


def _levels(result: CalibrationResult) -> list[dict[str, Any]]:
    errors = summary.residual_errors(result)
    return [
        {"point": point, "signal_e": point.signal / result.gain, "residual": r, "error": e}
        for point, r, e in zip(result.curve, result.curve_residuals, errors, strict=True)
    ]


def _linearity(result: CalibrationResult) -> Any:
    series = summary.linearity_series(result.curve)
    return figures.linearity_svg(series) if series and result.linearity_error is not None else None


def _maps(result: CalibrationResult, is_sample_in_view: bool) -> list[dict[str, Any]]:
    electron = "e\N{SUPERSCRIPT MINUS}"
    maps = [
        _map("offset", result.offset, result.offset_se, "ADU"),
        _map("read noise", result.read_noise, result.read_noise_se, f"{electron} rms"),
    ]
    if result.gain_map is not None:
        scatter = np.full_like(result.gain_map, result.gain_se)
        maps.append(_map("gain", result.gain_map, scatter, f"ADU/{electron}"))
    if result.dark_current is not None and result.dark_current_se is not None:
        maps.append(
            _map("dark current", result.dark_current, result.dark_current_se, f"{electron}/s")
        )
    shown = _map("responsivity", result.responsivity, result.responsivity_se, "mean 1")
    shown["note"] = (
        "The sample was in view: this map shows the sample and its illumination, not the sensor's "
        "own responsivity."
        if is_sample_in_view
        else None
    )
    return [*maps, shown]


def _map(name: str, values: Map, errors: Map, unit: str) -> dict[str, Any]:
    low, high = summary.robust_range(values, _MAP_PERCENT)
    left, right = summary.robust_range(values, _HISTOGRAM_PERCENT)
    margin = _HISTOGRAM_MARGIN * (right - left)
    left, right = left - margin, right + margin
    return {
        "name": name,
        "unit": unit,
        "uri": figures.map_uri(values, low=low, high=high),
        "low": _shortest(low),
        "high": _shortest(high),
        "histogram": figures.histogram_svg(name, values, unit=unit, low=left, high=right),
        "beyond": int(np.count_nonzero((values < left) | (values > right))),
        "smallest": _shortest(float(values.min())),
        "largest": _shortest(float(values.max())),
        "median": _shortest(float(np.median(values))),
        "error": f"{float(np.median(errors)):.2g}",
        "note": None,
    }


def _spectra(result: CalibrationResult) -> list[Any]:
    return [
        _spectrum(result, "DSNU", result.offset / result.gain, result.offset_se / result.gain,
                  "e\N{SUPERSCRIPT MINUS}"),
        _spectrum(
            result, "PRNU", 100 * result.responsivity, 100 * result.responsivity_se, "%"
        ),
    ]  # fmt: skip


def _spectrum(result: CalibrationResult, name: str, values: Map, errors: Map, unit: str) -> Any:
    used = summary.usable_pixels(result)
    return figures.spectra_svg(
        name,
        {
            "along rows": summary.mean_power(values, used, axis=1),
            "along columns": summary.mean_power(values, used, axis=0),
        },
        floor=float(np.sqrt(np.mean(errors[used] ** 2))),
        unit=unit,
    )


def _symbol(text: str) -> Markup:
    """Write a symbol as the standard prints it: Greek letters, the rest below the line."""
    letter, _, index = text.partition("_")
    return Markup("<i>{}</i><sub>{}</sub>").format(_GREEK.get(letter, letter), index)


def _shortest(value: float) -> str:
    """Write four digits that count, never with an exponent."""
    if value == 0 or not np.isfinite(value):
        return f"{value:g}"
    return _minus(f"{value:,.{max(0, 3 - int(np.floor(np.log10(abs(value)))))}f}")


def _minus(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")
