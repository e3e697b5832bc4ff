"""Frames on disk as levels of a calibration: which file is which level, and nothing else.

A folder says its levels in one of three ways; the first that is there counts.

1. `levels.yaml`, a list. `files` is a pattern or a list of patterns below the folder, `light` is
   0 for dark, a number for a relative flux, words for a level of unknown flux:

       - {files: "dark/*.tif", exposure_s: 0.01, light: 0}
       - {files: flat_a.npy, exposure_s: 0.01, light: 1.0}

2. An EMVA 1288 descriptor (`.txt`, its first command `v`), format of the reference implementation
   (https://github.com/EMVA1288/emva1288): `v version`, `n bits width height`, `b exposure_ns
   photons` or `d exposure_ns`, each followed by lines `i file`. Its photons are a dose, so that
   `light` becomes photons per second.

3. Names: `dark_10ms.npy`, `light_2.5_10ms.npy`, `light_lamp-a_10ms_003.tif`. First the light
   (`dark`, or `light_` and a number or a word), then the exposure with its unit (s, ms, us, ns),
   then, if you like, a number; files that differ in that number alone are one level.

Files are NPY, TIFF or PNG, one frame or a stack, (height, width) or (frames, height, width). Of all
that, one frame at a time is in memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

LEVELS_FILE = "levels.yaml"
DARK = 0.0

Frame = NDArray[np.uint16]

_TIFF = (".tif", ".tiff")
_KNOWN = (".npy", *_TIFF, ".png")
_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_NUMBER = r"\d+(?:\.\d+)?(?:e[+-]?\d+)?"
_NAME = re.compile(
    rf"(?:dark|light_(?P<light>[^_]+))_(?P<exposure>{_NUMBER})(?P<unit>s|ms|us|ns)(?:_(?P<number>\d+))?",
    re.IGNORECASE,
)
_EXAMPLES = "dark_10ms.npy, light_2.5_10ms.npy, light_lamp-a_10ms_003.tif"
_HIGHEST = 2**16 - 1


class FramesOnDiskError(ValueError):
    """A folder or a file that is no level of a calibration; names it and says what to do."""


@dataclass(frozen=True, slots=True)
class Level:
    """Frames of one level; `frames` is read as it is iterated, once."""

    exposure_s: float
    light: float | str
    frames: Iterator[Frame]


def read_levels(folder: Path) -> Iterator[Level]:
    """Return the levels of a folder, darks first where names say the level.

    Every level is known, and every file is found, before the first frame is read.

    Parameters
    ----------
    folder
        With `levels.yaml`, an EMVA 1288 descriptor, or files whose names say their level.

    Returns
    -------
    Iterator[Level]
        As `SensorCalibration.add` takes them; use one level's frames before the next level.

    Raises
    ------
    FramesOnDiskError
        If a file does not fit, is missing, or holds no counts; at once, or while frames are read.
    """
    levels = _levels_of(folder)
    return (
        Level(exposure_s=exposure_s, light=light, frames=_frames(files))
        for exposure_s, light, files in levels
    )


_Files = tuple[float, float | str, list[Path]]


def _levels_of(folder: Path) -> list[_Files]:
    if not folder.is_dir():
        raise FramesOnDiskError(f"{folder} is not a folder; give the one that holds the frames")
    if (folder / LEVELS_FILE).exists():
        return list(_from_yaml(folder / LEVELS_FILE))
    descriptors = [file for file in sorted(folder.glob("*.txt")) if _is_descriptor(file)]
    if len(descriptors) > 1:
        names = ", ".join(file.name for file in descriptors)
        raise FramesOnDiskError(f"{folder} holds {names}; leave one EMVA 1288 descriptor in it")
    return list(_from_descriptor(descriptors[0])) if descriptors else _from_names(folder)


# ---- levels.yaml


def _number_if_it_is_one(value: Any) -> Any:
    """Read 1e-3 as a number: YAML 1.1 takes it for words."""
    is_number = isinstance(value, str) and re.fullmatch(_NUMBER, value, re.IGNORECASE)
    return float(value) if is_number else value


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    files: str | list[str] = Field(min_length=1)
    exposure_s: Annotated[float, BeforeValidator(_number_if_it_is_one)] = Field(
        ge=0, allow_inf_nan=False
    )
    light: Annotated[float | str, BeforeValidator(_number_if_it_is_one)]


def _from_yaml(file: Path) -> Iterator[_Files]:
    try:
        told = yaml.safe_load(file.read_text(encoding="utf-8"))
        entries = TypeAdapter(list[_Entry]).validate_python(told)
    except (yaml.YAMLError, UnicodeDecodeError, ValidationError) as error:
        raise FramesOnDiskError(
            f"{file} is no list of {{files, exposure_s, light}}: {error}"
        ) from error
    if not entries:
        raise FramesOnDiskError(f"{file} has no levels; list {{files, exposure_s, light}}")
    taken: dict[Path, int] = {}
    for number, entry in enumerate(entries):
        light = _checked_light(entry.light, f"{file}, level {number + 1}")
        patterns = [entry.files] if isinstance(entry.files, str) else entry.files
        files = [found for pattern in patterns for found in _matching(file, pattern)]
        for one in files:
            if one in taken:
                raise FramesOnDiskError(
                    f"{one} is in levels {taken[one] + 1} and {number + 1} of {file}, or twice in "
                    "one; narrow the patterns"
                )
            taken[one] = number
        yield entry.exposure_s, light, files


def _matching(file: Path, pattern: str) -> list[Path]:
    """Return the files of a pattern by name, numbers in their order."""
    exact = file.parent / pattern
    if exact.is_file():
        return [_known(exact)]
    try:
        found = sorted((one for one in file.parent.glob(pattern) if one.is_file()), key=_natural)
    except (NotImplementedError, ValueError) as error:  # an absolute or an empty pattern
        raise FramesOnDiskError(f"{file}: files {pattern!r}: {error}") from error
    if not found:
        raise FramesOnDiskError(f"{file}: no file fits {pattern!r} below {file.parent}")
    return [_known(one) for one in found]


# ---- EMVA 1288 descriptor


def _is_descriptor(file: Path) -> bool:
    with file.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            words = line.split()
            if words and not words[0].startswith("#"):
                return words[0] == "v"
    return False


def _from_descriptor(file: Path) -> Iterator[_Files]:
    exposure_s, light, files = 0.0, DARK, None
    for number, line in enumerate(_text(file).splitlines(), 1):
        where = f"{file}, line {number}"
        match line.split():
            case []:
                continue
            case [word, *_] if word.startswith("#"):
                continue
            case ["v", _] | ["n", _, _, _]:
                continue
            case ["b" | "d" as kind, exposure_ns, *photons] if len(photons) == (kind == "b"):
                if files is not None:
                    yield exposure_s, light, _not_empty(files, where)
                exposure_s, files = _in_seconds(_decimal(exposure_ns, where), "ns"), []
                light = _flux(_decimal(photons[0], where), exposure_s, where) if photons else DARK
            case ["i", *_] if files is not None:
                name = line.split(maxsplit=1)[1].strip().replace("\\", "/")
                files.append(_existing(file.parent / name, where))
            case _:
                raise FramesOnDiskError(
                    f"{where}: {line.strip()!r} is none of `v version`, `n bits width height`, "
                    "`b exposure_ns photons`, `d exposure_ns`, `i file` after a b or a d"
                )
    if files is None:
        raise FramesOnDiskError(f"{file} has no levels; lines b and d begin them")
    yield exposure_s, light, _not_empty(files, f"{file}, at its end")


def _flux(photons: float, exposure_s: float, where: str) -> float:
    """Turn a dose into a relative flux: photons per pixel and second."""
    if photons and not exposure_s:
        raise FramesOnDiskError(f"{where}: {photons:g} photons in no time; the exposure is in ns")
    return photons / exposure_s if photons else DARK


def _decimal(text: str, where: str) -> float:
    try:
        number = float(text.replace(",", "."))  # the reference reads decimal commas too
    except ValueError:
        number = -1.0
    if not 0 <= number < np.inf:
        raise FramesOnDiskError(f"{where}: {text!r} came; a number, 0 or more, is due")
    return number


def _not_empty(files: list[Path], where: str) -> list[Path]:
    if not files:
        raise FramesOnDiskError(f"{where}: the level before has no lines `i file`")
    return files


# ---- names


def _from_names(folder: Path) -> list[_Files]:
    named: dict[tuple[float, float | str], list[Path]] = {}
    for file in sorted(folder.iterdir(), key=_natural):
        if file.suffix.lower() in _KNOWN and not file.name.startswith("."):
            named.setdefault(_level_of(file), []).append(file)
    if not named:
        raise FramesOnDiskError(
            f"{folder} holds no {', '.join(_KNOWN)} file; name them as {_EXAMPLES}, or write "
            f"{LEVELS_FILE} there, a list of {{files, exposure_s, light}}"
        )
    order = sorted(named, key=lambda key: (isinstance(key[1], str), key[1], key[0]))
    return [(exposure_s, light, named[exposure_s, light]) for exposure_s, light in order]


def _level_of(file: Path) -> tuple[float, float | str]:
    found = _NAME.fullmatch(file.stem)
    if found is None:
        raise FramesOnDiskError(
            f"{file}: the name says no level; name files as {_EXAMPLES}, or write "
            f"{file.parent / LEVELS_FILE}, a list of {{files, exposure_s, light}}"
        )
    exposure_s = _in_seconds(float(found["exposure"]), found["unit"].lower())
    if found["light"] is None:
        return exposure_s, DARK
    return exposure_s, _checked_light(_number_if_it_is_one(found["light"]), str(file))


def _in_seconds(exposure: float, unit: str) -> float:
    """Convert, and round what binary fractions add: 10 ms and 10000 us are one exposure."""
    return float(f"{exposure * _SECONDS[unit]:.12g}")


def _checked_light(light: float | str, where: str) -> float | str:
    if isinstance(light, str) or 0 <= light < np.inf:
        return light
    raise FramesOnDiskError(f"{where}: light {light} came; 0 or more, or a word, is due")


def _natural(file: Path) -> list[tuple[bool, int, str]]:
    """Sort so that frame_10 follows frame_9: the order of capture counts."""
    parts = re.split(r"(\d+)", file.as_posix())
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]


# ---- frames


def _frames(files: Iterable[Path]) -> Iterator[Frame]:
    for file in files:
        try:
            for frame in _READERS[file.suffix.lower()](file):
                yield _counts(frame, file)
        except (OSError, EOFError, SyntaxError) as error:
            raise FramesOnDiskError(f"{file} cannot be read: {error}") from error


def _read_npy(file: Path) -> Iterator[NDArray[Any]]:
    try:
        stack = np.load(file, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise FramesOnDiskError(f"{file} cannot be read: {error}") from error
    return _split(stack, file)


def _read_tiff(file: Path) -> Iterator[NDArray[Any]]:
    try:
        import tifffile
    except ImportError as error:
        raise FramesOnDiskError(
            f"{file} needs tifffile, which is not installed: pip install tifffile"
        ) from error
    try:
        with tifffile.TiffFile(file) as opened:
            if len(opened.pages) == 1 and opened.pages.first.ndim < len(opened.series[0].shape):
                # one page stands for all: ImageJ above 4 GB; never compressed
                yield from _split(tifffile.memmap(file, mode="r"), file)
                return
            for page in opened.pages:
                yield _one(page.asarray(), file)
    except FramesOnDiskError:
        raise
    except (tifffile.TiffFileError, ValueError) as error:  # ValueError: a codec that is missing
        raise FramesOnDiskError(f"{file} cannot be read: {error}") from error


def _read_png(file: Path) -> Iterator[NDArray[Any]]:
    from PIL import Image

    with Image.open(file) as opened:
        yield _one(np.asarray(opened), file)


_READERS = {".npy": _read_npy, ".png": _read_png, **dict.fromkeys(_TIFF, _read_tiff)}


def _split(stack: NDArray[Any], file: Path) -> Iterator[NDArray[Any]]:
    if stack.ndim == 2:
        return iter([_one(stack, file)])
    if stack.ndim != 3 or not stack.size:
        raise FramesOnDiskError(
            f"{file} holds an array of shape {stack.shape}; (height, width) or "
            "(frames, height, width) is due"
        )
    return iter(stack)


def _one(frame: NDArray[Any], file: Path) -> NDArray[Any]:
    if frame.ndim != 2 or not frame.size:
        raise FramesOnDiskError(
            f"{file} holds a picture of shape {frame.shape}; (height, width) is due, raw and "
            "without colours"
        )
    return frame


def _counts(frame: NDArray[Any], file: Path) -> Frame:
    """Return counts as 16 bits; wider integers pass if their values do."""
    if frame.dtype.kind not in "ui":
        raise FramesOnDiskError(
            f"{file} holds {frame.dtype}; raw counts, integers, are due: save frames as the camera "
            "sent them"
        )
    if frame.dtype != np.uint16 and not 0 <= int(frame.min()) <= int(frame.max()) <= _HIGHEST:
        raise FramesOnDiskError(
            f"{file} holds counts {frame.min()} to {frame.max()}; 0 to {_HIGHEST} are due"
        )
    return np.array(frame, dtype=np.uint16)


# ---- files


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FramesOnDiskError(f"{file} cannot be read: {error}") from error


def _existing(file: Path, where: str) -> Path:
    if not file.is_file():
        raise FramesOnDiskError(f"{where}: {file} is not there")
    return _known(file)


def _known(file: Path) -> Path:
    if file.suffix.lower() not in _KNOWN:
        raise FramesOnDiskError(f"{file}: frames are read from {', '.join(_KNOWN)} files only")
    return file
