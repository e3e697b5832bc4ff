"""A person at the keyboard: Ctrl-C pauses, Enter goes on, Ctrl-C twice ends the run."""

import os
import re
import subprocess
import sys
import threading

import pytest

from instrument.campaign.control import Control
from instrument.campaign.events import StateChanged
from instrument.campaign.ledger import Ledger
from instrument.campaign.states import State
from instrument.faces.keyboard import Keyboard

ROOM_S = 240


class Terminal:
    """The ends of a keyboard: what is typed, and what the person is told."""

    def __init__(self, *, has_lines=True, viewer=False):
        self.told = []
        self._has_news = threading.Condition()
        self.control = Control()
        self.control.enter(State.CONNECTING)
        self.control.enter(State.RUNNING)
        reading, self._typing = os.pipe()
        lines = os.fdopen(reading, "rb") if has_lines else None
        if lines is None:
            os.close(reading)
        self.keyboard = Keyboard(self.control, self._tell, lines=lines, can_resume=lambda: viewer)

    def _tell(self, sentence):
        with self._has_news:
            self.told.append(sentence)
            self._has_news.notify_all()

    def type_enter(self):
        os.write(self._typing, b"\n")

    def wait_for(self, word):
        with self._has_news:
            assert self._has_news.wait_for(lambda: any(word in said for said in self.told), 30)

    def close(self):
        os.close(self._typing)
        self.keyboard.close()


@pytest.fixture
def terminal():
    made = []

    def make(**options):
        made.append(Terminal(**options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_the_first_ctrl_c_pauses_and_enter_goes_on(terminal):
    here = terminal()
    assert here.keyboard.on_ctrl_c()
    assert here.control.is_pause_asked
    here.wait_for("pausing (Ctrl-C): the light is off after the exposure under way")
    here.type_enter()
    here.wait_for("going on")
    assert not here.control.is_pause_asked


def test_the_second_ctrl_c_ends_the_run_and_the_third_does_not_wait(terminal):
    here = terminal()
    assert here.keyboard.on_ctrl_c()
    assert here.keyboard.on_ctrl_c()
    assert here.control.is_abort_asked
    assert not here.keyboard.on_ctrl_c()
    here.wait_for("Ctrl-C again does not wait for that")


def test_a_ctrl_c_after_a_resume_is_a_first_one_again(terminal):
    here = terminal()
    here.keyboard.on_ctrl_c()
    here.control.resume()
    here.keyboard.on_ctrl_c()
    assert here.control.is_pause_asked
    assert not here.control.is_abort_asked


def test_where_nobody_can_resume_the_first_ctrl_c_ends_the_run(terminal):
    here = terminal(has_lines=False)
    assert here.keyboard.on_ctrl_c()
    assert here.control.is_abort_asked


def test_without_a_terminal_the_viewer_can_resume(terminal):
    here = terminal(has_lines=False, viewer=True)
    here.keyboard.on_ctrl_c()
    assert not here.control.is_abort_asked
    here.keyboard(StateChanged(before=State.RUNNING, now=State.PAUSED, why="Ctrl-C"))
    here.wait_for("go on in the viewer")


def test_the_person_is_told_that_it_is_dark_and_what_may_be_done(terminal):
    here = terminal()
    here.control.pause("viewer")
    here.keyboard(StateChanged(before=State.RUNNING, now=State.PAUSED, why="viewer"))
    here.wait_for("paused, light off (viewer): Enter goes on, Ctrl-C ends the run")


def test_a_full_disk_is_waited_for_without_anybody(terminal):
    """Enter would do nothing: nobody has asked for this pause."""
    here = terminal()
    here.control.enter(State.PAUSED, "the disk is full")
    here.keyboard(StateChanged(before=State.RUNNING, now=State.PAUSED, why="the disk is full"))
    here.wait_for("(the disk is full): it goes on by itself, Ctrl-C twice ends the run")
    assert "goes on by itself" in here.control.resume().text
    assert here.control.pause("Ctrl-C").text == "pausing (Ctrl-C): the light is off already"


def test_enter_while_nothing_is_paused_says_nothing(terminal):
    here = terminal()
    here.type_enter()
    here.keyboard.on_ctrl_c()
    here.type_enter()
    here.wait_for("going on")
    assert not any("nothing to resume" in said for said in here.told)


pty = pytest.importorskip("pty", reason="a terminal of our own needs a pseudo-terminal")

NOISE = "noise={gain: 2.17, offset: 100, read_noise: 1.7}"
ENDLESS = [
    "--set", "search.trials=5000", "--set", "search.engine=sobol", "--set", "score.patch=8",
    "--set", "objects.stage_grid.count=9", "--set", NOISE,
]  # fmt: skip


def read_until(terminal, pattern, seen):
    """Read what a program writes to its terminal until it has written `pattern` once more."""
    while not re.search(pattern, seen[-1]):
        seen[-1] += os.read(terminal, 4096).decode(errors="replace")
    seen.append("")


# A terminal of its own needs a fork; JAX, if another test has loaded it, warns of any.
@pytest.mark.filterwarnings("ignore:os\\.fork:RuntimeWarning")
@pytest.mark.timeout(ROOM_S)
def test_a_run_at_a_terminal_is_paused_resumed_and_ended(tmp_path):
    ours, theirs = pty.openpty()
    keep_what_was_printed(theirs)
    command = [sys.executable, "-m", "instrument.faces.cli", "demo", "--quiet"]
    run_dir, seen = tmp_path / "run", [""]
    with subprocess.Popen(
        [*command, "--output", str(run_dir), *ENDLESS],
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        preexec_fn=take_the_terminal,
    ) as process:  # fmt: skip
        os.close(theirs)
        try:
            wait_for_file(run_dir / "batches" / "trial00000.npy", process)
            os.write(ours, b"\x03")
            read_until(ours, r"paused, light\s+off", seen)
            os.write(ours, b"\n")
            read_until(ours, "going on", seen)
            os.write(ours, b"\x03")  # where the loop has not gone on yet, it is still dark
            read_until(ours, r"paused, light\s+off|light\s+is\s+off\s+already", seen)
            os.write(ours, b"\x03")
            read_until(ours, "infoloop resume", seen)
            assert process.wait() == 130
        finally:
            process.kill()  # where it was not ended: nothing else would
    os.close(ours)
    with Ledger.open(run_dir) as ledger:
        assert ledger.meta()["status"] == "aborted"
        assert ledger.meta()["left_at"]["what"] == "best"
        assert all(row.state in {"asked", "scored"} for row in ledger.trials())


def keep_what_was_printed(terminal):
    """Let Ctrl-C not throw away what the program writes at that moment: the test waits for it."""
    import termios

    attributes = termios.tcgetattr(terminal)
    attributes[3] |= termios.NOFLSH
    termios.tcsetattr(terminal, termios.TCSANOW, attributes)


def take_the_terminal():
    """Make standard input the terminal that Ctrl-C comes from."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def wait_for_file(path, process):
    pause = threading.Event()
    while not path.exists():
        assert process.poll() is None
        pause.wait(0.02)
