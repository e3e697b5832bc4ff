"""Devices of other packages in a bench file: checked, dark first, held to their roles, closed."""

from __future__ import annotations

import pytest
import yaml

from drivers import LimitViolation
from instrument.bench.acquisition import capture_batch
from instrument.bench.connect import ConnectError, connect
from instrument.bench.safety import UnsafeBench
from instrument.bench.timing import Stopwatch
from instrument.config import ConfigError, load_config, parse_config
from instrument.design import Design
from tests.instrument.fakes import CONFIG, merged

RAW = merged(CONFIG, {"bench": {"roles": {}, "visa": {}}})
RAW["bench"]["visa"] = {}
RAW["bench"]["drivers"] = {
    "z_stage": {"driver": "acme-stage", "options": {"port": "sim:7", "travel_um": 80}},
    "lamp": {"driver": "acme-led", "options": {"port": "sim:8"}},
}
RAW["bench"]["roles"] |= {
    "focus": {"device": "z_stage", "limits_um": [-50, 50]},
    "light": {"device": "lamp", "level": 10, "limits": [0, 20]},
}
STRICT = """\
from pydantic import BaseModel, field_validator
class Driver:
    class options(BaseModel):
        port: str
        @field_validator("port")
        @classmethod
        def known(cls, port): return {}[port]
    @staticmethod
    def open(name, options): return None
"""


def parsed(tmp_path, bench=None):
    return parse_config(merged(RAW, {"bench": bench or {}}), source="bench.yaml", folder=tmp_path)


def test_a_bench_file_brings_a_design_to_devices_of_another_package(acme, tmp_path):
    file = tmp_path / "bench.yaml"
    file.write_text(yaml.safe_dump(parsed(tmp_path).model_dump(mode="json")))
    with connect(load_config(file)) as bench:
        lamp, stage = acme.SIMULATED["sim:8"], acme.SIMULATED["sim:7"]
        assert lamp.power_mw == 0.0  # it was on
        design = Design({"pupil": (0.1, 0.0, 0.0), "focus": (4.5,)})
        applied = bench.apply(design, space=bench.space(), stopwatch=Stopwatch())
        assert applied.read_back["focus"] == stage.position_um == 4.5
        with bench.illuminated(stopwatch=Stopwatch()):
            assert lamp.power_mw == 10.0
        assert lamp.power_mw == 0.0
        described = {device.name: device.identity for device in bench.describe()}
        assert described["z_stage"] == described["lamp"] == "ACME Z100 no. 7"
    assert not lamp.is_open
    assert not stage.is_open


def test_a_drivers_light_is_dark_before_other_drivers_are_opened(acme, tmp_path, mocker):
    lamp = acme.connect("sim:8")
    order = []
    mocker.patch(
        "acme_optics.stage.connect",
        side_effect=lambda port: order.append(lamp.power_mw) or acme.connect(port),
    )
    with connect(parsed(tmp_path)):
        assert order == [0.0]


def test_a_drivers_light_is_dark_even_when_another_light_does_not_open(acme, tmp_path):
    lamp = acme.connect("sim:8")
    drivers = {"lamp 2": {"driver": "acme-led", "options": {"port": "COM9"}}}
    roles = {"light 2": {"kind": "light", "device": "lamp 2", "level": 1, "limits": [0, 20]}}
    config = parsed(tmp_path, {"drivers": drivers, "roles": roles})
    with pytest.raises(ConnectError, match=r"`bench\.drivers\.lamp 2`: no such port: COM9"):
        connect(config)
    assert (lamp.power_mw, lamp.is_open) == (0.0, False)


def test_a_drivers_light_that_stays_on_is_louder_than_anything_else(acme, tmp_path, mocker):
    acme.connect("sim:8")
    mocker.patch("acme_optics.led.AcmeLed.is_on", return_value=True)
    with pytest.raises(
        UnsafeBench, match=r"lamp \(lamp\) could NOT be made safe: lamp is still on"
    ):
        connect(parsed(tmp_path))


def test_what_a_driver_raises_while_closing_is_said_and_the_others_close(acme, tmp_path, mocker):
    bench = connect(parsed(tmp_path))
    mocker.patch("acme_optics.stage.AcmeStage.close", side_effect=OSError("port is gone"))
    (unsafe,) = bench.close()
    assert "z_stage: closing failed: OSError: port is gone" in unsafe.reason
    assert not acme.SIMULATED["sim:8"].is_open


def test_a_level_beyond_the_roles_limits_never_reaches_a_drivers_light(acme, tmp_path):
    with connect(parsed(tmp_path)) as bench:
        lamp = acme.SIMULATED["sim:8"]
        lamp.heard.clear()
        with (
            pytest.raises(
                LimitViolation, match=r"lamp \(role light\): 21 mW asked, its soft limits"
            ),
            bench.illuminated(stopwatch=Stopwatch(), levels={"light": 21.0}),
        ):
            pass
        assert not [line for line in lamp.heard if line.startswith("LED ")]


MOCKS = """\
from pydantic import BaseModel
from drivers import testing

class Driver:
    class options(BaseModel):
        mock: str
    @staticmethod
    def open(name, options):
        return getattr(testing, options.mock)(name)
"""


def test_a_bench_of_drivers_alone_needs_no_micromanager(distribute, tmp_path):
    distribute("mock", "mock_devices:Driver", MOCKS, package="mock-devices")
    roles = {
        "camera": ({"exposure_ms": 1}, "MockCamera"),
        "sample": ({"limits_um": [[-50, 50], [-50, 50]]}, "MockXYStage"),
        "focus": ({"limits_um": [-50, 50]}, "MockStage"),
    }
    raw = {**RAW, "design": {"focus": {"role": "focus", "bounds_um": [-10, 10]}}}
    raw["bench"] = {
        "roles": {name: {"device": name, **role} for name, (role, _) in roles.items()},
        "drivers": {
            name: {"driver": "mock", "options": {"mock": mock}} for name, (_, mock) in roles.items()
        },
    }
    with connect(parse_config(raw, source="bench.yaml", folder=tmp_path)) as bench:
        bench.apply(Design({"focus": (4.0,)}), space=bench.space(), stopwatch=Stopwatch())
        batch = capture_batch(
            bench, ((0.0, 0.0), (30.0, 0.0)), stopwatch=Stopwatch(), on_frame=lambda _i, _f: None
        )
        devices = dict(bench.devices)
    assert batch.counts.shape == (2, 1, 16, 16)
    assert devices["focus"].at == 4.0
    assert all(device.is_closed for device in devices.values())


REFUSED = {
    "unknown driver": (
        {"drivers": {"z_stage": {"driver": "acme-stagee"}}},
        "`bench.drivers.z_stage.driver` = 'acme-stagee': no driver 'acme-stagee' is installed; did",
    ),
    "option of no such name": (
        {"drivers": {"z_stage": {"options": {"prt": 1}}}},
        "`bench.drivers.z_stage.options.prt` = 1 is not a key here; did you mean `port`?",
    ),
    "option out of range": (
        {"drivers": {"z_stage": {"options": {"travel_um": -1}}}},
        "`bench.drivers.z_stage.options.travel_um` = -1: input should be greater than 0",
    ),
    "key of no driver": (
        {"drivers": {"z_stage": {"port": "sim:7"}}},
        "`bench.drivers.z_stage.port` = 'sim:7' is not a key here",
    ),
    "a channel of a light without channels": (
        {"roles": {"light": {"channel": "power_mw"}}},
        "`bench.roles.light.channel` = 'power_mw' is for VISA instruments; a driver's light has",
    ),
    "a safe level that is not off": (
        {"roles": {"light": {"safe": 1}}}, "`bench.roles.light.safe` = 1.0 is for VISA instruments",
    ),
    "one name twice": (
        {"visa": {"lamp": {"declaration": "led_driver", "address": "virtual"}}},
        "`bench.drivers.lamp` is also in bench.visa; rename one of them",
    ),
    "two roles of a device": (
        {"roles": {"lift": {"device": "z_stage", "limits_um": [0, 1]}}},
        "`bench.roles.lift.device` = 'z_stage' is already the role 'focus'",
    ),
    "a device that nothing provides": (
        {"micromanager": None},
        "`bench.roles.camera.device` = 'Camera' is none of bench.drivers, displays or",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "sentence"), REFUSED.values(), ids=REFUSED)
def test_a_mistake_in_the_drivers_block_is_one_sentence(acme, tmp_path, changes, sentence):
    with pytest.raises(ConfigError) as caught:
        parsed(tmp_path, changes)
    assert [problem for problem in caught.value.problems if sentence in problem]


def test_a_missing_option_is_reported_beside_the_mistakes_of_the_rest(acme, tmp_path):
    bench = {"drivers": {"schema": {"driver": "acme-stage"}}}
    raw = merged(RAW, {"bench": bench, "score": {"patchs": 8}})
    with pytest.raises(ConfigError) as caught:
        parse_config(raw, source="bench.yaml", folder=tmp_path)
    assert len(caught.value.problems) == 2
    assert caught.value.problems[1] == "`bench.drivers.schema.options.port` is missing; add it"


UNFIT = {
    "another kind": (
        {"drivers": {"lamp": {"driver": "acme-stage"}}},
        r"`bench\.roles\.light`: lamp \(role light\) cannot do what a LightSource must; .*no unit",
    ),
    "soft limits wider than the travel": (
        {"roles": {"focus": {"limits_um": [-90, 50]}}},
        r"`bench\.roles\.focus`: limits_um \[-90\.0, 50\.0\]: z_stage: -90 um asked, .* narrow",
    ),
    "no meter": (
        {"interlocks": [{"channel": "z_stage", "below": 3}]},
        r"`bench\.interlocks\.0`: z_stage \(role interlock\) cannot do what a Meter must",
    ),
}


@pytest.mark.parametrize(("changes", "sentence"), UNFIT.values(), ids=UNFIT)
def test_a_device_that_does_not_fit_its_role_is_refused_and_closed(
    acme, tmp_path, changes, sentence
):
    with pytest.raises(ConnectError, match=sentence):
        connect(parsed(tmp_path, changes))
    assert not any(controller.is_open for controller in acme.SIMULATED.values())


def test_a_validator_that_breaks_is_a_sentence(distribute, tmp_path):
    distribute("acme-strict", "acme_strict:Driver", STRICT, package="acme-more")
    broken = {"driver": "acme-strict", "options": {"port": "COM3"}}
    raw = merged(CONFIG, {"bench": {"drivers": {"z": broken}}})
    with pytest.raises(
        ConfigError, match=r"`bench\.drivers\.z\.options` cannot be checked: KeyErr"
    ):
        parse_config(raw, source="bench.yaml", folder=tmp_path)
