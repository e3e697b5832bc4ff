"""slmsuite's modulators and cameras behind our protocols, by its simulated pair."""

from __future__ import annotations

import contextlib
import math
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from drivers.devices import Camera, SpatialLightModulator
from drivers.errors import (
    ConnectionLost,
    DeviceTimeout,
    FrameLoss,
    InstrumentReported,
    LimitViolation,
    ProtocolError,
)
from drivers.slmsuite import SlmsuiteCamera, SlmsuiteSLM, construct
from drivers.slmsuite._calls import Calls
from drivers.slmsuite._construct import _import

try:
    for module in ("slms", "cameras"):
        _import("tests", f"slmsuite.hardware.{module}.simulated")
except ConnectionLost as reason:
    pytest.skip(str(reason), allow_module_level=True)

from slmsuite.hardware.cameras.simulated import SimulatedCamera
from slmsuite.hardware.slms.simulated import SimulatedSLM

SLM_CLASS = "slmsuite.hardware.slms.simulated.SimulatedSLM"
CAMERA_CLASS = "slmsuite.hardware.cameras.simulated.SimulatedCamera"
WIDTH, HEIGHT = 48, 32
SHAPE = (HEIGHT, WIDTH)
TIMEOUT_S = 60.0  # for a loaded machine; nothing here takes a second


def noise(seed: int = 0, levels: int = 256) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, levels, SHAPE, np.uint8)


@pytest.fixture
def closing():
    """Close at the end what a test makes."""
    with contextlib.ExitStack() as stack:
        yield lambda device: stack.enter_context(contextlib.closing(device))


@pytest.fixture
def make_slm(closing):
    """A simulated modulator, its class and options as asked."""

    def make(cls=SimulatedSLM, *, calls=None, **options):
        raw = cls((WIDTH, HEIGHT), **options)
        return closing(SlmsuiteSLM(raw, name="modulator", calls=calls))

    return make


@pytest.fixture
def make_camera(closing):
    """A simulated camera in front of a flat modulator, its class and options as asked."""

    def make(cls=SimulatedCamera, *, calls=None, **options):
        modulator = SimulatedSLM((WIDTH, HEIGHT))
        raw = cls(modulator, **{"bitdepth": 12, "gain": 1e4, **options})
        return closing(SlmsuiteCamera(raw, name="eye", calls=calls))

    return make


def show(slm, pattern):
    slm.start(pattern)
    slm.wait(timeout_s=TIMEOUT_S)


# ---- modulator


def test_a_modulator_keeps_the_protocol_with_height_first(make_slm):
    slm = make_slm()
    assert isinstance(slm, SpatialLightModulator)
    assert (slm.shape, slm.levels) == ((HEIGHT, WIDTH), 256)


def crooked(slm):
    """Everything by which slmsuite changes a phase on its way to the modulator."""
    slm.raw.source["phase"] = np.full(SHAPE, 1.0)
    slm.raw.set_gamma(np.linspace(0, 2, 256) ** 2)
    return slm


@pytest.mark.parametrize("wav_design_um", [1.0, 1.6, 0.7])
def test_grey_levels_reach_the_modulator_as_they_are(make_slm, wav_design_um):
    slm = crooked(make_slm(wav_um=1.0, wav_design_um=wav_design_um))
    for pattern in (noise(), np.resize(np.arange(256, dtype=np.uint8), SHAPE)):
        show(slm, pattern)
        np.testing.assert_array_equal(slm.raw.display, pattern)
        np.testing.assert_array_equal(slm.read_back(), pattern)


def test_what_was_sent_or_read_is_a_copy(make_slm):
    slm, pattern = make_slm(), noise()
    show(slm, pattern)
    slm.read_back()[:] = 7
    pattern[:] = 9
    np.testing.assert_array_equal(slm.read_back(), noise())


def test_safe_is_flat(make_slm):
    slm = crooked(make_slm())
    show(slm, noise())
    slm.make_safe()
    assert not slm.raw.display.any()


@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param(np.zeros(SHAPE), id="a phase"),
        pytest.param(np.full(SHAPE, 300), id="300 in int64"),
        pytest.param(np.full(SHAPE, np.nan), id="nan"),
        pytest.param(np.zeros((WIDTH, HEIGHT), np.uint8), id="width first"),
        pytest.param(np.zeros((HEIGHT + 2, WIDTH + 2), np.uint8), id="larger, to be cropped"),
    ],
)
@pytest.mark.parametrize("act", ["check", "start"])
def test_what_is_no_pattern_is_refused(make_slm, act, pattern):
    slm = make_slm()
    show(slm, noise())
    with pytest.raises(LimitViolation, match=r"modulator: .* uint8 \(32, 48\) needed"):
        getattr(slm, act)(pattern)
    np.testing.assert_array_equal(slm.read_back(), noise())


def test_a_modulator_of_six_bits_has_64_levels(make_slm):
    slm = make_slm(bitdepth=6)
    assert slm.levels == 64
    show(slm, noise(levels=64))
    with pytest.raises(LimitViolation, match="modulator: grey level 64 asked, 0 to 63 allowed"):
        slm.check(np.full(SHAPE, 64, np.uint8))


def test_a_modulator_of_ten_bits_is_refused(make_slm):
    with pytest.raises(ProtocolError, match="modulator: SimulatedSLM has 10 bits"):
        make_slm(bitdepth=10)


def test_a_modulator_that_alters_patterns_is_refused(make_slm):
    class Upside(SimulatedSLM):
        def _gray2display(self, gray):
            self.display = np.flipud(gray)
            return self.display

    with pytest.raises(ProtocolError, match="modulator: Upside turned the pattern into another"):
        make_slm(Upside).start(noise())


def test_it_waits_as_long_as_slmsuite_says_it_settles(make_slm):
    slm = make_slm(settle_time_s=0.05)
    before_s = time.monotonic()
    show(slm, noise())
    assert time.monotonic() >= before_s + 0.05


def test_settling_longer_than_the_limit_is_a_timeout(make_slm):
    slm = make_slm(settle_time_s=1000.0)
    slm.start(noise())
    with pytest.raises(DeviceTimeout, match="modulator: settles for 1000 s, 2 s allowed"):
        slm.wait(timeout_s=2.0)


class Failing(SimulatedSLM):
    """Raises what a test puts into `error`."""

    error: Exception | None = None

    def _set_phase_hw(self, display):
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (RuntimeError("board 3: LUT"), InstrumentReported, "slmsuite reports: board 3: LUT"),
        (TimeoutError("no vsync"), DeviceTimeout, "no vsync"),
        (ConnectionResetError("gone"), ConnectionLost, "gone; check power, cable"),
        (OSError("usb"), ConnectionLost, "usb; check power, cable"),
        (ImportError("No module named 'hedslib'"), ConnectionLost, "hedslib.*install the vendor"),
        (AssertionError(), InstrumentReported, "slmsuite reports: AssertionError"),
    ],
)
def test_whatever_an_sdk_raises_is_one_of_our_errors(make_slm, error, kind, words):
    slm = make_slm(Failing)
    slm.raw.error = error
    with pytest.raises(kind, match=f"modulator: show a pattern: .*{words}"):
        slm.start(noise())
    slm.raw.error = None
    show(slm, noise())


def test_an_sdk_that_hangs_is_a_timeout_and_then_a_lost_connection(make_slm):
    released = threading.Event()

    class Hanging(SimulatedSLM):
        is_hanging = False

        def _set_phase_hw(self, display):
            if self.is_hanging:
                released.wait()

    slm = make_slm(Hanging, calls=Calls("modulator", timeout_s=0.05))
    slm.raw.is_hanging = True
    with pytest.raises(DeviceTimeout, match=r"modulator: .* no return from slmsuite within 0\.05"):
        slm.start(noise())
    with pytest.raises(ConnectionLost, match="slmsuite has not returned from 'modulator: show"):
        slm.make_safe()
    with pytest.raises(ConnectionLost, match="close"):
        slm.close()
    released.set()


def test_a_modulator_says_what_it_is(make_slm):
    said = make_slm(wav_um=0.532).describe()
    assert (said.name, said.kind) == ("modulator", "slm")
    assert said.identity == f"{SLM_CLASS} SimulatedSLM"
    assert said.limits == {"grey_level": (0, 255)}
    assert said.properties["wav_um"] == "0.532"


# ---- camera


def test_a_camera_keeps_the_protocol_with_height_first(make_camera):
    camera = make_camera()
    assert isinstance(camera, Camera)
    assert (camera.shape, camera.bit_depth) == ((HEIGHT, WIDTH), 12)


def test_a_turned_camera_has_the_shape_of_its_frames(make_camera):
    camera = make_camera(rot="90")
    assert camera.shape == (WIDTH, HEIGHT)
    assert camera.snap(timeout_s=TIMEOUT_S).shape == (WIDTH, HEIGHT)


def test_frames_are_the_cameras_counts(make_camera):
    camera = make_camera()
    frame = camera.snap(timeout_s=TIMEOUT_S)
    assert frame.dtype == np.uint16
    assert frame.max() > 0
    np.testing.assert_array_equal(frame, camera.raw.get_image())


def test_a_kept_frame_does_not_change(make_camera):
    camera = make_camera()
    kept = camera.snap(timeout_s=TIMEOUT_S)
    before = kept.copy()
    camera.raw.last_image[:] = 0
    np.testing.assert_array_equal(kept, before)


@pytest.mark.parametrize("frames", [1, 3])
def test_capture_returns_exactly_the_frames_asked_for(make_camera, frames):
    stack = make_camera().capture(frames, timeout_s=TIMEOUT_S)
    assert (stack.dtype, stack.shape) == (np.uint16, (frames, *SHAPE))


@pytest.mark.parametrize("frames", [0, -1])
def test_no_frames_cannot_be_captured(make_camera, frames):
    with pytest.raises(LimitViolation, match=f"eye: {frames} frames asked"):
        make_camera().capture(frames, timeout_s=TIMEOUT_S)


def test_exposures_are_milliseconds_here_and_seconds_there(make_camera):
    camera = make_camera(exposure_bounds_s=(1e-3, 2.0))
    assert camera.exposure_limits_ms == (1.0, 2000.0)
    assert camera.set_exposure_ms(2.5) == 2.5
    assert camera.raw.exposure_s == 2.5e-3
    assert make_camera().exposure_limits_ms is None


@pytest.mark.parametrize("exposure_ms", [math.nan, math.inf, -1.0, 0.0, 0.5, 2001.0], ids=str)
def test_an_exposure_beyond_the_limits_is_refused_not_clipped(make_camera, exposure_ms):
    camera = make_camera(exposure_bounds_s=(1e-3, 2.0))
    camera.set_exposure_ms(10.0)
    with pytest.raises(LimitViolation, match=r"eye: exposure .* 1 to 2000 ms allowed"):
        camera.set_exposure_ms(exposure_ms)
    assert camera.raw.exposure_s == 0.01


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"averaging": 4}, r"of 12 bits gives 16384 levels: it averages"),
        ({"bitdepth": 24}, r"has 24 bits, 1 to 16"),
    ],
)
def test_a_camera_whose_frames_are_no_raw_counts_is_refused(make_camera, options, words):
    with pytest.raises(ProtocolError, match=f"eye: SimulatedCamera {words}"):
        make_camera(**options)


class Scripted(SimulatedCamera):
    """Gives the frames of `script`, then those of the simulation."""

    script: tuple[object, ...] = ()

    def flush(self, timeout_s=1):
        """Nothing is running."""

    def _get_image_hw(self, timeout_s=0, quantize=True):
        if not self.script:
            return super()._get_image_hw(timeout_s, quantize)
        first, *self.script = self.script
        if isinstance(first, Exception):
            raise first
        return first


@pytest.mark.parametrize(
    ("came", "kind", "words"),
    [
        (np.zeros((2, 2), np.uint16), FrameLoss, r"frames of \(1, 2, 2\) came, \(1, 32, 48\)"),
        (np.full(SHAPE, 0.5), ProtocolError, r"0\.5 of float64 came, whole counts below 4096"),
        (np.full(SHAPE, np.nan), ProtocolError, "nan of float64 came"),
        (np.full(SHAPE, 4096, np.uint16), ProtocolError, "4096 of uint16 came"),
        (np.full(SHAPE, -1, np.int16), ProtocolError, "-1 of int16 came"),
        (RuntimeError("no trigger"), InstrumentReported, "snap: slmsuite reports: no trigger"),
        (TimeoutError("no trigger"), DeviceTimeout, "snap: slmsuite: no trigger"),
    ],
    ids=str,
)
def test_a_frame_that_is_none_is_an_error_and_the_next_one_comes(make_camera, came, kind, words):
    camera = make_camera(Scripted)
    camera.raw.script = (came,)
    with pytest.raises(kind, match=f"eye: .*{words}"):
        camera.snap(timeout_s=TIMEOUT_S)
    assert camera.snap(timeout_s=TIMEOUT_S).shape == SHAPE


def test_a_lost_frame_is_known_and_not_replaced(make_camera):
    camera = make_camera(Scripted)
    camera.raw.script = (np.zeros(SHAPE, np.uint16), RuntimeError("frame 2 dropped"))
    with pytest.raises(InstrumentReported, match=r"eye: 3 frames: .*frame 2 dropped"):
        camera.capture(3, timeout_s=TIMEOUT_S)


def test_fewer_frames_than_asked_are_frame_loss(make_camera):
    class Short(SimulatedCamera):
        def get_images(self, image_count, **options):
            return super().get_images(image_count - 1, **options)

    with pytest.raises(FrameLoss, match="eye: 4 frames asked, 3 came"):
        make_camera(Short).capture(4, timeout_s=TIMEOUT_S)


@pytest.mark.parametrize("act", ["snap", "capture"])
def test_frames_from_before_the_question_are_thrown_away(make_camera, act):
    class Running(Scripted):
        def flush(self, timeout_s=1):
            self.script = ()

    camera = make_camera(Running)
    camera.raw.script = (np.full(SHAPE, 1234, np.uint16),)
    arguments = () if act == "snap" else (2,)
    frames = getattr(camera, act)(*arguments, timeout_s=TIMEOUT_S)
    assert not (frames == 1234).all()


def test_a_camera_that_hangs_is_a_timeout(make_camera):
    released = threading.Event()

    class Hanging(SimulatedCamera):
        is_hanging = False

        def _get_image_hw(self, timeout_s=0, quantize=True):
            if self.is_hanging:
                released.wait()
            return super()._get_image_hw(timeout_s, quantize)

    camera = make_camera(Hanging)
    camera.set_exposure_ms(1.0)
    camera.raw.is_hanging = True
    with pytest.raises(DeviceTimeout, match="eye: snap: no return from slmsuite"):
        camera.snap(timeout_s=0.01)
    with pytest.raises(ConnectionLost, match="eye: snap: slmsuite has not returned"):
        camera.snap(timeout_s=TIMEOUT_S)
    with pytest.raises(ConnectionLost):
        camera.close()
    released.set()


def test_a_camera_says_what_it_is(make_camera):
    camera = make_camera(exposure_bounds_s=(1e-3, 2.0))
    camera.set_exposure_ms(20.0)
    said = camera.describe()
    assert (said.name, said.kind) == ("eye", "camera")
    assert said.identity == f"{CAMERA_CLASS} SimulatedCamera"
    assert said.limits == {"exposure_ms": (1.0, 2000.0)}
    assert said.properties["exposure_s"] == "0.02"


@pytest.mark.parametrize("make", ["make_slm", "make_camera"])
def test_safe_and_closed_twice_is_safe_and_closed(request, make, mocker):
    device = request.getfixturevalue(make)()
    released = mocker.spy(type(device.raw), "close")
    for _ in range(2):
        device.make_safe()
    for _ in range(2):
        device.close()
    assert released.call_count == 1
    with pytest.raises(ConnectionLost, match="the device is closed"):
        device.start(noise()) if make == "make_slm" else device.snap(timeout_s=TIMEOUT_S)


# ---- by name


def test_a_pair_is_opened_by_name_and_the_camera_sees_the_modulator(closing):
    slm = closing(construct("modulator", SLM_CLASS, {"resolution": [WIDTH, HEIGHT]}))
    options = {"bitdepth": 12, "gain": 1e3}
    eye = closing(construct("eye", CAMERA_CLASS, options, devices={"slm": slm}))
    assert isinstance(slm, SlmsuiteSLM)
    assert isinstance(eye, SlmsuiteCamera)

    def place_of_light(periods):
        """Column of the brightest pixel behind a grating with so many periods."""
        phase = np.arange(WIDTH) * periods * 256 / WIDTH
        show(slm, np.tile(np.mod(phase, 256).astype(np.uint8), (HEIGHT, 1)))
        return int(eye.snap(timeout_s=TIMEOUT_S).sum(axis=0).argmax())

    # A grating of k periods over the pupil sends light k diffraction limits aside: k pixels here.
    assert [abs(place_of_light(k) - WIDTH // 2) for k in (0, 3, 7)] == [0, 3, 7]


@pytest.mark.parametrize(
    ("class_name", "words"),
    [
        ("os.system", "no class of slmsuite's"),
        ("this.that", "no class of slmsuite's"),
        ("slmsuite.hardware.slms.simulated.SimulatedSLM()", "no class of slmsuite's"),
        ("slmsuite.misc.files.load_h5", "no class of slmsuite's"),
        ("slmsuite.hardware.slms.simulated.Nothing", "simulated has SimulatedSLM"),
        ("slmsuite.hardware.slms.simulated.np", "is no SLM of slmsuite's"),
        ("slmsuite.hardware.slms.slm.SLM", "is no SLM of slmsuite's that can be opened"),
        ("slmsuite.hardware.cameras.simulated.GaussianDetectorNoise", "is no Camera of slmsuite"),
    ],
)
def test_what_is_no_class_of_a_device_is_refused_by_name(class_name, words):
    with pytest.raises(
        ProtocolError, match=f"modulator: '{class_name.replace('(', '.')[:20]}.*{words}"
    ):
        construct("modulator", class_name, {})
    assert "this" not in sys.modules  # whose import would speak


def test_a_module_that_is_not_there_is_named():
    with pytest.raises(
        ConnectionLost, match=r"modulator: slmsuite has no module 'slmsuite\.hardware\.slms\.x'"
    ):
        construct("modulator", "slmsuite.hardware.slms.x.Y", {})


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    for module in [name for name in sys.modules if name.partition(".")[0] == "slmsuite"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(ConnectionLost, match=r'pip install "infoloop\[slmsuite\]"'):
        construct("modulator", SLM_CLASS, {})


@pytest.mark.parametrize("options", [{}, {"resolution": [48, 32], "wavelength": 1}], ids=str)
def test_options_that_do_not_fit_are_answered_with_slmsuites_words(options):
    with pytest.raises(InstrumentReported, match=r"modulator: open: slmsuite reports: .*argument"):
        construct("modulator", SLM_CLASS, options)


def test_a_device_that_cannot_be_used_is_closed_again(mocker):
    released = mocker.spy(SimulatedSLM, "close")
    with pytest.raises(ProtocolError, match="10 bits"):
        construct("modulator", SLM_CLASS, {"resolution": [48, 32], "bitdepth": 10})
    assert released.call_count >= 1


def test_a_thing_of_another_class_is_refused():
    with pytest.raises(ProtocolError, match=r"eye: builtins\.str is no slmsuite\..*\.Camera"):
        SlmsuiteCamera("a camera", name="eye")
    with pytest.raises(ProtocolError, match=r"modulator: .*SimulatedCamera is no .*\.SLM"):
        SlmsuiteSLM(SimulatedCamera(SimulatedSLM((WIDTH, HEIGHT))), name="modulator")


def test_opening_leaves_the_live_views_qt_and_our_standard_output_alone():
    script = (
        "import os; from drivers.slmsuite import construct; "
        f"construct('m', '{SLM_CLASS}', {{'resolution': [48, 32]}}).close(); "
        "print(sorted(key for key in os.environ if key.startswith('QT_')))"
    )
    environment = {key: value for key, value in os.environ.items() if not key.startswith("QT_")}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    said = subprocess.run(
        [sys.executable, "-P", "-c", script], env=environment, capture_output=True, text=True
    )
    assert said.stdout.strip() == "[]", said.stderr
