"""Declared VISA lights, meters, numbers and choices in the suite that judges all devices."""

from pathlib import Path

import pytest
import yaml

from drivers.conformance import Scope, check_light, check_meter, check_property, check_selector
from drivers.testing import Fault, FaultServer
from drivers.visa import (
    VisaChoice,
    VisaInstrument,
    VisaLight,
    VisaMeter,
    VisaNumber,
    load_declaration,
)

DECLARATION = Path(__file__).parents[3] / "configs" / "instruments" / "led_driver.yaml"
SIMULATIONS = Path(__file__).parents[1] / "visa_simulations"


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


# ---- what a design moves, of simulated instruments


@pytest.fixture
def simulated():
    opened = []

    def connect(name: str) -> VisaInstrument:
        simulation = SIMULATIONS / f"{name}.yaml"
        (address,) = yaml.safe_load(simulation.read_text(encoding="utf-8"))["resources"]
        declared = load_declaration(DECLARATION.parent / f"{name}.yaml")
        opened.append(
            VisaInstrument.open(declared, address, name=name, backend=f"{simulation}@sim")
        )
        return opened[-1]

    yield connect
    for instrument in opened:
        instrument.close()


@pytest.mark.parametrize(
    ("name", "channel", "tolerance"),
    [
        ("srs_dg645", "b_delay_us", 1e-5),
        ("srs_dg645", "ab_amplitude_v", 0.005),
        ("thorlabs_itc4000", "setpoint_c", 0.005),
        ("keithley_2400", "voltage_v", 0.001),
    ],
)
def test_a_declared_number_passes_every_check(simulated, name, channel, tolerance):
    number = VisaNumber(simulated(name), channel=channel)
    results = check_property(number, scope=Scope.SIMULATED, tolerance=tolerance, safe=number.safe)
    assert [each for each in results if each.status == "failed"] == []
    skipped = {each.came for each in results if each.status == "skipped"}
    assert skipped == {"it takes fractions"}


@pytest.mark.parametrize(("name", "channel"), [("srs_dg645", "trigger")])
def test_a_declared_choice_passes_every_check(simulated, name, channel):
    choice = VisaChoice(simulated(name), channel=channel)
    results = check_selector(choice, scope=Scope.SIMULATED, safe=choice.safe)
    assert [each for each in results if each.status != "passed"] == []
