"""The guardian process, seen from the process it guards; `faces/test_kill.py` sees it at work."""

import pytest

from drivers import DeviceError
from drivers.testing import FaultServer
from instrument.bench.connect import connect
from instrument.bench.timing import Stopwatch
from tests.instrument.fakes import make_config


@pytest.fixture
def led():
    with FaultServer() as server:
        yield server


def config_of(tmp_path, led, **safety):
    port = led.address.split("::")[2]
    changes = {
        "micromanager": {"led": f"127.0.0.1:{port}"},
        "visa": {"led": {"address": led.address}},
    }
    return make_config(tmp_path, bench=changes, safety=safety)


def test_no_light_comes_on_without_a_guardian(tmp_path, led):
    with connect(config_of(tmp_path, led)) as bench:
        guardian = bench.lighting._guardian
        guardian._process.kill()
        guardian._process.wait(20)
        led.forget()
        lit = bench.illuminated(stopwatch=Stopwatch())
        with pytest.raises(DeviceError, match="is not there, so no light comes on"):
            lit.__enter__()
        assert "OUTP ON" not in led.heard


def test_it_ends_with_the_bench_and_leaves_the_instrument_alone(tmp_path, led):
    with connect(config_of(tmp_path, led)) as bench:
        with bench.illuminated(stopwatch=Stopwatch()):
            assert bench.devices["light"].is_on()
        process = bench.lighting._guardian._process
        assert process.poll() is None
    assert process.poll() is not None
    assert led.heard.count("*IDN?") == 1  # one connection; a second would be the guardian's


def test_a_bench_may_do_without(tmp_path, led):
    with connect(config_of(tmp_path, led, guardian=False)) as bench:
        assert bench.lighting._guardian is None
        with bench.illuminated(stopwatch=Stopwatch()):
            assert bench.devices["light"].is_on()
        assert not bench.devices["light"].is_on()
