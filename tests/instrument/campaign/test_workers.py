"""Worker processes that score: what they know, what becomes of one that dies."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future

import numpy as np
import pytest

from estimation import SensorNoise
from instrument.campaign import workers
from instrument.campaign.estimating import Scored, ScoreSettings
from instrument.campaign.ledger import LedgerError
from instrument.campaign.ledger.files import write_frames
from instrument.campaign.scoring_process import (
    FramesFile,
    ScoreJob,
    noise_as_plain,
    noise_from_plain,
)
from instrument.campaign.trained_density import DensityChoice
from instrument.campaign.workers import ProcessScorer, ScorerClosed

NOISE = SensorNoise(gain=2.0, offset=100.0, read_noise=2.0, bit_depth=12)
SETTINGS = ScoreSettings(patch=8, seed=0, objective="bits_per_pixel")
posix = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")


def frames(seed):
    rng = np.random.default_rng(seed)
    return rng.poisson(200.0, (16, 1, 16, 16)).astype(np.uint16)


def job(run_dir, number):
    sha256 = write_frames(run_dir / f"{number}.npy", frames(number))
    return ScoreJob(
        number=number,
        frames=(FramesFile(file=f"{number}.npy", sha256=sha256),),
        exposure_ms=10.0,
        density=DensityChoice(name="gaussian"),
    )


def scorer(run_dir, **options):
    return ProcessScorer(run_dir, NOISE, SETTINGS, **{"workers": 1, **options})


def expected(number):
    return Scored.of(SETTINGS.score(frames(number), NOISE, density="gaussian"))


def until(condition):
    deadline_s = time.monotonic() + 50
    while not condition():
        assert time.monotonic() < deadline_s, "it never came to that"
        time.sleep(0.01)


def test_a_worker_scores_as_this_process_does(tmp_path):
    with scorer(tmp_path) as pool:
        futures = [pool.submit(job(tmp_path, number)) for number in (3, 4)]
        answers = [future.result(50) for future in futures]
    assert [(answer.number, answer.scored) for answer in answers] == [
        (3, expected(3)), (4, expected(4)),
    ]  # fmt: skip


def test_a_worker_that_is_killed_is_replaced_and_its_batch_scored_again(tmp_path, caplog):
    with scorer(tmp_path) as pool, caplog.at_level(logging.WARNING):
        until(lambda: pool.processes)
        (first,) = pool.processes
        os.kill(first, getattr(signal, "SIGKILL", signal.SIGTERM))
        answer = pool.submit(job(tmp_path, 5)).result(50)
        assert pool.processes != [first]
    assert answer.scored == expected(5)


@posix
def test_a_worker_that_hangs_is_ended_and_the_batch_is_scored_here(tmp_path, caplog, monkeypatch):
    """Every worker is stopped as soon as it runs: it lives, and answers nothing."""
    popen = subprocess.Popen

    def stopped(*arguments, **keywords):
        process = popen(*arguments, **keywords)
        os.kill(process.pid, signal.SIGSTOP)
        return process

    monkeypatch.setattr(workers.subprocess, "Popen", stopped)
    monkeypatch.setattr(workers, "READY_TIMEOUT_S", 0.2)
    with caplog.at_level(logging.WARNING), scorer(tmp_path, tries=2) as pool:
        answer = pool.submit(job(tmp_path, 6)).result(50)
    assert answer.scored == expected(6)
    assert "trial 6 is scored beside the capture" in caplog.text


def test_frames_that_were_changed_are_not_scored(tmp_path):
    changed = job(tmp_path, 7)
    write_frames(tmp_path / "7.npy", frames(8))
    with scorer(tmp_path, tries=0) as pool, pytest.raises(LedgerError, match="SHA-256 differs"):
        pool.submit(changed).result(50)


def test_a_batch_that_supports_no_score_says_why(tmp_path):
    sha256 = write_frames(tmp_path / "1.npy", np.tile(frames(0)[:1], (16, 1, 1, 1)))
    of_one_frame = ScoreJob(
        number=1,
        frames=(FramesFile(file="1.npy", sha256=sha256),),
        exposure_ms=10.0,
        density=DensityChoice(name="gaussian"),
    )
    with scorer(tmp_path) as pool:
        answer = pool.submit(of_one_frame).result(50)
    assert answer.scored is None
    assert "all objects gave the very same frame" in answer.why


def test_closed_in_the_middle_it_leaves_no_process_and_no_one_waiting(tmp_path):
    pool = scorer(tmp_path)
    futures: list[Future] = [pool.submit(job(tmp_path, number)) for number in range(4)]
    until(lambda: pool.processes)
    pool.close()
    assert pool.processes == []
    for future in futures:
        assert future.done()
        assert future.exception() is None or isinstance(future.exception(), ScorerClosed)


@pytest.mark.parametrize(
    "noise",
    [
        NOISE,
        SensorNoise(gain=np.full((4, 4), 1 / 3), offset=100.0, read_noise=2.0, key={"camera": "7"}),
    ],
    ids=["numbers", "maps"],
)
def test_noise_crosses_to_a_worker_bit_for_bit(tmp_path, noise):
    plain = json.loads(json.dumps(noise_as_plain(noise, tmp_path / "noise.npz")))
    again = noise_from_plain(plain)
    assert np.array_equal(again.gain, noise.gain)
    assert again.key == noise.key


def test_a_worker_knows_no_driver(tmp_path):
    code = (
        "import sys, instrument.campaign.scoring_process;"
        "print(sorted({'drivers', 'pymmcore', 'pymmcore_plus', 'pyvisa'} & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout.strip() == "[]"


PARENT = """
import signal, sys, time
from pathlib import Path
from tests.instrument.campaign.test_workers import scorer

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    pool = scorer(Path(sys.argv[1]))
    while not pool.processes:
        time.sleep(0.01)
    print(pool.processes[0], flush=True)
    time.sleep(60)
"""


def is_alive(number):
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


@posix
@pytest.mark.parametrize("how", [signal.SIGINT, getattr(signal, "SIGKILL", signal.SIGTERM)])
def test_no_worker_outlives_its_parent_and_ctrl_c_is_the_parents(tmp_path, how):
    """Ctrl-C goes to the whole group: the worker must not answer it, and end by its pipe."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as parent:
        worker = int(parent.stdout.readline())
        os.killpg(parent.pid, how)
        parent.wait(50)
    until(lambda: not is_alive(worker))


@posix
def test_ctrl_c_does_not_end_a_worker(tmp_path):
    with scorer(tmp_path) as pool:
        pool.submit(job(tmp_path, 2)).result(50)
        (worker,) = pool.processes
        os.kill(worker, signal.SIGINT)
        answer = pool.submit(job(tmp_path, 3)).result(50)
        assert pool.processes == [worker]
    assert answer.scored == expected(3)
