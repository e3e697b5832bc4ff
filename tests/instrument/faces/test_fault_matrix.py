"""Everything that goes wrong on a Micro-Manager bench, on both kinds of core: one row a fault.

`infoloop run` is called as a person calls it, but in this process, so that the fault can be made at
a chosen exposure of the second trial. The light is an LED driver behind a real socket. Whatever the
fault: a typed error that names the device, the light read back off, no thread left alive
(`tests/conftest.py`), the right exit code, and a ledger that opens with every acknowledged trial.
A killed process has rows of its own below. docs/concepts/safety.md shows the table.
"""

import threading
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from drivers import (
    DeviceTimeout,
    FrameLoss,
    InstrumentReported,
    LimitViolation,
)
from drivers.micromanager import MicroManagerCamera
from drivers.virtual import travel
from drivers.virtual.bench import VirtualCamera
from drivers.virtual.scpi_server import ScpiServer, VirtualLed
from instrument.bench import bench as bench_module
from instrument.bench import motion
from instrument.bench.connect import ConnectError, connect
from instrument.bench.watchdog import WatchdogTripped
from instrument.campaign import session as run_module
from instrument.campaign.engine import Campaign
from instrument.campaign.ledger import Ledger
from instrument.faces.cli import app

FAILED, BAD_INPUT, UNSAFE = 1, 2, 3
OBJECTS = 9
SECOND_TRIAL = (OBJECTS + 2) + 2 + 4  # exposures: two dark ones a trial, then one an object
SHORT = [
    "search.trials=4", "search.confirm.repeats=1", f"objects.stage_grid.count={OBJECTS}",
    "score.patch=8", "score.density=gaussian", "safety.self_check_repeats=0",
    "safety.watchdog_s=30", "safety.guardian=false", "safety.recover.attempts=0",
]  # fmt: skip
KNOWN_NOISE = {
    "virtual": "noise={gain: 2.17, offset: 100, read_noise: 1.7}",
    "C++": "noise={gain: 0.01, offset: 0, read_noise: 30, bit_depth: 12}",
}


@dataclass
class Scene:
    """What a fault may use: the running bench, a monkeypatch, and an event that is never set."""

    kind: str
    bench: object
    patch: pytest.MonkeyPatch
    hang: threading.Event

    @property
    def core(self):
        return self.bench.camera._core


@dataclass
class Fault:
    """A row of the matrix.

    `settings` are of the bench file; `at` is called before an exposure of the second trial, `first`
    as soon as the bench is connected.
    """

    error: type
    says: str
    exit_code: int = FAILED
    on: tuple[str, ...] = ("virtual", "C++")
    at: object = None
    first: object = None
    settings: list = field(default_factory=list)
    trials_kept: int = 1


# ---- how each fault is made


def raises(scene):
    def broken(_camera, _buffer):
        raise OSError("cable pulled")

    scene.patch.setattr(VirtualCamera, "snap", broken)


def is_unplugged(scene):
    scene.core.unloadDevice("Camera")


def hangs(scene):
    if scene.kind == "virtual":
        scene.patch.setattr(VirtualCamera, "snap", lambda *_: scene.hang.wait() and {})
    else:
        scene.core.setExposure("Camera", 3000.0)  # behind our back: C++ does not return for 3 s


def loses_a_frame(scene):
    start = VirtualCamera.start_sequence

    def empty_handed(camera, n, get_buffer):
        return start(camera, 0, get_buffer)

    scene.patch.setattr(VirtualCamera, "start_sequence", empty_handed)


def roi_changes(scene):
    scene.core.setROI("Camera", 0, 0, 64, 32)


def loses_frames_of_a_sequence(scene):
    start = scene.core.startSequenceAcquisition
    scene.patch.setattr(
        scene.core, "startSequenceAcquisition", lambda n, *rest: start(n - 3, *rest)
    )


def overflows(scene):
    core, look = scene.core, MicroManagerCamera._require_format
    core.setCircularBufferMemoryFootprint(1)  # MB

    def slow(camera, frame):
        while core.isSequenceRunning():
            pass  # the core has no event for it; pytest's time limit is the bound
        look(camera, frame)

    scene.patch.setattr(MicroManagerCamera, "_require_format", slow)


def stage_never_arrives(scene):
    scene.patch.setattr(motion, "MOVE_TIMEOUT_S", 0.002)
    if scene.kind == "virtual":
        scene.patch.setattr(travel, "time", SimpleNamespace(perf_counter=lambda: 1e9))


def slm_is_asked(pattern):
    def ask(scene):
        knob = scene.bench._knobs["pupil"]
        wrong = SimpleNamespace(parameter=knob.parameter, target=lambda _components: pattern)
        scene.bench._knobs["pupil"] = wrong

    return ask


def core_is_reset(scene):
    scene.core.unloadAllDevices()


CALIBRATING = ["noise={calibrate: quick}"]
MATRIX = {
    "camera raises": Fault(
        InstrumentReported, r"Camera: snap: .*cable pulled", on=("virtual",), at=raises
    ),
    "camera is unplugged": Fault(
        InstrumentReported, r"Camera: snap: ", UNSAFE, on=("C++",), at=is_unplugged
    ),
    "camera hangs": Fault(
        WatchdogTripped, r"Camera: an exposure .*no sign of life", UNSAFE, at=hangs,
        settings=["safety.watchdog_s=2"],
    ),
    "camera loses a frame": Fault(
        FrameLoss, "Camera: 1 frame asked, none came", on=("virtual",), at=loses_a_frame
    ),
    "camera's ROI is changed": Fault(FrameLoss, "ROI, binning or pixel type", at=roi_changes),
    "camera loses frames of a sequence": Fault(
        FrameLoss, r"Camera: \d+ frames asked, \d+ came", first=loses_frames_of_a_sequence,
        settings=CALIBRATING, trials_kept=0,
    ),
    "camera overflows": Fault(
        FrameLoss, r"Camera: \d+ frames asked, \d+ came", first=overflows,
        settings=CALIBRATING, trials_kept=0,
    ),
    "stage times out": Fault(
        DeviceTimeout, r"XY: still busy after 0\.002 s", at=stage_never_arrives
    ),
    "SLM gets 300": Fault(
        LimitViolation, r"SLM: a pattern of int64 \(64, 64\) asked", on=("virtual",),
        at=slm_is_asked(np.full((64, 64), 300)), trials_kept=2,
    ),
    "SLM gets NaN": Fault(
        LimitViolation, r"SLM: a pattern of float64", on=("virtual",),
        at=slm_is_asked(np.full((64, 64), np.nan)), trials_kept=2,
    ),
    "SLM gets a wrong shape": Fault(
        LimitViolation, r"SLM: a pattern of uint8 \(32, 64\)", on=("virtual",),
        at=slm_is_asked(np.zeros((32, 64), np.uint8)), trials_kept=2,
    ),
    "exposure beyond limits": Fault(
        ConnectError, r"Camera: exposure 20000 ms asked", BAD_INPUT,
        settings=["bench.roles.camera.exposure_ms=20000"], trials_kept=0,
    ),
    "core is reset": Fault(InstrumentReported, r"Camera", UNSAFE, at=core_is_reset),
}  # fmt: skip
CELLS = [
    pytest.param(fault, kind, id=f"{name}, {kind}")
    for name, fault in MATRIX.items()
    for kind in fault.on
]


# ---- the run


@pytest.fixture
def led():
    led = VirtualLed()
    with ScpiServer(led) as server:
        led.server = server
        yield led


@pytest.fixture
def hang():
    event = threading.Event()
    yield event
    event.set()


def command(kind, cpp_config, led, run_dir, settings):
    port = led.server.port
    where = {"virtual": [f"bench.micromanager.led=127.0.0.1:{port}"], "C++": []}[kind]
    address = f"bench.visa.led.address=TCPIP::127.0.0.1::{port}::SOCKET"
    config = {"virtual": "demo.yaml", "C++": str(cpp_config)}[kind]
    every = [*SHORT, KNOWN_NOISE[kind], address, *where, *settings]
    options = [word for setting in every for word in ("--set", setting)]
    return ["run", config, "--output", str(run_dir), *options]


def inject(fault, kind, monkeypatch, hang, caught):
    """Make the fault where the row wants it, and keep the error that ends the run."""
    scenes = []

    def connect_and_see(config):
        try:
            bench = connect(config)
        except Exception as error:
            caught.append(error)
            raise
        scenes.append(Scene(kind, bench, monkeypatch, hang))
        if fault.first is not None:
            fault.first(scenes[0])
        return bench

    exposures = iter(range(1, 10**6))
    snap = MicroManagerCamera.snap

    def snap_or_fail(camera, *, timeout_s):
        if next(exposures) == SECOND_TRIAL and fault.at is not None:
            fault.at(scenes[0])
        return snap(camera, timeout_s=timeout_s)

    def keeping(work):
        def wrapped(*args, **keywords):
            try:
                return work(*args, **keywords)
            except Exception as error:
                caught.append(error)
                raise

        return wrapped

    monkeypatch.setattr(run_module, "connect", connect_and_see)
    monkeypatch.setattr(run_module, "calibrate", keeping(run_module.calibrate))
    monkeypatch.setattr(Campaign, "run", keeping(Campaign.run))
    monkeypatch.setattr(MicroManagerCamera, "snap", snap_or_fail)
    monkeypatch.setattr(bench_module, "AFTER_THE_WATCHDOG_S", 0.2)


@pytest.mark.parametrize(("fault", "kind"), CELLS)
def test_a_fault_ends_typed_dark_and_on_record(
    fault, kind, cpp_config, led, hang, tmp_path, monkeypatch
):
    caught = []
    inject(fault, kind, monkeypatch, hang, caught)
    run_dir = tmp_path / "run"
    asked = command(kind, cpp_config, led, run_dir, fault.settings)
    result = CliRunner().invoke(app, asked)

    assert result.exit_code == fault.exit_code, result.output
    assert type(caught[0]) is fault.error, caught
    with pytest.raises(fault.error, match=fault.says):
        raise caught[0]
    assert led.optical_power_mw() == 0.0
    with Ledger.read(run_dir) as ledger:
        assert ledger.meta()["status"] == "failed"
        assert str(caught[0]) in ledger.meta()["why"]
        scored = [row for row in ledger.trials() if row.state == "scored"]
        assert len(scored) >= fault.trials_kept
        for row in scored:
            assert ledger.load_batch(row).shape[0] == OBJECTS  # it verifies the checksum


def test_without_a_fault_the_same_run_finishes_with_light(
    cpp_config, led, hang, tmp_path, monkeypatch
):
    """The matrix would prove nothing on a bench that fails anyway, or whose light is never on."""
    lit = []
    snap = MicroManagerCamera.snap

    def look(camera, *, timeout_s):
        lit.append(led.optical_power_mw() > 0)
        return snap(camera, timeout_s=timeout_s)

    monkeypatch.setattr(MicroManagerCamera, "snap", look)
    for kind in ("virtual", "C++"):
        lit.clear()
        run_dir = tmp_path / kind
        result = CliRunner().invoke(app, command(kind, cpp_config, led, run_dir, []))
        assert result.exit_code == 0, result.output
        assert lit[: OBJECTS + 2] == [False] * 2 + [True] * OBJECTS
        assert led.optical_power_mw() == 0.0
