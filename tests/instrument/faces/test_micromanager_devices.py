"""`infoloop devices --config`: a bench file to begin with, for whatever a `.cfg` holds."""

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from drivers.errors import ConnectionLost
from drivers.micromanager import FoundDevice, Inventory, PropertyFacts
from instrument.bench.connect import connect
from instrument.config import CameraRole, load_config, parse_config
from instrument.faces.cli import app
from instrument.faces.micromanager_devices import starter, starter_of

ROOT = Path(__file__).parents[3]
DEMO = ROOT / "configs" / "democamera.cfg"
RICH = """Property,Core,Initialize,0
Device,Cam 1,DemoCamera,DCam
Device,Side,DemoCamera,DCam
Device,XY,DemoCamera,DXYStage
Device,Piezo,DemoCamera,DStage
Device,Z,DemoCamera,DStage
Device,Emission Filter,DemoCamera,DWheel
Device,Blade,DemoCamera,DShutter
Device,Other Blade,DemoCamera,DShutter
Device,DA,DemoCamera,D-DA
Property,Core,Initialize,1
Property,Core,Camera,Cam 1
Property,Core,Focus,Z
Property,Core,Shutter,Blade
Property,Cam 1,PixelType,32bitRGB
Property,Z,Position,12.0
Label,Emission Filter,0,green: 525/50
ConfigGroup,Channel,FITC,Emission Filter,State,1
"""


def check(text, tmp_path):
    """Write a bench file, and do what `infoloop check` does with it."""
    path = tmp_path / "bench.yaml"
    path.write_text(text, encoding="utf-8")
    config = load_config(path)
    with connect(config) as bench:
        space = bench.space()
        bench.check(space.start, space=space)
    return config


def test_what_is_printed_for_the_demo_camera_is_a_bench_file_that_check_accepts(tmp_path):
    printed = CliRunner().invoke(app, ["devices", "--config", str(DEMO)])
    assert printed.exit_code == 0
    assert "Camera: Camera (DemoCamera/DCam), camera" in printed.stdout
    assert "Exposure 0 to 10000" in printed.stdout
    (tmp_path / "bench.yaml").write_text(printed.stdout)
    checked = CliRunner().invoke(app, ["check", str(tmp_path / "bench.yaml")])
    assert checked.exit_code == 0, checked.output
    assert "1 parameters, the start design is allowed; all safe" in checked.stdout


def test_a_rich_bench_is_listed_and_its_file_accepted(tmp_path):
    cfg = tmp_path / "rich bench.cfg"
    cfg.write_text(RICH)
    text = starter_of(cfg, None)
    roles = check(text, tmp_path).bench.roles
    assert isinstance(roles["camera"], CameraRole)
    assert (roles["camera"].device, roles["camera"].pixel_type) == ("Cam 1", "16bit")
    assert roles["focus"].device == "Z"
    assert roles["focus"].limits_um == (-38.0, 62.0)
    assert roles["shutter"].device == "Blade"
    assert roles["emission_filter"].device == "Emission Filter"
    assert set(roles) == {"camera", "sample", "focus", "shutter", "emission_filter"}
    for line in (
        "#  Channel: FITC",
        "#  DA: SignalIO (DemoCamera/D-DA), no role",
        "    # side: {device: Side",
        "    # piezo: {device: Piezo",
        '    # other_blade: {kind: shutter, device: "Other Blade"}',
    ):
        assert any(found.startswith(line) for found in text.splitlines()), line
    assert "positions green: 525/50, State-1" in text
    assert max(map(len, text.splitlines())) <= 130


def test_what_stands_in_comments_is_a_role_when_it_is_taken_out_of_them(tmp_path):
    cfg = tmp_path / "rich.cfg"
    cfg.write_text(RICH)
    text = "\n".join(
        line.replace("    # ", "    ", 1) if line.startswith("    # ") else line
        for line in starter_of(cfg, None).splitlines()
    )
    roles = check(text, tmp_path).bench.roles
    assert {"side", "piezo", "other_blade"} <= set(roles)


def test_a_cfg_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConnectionLost, match=r"nowhere\.cfg: no such file"):
        starter_of(tmp_path / "nowhere.cfg", None)
    printed = CliRunner().invoke(app, ["devices", "--config", str(tmp_path / "nowhere.cfg")])
    assert printed.exit_code == 1


# ---- devices that the test adapters lack


def facts(text, kind="Float", limits=None, **changes):
    known = {"is_read_only": False, "is_pre_init": False, "allowed": ()}
    return PropertyFacts(text=text, kind=kind, limits=limits, **{**known, **changes})


def found(label, kind, **changes):
    return FoundDevice(
        **{"label": label, "identity": "Vendor/Thing", "type": "Generic", "kind": kind,
           "properties": {}, **changes}
    )  # fmt: skip


def text_of(*devices):
    return starter(Inventory(devices=devices), config=Path("/bench.cfg"), adapters=Path("/mm"))


def test_a_lamp_is_suggested_by_its_level():
    lamp = found("Lamp", None, properties={"Intensity (%)": facts("0", limits=(0.0, 100.0))})
    text = text_of(lamp)
    assert "#  Lamp: Generic (Vendor/Thing), light" in text
    (line,) = [line for line in text.splitlines() if "kind: light" in line]
    role = yaml.safe_load(line.strip().removeprefix("# "))["lamp"]
    assert (role["property"], role["limits"], role["safe"]) == ("Intensity (%)", [0, 100], 0)


def test_what_cannot_be_set_is_no_lamp():
    power = facts("0", limits=(0.0, 100.0), is_read_only=True)
    assert "kind: light" not in text_of(found("Meter", None, properties={"Power": power}))


def test_what_is_missing_is_said():
    text = text_of(found("Camera", "camera"))
    assert "# sample: there is no xy stage in the .cfg, and one is needed" in text
    assert "exposure: {role: camera, bounds_ms: [5, 10]}" in text
    assert 'adapters: "/mm"' in text


def test_limits_stay_within_the_travel_that_a_stage_declares():
    stage = found(
        "Z", "stage", position=(40.0,), properties={"Position": facts("40", limits=(0.0, 45.0))}
    )
    text = text_of(stage)
    assert "focus: {device: Z, limits_um: [0, 45]}" in text
    assert "focus: {role: focus, bounds_um: [30, 45]}" in text


@pytest.mark.parametrize("label", ["Cam: 1", "On", "# 1", "Größe", 'x "y"', "a\\b", "yes", "1"])
def test_any_label_is_itself_in_the_file(label, tmp_path):
    text = text_of(
        found(label, "camera"), found("XY", "xy_stage", position=(0.0, 0.0)),
        found("Z", "stage", position=(0.0,)),
    )  # fmt: skip
    config = parse_config(yaml.safe_load(text), source="x", folder=tmp_path)
    assert config.bench.roles["camera"].device == label
