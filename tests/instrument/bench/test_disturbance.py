"""A device that something else moves during a batch is noticed, on Python and C++ devices."""

import threading

import pytest

from drivers import ProtocolError
from drivers.events import HardwareEvent
from drivers.virtual.worlds import pupil
from instrument.bench.acquisition import capture_batch, check_batch
from instrument.bench.connect import connect
from instrument.bench.timing import Stopwatch
from instrument.config import parse_config
from tests.instrument.fakes import make_bench, make_config, merged

PATIENCE_S = 20.0  # for a notification; it takes a millisecond
SYSTEM = """Property,Core,Initialize,0
Device,Camera,DemoCamera,DCam
Device,XY,DemoCamera,DXYStage
Device,Z,DemoCamera,DStage
Device,Wheel,DemoCamera,DWheel
Device,Lens,DemoCamera,DCam
Property,Core,Initialize,1
Property,Core,Camera,Camera
Property,Camera,PixelType,16bit
Property,Camera,Binning,8
"""
ROLES = {
    "camera": {"device": "Camera", "exposure_ms": 2, "properties": {"Gain": 2}},
    "sample": {"device": "XY", "limits_um": [[-500, 500], [-500, 500]]},
    "focus": {"device": "Z", "limits_um": [-50, 50]},
    "filters": {"device": "Wheel", "kind": "selector"},
    "iris": {"device": "Lens", "property": "StripeWidth", "limits": [0.5, 4], "tolerance": 0.01},
}
RAW = {
    "bench": {"micromanager": {"config": "bench.cfg"}, "roles": ROLES},
    "objects": {"stage_grid": {"count": 2, "spacing_um": 30}},
    "design": {
        "focus": {"role": "focus", "bounds_um": [-10, 10], "start_um": 0},
        "width": {"role": "iris", "bounds": [1, 3], "start": 2},
    },
    "noise": {"gain": 0.01, "offset": 0, "read_noise": 30, "bit_depth": 16},
}
VIRTUAL = {
    "bench": {
        "micromanager": {"virtual": "pupil_microscope"},
        "roles": {name: ROLES[name] for name in ("sample", "focus")}
        | {"camera": {"device": "Camera", "exposure_ms": 2}},
    },
    "design": {"focus": RAW["design"]["focus"]},
}
POSITIONS = ((0.0, 0.0), (30.0, 0.0))


@pytest.fixture(autouse=True)
def _small_sample(monkeypatch):
    monkeypatch.setattr(pupil, "SAMPLE_SIDE", 256)


def compiled(tmp_path, changes=None):
    (tmp_path / "bench.cfg").write_text(SYSTEM)
    return parse_config(merged(RAW, changes or {}), source="bench.yaml", folder=tmp_path)


def python(tmp_path, changes=None):
    raw = {**RAW, **VIRTUAL}
    return parse_config(merged(raw, changes or {}), source="bench.yaml", folder=tmp_path)


def core_of(bench):
    return bench.camera._manager.core


def batch_with(bench, act):
    """A batch during whose first frame `act(core)` happens behind the bench's back."""
    space = bench.space()
    bench.apply(space.start, space=space, stopwatch=Stopwatch())

    def on_frame(index, _frame):
        if index == 0:
            act(core_of(bench))

    return capture_batch(bench, POSITIONS, stopwatch=Stopwatch(), on_frame=on_frame)


def move_z(core):
    core.setPosition("Z", 7.5)
    core.waitForDevice("Z")


@pytest.mark.parametrize("make", [compiled, python])
@pytest.mark.parametrize("policy", ["fail", "mark"])
def test_a_stage_moved_behind_our_back_is_noticed(tmp_path, make, policy):
    with connect(make(tmp_path, {"safety": {"on_disturbance": policy}})) as bench:
        batch = batch_with(bench, move_z)
        verdict = check_batch(batch, bench, expected_black_adu=0)
        first = batch.disturbances[0]
        assert first.is_lasting
        assert first.text.startswith("Z (role focus): 7.5 after the last frame, 0 when it was set")
        assert first.text in batch.record()["disturbances"]
        assert (verdict.refused == first.text) is (policy == "fail")
        assert (first.text in verdict.warnings) is (policy == "mark")
        bench.apply(bench.space().start, space=bench.space(), stopwatch=Stopwatch())
        assert batch_with(bench, lambda _core: None).disturbances == ()  # the next one is clean


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda core: core.setState("Wheel", 3), "Wheel (role filters): 3 after the last frame"),
        (lambda core: core.setProperty("Lens", "StripeWidth", 3.0),
         "Lens (role iris): 3 after the last frame, 2 when it was set"),
    ],
    ids=["selector", "property"],
)  # fmt: skip
def test_whatever_is_moved_is_noticed_whether_a_design_sets_it_or_not(tmp_path, act, words):
    with connect(compiled(tmp_path)) as bench:
        lasting = [d.text for d in batch_with(bench, act).disturbances if d.is_lasting]
    assert len(lasting) == 1
    assert lasting[0].startswith(words)


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda core: core.setProperty("Camera", "Gain", 3), r"Camera\.Gain: 2 asked, '3' read"),
        (lambda core: core.setExposure("Camera", 9.0), "exposure 2 ms was set, 9 ms read back"),
    ],
    ids=["gain", "exposure"],
)
def test_a_camera_in_another_mode_ends_the_run(tmp_path, act, words):
    with connect(compiled(tmp_path)) as bench, pytest.raises(ProtocolError, match=words):
        batch_with(bench, act)


def test_a_python_camera_whose_exposure_was_changed_ends_the_run(tmp_path):
    def longer(core):
        core.setExposure("Camera", 9.0)

    with connect(python(tmp_path)) as bench, pytest.raises(ProtocolError, match="exposure 2 ms"):
        batch_with(bench, longer)


def test_a_stage_that_came_back_is_told_and_marked(tmp_path):
    with connect(compiled(tmp_path)) as bench:

        def there_and_back(core):
            is_back = threading.Event()

            def slot(_label, position):  # connected after the bench's, so it hears later
                if position == 0.0:
                    is_back.set()

            core.events.stagePositionChanged.connect(slot)
            move_z(core)
            core.setPosition("Z", 0.0)
            core.waitForDevice("Z")
            assert is_back.wait(PATIENCE_S)
            core.events.stagePositionChanged.disconnect(slot)

        batch = batch_with(bench, there_and_back)
        (passing,) = batch.disturbances
        assert not passing.is_lasting
        assert passing.text.startswith("Z (role focus): position 7.5 was told during the batch")
        verdict = check_batch(batch, bench, expected_black_adu=0)
        assert (verdict.refused, verdict.warnings) == (None, [passing.text])


@pytest.mark.parametrize("make", [compiled, python])
def test_a_batch_that_nothing_disturbs_is_not_disturbed(tmp_path, make):
    with connect(make(tmp_path)) as bench:
        assert batch_with(bench, lambda _core: None).disturbances == ()


# ---- what is told, on devices without physics


class Teller:
    def __init__(self, *events):
        self.events = list(events)
        self.calls = 0

    def take(self):
        self.calls += 1
        return self.events if self.calls == 2 else []  # the first call is before the frames


def told(device, what, value):
    return HardwareEvent(device=device, what=what, value=value)


@pytest.mark.parametrize(
    ("event", "is_noticed"),
    [
        (told("Z", "position", "3.0"), True),
        (told("Z", "position", "0.2"), False),  # within the tolerance
        (told("Z", "position", "nan"), True),
        (told("Z", "Velocity", "3.0"), False),
        (told("XY", "position", "1.0, 2.0"), False),  # the bench itself moves it
        (told("Camera", "exposure", "5.0"), True),
        (told("Camera", "exposure", "1.0"), False),
        (told("Elsewhere", "position", "3.0"), False),
    ],
)
def test_what_is_told_is_held_against_what_the_bench_set(tmp_path, event, is_noticed):
    bench = make_bench(make_config(tmp_path), events=Teller(event))
    space = bench.space()
    bench.apply(space.start, space=space, stopwatch=Stopwatch())
    batch = capture_batch(bench, POSITIONS, stopwatch=Stopwatch(), on_frame=lambda _i, _f: None)
    assert bool(batch.disturbances) is is_noticed
