"""The disk that a run is written to: what it will need, and a wait in the dark while it is full.

Before a batch the free space is looked at; a write that fails all the same is done again when there
is room, with the frames that are still in memory. Nothing is captured that could not be kept.
"""

from __future__ import annotations

import errno
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from instrument.bench.bench import Bench
from instrument.config import Config

MB = 10**6
NPY_HEADER_BYTES = 128
"""Of a `.npy` file with a short header (numpy.lib.format, version 1.0)."""

ROW_BYTES = 20_000
OBJECT_BYTES = 150
"""What a trial adds to the ledger, and every object of it: a pupil of 12 modes, 36 objects."""

LOOK_AGAIN_S = 3.0
"""Between two looks at a full disk."""

_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))  # Windows has no quota of its own

ResultT = TypeVar("ResultT")


def batch_bytes(config: Config, bench: Bench) -> int:
    """Bytes that a batch and its row in the ledger take."""
    height, width = bench.camera.shape
    objects = config.objects.stage_grid.count
    frames = objects * config.shots * height * width * 2  # uint16
    return frames + NPY_HEADER_BYTES + ROW_BYTES + objects * OBJECT_BYTES


def free_bytes(folder: Path) -> int:
    """Bytes free on the disk of a folder, or of what it will be made in."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free


def is_full(error: BaseException) -> bool:
    """Whether an error, or what it came from, says that the disk is full."""
    return any(_says_full(each) for each in _causes(error))


def shown_mb(count: float) -> str:
    """Bytes in the unit that people buy disks in."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / MB:.0f} MB"


class DiskRoom:
    """Waits for room on the disk of a run.

    Parameters
    ----------
    folder
        Of the run.
    reserve_bytes
        That stay free for everything else on that disk.
    wait
        Called with what to say and a function that tells whether there is room; returns when there
        is, raises if there is none in time.
    """

    def __init__(
        self, folder: Path, *, reserve_bytes: int, wait: Callable[[str, Callable[[], bool]], None]
    ):
        self._folder = folder
        self._reserve_bytes = reserve_bytes
        self._wait = wait

    def before(self, coming_bytes: int) -> None:
        """Return when what is coming fits beside the reserve."""
        if not self._has_room(coming_bytes):
            self._wait_for(coming_bytes, "the disk is too full for the next batch")

    def write(self, work: Callable[[], ResultT], *, coming_bytes: int) -> ResultT:
        """Do what writes; do it again, once there is room, for as long as the disk is full.

        Raises
        ------
        Exception
            What `work` raised for another reason, or `wait`.
        """
        while True:
            try:
                return work()
            except Exception as error:
                if not is_full(error):
                    raise
                self._wait_for(coming_bytes, f"the disk is full ({error})")

    def _has_room(self, coming_bytes: int) -> bool:
        return free_bytes(self._folder) >= self._reserve_bytes + coming_bytes

    def _wait_for(self, coming_bytes: int, why: str) -> None:
        needed = self._reserve_bytes + coming_bytes
        missing = max(0, needed - free_bytes(self._folder))
        self._wait(
            f"{why}: free {shown_mb(max(missing, MB))} on the disk of {self._folder} (a batch is "
            f"{shown_mb(coming_bytes)}, safety.least_free_disk_mb keeps "
            f"{shown_mb(self._reserve_bytes)}); the run goes on by itself, nothing is lost",
            lambda: self._has_room(coming_bytes),
        )


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _says_full(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in _FULL
    return isinstance(error, sqlite3.Error) and error.sqlite_errorcode == sqlite3.SQLITE_FULL
