"""A camera is brought to the mode of the bench file, or says why not, whatever it was left in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymmcore_plus import CMMCorePlus

from drivers.devices import HasTemperature, KeepsSettings
from drivers.errors import LimitViolation, ProtocolError
from drivers.micromanager import CameraSettings, MicroManager, MicroManagerCamera
from drivers.micromanager._settings import same_value
from drivers.virtual.bench import VirtualBench, VirtualCamera
from drivers.virtual.options import PupilMicroscopeOptions

TIMEOUT_S = 20.0  # never reached


class GainCamera(VirtualCamera):
    """A Python camera with the properties of a real one."""

    def __init__(self, world):
        super().__init__(world)
        self.register_property("Gain", default_value=1.0, limits=(1.0, 4.0), property_type=float)
        self.register_property(
            "ReadoutMode", default_value="slow", allowed_values=("slow", "fast"), property_type=str
        )
        self.register_property(
            "Trigger Mode",
            default_value="Internal",
            allowed_values=("Internal", "External"),
            property_type=str,
        )
        self.register_property("Sensor Temperature", default_value=-9.5, is_read_only=True)


@pytest.fixture
def democamera():
    core = CMMCorePlus()
    core.loadDevice("Camera", "DemoCamera", "DCam")
    core.initializeDevice("Camera")
    core.setCameraDevice("Camera")
    manager = MicroManager(core, timeout_s=TIMEOUT_S)
    yield manager
    manager.close()


@pytest.fixture(scope="module")
def virtual():
    bench = VirtualBench(PupilMicroscopeOptions())
    bench.core.loadPyDevice("Gained", GainCamera(bench.world))
    bench.core.initializeDevice("Gained")
    manager = MicroManager(bench.core, timeout_s=TIMEOUT_S)
    yield manager
    manager.close()
    bench.close()


def opened(manager, label="Camera", **settings) -> MicroManagerCamera:
    return MicroManagerCamera(manager, label, settings=CameraSettings(**settings))


# ---- what is asked is what is there


def test_a_compiled_camera_is_in_the_mode_asked_for(democamera):
    camera = opened(
        democamera,
        binning=2,
        pixel_type="16bit",
        properties={"BitDepth": 12, "Gain": -3, "ReadNoise (electrons)": 4.25, "ScanMode": "2"},
        roi=(8, 16, 100, 60),
        temperature="CCDTemperature",
        sequence_buffer_mb=32,
    )
    core = democamera.core
    assert core.getROI("Camera") == [8, 16, 100, 60]
    assert [core.getProperty("Camera", name) for name in ("Binning", "Gain", "ScanMode")] == [
        "2", "-3", "2",
    ]  # fmt: skip
    assert (camera.shape, camera.bit_depth, camera.temperature_c()) == ((60, 100), 12, 0.0)
    assert camera.snap(timeout_s=TIMEOUT_S).shape == (60, 100)
    assert camera.capture(2, timeout_s=TIMEOUT_S).shape == (2, 60, 100)
    assert core.getCircularBufferMemoryFootprint() == 32
    assert camera.describe().properties["ROI"] == "8, 16, 100, 60"


def test_a_python_camera_is_in_the_mode_asked_for(virtual):
    camera = opened(
        virtual,
        "Gained",
        binning=1,
        properties={"Gain": 2.5, "ReadoutMode": "fast", "Trigger Mode": "External"},
        roi=(8, 16, 100, 60),
        temperature="Sensor Temperature",
    )
    core = virtual.core
    assert (core.getProperty("Gained", "Gain"), core.getROI("Gained")) == (2.5, [8, 16, 100, 60])
    assert core.getProperty("Gained", "Trigger Mode") == "External"
    assert (camera.shape, camera.temperature_c()) == ((60, 100), -9.5)
    assert camera.snap(timeout_s=TIMEOUT_S).shape == (60, 100)


def test_what_a_crash_left_is_not_used(democamera):
    core = democamera.core
    core.setProperty("Camera", "Binning", "4")
    core.setROI("Camera", 10, 10, 20, 20)
    core.startContinuousSequenceAcquisition(0)
    camera = opened(democamera, binning=1, pixel_type="8bit")
    assert not core.isSequenceRunning("Camera")
    assert (camera.shape, core.getROI("Camera")) == ((512, 512), [0, 0, 512, 512])


def test_a_region_left_in_a_python_camera_is_cleared(virtual):
    virtual.core.setROI("Camera", 0, 0, 64, 32)
    assert opened(virtual).shape == (128, 128)


def test_a_camera_without_settings_is_taken_as_it_is(democamera):
    democamera.core.setROI("Camera", 10, 10, 20, 20)
    camera = MicroManagerCamera(democamera, "Camera")
    assert (camera.shape, camera.temperature_c()) == ((20, 20), None)


def test_a_camera_that_writes_its_binning_twice_is_understood(virtual):
    core = virtual.core
    camera = GainCamera(core._pydevices["Camera"]._world)
    camera.register_property(
        "Binning", default_value="1x1", allowed_values=("1x1", "2x2"), property_type=str
    )
    core.loadPyDevice("Square", camera)
    core.initializeDevice("Square")
    opened(virtual, "Square", binning=2)
    assert core.getProperty("Square", "Binning") == "2x2"


# ---- what cannot be is said before anything is set


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        ({"Gain": 9}, r"Camera\.Gain: 9 asked; the device allows -5 to 8"),
        ({"Gain": "high"}, r"Camera\.Gain: 'high' asked; it takes a number, 0 now"),
        ({"Gain": 1.5}, r"Camera\.Gain: 1\.5 asked; it takes whole numbers only"),
        ({"ScanMode": 7}, r"Camera\.ScanMode: 7 asked; it takes one of 1, 2, 3"),
        ({"CameraID": "mine"}, r"Camera\.CameraID: .* can be read but not set"),
        ({"MaximumExposureMs": 5}, r"only before the device is initialised"),
        ({"Trigger": 1}, r"Camera\.Trigger: 1 asked; there is no such property; there is .*Gain"),
    ],
)
def test_a_property_it_would_refuse_is_named_and_nothing_is_set(democamera, properties, words):
    with pytest.raises(LimitViolation, match=words):
        opened(democamera, properties={"StripeWidth": 2.0, **properties})
    assert democamera.core.getProperty("Camera", "StripeWidth") == "1.0000"


def test_everything_it_would_refuse_is_said_at_once(democamera):
    with pytest.raises(LimitViolation) as caught:
        opened(democamera, binning=3, pixel_type="12bit", properties={"Gain": 9})
    said = str(caught.value)
    assert all(name in said for name in ("Camera.Binning: 3", "PixelType: '12bit'", "Gain: 9"))


def test_a_number_close_to_the_present_one_is_set_all_the_same(democamera):
    democamera.core.setProperty("Camera", "TestProperty4", 1000.0)
    opened(democamera, properties={"TestProperty4": 1000.5})
    assert democamera.core.getProperty("Camera", "TestProperty4") == "1000.5000"


def test_a_python_camera_says_the_same(virtual):
    with pytest.raises(LimitViolation, match=r"Gained\.ReadoutMode: 'medium' asked; .*slow, fast"):
        opened(virtual, "Gained", properties={"ReadoutMode": "medium"})
    with pytest.raises(LimitViolation, match=r"Gained\.Gain: 5\.0 asked; the device allows 1 to 4"):
        opened(virtual, "Gained", properties={"Gain": 5.0})


@pytest.mark.parametrize("label", ["Camera", "Gained"])
def test_a_region_beyond_the_sensor_is_refused(virtual, label):
    with pytest.raises(LimitViolation, match=rf"{label}: roi .* the sensor is 128 x 128"):
        opened(virtual, label, roi=(100, 0, 64, 64))


def test_a_region_counts_binned_pixels(democamera):
    with pytest.raises(LimitViolation, match="the sensor is 128 x 128"):
        opened(democamera, binning=4, roi=(0, 0, 256, 256))


def test_a_region_that_the_camera_rounds_is_refused_with_what_it_took(democamera, mocker):
    core = democamera.core
    really = core.setROI
    mocker.patch.object(core, "setROI", side_effect=lambda c, x, y, w, h: really(c, x, y, 96, h))
    with pytest.raises(ProtocolError, match=r"roi \[0, 0, 100, 60\] asked, \[0, 0, 96, 60\] read"):
        opened(democamera, roi=(0, 0, 100, 60))


def test_a_property_that_another_one_changes_is_noticed(democamera):
    """The demo camera's pixel type sets its bit depth."""
    democamera.core.setProperty("Camera", "PixelType", "16bit")
    with pytest.raises(ProtocolError, match=r"Camera\.BitDepth: 12 asked, '8' read back"):
        opened(democamera, properties={"BitDepth": 12, "PixelType": "8bit"})


@pytest.mark.parametrize(
    ("name", "words"),
    [("Thermo", "no property 'Thermo'"), ("Mode", "which is no number; name another property")],
)
def test_a_temperature_that_is_none_is_refused(democamera, name, words):
    with pytest.raises(ProtocolError, match=words):
        opened(democamera, temperature=name)


# ---- later


def test_a_camera_in_its_mode_verifies_and_one_that_was_changed_does_not(democamera):
    camera = opened(democamera, properties={"Gain": 2}, roi=(0, 0, 64, 64))
    camera.set_exposure_ms(1.0)
    assert isinstance(camera, KeepsSettings)
    assert isinstance(camera, HasTemperature)
    camera.verify()
    core = democamera.core
    core.setProperty("Camera", "Gain", 3)
    with pytest.raises(ProtocolError, match=r"Camera\.Gain: 2 asked, '3' read back"):
        camera.verify()
    core.setProperty("Camera", "Gain", 2)
    core.setExposure("Camera", 7.0)
    with pytest.raises(ProtocolError, match=r"exposure 1 ms was set, 7 ms read back"):
        camera.verify()
    core.setExposure("Camera", 1.0)
    core.setROI("Camera", 0, 0, 32, 64)
    with pytest.raises(ProtocolError, match=r"region \[0, 0, 64, 64\] was set, \[0, 0, 32, 64\]"):
        camera.verify()


def test_the_buffer_is_one_that_the_frames_fit_in(democamera):
    camera = opened(democamera, pixel_type="16bit", sequence_buffer_mb=16)
    camera.set_exposure_ms(1.0)
    assert np.all(camera.capture(3, timeout_s=TIMEOUT_S).any(axis=(1, 2)))


# ---- when text says what was asked


@pytest.mark.parametrize(
    ("text", "asked", "is_same"),
    [
        ("2", 2, True),
        ("2.0000", 2, True),
        ("2", "2.0", True),
        ("0.3333", 1 / 3, True),
        ("2.4987", 2.5, True),
        ("2.49", 2.5, False),
        ("1001", 1000, False),
        ("1001", "1000", False),
        ("fast", "fast", True),
        ("Fast", "fast", False),
        ("nan", 2, False),
        ("", 0, False),
    ],
)
def test_text_and_number(text, asked, is_same):
    assert same_value(text, asked) is is_same


@given(st.integers(-(10**9), 10**9), st.integers(-(10**9), 10**9))
def test_whole_numbers_are_the_same_only_when_they_are(there, asked):
    assert same_value(f"{there}.0000", asked) is (there == asked)


@given(st.floats(-1e6, 1e6))
def test_what_the_core_prints_of_a_number_is_that_number(asked):
    assert same_value(f"{asked:.4f}", asked)
