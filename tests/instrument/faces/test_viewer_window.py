"""The real window on a real X server, photographed."""

import importlib.util
import os
import shutil
import subprocess

import numpy as np
import pytest
from matplotlib.image import imread

from instrument.campaign.control import Control
from instrument.campaign.states import State
from instrument.faces.viewer.pipe import start_viewer

from . import events

pytestmark = [
    pytest.mark.gui,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        shutil.which("Xvfb") is None or importlib.util.find_spec("napari") is None,
        reason="needs Xvfb and the extra gui",
    ),
]
_CHILD_TIMEOUT_S = 200  # napari on a shared core without a graphics card


@pytest.fixture
def display(monkeypatch):
    """An X server of our own."""
    command = ["Xvfb", "-displayfd", "1", "-screen", "0", "1400x900x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        monkeypatch.setenv("DISPLAY", f":{server.stdout.readline().decode().strip()}")
        monkeypatch.delenv("QT_QPA_PLATFORM", raising=False)
        yield
        server.terminate()


def photograph(file, campaign, *arguments):
    """Feed a campaign to the viewer and return its picture, (height, width, rgb) in 0 to 255."""
    viewer = start_viewer("--screenshot", str(file), *arguments)
    pid = viewer._process.pid
    for event in campaign:
        viewer(event)
    viewer.close()
    if hasattr(os, "waitpid"):
        assert wait_for(pid) == 0
    return np.rint(imread(file)[..., :3] * 255).astype(int)


def wait_for(pid):
    """Return the exit code of a child that its Popen has let go of."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def region(picture, rows, columns):
    height, width = picture.shape[:2]
    top, bottom = (int(height * part) for part in rows)
    left, right = (int(width * part) for part in columns)
    return picture[top:bottom, left:right].reshape(-1, 3)


def is_close(pixels, colour, tolerance=40):
    return np.abs(pixels - np.array(colour)).max(axis=1) <= tolerance


def is_ramp(pixels):
    """Whether grey levels are spread as those of `events.FRAME`: all there, none prevails."""
    greys = pixels[np.ptp(pixels, axis=1) == 0][:, 0]
    is_between = (greys > 25) & (greys < 230)
    return len(np.unique(greys)) > 50 and is_between.sum() > 0.5 * len(pixels)


CAMPAIGN = [
    events.STARTED,
    events.trial_started(0, "initial"),
    events.frame(0),
    events.scored(0, 2.0, phase="initial"),
    events.scored(1, 2.2),
    events.scored(2, None),
    events.scored(3, 2.5, phase="confirm", best=3),
    events.ENDED,
]


def test_frame_pattern_and_scores_are_all_to_be_seen(display, tmp_path):
    picture = photograph(tmp_path / "window.png", CAMPAIGN)
    assert picture.shape[0] >= 700
    assert picture.shape[1] >= 1200

    assert is_ramp(region(picture, rows=(0.15, 0.55), columns=(0.30, 0.60)))

    pattern = region(picture, rows=(0.15, 0.55), columns=(0.66, 0.96))
    assert np.mean(np.ptp(pattern, axis=1) > 40) > 0.3  # coloured, as a phase is

    scores = region(picture, rows=(0.72, 0.96), columns=(0.05, 0.98))
    for colour in [(86, 180, 233), (230, 159, 0), (240, 241, 242)]:  # search, confirm, initial
        assert is_close(scores, colour).sum() > 20
    best = [(255, 216, 102)]
    assert is_close(scores, best).sum() > 50


def test_a_bench_without_a_modulator_shows_its_frame_and_scores(display, tmp_path):
    campaign = [events.STARTED, events.frame(0), events.scored(0, 2.0)]
    picture = photograph(tmp_path / "window.png", campaign, "--after", "3")
    alone_in_the_middle = region(picture, rows=(0.15, 0.55), columns=(0.50, 0.75))
    assert is_ramp(alone_in_the_middle)


def test_a_button_pressed_in_the_window_pauses_the_run_and_the_window_says_so(display, tmp_path):
    control = Control()
    control.enter(State.CONNECTING)
    control.enter(State.RUNNING)
    file = tmp_path / "window.png"
    press = ("--press", "pause", "--press", "abort")  # the first press of Abort only asks
    viewer = start_viewer("--screenshot", str(file), "--after", "4", *press, control=control)
    pid = viewer._process.pid
    for event in [events.STARTED, events.frame(0), events.scored(0, 2.0), events.RUNNING]:
        viewer(event)
    assert wait_for(pid) == 0
    viewer.close()
    assert control.is_pause_asked
    assert not control.is_abort_asked
