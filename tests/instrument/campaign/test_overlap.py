"""Scores told late: the lag is fixed, nothing captured is lost, no score is another trial's."""

import errno
import hashlib
import os
import signal
from types import SimpleNamespace

import numpy as np
import pytest

from instrument.campaign import overlap, trained_density
from instrument.campaign.control import AbortAsked, Control
from instrument.campaign.count_noise import GaussianCounts
from instrument.campaign.engine import Campaign
from instrument.campaign.estimating import ScoreSettings
from instrument.campaign.events import EventBus, TrialScored, TrialStarted
from instrument.campaign.ledger import Ledger, LedgerFull
from instrument.campaign.overlap import Overlap
from instrument.campaign.scoring import score_batch
from instrument.campaign.scoring_process import Answer
from instrument.campaign.trained_density import density_of, recorded_density, train
from instrument.campaign.workers import ProcessScorer
from tests.instrument.campaign.test_engine import Killed, killed_at, run
from tests.instrument.fakes import make_bench, make_config


def late_config(tmp_path, *, lag=2, workers=0, **sections):
    return make_config(
        tmp_path,
        safety={"self_check_repeats": 0},
        score={"density": "gaussian", "workers": workers, **sections.pop("score", {})},
        search={"told_late": lag, **sections.pop("search", {})},
        **sections,
    )


@pytest.fixture
def ledger(tmp_path):
    with Ledger.create(tmp_path / "run", {}) as ledger:
        yield ledger


def told_when_started(config, ledger):
    """Number of trials told when each trial began."""
    told, begun = set(), []
    bus = EventBus()
    emit = bus.emit

    def note(event):
        if isinstance(event, TrialScored):
            told.add(event.trial)
        if isinstance(event, TrialStarted):
            begun.append((event.trial, len(told)))
        emit(event)

    bus.emit = note
    Campaign(make_bench(config), ledger, bus, control=Control()).run()
    bus.close()
    return begun


def test_a_design_is_proposed_when_just_the_trials_before_the_lag_are_told(tmp_path, ledger):
    config = late_config(tmp_path, search={"engine": "sobol", "trials": 12})
    begun = told_when_started(config, ledger)
    searched = [row.number for row in ledger.trials() if row.phase == "search"]
    assert dict(begun)[searched[-1]] == searched[-1] - 2
    assert all(begun[number] == (number, max(0, number - 2)) for number in searched)


def test_confirmation_waits_for_all_scores_of_the_search(tmp_path, ledger):
    config = late_config(tmp_path)
    begun = dict(told_when_started(config, ledger))
    first = next(row.number for row in ledger.trials() if row.phase == "confirm")
    assert begun[first] == first


@pytest.mark.parametrize("method", ["ask", "capture", "score"])
@pytest.mark.parametrize("call", [0, 4, 9])
def test_killed_with_scores_under_way_it_goes_on_with_the_same_designs(
    tmp_path, monkeypatch, method, call
):
    config = late_config(tmp_path, workers=1 if method == "score" else 0)
    with Ledger.create(tmp_path / "whole", {}) as whole:
        run(config, whole)
        expected = [row.design for row in whole.trials()]
    with Ledger.create(tmp_path / "killed", {}) as ledger:
        killed_at(ledger, monkeypatch, method, call)
        with pytest.raises(Killed):
            run(config, ledger)
        hashes = [row.parts[0].sha256 for row in ledger.trials() if row.parts]
    with Ledger.open(tmp_path / "killed") as ledger:
        run(config, ledger)
        rows = ledger.trials()
    known = len(hashes)  # a design depends on frames up to three trials before
    assert [row.design for row in rows[: known + 2]] == expected[: known + 2]
    assert [row.parts[0].sha256 for row in rows[:known]] == hashes
    assert all(row.state == "scored" for row in rows)


def test_workers_give_the_scores_that_this_process_gives(tmp_path):
    found = []
    for workers in (0, 1):
        config = late_config(tmp_path, workers=workers, search={"trials": 12})
        with Ledger.create(tmp_path / f"run{workers}", {}) as ledger:
            run(config, ledger)
            found.append([(row.design, row.score, row.estimate) for row in ledger.trials()])
    assert found[0] == found[1]


def test_a_campaign_whose_worker_is_killed_finishes_with_every_trial_scored(
    tmp_path, ledger, monkeypatch
):
    submit, killed = ProcessScorer.submit, []

    def kill_first(pool, job):
        future = submit(pool, job)
        if job.number == 3 and pool.processes:
            killed.extend(pool.processes)
            for number in killed:
                os.kill(number, getattr(signal, "SIGKILL", signal.SIGTERM))
        return future

    monkeypatch.setattr(overlap.ProcessScorer, "submit", kill_first)
    run(late_config(tmp_path, workers=1, search={"trials": 12}), ledger)
    assert killed
    assert {row.state for row in ledger.trials()} == {"scored"}


def test_aborted_it_keeps_what_is_captured_and_scores_it_when_the_run_goes_on(tmp_path, ledger):
    """Aborted in the fourth trial: the third and the second have no score yet."""
    config, control = late_config(tmp_path, workers=1), Control()
    bench = make_bench(config)
    camera = bench.devices["camera"]
    snap, count = camera.snap, iter(range(10**6))

    def abort_in_the_fourth_trial(*, timeout_s):
        if next(count) == 3 * 18 + 4:
            control.abort("enough")
        return snap(timeout_s=timeout_s)

    camera.snap = abort_in_the_fourth_trial
    with pytest.raises(AbortAsked):
        run(config, ledger, bench=bench, control=control)
    states = [row.state for row in ledger.trials()]
    assert states == ["scored", "captured", "captured", "asked"]
    hashes = [row.parts[0].sha256 for row in ledger.trials()[:3]]
    run(config, ledger)
    assert [row.parts[0].sha256 for row in ledger.trials()[:3]] == hashes
    assert {row.state for row in ledger.trials()} == {"scored"}


def test_a_run_begun_before_scores_could_be_late_is_told_at_once(tmp_path, ledger, monkeypatch):
    killed_at(ledger, monkeypatch, "score", 3)
    with pytest.raises(Killed):
        run(late_config(tmp_path, lag="auto"), ledger)
    monkeypatch.undo()
    ledger._connection.execute("DELETE FROM meta WHERE key='told_late'")
    begun = dict(told_when_started(late_config(tmp_path, lag=2), ledger))
    assert begun[4] == 1  # trial 3, the only one that this session could tell by then


def is_full(monkeypatch, times):
    """Let the first syncs find the disk full."""
    fsync, left = os.fsync, iter(range(times))

    def full_at_first(handle):
        if next(left, None) is not None:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full_at_first)


def test_frames_that_a_density_is_trained_on_wait_for_room(tmp_path, ledger, monkeypatch):
    waited, counts = [], np.ones((16, 1, 16, 16), np.uint16)
    config = late_config(tmp_path, score={"density": "autoregressive"})
    scores = Overlap(config, ledger, make_noise(config, ledger), EventBus(), checkpoint=list)
    monkeypatch.setattr(
        overlap, "do_job", lambda job, **_: Answer(number=-1, sha256=(), why="of no use")
    )
    ledger.on_full = waited.append
    is_full(monkeypatch, 2)
    scores.prepare(lambda: (counts, 1.0))
    assert len(waited) == 2
    recorded = ledger.meta()["trained_density"]
    content = (ledger.run_dir / recorded["frames_file"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == recorded["frames_sha256"]


def test_a_density_that_cannot_be_written_is_an_error_of_the_record(tmp_path, monkeypatch):
    settings = ScoreSettings(patch=4, seed=0, objective="bits_per_pixel")
    found = SimpleNamespace(estimate=SimpleNamespace(fitted=()))
    monkeypatch.setattr(ScoreSettings, "score", lambda *_args, **_keywords: found)
    monkeypatch.setattr(trained_density, "fits_to_bytes", lambda _fits: b"weights")
    is_full(monkeypatch, 1)
    file = tmp_path / "density.npz"
    noise = GaussianCounts(sigma_adu=1.0, offset=0.0, bit_depth=12)
    with pytest.raises(LedgerFull, match=r"density\.npz"):
        train(np.zeros((1, 1, 4, 4), np.uint16), noise, settings, file)
    assert not file.exists()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_autoregressive_campaign_is_scored_from_one_recorded_training(tmp_path, ledger):
    config = late_config(
        tmp_path,
        score={"density": "autoregressive"},
        search={"trials": 4, "confirm": {"repeats": 1}},
    )
    run(config, ledger)
    trained = recorded_density(ledger.meta())
    content = (ledger.run_dir / trained.file).read_bytes()
    assert hashlib.sha256(content).hexdigest() == trained.sha256
    last = ledger.trials()[-1]
    noise = make_noise(config, ledger)
    density = density_of(trained, ledger.run_dir, seed=config.search.seed)
    again = score_batch(ledger.load_batch(last), noise, config, density=density)
    assert again.objective == last.score  # the order of the trials does not matter


def make_noise(config, ledger):
    from instrument.campaign.scoring import load_noise

    return load_noise(config, make_bench(config), ledger.run_dir)
