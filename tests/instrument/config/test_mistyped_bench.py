"""Benches as they are mistyped: each gets one sentence with its key, and nothing is touched."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from drivers.visa import VisaInstrument
from instrument.config import ConfigError, find_shipped, parse_config
from instrument.faces import cli

SLM = "slmsuite.hardware.slms.simulated.SimulatedSLM"
RAW = {"role": "slm", "basis": "raw", "bounds_grey": [0, 255]}
LED = {"declaration": "led_driver", "address": "TCPIP::10.0.0.7::5025::SOCKET"}
MISTYPED: dict[str, tuple[dict[str, Any], str]] = {
    "displays a list": ({"bench.displays": [1]}, "bench.displays"),
    "display of yes": ({"bench.displays.d": {"monitor": True}}, "bench.displays.d.monitor"),
    "shape of one": (
        {"bench.displays.d": {"monitor": 0, "shape": [512]}}, "bench.displays.d.shape",
    ),
    "slmsuite not slmsuite": (
        {"bench.slmsuite.s": {"driver": "os.system"}}, "bench.slmsuite.s.driver",
    ),
    "slmsuite options a number": (
        {"bench.slmsuite.s": {"driver": SLM, "options": 5}}, "bench.slmsuite.s.options",
    ),
    "slmsuite of what is not there": (
        {"bench.slmsuite.s": {"driver": SLM, "devices": {"slm": "x"}}},
        "bench.slmsuite.s.devices.slm",
    ),
    "a driver that is not there": ({"bench.drivers.d": {"driver": "no"}}, "bench.drivers.d.driver"),
    "a driver without a name": ({"bench.drivers.d": {"options": {}}}, "bench.drivers.d.driver"),
    "a driver's options empty": (
        {"bench.drivers.d": {"driver": "x", "options": None}}, "bench.drivers.d.options",
    ),
    "a list for a virtual bench": (
        {"bench.micromanager": {"virtual": ["x"]}}, "bench.micromanager.virtual",
    ),
    "listed devices a list": ({"bench.micromanager": {"devices": [1]}}, "bench.micromanager"),
    "listed device on": (
        {
            "bench.micromanager": {
                "devices": {"a": {"adapter": "x", "name": "y", "properties": {"p": True}}}
            }
        },
        "bench.micromanager.devices.a.properties.p",
    ),
    "a hub below": (
        {"bench.micromanager": {"devices": {"a": {"adapter": "x", "name": "y", "hub": "b"}}}},
        "bench.micromanager",
    ),
    "presets a list": (
        {"bench.micromanager": {"config": "x.cfg", "presets": [1]}}, "bench.micromanager.presets",
    ),
    "a preset a number": (
        {"bench.micromanager": {"config": "x.cfg", "presets": {"Channel": 5}}},
        "bench.micromanager.presets.Channel",
    ),
    "no core": ({"bench.micromanager": None}, "bench.roles.camera.device"),
    "a setting of nothing": (
        {"bench.visa.led.settings": {"power_mw": None}}, "bench.visa.led.settings.power_mw",
    ),
    "a setting of NaN": (
        {"bench.visa.led.settings": {"power_mw": float("nan")}}, "bench.visa.led.settings.power_mw",
    ),
    "slew a number": ({"bench.roles.focus.slew": 5}, "bench.roles.focus.slew"),
    "slew backwards": ({"bench.roles.focus.slew": {"most": -1}}, "bench.roles.focus.slew.most"),
    "slew of yes": ({"bench.roles.focus.slew": {"most": True}}, "bench.roles.focus.slew.most"),
    "slew per minute": (
        {"bench.roles.focus.slew": {"most": 1, "per": "min"}}, "bench.roles.focus.slew.per",
    ),
    "a rate refused": (
        {"bench.roles.focus.slew": {"most": 1, "per": "s", "beyond": "refuse"}},
        "bench.roles.focus.slew",
    ),
    "lut a list": ({"bench.roles.slm.lut": []}, "bench.roles.slm.lut"),
    "flatness a number": ({"bench.roles.slm.flatness": 5}, "bench.roles.slm.flatness"),
    "affine of a row": ({"bench.roles.slm.affine": [[1, 0, 0]]}, "bench.roles.slm.affine"),
    "affine of NaN": (
        {"bench.roles.slm.affine": [[1, 0, float("nan")], [0, 1, 0]]}, "bench.roles.slm.affine.0.2",
    ),
    "affine of a line": ({"bench.roles.slm.affine": [[1, 0, 0], [1, 0, 0]]}, "bench.roles.slm"),
    "a grey level on": ({"bench.roles.slm.on_value": True}, "bench.roles.slm.on_value"),
    "roi of three": ({"bench.roles.camera.roi": [0, 0, 5]}, "bench.roles.camera.roi"),
    "gain on": (
        {"bench.roles.camera.properties": {"Gain": True}}, "bench.roles.camera.properties.Gain",
    ),
    "a trigger of its own": ({"bench.roles.camera.trigger": 5}, "bench.roles.camera.trigger"),
    "a light level on": ({"bench.roles.light.level": True}, "bench.roles.light.level"),
    "limits backwards, one of them a word to YAML": (
        {"bench.roles.focus.limits_um": ["1e3", -50]}, "bench.roles.focus.limits_um",
    ),
    "a light on a display": (
        {
            "bench.displays.d": {"monitor": 0},
            "bench.roles.light": {"device": "d", "level": 1, "limits": [0, 1]},
        },
        "bench.roles.light.device",
    ),
    "region a list": ({"design.pupil": {**RAW, "region": [0, 0, 5, 5]}}, "design.pupil.region"),
    "region backwards": (
        {"design.pupil": {**RAW, "region": {"height": -1, "width": 1}}},
        "design.pupil.region.height",
    ),
    "bounds of words": ({"design.pupil": {**RAW, "bounds_grey": ["a", "b"]}}, "design.pupil"),
    "interlocks a section": ({"bench.interlocks": {"channel": "a.b"}}, "bench.interlocks"),
    "an interlock of nothing": (
        {"bench.interlocks": [{"channel": "led.temperature_c"}]}, "bench.interlocks.0",
    ),
    "an interlock below yes": (
        {"bench.interlocks": [{"role": "focus", "below": True}]}, "bench.interlocks.0.below",
    ),
    "an interlock over a third axis": (
        {"bench.interlocks": [{"role": "sample.z", "below": 1}]}, "bench.interlocks.0.role",
    ),
    "an interlock over a capital axis": (
        {"bench.interlocks": [{"role": "sample.X", "below": 1}]}, "bench.interlocks.0.role",
    ),
    "a hysteresis of NaN": (
        {"bench.interlocks": [{"role": "focus", "below": 1, "hysteresis": float("nan")}]},
        "bench.interlocks.0.hysteresis",
    ),
    "one address, two names": (
        {"bench.visa.led": LED, "bench.visa.laser": {**LED, "address": LED["address"].lower()}},
        "bench.visa.laser.address",
    ),
    "one name, two blocks": (
        {"bench.displays.led": {"monitor": 0}}, "bench.displays.led",
    ),
    "a name of the core and of an instrument": (
        {
            "bench.visa.led": LED,
            "bench.micromanager": {"devices": {"led": {"adapter": "x", "name": "y"}}},
        },
        "bench.visa.led",
    ),
    "one monitor, two displays": (
        {"bench.displays": {"a": {"monitor": 1}, "b": {"monitor": 1}}}, "bench.displays.b.monitor",
    ),
    "one channel, two roles": (
        {
            "bench.roles.second": {
                "device": "led", "channel": "power_mw", "level": 1, "limits": [0, 900]
            }
        },
        "bench.roles.second.channel",
    ),
}  # fmt: skip


def demo(changes: dict[str, Any]) -> dict[str, Any]:
    shipped = find_shipped("demo.yaml")
    assert shipped is not None
    raw = copy.deepcopy(yaml.safe_load(shipped.read_text(encoding="utf-8")))
    for key, value in changes.items():
        *above, last = key.split(".")
        here = raw
        for part in above:
            here = here.setdefault(part, {})
        here[last] = value
    return raw


@pytest.mark.parametrize(("changes", "key"), MISTYPED.values(), ids=MISTYPED)
def test_a_mistyped_bench_is_one_sentence_with_its_key(changes, key):
    with pytest.raises(ConfigError) as caught:
        parse_config(demo(changes), source="bench.yaml", folder=Path())
    about = [p for p in caught.value.problems if re.match(rf"`{re.escape(key)}[`.]", p)]
    assert about, caught.value.problems
    for problem in caught.value.problems:
        assert problem.startswith("`")
        assert "\n" not in problem


@pytest.mark.parametrize("case", ["a light level on", "an interlock over a third axis"])
def test_check_of_a_mistyped_bench_ends_with_2_and_opens_nothing(tmp_path, mocker, case):
    opened = mocker.patch.object(VisaInstrument, "open")
    connected = mocker.patch("instrument.bench.connect.connect")
    file = tmp_path / "bench.yaml"
    file.write_text(yaml.safe_dump(demo(MISTYPED[case][0])))
    done = CliRunner().invoke(cli.app, ["check", str(file)])
    assert done.exit_code == 2
    assert MISTYPED[case][1] in "".join(done.output.split())
    assert "Traceback" not in done.output
    opened.assert_not_called()
    connected.assert_not_called()
