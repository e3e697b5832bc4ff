"""The disk that a run is written to: what it will need, and a wait in the dark while it is full.

Before a batch the free space is looked at; a write that fails all the same is done again when there
is room, with the frames that are still in memory. Nothing is captured that could not be kept.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from instrument.bench.bench import Bench
from instrument.bench.holding import PauseAsked
from instrument.campaign.control import Control
from instrument.campaign.ledger import LedgerFull
from instrument.campaign.states import State
from instrument.config import Config

MB = 10**6
NPY_HEADER_BYTES = 128
"""Of a `.npy` file with a short header (numpy.lib.format, version 1.0)."""

ROW_BYTES = 20_000
OBJECT_BYTES = 150
"""What a trial adds to the ledger, and every object of it: a pupil of 12 modes, 36 objects."""

LOOK_AGAIN_S = 3.0
"""Between two looks at a full disk."""


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


def shown_mb(count: float) -> str:
    """Bytes in the unit that people buy disks in."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / MB:.0f} MB"


class DiskRoom:
    """Waits for room on the disk of a run, in the dark, and goes on by itself when there is.

    For the thread that runs the loop, between two exposures. One that has waited in vain does not
    wait again: what is left to write then says at once that the disk is full.

    Parameters
    ----------
    folder
        Of the run.
    reserve_bytes
        That stay free for everything else on that disk.
    control
        Enters `paused` and back; a person's pause or abort is kept meanwhile.
    say
        Takes what the person at the bench should read.
    record
        Takes text and seconds of a wait that is over, for the journal.
    longest_s
        How long to wait, of one wait and of all that follow each other without a batch between.
    """

    def __init__(
        self,
        folder: Path,
        *,
        reserve_bytes: int,
        control: Control,
        say: Callable[[str], None],
        record: Callable[[str, float], None],
        longest_s: float,
    ):
        self._folder = folder
        self._reserve_bytes = reserve_bytes
        self._control = control
        self._say = say
        self._record = record
        self._longest_s = longest_s
        self._waited_s = 0.0
        self._has_given_up = False

    def before(self, coming_bytes: int) -> None:
        """Return when what is coming fits beside the reserve.

        Raises
        ------
        LedgerFull
            It did not within `longest_s`.
        AbortAsked
            Somebody wants the campaign to end.
        """
        if self._has_room(coming_bytes):
            self._waited_s = 0.0
            return
        missing = LedgerFull(
            self._folder,
            needed_bytes=self._reserve_bytes + coming_bytes,
            free_bytes=free_bytes(self._folder),
            reason="safety.least_free_disk_mb and the next batch",
        )
        self._wait(missing, coming_bytes)
        self._waited_s = 0.0

    def when_full(self, full: LedgerFull) -> None:
        """Return when a write that failed may be done again; raise `full` if it may not.

        Raises
        ------
        LedgerFull
            There was no room within `longest_s`.
        AbortAsked
            Somebody wants the campaign to end.
        """
        self._wait(full, full.needed_bytes or 0)

    def _has_room(self, coming_bytes: int) -> bool:
        return free_bytes(self._folder) >= self._reserve_bytes + coming_bytes

    def _wait(self, full: LedgerFull, coming_bytes: int) -> None:
        if self._has_given_up:
            raise full
        self._has_given_up = True  # until the wait was worth it
        before, text, waited_s = self._control.state, self._text(coming_bytes), 0.0
        if not self._waited_s:
            self._say(text)
        self._enter(State.PAUSED, "the disk is full")
        while not waited_s or not self._has_room(coming_bytes):
            if self._waited_s >= self._longest_s:
                raise full
            seconds = self._look_away()
            waited_s, self._waited_s = waited_s + seconds, self._waited_s + seconds
        self._has_given_up = False
        self._enter(before, "there is room again")
        said = f"there is room on the disk again after {waited_s:.0f} s"
        self._say(said)
        with suppress(LedgerFull):  # it is what was waited for that counts
            self._record(f"{text}; {said}", waited_s)

    def _look_away(self) -> float:
        """Let some seconds go by and return how many, without those of a person's pause."""
        began_s = time.monotonic()
        try:
            self._control.wait(LOOK_AGAIN_S)
        except PauseAsked:
            seconds = time.monotonic() - began_s
            self._control.wait_while_paused(longest_s=self._longest_s)
            return seconds
        return time.monotonic() - began_s

    def _enter(self, state: State, why: str) -> None:
        if self._control.state.has_ended:
            return  # only its record is still to be written
        with suppress(LedgerFull):  # the state is entered, and the journal cannot say so now
            self._control.enter(state, why)

    def _text(self, coming_bytes: int) -> str:
        missing = self._reserve_bytes + coming_bytes - free_bytes(self._folder)
        return (
            f"the disk is full, light off: free {shown_mb(max(missing, MB))} on the disk of "
            f"{self._folder.absolute()} ({shown_mb(coming_bytes)} are to come, "
            f"{shown_mb(self._reserve_bytes)} are kept by safety.least_free_disk_mb); the run goes "
            "on by itself when there is room, and nothing is lost"
        )
