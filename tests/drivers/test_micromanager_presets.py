"""Config groups: presets are waited for in bounded time and read back, line by line."""

from __future__ import annotations

import math

import pytest
from pymmcore_plus import CMMCorePlus

from drivers.devices import Selector
from drivers.errors import DeviceTimeout, InstrumentReported, LimitViolation, ProtocolError
from drivers.micromanager import (
    MicroManager,
    MicroManagerPresets,
    PresetSetting,
    apply_preset,
    config_groups,
    preset_settings,
)
from drivers.micromanager._presets import NO_PRESET
from drivers.virtual.bench import VirtualBench
from drivers.virtual.options import PupilMicroscopeOptions

TIMEOUT_S = 20.0  # never reached
SHORT_S = 0.05  # always reached


@pytest.fixture
def manager():
    core = CMMCorePlus()
    for label, adapter in {"Camera": "DCam", "Wheel": "DWheel", "Z": "DStage"}.items():
        core.loadDevice(label, "DemoCamera", adapter)
        core.initializeDevice(label)
    for preset, label, gain in (("FITC", "State-3", "2"), ("DAPI", "State-5", "-1.0")):
        core.defineConfig("Channel", preset, "Wheel", "Label", label)
        core.defineConfig("Channel", preset, "Camera", "StripeWidth", gain.strip("-"))
    core.defineConfig("Objective", "40x", "Z", "Position", "12.5")
    core.defineConfigGroup("Empty")
    manager = MicroManager(core, timeout_s=TIMEOUT_S)
    yield manager
    manager.close()


@pytest.fixture
def channel(manager):
    return MicroManagerPresets(manager, "Channel")


def test_the_groups_of_a_core_are_known_with_their_presets(manager):
    assert config_groups(manager) == {
        "Channel": ("DAPI", "FITC"), "Empty": (), "Objective": ("40x",),
    }  # fmt: skip


def test_a_preset_says_what_it_sets(manager):
    assert preset_settings(manager, "Channel", "FITC") == (
        PresetSetting("Wheel", "Label", "State-3"),
        PresetSetting("Camera", "StripeWidth", "2"),
    )


def test_an_applied_preset_is_on_the_devices(manager):
    apply_preset(manager, "Channel", "FITC")
    apply_preset(manager, "Objective", "40x")
    core = manager.core
    assert (core.getState("Wheel"), core.getPosition("Z")) == (3, 12.5)
    assert core.getProperty("Camera", "StripeWidth") == "2.0000"


@pytest.mark.parametrize(
    ("group", "preset", "words"),
    [
        ("Chanel", "FITC", "no config group 'Chanel'; there is Channel, Empty, Objective"),
        ("Channel", "Cy5", "config group 'Channel' has no preset 'Cy5'; there is DAPI, FITC"),
        ("Empty", "x", "config group 'Empty' has no presets; define some"),
    ],
)
def test_what_is_not_there_is_answered_with_what_is(manager, group, preset, words):
    with pytest.raises(ProtocolError, match=words):
        apply_preset(manager, group, preset)


def test_a_device_that_does_not_follow_is_named(manager, mocker):
    mocker.patch.object(manager.core, "setConfig")
    with pytest.raises(ProtocolError, match=r"Wheel\.Label = State-3 asked, 'State-0' read back"):
        apply_preset(manager, "Channel", "FITC")


def test_a_device_that_stays_busy_is_a_timeout_which_the_core_would_swallow(manager, mocker):
    mocker.patch.object(manager.core, "deviceBusy", side_effect=lambda label: label == "Wheel")
    manager.core.setTimeoutMs(50)
    manager.core.waitForConfig("Channel", "FITC")
    with pytest.raises(DeviceTimeout, match=r"Channel \(preset FITC\): Wheel: still busy after"):
        apply_preset(manager, "Channel", "FITC", timeout_s=SHORT_S)


def test_what_the_core_says_of_a_preset_is_passed_on(manager):
    manager.core.defineConfig("Channel", "Wrong", "Wheel", "State", "99")
    with pytest.raises(InstrumentReported, match="Channel: set preset Wrong: "):
        apply_preset(manager, "Channel", "Wrong")


def test_presets_of_a_python_device_are_set_and_read_back():
    bench = VirtualBench(PupilMicroscopeOptions())
    manager = MicroManager(bench.core, timeout_s=TIMEOUT_S)
    bench.core.defineConfig("Height", "up", "Z", "Position", "4.0")
    try:
        apply_preset(manager, "Height", "up")  # it travels, and is waited for
        assert bench.core.getPosition("Z") == 4.0
    finally:
        manager.close()
        bench.close()


# ---- as a selector


def test_a_group_is_a_selector(channel):
    assert isinstance(channel, Selector)
    assert (channel.name, channel.labels) == ("Channel", ("DAPI", "FITC"))
    said = channel.describe()
    assert said.limits == {"position": (0.0, 1.0)}
    assert said.properties["FITC"] == "Wheel.Label = State-3, Camera.StripeWidth = 2"


@pytest.mark.parametrize("position", [1, 0])
def test_a_group_arrives(channel, manager, position):
    channel.start(position)
    channel.wait(timeout_s=TIMEOUT_S)
    assert channel.read_back() == position
    assert manager.core.getState("Wheel") == {"FITC": 3, "DAPI": 5}[channel.labels[position]]


def test_a_group_in_no_preset_says_so(channel, manager):
    assert channel.read_back() == NO_PRESET
    channel.start(1)
    manager.core.setState("Wheel", 7)
    assert channel.read_back() == NO_PRESET


def test_of_two_presets_alike_the_one_asked_for_is_read_back(manager):
    manager.core.defineConfig("Twins", "a", "Wheel", "State", "1")
    manager.core.defineConfig("Twins", "b", "Wheel", "State", "1")
    twins = MicroManagerPresets(manager, "Twins")
    twins.start(1)
    assert twins.read_back() == 1


@pytest.mark.parametrize("position", [-1, 2, 1.0, True, "FITC", math.nan], ids=str)
@pytest.mark.parametrize("act", ["check", "start"])
def test_what_is_no_preset_is_refused(channel, manager, mocker, position, act):
    put = mocker.patch.object(manager.core, "setConfig")
    with pytest.raises(LimitViolation, match=r"there are 0 to 1 \(DAPI, FITC\)"):
        getattr(channel, act)(position)
    put.assert_not_called()


def test_waiting_for_a_group_is_bounded(channel, manager, mocker):
    channel.start(1)
    mocker.patch.object(manager.core, "deviceBusy", return_value=True)
    with pytest.raises(DeviceTimeout, match=r"Channel \(preset FITC\)"):
        channel.wait(timeout_s=SHORT_S)


def test_making_safe_leaves_a_group_where_it_is(channel):
    channel.start(1)
    channel.make_safe()
    channel.close()
    assert channel.read_back() == 1
