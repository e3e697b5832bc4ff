"""What every device of ours promises, on Python devices and on C++ adapters alike.

One suite judges all (`drivers.conformance`); what follows it is what only Micro-Manager could get
wrong, seen from inside its core.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from drivers.conformance import (
    Scope,
    check_camera,
    check_property,
    check_rotation,
    check_selector,
    check_slm,
    check_stage,
    check_xy_stage,
)
from drivers.errors import ConnectionLost, LimitViolation, ProtocolError
from drivers.micromanager import (
    MicroManager,
    MicroManagerCamera,
    MicroManagerProperty,
    MicroManagerRotation,
    MicroManagerSelector,
    MicroManagerSLM,
    MicroManagerStage,
    MicroManagerXYStage,
)

TIMEOUT_S = 20.0  # for a loaded machine; nothing here takes a second
STEP_UM = 0.015  # of the DemoCamera's stages; the virtual ones have none
DEMO_DEVICES = {"Camera": "DCam", "XY": "DXYStage", "Z": "DStage", "Wheel": "DWheel"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    manager: MicroManager
    library: str
    bit_depth: int
    shape: tuple[int, int]


def load_democamera() -> MicroManager:
    from pymmcore_plus import CMMCorePlus

    core = CMMCorePlus()
    for label, adapter in DEMO_DEVICES.items():
        core.loadDevice(label, "DemoCamera", adapter)
        core.initializeDevice(label)
    core.setProperty("Camera", "PixelType", "16bit")
    return MicroManager(core, timeout_s=TIMEOUT_S)


@pytest.fixture(scope="module")
def democamera() -> Iterator[Loaded]:
    manager = load_democamera()
    yield Loaded(manager=manager, library="DemoCamera/D", bit_depth=16, shape=(512, 512))
    manager.close()


@pytest.fixture(scope="module")
def virtual() -> Iterator[Loaded]:
    from drivers.virtual.bench import VirtualBench
    from drivers.virtual.options import PupilMicroscopeOptions

    bench = VirtualBench(PupilMicroscopeOptions())
    manager = MicroManager(bench.core, timeout_s=TIMEOUT_S)
    yield Loaded(
        manager=manager,
        library="drivers.virtual.bench.devices/Virtual",
        bit_depth=12,
        shape=(128, 128),
    )
    manager.close()
    bench.close()


@pytest.fixture(scope="module", params=["virtual", "democamera"])
def loaded(request) -> Loaded:
    return request.getfixturevalue(request.param)


@pytest.fixture
def manager(loaded) -> MicroManager:
    return loaded.manager


@pytest.fixture
def camera(manager) -> MicroManagerCamera:
    camera = MicroManagerCamera(manager, "Camera")
    camera.set_exposure_ms(1.0)
    return camera


@pytest.fixture
def stage(manager) -> MicroManagerStage:
    return MicroManagerStage(manager, "Z")


@pytest.fixture
def xy(manager) -> MicroManagerXYStage:
    return MicroManagerXYStage(manager, "XY")


@pytest.fixture
def slm(virtual) -> MicroManagerSLM:  # the test adapters have no modulator in C++
    return MicroManagerSLM(virtual.manager, "SLM")


@pytest.fixture
def rotation(manager) -> MicroManagerRotation:  # an axis is an axis; only the unit differs
    return MicroManagerRotation(manager, "Z")


@pytest.fixture
def selector(democamera) -> MicroManagerSelector:  # the pupil microscope has no wheel
    return MicroManagerSelector(democamera.manager, "Wheel")


@pytest.fixture
def beads(democamera) -> MicroManagerProperty:
    return MicroManagerProperty(democamera.manager, "Camera", "BeadBrightness")


SUITE = {
    "virtual camera": ("virtual", MicroManagerCamera, ("Camera",), check_camera, {}),
    "virtual stage": ("virtual", MicroManagerStage, ("Z",), check_stage, {}),
    "virtual rotation": ("virtual", MicroManagerRotation, ("Z",), check_rotation, {}),
    "virtual sample stage": (
        "virtual", MicroManagerXYStage, ("XY",), check_xy_stage,
        {"limits_um": ((-30.0, 30.0), (-20.0, 20.0))},
    ),
    "virtual modulator": ("virtual", MicroManagerSLM, ("SLM",), check_slm, {}),
    "virtual property": (
        "virtual", MicroManagerProperty, ("Z", "Position"), check_property, {"tolerance": 1e-6},
    ),
    "C++ camera": ("democamera", MicroManagerCamera, ("Camera",), check_camera, {}),
    "C++ stage": (
        "democamera", MicroManagerStage, ("Z",), check_stage,
        {"limits_um": (-30.0, 30.0), "tolerance_um": STEP_UM},
    ),
    "C++ rotation": (
        "democamera", MicroManagerRotation, ("Z",), check_rotation,
        {"limits_deg": (-30.0, 30.0), "tolerance_deg": STEP_UM},
    ),
    "C++ sample stage": (
        "democamera", MicroManagerXYStage, ("XY",), check_xy_stage,
        {"limits_um": ((-30.0, 30.0), (-20.0, 20.0)), "tolerance_um": STEP_UM},
    ),
    "C++ wheel": ("democamera", MicroManagerSelector, ("Wheel",), check_selector, {}),
    "C++ property": (
        "democamera", MicroManagerProperty, ("Camera", "BeadBrightness"), check_property, {},
    ),
    "C++ property of whole numbers": (
        "democamera", MicroManagerProperty, ("Camera", "BeadDensity"), check_property, {},
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("core", "driver", "names", "check", "limits"), SUITE.values(), ids=SUITE.keys()
)
def test_a_device_passes_every_check_that_applies(
    virtual, democamera, core, driver, names, check, limits
):
    device = driver({"virtual": virtual, "democamera": democamera}[core].manager, *names)
    results = check(device, scope=Scope.SIMULATED, **limits)
    assert [each for each in results if each.status == "failed"] == []
    inapplicable = {"it declares no limits", "it takes fractions"}
    assert {each.came for each in results if each.status == "skipped"} <= inapplicable


# ---- camera


def test_the_camera_says_its_format(camera, loaded):
    assert (camera.shape, camera.bit_depth) == (loaded.shape, loaded.bit_depth)


def test_a_frame_is_uint16_of_the_cameras_shape(camera, loaded):
    frame = camera.snap(timeout_s=TIMEOUT_S)
    assert frame.dtype == np.uint16
    assert frame.shape == loaded.shape
    assert 0 < frame.max() < 2**loaded.bit_depth


def test_the_next_snap_does_not_change_a_kept_frame(camera, manager):
    kept = camera.snap(timeout_s=TIMEOUT_S)
    before = kept.copy()
    assert not np.shares_memory(kept, manager.call("buffer", manager.core.getImage))
    assert not np.array_equal(camera.snap(timeout_s=TIMEOUT_S), before)
    np.testing.assert_array_equal(kept, before)


@pytest.mark.parametrize("frames", [1, 3])
def test_capture_returns_exactly_the_frames_asked_for(camera, loaded, frames):
    stack = camera.capture(frames, timeout_s=TIMEOUT_S)
    assert stack.dtype == np.uint16
    assert stack.shape == (frames, *loaded.shape)
    assert stack.max(axis=(1, 2)).all()
    assert len({frame.tobytes() for frame in stack}) == frames


@pytest.mark.parametrize("frames", [0, -1])
def test_no_frames_cannot_be_captured(camera, frames):
    with pytest.raises(LimitViolation, match=f"Camera: {frames} frames"):
        camera.capture(frames, timeout_s=TIMEOUT_S)


def test_the_exposure_read_back_is_the_one_set(camera, manager):
    assert camera.set_exposure_ms(2.5) == 2.5
    assert manager.core.getExposure("Camera") == 2.5


@pytest.mark.parametrize(
    "exposure_ms", [math.nan, math.inf, -math.inf, -1.0, 0.0, 10_001.0], ids=str
)
def test_an_exposure_beyond_the_limits_is_refused_and_not_set(camera, manager, exposure_ms):
    with pytest.raises(LimitViolation, match=r"Camera: exposure .* ms asked"):
        camera.set_exposure_ms(exposure_ms)
    assert manager.core.getExposure("Camera") == 1.0


def test_the_longest_exposure_is_allowed_and_no_longer_one(camera):
    _, longest_ms = camera.exposure_limits_ms
    assert camera.set_exposure_ms(longest_ms) == longest_ms
    with pytest.raises(LimitViolation, match=f"to {longest_ms:g} ms allowed"):
        camera.set_exposure_ms(longest_ms * 1.001)


@pytest.mark.parametrize("exposure_ms", [math.nan, math.inf, -1.0, 0.0], ids=str)
def test_a_camera_without_limits_still_refuses_what_is_no_time(manager, mocker, exposure_ms):
    mocker.patch.object(manager, "property_limits", return_value=None)
    camera = MicroManagerCamera(manager, "Camera")
    with pytest.raises(LimitViolation, match="Camera: exposure"):
        camera.set_exposure_ms(exposure_ms)


def test_making_safe_stops_a_running_sequence(camera, manager):
    manager.call("live", lambda: manager.core.startContinuousSequenceAcquisition(0.0))
    assert manager.core.isSequenceRunning()
    camera.make_safe()
    assert not manager.core.isSequenceRunning()


# ---- stages


@pytest.mark.parametrize("target_um", [math.nan, math.inf, -math.inf], ids=str)
@pytest.mark.parametrize("act", ["check", "start"])
def test_what_is_no_position_is_refused(stage, xy, target_um, act):
    before = stage.read_back(), xy.read_back()
    with pytest.raises(LimitViolation, match=r"Z: position .* um asked"):
        getattr(stage, act)(target_um)
    with pytest.raises(LimitViolation, match=r"XY: position .* um asked"):
        getattr(xy, act)((0.0, target_um))
    assert (stage.read_back(), xy.read_back()) == before


@pytest.mark.parametrize("target_um", [-100.1, 100.1])
@pytest.mark.parametrize("act", ["check", "start"])
def test_a_position_beyond_the_declared_travel_is_refused(virtual, target_um, act):
    stage = MicroManagerStage(virtual.manager, "Z")  # the only one that declares its travel
    assert stage.limits_um == (-100.0, 100.0)
    with pytest.raises(LimitViolation, match="the device travels -100 to 100 um"):
        getattr(stage, act)(target_um)


# ---- modulator


def test_the_modulator_shows_what_it_was_given(slm, virtual):
    pattern = np.arange(slm.shape[0] * slm.shape[1]).reshape(slm.shape).astype(np.uint8)
    slm.start(pattern)
    slm.wait(timeout_s=TIMEOUT_S)
    np.testing.assert_array_equal(slm.read_back(), pattern)
    np.testing.assert_array_equal(virtual.manager.core.getSLMImage("SLM"), pattern)


def test_a_safe_modulator_is_flat(slm, virtual):
    slm.start(np.full(slm.shape, 7, np.uint8))
    slm.make_safe()
    assert not virtual.manager.core.getSLMImage("SLM").any()
    assert not slm.read_back().any()


# ---- rotation, selector, property


def test_a_rotation_stage_speaks_of_degrees(rotation):
    rotation.start(4.5)
    rotation.wait(timeout_s=TIMEOUT_S)
    assert rotation.read_back() == pytest.approx(4.5, abs=STEP_UM)
    assert rotation.describe().kind == "rotation"
    with pytest.raises(LimitViolation, match="Z: position nan deg asked"):
        rotation.check(math.nan)


def test_a_selector_names_its_positions(selector):
    assert selector.labels == tuple(f"State-{i}" for i in range(10))
    assert selector.describe().limits == {"position": (0.0, 9.0)}


@pytest.mark.parametrize("position", [-1, 10, 2.0, 2.5, True, "State-2", math.nan], ids=str)
@pytest.mark.parametrize("act", ["check", "start"])
def test_what_is_no_position_of_a_selector_is_refused(selector, position, act):
    before = selector.read_back()
    with pytest.raises(LimitViolation, match=r"Wheel: position .* asked, there are 0 to 9 \(State"):
        getattr(selector, act)(position)
    assert selector.read_back() == before


@pytest.mark.parametrize("value", [2.5, 1.0])
def test_a_property_takes_its_value(beads, democamera, value):
    beads.start(value)
    beads.wait(timeout_s=TIMEOUT_S)
    assert beads.read_back() == value
    assert float(democamera.manager.core.getProperty("Camera", "BeadBrightness")) == value


@pytest.mark.parametrize("value", [math.nan, math.inf, -1e6, 1e6], ids=str)
@pytest.mark.parametrize("act", ["check", "start"])
def test_a_property_beyond_its_limits_is_refused_and_not_set(beads, value, act):
    before = beads.read_back()
    with pytest.raises(
        LimitViolation, match=r"Camera\.BeadBrightness: .* asked, the device allows"
    ):
        getattr(beads, act)(value)
    assert beads.read_back() == before


def test_a_property_of_whole_numbers_refuses_fractions(democamera):
    density = MicroManagerProperty(democamera.manager, "Camera", "BeadDensity")
    assert density.is_integer
    density.start(120.0)
    assert density.read_back() == 120.0
    with pytest.raises(LimitViolation, match="whole numbers only"):
        density.start(120.5)


def test_a_property_with_a_list_of_values_takes_no_other(democamera):
    binning = MicroManagerProperty(democamera.manager, "Camera", "Binning")
    with pytest.raises(LimitViolation, match="takes one of 1, 2, 4, 8"):
        binning.start(3.0)


def test_a_property_of_a_python_device_takes_its_value(virtual):
    position = MicroManagerProperty(virtual.manager, "Z", "Position")
    assert position.limits == (-100.0, 100.0)
    position.start(2.25)
    position.wait(timeout_s=TIMEOUT_S)
    assert position.read_back() == pytest.approx(2.25)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Vergence", r"Camera: no property 'Vergence'; there is .*Exposure"),
        ("Mode", r"Camera\.Mode is of type String; name a numeric property"),
        ("CCDTemperature RO", r"can be read but not set"),
    ],
)
def test_a_property_that_is_no_number_to_set_is_refused(democamera, name, words):
    with pytest.raises(ProtocolError, match=words):
        MicroManagerProperty(democamera.manager, "Camera", name)


# ---- all devices


@pytest.mark.parametrize(
    ("fixture", "kind", "label", "adapters"),
    [
        pytest.param("camera", "camera", "Camera", ("Cam", "Camera"), id="camera"),
        pytest.param("stage", "stage", "Z", ("Stage", "Focus"), id="stage"),
        pytest.param("xy", "xy_stage", "XY", ("XYStage", "XY"), id="sample stage"),
    ],
)
def test_a_device_says_what_it_is(request, loaded, fixture, kind, label, adapters):
    said = request.getfixturevalue(fixture).describe()
    assert (said.name, said.kind) == (label, kind)
    assert said.identity in {loaded.library + adapter for adapter in adapters}
    assert all(type(key) is str and type(value) is str for key, value in said.properties.items())


def test_the_description_of_a_camera_holds_its_limits_and_its_settings(camera):
    said = camera.describe()
    assert said.limits == {"exposure_ms": camera.exposure_limits_ms}
    assert float(said.properties["Exposure"]) == 1.0


@pytest.mark.parametrize(
    "opener", [MicroManagerCamera, MicroManagerSLM, MicroManagerStage, MicroManagerXYStage]
)
def test_a_wrong_label_is_answered_with_the_labels_there_are(manager, opener):
    with pytest.raises(ConnectionLost, match=r"labelled 'Kamera'; loaded: .*Camera.*XY.*Z"):
        opener(manager, "Kamera")


@pytest.mark.parametrize(
    ("opener", "label", "words"),
    [
        (MicroManagerCamera, "Z", "'Z' is a StageDevice, not a Camera"),
        (MicroManagerSLM, "Camera", "'Camera' is a CameraDevice, not a SLM"),
        (MicroManagerStage, "XY", "'XY' is a XYStageDevice, not a Stage"),
        (MicroManagerXYStage, "Z", "'Z' is a StageDevice, not a XYStage"),
        (MicroManagerSelector, "Z", "'Z' is a StageDevice, not a State"),
    ],
)
def test_a_device_of_another_kind_is_refused_by_what_it_is(manager, opener, label, words):
    with pytest.raises(ProtocolError, match=words):
        opener(manager, label)


def test_a_core_closed_twice_is_closed_without_complaint(caplog):
    manager = load_democamera()
    for _ in range(2):
        manager.close()
    assert "closing Micro-Manager" not in caplog.text


def test_a_closed_core_says_so_at_once():
    manager = load_democamera()
    camera = MicroManagerCamera(manager, "Camera")
    manager.close()
    with pytest.raises(ConnectionLost, match="Camera: snap: the Micro-Manager core is closed"):
        camera.snap(timeout_s=TIMEOUT_S)
