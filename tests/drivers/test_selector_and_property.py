"""What a selector and a property ask of the core, in which order, and what goes wrong there."""

from __future__ import annotations

import pytest
from pymmcore_plus import CMMCorePlus

from drivers.errors import DeviceTimeout, InstrumentReported, LimitViolation, ProtocolError
from drivers.micromanager import MicroManager, MicroManagerProperty, MicroManagerSelector

TIMEOUT_S = 20.0  # never reached
SHORT_S = 0.05  # always reached


@pytest.fixture
def manager():
    core = CMMCorePlus()
    for label, adapter in {"Wheel": "DWheel", "Lens": "DCam"}.items():
        core.loadDevice(label, "DemoCamera", adapter)
        core.initializeDevice(label)
    manager = MicroManager(core, timeout_s=TIMEOUT_S)
    yield manager
    manager.close()


@pytest.fixture
def wheel(manager):
    return MicroManagerSelector(manager, "Wheel")


@pytest.fixture
def width(manager):
    return MicroManagerProperty(manager, "Lens", "StripeWidth")


def test_a_refused_position_never_reaches_the_core(wheel, manager, mocker):
    turn = mocker.patch.object(manager.core, "setState")
    with pytest.raises(LimitViolation):
        wheel.start(10)
    turn.assert_not_called()
    wheel.start(9)
    turn.assert_called_once_with("Wheel", 9)


def test_a_refused_value_never_reaches_the_core(width, manager, mocker):
    put = mocker.patch.object(manager.core, "setProperty")
    with pytest.raises(LimitViolation):
        width.start(10.5)
    put.assert_not_called()
    width.start(1 / 3)
    put.assert_called_once_with("Lens", "StripeWidth", "0.3333333333333333")


@pytest.mark.parametrize("fixture", ["wheel", "width"])
def test_what_stays_busy_is_a_timeout(request, fixture, manager, mocker):
    device = request.getfixturevalue(fixture)
    mocker.patch.object(manager.core, "deviceBusy", return_value=True)
    with pytest.raises(DeviceTimeout, match=r"still busy after 0\.05 s"):
        device.wait(timeout_s=SHORT_S)


def test_what_the_core_says_of_a_wheel_is_passed_on(wheel, manager, mocker):
    mocker.patch.object(manager.core, "setState", side_effect=RuntimeError("motor stalled"))
    with pytest.raises(InstrumentReported, match=r"Wheel: turn to position 2 \(State-2\).*stalled"):
        wheel.start(2)


@pytest.mark.parametrize(("text", "words"), [("wide", "no number"), ("nan", "not finite")])
def test_a_property_that_answers_with_no_number_is_an_error(width, manager, mocker, text, words):
    mocker.patch.object(manager.core, "getProperty", return_value=text)
    with pytest.raises(ProtocolError, match=rf"Lens\.StripeWidth: '{text}' read, which is {words}"):
        width.read_back()


def test_a_wheel_without_labels_counts_its_positions(manager, mocker):
    mocker.patch.object(manager.core, "getStateLabels", return_value=())
    mocker.patch.object(manager.core, "getNumberOfStates", return_value=3)
    assert MicroManagerSelector(manager, "Wheel").labels == ("0", "1", "2")


def test_a_wheel_without_positions_is_refused(manager, mocker):
    mocker.patch.object(manager.core, "getStateLabels", return_value=())
    mocker.patch.object(manager.core, "getNumberOfStates", return_value=0)
    with pytest.raises(ProtocolError, match="Wheel: Micro-Manager knows none of its positions"):
        MicroManagerSelector(manager, "Wheel")
