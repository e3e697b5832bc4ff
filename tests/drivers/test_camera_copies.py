"""A frame is copied once on its way to whoever keeps it, and never twice; counted, not timed."""

import tracemalloc

import numpy as np
import pytest
from pymmcore_plus import CMMCorePlus

from drivers.micromanager import MicroManager, MicroManagerCamera

TIMEOUT_S = 60.0
FRAMES = 8
FRAME_BYTES = 512 * 512 * 2
OVERHEAD = 0.2
"""Of a frame: all other objects together; a second copy of a frame would be a whole one."""


@pytest.fixture(scope="module")
def manager():
    core = CMMCorePlus()
    core.loadDevice("Camera", "DemoCamera", "DCam")
    core.initializeDevice("Camera")
    core.setProperty("Camera", "PixelType", "16bit")
    manager = MicroManager(core, timeout_s=TIMEOUT_S)
    yield manager
    manager.close()


@pytest.fixture
def camera(manager):
    camera = MicroManagerCamera(manager, "Camera")
    camera.set_exposure_ms(0.1)
    return camera


@pytest.fixture
def lent(camera, manager, mocker):
    """A core that lends one buffer an exposure, as a Python camera does: no copy of its own."""
    buffers = [np.full(camera.shape, number, np.uint16) for number in range(FRAMES)]
    exposed = iter(buffers)
    mocker.patch.object(manager.core, "snapImage", side_effect=lambda: shown.append(next(exposed)))
    shown = []
    mocker.patch.object(manager.core, "getImage", side_effect=lambda: shown[-1])
    mocker.patch.object(manager.core, "startSequenceAcquisition")
    mocker.patch.object(manager.core, "stopSequenceAcquisition")
    mocker.patch.object(manager.core, "isSequenceRunning", return_value=False)
    mocker.patch.object(
        manager.core, "getRemainingImageCount", side_effect=lambda: FRAMES - len(shown)
    )

    def pop():
        shown.append(next(exposed))
        return shown[-1]

    mocker.patch.object(manager.core, "popNextImage", side_effect=pop)
    return buffers


def frames_allocated(work) -> float:
    """Most memory that was in use at once during `work`, in frames."""
    tracemalloc.start()
    try:
        kept = work()
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    del kept
    return most_bytes / FRAME_BYTES


def test_what_the_cpp_core_copied_for_us_is_handed_on_as_it_is(camera, manager, mocker):
    spy = mocker.spy(manager.core, "getImage")
    first = camera.snap(timeout_s=TIMEOUT_S)
    assert spy.call_count == 2  # the second look finds out whether the core lends its buffer
    second = camera.snap(timeout_s=TIMEOUT_S)
    assert second is spy.spy_return
    assert not np.shares_memory(first, second)
    assert not np.shares_memory(second, manager.core.getImage())


def test_a_lent_buffer_is_copied_once_a_snap(camera, lent):
    camera.snap(timeout_s=TIMEOUT_S)
    kept = []
    assert frames_allocated(
        lambda: kept.extend(camera.snap(timeout_s=TIMEOUT_S) for _ in range(3))
    ) == pytest.approx(3, abs=OVERHEAD)
    assert [frame[0, 0] for frame in kept] == [1, 2, 3]
    assert not any(np.shares_memory(frame, buffer) for frame in kept for buffer in lent)


def test_a_sequence_allocates_its_stack_and_nothing_else(camera, lent):
    stacks = []
    assert frames_allocated(
        lambda: stacks.append(camera.capture(FRAMES, timeout_s=TIMEOUT_S))
    ) == pytest.approx(FRAMES, abs=OVERHEAD)
    assert stacks[0][:, 0, 0].tolist() == list(range(FRAMES))
    assert not any(np.shares_memory(stacks[0], buffer) for buffer in lent)
