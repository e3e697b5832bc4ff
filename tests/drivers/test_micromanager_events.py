"""What a core tells by itself is kept, bounded, and ends with the subscription."""

from __future__ import annotations

import pytest
from pymmcore_plus import CMMCorePlus

from drivers.events import HardwareEvent
from drivers.micromanager import MicroManager, MicroManagerEvents


@pytest.fixture
def manager():
    core = CMMCorePlus()
    core.loadDevice("Camera", "DemoCamera", "DCam")
    core.initializeDevice("Camera")
    manager = MicroManager(core, timeout_s=20.0)
    yield manager
    manager.close()


def test_signals_become_events_in_their_order(manager):
    events = MicroManagerEvents(manager)
    signals = manager.core.events
    signals.stagePositionChanged.emit("Z", 1.5)
    signals.XYStagePositionChanged.emit("XY", 1.0, -2.0)
    signals.exposureChanged.emit("Camera", 10.0)
    signals.propertyChanged.emit("Wheel", "State", "3")
    assert events.take() == [
        HardwareEvent(device="Z", what="position", value="1.5"),
        HardwareEvent(device="XY", what="position", value="1.0, -2.0"),
        HardwareEvent(device="Camera", what="exposure", value="10.0"),
        HardwareEvent(device="Wheel", what="State", value="3"),
    ]
    assert events.take() == []
    events.close()


def test_a_property_set_by_hand_is_told(manager):
    events = MicroManagerEvents(manager)
    manager.core.setProperty("Camera", "Gain", 3)
    assert HardwareEvent(device="Camera", what="Gain", value="3") in events.take()
    events.close()


def test_only_so_many_events_are_kept_the_newest(manager):
    events = MicroManagerEvents(manager, most=2)
    for position in range(5):
        manager.core.events.stagePositionChanged.emit("Z", position)
    assert [event.value for event in events.take()] == ["3.0", "4.0"]
    events.close()


def test_after_its_end_a_subscription_hears_nothing(manager):
    events = MicroManagerEvents(manager)
    for _ in range(2):
        events.close()
    manager.core.events.stagePositionChanged.emit("Z", 1.5)
    assert events.take() == []
