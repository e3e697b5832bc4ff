"""A declared VISA light and meter, through a real socket, in the suite that judges all devices."""

from pathlib import Path

import pytest

from drivers.conformance import Scope, check_light, check_meter
from drivers.testing import Fault, FaultServer
from drivers.visa import VisaInstrument, VisaLight, VisaMeter, load_declaration

DECLARATION = Path(__file__).parents[3] / "configs" / "instruments" / "led_driver.yaml"


@pytest.fixture
def server():
    with FaultServer() as server:
        yield server
        server.heal()


@pytest.fixture
def instrument(server):
    with VisaInstrument.open(
        load_declaration(DECLARATION), server.address, name="led"
    ) as instrument:
        yield instrument
        server.heal()


def test_a_declared_light_passes_every_check(instrument, server):
    light = VisaLight(instrument, limits=(0.0, 15.0))
    results = check_light(light, scope=Scope.SIMULATED, limits=(0.0, 15.0))
    assert [each for each in results if each.status != "passed"] == []
    levels = {line for line in server.heard if line.startswith("SOUR:POW ")}
    assert levels == {"SOUR:POW 0.150000", "SOUR:POW 0.000000"}


def test_a_declared_meter_passes_every_check(instrument):
    results = check_meter(VisaMeter(instrument, channel="temperature_c"), scope=Scope.SIMULATED)
    assert [each for each in results if each.status != "passed"] == []


def test_a_light_that_ignores_its_commands_fails_and_says_what_was_read(instrument, server):
    server.inject(Fault.IGNORED, on="SOUR:POW ", times=None)
    results = check_light(VisaLight(instrument), scope=Scope.MOVE)
    (failed,) = [each for each in results if each.status == "failed"]
    assert failed.check == "shines at its lowest level, and goes dark"
    assert "read back" in failed.came
