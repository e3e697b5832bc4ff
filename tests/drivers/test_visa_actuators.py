"""A declared channel as something that a design moves: checked, set, verified, left safe."""

from __future__ import annotations

import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers.devices import NumericProperty, Selector
from drivers.errors import DeviceError, DeviceTimeout, InstrumentReported, LimitViolation
from drivers.testing import Fault, FaultServer
from drivers.visa import (
    DeclarationError,
    InstrumentDeclaration,
    VisaChoice,
    VisaInstrument,
    VisaNumber,
)


class Source:
    """A voltage source that is busy for some questions after a command."""

    def __init__(self) -> None:
        self.values = {"VOLT": "0", "DEL": "0", "COUN": "1", "MODE": "EXT", "WAVE": "SIN"}
        self.busy_for = 0
        self.asked_ready = 0

    def execute(self, line: str) -> str | None:
        match line.split(" "):
            case ["*IDN?"]:
                return "ACME,SOURCE,1,1"
            case ["*OPC?"]:
                self.asked_ready += 1
                self.busy_for -= 1
                return "1" if self.busy_for < 0 else "0"
            case ["SYST:ERR?"]:
                return '0,"No error"'
            case [question]:
                return self.values[question.removesuffix("?")]
            case [name, value]:
                self.values[name] = value
        return None


def number(name: str, **keys: object) -> dict[str, object]:
    return {"get": f"{name}?", "set": f"{name} {{value:.3f}}", **keys}


DECLARED = InstrumentDeclaration.model_validate({
    "identify": "^ACME,SOURCE",
    "timeout_ms": 300,
    "error_query": "SYST:ERR?",
    "channels": {
        "bias_v": number(
            "VOLT", unit="V", limits=[-5, 5], safe=1, step=0.01,
            slew={"step": 2, "interval_ms": 1},
        ),
        "delay_us": number(
            "DEL", unit="us", limits=[0, 100], step=0.5, tolerance=0.01,
            ready={"query": "*OPC?", "answer": "1", "within_ms": 5000},
        ),
        "pulses": number("COUN", unit="1", limits=[1, 9], step=1),
        "trigger": {
            "kind": "choice", "get": "MODE?", "set": "MODE {value}",
            "values": {"internal": "INT", "external": "EXT", "line": "LINE"}, "safe": "external",
        },
        "wave": {
            "kind": "choice", "get": "WAVE?", "set": "WAVE {value}",
            "values": {"sine": "SIN", "square": "SQU"},
        },
        "measured_v": {"get": "VOLT?", "unit": "V"},
        "output": {"kind": "switch", "get": "OUT?", "turn_on": "OUT 1", "turn_off": "OUT 0"},
    },
})  # fmt: skip


@pytest.fixture
def source():
    source = Source()
    source.values["OUT"] = "0"
    return source


@pytest.fixture
def server(source):
    with FaultServer(source) as server:
        yield server


@pytest.fixture
def instrument(server):
    with VisaInstrument.open(DECLARED, server.address, name="source") as instrument:
        server.forget()
        yield instrument
        server.heal()


@pytest.fixture
def delay(instrument):
    return VisaNumber(instrument, channel="delay_us")


@pytest.fixture
def trigger(instrument):
    return VisaChoice(instrument, channel="trigger")


def commands(server: FaultServer) -> list[str]:
    return [line for line in server.heard if "?" not in line]


def test_they_keep_their_protocols(delay, trigger):
    assert isinstance(delay, NumericProperty)
    assert isinstance(trigger, Selector)


def test_they_say_what_they_are(instrument, delay, trigger):
    said = delay.describe()
    assert (said.name, said.kind, said.identity) == (
        "source.delay_us", "property", "ACME,SOURCE,1,1",
    )  # fmt: skip
    assert said.limits == {"delay_us": (0.0, 100.0)}
    assert said.properties["unit"] == "us"
    assert VisaNumber(instrument, channel="bias_v").describe().properties["safe"] == "1"
    said = trigger.describe()
    assert (said.name, said.kind, said.limits) == (
        "source.trigger", "selector", {"position": (0.0, 2.0)},
    )  # fmt: skip
    assert said.properties["safe"] == "external"
    assert trigger.labels == ("internal", "external", "line")


# ---- check


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(target=st.floats().filter(lambda target: not 0 <= target <= 100))
def test_a_number_beyond_the_limits_is_refused_and_nothing_sent(delay, server, target):
    for refuse in (delay.check, delay.start):
        with pytest.raises(LimitViolation, match=r"source.*`delay_us`.*0 to 100 us allowed"):
            refuse(target)
    assert server.heard == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(target=st.floats(0, 100))
def test_checking_what_is_allowed_sends_nothing(delay, server, target):
    delay.check(target)
    assert server.heard == []


@pytest.mark.parametrize("target", [2.5, 1.0001])
def test_a_number_of_whole_steps_refuses_fractions(instrument, server, target):
    pulses = VisaNumber(instrument, channel="pulses")
    assert pulses.is_integer
    for refuse in (pulses.check, pulses.start):
        with pytest.raises(LimitViolation, match=r"source.*`pulses`.*whole numbers only"):
            refuse(target)
    assert server.heard == []


@pytest.mark.parametrize("position", [-1, 3, 1.0, 0.5, True, "line", float("nan")], ids=str)
def test_what_is_no_position_is_refused_and_nothing_sent(trigger, server, position):
    for refuse in (trigger.check, trigger.start):
        with pytest.raises(LimitViolation, match=r"0 to 2 \(internal, external, line\)"):
            refuse(position)
    assert server.heard == []


@pytest.mark.parametrize(
    ("kind", "channel", "words"),
    [
        (VisaNumber, "delay", r"source.*did you mean `delay_us`"),
        (VisaNumber, "measured_v", r"`measured_v` asked as a number to set, but it is only read"),
        (VisaNumber, "output", r"`output` asked as a number to set, but it is a switch"),
        (VisaNumber, "trigger", r"`trigger` asked as a number to set, but it is a choice"),
        (VisaChoice, "delay_us", r"`delay_us` asked as a choice, but it is a number"),
        (VisaChoice, "output", r"`output` asked as a choice, but it is a switch"),
    ],
)
def test_a_channel_that_cannot_be_moved_is_named(instrument, kind, channel, words):
    with pytest.raises(DeclarationError, match=words):
        kind(instrument, channel=channel)


# ---- start, wait, read back


@pytest.mark.parametrize(("asked", "there"), [(7.0, 7.0), (7.2, 7.0), (7.3, 7.5), (100.0, 100.0)])
def test_a_number_arrives_at_the_step_nearest_to_what_was_asked(delay, server, asked, there):
    delay.start(asked)
    delay.wait(timeout_s=0)
    assert delay.read_back() == there
    assert commands(server) == [f"DEL {there:.3f}"]


def test_a_number_is_read_back_only_when_it_is_ready(delay, source, server):
    source.busy_for = 3
    delay.start(20.0)
    assert source.asked_ready == 4
    assert server.heard.index("DEL?") > server.heard.index("*OPC?")


def test_a_number_with_a_slew_goes_in_steps(instrument, server):
    bias = VisaNumber(instrument, channel="bias_v")
    bias.start(4.5)
    assert commands(server) == ["VOLT 2.000", "VOLT 4.000", "VOLT 4.500"]
    bias.wait(timeout_s=0)
    assert bias.read_back() == 4.5


def test_a_choice_arrives(trigger, source):
    for position, word in enumerate(["INT", "EXT", "LINE"]):
        trigger.start(position)
        trigger.wait(timeout_s=0)
        assert source.values["MODE"] == word
        assert trigger.read_back() == position
        assert type(trigger.read_back()) is int


def test_a_command_that_is_ignored_is_an_error(delay, trigger, server):
    server.inject(Fault.IGNORED, on="DEL |MODE ", times=None)
    with pytest.raises(DeviceError, match=r"source.*`delay_us` 20 asked, 0 read back"):
        delay.start(20.0)
    with pytest.raises(DeviceError, match=r"source.*`trigger` 2 asked, 1 read back"):
        trigger.start(2)


def test_a_command_that_the_instrument_refuses_is_an_error(delay, server):
    server.inject(Fault.ACCEPTED_WITH_ERROR, on="DEL ")
    with pytest.raises(InstrumentReported, match=r"source.*`DEL 20\.000` sent, -222"):
        delay.start(20.0)


def test_what_was_moved_away_again_never_arrives(delay, trigger, source):
    delay.start(20.0)
    trigger.start(2)
    source.values |= {"DEL": "3", "MODE": "INT"}
    with pytest.raises(DeviceTimeout, match=r"`delay_us` 20 us asked, 3 after"):
        delay.wait(timeout_s=0.03)
    with pytest.raises(DeviceTimeout, match=r"`trigger` line asked, internal after"):
        trigger.wait(timeout_s=0.03)


def test_a_failed_start_leaves_nothing_to_wait_for(delay, trigger, server):
    delay.start(10.0)
    trigger.start(0)
    server.inject(Fault.IGNORED, on="DEL |MODE ", times=None)
    for device, target in ((delay, 20.0), (trigger, 2)):
        with pytest.raises(DeviceError):
            device.start(target)
        server.forget()
        device.wait(timeout_s=0)
        assert server.heard == []


# ---- the ways out


def test_a_number_goes_to_its_safe_value_without_a_ramp_and_one_without_stays(
    instrument, delay, source, server
):
    bias = VisaNumber(instrument, channel="bias_v")
    bias.start(5.0)
    delay.start(20.0)
    server.forget()
    delay.make_safe()
    assert server.heard == []
    bias.make_safe()
    assert commands(server) == ["VOLT 1.000"]
    assert (bias.read_back(), delay.read_back()) == (1.0, 20.0)


def test_a_choice_goes_to_its_safe_word_and_one_without_stays(instrument, trigger, server):
    wave = VisaChoice(instrument, channel="wave")
    trigger.start(2)
    wave.start(1)
    server.forget()
    wave.make_safe()
    assert server.heard == []
    trigger.make_safe()
    assert (trigger.labels[trigger.read_back()], wave.read_back()) == ("external", 1)


def test_a_safe_value_that_is_not_reached_is_said(instrument, server):
    bias = VisaNumber(instrument, channel="bias_v")
    bias.start(3.0)
    server.inject(Fault.IGNORED, on="VOLT ", times=None)
    with pytest.raises(DeviceError, match=r"source.*safe state asked, not verified.*bias_v"):
        bias.make_safe()


def test_made_safe_in_another_thread_a_ramp_stops(instrument, source, mocker):
    bias = VisaNumber(instrument, channel="bias_v")
    execute = source.execute

    def make_safe_on_the_way(line: str) -> str | None:
        if line == "VOLT 2.000":
            thread.start()
            has_begun.wait(10)
        return execute(line)

    has_begun = threading.Event()
    go_dark = instrument.go_dark

    def begin(safe):
        has_begun.set()
        go_dark(safe)

    thread = threading.Thread(target=bias.make_safe)
    mocker.patch.object(instrument, "go_dark", begin)
    mocker.patch.object(source, "execute", make_safe_on_the_way)
    with pytest.raises(DeviceError, match="made safe"):
        bias.start(4.5)
    thread.join(10)
    assert bias.read_back() == 1.0


def test_closing_makes_safe_and_twice_is_once(instrument, trigger, source, server):
    bias = VisaNumber(instrument, channel="bias_v")
    bias.start(3.0)
    trigger.start(0)
    bias.close()
    trigger.close()
    assert (source.values["VOLT"], source.values["MODE"]) == ("1.000", "EXT")
    instrument.close()
    server.forget()
    bias.close()
    trigger.close()
    assert server.heard == []
