"""Ways out and ways in that one fault must not close to the others; each was a fault once."""

import itertools
import logging
from contextlib import ExitStack

import pytest

from drivers import DeviceError
from drivers.conformance import Scope
from drivers.testing import Fault, FaultServer
from drivers.visa import VisaInstrument, load_declaration
from instrument.bench import guardian
from instrument.bench.conformance import check_bench
from instrument.bench.emitters import lights_first
from instrument.bench.guardian import GuardedLight
from instrument.bench.instruments import open_instruments, open_lights
from instrument.bench.interlocks import InterlockTripped
from instrument.bench.opening import ConnectError
from instrument.bench.safety import make_all_safe
from tests.instrument.bench.test_conformance import mock_bench
from tests.instrument.bench.test_interlocks import interlock
from tests.instrument.fakes import FakeLight, Log, make_config


class Nameless:
    """A third party's light that has lost its hardware, and asks it for everything."""

    @property
    def name(self):
        raise OSError("no such device")

    def make_safe(self):
        raise TimeoutError


def test_a_light_that_cannot_even_say_its_name_does_not_keep_the_others_lit():
    light = FakeLight("led", Log())
    light.level = 5.0
    (unsafe,) = make_all_safe([("laser", Nameless()), ("light", light)])
    assert not light.is_on()
    assert "laser" in str(unsafe)
    assert "no such device" in str(unsafe)
    assert "TimeoutError" in unsafe.reason


@pytest.mark.parametrize("said", [ZeroDivisionError("1/0"), OSError("unplugged"), None, "hot"])
def test_a_third_partys_meter_that_fails_in_its_own_way_counts_as_open(said):
    lock = interlock([20.0])

    def read():
        if isinstance(said, Exception):
            raise said
        return said

    lock.meter.read = read
    with pytest.raises(InterlockTripped, match="could not be read and so counts as open"):
        lock.check()
    assert lock.is_open


def test_the_guardian_goes_on_to_the_next_light_whatever_one_raises(monkeypatch, caplog):
    light = GuardedLight(
        name="led", declaration="gone.yaml", address="", backend="@py", channel="power_mw",
        output=None, limits=(0.0, 1.0), safe=0.0,
    )  # fmt: skip

    def make_safe(_):
        raise OSError("the file is gone")

    monkeypatch.setattr(GuardedLight, "make_safe", make_safe)
    monkeypatch.setattr(guardian, "TRIES_FOR_S", 0.0)
    with caplog.at_level(logging.CRITICAL):
        assert guardian._darken(light) is False
    assert "LIGHT MAY STILL BE ON" in caplog.text


def test_lights_with_a_line_of_their_own_do_not_wait_for_those_behind_a_core(tmp_path):
    lamp = {"device": "Lamp", "property": "Level", "level": 1, "limits": [0, 2]}
    config = make_config(tmp_path, bench={"roles": {"shutter": {"device": "Blade"}}})
    roles = {"lamp": {"kind": "light", **lamp}, **config.model_dump()["bench"]["roles"]}
    bench = type(config.bench).model_validate({**config.model_dump()["bench"], "roles": roles})
    assert next(iter(bench.roles)) == "lamp"
    assert lights_first(bench)[:3] == ["light", "lamp", "shutter"]


@pytest.mark.parametrize("per", ["move", "s"])
def test_conformance_moves_no_farther_at_once_than_the_slew_limit(tmp_path, per):
    most = {"move": 4.0, "s": 40.0}[per]
    slew = {"most": most, "per": per}
    changes = {"focus": {"slew": slew}, "sample": {"slew": slew}}
    bench, record = mock_bench(tmp_path, roles=changes)
    results = check_bench(bench, scope=Scope.MOVE)
    for device, start in (("Z", (0.0,)), ("XY", (0.0, 0.0))):
        asked = [c.value for c in record.calls if (c.device, c.command) == (device, "start")]
        way = [start, *(value if isinstance(value, tuple) else (value,) for value in asked)]
        assert len(way) > 2
        for here, there in itertools.pairwise(way):
            assert sum((a - b) ** 2 for a, b in zip(here, there, strict=True)) <= 16.0
    assert not any(each.status == "failed" for of in results.values() for each in of)


def test_conformance_does_not_go_where_an_interlock_over_a_role_opens(tmp_path):
    bench, record = mock_bench(tmp_path)
    over_focus = interlock([0.0], below=5.0, name="focus", role="focus")
    bench.interlocks.all = (*bench.interlocks.all, over_focus)
    check_bench(bench, scope=Scope.MOVE)
    asked = [c.value for c in record.calls if (c.device, c.command) == ("Z", "start")]
    assert asked
    assert all(target < 5.0 for target in asked)


def test_conformance_lights_nothing_that_its_slew_limit_keeps_dark(tmp_path):
    light = {"limits": [5, 20], "level": 10, "slew": {"most": 1, "beyond": "refuse"}}
    bench, record = mock_bench(tmp_path, roles={"light": light})
    results = check_bench(bench, scope=Scope.MOVE)
    assert ("led", "start") not in record.names()
    assert "slew limit" in str(results["light"])


def test_conformance_reports_a_device_that_cannot_say_where_it_is(tmp_path):
    bench, record = mock_bench(tmp_path, roles={"focus": {"slew": {"most": 1}}})

    def read_back():
        raise DeviceError("no answer")

    bench.devices["focus"].read_back = read_back
    results = check_bench(bench, scope=Scope.MOVE)
    assert any(each.status == "failed" for each in results["focus"])
    assert ("Z", "start") not in record.names()


BARE = """identify: "^infoloop,virtual LED driver,"
timeout_ms: 1000
channels:
  power_mw: {get: "SOUR:POW?", set: "SOUR:POW {value:.6f}", unit: mW, limits: [0, 20], tolerance: 1}
"""


def test_a_light_goes_dark_where_another_does_not_fit_its_role(tmp_path):
    """Its declaration knows no dark level, so that closing the instrument would leave it lit."""
    (tmp_path / "bare.yaml").write_text(BARE)
    with FaultServer() as server, FaultServer() as other:
        light = {"device": "led", "channel": "power_mw", "output": None, "safe": 0}
        config = make_config(
            tmp_path,
            bench={
                "micromanager": {"virtual": "pupil_microscope"},
                "visa": {
                    "led": {"declaration": "bare.yaml", "address": server.address},
                    "laser": {"declaration": "bare.yaml", "address": other.address},
                },
                "roles": {
                    "light": light,
                    "second": {**light, "device": "laser", "level": 1, "limits": [0, 900]},
                },
            },
        )
        bare = load_declaration(tmp_path / "bare.yaml")
        with VisaInstrument.open(bare, server.address, name="led") as led:
            led.set("power_mw", 7.0)  # as the last process left it
        with ExitStack() as undo:
            instruments = open_instruments(config, None, undo)
            with pytest.raises(ConnectError, match="second"):
                open_lights(config, instruments)
        with VisaInstrument.open(bare, server.address, name="led") as led:
            assert led.read("power_mw") == 0.0


def test_a_light_goes_dark_where_another_instrument_is_not_there(tmp_path):
    """Its declaration knows no dark level, so that closing the instrument would leave it lit."""
    (tmp_path / "bare.yaml").write_text(BARE)
    with FaultServer() as server, FaultServer() as other:
        other.inject(Fault.NO_REPLY, on=".", times=None)
        light = {"device": "led", "channel": "power_mw", "output": None, "safe": 0}
        config = make_config(
            tmp_path,
            bench={
                "micromanager": {"virtual": "pupil_microscope"},
                "visa": {
                    "led": {"declaration": "bare.yaml", "address": server.address},
                    "laser": {"declaration": "bare.yaml", "address": other.address},
                },
                "roles": {"light": {**light, "level": 5, "limits": [0, 20]}},
            },
        )
        bare = load_declaration(tmp_path / "bare.yaml")
        with VisaInstrument.open(bare, server.address, name="led") as led:
            led.set("power_mw", 7.0)  # as the last process left it
        with ExitStack() as undo, pytest.raises(ConnectError, match="laser"):
            open_instruments(config, None, undo)
        with VisaInstrument.open(bare, server.address, name="led") as led:
            assert led.read("power_mw") == 0.0
