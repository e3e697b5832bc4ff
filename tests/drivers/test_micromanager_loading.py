"""A core from a list of devices: in order, set up before initialisation, every error named."""

from __future__ import annotations

import pytest

from drivers.errors import ConnectionLost, InstrumentReported
from drivers.micromanager import (
    DeviceEntry,
    MicroManager,
    MicroManagerCamera,
    MicroManagerSelector,
    load_devices,
)


def demo(name, **entry):
    return DeviceEntry(adapter="DemoCamera", name=name, **entry)


@pytest.fixture
def load():
    managers = []

    def load(**devices):
        managers.append(load_devices(devices))
        return managers[-1]

    yield load
    for manager in managers:
        manager.close()


def test_a_list_of_devices_is_loaded_in_its_order_and_set_up(load):
    manager = load(
        Wheel=demo("DStateDevice", properties={"Number of positions": 4, "Label": "State-2"}),
        Camera=demo(
            "DCam",
            properties={
                "PixelType": "16bit", "BitDepth": 12, "MaximumExposureMs": 500.0, "Binning": 4,
            },
        ),
    )  # fmt: skip
    assert manager.labels() == ("Wheel", "Camera")
    wheel = MicroManagerSelector(manager, "Wheel")
    assert (len(wheel.labels), wheel.read_back()) == (4, 2)
    camera = MicroManagerCamera(manager, "Camera")
    assert (camera.shape, camera.bit_depth) == ((128, 128), 12)
    assert camera.exposure_limits_ms == (0.0, 500.0)


def test_a_device_hangs_on_its_hub(load):
    manager = load(Hub=demo("DHub"), Camera=demo("DCam", hub="Hub"))
    assert manager.core.getParentLabel("Camera") == "Hub"


@pytest.mark.parametrize(
    ("devices", "words"),
    [
        ({"Camera": DeviceEntry(adapter="Hamamatsu", name="Cam")},
         r"Camera: load Cam of Hamamatsu: [\s\S]*in .* there is .*DemoCamera.*micromanager.adapt"),
        ({"Camera": demo("Orca")}, r"Camera: load Orca of DemoCamera.*DemoCamera has .*DCam"),
        ({"Camera": demo("DCam", properties={"Gain": 99})},
         r"Camera\.Gain: 99 asked; the device allows -5 to 8"),
        ({"Camera": demo("DCam", properties={"Gian": 1})},
         r"Camera\.Gian: 1 asked; there is no such property; there is .*Gain"),
        ({"Wheel": demo("DStateDevice", properties={"Number of positions": "many"})},
         r"Wheel\.Number of positions: 'many' asked; it takes a number"),
        ({"Camera": demo("DCam", properties={"BitDepth": 12, "PixelType": "16bit"})},
         r"Camera\.BitDepth: 12 asked, '16' read back"),
    ],
    ids=["no adapter", "no device", "limits", "no property", "before", "changed by another"],
)  # fmt: skip
def test_what_is_wrong_with_a_device_is_said_with_its_name(devices, words):
    with pytest.raises(ConnectionLost, match=words):
        load_devices(devices)


def test_a_device_that_does_not_initialise_is_named(mocker):
    really = MicroManager.call

    def call(self, what, function, **limits):
        if what == "Z: initialise":
            raise InstrumentReported(f"{what}: Micro-Manager reports: no answer on COM3")
        return really(self, what, function, **limits)

    mocker.patch.object(MicroManager, "call", autospec=True, side_effect=call)
    with pytest.raises(ConnectionLost, match=r"Z: initialise: .*no answer on COM3"):
        load_devices({"Z": demo("DStage")})


def test_a_folder_without_adapters_is_named(tmp_path):
    with pytest.raises(ConnectionLost, match=f"in {tmp_path} there is no adapter"):
        load_devices({"Camera": demo("DCam")}, adapter_paths=[tmp_path])
