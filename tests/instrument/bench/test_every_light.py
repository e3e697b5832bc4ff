"""A bench with one light of every kind: what holds for one of them holds for all of them."""

import pytest
import yaml

from drivers import DeviceError
from drivers.conformance import Scope
from drivers.micromanager import MicroManagerLight, MicroManagerShutter
from drivers.testing import FaultServer, MockLight, MockMeter
from drivers.visa import VisaLight
from instrument.bench import connect as connecting
from instrument.bench.conformance import check_bench
from instrument.bench.connect import ConnectError, connect
from instrument.bench.instruments import _visa_lights
from instrument.bench.interlocks import InterlockTripped
from instrument.bench.safety import UnsafeBench
from instrument.bench.timing import Stopwatch
from instrument.config import ConfigError, parse_config
from instrument.faces.check import interlock_table, limits_table
from tests.instrument.bench.test_emitters import SYSTEM
from tests.instrument.fakes import merged

LIGHTS = ["laser", "led", "lamp", "shutter"]
FILE = """
bench:
  micromanager: {config: bench.cfg}
  visa:
    led_box: {declaration: led_driver, address: ""}
  drivers:
    diode: {driver: mocks-light}
    thermometer: {driver: mocks-meter}
  roles:
    camera: {device: Camera, exposure_ms: 1}
    sample: {device: XY, limits_um: [[-500, 500], [-500, 500]]}
    focus: {device: Z, limits_um: [-50, 50], slew: {most: 20}}
    shutter: {device: Blade}
    laser: {kind: light, device: diode, level: 10, limits: [0, 20]}
    lamp: {device: Lamp, property: StripeWidth, switch: {property: FastImage, on: 1, off: 0},
           level: 4, limits: [0.5, 8], safe: 0, slew: {most: 1}}
    led: {device: led_box, channel: power_mw, level: 5, limits: [0, 10]}
  interlocks:
    - {channel: thermometer, below: 60, hysteresis: 5}
    - {channel: led_box.temperature_c, below: 60}
    - {role: focus, below: 40}
objects: {stage_grid: {count: 2, spacing_um: 30}}
design:
  focus: {role: focus, bounds_um: [-10, 10]}
noise: {gain: 0.01, offset: 0, read_noise: 30, bit_depth: 12}
"""
DRIVERS = """\
from pydantic import BaseModel
from drivers.testing import MockLight, MockMeter
class Light:
    class options(BaseModel): pass
    @staticmethod
    def open(name, options):
        light = MockLight(name)
        light.level = 7.0  # as the last process left it
        return light
class Meter:
    class options(BaseModel): pass
    @staticmethod
    def open(name, options): return MockMeter(name, unit="degC", values=[25.0])
"""


@pytest.fixture
def raw(tmp_path, monkeypatch):
    """The file as plain data, with what it names: a driver's package, a `.cfg`, an instrument."""
    (tmp_path / "bench.cfg").write_text(SYSTEM)
    (tmp_path / "mock_drivers_of_all.py").write_text(DRIVERS)
    folder = tmp_path / "mock_drivers-0.1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: mock-drivers\nVersion: 0.1\n")
    (folder / "entry_points.txt").write_text(
        "[infoloop.drivers]\nmocks-light = mock_drivers_of_all:Light\n"
        "mocks-meter = mock_drivers_of_all:Meter\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with FaultServer() as server:
        yield merged(
            yaml.safe_load(FILE), {"bench": {"visa": {"led_box": {"address": server.address}}}}
        )


@pytest.fixture
def config(raw, tmp_path):
    return parse_config(raw, source="bench.yaml", folder=tmp_path)


@pytest.fixture
def bench(config):
    with connect(config) as bench:
        yield bench


def lit(bench):
    return [name for name, light in bench.lights().items() if light.is_on()]


def test_all_are_dark_before_anything_else_is_opened_or_set(config, monkeypatch):
    """What the last process left on goes off, whoever switches it, before a stage can home."""
    dark = set()
    seen = {}
    for name in ("set_presets", "set_channels", "open_others", "open_beside_core", "driven_roles"):
        real = getattr(connecting, name)

        def noting(*arguments, name=name, real=real):
            seen[name] = set(dark)
            return real(*arguments)

        monkeypatch.setattr(connecting, name, noting)
    for kind in (VisaLight, MicroManagerLight, MicroManagerShutter, MockLight):

        def make_safe(self, kind=kind, real=kind.make_safe):
            real(self)
            dark.add(kind.__name__)

        monkeypatch.setattr(kind, "make_safe", make_safe)
    with connect(config) as bench:
        assert lit(bench) == []
    assert len(seen) == 5
    assert all(len(kinds) == 4 for kinds in seen.values()), seen


def test_a_light_that_can_be_reached_goes_dark_though_an_instrument_is_gone(raw, tmp_path, mocker):
    raw["bench"]["visa"]["led_box"]["address"] = "TCPIP0::127.0.0.1::9::SOCKET"
    make_safe = mocker.spy(MockLight, "make_safe")
    config = parse_config(raw, source="bench.yaml", folder=tmp_path)
    with pytest.raises(ConnectError, match=r"`bench\.visa\.led_box`"):
        connect(config)
    assert make_safe.called


def test_all_are_on_for_the_block_and_off_after_it_the_shutter_last(bench):
    assert list(bench.lights()) == LIGHTS
    with bench.illuminated(stopwatch=Stopwatch()):
        assert lit(bench) == LIGHTS
    assert lit(bench) == []


@pytest.mark.parametrize("opened", ["thermometer", "led_box.temperature_c", "focus"])
def test_any_interlock_keeps_all_of_them_dark(bench, opened, mocker):
    (interlock,) = [each for each in bench.interlocks if each.name == opened]
    mocker.patch.object(type(interlock.meter), "read", return_value=61.0)
    starts = [mocker.spy(light, "start") for light in bench.lights().values()]
    with (
        pytest.raises(InterlockTripped),
        bench.illuminated(stopwatch=Stopwatch()),
    ):
        pytest.fail("the light came on")
    assert not any(start.called for start in starts)


def test_hysteresis_holds_for_a_drivers_meter(bench, mocker):
    interlock = next(iter(bench.interlocks))
    assert isinstance(interlock.meter, MockMeter)
    mocker.patch.object(interlock.meter, "read", side_effect=[61.0, 57.0, 54.0])
    for _ in range(2):
        with pytest.raises(InterlockTripped):
            interlock.check()
    assert interlock.check() == 54.0


def test_whoever_puts_the_light_out_puts_all_of_them_out(bench):
    tripped = InterlockTripped("seen by the patrol", next(iter(bench.interlocks)))

    def put_out():
        bench.lighting._put_out(tripped)
        return lit(bench)

    with (
        pytest.raises(InterlockTripped, match="seen by the patrol"),
        bench.illuminated(stopwatch=Stopwatch()),
    ):
        still_lit = put_out()
    assert still_lit == []


@pytest.mark.parametrize("stuck", LIGHTS)
def test_one_that_stays_on_is_loud_and_the_others_go_off(bench, stuck, mocker):
    patch = mocker.patch.object(
        bench.lights()[stuck], "make_safe", side_effect=DeviceError("stuck")
    )
    with (
        pytest.raises(UnsafeBench, match=f"{stuck} .* could NOT be made safe: stuck"),
        bench.illuminated(stopwatch=Stopwatch()),
    ):
        pass
    assert lit(bench) == [stuck]
    assert [unsafe.role for unsafe in bench.safe()] == [stuck]
    mocker.stop(patch)
    assert bench.safe() == ()
    assert lit(bench) == []


def test_the_guardian_knows_those_behind_visa_and_no_others(config):
    assert [name for name, _, _ in _visa_lights(config)] == ["led"]


def test_the_check_shows_all_and_conformance_moves_all(bench):
    for table in (limits_table(bench), interlock_table(bench)):
        assert table.row_count == (len(bench.roles) if table.title == "in force" else 3)
    results = check_bench(bench, scope=Scope.MOVE)
    assert {*LIGHTS, "interlock thermometer", "interlock led_box.temperature_c"} <= set(results)
    failed = [each for of_role in results.values() for each in of_role if each.status == "failed"]
    assert failed == []
    assert lit(bench) == []


def test_a_light_that_the_core_cannot_put_out_while_it_exposes_bounds_the_exposure(raw, tmp_path):
    raw["bench"]["interlocks"] = [{"channel": "thermometer", "below": 60}]
    raw["bench"]["roles"]["camera"]["exposure_ms"] = 1500
    with pytest.raises(ConfigError, match=r"exposure_ms` reaches 1500 ms, but .*shutter"):
        parse_config(raw, source="bench.yaml", folder=tmp_path)
