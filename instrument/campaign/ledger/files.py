"""Files of frames: written whole and once, known by their SHA-256, read back only if they are that.

The bytes are those of `numpy.save` (format 1.0, C order), hashed on their way to the disk.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from instrument.campaign.ledger.problems import LedgerError, of_write

if TYPE_CHECKING:
    from instrument.campaign.ledger.rows import BatchPart

BATCH_FOLDER = "batches"
PARTIAL = ".partial"
"""Ends the name of a file that is not yet whole."""
_CHUNK_BYTES = 8 * 2**20


def batch_name(number: int, part: int) -> str:
    """Path of a part's frames in the run directory: `batches/trial00012.npy`, then `.1.npy`."""
    later = "" if part == 0 else f".{part}"
    return f"{BATCH_FOLDER}/trial{number:05d}{later}.npy"


def write_frames(path: Path, counts: NDArray[np.uint16]) -> str:
    """Write to a temporary file, sync, rename, sync the folder; return the SHA-256.

    Raises
    ------
    LedgerFull, LedgerError
        Nothing of the file is left; the same call may be repeated.
    """
    frames = np.ascontiguousarray(counts)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(frames))
    digest = hashlib.sha256()
    temporary = path.with_name(path.name + PARTIAL)
    try:
        with temporary.open("wb", buffering=0) as file:
            for piece in (memoryview(header.getvalue()), frames.data.cast("B")):
                for start in range(0, len(piece), _CHUNK_BYTES):
                    chunk = piece[start : start + _CHUNK_BYTES]
                    digest.update(chunk)
                    _write_all(file, chunk)
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):  # its space may be what the next write needs
            temporary.unlink()
        raise of_write(path, error, needed_bytes=frames.nbytes) from error
    return digest.hexdigest()


def read_frames(run_dir: Path, parts: Sequence[BatchPart]) -> NDArray[np.uint16]:
    """Join the frames of some parts along their objects, each checked against its SHA-256.

    Raises
    ------
    LedgerError
        If a file is missing, is not what was acknowledged, or does not fit the others.
    """
    batches = [_read_part(run_dir, part) for part in parts]
    if len({batch.shape[1:] for batch in batches}) != 1:
        shapes = ", ".join(str(batch.shape) for batch in batches)
        raise LedgerError(
            f"trial {parts[0].trial}: its parts have different shots or frames ({shapes})"
        )
    return batches[0] if len(batches) == 1 else np.concatenate(batches)


def _read_part(run_dir: Path, part: BatchPart) -> NDArray[np.uint16]:
    path = run_dir / part.file
    try:
        content = path.read_bytes()
    except OSError as error:
        raise LedgerError(
            f"trial {part.trial}: {path} cannot be read ({error}); restore it from a copy"
        ) from error
    if hashlib.sha256(content).hexdigest() != part.sha256:
        raise LedgerError(
            f"trial {part.trial}: {path} is not the file that was acknowledged "
            "(its SHA-256 differs); restore it from a copy"
        )
    return np.load(io.BytesIO(content), allow_pickle=False)


def sync_folder(folder: Path) -> None:
    """Make a rename in a folder durable."""
    if os.name == "nt":  # Windows cannot open a folder; NTFS journals the rename itself
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_all(file: io.FileIO, chunk: memoryview) -> None:
    """Write a whole chunk: the system may take less at once, at the end of a disk above all."""
    written = 0
    while written < len(chunk):
        written += file.write(chunk[written:]) or 0
