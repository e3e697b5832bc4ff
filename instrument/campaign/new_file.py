"""Results that nobody may overwrite: written beside their name, synced, then given the name."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOM_LEFT = 64 * 2**20
"""Bytes that stay free for the runs that the disk is there for."""


class OutputError(Exception):
    """A result that cannot be written; says where and what to do."""


def check_new(path: Path, *, needed_bytes: int = 0) -> None:
    """Raise `OutputError` unless a result may be written there and has room.

    Parameters
    ----------
    path
        File or folder that is to be made.
    needed_bytes
        Most that it may come to.
    """
    if path.exists():
        raise OutputError(f"{path} is there already and stays as it is; choose another --output")
    folder = path.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise _cannot(path, error) from error
    if not os.access(folder, os.W_OK):
        raise OutputError(f"{folder} cannot be written to; choose another --output")
    if needed_bytes + ROOM_LEFT > free:
        raise OutputError(
            f"{path}: up to {needed_bytes / 1e6:.0f} MB are needed, {free / 1e6:.0f} MB are free "
            f"({ROOM_LEFT / 1e6:.0f} MB of them stay free); make room, choose another --output, or "
            "fewer --trials"
        )


@contextmanager
def new_path(path: Path, *, needed_bytes: int = 0) -> Iterator[Path]:
    """Give a temporary path to write a file or a folder to; it takes its name when all is well.

    What an interruption leaves is removed; after a kill it stays, under a name that says so.

    Raises
    ------
    OutputError
        There is such a file already, there is no room, or the disk refuses.
    """
    check_new(path, needed_bytes=needed_bytes)
    temporary = path.with_name(f"{path.name}.partial-{os.getpid()}")
    try:
        yield temporary
        if temporary.is_file():
            _sync(temporary)
        check_new(path)
        temporary.rename(path)
    except OSError as error:
        raise _cannot(path, error) from error
    finally:
        _remove(temporary)


def _cannot(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{path} cannot be written ({error.strerror or error}); choose another --output"
    )


def _sync(file: Path) -> None:
    with file.open("rb+") as opened:
        os.fsync(opened.fileno())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
