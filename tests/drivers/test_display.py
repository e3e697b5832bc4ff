"""Real windows on a real X server without a screen, photographed from outside."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest

from drivers import discovery
from drivers.devices import SpatialLightModulator
from drivers.display import DisplaySLM, _process, list_monitors
from drivers.errors import ConnectionLost, DeviceTimeout, LimitViolation
from tests.x_server import HEIGHT, MISSING, REASON, WIDTH, has_ended, photograph, x_server

pytestmark = pytest.mark.skipif(bool(MISSING), reason=REASON)
TIMEOUT_S = 60.0  # for a loaded machine; nothing here takes a second


@pytest.fixture(scope="module", autouse=True)
def _server():
    with x_server():
        yield


@pytest.fixture(scope="module")
def open_slm() -> Iterator[DisplaySLM]:
    """One window for all tests that leave it as it was."""
    with contextlib.closing(DisplaySLM(0, name="slm_screen")) as slm:
        yield slm


@pytest.fixture
def slm(open_slm) -> DisplaySLM:
    open_slm.make_safe()
    return open_slm


@pytest.fixture
def mortal() -> Iterator[DisplaySLM]:
    """A window that a test may kill."""
    with contextlib.closing(DisplaySLM(0, name="slm_screen")) as slm:
        yield slm


def show(slm: DisplaySLM, pattern: np.ndarray) -> None:
    slm.start(pattern)
    slm.wait(timeout_s=TIMEOUT_S)


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH), np.uint8)


def wait_until_ended(pid: int) -> None:
    while not has_ended(pid):  # bounded by the test's own time limit
        time.sleep(0.01)


def test_it_keeps_the_protocol_of_a_modulator(slm):
    assert isinstance(slm, SpatialLightModulator)
    assert (slm.shape, slm.levels) == ((HEIGHT, WIDTH), 256)


# ---- what is on the screen


@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param(noise(), id="noise"),
        pytest.param(np.resize(np.arange(256, dtype=np.uint8), (HEIGHT, WIDTH)), id="all greys"),
        pytest.param(np.tile(np.eye(2, dtype=np.uint8) * 255, (122, 161))[:HEIGHT], id="checks"),
        pytest.param(np.full((HEIGHT, WIDTH), 255, np.uint8), id="white"),
    ],
)
def test_after_the_wait_the_screen_shows_the_pattern_pixel_by_pixel(slm, pattern):
    show(slm, pattern)
    np.testing.assert_array_equal(photograph(), np.repeat(pattern[..., None], 3, axis=2))


def test_a_pattern_that_is_no_block_of_memory_is_shown_as_it_is_indexed(slm):
    pattern = noise(1)[::-1, ::-1]
    show(slm, pattern)
    np.testing.assert_array_equal(photograph()[..., 0], pattern)


def test_the_last_of_many_patterns_stays(slm):
    for seed in range(5):
        slm.start(noise(seed))
    slm.wait(timeout_s=TIMEOUT_S)
    np.testing.assert_array_equal(photograph()[..., 0], noise(4))


def test_a_new_window_is_black(mortal):
    assert not photograph().any()


def test_safe_is_black(slm):
    show(slm, noise())
    slm.make_safe()
    assert not photograph().any()


def test_the_window_reads_back_what_it_shows(slm):
    show(slm, noise(2))
    np.testing.assert_array_equal(slm.read_back(), photograph()[..., 0])


def test_the_pattern_was_on_between_the_start_and_the_end_of_the_wait(slm):
    before_s = time.perf_counter()
    slm.start(noise(3))
    assert slm.on_since_s is None
    slm.wait(timeout_s=TIMEOUT_S)
    period_s = float(slm.describe().properties["frame_period_ms"]) / 1e3
    assert before_s + period_s <= slm.on_since_s <= time.perf_counter()


def test_a_second_wait_changes_nothing(slm):
    show(slm, noise(4))
    since_s = slm.on_since_s
    slm.wait(timeout_s=TIMEOUT_S)
    assert slm.on_since_s == since_s


# ---- what it says of itself


def test_the_monitors_are_listed():
    (monitor,) = list_monitors()
    assert (monitor.index, monitor.name, monitor.shape) == (0, "screen", (HEIGHT, WIDTH))


def test_the_monitors_stand_in_the_list_of_devices(monkeypatch):
    (line,) = discovery.monitors()
    assert line.startswith(f"0: 'screen', shape [{HEIGHT}, {WIDTH}], rate not said")
    monkeypatch.delenv("DISPLAY")
    (reason,) = discovery.monitors()
    assert "no window system" in reason


def test_it_says_which_monitor_it_is_and_how_long_patterns_take(slm):
    show(slm, noise())
    said = slm.describe()
    assert (said.name, said.kind) == ("slm_screen", "slm")
    assert said.identity == f"monitor screen, {WIDTH} x {HEIGHT}"
    assert said.properties["refresh_hz"].startswith("not said")
    assert said.properties["waits_for_retrace"] == "no"
    period_ms, latency_ms = (
        float(said.properties[key]) for key in ("frame_period_ms", "latency_ms")
    )
    assert latency_ms >= period_ms > 0


# ---- what is refused


@pytest.mark.parametrize("act", ["check", "start"])
@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param(np.full((HEIGHT, WIDTH), 300), id="300 in int64"),
        pytest.param(np.full((HEIGHT, WIDTH), 0.5), id="float"),
        pytest.param(np.full((HEIGHT, WIDTH), np.nan), id="nan"),
        pytest.param(np.full((HEIGHT, WIDTH), True), id="bool"),
        pytest.param(np.zeros((WIDTH, HEIGHT), np.uint8), id="transposed"),
        pytest.param(np.zeros((HEIGHT, WIDTH, 3), np.uint8), id="coloured"),
        pytest.param(np.zeros((HEIGHT - 1, WIDTH), np.uint8), id="a row short"),
    ],
)
def test_what_is_no_pattern_is_refused_and_nothing_changes(slm, act, pattern):
    show(slm, noise())
    with pytest.raises(LimitViolation, match=rf"slm_screen: .* uint8 \({HEIGHT}, {WIDTH}\) needed"):
        getattr(slm, act)(pattern)
    np.testing.assert_array_equal(photograph()[..., 0], noise())


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"monitor": 1}, rf"no monitor 1; there is 0: 'screen', {WIDTH} x {HEIGHT}"),
        ({"monitor": "LETO"}, r"no monitor 'LETO'; there is 0: 'screen'"),
        ({"shape": (WIDTH, HEIGHT)}, rf"is {WIDTH} x {HEIGHT} .* pixels, {HEIGHT} x {WIDTH}"),
    ],
)
def test_a_monitor_that_is_not_there_is_answered_with_those_that_are(asked, words):
    with pytest.raises(ConnectionLost, match=f"slm_screen: .*{words}"):
        DisplaySLM(**{"monitor": 0, "name": "slm_screen", **asked})


def test_a_monitor_is_found_by_its_name_and_shape():
    with contextlib.closing(DisplaySLM("screen", shape=(HEIGHT, WIDTH))) as slm:
        assert slm.shape == (HEIGHT, WIDTH)


def test_without_a_window_system_it_says_so(monkeypatch):
    monkeypatch.delenv("DISPLAY")
    with pytest.raises(ConnectionLost, match=r"slm_screen: .*no window system"):
        DisplaySLM(0, name="slm_screen")


def test_without_the_extra_it_says_what_to_install(monkeypatch, tmp_path):
    (tmp_path / "glfw.py").write_text("raise ImportError('no glfw here')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConnectionLost, match=r'no glfw here; .* pip install "infoloop\[display\]"'):
        DisplaySLM(0)


def test_a_screen_of_few_colours_is_refused_rather_than_rounded():
    with (
        x_server(f"{WIDTH}x{HEIGHT}x16"),
        pytest.raises(ConnectionLost, match=r"poor: .*'screen' has 5 \+ 6 \+ 5 bits of colour"),
    ):
        DisplaySLM(0, name="poor")


# ---- what goes wrong


@pytest.mark.parametrize("act", ["show", "read_back", "make_safe"])
def test_a_killed_window_is_a_lost_connection(mortal, act):
    os.kill(mortal.process_id, signal.SIGKILL)
    with pytest.raises(ConnectionLost, match=r"slm_screen: the window is gone: .* exit code -9"):
        show(mortal, noise()) if act == "show" else getattr(mortal, act)()


def test_a_window_killed_over_a_pattern_is_a_lost_connection(mortal):
    os.kill(mortal.process_id, signal.SIGSTOP)
    mortal.start(noise())
    os.kill(mortal.process_id, signal.SIGKILL)
    with pytest.raises(ConnectionLost, match="slm_screen"):
        mortal.wait(timeout_s=TIMEOUT_S)


def test_every_use_after_the_death_says_so_again(mortal):
    os.kill(mortal.process_id, signal.SIGKILL)
    for _ in range(3):
        mortal.start(noise())
        with pytest.raises(ConnectionLost, match="the window is gone"):
            mortal.wait(timeout_s=TIMEOUT_S)


def test_a_window_that_hangs_is_a_timeout_and_shows_the_pattern_when_it_wakes(mortal):
    os.kill(mortal.process_id, signal.SIGSTOP)
    mortal.start(noise())
    with pytest.raises(DeviceTimeout, match=r"slm_screen: .* within 0\.05 s; .*switched on"):
        mortal.wait(timeout_s=0.05)
    with pytest.raises(DeviceTimeout, match=r"slm_screen: .* not answered an earlier request"):
        mortal.start(noise(1))
    assert mortal.on_since_s is None
    os.kill(mortal.process_id, signal.SIGCONT)
    mortal.wait(timeout_s=TIMEOUT_S)
    np.testing.assert_array_equal(photograph()[..., 0], noise())
    show(mortal, noise(1))
    np.testing.assert_array_equal(mortal.read_back(), noise(1))


def test_closing_a_window_that_hangs_ends_it(mortal, monkeypatch):
    monkeypatch.setattr(_process, "_EXIT_TIMEOUT_S", 0.2)
    os.kill(mortal.process_id, signal.SIGSTOP)
    mortal.start(noise())
    mortal.close()
    assert has_ended(mortal.process_id)


def test_a_window_that_opens_too_slowly_is_a_timeout_and_is_ended(mocker):
    opened = mocker.spy(_process.subprocess, "Popen")
    with pytest.raises(DeviceTimeout, match="slm_screen: open: no answer"):
        DisplaySLM(0, name="slm_screen", open_timeout_s=1e-3)
    assert has_ended(opened.spy_return.pid)


def test_a_window_whose_server_dies_is_a_lost_connection():
    with x_server() as server, contextlib.closing(DisplaySLM(0, name="slm_screen")) as slm:
        server.kill()
        with pytest.raises(ConnectionLost, match="slm_screen: the window is gone"):
            show(slm, noise())


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("get_window_monitor=lambda _: None", "WindowLost monitor 'screen' is gone; check its"),
        (
            "get_framebuffer_size=lambda _: (640, 480)",
            f"WindowError monitor 'screen' was {WIDTH} x {HEIGHT}",
        ),
    ],
    ids=["unplugged", "another resolution"],
)
def test_a_monitor_that_changes_under_the_window_is_noticed(answer, words):
    script = f"""
from unittest import mock
from drivers.display import _window
window = _window.Window(0, None)
with mock.patch.multiple(_window.glfw, {answer}):
    try:
        window.show(window.pixels)
    except _window.WindowError as error:
        print(type(error).__name__, error)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    said = subprocess.run(
        [sys.executable, "-P", "-c", script], env=environment, capture_output=True, text=True
    )
    assert words in said.stdout, said.stderr


def test_a_closed_display_says_so_and_its_process_is_gone(mortal):
    for _ in range(2):
        mortal.close()
    assert has_ended(mortal.process_id)
    with pytest.raises(ConnectionLost, match="slm_screen: the display is closed"):
        mortal.start(noise())


def test_the_window_ends_when_its_parent_is_killed():
    parent = (
        "from drivers.display import DisplaySLM; import sys; slm = DisplaySLM(0); "
        "print(slm.process_id, flush=True); sys.stdin.read()"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        [sys.executable, "-P", "-c", parent],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    ) as process:
        assert process.stdout is not None
        window = int(process.stdout.readline())
        assert not has_ended(window)
        process.kill()
    wait_until_ended(window)
