"""The package's own tests: what every driver promises, and a script when the stage fails."""

import pytest
from acme_optics.controller import SIMULATED
from acme_optics.led import LedDriver, LedOptions
from acme_optics.stage import StageDriver, StageOptions

from drivers import DeviceTimeout
from drivers.conformance import Scope, check_light, check_stage
from drivers.testing import MockStage


def test_the_stage_keeps_what_every_stage_promises():
    stage = StageDriver.open("z", StageOptions(port="sim:1"))
    results = check_stage(stage, scope=Scope.SIMULATED)
    assert [each for each in results if each.status != "passed"] == []


def test_the_led_keeps_what_every_light_promises():
    led = LedDriver.open("led", LedOptions(port="sim:2"))
    led.make_safe()
    results = check_light(led, scope=Scope.SIMULATED)
    assert [each for each in results if each.status != "passed"] == []
    assert SIMULATED["sim:2"].power_mw == 0.0


def focus_sweep(stage, targets_um):
    """Go to each place and say where the stage went; a script of a user's, to be tested."""
    there = []
    for target_um in targets_um:
        stage.start(target_um)
        stage.wait(timeout_s=5)
        there.append(stage.read_back())
    return there


def test_a_sweep_ends_when_the_stage_does_not_arrive(mocker):
    stage = MockStage("Z")
    stage.raise_on("wait", DeviceTimeout("Z: still moving after 5 s"), at=2)
    read_back = mocker.spy(stage, "read_back")
    with pytest.raises(DeviceTimeout):
        focus_sweep(stage, [1.0, 2.0, 3.0])
    assert read_back.call_count == 1
    assert [call.value for call in stage.record.calls if call.command == "start"] == [1.0, 2.0]
