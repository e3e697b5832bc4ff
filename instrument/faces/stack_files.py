"""Stacks of raw frames in files: NPY, TIFF, OME-TIFF and, where zarr is installed, OME-Zarr."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

TIFF = (".tif", ".tiff")
READABLE = (".npy", *TIFF)


class StackError(ValueError):
    """A file that is no stack of raw frames, or options that name no noise."""


def read_batch(paths: Sequence[Path]) -> np.ndarray:
    """Return the frames of all files, (objects, [shots,] height, width), as they are in the files.

    Raises
    ------
    StackError
        For a file that cannot be read, or files that do not fit together.
    """
    files = [file for path in paths for file in _files(path)]
    stacks = [_read_stack(file) for file in files]
    first = stacks[0]
    for file, stack in zip(files, stacks, strict=True):
        if stack.shape[1:] != first.shape[1:] or stack.dtype != first.dtype:
            raise StackError(
                f"{file} holds {_words(stack)} an object, {files[0]} {_words(first)}; one batch "
                "needs frames of one kind: score them apart, or use `infoloop compare`"
            )
    return stacks[0] if len(stacks) == 1 else np.concatenate(stacks)


def _files(path: Path) -> list[Path]:
    """Return the files a path stands for; an OME-Zarr folder is a file."""
    if not path.exists():
        raise StackError(f"{path} does not exist")
    if not path.is_dir() or _is_zarr(path):
        return [path]
    files = sorted(p for p in path.iterdir() if p.suffix.lower() in READABLE or _is_zarr(p))
    if not files:
        raise StackError(f"{path} holds no frames ({', '.join(READABLE)} or OME-Zarr are read)")
    return files


def _is_zarr(path: Path) -> bool:
    return path.is_dir() and any((path / name).exists() for name in (".zgroup", "zarr.json"))


def _read_stack(file: Path) -> np.ndarray:
    """Return one file's frames with an axis of objects."""
    try:
        if _is_zarr(file):
            frames = _read_zarr(file)
        elif file.suffix.lower() == ".npy":
            frames = np.load(file, allow_pickle=False)
        elif file.suffix.lower() in TIFF:
            frames = _read_tiff(file)
        else:
            raise StackError(f"{file}: {', '.join(READABLE)} and OME-Zarr are read")
    except StackError:
        raise
    except (OSError, ValueError, EOFError, KeyError, IndexError) as error:
        raise StackError(f"{file} cannot be read ({error}); is the copy complete?") from error
    if frames.ndim == 2:
        frames = frames[None]
    if frames.ndim not in (3, 4):
        raise StackError(
            f"{file} has {frames.ndim} axes {frames.shape}; (objects, height, width) or (objects, "
            "shots, height, width) are due"
        )
    return frames


def _read_tiff(file: Path) -> np.ndarray:
    try:
        import tifffile
    except ImportError as error:
        raise StackError(
            f"{file}: reading TIFF needs tifffile, which is not installed: pip install tifffile"
        ) from error
    try:
        with tifffile.TiffFile(file) as tiff:
            # Positions of an OME-TIFF are series of their own: each is an object.
            frames = [_image_axes(s.asarray(), s.axes, file) for s in tiff.series]
    except tifffile.TiffFileError as error:
        raise StackError(f"{file} is no TIFF ({error})") from error
    if len(frames) == 1:
        return frames[0]
    if len({f.shape for f in frames}) > 1:
        raise StackError(f"{file} holds images of different shapes: {[f.shape for f in frames]}")
    return np.stack(frames)


def _image_axes(pixels: np.ndarray, axes: str, file: Path) -> np.ndarray:
    """Drop axes of length one; refuse colour, and images that are not the last two axes."""
    if "S" in axes and pixels.shape[axes.index("S")] > 1:
        raise StackError(
            f"{file} is a colour image (axes {axes}); raw counts have one number a pixel: export "
            "the camera's raw frames"
        )
    kept = [i for i, axis in enumerate(axes) if axis in "YX" or pixels.shape[i] > 1]
    if not "".join(axes[i] for i in kept).endswith("YX"):
        raise StackError(f"{file} has axes {axes}; height and width (YX) must be the last two")
    return pixels.reshape([pixels.shape[i] for i in kept])


def _read_zarr(file: Path) -> np.ndarray:
    try:
        import zarr  # pyright: ignore[reportMissingImports] - optional
    except ImportError as error:
        raise StackError(
            f"{file}: reading OME-Zarr needs zarr, which is not installed: pip install zarr"
        ) from error
    node: Any = zarr.open(str(file), mode="r")
    axes: list[Any] = []
    if not hasattr(node, "shape"):
        attributes = dict(node.attrs)
        scales = attributes.get("ome", attributes)["multiscales"][0]
        axes = scales.get("axes", [])
        node = node[scales["datasets"][0]["path"]]
    return _as_batch(node, axes, file)


def _as_batch(node: Any, axes: Sequence[Any], file: Path) -> np.ndarray:
    """Drop axes of length one and bring channels, as shots, behind the objects."""
    is_named = len(axes) == node.ndim and all(isinstance(axis, Mapping) for axis in axes)
    outer = [i for i in range(node.ndim - 2) if node.shape[i] > 1]
    shots = [i for i in outer if is_named and axes[i].get("type") == "channel"]
    objects = [i for i in outer if i not in shots]
    if is_named and len(objects) > 1:
        counts = " and ".join(f"{node.shape[i]} along {axes[i]['name']}" for i in objects)
        raise StackError(
            f"{file} holds {counts}; one batch of objects is due: of a run, export one trial "
            "(--trials 12), or use `infoloop rescore`"
        )
    pixels = np.asarray(node[...])
    single = [i for i in range(pixels.ndim - 2) if i not in outer]
    order = [*single, *objects, *shots, pixels.ndim - 2, pixels.ndim - 1]
    return pixels.transpose(order).squeeze(tuple(range(len(single))))


def _words(stack: np.ndarray) -> str:
    return f"{' x '.join(map(str, stack.shape[1:]))} of {stack.dtype}"
