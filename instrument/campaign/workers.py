"""Worker processes that score batches while the next one is captured.

Not `concurrent.futures.ProcessPoolExecutor`: its workers import the main program again (with every
driver), one that hangs cannot be ended alone, and those of a killed program live on. So each worker
is a child of its own behind a pipe, with one thread here that feeds it and knows how to replace it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import Future
from dataclasses import asdict
from pathlib import Path
from typing import Any

from instrument.campaign.estimating import BenchNoise, ScoreSettings
from instrument.campaign.scoring_process import Answer, ScoreJob, do_job, noise_as_plain

READY_TIMEOUT_S = 120.0
LONGEST_S = 900.0
"""Of one job; a training on a busy machine takes minutes."""

TRIES = 3
"""Processes that a batch is given to before this one scores it."""

CLOSE_TIMEOUT_S = 5.0
_log = logging.getLogger(__name__)


class ScorerClosed(Exception):  # noqa: N818 - nothing went wrong
    """The scorer was closed before the score was there; its frames are on the disk."""


class _WorkerLost(Exception):  # noqa: N818 - another one takes its place
    """The process ended, hung or answered for another batch."""


class ProcessScorer:
    """Scores batches in worker processes, in the order they were given; close it, or use `with`.

    A worker that dies or hangs is replaced and its batch scored again; after `tries` workers it is
    scored in this process.

    Parameters
    ----------
    run_dir
        Where the files of the jobs are.
    noise, settings
        Of the campaign.
    workers
        Processes.
    longest_s
        After which a job's worker is taken to hang.
    tries
        Workers that a job is given to.
    """

    def __init__(
        self,
        run_dir: Path,
        noise: BenchNoise,
        settings: ScoreSettings,
        *,
        workers: int,
        longest_s: float = LONGEST_S,
        tries: int = TRIES,
    ):
        self._run_dir = run_dir
        self._noise = noise
        self._settings = settings
        self._longest_s = longest_s
        self._tries = tries
        self._folder = tempfile.TemporaryDirectory(prefix="infoloop-")
        noise_file = Path(self._folder.name) / "noise.npz"
        self._first = {
            "run_dir": str(run_dir.resolve()),
            "noise": noise_as_plain(noise, noise_file),
            "settings": asdict(settings),
        }
        self._jobs: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._is_closed = threading.Event()
        self._workers = [_Worker(self._first, longest_s=longest_s) for _ in range(workers)]
        self._threads = [
            threading.Thread(target=self._feed, args=(worker,), name=f"scorer-{k}", daemon=True)
            for k, worker in enumerate(self._workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def processes(self) -> list[int]:
        """Process numbers of the workers that run now."""
        return [number for worker in self._workers if (number := worker.pid) is not None]

    def submit(self, job: ScoreJob) -> Future[Answer]:
        """Have a batch scored; the future raises `LedgerError` where its frames are not intact."""
        future: Future[Answer] = Future()
        self._jobs.put((job, future, None))
        return future

    def warm_up(self, job: ScoreJob) -> list[Future[Answer]]:
        """Have every worker do a job, so that its code is compiled before a score counts."""
        together = threading.Barrier(len(self._threads))
        futures: list[Future[Answer]] = [Future() for _ in self._threads]
        for future in futures:
            self._jobs.put((job, future, together))
        return futures

    def close(self) -> None:
        """End the workers, whatever they are doing. Idempotent."""
        self._is_closed.set()
        for _ in self._threads:
            self._jobs.put(None)
        for worker in self._workers:
            worker.end_for_good()
        for thread in self._threads:
            thread.join(CLOSE_TIMEOUT_S)
        while not self._jobs.empty():
            task = self._jobs.get()
            if task is not None:
                task[1].set_exception(ScorerClosed())
        self._folder.cleanup()

    def __enter__(self) -> ProcessScorer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _feed(self, worker: _Worker) -> None:
        """Own one worker: give it one job after the other."""
        with contextlib.suppress(_WorkerLost):
            worker.start()  # now, so that its imports are done before the first job
        while (task := self._jobs.get()) is not None:
            job, future, together = task
            if together is not None:
                with contextlib.suppress(threading.BrokenBarrierError):
                    together.wait(READY_TIMEOUT_S)  # one for every worker, none for the swiftest
            try:
                future.set_result(self._answer(worker, job))
            except Exception as error:  # noqa: BLE001 - whoever waits for the future gets it
                future.set_exception(error)
        worker.end()

    def _answer(self, worker: _Worker, job: ScoreJob) -> Answer:
        for _ in range(self._tries):
            if self._is_closed.is_set():
                break
            try:
                worker.start()
                return worker.ask(job)
            except _WorkerLost as lost:
                worker.end()
                if not self._is_closed.is_set():
                    _log.warning(
                        "the process that scored trial %d is replaced: %s", job.number, lost
                    )
        if self._is_closed.is_set():
            raise ScorerClosed
        _log.warning("trial %d is scored beside the capture, which may slow it", job.number)
        return do_job(job, run_dir=self._run_dir, noise=self._noise, settings=self._settings)


_Task = tuple[ScoreJob, "Future[Answer]", threading.Barrier | None]


class _Worker:
    """One process at a time, started again when it was lost. `end` may come from any thread."""

    def __init__(self, first: dict[str, Any], *, longest_s: float):
        self._first = first
        self._longest_s = longest_s
        self._process: subprocess.Popen[bytes] | None = None
        self._is_ended = threading.Event()

    @property
    def pid(self) -> int | None:
        process = self._process
        return None if process is None or process.poll() is not None else process.pid

    def start(self) -> None:
        if self.pid is not None:
            return
        self.end()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "instrument.campaign.scoring_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=_environment(),
            start_new_session=True,  # Ctrl-C is for us
            creationflags=getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0),
        )
        if self._is_ended.is_set():
            self.end()
            raise _WorkerLost("it is to end")
        self._send(self._first)
        if self._receive(READY_TIMEOUT_S) != "ready":
            raise _WorkerLost("it did not start")

    def ask(self, job: ScoreJob) -> Answer:
        self._send(asdict(job))
        answer = Answer.from_plain(self._receive(self._longest_s))
        hashes = tuple(each.sha256 for each in job.frames)
        if (answer.number, answer.sha256) != (job.number, hashes):
            raise _WorkerLost(f"it answered for trial {answer.number}")
        return answer

    def end_for_good(self) -> None:
        self._is_ended.set()
        self.end()

    def end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(CLOSE_TIMEOUT_S)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _send(self, message: object) -> None:
        process = self._process
        if process is None or process.stdin is None:
            raise _WorkerLost("it has ended")
        try:
            process.stdin.write(json.dumps(message).encode() + b"\n")
            process.stdin.flush()
        except (OSError, ValueError) as error:
            raise _WorkerLost(f"it takes no jobs ({error})") from error

    def _receive(self, longest_s: float) -> Any:
        process = self._process
        if process is None or process.stdout is None:
            raise _WorkerLost("it has ended")
        watch = threading.Timer(longest_s, process.kill)
        watch.daemon = True
        watch.start()
        try:
            line = process.stdout.readline()
        except (OSError, ValueError) as error:
            raise _WorkerLost(f"it cannot be heard ({error})") from error
        finally:
            watch.cancel()
            watch.join(CLOSE_TIMEOUT_S)
        if not line.endswith(b"\n"):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(CLOSE_TIMEOUT_S)
            raise _WorkerLost(f"it ended (exit code {process.returncode}) or hung")
        return json.loads(line)


def _environment() -> dict[str, str]:
    """One core a worker: what is left is for the capture and for the other workers."""
    flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {
        **os.environ,
        **threads,
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip(),
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }
