"""The calibrated sensor: what turns frames in ADU into bits.

The model of one pixel (reference/noise.md, section 0):

    counts = clip(round(offset + gain * (n + read_noise * z)), 0, saturation)
    n ~ Poisson(responsivity * mean_electrons + dark_current * exposure),   z ~ Normal(0, 1)

Entropies are discrete, in bits, in the measure of integer ADU (cells of 1 ADU).
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from estimation.errors import (
    CalibrationMismatch,
    InvalidCalibration,
    InvalidMeasurements,
    SaturatedMeasurements,
)
from estimation.noise.arrays import as_means
from estimation.noise.checks import check_counts
from estimation.noise.closed_form import (
    ROUNDING_VARIANCE,
    calibration_slopes,
    censored_moments,
)
from estimation.noise.identity import mismatches
from estimation.noise.lookup import EntropyLookUp
from estimation.noise.protocol import FixedPattern

MAX_ZERO_FRACTION, MAX_SATURATED_FRACTION = 0.01, 0.99
"""Above this share of pixels at 0 or at saturation the noise model is no longer true: refused."""

STANDARD_ERRORS = {
    "gain": "gain_standard_error",
    "read_noise": "read_noise_standard_error",
    "offset": "offset_standard_error",
}
"""Parameters whose standard error may be known, and where it is kept."""

ENOUGH_PIXELS = 2**18
"""Of a batch, for a standard error of a standard error."""

FILE_FORMAT = "infoloop-sensor-noise-1"


@dataclass(frozen=True, kw_only=True, eq=False)
class SensorNoise:
    """Noise of a calibrated camera. Every parameter is one number or a (height, width) map.

    Parameters
    ----------
    gain
        ADU/e-, above 0.
    offset
        Counts of a dark frame at zero exposure, ADU.
    read_noise
        e- rms, 0 or more.
    bit_depth
        Bits of the converter, 1 to 32; counts are 0 to `2**bit_depth - 1`.
    responsivity
        Electrons per electron of an average pixel, above 0; `None` means all pixels alike.
    dark_current
        e-/s, 0 or more; `None` means none. Needs `exposure_ms` (or `at_exposure`) to be used.
    saturation
        Counts at which a pixel clips, ADU; `None` means `2**bit_depth - 1`.
    defects
        True where a pixel is not to be used; always a map, or `None`.
    gain_standard_error, read_noise_standard_error, offset_standard_error
        What is uncertain about the calibration in all pixels alike, ADU/e-, e- rms and ADU; `None`
        where unknown. The read noise's without what the gain's contributes: dark frames measure
        read noise in ADU. Errors that differ from pixel to pixel average out, and are not meant.
    exposure_ms
        Exposure of the frames this object will be used on, ms.
    key
        Identity of sensor and mode: see `estimation.noise.identity`. May be empty.

    Raises
    ------
    InvalidCalibration
        For a value that is not finite or out of range, or maps of different shapes.

    Examples
    --------
    >>> noise = SensorNoise(gain=2.0, offset=100.0, read_noise=1.5, bit_depth=12)
    >>> bits = noise.conditional_entropy(np.array([[300, 300], [300, 301]]))
    >>> round(float(bits), 2)  # 100 e- and 1.5 e- rms: 1/2 log2(2 pi e 2**2 102.25)
    6.39
    """

    gain: Any = 2.17
    offset: Any = 100.0
    read_noise: Any = 1.4
    bit_depth: int = 12
    responsivity: Any = None
    dark_current: Any = None
    saturation: Any = None
    defects: Any = None
    gain_standard_error: Any = None
    read_noise_standard_error: Any = None
    offset_standard_error: Any = None
    exposure_ms: float | None = None
    key: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (isinstance(self.bit_depth, int | np.integer) and 1 <= self.bit_depth <= 32):
            raise InvalidCalibration(
                f"bit_depth {self.bit_depth!r} came; an integer 1 to 32 is due"
            )
        maps = {
            "gain": _parameter("gain (ADU/e-)", self.gain, above=0.0),
            "offset": _parameter("offset (ADU)", self.offset),
            "read_noise": _parameter("read_noise (e- rms)", self.read_noise, least=0.0),
            "responsivity": _parameter("responsivity", self.responsivity, above=0.0),
            "dark_current": _parameter("dark_current (e-/s)", self.dark_current, least=0.0),
            "saturation": _parameter("saturation (ADU)", self.saturation, above=0.0),
            **{
                name: _parameter(name, getattr(self, name), least=0.0)
                for name in STANDARD_ERRORS.values()
            },
            "defects": None if self.defects is None else _frozen(self.defects, bool),
        }
        shapes = {name: m.shape for name, m in maps.items() if m is not None and m.ndim}
        if len(set(shapes.values())) > 1 or any(len(shape) != 2 for shape in shapes.values()):
            raise InvalidCalibration(
                f"maps of shapes {shapes} came; all maps of one sensor are (height, width) and "
                "alike: "
                "crop them to the same region"
            )
        if maps["defects"] is not None and maps["defects"].ndim != 2:
            raise InvalidCalibration("defects must be a (height, width) map of booleans")
        if self.exposure_ms is not None and not 0 <= self.exposure_ms < np.inf:
            raise InvalidCalibration(f"exposure_ms {self.exposure_ms!r} came; 0 or more is due")
        for name, parameter in {**maps, "key": MappingProxyType(dict(self.key))}.items():
            object.__setattr__(self, name, parameter)

    @property
    def is_discrete(self) -> bool:
        """Counts are integers."""
        return True

    @property
    def shape(self) -> tuple[int, int] | None:
        """Height and width of the maps in pixels; `None` where every parameter is one number."""
        for name in MAPS:
            parameter = getattr(self, name)
            if parameter is not None and parameter.ndim:
                return parameter.shape
        return None

    @property
    def clip_level_adu(self) -> np.ndarray:
        """Counts at and above which a pixel is saturated, ADU."""
        top = np.asarray(2.0**self.bit_depth - 1.0)
        return top if self.saturation is None else np.asarray(np.minimum(self.saturation, top))

    @property
    def dark_electrons(self) -> np.ndarray:
        """Mean dark electrons of one exposure, e-; without exposure `CalibrationMismatch`."""
        if self.dark_current is None:
            return np.asarray(0.0)
        if self.exposure_ms is None:
            raise CalibrationMismatch(
                "this calibration has a dark current (e-/s) but no exposure; use "
                "noise.at_exposure(exposure_ms) with the exposure of the frames"
            )
        return np.asarray(self.dark_current * (self.exposure_ms / 1000.0))

    def at_exposure(self, exposure_ms: float) -> SensorNoise:
        """Return the same sensor for frames of `exposure_ms`, ms."""
        return replace(self, exposure_ms=exposure_ms)

    def crop(self, row: int, column: int, height: int, width: int) -> SensorNoise:
        """Return the sensor's region that starts at (`row`, `column`), pixels.

        Raises
        ------
        CalibrationMismatch
            If the region does not lie inside the maps.
        """
        if self.shape is None:
            return self
        if min(row, column) < 0 or row + height > self.shape[0] or column + width > self.shape[1]:
            raise CalibrationMismatch(
                f"region of {height} x {width} at ({row}, {column}) asked; maps are {self.shape}"
            )
        window = np.s_[row : row + height, column : column + width]
        maps = {name: getattr(self, name) for name in MAPS}
        return replace(self, **{n: m[window] for n, m in maps.items() if m is not None and m.ndim})

    def mismatch(self, key: Mapping[str, Any]) -> list[str]:
        """Return one sentence for each entry of this calibration's key that `key` does not meet."""
        return mismatches(self.key, key)

    def check_key(self, key: Mapping[str, Any]) -> None:
        """Raise `CalibrationMismatch` unless a batch with this identity may use the calibration."""
        if found := self.mismatch(key):
            raise CalibrationMismatch(
                "this noise calibration was not made for these frames: "
                + "; ".join(found)
                + ". Run `infoloop calibrate` in this mode, or load the calibration that belongs "
                "to it"
            )

    def check(self, measurements: np.ndarray) -> dict[str, float]:
        """Raise for frames this sensor cannot have made, or clipped ones.

        Returns
        -------
        dict
            `saturated_fraction` and `zero_fraction` of the usable pixels.

        Raises
        ------
        InvalidMeasurements
            Not counts, constant, or above the converter's range.
        SaturatedMeasurements
            More than 99 % of the pixels at the top (fewer have a likelihood, which a density must
            know to use), or more than 1 % at 0.
        CalibrationMismatch
            Maps of another shape than the frames.
        """
        check_counts(measurements)
        usable = self.fixed_pattern(*measurements.shape[-2:]).usable
        highest = int(measurements.max())
        if highest > 2**self.bit_depth - 1:
            raise InvalidMeasurements(
                f"a count of {highest} came, but {self.bit_depth} bits end at "
                f"{2**self.bit_depth - 1}; "
                "set bit_depth to the camera's, or undo the bit shift of the file"
            )
        kept = measurements if usable.all() else np.where(usable, measurements, 1)
        saturated = 0.0
        if highest >= self.clip_level_adu.min() and usable.any():
            saturated = float(np.mean(measurements >= self.clip_level_adu, where=usable))
        values = max(1, kept.size // usable.size * np.count_nonzero(usable))
        zero = float(kept.size - np.count_nonzero(kept)) / values
        if saturated > MAX_SATURATED_FRACTION or zero > MAX_ZERO_FRACTION:
            raise SaturatedMeasurements(
                f"{saturated:.1%} of the pixels are saturated and {zero:.1%} are 0; at most "
                f"{MAX_SATURATED_FRACTION:.0%} and {MAX_ZERO_FRACTION:.0%} may be: a clipped pixel "
                "has no noise to know its signal by. Lower the exposure or the light, or raise the "
                "camera's black level"
            )
        return {"saturated_fraction": saturated, "zero_fraction": zero}

    def fixed_pattern(self, height: int, width: int) -> FixedPattern:
        """Return offset (with dark electrons), scale (gain x responsivity) and good pixels.

        Raises
        ------
        CalibrationMismatch
            If the maps have another shape than (`height`, `width`).
        """
        shape = (height, width)
        if self.shape is not None and self.shape != shape:
            raise CalibrationMismatch(
                f"frames are {shape}, the calibration's maps are {self.shape} (height, width); "
                "use noise.crop(row, column, height, width), or calibrate this region"
            )
        scale = np.broadcast_to(
            self.gain * (1.0 if self.responsivity is None else self.responsivity), shape
        )
        return FixedPattern(
            offset=np.broadcast_to(self.offset + self.gain * self.dark_electrons, shape).astype(
                np.float64
            ),
            scale=scale / np.exp(np.mean(np.log(scale))),
            usable=np.ones(shape, dtype=bool) if self.defects is None else ~self.defects,
        )

    def electrons(self, counts: np.ndarray) -> np.ndarray:
        """Return `(counts - offset) / gain`, e-: collected charge, dark electrons included."""
        return (np.asarray(counts, dtype=np.float64) - self.offset) / self.gain

    @cached_property
    def _entropies(self) -> EntropyLookUp:
        return EntropyLookUp.of_read_out(
            gain=self.gain,
            offset=self.offset,
            read_noise=self.read_noise,
            top_adu=self.clip_level_adu,
        )

    def entropy_map(self, measurements: np.ndarray) -> np.ndarray:
        """Return bits per pixel from single noisy counts: unbiased over pixels, not for each.

        One pixel's number is noise around its entropy, and far from it in the dark; means over
        pixels, or over frames, are what it is made for (`estimation.noise.table`).
        """
        return self._entropies.of_counts(np.asarray(measurements))

    def conditional_entropy(self, measurements: np.ndarray) -> np.ndarray:
        """Return H(Y|X) of each image from single noisy frames.

        Parameters
        ----------
        measurements
            Raw counts, integers, ADU, (..., height, width).

        Returns
        -------
        np.ndarray
            bits/pixel, shape `measurements.shape[:-2]`, over pixels without defects.

        Raises
        ------
        InvalidMeasurements, SaturatedMeasurements, CalibrationMismatch
            See `check`.
        """
        counts = np.asarray(measurements)
        self.check(counts)
        bits = self.entropy_map(counts)
        if self.defects is None:
            return np.asarray(bits.mean(axis=(-2, -1)))
        return np.asarray(bits.mean(axis=(-2, -1), where=~self.defects))

    def calibration_uncertainty(self, measurements: np.ndarray) -> dict[str, float]:
        """Return what the calibration's errors make of H(Y|X), by source, one standard error.

        They are systematic: the same for every pixel and frame, so no amount of frames helps, and
        equal designs share them. Delta method (`estimation.noise.closed_form`).

        Parameters
        ----------
        measurements
            Raw counts, ADU, (..., height, width).

        Returns
        -------
        dict
            bits/pixel by `"gain"`, `"read_noise"` and `"offset"`; only those whose standard error
            is known.

        Raises
        ------
        CalibrationMismatch
            If the maps have another shape than the frames.
        """
        counts = np.asarray(measurements)
        usable = self.fixed_pattern(*counts.shape[-2:]).usable
        frames = counts.reshape(-1, *counts.shape[-2:])
        frames = frames[:: max(1, frames.size // ENOUGH_PIXELS)]
        slopes = calibration_slopes(
            self.electrons(frames),
            gain=self.gain,
            read_noise=self.read_noise,
            noise_variance_e2=np.square(self.read_noise) + ROUNDING_VARIANCE / np.square(self.gain),
        )
        errors = {source: getattr(self, name) for source, name in STANDARD_ERRORS.items()}
        return {
            source: abs(float((slopes[source] * error).mean(where=usable)))
            for source, error in errors.items()
            if error is not None
        }

    def entropy_at(self, mean_electrons: Any) -> Any:
        """Return h(Y|mean) where the mean is known (a twin), bits; NumPy or JAX, differentiable.

        `mean_electrons` is what a pixel of responsivity 1 collects from the scene, e-, 0 or more.
        """
        array_module, mean_e, normal_cdf = as_means(mean_electrons)

        def cast(parameter: Any) -> Any:
            return array_module.asarray(parameter, dtype=mean_e.dtype)

        responsivity = 1.0 if self.responsivity is None else cast(self.responsivity)
        collected_e = mean_e * responsivity + cast(self.dark_electrons)
        return self._entropies.at_mean(collected_e, array_module, normal_cdf)

    def variance(self, measurements: np.ndarray) -> np.ndarray:
        """Return the noise variance of every count, ADU^2."""
        mean_e = np.maximum(self.electrons(measurements), 0.0)
        return np.square(self.gain) * (mean_e + np.square(self.read_noise)) + ROUNDING_VARIANCE

    def variance_slope(self, measurements: np.ndarray) -> np.ndarray:
        """Return d variance / d count: the gain where there is light, else 0; ADU."""
        return np.where(np.asarray(measurements) > self.offset, self.gain, 0.0)

    def moments_at(self, mean_electrons: Any) -> tuple[Any, Any]:
        """Return mean (ADU) and variance (ADU^2) of dequantised counts at known mean electrons.

        `mean_electrons` is what a pixel of responsivity 1 collects, e-, NumPy or JAX. Counts that
        clip are a normal distribution censored at the top (J. Tobin, Econometrica 26, 24, 1958).
        """
        array_module, mean_e, normal_cdf = as_means(mean_electrons)

        def cast(parameter: Any) -> Any:
            return array_module.asarray(parameter, dtype=mean_e.dtype)

        responsivity = 1.0 if self.responsivity is None else cast(self.responsivity)
        collected_e = mean_e * responsivity + cast(self.dark_electrons)
        gain = cast(self.gain)
        free = cast(self.offset) + gain * collected_e
        variance = gain**2 * (collected_e + cast(self.read_noise) ** 2) + ROUNDING_VARIANCE
        top = array_module.floor(cast(self.clip_level_adu))
        shortfall, censored = censored_moments(
            top - free, variance, array_module=array_module, normal_cdf=normal_cdf
        )
        return top - shortfall, censored + ROUNDING_VARIANCE

    def sample(self, mean_electrons: ArrayLike, rng: np.random.Generator) -> np.ndarray:
        """Draw raw counts, uint16 (uint32 above 16 bits).

        Parameters
        ----------
        mean_electrons
            What a pixel of responsivity 1 collects from the scene, e-, (..., height, width).
        rng
            Source of the noise.
        """
        responsivity = 1.0 if self.responsivity is None else self.responsivity
        mean_e = np.asarray(mean_electrons, dtype=np.float64)
        charge = rng.poisson(mean_e * responsivity + self.dark_electrons)
        voltage = charge + self.read_noise * rng.standard_normal(charge.shape)
        counts = np.clip(
            np.rint(self.offset + self.gain * voltage), 0.0, np.floor(self.clip_level_adu)
        )
        return counts.astype(np.uint16 if self.bit_depth <= 16 else np.uint32)

    def save(self, path: str | Path, *, measured_at: str | None = None) -> None:
        """Write everything to one `.npz` file; `load` reads it back bit for bit.

        `measured_at` (ISO 8601) goes into the file, where `recorded_date` finds it.
        """
        arrays = {name: getattr(self, name) for name in MAPS if getattr(self, name) is not None}
        header = {
            "format": FILE_FORMAT,
            "bit_depth": int(self.bit_depth),
            "exposure_ms": self.exposure_ms,
            "key": dict(self.key),
            **({} if measured_at is None else {"measured_at": measured_at}),
        }
        with Path(path).open("wb") as file:
            np.savez_compressed(file, header=np.asarray(json.dumps(header)), **arrays)

    @classmethod
    def load(cls, path: str | Path) -> SensorNoise:
        """Read a calibration that `save` wrote; never runs code from the file.

        Raises
        ------
        InvalidCalibration
            If the file is not such a calibration.
        """
        try:
            with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as archive:
                header = json.loads(str(archive["header"][()]))
                maps = {name: archive[name] for name in MAPS if name in archive}
        except (KeyError, ValueError, zipfile.BadZipFile, EOFError) as error:
            raise InvalidCalibration(
                f"{path} is not a noise calibration ({error}); use a file that `infoloop "
                "calibrate` or "
                "SensorNoise.save wrote"
            ) from error
        if header.get("format") != FILE_FORMAT:
            raise InvalidCalibration(
                f"{path}: format {header.get('format')!r}, {FILE_FORMAT!r} is due"
            )
        return cls(
            bit_depth=header["bit_depth"],
            exposure_ms=header["exposure_ms"],
            key=header["key"],
            **maps,
        )

    @staticmethod
    def recorded_date(path: str | Path) -> str | None:
        """Return when the calibration in a file was measured (ISO 8601), if the file says so.

        Raises
        ------
        InvalidCalibration
            If the file is not such a calibration.
        """
        try:
            with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as archive:
                return json.loads(str(archive["header"][()])).get("measured_at")
        except (KeyError, ValueError, zipfile.BadZipFile, EOFError) as error:
            raise InvalidCalibration(f"{path} is not a noise calibration ({error})") from error


MAPS = tuple(
    f.name for f in fields(SensorNoise) if f.name not in ("bit_depth", "exposure_ms", "key")
)
"""Parameters that may be a map."""


def _parameter(
    name: str, given: Any, *, above: float | None = None, least: float | None = None
) -> np.ndarray | None:
    """Return a read-only float64 array, or raise with the parameter's name, value and range."""
    if given is None:
        return None
    parameter = _frozen(given, np.float64)
    bound = "finite"
    good = np.isfinite(parameter)
    if above is not None:
        bound, good = f"finite and above {above:g}", good & (parameter > above)
    if least is not None:
        bound, good = f"finite and {least:g} or more", good & (parameter >= least)
    if not good.all():
        raise InvalidCalibration(
            f"{name}: {parameter[~good].flat[0]!r} came ({np.count_nonzero(~good)} such values), "
            f"{bound} is due; mark broken pixels in `defects` and give them a neighbour's value"
        )
    return parameter


def _frozen(given: Any, dtype: Any) -> np.ndarray:
    try:
        parameter = np.array(given, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise InvalidCalibration(
            f"{given!r} is neither a number nor a (height, width) map"
        ) from error
    parameter.flags.writeable = False
    return parameter
