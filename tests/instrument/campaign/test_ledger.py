import os
import socket
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from instrument.campaign.ledger import LEDGER_FILE, Ledger, LedgerError
from instrument.design import Design

DESIGN = Design({"focus": (1.5,), "pupil": (0.25, -0.5)})
COUNTS = np.arange(2 * 1 * 3 * 4, dtype=np.uint16).reshape(2, 1, 3, 4)


@pytest.fixture
def ledger(tmp_path):
    with Ledger.create(tmp_path / "run", {"config": {"a": 1}}) as ledger:
        yield ledger


def asked_and_captured(ledger, number=0):
    ledger.ask(number=number, phase="search", design=DESIGN)
    ledger.capture(number, COUNTS, {"exposure_ms": 10.0})


def test_a_scored_trial_comes_back_whole_after_reopening(ledger):
    asked_and_captured(ledger)
    ledger.score(
        0, score=12.5, standard_error=0.5, estimate={"bits_per_pixel": 0.7},
        seconds=1.5, timings={"score": 0.25},
    )  # fmt: skip
    ledger.close()
    with Ledger.open(ledger.run_dir) as again:
        (row,) = again.trials()
        assert (row.number, row.phase, row.state, row.design) == (0, "search", "scored", DESIGN)
        assert (row.score, row.standard_error, row.seconds) == (12.5, 0.5, 1.5)
        assert row.record == {"exposure_ms": 10.0}
        assert row.estimate == {"bits_per_pixel": 0.7}
        np.testing.assert_array_equal(again.load_batch(row), COUNTS)
        assert again.meta() == {"config": {"a": 1}}


def test_a_failed_trial_keeps_its_frames_and_says_why(ledger):
    asked_and_captured(ledger)
    ledger.fail(0, why="saturated", seconds=1.0)
    (row,) = ledger.trials()
    assert (row.state, row.why, row.score) == ("failed", "saturated", None)
    np.testing.assert_array_equal(ledger.load_batch(row), COUNTS)


def test_an_edited_batch_is_not_believed(ledger):
    asked_and_captured(ledger)
    (row,) = ledger.trials()
    path = ledger.run_dir / row.parts[0].file
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(LedgerError, match="SHA-256"):
        ledger.load_batch(row)


def test_a_missing_batch_is_named(ledger):
    asked_and_captured(ledger)
    (row,) = ledger.trials()
    (ledger.run_dir / row.parts[0].file).unlink()
    with pytest.raises(LedgerError, match="trial00000"):
        ledger.load_batch(row)


def test_debris_of_a_killed_capture_is_overwritten(ledger):
    ledger.ask(number=0, phase="search", design=DESIGN)
    (ledger.run_dir / "batches" / "trial00000.npy.partial").write_bytes(b"half")
    (ledger.run_dir / "batches" / "trial00000.npy").write_bytes(b"torn")
    ledger.capture(0, COUNTS, {})
    np.testing.assert_array_equal(ledger.load_batch(ledger.trials()[0]), COUNTS)
    assert not list((ledger.run_dir / "batches").glob("*.partial"))


def test_a_run_is_never_overwritten(ledger):
    with pytest.raises(LedgerError, match="infoloop resume"):
        Ledger.create(ledger.run_dir, {})


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(LedgerError, match="holds no run"):
        Ledger.open(tmp_path)


def test_a_torn_ledger_is_refused(tmp_path):
    (tmp_path / LEDGER_FILE).write_bytes(b"this is not a database, but it is long enough to try")
    with pytest.raises(LedgerError, match="not a readable ledger"):
        Ledger.open(tmp_path)


def test_nan_does_not_enter_the_ledger(ledger):
    asked_and_captured(ledger)
    with pytest.raises(ValueError, match="JSON"):
        ledger.score(
            0, score=1.0, standard_error=1.0, estimate={"x": float("nan")},
            seconds=1.0, timings={},
        )  # fmt: skip


# ---- parts


def record(**changes):
    return {
        "objects": 2, "shots": 1, "exposure_ms": 10.0, "positions_um": [[0.0, 0.0], [1.0, 0.0]],
        "captured_at": ["t0", "t1"], "warnings": ["dim"], "disturbances": [], "pauses": [],
        "saturated_fraction": 0.0, "truth": {"residual_rad": 1.0}, "black_level_adu": 100.0,
        "read_back": [{"focus": [1.5]}], "refused": None,
        "monitors": {"side": {"mean_adu": [[1.0], [2.0]], "saturated_fraction": 0.0}},
        **changes,
    }  # fmt: skip


def test_parts_of_a_trial_come_back_as_one_batch(ledger):
    ledger.ask(number=0, phase="search", design=DESIGN)
    ledger.capture(0, COUNTS, record())
    ledger.capture(0, COUNTS[:1] + 7, record(objects=1))
    (row,) = ledger.trials()
    assert [part.file for part in row.parts] == [
        "batches/trial00000.npy", "batches/trial00000.1.npy",
    ]  # fmt: skip
    assert [part.objects for part in row.parts] == [2, 1]
    np.testing.assert_array_equal(ledger.load_batch(row), np.concatenate([COUNTS, COUNTS[:1] + 7]))


def test_records_of_parts_are_joined_as_if_they_were_one(ledger):
    ledger.ask(number=0, phase="search", design=DESIGN)
    ledger.capture(0, COUNTS, record())
    later = record(
        objects=1, positions_um=[[2.0, 0.0]], captured_at=["t2", "t3"], warnings=["bright"],
        saturated_fraction=0.3, truth={"residual_rad": 0.5}, black_level_adu=101.0,
        pauses=[{"frames_before": 1, "at": "t2", "why": "door"}], refused="too bright",
        read_back=[{"focus": [1.6]}],
        monitors={"side": {"mean_adu": [[3.0]], "saturated_fraction": 0.3}},
    )  # fmt: skip
    ledger.capture(0, COUNTS[:1], later)
    assert ledger.trials()[0].record == {
        "objects": 3, "shots": 1, "exposure_ms": 10.0,
        "positions_um": [[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]], "captured_at": ["t0", "t3"],
        "warnings": ["dim", "bright"], "disturbances": [], "black_level_adu": 100.0,
        "pauses": [{"frames_before": 3, "at": "t2", "why": "door"}],
        "saturated_fraction": pytest.approx(0.1), "truth": {"residual_rad": 0.5},
        "read_back": [{"focus": [1.5, 1.6]}], "refused": "too bright",
        "monitors": {
            "side": {
                "mean_adu": [[1.0], [2.0], [3.0]], "saturated_fraction": pytest.approx(0.1),
            },
        },
    }  # fmt: skip


def test_parts_set_aside_are_kept_but_not_used(ledger):
    asked_and_captured(ledger)
    ledger.set_aside(0, why="the camera was unplugged")
    (row,) = ledger.trials()
    assert (row.state, row.parts, row.record) == ("asked", (), {})
    with pytest.raises(LedgerError, match="no frames"):
        ledger.load_batch(row)
    ledger.capture(0, COUNTS + 1, {})
    (row,) = ledger.trials()
    assert [part.part for part in row.parts] == [1]
    assert [(p.part, p.set_aside) for p in row.set_aside] == [(0, "the camera was unplugged")]
    np.testing.assert_array_equal(ledger.load_batch(row), COUNTS + 1)
    np.testing.assert_array_equal(np.load(ledger.run_dir / row.set_aside[0].file), COUNTS)


def test_frames_in_any_order_of_memory_come_back_the_same(ledger):
    ledger.ask(number=0, phase="search", design=DESIGN)
    ledger.capture(0, np.asfortranarray(COUNTS)[:, :, ::2], {})
    np.testing.assert_array_equal(ledger.load_batch(ledger.trials()[0]), COUNTS[:, :, ::2])


# ---- order


def scored(ledger, number=0):
    ledger.score(number, score=1.0, standard_error=1.0, estimate={}, seconds=1.0, timings={})


def test_a_trial_takes_its_steps_in_their_order(ledger):
    with pytest.raises(LedgerError, match="trial 3 cannot be asked, trial 0 is next"):
        ledger.ask(number=3, phase="search", design=DESIGN)
    with pytest.raises(LedgerError, match="cannot capture trial 0, it is not asked"):
        ledger.capture(0, COUNTS, {})
    ledger.ask(number=0, phase="search", design=DESIGN)
    with pytest.raises(LedgerError, match="cannot score trial 0, it is asked"):
        scored(ledger)
    ledger.capture(0, COUNTS, {})
    scored(ledger)
    for step in (
        lambda: ledger.capture(0, COUNTS, {}), lambda: ledger.set_aside(0, why=""),
        lambda: scored(ledger), lambda: ledger.fail(0, why="", seconds=0.0),
    ):  # fmt: skip
        with pytest.raises(LedgerError, match="it is scored"):
            step()


def test_a_score_that_is_no_number_is_not_taken(ledger):
    asked_and_captured(ledger)
    with pytest.raises(ValueError, match="not a number"):
        ledger.score(
            0, score=float("nan"), standard_error=1.0, estimate={}, seconds=1.0, timings={}
        )
    assert ledger.trials()[0].state == "captured"


def test_what_a_device_said_does_not_cost_its_frames(ledger):
    ledger.ask(number=0, phase="search", design=DESIGN)
    ledger.capture(0, COUNTS, {"temperature_c": float("nan")})
    assert np.isnan(ledger.trials()[0].record["temperature_c"])


# ---- journal and sessions


def test_the_journal_keeps_what_happened_in_its_order(ledger):
    ledger.log("fault", "camera: unplugged", role="camera")
    ledger.log("recovery", "camera: back")
    ledger.close()
    with Ledger.read(ledger.run_dir) as again:
        rows = again.journal()
    assert [(row.number, row.session, row.kind, row.text, row.data) for row in rows] == [
        (0, 0, "fault", "camera: unplugged", {"role": "camera"}),
        (1, 0, "recovery", "camera: back", {}),
    ]


def test_a_session_says_who_wrote_and_what_it_came_to(ledger):
    ledger.describe_session(devices=["camera"])
    ledger.describe_session(status="finished", why=None)
    ledger.close()
    with Ledger.open(ledger.run_dir) as again:
        first, second = again.sessions()
    assert (first.pid, first.host) == (os.getpid(), socket.gethostname())
    assert first.versions["numpy"] == np.__version__
    assert (first.status, first.details) == ("finished", {"devices": ["camera"], "why": None})
    assert first.closed_at > first.opened_at
    assert first.seconds > 0
    assert (second.number, second.status, second.closed_at) == (1, "open", None)


def test_a_trial_knows_its_session_and_what_its_proposal_carried(ledger):
    ledger.close()
    with Ledger.open(ledger.run_dir) as again:
        again.ask(number=0, phase="reference", design=DESIGN, plan={"drift": {"focus": 0.5}})
        again.capture(0, COUNTS, {})
        (row,) = again.trials()
    assert (row.session, row.parts[0].session) == (1, 1)
    assert row.plan == {"drift": {"focus": 0.5}}


# ---- reading


def test_a_run_can_be_read_while_it_is_written(ledger):
    asked_and_captured(ledger)
    with Ledger.read(ledger.run_dir) as reader:
        scored(ledger)
        assert reader.trials()[0].state == "captured"  # as it was then
        with pytest.raises(LedgerError, match="for reading only"):
            reader.log("note", "no")
    with Ledger.read(ledger.run_dir) as reader:
        assert reader.trials()[0].state == "scored"


def test_reading_leaves_nothing_behind(ledger):
    ledger.close()
    before = sorted(path.name for path in ledger.run_dir.iterdir())
    Ledger.read(ledger.run_dir).close()
    assert sorted(path.name for path in ledger.run_dir.iterdir()) == before


def test_threads_may_write_at_once(ledger):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: ledger.log("note", str(i)), range(100)))
    assert sorted(int(row.text) for row in ledger.journal()) == list(range(100))
