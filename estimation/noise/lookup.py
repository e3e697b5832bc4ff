"""The entropies of a whole sensor: every pixel's closed form and its row of the tables.

The only module that knows how tables are laid out for speed. A pixel's read noise lies between two
rows (at most `ROW_RATIO` apart), its count or its electrons between two columns; where a sensor has
few different read noises, each has its exact row. Rows are solved when they are first needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64
from scipy.interpolate import CubicSpline
from scipy.special import ndtr

from estimation.noise.closed_form import (
    FAR_FROM_CLIPPING,
    ROUNDING_VARIANCE,
    clipped_entropy,
    clipping_correction,
    entropy_at_mean,
    entropy_at_noisy,
    smooth_variance_e2,
)
from estimation.noise.table import (
    ROOT_OF_ZERO,
    ROOT_STEP,
    Lattice,
    Table,
    lattice_table,
    poisson_table,
    smooth_table,
)

ROW_RATIO = 1.03
"""Of the noise of neighbouring rows. Interpolation costs .004 bit at 1.1, .001 at 1.05."""

EXACT_ROWS = 4
"""Up to so many different read noises every one has its own row."""

FINE_ADU, FINE_ADU_OF_MAPS = 1.5, 0.7
"""Read noise above which the lattice of counts no longer shows (1e-4 bit), ADU; where gain or
offset are maps, their spread hides it earlier."""

LEAST_NOISE_E, MOST_NOISE_E = 0.08, 40.0
"""Range of the smooth tables, e- rms. Below, electrons are counted one by one (a lattice); above,
the closed form alone is right."""

LEAST_READ_NOISE_E = 0.01
"""Of the rows of a lattice: less read noise never moves an electron to another count."""

DARK_REACH = 7.0
"""Noise standard deviations between dark level and zero counts that keep the converter from
clipping below."""

PHASES = tuple((np.arange(8) + 0.5) / 8.0)
"""Fractions of offset that stand for all of an offset map's, ADU."""

PIXELS_AT_ONCE = 2**14
"""Few enough for the processor's cache."""

COUNTS_LISTED = 2**16


@dataclass(frozen=True, slots=True)
class Rows:
    """Tables by read noise, and where each pixel lies between them (`first`, `weight` of next)."""

    tables: list[Table]
    first: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensor:
    """What the entropies of a sensor depend on: numbers or (height, width) maps.

    `noise_e2` is the variance of read noise and rounding, e-^2; `top` the count at which a pixel
    clips, ADU, infinite for none.
    """

    gain: np.ndarray
    offset: np.ndarray
    noise_e2: np.ndarray
    top: np.ndarray
    rows: Rows

    @property
    def has_one_scale(self) -> bool:
        """Whether a count means the same electrons in every pixel."""
        return not np.ndim(self.gain) and not np.ndim(self.offset)

    @property
    def is_uniform(self) -> bool:
        """Whether a count has the same entropy in every pixel."""
        return self.has_one_scale and not np.ndim(self.rows.first) and not np.ndim(self.top)


class EntropyLookUp:
    """Entropy of every pixel of a sensor, from its noisy count or from its mean; see the makers."""

    def __init__(self, sensor: Sensor):
        self._sensor = sensor
        self._pixels: _Pixels | None = None
        self._listed: np.ndarray | None = None
        self._splines: Float64[np.ndarray, "4 places"] | None = None

    @classmethod
    def of_read_out(
        cls, *, gain: np.ndarray, offset: np.ndarray, read_noise: np.ndarray, top_adu: np.ndarray
    ) -> EntropyLookUp:
        """Return the entropies of a sensor: ADU/e-, ADU, e- rms, ADU; numbers or maps."""
        return cls(
            Sensor(
                gain=gain,
                offset=offset,
                noise_e2=np.square(read_noise) + ROUNDING_VARIANCE / np.square(gain),
                top=np.floor(top_adu),
                rows=_rows(gain, offset, read_noise),
            )
        )

    @classmethod
    def of_photons(cls) -> EntropyLookUp:
        """Return the entropies of ideal photon counts, which are neither read nor rounded."""
        none, one = np.zeros(()), np.ones(())
        rows = Rows([poisson_table()], np.zeros((), np.intp), none)
        return cls(Sensor(gain=one, offset=none, noise_e2=none, top=one * np.inf, rows=rows))

    def of_counts(self, counts: np.ndarray) -> np.ndarray:
        """Return bits of every pixel from noisy counts, float64, (..., height, width)."""
        if self._sensor.is_uniform and int(counts.max()) < COUNTS_LISTED:
            return self._list()[counts]
        if self._pixels is None:
            self._pixels = _Pixels(self._sensor, np.float32)
        return self._pixels.bits(counts)

    def at_mean(self, mean_e: Any, array_module: Any, normal_cdf: Callable = ndtr) -> Any:
        """Return exact bits where the collected mean (0 e- or more) is known; NumPy or JAX."""
        sensor = self._sensor
        dtype = mean_e.dtype

        def cast(parameter: Any) -> Any:
            return array_module.asarray(parameter, dtype=dtype)

        noise_e2, gain = cast(sensor.noise_e2), cast(sensor.gain)
        bits = entropy_at_mean(mean_e, noise_e2, array_module=array_module)
        bits = bits + self._correction_at_mean(mean_e, array_module, cast)
        bits = bits + array_module.log2(gain)
        if not np.isfinite(sensor.top).any():
            return bits
        variance = smooth_variance_e2(mean_e, noise_e2, array_module=array_module)
        room = cast(sensor.top - 0.5) - cast(sensor.offset) - gain * mean_e
        room = room / (gain * array_module.sqrt(variance))
        return clipped_entropy(bits, room, array_module=array_module, normal_cdf=normal_cdf)

    def _correction_at_mean(self, mean_e: Any, array_module: Any, cast: Callable) -> Any:
        """Interpolate the tables' cubic splines in the root of the mean, and between rows."""
        rows = self._sensor.rows
        if self._splines is None:
            self._splines = _splines(rows.tables)
        splines, intervals = self._splines, self._splines.shape[1] // len(rows.tables)
        place = (array_module.sqrt(mean_e + ROOT_OF_ZERO**2) - ROOT_OF_ZERO) / ROOT_STEP
        # Not `clip` of the place, which halves the gradient at zero.
        place = array_module.minimum(place, float(intervals))
        interval = array_module.clip(array_module.floor(place), 0.0, intervals - 1.0)
        t = place - interval
        row = array_module.asarray(rows.first * intervals)
        index = interval.astype(row.dtype) + row

        def cubic(index: Any) -> Any:
            a, b, c, d = (cast(coefficients)[index] for coefficients in splines)
            return ((a * t + b) * t + c) * t + d

        bits = cubic(index)
        if not rows.weight.any():
            return bits
        weight = cast(rows.weight)
        return bits * (1.0 - weight) + weight * cubic(index + intervals)

    def _list(self) -> Float64[np.ndarray, " counts"]:
        """Return the bits of every count of a sensor whose pixels are all alike."""
        listed = self._listed
        if listed is None:
            counts = np.arange(COUNTS_LISTED).reshape(1, -1)
            listed = self._listed = _Pixels(self._sensor, np.float64).bits(counts)[0]
        return listed


class _Pixels:
    """The tables and maps of a sensor, flat and in one precision, for many frames."""

    def __init__(self, sensor: Sensor, dtype: Any):
        self._dtype = dtype
        columns = _columns(sensor)
        table = np.stack([t.correction(columns) for t in sensor.rows.tables])
        row, weight = sensor.rows.first, sensor.rows.weight
        at_end = table[:, -1]
        last = at_end[row]
        if weight.any():
            last = last + weight * (at_end[row + 1] - last)
        self._offset, self._per_gain = self._flat(sensor.offset), self._flat(1.0 / sensor.gain)
        self._noise_e2 = self._flat(sensor.noise_e2)
        self._log2_gain = self._flat(np.log2(sensor.gain))
        self._table, self._columns = table.astype(dtype).reshape(-1), len(columns)
        self._row = (row * len(columns)).astype(np.int32).reshape(-1)
        self._weight = self._flat(weight) if weight.any() else None
        self._bits_at_end = self._flat(last)

        self._has_one_scale = sensor.has_one_scale
        self._first_count = int(np.rint(sensor.offset + sensor.gain * columns[0]).flat[0])
        self._first_e = dtype(columns[0])
        self._per_step = dtype(1.0 / (columns[1] - columns[0]))

        self._top, self._near_top, self._sigma_at_top = sensor.top.reshape(-1), np.inf, np.ones(1)
        if np.isfinite(sensor.top).all():
            room_e = np.maximum((sensor.top - sensor.offset) / sensor.gain, 0.0)
            sigma = sensor.gain * np.sqrt(room_e + sensor.noise_e2)
            self._near_top = float(np.min(sensor.top - FAR_FROM_CLIPPING * sigma)) - 1.0
            self._sigma_at_top = np.asarray(sigma).reshape(-1)

    def _flat(self, parameter: Any) -> np.ndarray:
        return np.asarray(parameter, dtype=self._dtype).reshape(-1)

    def bits(self, counts: np.ndarray) -> np.ndarray:
        """Return bits of every pixel, float64."""
        frames = counts.reshape(-1, counts.shape[-2] * counts.shape[-1])
        out = np.empty(frames.shape)
        pixels = frames.shape[1]
        width = min(pixels, PIXELS_AT_ONCE)
        height = max(1, PIXELS_AT_ONCE // width)
        for start in range(0, pixels, width):
            columns = slice(start, min(start + width, pixels))
            for frame in range(0, len(frames), height):
                block = np.s_[frame : frame + height, columns]
                out[block] = self._block(frames[block], columns)
        return out.reshape(counts.shape)

    def _block(self, counts: np.ndarray, pixels: slice) -> np.ndarray:
        def of(parameter: np.ndarray) -> np.ndarray:
            return parameter if parameter.size == 1 else parameter[pixels]

        electrons = counts.astype(self._dtype)
        electrons -= of(self._offset)
        electrons *= of(self._per_gain)
        bits = entropy_at_noisy(electrons, of(self._noise_e2))
        bits += of(self._log2_gain)
        bits += self._correction(counts, electrons, of)
        if counts.max() >= self._near_top:
            bits = self._clip(bits, counts, of)
        return bits

    def _correction(self, counts: np.ndarray, electrons: np.ndarray, of: Callable) -> np.ndarray:
        last = self._columns - 1
        if self._has_one_scale:
            # 32 bits are faster, but converters may have 32 of their own.
            wide = counts.dtype.itemsize > 2
            column = counts.astype(np.int64 if wide else np.int32)
            column -= column.dtype.type(self._first_count)
            if column.min() >= last:
                return of(self._bits_at_end)
            np.clip(column, 0, last, out=column)
            column += of(self._row)
            return self._between_rows(column, of)
        place = electrons
        place -= self._first_e
        place *= self._per_step
        if place.min() >= last:
            return of(self._bits_at_end)
        np.clip(place, 0, last - 1, out=place)
        column = place.astype(np.int32)
        place -= column
        column += of(self._row)
        low = self._between_rows(column, of)
        column += 1
        high = self._between_rows(column, of)
        high -= low
        high *= place
        high += low
        return high

    def _between_rows(self, index: np.ndarray, of: Callable) -> np.ndarray:
        bits = self._table.take(index)
        if self._weight is not None:
            step = self._table.take(index + self._columns)
            step -= bits
            step *= of(self._weight)
            bits += step
        return bits

    def _clip(self, bits: np.ndarray, counts: np.ndarray, of: Callable) -> np.ndarray:
        """Add what the top of the range takes away; a count at the top has no entropy."""
        top = of(self._top)
        room = (top - 0.5 - counts) / of(self._sigma_at_top)
        return np.where(counts >= top, 0.0, bits + clipping_correction(room))


def _columns(sensor: Sensor) -> Float64[np.ndarray, " columns"]:
    """Return the electrons at which tables are listed: every count, or a fine equidistant grid."""
    tables = sensor.rows.tables
    noise_e = np.sqrt([t.noise_variance_e2 for t in tables])
    low_e = -DARK_REACH * float(np.clip(noise_e.max(), 0.3, 10.0))
    high_e = max(float(t.spline.t[-4]) for t in tables)
    if not sensor.has_one_scale:
        return np.arange(low_e, high_e, float(np.clip(noise_e.min() / 20.0, 0.02, 0.3)))
    gain, offset = float(sensor.gain), float(sensor.offset)
    first = max(np.floor(offset + gain * low_e), 0.0)
    last = max(np.ceil(offset + gain * high_e), first) + 1.0
    return (np.arange(first, last + 1.0) - offset) / gain


def _rows(gain: np.ndarray, offset: np.ndarray, read_noise: np.ndarray) -> Rows:
    """Choose the tables that a sensor needs, and place every pixel between two of them."""
    has_one_scale = not np.ndim(gain) and not np.ndim(offset)
    gain_of_all = float(np.exp(np.mean(np.log(gain))))
    noise_e = np.sqrt(np.square(read_noise) + ROUNDING_VARIANCE / np.square(gain))
    fine_adu = FINE_ADU if has_one_scale else FINE_ADU_OF_MAPS
    needs_lattice = (gain * read_noise < fine_adu) | (read_noise < LEAST_NOISE_E)
    low = None
    if has_one_scale:
        reaches_zero = offset < DARK_REACH * gain * np.asarray(read_noise) + 1.0
        needs_lattice = needs_lattice | reaches_zero
        low = -int(np.floor(offset)) if reaches_zero.any() else None
    phases = (float(offset - np.floor(offset)),) if has_one_scale else PHASES
    lattice = Lattice(gain=gain_of_all, phases=phases, low=low)

    noise_e, read_noise, needs_lattice = np.broadcast_arrays(noise_e, read_noise, needs_lattice)
    first = np.zeros(noise_e.shape, dtype=np.intp)
    weight = np.zeros(noise_e.shape)
    tables: list[Table] = []
    families = (
        (~needs_lattice, np.clip(noise_e, LEAST_NOISE_E, MOST_NOISE_E), smooth_table),
        (
            needs_lattice,
            np.where(read_noise < LEAST_READ_NOISE_E, 0.0, read_noise),
            lambda noise: lattice_table(noise, lattice),
        ),
    )
    for belongs, noise, table in families:
        if not belongs.any():
            continue
        places, at, share = _places(noise[belongs])
        first[belongs], weight[belongs] = at + len(tables), share
        tables.extend(table(place) for place in places)
    return Rows(tables, first, weight)


def _places(noise: np.ndarray) -> tuple[list[float], np.ndarray, np.ndarray]:
    """Return the noises to tabulate, and for each pixel the one below it and the next one's share.

    A last noise that no pixel lies on is repeated, so that there always is a next one.
    """
    exact, at = np.unique(noise, return_inverse=True)
    if len(exact) <= EXACT_ROWS:
        places = [float(value) for value in exact]
        return [*places, places[-1]], at.reshape(noise.shape), np.zeros(noise.shape)
    step = np.log(ROW_RATIO)
    position = np.log(np.maximum(noise, LEAST_READ_NOISE_E)) / step
    below = np.floor(position).astype(np.intp)
    numbers = np.union1d(below, below + 1)
    places = [float(np.exp(number * step)) for number in numbers]
    # Neighbours in `numbers` are neighbours in noise: below + 1 is always there.
    return places, np.searchsorted(numbers, below), position - below


def _splines(tables: list[Table]) -> Float64[np.ndarray, "4 places"]:
    """Return cubic coefficients of the tables' corrections, all on the longest one's intervals."""
    intervals = max(len(table.entropy.x) for table in tables) - 1
    roots = ROOT_OF_ZERO + ROOT_STEP * np.arange(intervals + 1)
    values = np.stack([table.entropy_correction(roots) for table in tables])
    slopes = np.array([float(table.entropy(ROOT_OF_ZERO, 1)) for table in tables])
    ends: Any = ((1, slopes), "not-a-knot")
    coefficients = CubicSpline(roots, values, axis=1, bc_type=ends).c
    powers = ROOT_STEP ** np.arange(3, -1, -1)
    scaled = coefficients * powers[:, None, None]
    return np.ascontiguousarray(scaled.transpose(0, 2, 1)).reshape(4, -1)
