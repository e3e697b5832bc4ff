"""A core from a configuration file, what is on its search path, and how a process leaves it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest
from pymmcore_plus import CMMCorePlus

from drivers.errors import ConnectionLost, InstrumentReported
from drivers.micromanager import MicroManager, MicroManagerCamera

ROOT = Path(__file__).parents[2]
DEMO_CONFIG = """\
Property,Core,Initialize,0
Device,Camera,DemoCamera,DCam
Device,XY,DemoCamera,DXYStage
Device,Z,DemoCamera,DStage
Property,Core,Initialize,1
Property,Camera,PixelType,{pixel_type}
"""


@pytest.fixture
def write_config(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "bench.cfg"
        path.write_text(text)
        return path

    return write


# ---- configuration files


def test_a_configuration_file_loads_its_devices(write_config):
    manager = MicroManager.from_config(write_config(DEMO_CONFIG.format(pixel_type="16bit")))
    labels = manager.labels()
    bit_depth = MicroManagerCamera(manager, "Camera").bit_depth
    manager.close()
    assert labels == ("Camera", "XY", "Z")
    assert bit_depth == 16


def test_a_missing_configuration_file_is_named(tmp_path):
    missing = tmp_path / "nowhere.cfg"
    with pytest.raises(ConnectionLost, match=r"nowhere\.cfg: no such file; write one with"):
        MicroManager.from_config(missing)


def test_an_unknown_adapter_is_answered_with_the_search_path(write_config):
    config = write_config("Device,Camera,NoSuchVendor,Cam\nProperty,Core,Initialize,1\n")
    folder = CMMCorePlus().getDeviceAdapterSearchPaths()[0]
    with pytest.raises(ConnectionLost, match="NoSuchVendor") as caught:
        MicroManager.from_config(config)
    assert f"search path for adapters: {folder}" in str(caught.value)
    assert "set bench.micromanager.adapters" in str(caught.value)


def test_a_folder_of_adapters_without_the_one_asked_for_is_named(write_config, tmp_path):
    with pytest.raises(ConnectionLost) as caught:
        MicroManager.from_config(
            write_config(DEMO_CONFIG.format(pixel_type="16bit")), adapter_paths=[tmp_path]
        )
    assert f"search path for adapters: {tmp_path}" in str(caught.value)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("Property,Camera,NoSuchProperty,1", "NoSuchProperty"),
        ("Property,Camera,PixelType,7bit", "7bit"),
        ("Property,Kamera,PixelType,8bit", "Kamera"),
        ("Device,Other,DemoCamera,NoSuchDevice", "NoSuchDevice"),
    ],
)
def test_a_bad_line_of_a_configuration_is_quoted(write_config, line, words):
    with pytest.raises(ConnectionLost, match=rf"bench\.cfg.*{line}[\s\S]*{words}"):
        MicroManager.from_config(write_config(DEMO_CONFIG.format(pixel_type="16bit") + line + "\n"))


def test_a_core_without_devices_says_that_none_is_loaded(write_config):
    manager = MicroManager.from_config(write_config("# nothing\n"))
    with pytest.raises(ConnectionLost, match="labelled 'Camera'; loaded: none"):
        manager.require("Camera", "camera")
    manager.close()


def test_a_colour_camera_is_refused_with_the_remedy(write_config):
    manager = MicroManager.from_config(write_config(DEMO_CONFIG.format(pixel_type="32bitRGB")))
    with pytest.raises(InstrumentReported, match="set PixelType to 8bit or 16bit"):
        MicroManagerCamera(manager, "Camera")
    manager.close()


def test_an_8_bit_camera_gives_16_bit_frames_of_8_bits(write_config):
    manager = MicroManager.from_config(write_config(DEMO_CONFIG.format(pixel_type="8bit")))
    camera = MicroManagerCamera(manager, "Camera")
    camera.set_exposure_ms(1.0)
    frame = camera.snap(timeout_s=20)
    manager.close()
    assert camera.bit_depth == 8
    assert (frame.dtype, frame.max() < 256) == ("uint16", True)


# ---- leaving the process

PATIENCE_S = 240  # for five interpreters that import JAX on a loaded machine; 10 s on a quiet one

_VIRTUAL = """\
from drivers.virtual.worlds import pupil as world
from drivers.micromanager import MicroManager, MicroManagerCamera
from drivers.virtual.bench import VirtualBench
from drivers.virtual.options import PupilMicroscopeOptions
world.SAMPLE_SIDE = 256
bench = VirtualBench(PupilMicroscopeOptions())
camera = MicroManagerCamera(MicroManager(bench.core), "Camera")
"""
_DEMOCAMERA = """\
import sys
from pathlib import Path
from drivers.micromanager import MicroManager, MicroManagerCamera
camera = MicroManagerCamera(MicroManager.from_config(Path(sys.argv[1])), "Camera")
"""
_SNAP = "print(camera.snap(timeout_s=60).dtype)\n"


def leave(script: str, *arguments: object, processes: int) -> list[tuple[int, str]]:
    """Run `script` in processes side by side; (exit status, what it wrote) of each."""
    command = [sys.executable, "-W", "error", "-c", script, *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    running = []
    with contextlib.ExitStack() as stack:
        for _ in range(processes):
            running.append(stack.enter_context(subprocess.Popen(command, cwd=ROOT, **pipes)))
            stack.callback(running[-1].kill)  # one that hangs must not outlive the test
        wrote = [process.communicate(timeout=PATIENCE_S)[0] for process in running]
        return list(zip((process.wait() for process in running), wrote, strict=True))


@pytest.mark.timeout(PATIENCE_S + 20)
def test_a_process_may_leave_the_virtual_bench_open():
    """The core's notification thread aborts half of all processes that do not silence it."""
    assert leave(_VIRTUAL + _SNAP, processes=5) == [(0, "uint16\n")] * 5


@pytest.mark.timeout(PATIENCE_S + 20)
def test_a_process_may_leave_c_plus_plus_devices_open(write_config):
    config = write_config(DEMO_CONFIG.format(pixel_type="16bit"))
    assert leave(_DEMOCAMERA + _SNAP, config, processes=5) == [(0, "uint16\n")] * 5


_HANG = """\
import threading
from drivers.errors import DeviceTimeout
bench.core.snapImage = threading.Event().wait
try:
    camera.snap(timeout_s=0.1)
except DeviceTimeout as error:
    print(error)
"""
_EXPOSE_FOR_LONG = """\
from drivers.errors import DeviceTimeout
camera._core.setExposure("Camera", 10_000.0)  # behind the adapter's back: it waits for 10 ms
try:
    camera.snap(timeout_s=0.1)
except DeviceTimeout as error:
    print(error)
"""


@pytest.mark.timeout(PATIENCE_S + 20)
def test_a_process_can_leave_a_core_that_never_returns():
    [(status, wrote)] = leave(_VIRTUAL + _HANG, processes=1)
    assert wrote.startswith("Camera: snap: no return from Micro-Manager within")
    assert status == 0


@pytest.mark.timeout(PATIENCE_S + 20)
def test_a_process_can_leave_a_c_plus_plus_device_that_does_not_return(write_config):
    config = write_config(DEMO_CONFIG.format(pixel_type="16bit"))
    [(status, wrote)] = leave(_DEMOCAMERA + _EXPOSE_FOR_LONG, config, processes=1)
    assert wrote.startswith("Camera: snap: no return from Micro-Manager within")
    assert status == 0
