"""Modulators of a Micro-Manager core: pixels of both kinds, sequences, and what is refused."""

# ruff: noqa: N802 - the fake core has the names of the real one
from __future__ import annotations

import math

import numpy as np
import pytest
from pymmcore_plus import CMMCorePlus, DeviceType

from drivers.devices import SequencedModulator, SpatialLightModulator
from drivers.errors import InstrumentReported, LimitViolation, ProtocolError
from drivers.micromanager import MicroManager, MicroManagerCamera, MicroManagerSLM
from drivers.micromanager._slm import PixelFormat
from drivers.virtual.bench.devices import VirtualCamera, VirtualSLM, core_with
from drivers.virtual.sensor import VirtualSensor

TIMEOUT_S = 20.0
SHAPE = (4, 6)
RAMP = np.arange(24, dtype=np.uint8).reshape(SHAPE) * 10


class Wall:
    """A world in which the camera sees the modulator, grey level by grey level."""

    slm_shape = SHAPE

    def __init__(self):
        self.sensor = VirtualSensor.draw(*SHAPE, rng=np.random.default_rng(0))
        self.shown = np.zeros(SHAPE, np.uint8)

    def show(self, pattern):
        self.shown = pattern.copy()

    def expose(self, exposure_s):
        return self.shown.astype(np.uint16) + 1


class CompiledCore(CMMCorePlus):
    """A core with one compiled modulator, which checks what pymmcore's wrapper checks.

    No compiled modulator runs without its hardware; the rules are those of
    `CMMCore_setSLMImage_pywrap` and `CMMCore_loadSLMSequence` in pymmcore 12.5.
    """

    def __init__(self, *, n_bytes=1, channels=1, longest=None):
        super().__init__()
        self._n_bytes, self._channels, self._longest = n_bytes, channels, longest
        self.calls = []
        self.image = None
        self.display_ms = 10.0

    def getLoadedDevices(self):
        return ("Core", "SLM")

    def getDeviceType(self, label):
        return DeviceType.SLM

    def deviceBusy(self, label):
        return False

    def getSLMHeight(self, label):
        return SHAPE[0]

    def getSLMWidth(self, label):
        return SHAPE[1]

    def getSLMBytesPerPixel(self, label):
        return self._n_bytes

    def getSLMNumberOfComponents(self, label):
        return self._channels

    def setSLMImage(self, label, pixels):
        self.calls.append("set")
        if pixels.shape[:2] != SHAPE or pixels.dtype != np.uint8:
            raise RuntimeError("Pixel array type is wrong. Expected uint8.")
        if pixels.nbytes > SHAPE[0] * SHAPE[1] * self._n_bytes or pixels.shape[2:] not in {
            (),
            (3,),
        }:
            raise RuntimeError("Number of bytes per pixel in pixels is greater than expected.")
        self.image = pixels.copy()

    def displaySLMImage(self, label):
        self.calls.append("display")

    def setSLMExposure(self, label, interval_ms):
        self.display_ms = round(interval_ms, 1)

    def getSLMExposure(self, label):
        return self.display_ms

    def getSLMSequenceMaxLength(self, label):
        if self._longest is None:
            raise RuntimeError("Unsupported device command (in device SLM)")
        return self._longest

    def loadSLMSequence(self, label, images):
        self.calls.append("load")
        assert isinstance(images, list)
        assert all(isinstance(image, bytes) and len(image) == 24 for image in images)

    def startSLMSequence(self, label):
        self.calls.append("start sequence")

    def stopSLMSequence(self, label):
        self.calls.append("stop sequence")


@pytest.fixture
def managed():
    """Owner of a core, closed at the end."""
    managers = []

    def manage(core):
        managers.append(MicroManager(core, timeout_s=TIMEOUT_S))
        return managers[-1]

    yield manage
    for manager in managers:
        manager.close()


@pytest.fixture
def virtual(managed):
    def make(**options):
        wall = Wall()
        device = VirtualSLM(wall, **options)
        camera = VirtualCamera(wall, exposure_ms=1.0, exposure_out=device.trigger_in)
        manager = managed(core_with({"SLM": device, "Camera": camera}))
        return manager, MicroManagerSLM(manager, "SLM"), wall

    return make


@pytest.fixture
def compiled(managed):
    def make(*, display_ms=None, shows_on_load=False, flat_level=0, **options):
        core = CompiledCore(**options)
        slm = MicroManagerSLM(
            managed(core), "SLM", display_ms=display_ms, shows_on_load=shows_on_load,
            flat_level=flat_level,
        )  # fmt: skip
        return slm, core

    return make


# ---- pixels


@pytest.mark.parametrize("pixels", ["grey8", "rgb8", "packed32"])
def test_a_python_modulator_of_either_kind_shows_the_same_greys(virtual, pixels):
    _, slm, wall = virtual(pixels=pixels)
    slm.start(RAMP)
    slm.wait(timeout_s=TIMEOUT_S)
    np.testing.assert_array_equal(wall.shown, RAMP)
    np.testing.assert_array_equal(slm.read_back(), RAMP)
    assert (slm.shape, slm.levels) == (SHAPE, 256)
    assert isinstance(slm, SpatialLightModulator)
    assert isinstance(slm, SequencedModulator)


@pytest.mark.parametrize(
    ("n_bytes", "channels", "wanted"),
    [
        (1, 1, PixelFormat.GREY_8),
        (4, 3, PixelFormat.RGB_8),
        (4, 1, PixelFormat.RGB_8),
    ],
)
def test_a_compiled_modulator_gets_what_the_wrapper_takes(compiled, n_bytes, channels, wanted):
    slm, core = compiled(n_bytes=n_bytes, channels=channels)
    slm.start(RAMP)
    assert slm.pixel_format is wanted
    levels = core.image if wanted is PixelFormat.GREY_8 else core.image[:, :, 1]
    np.testing.assert_array_equal(levels, RAMP)
    if wanted is PixelFormat.RGB_8:
        assert (core.image == core.image[:, :, :1]).all()


def test_pixels_that_nobody_knows_are_refused(compiled):
    with pytest.raises(ProtocolError, match="SLM: pixels of 2 bytes and 1 channels"):
        compiled(n_bytes=2)


def test_packed_pixels_hold_the_grey_in_three_bytes():
    packed = PixelFormat.PACKED_32.pixels(np.array([[0, 1, 255]], np.uint8))
    assert [hex(pixel) for pixel in packed[0].tolist()] == ["0x0", "0x10101", "0xffffff"]


@pytest.mark.parametrize(
    "wrong",
    [
        np.full(SHAPE, 300),
        np.full(SHAPE, 300.7),
        np.full(SHAPE, math.nan),
        np.zeros(SHAPE, np.int8),
        np.zeros(SHAPE, bool),
        np.zeros((*SHAPE, 3), np.uint8),
        np.zeros(SHAPE[::-1], np.uint8),
        np.zeros(24, np.uint8),
        bytes(24),
        None,
    ],
    ids=["300", "300.7", "nan", "int8", "bool", "rgb", "turned", "flat", "bytes", "none"],
)
@pytest.mark.parametrize("pixels", ["grey8", "rgb8", "packed32"])
def test_what_the_core_would_wrap_is_refused_and_not_shown(virtual, pixels, wrong):
    _, slm, wall = virtual(pixels=pixels)
    slm.start(RAMP)
    for act in (slm.check, slm.start, lambda p: slm.load_sequence([RAMP, p], timeout_s=1)):
        with pytest.raises(LimitViolation, match=r"SLM: a pattern of .* asked, uint8 \(4, 6\)"):
            act(wrong)
    np.testing.assert_array_equal(wall.shown, RAMP)


# ---- load, display, flat


@pytest.mark.parametrize(("shows_on_load", "calls"), [(False, ["set", "display"]), (True, ["set"])])
def test_a_modulator_that_shows_on_load_is_not_told_to_display(compiled, shows_on_load, calls):
    slm, core = compiled(shows_on_load=shows_on_load)
    slm.start(RAMP)
    assert core.calls == calls


def test_the_display_time_is_set_and_read_back(compiled):
    _, core = compiled(display_ms=33.31)
    assert core.display_ms == 33.3
    with pytest.raises(ProtocolError, match=r"display time of 0.04 ms asked, 0 ms read back"):
        compiled(display_ms=0.04)
    for wrong in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(LimitViolation, match="SLM: display_ms"):
            compiled(display_ms=wrong)


def test_flat_is_the_level_of_off(compiled):
    slm, core = compiled(flat_level=255)
    slm.make_safe()
    assert (core.image == 255).all()


def test_nothing_is_read_back_before_or_after_a_failure(virtual, mocker):
    manager, slm, _ = virtual()
    with pytest.raises(InstrumentReported, match="SLM: no pattern is known to be shown"):
        slm.read_back()
    slm.start(RAMP)
    mocker.patch.object(manager.core, "displaySLMImage", side_effect=RuntimeError("cable"))
    with pytest.raises(InstrumentReported, match=r"SLM: show a pattern: .*cable"):
        slm.start(RAMP + 1)
    with pytest.raises(InstrumentReported, match="no pattern is known"):
        slm.read_back()


def test_the_device_says_its_pixels_and_sequences(virtual):
    _, slm, _ = virtual(pixels="rgb8", longest_sequence=5)
    properties = slm.describe().properties
    assert properties["pixels"] == "32-bit colour, as three channels"
    assert properties["longest sequence"] == "5"


# ---- sequences


def patterns(count):
    return [np.full(SHAPE, 20 * (k + 1), np.uint8) for k in range(count)]


@pytest.mark.parametrize("pixels", ["grey8", "rgb8", "packed32"])
def test_every_frame_of_a_triggered_sequence_sees_its_own_pattern(virtual, pixels):
    manager, slm, wall = virtual(pixels=pixels)
    camera = MicroManagerCamera(manager, "Camera")
    slm.load_sequence(patterns(4), timeout_s=TIMEOUT_S)
    assert not wall.shown.any()  # loading shows nothing
    for _ in range(2):  # a loaded sequence runs again
        slm.start_sequence()
        frames = camera.capture(4, timeout_s=TIMEOUT_S)
        slm.stop_sequence()
        assert frames[:, 0, 0].tolist() == [21, 41, 61, 81]


def test_a_stopped_sequence_steps_no_more_and_no_pattern_is_claimed(virtual):
    manager, slm, wall = virtual()
    camera = MicroManagerCamera(manager, "Camera")
    slm.load_sequence(patterns(3), timeout_s=TIMEOUT_S)
    slm.start_sequence()
    camera.snap(timeout_s=TIMEOUT_S)
    slm.stop_sequence()
    camera.snap(timeout_s=TIMEOUT_S)
    assert (wall.shown == 40).all()
    with pytest.raises(InstrumentReported, match="no pattern is known"):
        slm.read_back()


@pytest.mark.parametrize("act", ["start", "make_safe"])
def test_showing_a_pattern_or_making_safe_ends_a_sequence(virtual, act):
    manager, slm, wall = virtual()
    slm.load_sequence(patterns(3), timeout_s=TIMEOUT_S)
    slm.start_sequence()
    slm.start(RAMP) if act == "start" else slm.make_safe()
    MicroManagerCamera(manager, "Camera").snap(timeout_s=TIMEOUT_S)
    np.testing.assert_array_equal(wall.shown, RAMP if act == "start" else 0 * RAMP)


def test_flat_is_shown_also_where_a_sequence_does_not_stop(virtual, mocker):
    manager, slm, wall = virtual()
    slm.load_sequence(patterns(3), timeout_s=TIMEOUT_S)
    slm.start_sequence()
    mocker.patch.object(manager.core, "stopSLMSequence", side_effect=RuntimeError("busy"))
    with pytest.raises(InstrumentReported, match=r"stop the sequence: .*busy"):
        slm.make_safe()
    assert not wall.shown.any()


@pytest.mark.parametrize(("count", "longest"), [(0, 3), (4, 3), (1, 0)])
def test_sequences_that_the_device_does_not_hold_are_refused(virtual, count, longest):
    _, slm, _ = virtual(longest_sequence=longest)
    holds = str(longest) if longest else "none: step through them one by one"
    with pytest.raises(
        LimitViolation, match=f"of {count} patterns asked, the device holds {holds}"
    ):
        slm.load_sequence(patterns(count), timeout_s=TIMEOUT_S)


def test_a_sequence_that_was_not_loaded_does_not_start_and_is_stopped_all_the_same(virtual):
    _, slm, wall = virtual()
    with pytest.raises(InstrumentReported, match=r"start the sequence: .*no sequence is loaded"):
        slm.start_sequence()
    slm.start(RAMP)
    np.testing.assert_array_equal(wall.shown, RAMP)


def test_a_compiled_modulator_is_loaded_with_a_list_of_bytes(compiled):
    slm, core = compiled(longest=8)
    slm.load_sequence(patterns(3), timeout_s=TIMEOUT_S)
    slm.start_sequence()
    slm.stop_sequence()
    slm.stop_sequence()
    assert core.calls == ["load", "start sequence", "stop sequence"]


@pytest.mark.parametrize("options", [{}, {"n_bytes": 4, "channels": 3, "longest": 8}])
def test_compiled_modulators_without_sequences_have_none(compiled, options):
    slm, core = compiled(**options)
    assert slm.sequence_length == 0
    with pytest.raises(LimitViolation, match="step through them one by one"):
        slm.load_sequence(patterns(1), timeout_s=TIMEOUT_S)
    slm.start(RAMP)
    assert "set" in core.calls


def test_a_virtual_modulator_refuses_colours_that_are_no_grey():
    device = VirtualSLM(Wall(), pixels="rgb8")
    with pytest.raises(ValueError, match="red, green and blue differ"):
        device.set_image(np.stack([RAMP, RAMP, RAMP + 1], axis=2))
