"""Mock devices keep the protocols, remember commands, and go wrong at the call that is said."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from drivers import (
    Camera,
    DeviceTimeout,
    FrameLoss,
    LightSource,
    Meter,
    NumericProperty,
    RotationStage,
    Selector,
    SpatialLightModulator,
    Stage,
    XYStage,
)
from drivers.testing import (
    MockCamera,
    MockLight,
    MockMeter,
    MockProperty,
    MockRotation,
    MockSelector,
    MockSlm,
    MockStage,
    MockXYStage,
    Record,
)

PROTOCOLS = {
    MockCamera: Camera,
    MockSlm: SpatialLightModulator,
    MockStage: Stage,
    MockXYStage: XYStage,
    MockRotation: RotationStage,
    MockSelector: Selector,
    MockProperty: NumericProperty,
    MockLight: LightSource,
    MockMeter: Meter,
}


@pytest.mark.parametrize(("mock", "protocol"), PROTOCOLS.items(), ids=lambda c: c.__name__)
def test_there_is_a_mock_of_every_protocol(mock, protocol):
    assert isinstance(mock("device"), protocol)


def test_devices_that_share_a_record_are_in_order():
    record = Record()
    stage, camera = MockStage("Z", record=record), MockCamera("Camera", record=record)
    stage.start(3.0)
    camera.snap(timeout_s=1)
    stage.read_back()
    stage.wait(timeout_s=1)
    assert record.calls == [("Z", "start", 3.0), ("Camera", "snap", None), ("Z", "wait", None)]
    assert record.names()[0] == ("Z", "start")


def test_a_fault_comes_at_the_call_that_was_said_and_as_often():
    stage = MockStage("Z")
    stage.wait(timeout_s=1)
    stage.raise_on("wait", DeviceTimeout("Z: no answer"), at=2, times=2)
    outcomes = []
    for _ in range(4):
        try:
            stage.wait(timeout_s=1)
        except DeviceTimeout:
            outcomes.append("fault")
        else:
            outcomes.append("fine")
    assert outcomes == ["fine", "fault", "fault", "fine"]


def test_a_fault_without_number_lasts_until_the_device_heals():
    camera = MockCamera("Camera")
    camera.raise_on("capture", FrameLoss("Camera: 4 frames asked, 2 came"))
    for _ in range(3):
        with pytest.raises(FrameLoss):
            camera.capture(4, timeout_s=1)
    camera.heal()
    assert camera.capture(4, timeout_s=1).shape == (4, 16, 16)


def test_a_set_that_is_ignored_leaves_the_device_where_it_was():
    stage = MockStage("Z", at=1.0)
    stage.ignore("start", times=1)
    stage.start(3.0)
    assert (stage.read_back(), stage.record.names()) == (1.0, [("Z", "start")])
    stage.start(3.0)
    assert stage.read_back() == 3.0


def test_a_light_that_ignores_the_safe_state_stays_on():
    light = MockLight("led")
    light.start(5.0)
    light.ignore("make_safe")
    light.make_safe()
    assert light.is_on()


def test_a_call_hangs_until_it_is_released():
    stage = MockStage("Z")
    hang = stage.hang_on("wait")
    thread = threading.Thread(target=lambda: stage.wait(timeout_s=1), daemon=True)
    thread.start()
    hang.wait_until_reached()
    assert thread.is_alive()
    hang.release()
    thread.join(30)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    ("plan", "error"),
    [
        (lambda stage: stage.ignore("strat"), AttributeError),
        (lambda stage: stage.raise_on("start", OSError(), at=0), ValueError),
    ],
    ids=["no such method", "call number 0"],
)
def test_a_fault_that_could_never_happen_is_refused(plan, error):
    with pytest.raises(error):
        plan(MockStage("Z"))


def test_methods_can_be_patched_and_spied_on(mocker):
    stage = MockStage("Z")
    spy = mocker.spy(stage, "start")
    mocker.patch.object(stage, "read_back", return_value=7.0)
    stage.start(2.0)
    spy.assert_called_once_with(2.0)
    assert stage.read_back() == 7.0


def test_what_a_device_was_given_and_gives_are_copies():
    slm = MockSlm("SLM")
    pattern = np.ones(slm.shape, np.uint8)
    slm.start(pattern)
    pattern[:] = 9
    slm.read_back()[:] = 9
    assert (slm.shown == 1).all()


def test_closing_a_light_switches_it_off():
    light = MockLight("led")
    light.start(5.0)
    light.close()
    assert (light.is_on(), light.is_closed) == (False, True)


def test_a_picture_decides_what_a_camera_sees():
    camera = MockCamera("Camera", picture=lambda number: np.full((16, 16), number, np.uint16))
    assert camera.capture(2, timeout_s=1)[:, 0, 0].tolist() == [0, 1]
    assert camera.snap(timeout_s=1)[0, 0] == 2
