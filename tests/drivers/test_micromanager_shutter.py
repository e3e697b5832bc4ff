"""Shutters and lamps of a Micro-Manager core: dark is verified, and on comes last."""

from __future__ import annotations

import math
import threading

import pytest
from pymmcore_plus import CMMCorePlus

from drivers.devices import LightSource
from drivers.errors import (
    ConnectionLost,
    DeviceTimeout,
    InstrumentReported,
    LimitViolation,
    ProtocolError,
)
from drivers.micromanager import MicroManager, MicroManagerLight, MicroManagerShutter, Switch

TIMEOUT_S = 20.0  # never reached
SHORT_S = 0.05  # always reached
ON_OFF = Switch(property="FastImage", on=1, off=0)  # a demo camera's properties stand for a lamp's


@pytest.fixture
def manager():
    core = CMMCorePlus()
    for label, adapter in {"Shutter": "DShutter", "Lamp": "DCam", "Wheel": "DWheel"}.items():
        core.loadDevice(label, "DemoCamera", adapter)
        core.initializeDevice(label)
    core.setShutterDevice("Shutter")
    manager = MicroManager(core, timeout_s=TIMEOUT_S)
    yield manager
    manager.close()


@pytest.fixture
def shutter(manager):
    return MicroManagerShutter(manager, "Shutter")


def make_lamp(manager, **changes):
    known = {"level": "StripeWidth", "switch": ON_OFF, "limits": (0.5, 8.0), "safe": 0.0}
    return MicroManagerLight(manager, "Lamp", **{**known, **changes})


@pytest.fixture
def lamp(manager):
    return make_lamp(manager)


# ---- shutter


def test_a_shutter_opens_and_its_safe_state_is_closed(shutter, manager):
    assert isinstance(shutter, LightSource)
    shutter.start(1.0)
    shutter.wait(timeout_s=TIMEOUT_S)
    assert (shutter.is_on(), manager.core.getShutterOpen("Shutter")) == (True, True)
    for _ in range(2):
        shutter.make_safe()
    assert (shutter.is_on(), shutter.read_back()) == (False, 0.0)


def test_nothing_else_opens_the_shutter(shutter, manager):
    assert not manager.core.getAutoShutter()
    assert manager.autoshutter() is None


def test_the_shutter_that_the_core_opens_by_itself_is_known(manager):
    assert manager.autoshutter() == "Shutter"


def test_an_autoshutter_that_stays_on_is_refused(manager, mocker):
    mocker.patch.object(manager.core, "setAutoShutter")
    with pytest.raises(ProtocolError, match="autoshutter stays on"):
        MicroManagerShutter(manager, "Shutter")


@pytest.mark.parametrize("is_stuck", [True, False])
def test_a_stuck_shutter_is_a_timeout(shutter, manager, mocker, is_stuck):
    mocker.patch("drivers.micromanager._shutter.SHUTTER_TIMEOUT_S", SHORT_S)
    mocker.patch.object(manager.core, "getShutterOpen", return_value=is_stuck)
    word = "closed" if is_stuck else "open"
    shutter.start(0.0 if is_stuck else 1.0)
    with pytest.raises(DeviceTimeout, match=f"Shutter: asked to be {word}, it says that it is not"):
        shutter.make_safe() if is_stuck else shutter.wait(timeout_s=SHORT_S)


@pytest.mark.parametrize("target", [0.5, -1.0, 2.0, math.nan])
@pytest.mark.parametrize("act", ["check", "start"])
def test_a_shutter_is_open_or_closed(shutter, act, target):
    with pytest.raises(LimitViolation, match=r"Shutter: .* asked; a shutter is open \(1\) or clo"):
        getattr(shutter, act)(target)
    assert not shutter.is_on()


def test_what_the_core_says_of_a_shutter_is_passed_on(shutter, manager, mocker):
    mocker.patch.object(manager.core, "setShutterOpen", side_effect=RuntimeError("interlock"))
    with pytest.raises(InstrumentReported, match=r"Shutter: closed: .*interlock"):
        shutter.make_safe()


@pytest.mark.leaves_thread
def test_a_shutter_and_a_lamp_behind_a_hung_core_are_not_said_to_be_dark(shutter, lamp, manager):
    hang = threading.Event()
    with pytest.raises(DeviceTimeout):
        manager.call("a call that hangs", hang.wait, timeout_s=SHORT_S)
    for device in (shutter, lamp):
        with pytest.raises(ConnectionLost, match="has not returned from 'a call that hangs'"):
            device.make_safe()
    hang.set()


def test_what_is_no_shutter_is_refused(manager):
    with pytest.raises(ProtocolError, match="'Lamp' is a CameraDevice, not a Shutter"):
        MicroManagerShutter(manager, "Lamp")
    with pytest.raises(ConnectionLost, match=r"labelled 'Blade'; loaded: .*Shutter"):
        MicroManagerShutter(manager, "Blade")


# ---- lamp


def test_a_lamp_comes_on_at_its_level_and_goes_dark(lamp, manager):
    assert isinstance(lamp, LightSource)
    lamp.start(2.5)
    lamp.wait(timeout_s=TIMEOUT_S)
    assert (lamp.is_on(), lamp.read_back()) == (True, 2.5)
    lamp.make_safe()
    assert (lamp.is_on(), lamp.read_back()) == (False, 0.0)
    core = manager.core
    assert (core.getProperty("Lamp", "FastImage"), float(core.getProperty("Lamp", "StripeWidth"))) \
        == ("0", 0.0)  # fmt: skip


def test_the_level_is_there_before_the_switch_and_the_switch_is_off_before_the_level(
    lamp, manager, mocker
):
    put = mocker.spy(manager.core, "setProperty")
    lamp.start(2.5)
    lamp.make_safe()
    assert [call.args[1:] for call in put.call_args_list] == [
        ("StripeWidth", "2.5"),
        ("FastImage", "1"),
        ("FastImage", "0"),
        ("StripeWidth", "0.0"),
    ]


def test_off_is_sent_even_where_the_lamp_says_that_it_is_off(lamp, manager, mocker):
    put = mocker.spy(manager.core, "setProperty")
    lamp.make_safe()
    assert ("FastImage", "0") in [call.args[1:] for call in put.call_args_list]


@pytest.mark.parametrize("dark", [0.0, 0])
def test_starting_towards_the_dark_switches_off(lamp, dark):
    lamp.start(2.5)
    lamp.start(dark)
    assert not lamp.is_on()


def test_a_lamp_whose_least_level_is_not_dark_is_dark_by_its_switch(manager):
    lamp = make_lamp(manager, safe=1.0, limits=(1.0, 8.0))
    lamp.start(2.0)
    assert lamp.is_on()
    lamp.make_safe()
    assert (lamp.is_on(), lamp.read_back()) == (False, 1.0)


def test_a_lamp_without_a_switch_is_dark_at_its_safe_level(manager):
    lamp = make_lamp(manager, switch=None)
    lamp.start(2.0)
    assert (lamp.is_on(), lamp.read_back()) == (True, 2.0)
    lamp.make_safe()
    assert (lamp.is_on(), lamp.read_back()) == (False, 0.0)


def test_a_state_device_may_be_a_lamp(manager):
    lamp = MicroManagerLight(
        manager, "Wheel", level="State", switch=None, limits=(0.0, 1.0), safe=0.0
    )
    lamp.start(1.0)
    assert (lamp.is_on(), manager.core.getState("Wheel")) == (True, 1)
    lamp.make_safe()
    assert (lamp.is_on(), manager.core.getState("Wheel")) == (False, 0)


@pytest.mark.parametrize("level", [math.nan, math.inf, -1.0, 0.4, 8.1])
@pytest.mark.parametrize("act", ["check", "start"])
def test_a_level_beyond_the_limits_is_refused_and_the_lamp_stays_dark(lamp, level, act):
    with pytest.raises(LimitViolation, match=r"Lamp\.StripeWidth: .* asked, 0\.5 to 8 allowed"):
        getattr(lamp, act)(level)
    assert not lamp.is_on()


def test_a_switch_that_does_not_go_off_is_an_error_and_the_level_goes_down_all_the_same(
    lamp, manager, mocker
):
    lamp.start(2.5)
    really = manager.core.setProperty

    def stuck(label, name, value):
        if name != "FastImage":
            really(label, name, value)

    mocker.patch.object(manager.core, "setProperty", side_effect=stuck)
    with pytest.raises(ProtocolError, match=r"Lamp\.FastImage: 0 asked, '1' read back"):
        lamp.make_safe()
    assert float(manager.core.getProperty("Lamp", "StripeWidth")) == 0.0


def test_a_level_that_does_not_arrive_leaves_the_switch_off(lamp, manager, mocker):
    mocker.patch.object(manager.core, "setProperty")
    with pytest.raises(ProtocolError, match=r"Lamp\.StripeWidth: 2\.5 asked, 1 read back"):
        lamp.start(2.5)
    assert not lamp.is_on()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"limits": (0.5, 80.0)}, "80 asked, the device allows 0 to 10"),
        ({"safe": -1.0}, "-1 asked, the device allows 0 to 10"),
        ({"switch": Switch(property="FastImage", on=2, off=0)}, "2 asked; it takes one of 0, 1"),
        ({"switch": Switch(property="FastImage", on=1, off=1)}, "1 is on and off at once"),
        ({"switch": Switch(property="Switch", on=1, off=0)}, "there is no such property"),
    ],
)
def test_a_lamp_that_cannot_be_is_refused(manager, changes, words):
    with pytest.raises(LimitViolation, match=words):
        make_lamp(manager, **changes)
