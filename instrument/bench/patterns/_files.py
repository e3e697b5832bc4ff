"""Calibration files of a modulator: look-up tables and flatness maps, read and checked whole."""

from __future__ import annotations

import csv
import math
import zipfile
from pathlib import Path

import numpy as np
from jaxtyping import Float

from instrument.bench.patterns._lookup import LookupTable
from instrument.design import DesignError

HEADER = ["grey", "phase_rad"]
_LEVELS_OF_MODE = {"L": 256, "I;16": 65536, "I": 65536}
"""Grey levels of a turn in a .png, by Pillow's name of its kind; older ones say I for 16 bit."""


class ModulatorFileError(DesignError):
    """A calibration file of a modulator cannot be used; says which, of which role, and why."""


def read_lookup_table(path: Path, *, key: str) -> LookupTable:
    """Read a look-up table.

    Parameters
    ----------
    path
        `.csv` with the columns grey and phase_rad (that header, or none; `#` begins a comment), or
        `.npy` of the shape (levels, 2) with the same columns.
    key
        Where the path stands in the bench file, for messages.

    Raises
    ------
    ModulatorFileError
        The file cannot be read, or holds no look-up table.
    """
    where = f"`{key}` = {path}"
    match path.suffix.lower():
        case ".csv":
            table = _read_csv(path, where)
        case ".npy":
            table = _load(path, where)
        case _:
            raise ModulatorFileError(f"{where}: a look-up table is a .csv or .npy file")
    if table.ndim != 2 or table.shape[1] != 2 or table.dtype.kind not in "iuf":
        raise ModulatorFileError(
            f"{where}: {table.dtype} of shape {table.shape}; two columns of numbers are needed, "
            "grey and phase_rad"
        )
    try:
        return LookupTable(table[:, 0], table[:, 1].astype(np.float64))
    except ValueError as error:
        raise ModulatorFileError(f"{where}: {error}") from error


def read_flatness(
    path: Path, *, shape: tuple[int, int], key: str
) -> Float[np.ndarray, "height width"]:
    """Read a map of the phase in rad that flattens a modulator.

    Parameters
    ----------
    path
        `.npy` or `.npz` (one array) of floating-point numbers in rad, or `.png` of 8 or 16 bit grey
        where all levels are one turn.
    shape
        (height, width) of the modulator in pixels.
    key
        Where the path stands in the bench file, for messages.

    Raises
    ------
    ModulatorFileError
        The file cannot be read, or is of another shape or type.
    """
    where = f"`{key}` = {path}"
    match path.suffix.lower():
        case ".npy" | ".npz":
            flatness = _load(path, where)
            if flatness.dtype.kind != "f":
                raise ModulatorFileError(
                    f"{where}: {flatness.dtype}; a flatness map is a phase in rad, float32 or "
                    "float64 (a picture of grey levels is a .png)"
                )
        case ".png":
            flatness = _read_picture(path, where)
        case _:
            raise ModulatorFileError(f"{where}: a flatness map is a .npy, .npz or .png file")
    if flatness.shape != shape:
        raise ModulatorFileError(
            f"{where}: shape {flatness.shape}, the modulator has {shape} (height, width) pixels"
        )
    if not np.all(np.isfinite(flatness)):
        row, column = np.argwhere(~np.isfinite(flatness))[0]
        raise ModulatorFileError(f"{where}: no number at row {row}, column {column}")
    return flatness.astype(np.float64)


def _load(path: Path, where: str) -> np.ndarray:
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            if len(loaded.files) != 1:
                raise ModulatorFileError(
                    f"{where}: holds {', '.join(loaded.files) or 'nothing'}; one array is needed"
                )
            return loaded[loaded.files[0]]
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        if isinstance(error, ModulatorFileError):
            raise
        raise ModulatorFileError(f"{where}: cannot be read: {error}") from error


def _read_csv(path: Path, where: str) -> np.ndarray:
    try:
        text = path.read_text(encoding="utf-8-sig")  # spreadsheets begin with a byte order mark
    except (OSError, UnicodeDecodeError) as error:
        raise ModulatorFileError(f"{where}: cannot be read: {error}") from error
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines)]
    if rows and rows[0] == HEADER:
        del rows[0]
    try:
        return np.array([[float(cell) for cell in row] for row in rows], dtype=np.float64)
    except ValueError as error:
        raise ModulatorFileError(
            f"{where}: {error}; two columns of numbers are needed, {','.join(HEADER)}"
        ) from error


def _read_picture(path: Path, where: str) -> Float[np.ndarray, "height width"]:
    from PIL import Image

    try:
        with Image.open(path) as picture:
            levels = _LEVELS_OF_MODE.get(picture.mode)
            if levels is None:
                raise ModulatorFileError(
                    f"{where}: a picture of the kind {picture.mode}; save it as grey, 8 or 16 bit"
                )
            return np.asarray(picture).astype(np.float64) * (2 * math.pi / levels)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ModulatorFileError(f"{where}: cannot be read: {error}") from error
