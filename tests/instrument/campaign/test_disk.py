"""A full disk: the run waits in the dark, says what to free, goes on by itself, loses nothing."""

import errno
import os
import threading
from collections import namedtuple

import numpy as np
import pytest
import typer

from instrument.campaign import disk, session
from instrument.campaign.control import AbortAsked, Control
from instrument.campaign.disk import DiskRoom, batch_bytes, free_bytes, shown_mb
from instrument.campaign.events import CampaignEnded, EventBus, StateChanged
from instrument.campaign.ledger import Ledger, LedgerFull
from instrument.campaign.run import execute
from instrument.campaign.states import State
from instrument.design import Design
from instrument.faces.exit_codes import FAILED, exit_codes
from tests.instrument.fakes import make_bench, make_config

Usage = namedtuple("Usage", "total used free")
MB = 10**6


class Disk:
    """Free space that a test says, look by look; the last one for ever."""

    def __init__(self, monkeypatch):
        self.free_mb = [10_000]
        monkeypatch.setattr(disk.shutil, "disk_usage", self._usage)
        monkeypatch.setattr(disk, "LOOK_AGAIN_S", 0.001)

    def _usage(self, _folder):
        free_mb = self.free_mb.pop(0) if len(self.free_mb) > 1 else self.free_mb[0]
        return Usage(10**12, 0, free_mb * MB)


class Scene:
    """A room of a disk, what it said, and the states it went through."""

    def __init__(self, folder, *, longest_s=60.0):
        self.states, self.said, self.journal = [], [], []
        self.control = Control(on_change=lambda _before, now, _why: self.states.append(now))
        self.control.enter(State.CONNECTING)
        self.control.enter(State.RUNNING)
        self.states.clear()
        self.room = DiskRoom(
            folder, reserve_bytes=500 * MB, control=self.control, say=self.said.append,
            record=lambda text, seconds: self.journal.append((text, seconds)),
            longest_s=longest_s,
        )  # fmt: skip


@pytest.fixture
def space(monkeypatch):
    return Disk(monkeypatch)


@pytest.fixture
def scene(tmp_path):
    return Scene(tmp_path)


# ---- before a batch


def test_a_batch_with_room_waits_for_nothing(space, scene):
    space.free_mb = [520]
    scene.room.before(20 * MB)
    assert scene.states == []


def test_a_batch_without_room_waits_until_there_is_some_and_says_how_much(space, scene, tmp_path):
    space.free_mb = [519, 519, 519, 400, 510, 520]
    scene.room.before(20 * MB)
    assert scene.states == [State.PAUSED, State.RUNNING]
    told, back = scene.said
    assert f"free 1 MB on the disk of {tmp_path}" in told
    assert "safety.least_free_disk_mb" in told
    assert "room on the disk again" in back
    ((text, seconds),) = scene.journal
    assert "light off" in text
    assert seconds > 0


def test_a_wait_is_bounded_and_is_not_begun_again(space, tmp_path):
    scene = Scene(tmp_path, longest_s=0.01)
    space.free_mb = [100]
    with pytest.raises(LedgerFull, match="least_free_disk_mb"):
        scene.room.before(20 * MB)
    said = len(scene.said)
    with pytest.raises(LedgerFull):
        scene.room.when_full(full(tmp_path))
    assert len(scene.said) == said


def test_an_abort_ends_the_wait(space, scene):
    space.free_mb = [100]
    scene.control.abort("somebody")
    with pytest.raises(AbortAsked, match="somebody"):
        scene.room.before(20 * MB)


def test_a_pause_by_a_person_outlasts_the_full_disk(space, scene):
    space.free_mb = [100, 100, 100, 10_000]
    scene.control.pause("lunch")
    resume = threading.Timer(0.05, scene.control.resume)
    resume.start()
    scene.room.before(20 * MB)
    resume.join()
    assert scene.states == [State.PAUSED, State.RUNNING]
    assert not scene.control.is_pause_asked


# ---- a write that fails all the same


def full(folder):
    return LedgerFull(folder / "x.npy", needed_bytes=8 * MB, free_bytes=0, reason="test")


@pytest.fixture
def ledger(tmp_path, scene):
    with Ledger.create(tmp_path / "run", {}) as ledger:
        ledger.on_full = scene.room.when_full
        yield ledger


def fails_twice(monkeypatch, name):
    """Let the first two calls of an `os` function find the disk full; count all."""
    original, calls = getattr(os, name), []

    def full_at_first(*args):
        calls.append(args)
        if len(calls) <= 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(*args)

    monkeypatch.setattr(os, name, full_at_first)
    return calls


def test_a_batch_that_the_disk_refused_twice_is_kept_as_it_was_captured(
    space, scene, ledger, monkeypatch
):
    counts = np.random.default_rng(0).integers(0, 4096, (4, 1, 8, 8), np.uint16)
    ledger.ask(number=0, phase="initial", design=Design({"focus": (1.0,)}))
    calls = fails_twice(monkeypatch, "fsync")
    ledger.capture(0, counts, {"objects": 4})
    assert len(calls) > 2
    (row,) = ledger.trials()
    assert row.state == "captured"
    assert len(row.parts) == 1
    np.testing.assert_array_equal(ledger.load_batch(row), counts)
    assert scene.states == [State.PAUSED, State.RUNNING] * 2
    assert [text for text in scene.said if "light off" in text] == scene.said[:1]


def test_every_other_write_waits_too(space, scene, ledger):
    # a database that may not grow by a page takes no long value: SQLITE_FULL
    pages = ledger._connection.execute("PRAGMA page_count").fetchone()[0]
    ledger._connection.execute(f"PRAGMA max_page_count={pages}")
    lift = scene.room.when_full

    def somebody_makes_space(problem):
        ledger._connection.execute("PRAGMA max_page_count=1000000")
        lift(problem)

    ledger.on_full = somebody_makes_space
    ledger.set_meta("long", "x" * 100_000)
    assert ledger.meta()["long"] == "x" * 100_000
    assert scene.states == [State.PAUSED, State.RUNNING]


def test_the_last_words_of_a_run_that_has_ended_wait_too(space, scene, tmp_path):
    scene.control.enter(State.FAILED)
    scene.states.clear()
    scene.room.when_full(full(tmp_path))
    assert scene.states == []
    assert "room on the disk again" in scene.said[-1]


def test_without_anybody_to_wait_a_full_disk_is_an_error_at_once(ledger, monkeypatch):
    ledger.on_full = None
    ledger.ask(number=0, phase="initial", design=Design({"focus": (1.0,)}))
    fails_twice(monkeypatch, "fsync")
    with pytest.raises(LedgerFull):
        ledger.capture(0, np.zeros((1, 1, 4, 4), np.uint16), {})


def test_a_write_within_the_wait_fails_at_once(ledger, monkeypatch):
    seen = []

    def writes_in_turn(problem):
        fails_twice(monkeypatch, "fsync")
        with pytest.raises(LedgerFull):
            ledger.capture(0, np.zeros((1, 1, 4, 4), np.uint16), {})
        seen.append(problem)
        monkeypatch.undo()

    ledger.ask(number=0, phase="initial", design=Design({"focus": (1.0,)}))
    ledger.on_full = writes_in_turn
    fails_twice(monkeypatch, "fsync")
    ledger.capture(0, np.zeros((1, 1, 4, 4), np.uint16), {})
    assert len(seen) == 1


def test_a_run_ended_by_somebody_on_a_disk_that_stays_full_has_ended(tmp_path, monkeypatch, capsys):
    """Whoever listens is told, in the dark, although the record cannot say so."""
    monkeypatch.setattr(disk, "LOOK_AGAIN_S", 0.001)
    config = make_config(tmp_path, safety={"self_check_repeats": 0})
    bench, bus, control, ends = make_bench(config), EventBus(), Control(), []
    monkeypatch.setattr(session, "connect", lambda _config: bench)

    def listen(event):
        if isinstance(event, StateChanged) and event.now == State.PAUSED:
            control.abort("somebody")
        if isinstance(event, CampaignEnded):
            ends.append(event.status)

    bus.subscribe(listen, name="listener")
    with Ledger.create(tmp_path / "run", {}) as ledger:
        score = ledger.score

        def score_and_fill(number, **said):
            score(number, **said)
            if number == 2:
                monkeypatch.setattr(Ledger, "_writing", refuse)

        def refuse(ledger):
            raise full(ledger.run_dir)

        monkeypatch.setattr(ledger, "score", score_and_fill)
        monkeypatch.setattr(DiskRoom, "_has_room", lambda *_: False)
        monkeypatch.setattr(DiskRoom, "before", lambda *_: None)
        with pytest.raises(typer.Exit) as left, exit_codes():
            execute(config, ledger, bus, control=control)
        monkeypatch.undo()
    bus.close()
    said = capsys.readouterr().err
    assert left.value.exit_code == FAILED
    assert "the end of the run is not in its record" in said
    assert "infoloop resume" in said
    assert control.state == State.ABORTED
    assert ends == ["aborted"]
    assert not bench.lighting.is_lit
    assert ("led", "make_safe") in bench.log.names()[-5:]


# ---- what a run needs


def test_a_batch_on_the_disk_is_no_larger_than_expected(tmp_path):
    config = make_config(tmp_path)
    frames = np.zeros((16, 1, 16, 16), np.uint16)
    with Ledger.create(tmp_path / "run", {}) as ledger:
        ledger.ask(number=0, phase="initial", design=Design({"focus": (1.0,)}))
        ledger.capture(0, frames, {})
    written = (tmp_path / "run" / "batches" / "trial00000.npy").stat().st_size
    expected = batch_bytes(config, make_bench(config))
    assert written == frames.nbytes + disk.NPY_HEADER_BYTES <= expected


def test_free_space_is_known_where_the_folder_is_still_to_be_made(tmp_path):
    assert free_bytes(tmp_path / "not" / "there") == pytest.approx(free_bytes(tmp_path), rel=0.1)


@pytest.mark.parametrize(
    ("count", "shown"), [(120 * MB, "120 MB"), (78.3e9, "78.3 GB"), (0, "0 MB")]
)
def test_sizes_are_said_in_the_units_of_disks(count, shown):
    assert shown_mb(count) == shown
