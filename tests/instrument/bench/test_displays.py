"""A role that is a monitor: opened after lights are dark, driven by designs, closed last."""

import os
import signal
import sys

import numpy as np
import pytest

from drivers import ConnectionLost, DeviceDescription
from drivers.micromanager import MicroManager
from drivers.visa import VisaInstrument
from instrument.bench import instruments
from instrument.bench.connect import ConnectError, connect
from instrument.bench.timing import Stopwatch
from instrument.config import ConfigError, parse_config
from tests.instrument.config.test_wrong_types import WRONG, refused_or_taken, with_value
from tests.instrument.fakes import CONFIG, merged
from tests.x_server import HEIGHT, MISSING, REASON, WIDTH, has_ended, photograph, x_server

KEYS = ("monitor", "shape")
ON_A_SCREEN = {
    "bench": {
        "displays": {"slm_screen": {"monitor": 0}},
        "roles": {"slm": {"device": "slm_screen", "settle_ms": 0}},
    },
    "design": {
        "pupil": {
            "role": "slm", "basis": "superpixel", "cells": [2, 2], "bounds_grey": [0, 255],
            "start_grey": 128,
        }
    },
}  # fmt: skip


def raw_of(changes=None):
    """The bench of the fakes with its modulator on a screen, and a pattern in grey levels."""
    raw = merged({**CONFIG, "design": {"focus": CONFIG["design"]["focus"]}}, ON_A_SCREEN)
    return merged(raw, changes or {})


def parsed(tmp_path, changes=None):
    return parse_config(raw_of(changes), source="bench.yaml", folder=tmp_path)


class FakeDisplay:
    """A modulator that notes in `calls` when it is opened and closed."""

    shape, levels = (8, 8), 256

    def __init__(self, calls, name):
        self.name, self.calls = name, calls
        calls.append("display opened")

    def describe(self):
        return DeviceDescription(name=self.name, kind="slm", identity="fake")

    def check(self, target):
        """Anything goes."""

    def start(self, target):
        """Nothing to show."""

    def wait(self, *, timeout_s):
        """At once."""

    def read_back(self):
        return np.zeros(self.shape, np.uint8)

    def make_safe(self):
        self.calls.append("display flat")

    def close(self):
        self.calls.append("display closed")


# ---- the file


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"displays": {"slm_screen": {"monitor": -1}}}, "counted from 0"),
        ({"displays": {"slm_screen": {"monitor": True}}}, "the number of a monitor"),
        ({"displays": {"slm_screen": {"shape": [1080]}}}, r"write \[height, width\] in pixels"),
        ({"displays": {"slm_screen": {"shape": "1920x1080"}}}, r"write \[height, width\]"),
        ({"displays": {"slm_screen": {"gamma": 2}}}, "`bench.displays.slm_screen.gamma` = 2 is no"),
        ({"displays": {"led": {"monitor": 1}}}, "`bench.displays.led` is also in bench.visa"),
        (
            {"displays": {"other": {"monitor": 0}}},
            "`bench.displays.other.monitor` = 0 is already that of 'slm_screen'",
        ),
        (
            {"roles": {"camera": {"device": "slm_screen"}}},
            "`bench.roles.camera.device` = 'slm_screen' is a display and can only",
        ),
    ],
)
def test_a_display_that_cannot_be_is_one_sentence(tmp_path, changes, sentence):
    with pytest.raises(ConfigError, match=sentence):
        parsed(tmp_path, {"bench": changes})


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
@pytest.mark.parametrize("path", [(), ("slm_screen",), *[("slm_screen", k) for k in KEYS]], ids=str)
def test_any_wrong_value_gets_a_sentence_or_is_taken(path, wrong):
    display = {"monitor": 0, "shape": "auto"}
    raw = merged(raw_of(), {"bench": {"displays": {"slm_screen": display}}})
    for sentence in refused_or_taken(
        with_value(raw, ("bench", "displays", *path), wrong), parse_config
    ):
        assert sentence.startswith("`bench"), sentence
        assert "\n" not in sentence


@pytest.mark.parametrize("monitor", [0, 2, "LETO-3"])
@pytest.mark.parametrize(("shape", "wanted"), [("auto", None), ([1080, 1920], (1080, 1920))])
def test_a_monitor_has_a_number_or_a_name_and_the_record_keeps_it(tmp_path, monitor, shape, wanted):
    block = {"slm_screen": {"monitor": monitor, "shape": shape}}
    config = parsed(tmp_path, {"bench": {"displays": block}})
    resolved = config.model_dump(mode="json")
    for read in (config, parse_config(resolved, source="resolved", folder=tmp_path)):
        display = read.bench.displays["slm_screen"]
        assert (display.monitor, display.shape) == (monitor, wanted)


# ---- the order of things


def test_it_opens_after_lights_are_dark_and_closes_after_everything_else(
    tmp_path, mocker, monkeypatch
):
    calls: list[str] = []

    def note(owner, method, word):
        """Let a method say in `calls` when it begins."""
        real = getattr(owner, method)

        def noted(*arguments):
            calls.append(word)
            return real(*arguments)

        monkeypatch.setattr(owner, method, noted)

    note(instruments, "make_dark", "lights dark")
    note(MicroManager, "close", "core closed")
    note(VisaInstrument, "close", "instrument closed")
    display = mocker.patch("drivers.display.DisplaySLM", autospec=True)
    display.side_effect = lambda monitor, *, name, shape: FakeDisplay(calls, name)
    connect(parsed(tmp_path)).close()
    assert calls == [
        "lights dark",
        "display opened",
        "display flat",
        "core closed",
        "instrument closed",
        "display closed",
    ]


# ---- on a screen


@pytest.fixture(scope="module")
def screen():
    if MISSING:
        pytest.skip(REASON)
    with x_server():
        yield


def test_a_design_is_on_the_screen_pixel_by_pixel_and_black_and_gone_at_the_end(screen, tmp_path):
    with connect(parsed(tmp_path)) as bench:
        assert bench.slm("slm").shape == (HEIGHT, WIDTH)
        space = bench.space()
        design = space.from_unit(np.random.default_rng(0).random(space.dimension))
        applied = bench.apply(design, space=space, stopwatch=Stopwatch())
        (pattern,) = applied.patterns.values()
        np.testing.assert_array_equal(photograph()[..., 0], np.squeeze(pattern))
        bench.safe()
        assert not photograph().any()
        window = bench.devices["slm"].process_id
    assert has_ended(window)


@pytest.mark.parametrize(
    ("display", "words"),
    [
        ({"monitor": 1}, "no monitor 1; there is 0: 'screen'"),
        ({"shape": [100, 100]}, f"is {WIDTH} x {HEIGHT} .* pixels, 100 x 100 .* asked"),
    ],
)
def test_a_screen_that_is_not_there_is_named_by_its_key(screen, tmp_path, display, words):
    changes = {"bench": {"displays": {"slm_screen": display}}}
    with pytest.raises(ConnectError, match=f"`bench.displays.slm_screen`: slm_screen: .*{words}"):
        connect(parsed(tmp_path, changes))
    assert "drivers.display._window" not in sys.modules  # the window is the child's alone


def test_a_window_killed_in_a_run_is_told_and_the_light_is_off(screen, tmp_path):
    bench = connect(parsed(tmp_path))
    space = bench.space()
    light = bench.lights()["light"]
    with bench.illuminated(stopwatch=Stopwatch()):
        os.kill(bench.devices["slm"].process_id, signal.SIGKILL)
        with pytest.raises(ConnectionLost, match="slm_screen: the window is gone"):
            bench.apply(space.start, space=space, stopwatch=Stopwatch())
    assert not light.is_on()
    (unsafe,) = bench.close()
    assert (unsafe.role, unsafe.device) == ("slm", "slm_screen")
