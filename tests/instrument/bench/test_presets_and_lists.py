"""Config groups on the bench, and benches without a `.cfg`."""

import pytest
import yaml

from instrument.bench.connect import ConnectError, connect
from instrument.bench.timing import Stopwatch
from instrument.config import ConfigError, parse_config
from instrument.design import Design
from tests.instrument.fakes import merged

SYSTEM = """Property,Core,Initialize,0
Device,Camera,DemoCamera,DCam
Device,XY,DemoCamera,DXYStage
Device,Z,DemoCamera,DStage
Device,Wheel,DemoCamera,DWheel
Device,Blade,DemoCamera,DShutter
Device,Lamp,DemoCamera,DCam
Property,Core,Initialize,1
Property,Core,Camera,Camera
Property,Camera,PixelType,16bit
Property,Camera,Binning,8
ConfigGroup,Channel,FITC,Wheel,Label,State-3
ConfigGroup,Channel,DAPI,Wheel,State,5
ConfigGroup,Height,far,Z,Position,90
ConfigGroup,Height,near,Z,Position,20
ConfigGroup,Lit,on,Lamp,FastImage,1
ConfigGroup,Open,yes,Blade,State,1
ConfigGroup,Auto,yes,Core,AutoShutter,1
ConfigGroup,Mode,fast,Camera,ScanMode,2
"""
FILE = """
bench:
  micromanager: {config: bench.cfg, presets: {Channel: FITC, Height: near}}
  roles:
    camera: {device: Camera, exposure_ms: 1}
    sample: {device: XY, limits_um: [[-500, 500], [-500, 500]]}
    focus: {device: Z, limits_um: [-50, 50]}
    shutter: {device: Blade}
    light: {device: Lamp, property: StripeWidth, switch: {property: FastImage, on: 1, off: 0},
            level: 4, limits: [0.5, 8], safe: 0}
objects: {stage_grid: {count: 2, spacing_um: 30}}
design:
  focus: {role: focus, bounds_um: [-10, 30]}
noise: {gain: 0.01, offset: 0, read_noise: 30, bit_depth: 12}
"""
LISTED = """
devices:
  Camera: {adapter: DemoCamera, name: DCam, properties: {PixelType: 16bit, Binning: 8}}
  XY: {adapter: DemoCamera, name: DXYStage}
  Z: {adapter: DemoCamera, name: DStage}
  Blade: {adapter: DemoCamera, name: DShutter}
  Lamp: {adapter: DemoCamera, name: DCam}
"""


def parsed(tmp_path, changes=None):
    (tmp_path / "bench.cfg").write_text(SYSTEM)
    raw = merged(yaml.safe_load(FILE), changes or {})
    return parse_config(raw, source="bench.yaml", folder=tmp_path)


def with_presets(tmp_path, **presets):
    raw = yaml.safe_load(FILE)
    raw["bench"]["micromanager"]["presets"] = presets
    (tmp_path / "bench.cfg").write_text(SYSTEM)
    return parse_config(raw, source="bench.yaml", folder=tmp_path)


def test_presets_are_on_the_devices_when_the_bench_is_connected(tmp_path):
    with connect(parsed(tmp_path)) as bench:
        assert bench.stage("focus").read_back() == pytest.approx(20, abs=0.02)
        assert bench.space().start.values["focus"] == (pytest.approx(20, abs=0.02),)
        assert bench.devices["light"]._manager.core.getState("Wheel") == 3


@pytest.mark.parametrize(
    ("presets", "words"),
    [
        ({"Channel": "Cy5"}, r"presets\.Channel`: config group 'Channel' has no preset 'Cy5'; "
                             "there is DAPI, FITC"),
        ({"Chanel": "FITC"}, r"presets\.Chanel`: there is no config group 'Chanel'; there is "),
        ({"Height": "far"}, r"Z\.Position = 90: role focus allows -50 to 50; correct it in the"),
        ({"Lit": "on"}, r"Lamp\.FastImage = 1: role light switches this light, and nobody else"),
        ({"Open": "yes"}, r"Blade\.State = 1: role shutter switches this light, and nobody else"),
        ({"Auto": "yes"}, r"Core\.AutoShutter = 1: shutters open by their role only"),
    ],
)  # fmt: skip
def test_a_preset_that_may_not_be_is_refused_before_anything_is_set(tmp_path, presets, words):
    with pytest.raises(ConnectError, match=words):
        connect(with_presets(tmp_path, **{"Channel": "FITC", **presets}))


def test_every_preset_that_may_not_be_is_said(tmp_path):
    with pytest.raises(ConnectError) as caught:
        connect(with_presets(tmp_path, Channel="Cy5", Height="far"))
    assert len(caught.value.failures) == 2


# ---- a group as a role


def channels(tmp_path, **role):
    return parsed(
        tmp_path,
        {
            "bench": {"roles": {"channel": role or {"group": "Channel"}}},
            "design": {"colour": {"role": "channel", "choices": "all", "start": "DAPI"}},
        },
    )


def test_a_group_is_chosen_by_a_design(tmp_path):
    with connect(channels(tmp_path)) as bench:
        space = bench.space()
        assert space.parameters[-1].choices == ("DAPI", "FITC")
        design = Design({"focus": (0.0,), "colour": (0.0,)})
        applied = bench.apply(design, space=space, stopwatch=Stopwatch())
        assert applied.read_back["channel"] == 0.0
        assert bench.devices["channel"]._manager.core.getState("Wheel") == 5
        assert bench.describe()[-1].properties["DAPI"] == "Wheel.State = 5"


@pytest.mark.parametrize(
    ("group", "words"),
    [
        ("Mode", r"Camera\.ScanMode = 2: a setting of the camera \(role camera\) is part of its"),
        ("Height", r"preset far: Z\.Position = 90: role focus allows -50 to 50; .*drives this"),
        ("Lit", r"role light switches this light"),
        ("Nothing", r"`bench\.roles\.channel`: there is no config group 'Nothing'; there is Auto"),
    ],
)
def test_a_group_that_a_design_may_not_choose_is_refused(tmp_path, group, words):
    with pytest.raises(ConnectError, match=words):
        connect(channels(tmp_path, group=group))


def test_a_group_in_two_roles_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="'Channel' is already the role 'channel'"):
        parsed(tmp_path, {"bench": {"roles": {
            "channel": {"group": "Channel"}, "other": {"group": "Channel"},
        }}})  # fmt: skip


def test_a_role_is_a_device_or_a_group(tmp_path):
    with pytest.raises(ConfigError, match="`device` or `group`, not both"):
        channels(tmp_path, device="Wheel", group="Channel")


# ---- devices from the file


def listed(tmp_path, changes=None):
    raw = yaml.safe_load(FILE)
    raw["bench"]["micromanager"] = merged(yaml.safe_load(LISTED), changes or {})
    return parse_config(raw, source="bench.yaml", folder=tmp_path)


def test_a_bench_needs_no_cfg(tmp_path):
    with connect(listed(tmp_path)) as bench:
        assert bench.camera.shape == (64, 64)
        assert not bench.lights()["shutter"].is_on()


def test_a_recorded_bench_of_listed_devices_is_read_again(tmp_path):
    config = listed(tmp_path)
    assert parse_config(config.model_dump(mode="json"), source="x", folder=tmp_path) == config


def test_a_device_that_cannot_be_loaded_is_named_in_the_file(tmp_path):
    with pytest.raises(
        ConnectError, match=r"`bench\.micromanager\.devices`: XY: load DXY of DemoCamera.*DXYStage"
    ):
        connect(listed(tmp_path, {"devices": {"XY": {"name": "DXY"}}}))


@pytest.mark.parametrize(
    ("device", "properties", "words"),
    [
        ("Z", {"Position": 90}, r"devices\.Z`: Z\.Position = 90: role focus allows -50 to 50"),
        ("Lamp", {"FastImage": 1}, r"devices\.Lamp`: Lamp\.FastImage = 1: role light switches"),
    ],
)
def test_a_listed_device_starts_within_the_limits_and_dark(tmp_path, device, properties, words):
    with pytest.raises(ConnectError, match=words):
        connect(listed(tmp_path, {"devices": {device: {"properties": properties}}}))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"devices": {"Z": {"hub": "Hub"}}}, "the hub of Z, 'Hub', is no device above it"),
        ({"devices": {"Z": {"library": "Demo"}}}, "`bench.micromanager.devices.Z.library`"),
        ({"devices": {"Z": {"adapter": None}}}, "`bench.micromanager.devices.Z.adapter` = None"),
        ({"presets": {"Channel": "FITC"}}, "`bench.micromanager.presets` = {'Channel': 'FITC'} is"),
        ({"devices": {"Z": {"properties": {"A": True}}}}, "put the word in quotes"),
    ],
)
def test_a_wrong_list_is_one_sentence(tmp_path, changes, sentence):
    with pytest.raises(ConfigError) as caught:
        listed(tmp_path, changes)
    assert sentence in str(caught.value)
    assert len(caught.value.problems) == 1
