"""Shutters and lamps of Micro-Manager on the bench: dark first, lit for frames only, dark again."""

import pytest
import yaml

from drivers import DeviceError, LimitViolation
from instrument.bench.acquisition import capture_batch
from instrument.bench.bench import Bench
from instrument.bench.calibration import PROTOCOLS
from instrument.bench.calibration_plan import make_plan
from instrument.bench.connect import ConnectError, connect
from instrument.bench.interlocks import Interlock, InterlockTripped
from instrument.bench.safety import UnsafeBench
from instrument.bench.timing import Stopwatch
from instrument.config import ConfigError, ShutterRole, parse_config
from instrument.design import Design
from tests.instrument import fakes
from tests.instrument.fakes import FakeLight, FakeMeter, Log, make_bench, make_config, merged

SYSTEM = """Property,Core,Initialize,0
Device,Camera,DemoCamera,DCam
Device,XY,DemoCamera,DXYStage
Device,Z,DemoCamera,DStage
Device,Blade,DemoCamera,DShutter
Device,Lamp,DemoCamera,DCam
Property,Core,Initialize,1
Property,Core,Camera,Camera
Property,Core,Shutter,Blade
Property,Core,AutoShutter,1
Property,Camera,PixelType,16bit
Property,Camera,Binning,8
Property,Blade,State,1
Property,Lamp,FastImage,1
"""
FILE = """
bench:
  micromanager: {config: bench.cfg}
  roles:
    camera: {device: Camera, exposure_ms: 1}
    sample: {device: XY, limits_um: [[-500, 500], [-500, 500]]}
    focus: {device: Z, limits_um: [-50, 50]}
    shutter: {device: Blade}
    light: {device: Lamp, property: StripeWidth, switch: {property: FastImage, on: 1, off: 0},
            level: 4, limits: [0.5, 8], safe: 0}
objects: {stage_grid: {count: 2, spacing_um: 30}}
design:
  focus: {role: focus, bounds_um: [-10, 10]}
noise: {gain: 0.01, offset: 0, read_noise: 30, bit_depth: 12}
"""


def parsed(tmp_path, changes=None):
    (tmp_path / "bench.cfg").write_text(SYSTEM)
    return parse_config(
        merged(yaml.safe_load(FILE), changes or {}), source="bench.yaml", folder=tmp_path
    )


class FakeShutter(FakeLight):
    kind = "shutter"
    unit = "1"
    limits = (0.0, 1.0)

    def check(self, target):
        if target not in {0.0, 1.0}:
            raise LimitViolation(f"{self.name}: {target}")


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setitem(fakes.FAKE_OF_KIND, "shutter", FakeShutter)
    return make_config(tmp_path, bench={"roles": {"shutter": {"device": "Blade"}}})


@pytest.fixture
def bench(config):
    return make_bench(config)


@pytest.fixture
def behind_a_shutter(config):
    """The bench, its light not one that can be switched."""
    del config.bench.roles["light"]
    return make_bench(config)


def lit_calls(bench):
    lights = {light.name for light in bench.lights().values()}
    return [
        call[:2]
        for call in bench.log.calls
        if call[1] == "snap" or (call[0] in lights and call[1] in {"start", "make_safe"})
    ]


# ---- order


def test_shutters_open_and_close_after_the_lights_came_on_and_went_off(bench):
    with bench.illuminated(stopwatch=Stopwatch()):
        bench.camera.snap(timeout_s=1)
    assert lit_calls(bench) == [
        ("led", "start"),
        ("Blade", "start"),
        ("Camera", "snap"),
        ("led", "make_safe"),
        ("Blade", "make_safe"),
    ]


def test_the_safe_state_is_lights_then_shutters_then_the_others(bench):
    bench.safe()
    assert [call[0] for call in bench.log.calls] == ["led", "Blade", "Camera", "SLM", "XY", "Z"]


def test_a_shutter_that_stays_open_is_loud(bench):
    bench.devices["shutter"].fails_on["make_safe"] = DeviceError("stuck")
    with (
        pytest.raises(UnsafeBench, match=r"shutter \(Blade\) could NOT be made safe: stuck"),
        bench.illuminated(stopwatch=Stopwatch()),
    ):
        pass
    assert ("led", "make_safe", None) in bench.log.calls


def test_a_light_that_fails_closes_the_shutter(bench):
    bench.devices["light"].fails_on["start"] = DeviceError("no current")
    with (
        pytest.raises(DeviceError, match="no current"),
        bench.illuminated(stopwatch=Stopwatch()),
    ):
        pytest.fail("nothing may be lit")
    assert bench.log.calls[-1][:2] == ("Blade", "make_safe")


@pytest.mark.parametrize("has_light", [True, False])
def test_no_shutter_opens_while_an_interlock_is_tripped(config, has_light):
    if not has_light:
        del config.bench.roles["light"]
    log = Log()
    meter = FakeMeter("led.temperature_c", log, [90.0])
    interlock = Interlock(name="led.temperature_c", meter=meter, below=60)
    bench = make_bench(config, log, interlocks=[interlock])
    with pytest.raises(InterlockTripped), bench.illuminated(stopwatch=Stopwatch()):
        pytest.fail("nothing may be lit")
    assert "start" not in [call[1] for call in bench.log.calls]


def test_a_shutter_alone_makes_the_dark_for_the_black_level(behind_a_shutter):
    bench = behind_a_shutter
    assert list(bench.lights()) == ["shutter"]
    space = bench.space()
    bench.apply(space.start, space=space, stopwatch=Stopwatch())
    batch = capture_batch(bench, ((0.0, 0.0),), stopwatch=Stopwatch(), on_frame=lambda _i, _f: None)
    assert batch.black_level_adu == pytest.approx(100, abs=1)
    assert lit_calls(bench) == [
        ("Camera", "snap"), ("Camera", "snap"), ("Blade", "start"), ("Camera", "snap"),
        ("Blade", "make_safe"),
    ]  # fmt: skip


# ---- compiled adapters


def test_what_was_left_on_is_dark_once_connected_and_lit_for_frames_only(tmp_path, mocker):
    with connect(parsed(tmp_path)) as bench:
        lamp, blade = bench.devices["light"], bench.devices["shutter"]
        assert (lamp.is_on(), blade.is_on()) == (False, False)
        assert isinstance(bench.roles["shutter"], ShutterRole)
        seen = []
        really = bench.camera.snap

        def snap(*, timeout_s):
            seen.append((lamp.is_on(), blade.is_on()))
            return really(timeout_s=timeout_s)

        mocker.patch.object(bench.camera, "snap", side_effect=snap)
        space = bench.space()
        bench.apply(space.start, space=space, stopwatch=Stopwatch())
        capture_batch(bench, ((0.0, 0.0),), stopwatch=Stopwatch(), on_frame=lambda _i, _f: None)
        assert seen == [(False, False), (False, False), (True, True)]
        assert (lamp.is_on(), blade.is_on()) == (False, False)


def test_a_sequence_that_does_not_start_leaves_no_shutter_open(tmp_path, mocker):
    """Micro-Manager's autoshutter would have opened it, and left it open."""
    with connect(parsed(tmp_path)) as bench:
        core = bench.camera._manager.core
        mocker.patch.object(
            core, "startSequenceAcquisition", side_effect=RuntimeError("buffer of 0 MB")
        )
        with (
            pytest.raises(DeviceError, match="buffer of 0 MB"),
            bench.illuminated(stopwatch=Stopwatch()),
        ):
            bench.camera.capture(3, timeout_s=20)
        assert not core.getShutterOpen("Blade")
        assert not bench.devices["light"].is_on()


def test_a_design_may_set_the_level_of_a_lamp(tmp_path):
    power = {"power": {"role": "light", "bounds": [1, 6]}}
    with connect(parsed(tmp_path, {"design": power})) as bench:
        space, lamp = bench.space(), bench.devices["light"]
        assert space.start.values["power"] == (4.0,)
        design = Design({"focus": (0.0,), "power": (2.5,)})
        bench.apply(design, space=space, stopwatch=Stopwatch())
        assert not lamp.is_on()
        with bench.illuminated(stopwatch=Stopwatch()):
            assert (lamp.is_on(), lamp.read_back()) == (True, 2.5)
        assert not lamp.is_on()


def test_a_device_that_cannot_be_opened_leaves_the_others_dark(tmp_path, mocker):
    made_safe = mocker.spy(Bench, "__init__")
    closed = mocker.patch(
        "drivers.micromanager.MicroManagerShutter.make_safe", autospec=True, return_value=None
    )
    with pytest.raises(ConnectError, match=r"`bench\.roles\.light`: .* no property 'Intensity'"):
        connect(parsed(tmp_path, {"bench": {"roles": {"light": {"property": "Intensity"}}}}))
    assert closed.call_count == 1
    made_safe.assert_not_called()


def test_a_shutter_that_the_core_opens_by_itself_is_pointed_out(tmp_path, caplog):
    config = parsed(tmp_path)
    roles = {n: r for n, r in config.bench.roles.items() if n not in {"shutter", "light"}}
    bench = config.bench.model_copy(update={"roles": roles})
    with connect(config.model_copy(update={"bench": bench})):
        pass
    assert "add shutter: {device: Blade} to bench.roles" in caplog.text


# ---- the file


@pytest.mark.parametrize(
    ("light", "sentence"),
    [
        ({"property": None, "switch": None}, "say what sets its level: `channel` of a"),
        ({"channel": "power_mw"}, "say what sets its level"),
        ({"output": "enable"}, "`output` goes with `channel`; the switch of a lamp is `switch`"),
        ({"switch": {"on": 1, "off": 0}}, "`bench.roles.light.switch.property` is missing"),
        ({"switch": {"property": "State", "on": True, "off": 0}}, "put the word in quotes"),
        ({"level": 9}, "level 9 is outside limits 0.5 to 8"),
        ({"device": "Blade", "property": "State", "switch": None},
         "`bench.roles.light.property` = 'State' is already the role 'shutter'"),
    ],
)  # fmt: skip
def test_a_wrong_lamp_is_one_sentence(tmp_path, light, sentence):
    raw = yaml.safe_load(FILE)
    raw["bench"]["roles"]["light"] |= light
    with pytest.raises(ConfigError) as caught:
        parse_config(raw, source="bench.yaml", folder=tmp_path)
    assert sentence in str(caught.value)


def test_a_lamp_and_a_property_of_it_are_one_role(tmp_path):
    iris = {"device": "Lamp", "property": "FastImage", "limits": [0, 1], "tolerance": 0.1}
    with pytest.raises(ConfigError, match="'FastImage' is already the role 'light'"):
        parsed(tmp_path, {"bench": {"roles": {"iris": iris}}})


def test_a_visa_light_takes_no_switch(tmp_path):
    light = {"switch": {"property": "State", "on": 1, "off": 0}}
    with pytest.raises(ConfigError, match="go with `property`; the switch of a VISA light is"):
        make_config(tmp_path, bench={"roles": {"light": light}})


def test_a_recorded_bench_file_with_a_lamp_is_read_again(tmp_path):
    config = parsed(tmp_path)
    again = parse_config(config.model_dump(mode="json"), source="record", folder=tmp_path)
    assert again == config


# ---- calibration


def test_behind_a_shutter_alone_the_ladder_climbs_by_exposure(behind_a_shutter):
    bench = behind_a_shutter
    shutter = bench.devices["shutter"]
    bench.camera.light = type("Behind", (), {"is_on": lambda self: shutter.is_on()})()
    plan = make_plan(bench, PROTOCOLS["quick"])
    assert {step.light for step in plan.steps} == {0.0, 1.0}
    assert len({step.exposure_ms for step in plan.steps if step.light}) > 5
