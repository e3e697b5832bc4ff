"""The observer in front of the pipe: it tells the child everything and never harms the run."""

import io
import logging
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from instrument.campaign.control import Control
from instrument.campaign.events import Event, EventBus
from instrument.campaign.states import State
from instrument.faces.viewer import Viewer, ViewerUnavailable, commands, open_viewer, pipe
from instrument.faces.viewer.messages import read_message

from . import events

COPY = "import sys, shutil; shutil.copyfileobj(sys.stdin.buffer, open(sys.argv[1], 'wb'))"
STOP_READING = "import time; time.sleep(100)"


@pytest.fixture
def start():
    """Start a child that runs `code`; kill what is left of it at the end."""
    children = []

    def start(code, *arguments, stdout=None, stderr=None):
        child = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=stdout,
            stderr=stderr,
        )
        children.append((child, child.pid))
        return child

    yield start
    for child, _ in children:
        child.returncode = None  # a viewer that let go of it has said 0
        child.kill()
        child.wait()
        child.stdin.close()


def ever_later():
    return iter(range(10_000)).__next__


def messages_in(path):
    stream = io.BytesIO(path.read_bytes())
    return list(iter(lambda: read_message(stream), None))


def test_every_event_reaches_the_child_with_its_pixels(start, tmp_path):
    child = start(COPY, str(tmp_path / "copy"))
    viewer = Viewer(child, clock=ever_later())
    told = [
        events.STARTED,
        events.trial_started(0),
        events.frame(0),
        events.scored(0, 2.5),
        events.NOTICE,
        events.PAUSED,
        events.ALARM,
        Event(),  # of no known kind
        events.ENDED,
    ]
    for event in told:
        viewer(event)
    child.stdin.close()
    child.wait()
    messages = messages_in(tmp_path / "copy")
    kinds = [message.kind for message in messages]
    assert kinds == ["started", "trial", "frame", "scored", "notice", "state", "notice", "ended"]
    assert messages[5].fields == {"now": "paused", "why": "viewer"}
    assert messages[6].fields["text"].startswith("ALARM, noise at the end of the run: quieter")
    np.testing.assert_array_equal(messages[1].arrays["slm"], events.PATTERN)
    np.testing.assert_array_equal(messages[2].arrays["frame"], events.FRAME)
    assert messages[3].fields["bits_per_pixel"] == 2.5


def test_frames_that_come_too_fast_are_left_out(start, tmp_path):
    child = start(COPY, str(tmp_path / "copy"))
    viewer = Viewer(child, clock=iter([0.0, 0.01, 0.03, 0.05]).__next__)
    for index in range(4):
        viewer(events.frame(0, index))
    child.stdin.close()
    child.wait()
    assert [m.fields["index"] for m in messages_in(tmp_path / "copy")] == [0, 3]


def test_a_closed_window_is_one_line_in_the_log_and_the_run_goes_on(start, caplog):
    child = start("pass")
    child.wait()
    viewer = Viewer(child)
    with caplog.at_level(logging.INFO, pipe.__name__):
        for trial in range(5):
            viewer(events.scored(trial, 2.5))
    assert [record.message for record in caplog.records] == [
        "the viewer was closed; the run goes on"
    ]
    assert not viewer.is_open


def test_a_crash_is_told_with_the_last_words_of_the_viewer(start, caplog, tmp_path):
    with (tmp_path / "stderr").open("w+b") as complaints:
        child = start("import sys; sys.exit('no OpenGL here')", stderr=complaints)
        child.wait()
        Viewer(child, complaints=complaints)(events.NOTICE)
    assert "exit code 1: no OpenGL here" in caplog.text


def test_closing_lets_the_child_live(start):
    child = start(STOP_READING)
    pid = child.pid
    viewer = Viewer(child)
    viewer.close()
    viewer.close()
    assert child.stdin.closed
    assert subprocess.run([sys.executable, "-c", f"import os; os.kill({pid}, 0)"]).returncode == 0


def test_a_viewer_that_hangs_delays_the_end_of_the_run_by_no_more_than_the_limit(
    start, monkeypatch, caplog
):
    monkeypatch.setattr(pipe, "_CLOSE_TIMEOUT_S", 0.2)
    viewer = Viewer(start(STOP_READING))
    large = np.zeros((1024, 1024), np.uint16)  # more than any pipe buffers
    writer = threading.Thread(target=viewer, args=[events.frame(0, pixels=large)], daemon=True)
    writer.start()
    time.sleep(0.2)
    begin = time.monotonic()
    viewer.close()
    assert time.monotonic() - begin < 2.0
    assert "does not answer" in caplog.text


def test_a_bus_carries_a_campaign_to_the_viewer(start, tmp_path):
    child = start(COPY, str(tmp_path / "copy"))
    viewer = Viewer(child)
    bus = EventBus()
    bus.subscribe(viewer, name="viewer")
    bus.emit(events.STARTED)
    bus.emit(events.ENDED)
    bus.close()
    child.stdin.close()
    child.wait()
    assert [message.kind for message in messages_in(tmp_path / "copy")] == ["started", "ended"]


def running():
    control = Control()
    control.enter(State.CONNECTING)
    control.enter(State.RUNNING)
    return control


def wait_for_the_commands():
    """Wait until the child's output has ended and what it said is obeyed."""
    (reader,) = [t for t in threading.enumerate() if t.name == "viewer-buttons"]
    reader.join(30)
    assert not reader.is_alive()


def test_the_buttons_of_the_window_command_the_run_and_are_answered(start, tmp_path):
    press = "import os; os.write(1, b'pause\\n'); os.close(1); "
    child = start(press + COPY, str(tmp_path / "copy"), stdout=subprocess.PIPE)
    control = running()
    Viewer(child, control=control)
    wait_for_the_commands()
    assert control.is_pause_asked
    child.stdin.close()
    child.wait()
    (answer,) = messages_in(tmp_path / "copy")
    assert answer.fields["text"].startswith("pausing (viewer): the light is off after")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (b"pause\n", (True, False)),
        (b"pause\nresume\n", (False, False)),
        (b"abort\n", (False, True)),
        (b"pause", (True, False)),  # the child died after it
        (b"PAUSE\n__import__('os')\n\xff\x00\n", (False, False)),
        (b"pause " + b"x" * 100_000 + b"\npause\n", (True, False)),
        (b"x" * 64 + b"pause\n", (False, False)),  # the rest of a line is no line
        (b"", (False, False)),
    ],
    ids=[
        "pause",
        "resume",
        "abort",
        "cut-off",
        "no-commands",
        "endless-line",
        "rest-of-a-line",
        "silence",
    ],
)
def test_only_the_words_of_the_buttons_are_obeyed(said, expected):
    control = running()
    commands.obey(io.BytesIO(said), control, lambda _text: None)
    assert (control.is_pause_asked, control.is_abort_asked) == expected


def test_a_child_that_says_anything_else_is_complained_of_once(caplog):
    commands.obey(io.BytesIO(b"Qt: warning\n" * 1000), running(), lambda _text: None)
    assert [record.getMessage() for record in caplog.records] == [
        "the viewer said b'Qt: warning\\n', which is no command; ignored"
    ]


def test_a_crash_of_the_viewer_leaves_the_run_as_it_was(start):
    child = start("import os; os.abort()", stdout=subprocess.PIPE)
    control = running()
    viewer = Viewer(child, control=control)
    wait_for_the_commands()
    child.wait()
    viewer(events.NOTICE)
    viewer.close()
    assert control.state == State.RUNNING
    assert control.checkpoint() is None


def test_without_the_extra_the_person_is_told_what_to_install(monkeypatch):
    monkeypatch.setattr(pipe, "_NEEDED", ("napari_that_is_not_there",))
    with pytest.raises(ViewerUnavailable, match=r'pip install "infoloop\[gui\]"'):
        open_viewer(Control())


@pytest.mark.parametrize(
    ("environment", "word"),
    [
        ({}, "DISPLAY"),
        ({"QT_QPA_PLATFORM": "xcb"}, "DISPLAY"),
        ({"DISPLAY": ":0", "QT_QPA_PLATFORM": "offscreen"}, "QT_QPA_PLATFORM=offscreen"),
    ],
    ids=["headless", "x11-without-server", "offscreen"],
)
def test_without_a_display_the_person_is_told_so(environment, word, monkeypatch):
    monkeypatch.setattr(pipe, "_NEEDED", ())
    monkeypatch.setattr(sys, "platform", "linux")
    assert word in pipe.why_unavailable(environment)


@pytest.mark.parametrize(
    "environment",
    [{"DISPLAY": ":0"}, {"WAYLAND_DISPLAY": "wayland-0"}, {"QT_QPA_PLATFORM": "vnc:size=1280x800"}],
    ids=["x11", "wayland", "vnc"],
)
def test_with_a_display_there_is_no_objection(environment, monkeypatch):
    monkeypatch.setattr(pipe, "_NEEDED", ())
    assert pipe.why_unavailable(environment) is None
