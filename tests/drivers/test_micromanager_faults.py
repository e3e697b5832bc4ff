"""What goes wrong in a Micro-Manager core, and that each of it becomes one typed error in time."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import numpy as np
import pytest

from drivers.errors import (
    ConnectionLost,
    DeviceTimeout,
    FrameLoss,
    InstrumentReported,
    LimitViolation,
    ProtocolError,
)
from drivers.micromanager import (
    MicroManager,
    MicroManagerCamera,
    MicroManagerSLM,
    MicroManagerStage,
)
from drivers.micromanager._thread import CoreThread
from drivers.virtual import travel
from drivers.virtual.bench import VirtualBench, VirtualCamera
from drivers.virtual.options import PupilMicroscopeOptions
from drivers.virtual.worlds import pupil as world_module

TIMEOUT_S = 20.0  # never reached
SHORT_S = 0.1  # always reached


class ScriptedCamera(VirtualCamera):
    """Frame k is full of k, until `act` raises or waits."""

    def __init__(self, world, act=lambda frame: None, first=1):
        super().__init__(world)
        self._act = act
        self._next = first

    def snap(self, buffer):
        number, self._next = self._next, self._next + 1
        self._act(number)
        buffer[:] = number
        return {}


class EmptyHandedCamera(ScriptedCamera):
    """One good frame, then exposures that end without any."""

    def start_sequence(self, n, get_buffer):
        return super().start_sequence(n if self._next == 1 else 0, get_buffer)


def fail(error: BaseException, *, at: int):
    """Raise `error` at frame `at`."""

    def act(number: int) -> None:
        if number == at:
            raise error

    return act


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.setattr(world_module, "SAMPLE_SIDE", 256)
    bench = VirtualBench(PupilMicroscopeOptions())
    yield bench
    bench.close()


@pytest.fixture
def manager(bench):
    manager = MicroManager(bench.core, timeout_s=TIMEOUT_S)
    yield manager
    manager.close()


@pytest.fixture
def install(bench, manager):
    """Load a Python camera into the core and open it."""

    def install(camera: VirtualCamera, label: str = "Scripted") -> MicroManagerCamera:
        bench.core.loadPyDevice(label, camera)
        bench.core.initializeDevice(label)
        return MicroManagerCamera(manager, label)

    return install


@pytest.fixture
def hang():
    """Something to wait on for ever, until the test is over."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def died(monkeypatch):
    """What killed threads; the core reports an error inside a sequence nowhere else."""
    reasons: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda what: reasons.append(str(what.exc_value)))
    return reasons


# ---- a camera that fails


@pytest.mark.parametrize("at", [1, 3])
def test_a_camera_that_dies_in_a_sequence_is_a_frame_loss_with_the_count(bench, install, died, at):
    camera = install(ScriptedCamera(bench.world, fail(OSError("cable"), at=at)))
    with pytest.raises(FrameLoss, match=f"Scripted: 5 frames asked, {at - 1} came"):
        camera.capture(5, timeout_s=TIMEOUT_S)
    assert ["cable" in reason for reason in died] == [True]


def test_after_a_lost_sequence_the_next_one_holds_no_frame_of_it(bench, install, died):
    camera = install(ScriptedCamera(bench.world, fail(OSError("cable"), at=3)))
    with pytest.raises(FrameLoss):
        camera.capture(5, timeout_s=TIMEOUT_S)
    stack = camera.capture(2, timeout_s=TIMEOUT_S)
    assert stack[:, 0, 0].tolist() == [4, 5]


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (RuntimeError("no trigger"), InstrumentReported),
        (OSError("no trigger"), InstrumentReported),
        (TypeError("no trigger"), InstrumentReported),
        (ArithmeticError("no trigger"), InstrumentReported),
        (TimeoutError("no trigger"), DeviceTimeout),
        (ConnectionLost("no trigger"), ConnectionLost),
    ],
    ids=lambda value: value.__class__.__name__ if isinstance(value, Exception) else "",
)
def test_whatever_a_camera_raises_becomes_an_error_of_ours(bench, install, raised, expected):
    camera = install(ScriptedCamera(bench.world, fail(raised, at=2)))
    camera.snap(timeout_s=TIMEOUT_S)
    with pytest.raises(expected, match="no trigger"):
        camera.snap(timeout_s=TIMEOUT_S)
    assert camera.snap(timeout_s=TIMEOUT_S)[0, 0] == 3  # one failure is not the end


def test_an_error_without_words_is_named_by_its_type(bench, install):
    camera = install(ScriptedCamera(bench.world, fail(ZeroDivisionError(), at=1)))
    with pytest.raises(InstrumentReported, match=r"Scripted: snap: .* ZeroDivisionError"):
        camera.snap(timeout_s=TIMEOUT_S)


def test_the_frame_before_is_never_taken_for_one_that_did_not_come(bench, install):
    camera = install(EmptyHandedCamera(bench.world))
    assert camera.snap(timeout_s=TIMEOUT_S)[0, 0] == 1
    with pytest.raises(FrameLoss, match="Scripted: 1 frame asked, none came"):
        camera.snap(timeout_s=TIMEOUT_S)


def test_each_of_two_cameras_returns_its_own_frames(bench, install):
    left = install(ScriptedCamera(bench.world, first=100), "Left")
    right = install(ScriptedCamera(bench.world, first=200), "Right")
    assert left.snap(timeout_s=TIMEOUT_S)[0, 0] == 100
    assert right.capture(2, timeout_s=TIMEOUT_S)[:, 0, 0].tolist() == [200, 201]
    assert left.capture(2, timeout_s=TIMEOUT_S)[:, 0, 0].tolist() == [101, 102]


def test_a_captured_sequence_is_stopped_once(bench, install, mocker):
    camera = install(ScriptedCamera(bench.world))
    stop = mocker.patch.object(
        bench.core, "stopSequenceAcquisition", wraps=bench.core.stopSequenceAcquisition
    )
    camera.capture(2, timeout_s=TIMEOUT_S)
    stop.assert_called_once_with("Scripted")


def test_frames_left_in_the_buffer_are_not_taken_for_new_ones(bench, install):
    camera = install(ScriptedCamera(bench.world))
    camera._start(2)
    while bench.core.isSequenceRunning():
        pass  # the core has no event for it; pytest's time limit is the bound
    assert bench.core.getRemainingImageCount() == 2
    assert camera.capture(2, timeout_s=TIMEOUT_S)[:, 0, 0].tolist() == [3, 4]


def test_a_region_of_interest_set_behind_our_back_is_noticed(bench, install):
    camera = install(ScriptedCamera(bench.world))
    bench.core.setROI("Scripted", 0, 0, 64, 32)
    with pytest.raises(FrameLoss, match=r"uint16 \(32, 64\) came, uint16 \(128, 128\) expected"):
        camera.snap(timeout_s=TIMEOUT_S)


# ---- a call that does not return


def test_a_hung_camera_is_a_timeout_and_the_core_is_given_up_at_once(bench, install, hang):
    camera = install(ScriptedCamera(bench.world, lambda _: hang.wait()))
    camera.set_exposure_ms(0.1)
    with pytest.raises(DeviceTimeout, match="Scripted: snap: no return from Micro-Manager within"):
        camera.snap(timeout_s=SHORT_S)
    with pytest.raises(ConnectionLost, match="has not returned from 'Scripted: snap'"):
        camera.make_safe()


def test_a_manager_with_a_hung_core_closes_with_a_warning(bench, manager, install, hang, caplog):
    camera = install(ScriptedCamera(bench.world, lambda _: hang.wait()))
    with pytest.raises(DeviceTimeout):
        camera.snap(timeout_s=SHORT_S)
    manager.close()
    assert "unloading devices: Micro-Manager has not returned from" in caplog.text


def test_a_sequence_that_stalls_is_a_timeout_with_the_count(
    bench, install, manager, hang, monkeypatch
):
    camera = install(ScriptedCamera(bench.world, lambda number: number > 2 and hang.wait()))
    stop = bench.core.stopSequenceAcquisition
    monkeypatch.setattr(
        bench.core, "stopSequenceAcquisition", lambda label: (hang.set(), stop(label))
    )
    with pytest.raises(DeviceTimeout, match="Scripted: 5 frames asked, 2 came in time"):
        camera.capture(5, timeout_s=SHORT_S)
    assert not bench.core.isSequenceRunning()


def test_a_core_that_hangs_within_a_sequence_is_reported_as_that(
    bench, install, manager, hang, monkeypatch
):
    camera = install(ScriptedCamera(bench.world))
    monkeypatch.setattr(manager, "timeout_s", SHORT_S)
    monkeypatch.setattr(bench.core, "getRemainingImageCount", hang.wait)
    with pytest.raises(DeviceTimeout, match="Scripted: frame 1 of 3: no return"):
        camera.capture(3, timeout_s=TIMEOUT_S)


def test_a_stage_that_never_arrives_is_a_timeout(manager, monkeypatch):
    monkeypatch.setattr(travel, "time", SimpleNamespace(perf_counter=lambda: 1000.0))
    stage = MicroManagerStage(manager, "Z")
    stage.start(50.0)
    with pytest.raises(DeviceTimeout, match=r"Z: still busy after 0\.1 s"):
        stage.wait(timeout_s=SHORT_S)
    assert stage.read_back() == 0.0


# ---- the thread that owns the core


@pytest.fixture
def thread():
    thread = CoreThread("core of a test")
    yield thread
    thread.close()


def test_all_calls_run_on_one_thread_of_their_own(thread):
    names = {
        thread.call(lambda: threading.current_thread().name, what="who", timeout_s=TIMEOUT_S)
        for _ in range(3)
    }
    assert names == {"core of a test"}


def test_a_timeout_that_the_call_itself_raises_is_no_hang(thread):
    def waited_in_vain() -> None:
        raise TimeoutError("device busy")

    with pytest.raises(TimeoutError, match="device busy"):
        thread.call(waited_in_vain, what="wait", timeout_s=TIMEOUT_S)
    assert thread.call(lambda: 7, what="next", timeout_s=TIMEOUT_S) == 7


def test_a_call_queued_behind_another_is_taken_back_when_its_time_is_over(thread, hang):
    begun = threading.Event()
    moved = []

    def occupy() -> None:
        begun.set()
        hang.wait()

    other = threading.Thread(
        target=thread.call, args=(occupy,), kwargs={"what": "long", "timeout_s": TIMEOUT_S}
    )
    other.start()
    begun.wait()
    with pytest.raises(DeviceTimeout, match="move: not begun, Micro-Manager was busy"):
        thread.call(lambda: moved.append("too late"), what="move", timeout_s=SHORT_S)
    hang.set()
    other.join()
    assert thread.call(lambda: moved, what="next", timeout_s=TIMEOUT_S) == []


def test_a_closed_thread_takes_no_call(thread):
    assert thread.close()
    assert thread.close()
    with pytest.raises(ConnectionLost, match="move: the Micro-Manager core is closed"):
        thread.call(lambda: None, what="move", timeout_s=TIMEOUT_S)


# ---- patterns that the core would bend


@pytest.fixture
def slm(manager):
    return MicroManagerSLM(manager, "SLM")


@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param(np.full((64, 64), 3.0), id="float"),
        pytest.param(np.full((64, 64), 300), id="integers beyond 255"),
        pytest.param(np.full((64, 64), 3), id="integers of another width"),
        pytest.param(np.full((64, 64), True), id="bool"),
        pytest.param(np.full((32, 64), 3, np.uint8), id="wrong shape"),
        pytest.param(np.full((1, 64, 64), 3, np.uint8), id="three dimensions"),
        pytest.param(np.uint8(3), id="a single level"),
        pytest.param(300, id="a number"),
        pytest.param([[3] * 64] * 64, id="lists"),
        pytest.param(bytes(64 * 64), id="raw bytes"),
    ],
)
@pytest.mark.parametrize("act", ["check", "start"])
def test_a_pattern_of_another_kind_is_refused_and_not_shown(bench, slm, act, pattern):
    slm.start(np.full(slm.shape, 7, np.uint8))
    with pytest.raises(LimitViolation, match=r"SLM: a pattern of .* asked, uint8 \(64, 64\)"):
        getattr(slm, act)(pattern)
    assert (bench.core.getSLMImage("SLM") == 7).all()
    assert (slm.read_back() == 7).all()


def test_checking_a_pattern_shows_nothing(bench, slm):
    slm.check(np.full(slm.shape, 9, np.uint8))
    assert not bench.core.getSLMImage("SLM").any()


def test_a_modulator_that_has_shown_nothing_has_no_read_back(slm):
    with pytest.raises(InstrumentReported, match="SLM: no pattern is known to be shown"):
        slm.read_back()


def test_a_modulator_of_16_bits_is_refused(manager, bench, monkeypatch):
    monkeypatch.setattr(bench.core, "getSLMBytesPerPixel", lambda label: 2)
    with pytest.raises(ProtocolError, match="SLM: pixels of 2 bytes and 1 channels"):
        MicroManagerSLM(manager, "SLM")
