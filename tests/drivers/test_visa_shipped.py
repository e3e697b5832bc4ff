"""Every shipped declaration against a simulated instrument: identified, every channel, dark.

pyvisa-sim answers what `visa_simulations/NAME.yaml` says; a new declaration needs its file there
and nothing here.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import LimitViolation, ProtocolError
from drivers.testing import FaultServer
from drivers.visa import (
    ChoiceChannel,
    InstrumentDeclaration,
    NumberChannel,
    SwitchChannel,
    VisaInstrument,
    VisaLight,
    VisaMeter,
    load_declaration,
)
from drivers.visa.session import VisaSession

INSTRUMENTS = Path(__file__).parents[2] / "configs" / "instruments"
SIMULATIONS = Path(__file__).parent / "visa_simulations"

DECLARATIONS = {path.stem: load_declaration(path) for path in INSTRUMENTS.glob("*.yaml")}
SIMULATED = sorted(DECLARATIONS.keys() - {"led_driver"})  # that one has a server of its own


def channels_of(*kinds: type):
    return [
        pytest.param(name, channel, id=f"{name}.{channel}")
        for name in SIMULATED
        for channel, declared in DECLARATIONS[name].channels.items()
        if isinstance(declared, kinds)
    ]


def settable():
    return [
        case
        for case in channels_of(NumberChannel)
        if DECLARATIONS[case.values[0]].channels[case.values[1]].set is not None
    ]


def quick(declaration: InstrumentDeclaration) -> InstrumentDeclaration:
    """The declaration with ramps that do not keep a test waiting."""
    channels = {
        name: channel.model_copy(
            update={"slew": channel.slew.model_copy(update={"interval_ms": 0.1})}
        )
        if isinstance(channel, NumberChannel) and channel.slew
        else channel
        for name, channel in declaration.channels.items()
    }
    return declaration.model_copy(update={"channels": channels})


@pytest.fixture
def connect():
    opened: list[VisaInstrument] = []

    def connect(name: str) -> VisaInstrument:
        simulation = SIMULATIONS / f"{name}.yaml"
        (address,) = yaml.safe_load(simulation.read_text())["resources"]
        backend = f"{simulation}@sim"
        opened.append(
            VisaInstrument.open(quick(DECLARATIONS[name]), address, name=name, backend=backend)
        )
        return opened[-1]

    yield connect
    for instrument in opened:
        instrument.close()


@pytest.fixture
def said(mocker):
    """Every line that any session sends."""
    lines: list[str] = []
    speak = VisaSession._speak

    def speak_and_note(session, text):
        lines.append(text)
        speak(session, text)

    mocker.patch.object(VisaSession, "_speak", speak_and_note)
    return lines


@pytest.mark.parametrize("name", SIMULATED)
def test_it_is_identified_and_sent_nothing_else(connect, said, name):
    assert connect(name).describe().identity
    assert said == ["*IDN?", "*IDN?"]


@pytest.mark.parametrize("name", SIMULATED)
def test_its_pattern_matches_no_other_shipped_instrument(name):
    identities = {
        other: next(
            dialogue["r"]
            for device in yaml.safe_load((SIMULATIONS / f"{other}.yaml").read_text())[
                "devices"
            ].values()
            for dialogue in device["dialogues"]
            if dialogue["q"] == "*IDN?"
        )
        for other in SIMULATED
    }
    matching = [other for other in SIMULATED if DECLARATIONS[name].recognises(identities[other])]
    assert matching == [name]


def test_another_instrument_at_the_address_is_refused():
    with (
        FaultServer() as server,
        pytest.raises(ProtocolError, match=r"does not match.*virtual LED"),
    ):
        VisaInstrument.open(DECLARATIONS["keithley_2400"], server.address, name="meter")


@pytest.mark.parametrize(
    ("name", "channel"), channels_of(NumberChannel, SwitchChannel, ChoiceChannel)
)
def test_every_channel_is_read(connect, name, channel):
    assert abs(connect(name).read(channel)) < 1e9


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(("name", "channel"), settable())
def test_every_number_is_set_and_read_back(connect, name, channel, share):
    declared = DECLARATIONS[name].channels[channel]
    low, high = declared.limits
    asked = low + share * (high - low)
    instrument = connect(name)
    got = instrument.set(channel, asked)
    assert got == instrument.read(channel)
    assert abs(got - asked) <= (declared.step or 0) / 2 + declared.agreement + 1e-12 * abs(asked)


@given(case=st.sampled_from(settable()), share=st.floats(0, 1))
def test_no_number_that_is_sent_is_beyond_the_limits(case, share):
    name, channel = case.values
    declared = DECLARATIONS[name].channels[channel]
    low, high = declared.limits
    command = declared.command(declared.nearest(low + share * (high - low)))
    sent = float(re.split("[ ,]", command)[-1]) / declared.scale
    assert low - 1e-9 * abs(low) <= sent <= high + 1e-9 * abs(high)


@pytest.mark.parametrize(("name", "channel"), settable())
def test_beyond_its_limits_nothing_is_sent(connect, said, name, channel):
    low, high = DECLARATIONS[name].channels[channel].limits
    instrument = connect(name)
    said.clear()
    for beyond in (low - 1e-6 * (high - low), high + 1e-6 * (high - low), float("nan")):
        with pytest.raises(LimitViolation, match=rf"{name}.*`{channel}`"):
            instrument.set(channel, beyond)
    assert said == []


@pytest.mark.parametrize(("name", "channel"), channels_of(ChoiceChannel))
def test_every_word_is_chosen_and_read_back(connect, said, name, channel):
    instrument = connect(name)
    for word in DECLARATIONS[name].channels[channel].words:
        assert instrument.choose(channel, word) == word
    said.clear()
    with pytest.raises(LimitViolation, match=rf"{name}.*`{channel}` 'nonsense'"):
        instrument.choose(channel, "nonsense")
    assert said == []


@pytest.mark.parametrize(("name", "channel"), channels_of(SwitchChannel))
def test_every_switch_is_set_and_read_back(connect, name, channel):
    instrument = connect(name)
    assert [instrument.set(channel, state) for state in (0.0, 1.0, 0.0)] == [0.0, 1.0, 0.0]


@pytest.mark.parametrize("name", SIMULATED)
def test_the_safe_state_is_reached_whatever_was_before(connect, name):
    instrument = connect(name)
    for channel, declared in DECLARATIONS[name].channels.items():
        if isinstance(declared, SwitchChannel):
            instrument.set(channel, 1.0)
    instrument.make_safe()
    for channel, declared in DECLARATIONS[name].channels.items():
        if isinstance(declared, SwitchChannel):
            assert instrument.read(channel) == 0.0
        elif isinstance(declared, NumberChannel) and declared.safe is not None:
            assert instrument.read(channel) == pytest.approx(declared.safe)
        elif isinstance(declared, ChoiceChannel) and declared.safe is not None:
            assert instrument.chosen(channel) == declared.safe


@pytest.mark.parametrize("name", SIMULATED)
def test_its_manual_is_cited_and_what_was_not_tried_is_said(name):
    text = (INSTRUMENTS / f"{name}.yaml").read_text(encoding="utf-8")
    comment = " ".join(text.partition("identify:")[0].replace("#", " ").split())
    assert "Commands: " in comment
    assert "Nothing here has been tried on the instrument itself" in comment


def test_a_laser_diode_is_a_light(connect, said):
    light = VisaLight(connect("thorlabs_itc4000"), level="current_ma", limits=(0, 150))
    light.make_safe()
    said.clear()
    light.start(25.0)
    light.wait(timeout_s=1)
    assert light.is_on()
    commands = [line for line in said if "?" not in line]
    assert commands == [
        "OUTP:STAT 0",
        "SOUR:CURR 0.00000",
        "OUTP:STAT 1",
        "SOUR:CURR 0.01000",
        "SOUR:CURR 0.02000",
        "SOUR:CURR 0.02500",
    ]


def test_a_power_meter_is_a_meter(connect):
    meter = VisaMeter(connect("thorlabs_pm100"), channel="power_mw")
    assert (meter.unit, meter.read()) == ("mW", pytest.approx(1.23456789))
