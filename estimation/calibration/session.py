"""The streaming face of calibration: frames in, exact sums kept, `fit` reads them.

Holds a few maps a level and never a stack. Its state saves to one npz file (no pickle) and resumes.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from estimation.calibration.fitting import fit_levels
from estimation.calibration.glitches import GlitchFilter
from estimation.calibration.moments import read_moments
from estimation.calibration.sums import SCALARS, LevelSums
from estimation.errors import CalibrationMismatch, InvalidCalibration, InvalidMeasurements

if TYPE_CHECKING:
    from estimation.calibration.result import CalibrationResult

FILE_FORMAT = "infoloop-sensor-calibration-1"

CHUNK_FRAMES = 8
"""Frames gathered before they are added: 2 bytes a pixel each, the price of speed."""

DARK = 0.0


class SensorCalibration:
    """Gather frames of a camera, level by level, and fit its noise.

    Parameters
    ----------
    bit_depth
        Bits of the converter, 1 to 16; counts are 0 to `2**bit_depth - 1`.

    Examples
    --------
    >>> calibration = SensorCalibration(bit_depth=12)
    >>> rng = np.random.default_rng(0)
    >>> def frames(mean_e, count):
    ...     charge = rng.poisson(mean_e, (count, 64, 64)) + 1.5 * rng.normal(size=(count, 64, 64))
    ...     return np.rint(100 + 2 * charge).astype(np.uint16)
    >>> calibration.add(frames(0, 40), exposure_s=0.01, light=0.0)
    >>> for power in (1, 2, 3, 4):
    ...     calibration.add(frames(200 * power, 4), exposure_s=0.01, light=power)
    >>> result = calibration.fit()
    >>> abs(result.gain - 2) < 4 * result.gain_se < 0.1
    True
    """

    def __init__(self, *, bit_depth: int) -> None:
        if not (isinstance(bit_depth, int | np.integer) and 1 <= bit_depth <= 16):
            raise InvalidCalibration(
                f"bit_depth {bit_depth!r} came; an integer 1 to 16 is due: the camera's converter"
            )
        self.bit_depth = int(bit_depth)
        self._levels: dict[tuple[float, float | str], LevelSums] = {}

    @property
    def levels(self) -> dict[tuple[float, float | str], int]:
        """Frames seen at each level, keyed by (exposure_s, light)."""
        return {key: self._levels[key].frames for key in self._order()}

    @property
    def shape(self) -> tuple[int, int] | None:
        """(height, width) of the frames, None before the first."""
        return next((sums.shape for sums in self._levels.values()), None)

    def add(self, frames: Iterable[np.ndarray], *, exposure_s: float, light: float | str) -> None:
        """Add frames of one level; call as often as you like, in any order.

        Frames of one call are taken as captured one after the other: their successive differences
        guard against flicker and drift, so give at least two a call. An error in the iterable
        leaves the frames before it counted.

        Parameters
        ----------
        frames
            Counts, unsigned integers, ADU, each (height, width); a generator will do.
        exposure_s
            Exposure, s, 0 or more.
        light
            0 for dark; a positive number for a relative flux; a string names a level whose flux is
            unknown.

        Raises
        ------
        InvalidMeasurements
            Not integer counts, above the converter's range, or of another shape than before.
        """
        key = _checked_key(exposure_s, light)
        buffer, filled, has_previous = np.empty((0, 0), np.uint16), 0, False
        shape: tuple[int, ...] = self.shape or ()
        glitches: GlitchFilter | None = None
        try:
            for frame in frames:
                counts = self._checked(frame, shape)
                if not buffer.size:
                    shape = counts.shape
                    buffer = np.empty((CHUNK_FRAMES + 1, counts.size), np.uint16)
                    glitches = GlitchFilter((shape[0], shape[1]))
                buffer[filled] = counts.reshape(-1)
                filled += 1
                if filled == len(buffer):
                    has_previous = self._add(key, shape, buffer, has_previous, glitches)
                    filled = int(has_previous)
        finally:
            if filled > has_previous:
                self._add(key, shape, buffer[:filled], has_previous, glitches)

    def _add(
        self,
        key: tuple[float, float | str],
        shape: tuple[int, ...],
        frames: np.ndarray,
        has_previous: bool,
        glitches: GlitchFilter | None,
    ) -> bool:
        """Add frames that are sound; leave the last one first, and say whether there is one."""
        assert glitches is not None  # noqa: S101 - made with the first frame
        level = self._level(key, shape)
        outliers, repeated = glitches.judge(frames[int(has_previous) :])
        level.outliers += int(np.count_nonzero(outliers))
        level.repeated += int(np.count_nonzero(repeated))
        left_out = outliers | repeated
        if left_out.any():
            sound = np.flatnonzero(np.r_[[True] * has_previous, ~left_out])
            for place, index in enumerate(sound):  # in place: a copy would cost nine frames
                frames[place] = frames[index]
            frames = frames[: len(sound)]
        if len(frames) > has_previous:
            level.add(frames, has_previous=has_previous)
            frames[0] = frames[-1]
        return len(frames) > 0

    def merge(self, other: SensorCalibration) -> Self:
        """Add everything `other` has seen; exact, so that the order never matters.

        Raises
        ------
        CalibrationMismatch
            If the two saw frames of different shape or bit depth.
        """
        mine, theirs = (self.bit_depth, self.shape), (other.bit_depth, other.shape)
        if self.bit_depth != other.bit_depth or (
            self.shape and other.shape and self.shape != other.shape
        ):
            raise CalibrationMismatch(
                f"(bit depth, shape) {mine} and {theirs} do not merge; calibrate each readout mode "
                "and region on its own"
            )
        for key, sums in other._levels.items():
            self._level(key, sums.shape).merge(sums)
        return self

    def fit(self) -> CalibrationResult:
        """Return the noise with uncertainties; see `CalibrationResult`.

        Raises
        ------
        CalibrationRefused
            When the frames cannot give a gain or a read noise; the class says why, the message
            what to do.
        """
        levels = [
            read_moments(self._levels[key], exposure_s=key[0], light=key[1])
            for key in self._order()
        ]
        codes = np.zeros(2**self.bit_depth, np.int64)
        for sums in self._levels.values():
            codes += sums.codes
        return fit_levels(levels, bit_depth=self.bit_depth, codes=codes)

    def save(self, path: str | Path) -> None:
        """Write the whole state to one npz file; `load` continues from it bit for bit."""
        arrays: dict[str, Any] = {}
        rows = []
        for index, key in enumerate(self._order()):
            sums = self._levels[key]
            rows.append({
                "key": key,
                "scalars": {name: getattr(sums, name) for name in SCALARS},
                "lag_products": sums.lag_products,
            })
            arrays |= {f"{index}_{name}": one for name, one in sums.maps.items()}
            arrays[f"{index}_codes"] = sums.codes
        header = {
            "format": FILE_FORMAT,
            "bit_depth": self.bit_depth,
            "shape": self.shape,
            "levels": rows,
        }
        with Path(path).open("wb") as file:
            np.savez_compressed(file, header=np.asarray(json.dumps(header)), **arrays)

    @classmethod
    def load(cls, path: str | Path) -> SensorCalibration:
        """Read a state that `save` wrote; never runs code from the file.

        Raises
        ------
        InvalidCalibration
            If the file is not such a state.
        """
        try:
            with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as archive:
                header = json.loads(str(archive["header"][()]))
                if header["format"] != FILE_FORMAT:
                    raise ValueError(f"format {header['format']!r}")
                loaded = cls(bit_depth=header["bit_depth"])
                for index, row in enumerate(header["levels"]):
                    loaded._levels[tuple(row["key"])] = _read_level(archive, index, row, header)
        except (KeyError, TypeError, ValueError, zipfile.BadZipFile, EOFError) as error:
            raise InvalidCalibration(
                f"{path} is not a calibration in progress ({error}); use a file that "
                "SensorCalibration.save wrote"
            ) from error
        return loaded

    def _order(self) -> list[tuple[float, float | str]]:
        return sorted(self._levels, key=lambda key: (isinstance(key[1], str), str(key[1]), key[0]))

    def _level(self, key: tuple[float, float | str], shape: tuple[int, ...]) -> LevelSums:
        if key not in self._levels:
            self._levels[key] = LevelSums(
                shape=(shape[0], shape[1]), bit_depth=self.bit_depth, higher=key[1] == DARK
            )
        return self._levels[key]

    def _checked(self, frame: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        counts = np.asarray(frame)
        if counts.ndim != 2 or not counts.size or counts.dtype.kind not in "ui":
            raise InvalidMeasurements(
                f"a frame of {counts.dtype}, shape {counts.shape} came; raw integer counts, "
                "(height, width), are due: give frames as the camera sent them"
            )
        if shape and counts.shape != shape:
            raise InvalidMeasurements(
                f"a frame of shape {counts.shape} came after frames of {shape}; calibrate "
                "each region and binning on its own"
            )
        top = 2**self.bit_depth - 1
        if counts.max() > top or (counts.dtype.kind == "i" and counts.min() < 0):
            raise InvalidMeasurements(
                f"counts {counts.min()} to {counts.max()} came; {self.bit_depth} bits are 0 to "
                f"{top}: set bit_depth to the camera's, or undo the bit shift of the file"
            )
        return counts


def _checked_key(exposure_s: float, light: float | str) -> tuple[float, float | str]:
    if not 0 <= exposure_s < np.inf:
        raise InvalidMeasurements(f"exposure_s {exposure_s!r} came; seconds, 0 or more, are due")
    if isinstance(light, str):
        return float(exposure_s), light
    if not 0 <= light < np.inf:
        raise InvalidMeasurements(
            f"light {light!r} came; 0 for dark, a relative flux above 0, or a label is due"
        )
    return float(exposure_s), float(light)


def _read_level(archive: Any, index: int, row: dict[str, Any], header: dict[str, Any]) -> LevelSums:
    higher = row["key"][1] == DARK
    names = ("y1", "y2", "d2", "y3", "y4") if higher else ("y1", "y2", "d2")
    shape = header["shape"]
    return LevelSums(
        shape=(shape[0], shape[1]),
        bit_depth=header["bit_depth"],
        higher=higher,
        lag_products=[int(p) for p in row["lag_products"]],
        maps={name: archive[f"{index}_{name}"] for name in names},
        codes=archive[f"{index}_codes"],
        **{name: int(row["scalars"].get(name, 0)) for name in SCALARS},
    )
