"""What `step`, `slew`, `ready`, choices and other error queries mean, and how dark comes first."""

from __future__ import annotations

import contextlib
import random
import threading
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import DeviceError, DeviceTimeout, InstrumentReported, LimitViolation
from drivers.testing import Fault, FaultServer
from drivers.visa import (
    ChoiceChannel,
    InstrumentDeclaration,
    NumberChannel,
    VisaInstrument,
    VisaLight,
)
from drivers.visa.answers import parse_channel, parse_error, parse_ready
from drivers.visa.channels import Ready
from drivers.visa.declaration import ErrorQuery
from drivers.visa.ramp import Stopped, climb


class Laser:
    """A laser driver that needs time, in questions and not in seconds."""

    def __init__(self) -> None:
        self.current_a = 0.0
        self.is_on = False
        self.mode = "CW"
        self.busy_for = 0
        self.asked_ready = threading.Event()
        self.event_status = 0
        self.refused_a: float | None = None
        self.rises_a: list[float] = []

    def execute(self, line: str) -> str | None:
        match line.split(" "):
            case ["*IDN?"]:
                return "ACME,LASER,1,1"
            case ["CURR?"]:
                return f"0,{self.current_a:.6f}"
            case ["CURR", value] if float(value) == self.refused_a:
                self.event_status |= 16
            case ["CURR", value]:
                self.rises_a.append(float(value) - self.current_a)
                self.current_a = float(value)
            case ["OUTP?"]:
                return str(int(self.is_on))
            case ["OUTP", state]:
                self.is_on = state == "1"
            case ["MODE?"]:
                return f'"{self.mode.lower()}"'
            case ["MODE", mode]:
                self.mode = mode
            case ["STAT?"]:
                self.asked_ready.set()
                self.busy_for -= 1
                return "21" if self.busy_for >= 0 else "5"  # bit 4 is busy
            case ["*ESR?"]:
                said, self.event_status = self.event_status, 0
                return str(said)
            case _:
                self.event_status |= 32
        return None


def declared(**current: object) -> InstrumentDeclaration:
    """A laser's declaration; keywords replace keys of its current."""
    channel = {
        "get": "CURR?",
        "field": 2,
        "set": "CURR {value:.6f}",
        "unit": "mA",
        "scale": 0.001,
        "limits": [0, 100],
        "safe": 0,
        "step": 0.5,
    }
    return InstrumentDeclaration.model_validate({
        "identify": "^ACME,LASER",
        "timeout_ms": 300,
        "error_query": {"query": "*ESR?", "mask": 60},
        "channels": {
            "current_ma": {**channel, **current},
            "output": {"kind": "switch", "get": "OUTP?", "turn_on": "OUTP 1", "turn_off": "OUTP 0"},
            "mode": {
                "kind": "choice",
                "get": "MODE?",
                "set": "MODE {value}",
                "values": {"constant": "CW", "pulsed": "PULS"},
            },
        },
    })


RAMP = {"slew": {"step": 10, "interval_ms": 1}}
BUSY = {"ready": {"query": "STAT?", "mask": 16, "within_ms": 20_000}}


@pytest.fixture
def laser():
    return Laser()


@pytest.fixture
def server(laser):
    with FaultServer(laser) as server:
        yield server


@pytest.fixture
def connect(server):
    opened: list[VisaInstrument] = []

    def connect(**current: object) -> VisaInstrument:
        opened.append(VisaInstrument.open(declared(**current), server.address, name="laser"))
        server.forget()
        return opened[-1]

    yield connect
    server.heal()
    for instrument in opened:
        instrument.close()


def commands(server: FaultServer) -> list[str]:
    return [line for line in server.heard if "?" not in line]


# ---- step and scale


@pytest.mark.parametrize(
    ("asked", "sent"), [(7.0, "0.007000"), (7.2, "0.007000"), (7.3, "0.007500"), (100, "0.100000")]
)
def test_the_nearest_step_is_sent_in_the_instruments_own_unit(connect, server, asked, sent):
    assert connect().set("current_ma", asked) == float(sent) * 1000
    assert commands(server) == [f"CURR {sent}"]


def test_a_light_between_two_steps_arrives(connect):
    light = VisaLight(connect(), level="current_ma")
    light.start(7.2)
    light.wait(timeout_s=0.01)
    assert light.read_back() == 7.0


@given(asked=st.floats(0, 100), step=st.sampled_from([0.1, 0.25, 0.5, 2.0, 100.0]))
def test_rounding_moves_a_value_by_half_a_step_and_never_beyond_the_limits(asked, step):
    channel = declared(step=step).channels["current_ma"]
    assert 0 <= channel.nearest(asked) <= 100
    assert abs(channel.nearest(asked) - asked) <= step / 2 * (1 + 1e-9)


# ---- slew


@given(
    start=st.floats(-50, 150),
    target=st.floats(0, 100),
    step=st.sampled_from([None, 0.1, 0.5, 4.0]),
    slew=st.sampled_from([4.0, 7.3, 10.0, 200.0]),
)
def test_no_command_of_a_ramp_changes_more_than_the_slew_and_the_last_is_the_target(
    start, target, step, slew
):
    channel = declared(
        step=step, tolerance=0.01, slew={"step": slew, "interval_ms": 0.001}
    ).channels["current_ma"]
    target = channel.nearest(target)
    levels = [start]
    climb(
        channel,
        target,
        start=start,
        set_level=lambda level: levels.append(level) or level,
        before_step=None,
        stop=threading.Event(),
        what="laser",
    )
    assert levels[-1] == target
    assert all(0 <= level <= 100 for level in levels[1:])
    inside = [min(max(levels[0], 0), 100), *levels[1:]]  # back within limits is not to be slow
    assert all(abs(b - a) <= slew * (1 + 1e-9) for a, b in pairwise(inside))
    assert sorted(inside) in (inside, inside[::-1])


def test_a_laser_is_switched_on_dark_and_goes_up_in_steps(connect, server):
    light = VisaLight(connect(**RAMP), level="current_ma")
    light.start(25.0)
    assert commands(server) == [
        "OUTP 0", "CURR 0.000000", "OUTP 1", "CURR 0.010000", "CURR 0.020000", "CURR 0.025000",
    ]  # fmt: skip
    server.forget()
    light.start(12.0)
    assert commands(server) == ["CURR 0.015000", "CURR 0.012000"]


def test_off_takes_no_ramp(connect, server, laser):
    instrument = connect(**RAMP)
    VisaLight(instrument, level="current_ma").start(80.0)
    server.forget()
    instrument.make_safe()
    assert server.heard[:2] == ["OUTP 0", "CURR 0.000000"]
    assert (laser.is_on, laser.current_a) == (False, 0.0)


def test_an_interlock_ends_a_ramp_where_it_is(connect, laser):
    class InterlockError(Exception):
        pass

    def trip() -> None:
        if laser.current_a >= 0.02:
            raise InterlockError

    light = VisaLight(connect(**RAMP), level="current_ma")
    light.guard_ramps(trip)
    with pytest.raises(InterlockError):
        light.start(80.0)
    assert laser.current_a == 0.02


def test_a_ramp_stops_when_another_thread_makes_it_safe(connect, server, laser):
    instrument = connect(**RAMP)

    def make_safe_at_thirty() -> None:
        if laser.current_a >= 0.03:
            thread = threading.Thread(target=instrument.make_safe)
            thread.start()
            thread.join()

    light = VisaLight(instrument, level="current_ma")
    light.guard_ramps(make_safe_at_thirty)
    with pytest.raises(Stopped, match=r"laser.*made safe"):
        light.start(80.0)
    assert commands(server)[-2:] == ["OUTP 0", "CURR 0.000000"]
    assert (laser.is_on, laser.current_a) == (False, 0.0)


def test_a_step_that_does_not_arrive_ends_the_ramp(connect, server, laser):
    instrument = connect(**RAMP)
    server.inject(Fault.IGNORED, on="CURR 0.03", times=None)
    with pytest.raises(DeviceError, match=r"laser.*30 asked, 20 read back"):
        instrument.set("current_ma", 80.0)
    assert laser.current_a == 0.02


def test_a_ramp_is_bounded_in_time(connect):
    channel = connect(slew={"step": 100, "interval_ms": 1, "longest_s": 0.001}).channel(
        "current_ma"
    )
    slower = channel.model_copy(
        update={"slew": channel.slew.model_copy(update={"step": 1.0})}
    )  # the instrument's own time is not in the plan
    with pytest.raises(DeviceTimeout, match=r"laser 80 mA asked.*raise `longest_s`"):
        climb(
            slower, 80.0, start=0.0, set_level=lambda level: level, before_step=None,
            stop=threading.Event(), what="laser",
        )  # fmt: skip


def test_a_level_is_checked_before_its_ramp_begins(connect, server):
    with pytest.raises(LimitViolation, match=r"laser.*0 to 100 mA"):
        connect(**RAMP).set("current_ma", 101.0)
    assert server.heard == []


@pytest.mark.parametrize(
    "ramps", [15, pytest.param(300, marks=[pytest.mark.slow, pytest.mark.timeout(600)])]
)
def test_random_faults_never_make_a_laser_jump_and_leave_it_dark(connect, server, laser, ramps):
    draw = random.Random(5)  # noqa: S311 - no secret
    arrived = 0
    light = VisaLight(connect(**RAMP), level="current_ma")
    for _ in range(ramps):
        server.inject(
            draw.choice([fault for fault in Fault if fault is not Fault.REFUSED]),
            on=draw.choice([r"\?", "CURR", "CURR ", "OUTP", "ESR"]),
        )
        with contextlib.suppress(DeviceError):
            light.start(draw.uniform(0, 100))
            arrived += 1
    server.heal()
    light.make_safe()
    assert arrived > ramps / 4  # else too few ramps went on for this to have tested them
    assert max(laser.rises_a) <= 0.01 * (1 + 1e-9)
    assert (laser.is_on, laser.current_a) == (False, 0.0)


# ---- the way to dark


@pytest.mark.parametrize("keys", [RAMP, {}], ids=["ramped", "at once"])
def test_a_light_made_safe_while_it_starts_is_not_switched_on_after(connect, laser, mocker, keys):
    light = VisaLight(connect(**keys), level="current_ma")
    switch_on = VisaLight._switch_on

    def make_safe_just_before(light, *arguments):
        thread = threading.Thread(target=light.make_safe)
        thread.start()
        thread.join()
        switch_on(light, *arguments)

    mocker.patch.object(VisaLight, "_switch_on", make_safe_just_before)
    with pytest.raises(Stopped, match=r"laser.*`OUTP 1` was to be sent"):
        light.start(25.0)
    assert (laser.is_on, laser.current_a) == (False, 0.0)


def test_where_a_switch_stays_on_the_level_is_lowered_but_never_raised(connect, server, laser):
    instrument = connect(limits=[0, 100], safe=5)
    server.inject(Fault.IGNORED, on="OUTP 0", times=None)
    for before_ma, after_ma in [(3.0, 3.0), (80.0, 5.0)]:
        laser.is_on, laser.current_a = True, before_ma / 1000
        with pytest.raises(DeviceError, match="LIGHT MAY STILL BE ON"):
            instrument.make_safe()
        assert laser.current_a == after_ma / 1000


def test_a_safe_level_above_dark_is_set_once_the_switch_is_verified_off(connect, server, laser):
    laser.is_on, laser.current_a = True, 0.003
    connect(limits=[0, 100], safe=5).make_safe()
    assert server.heard[:2] == ["OUTP 0", "OUTP?"]
    assert (laser.is_on, laser.current_a) == (False, 0.005)


# ---- ready


def test_it_is_read_back_only_when_it_is_ready(connect, server, laser):
    laser.busy_for = 3
    assert connect(**BUSY).set("current_ma", 7.0) == 7.0
    assert server.heard[1:] == ["CURR 0.007000", *["STAT?"] * 4, "*ESR?", "CURR?"]


def test_never_ready_is_a_timeout_that_names_command_and_question(connect, laser):
    laser.busy_for = 10**9
    instrument = connect(ready={"query": "STAT?", "mask": 16, "within_ms": 50})
    with pytest.raises(DeviceTimeout, match=r"laser.*`CURR 0.007000` sent, not ready 50 ms.*STAT"):
        instrument.set("current_ma", 7.0)


def test_an_unanswered_ready_question_is_a_timeout_too(connect, server):
    server.inject(Fault.NO_REPLY, on="STAT", times=None)
    instrument = connect(ready={"query": "STAT?", "mask": 16, "within_ms": 50})
    with pytest.raises(DeviceTimeout, match="not ready 50 ms"):
        instrument.set("current_ma", 7.0)


def test_dark_gets_through_while_something_is_not_ready(connect, laser):
    laser.busy_for = 10**9
    instrument = connect(**BUSY)

    def make_safe_once_asked() -> None:
        laser.asked_ready.wait()
        instrument.make_safe()

    other = threading.Thread(target=make_safe_once_asked)
    other.start()
    with pytest.raises(Stopped, match=r"laser.*made safe meanwhile"):
        instrument.set("current_ma", 7.0)
    other.join()
    assert laser.current_a == 0.0


@pytest.mark.parametrize(
    ("ready", "answer", "expected"),
    [
        ({"answer": "1"}, "+1", True),
        ({"answer": "1"}, "0", False),
        ({"answer": "READY"}, '"ready"', True),
        ({"mask": 16}, "5", True),
        ({"mask": 16}, "21", False),
        ({"mask": 24, "equals": 8}, "+8", True),
        ({"mask": 24, "equals": 8}, "16", False),
    ],
)
def test_what_says_ready(ready, answer, expected):
    sign = Ready.model_validate({"query": "STAT?", "within_ms": 1, **ready})
    assert parse_ready(answer, sign) is expected


def test_text_for_a_register_is_no_answer():
    with pytest.raises(ValueError, match="no register"):
        parse_ready("OVLD", Ready(query="STAT?", within_ms=1, mask=4))


# ---- choices, fields and error queues


def test_a_choice_is_made_and_read_by_its_word(connect, server, laser):
    instrument = connect()
    assert instrument.chosen("mode") == "constant"
    assert instrument.choose("mode", "pulsed") == "pulsed"
    assert (laser.mode, commands(server)) == ("PULS", ["MODE PULS"])


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda laser: laser.choose("mode", "puls"), r"laser.*`mode` 'puls'.*did you mean `pulsed"),
        (lambda laser: laser.set("mode", 2), r"laser.*`mode` 2 asked, 0 to 1 allowed"),
        (lambda laser: laser.set("mode", 0.5), r"laser.*`mode` 0.5 asked"),
        (lambda laser: laser.choose("output", "on"), r"laser.*`output` asked by a word"),
        (lambda laser: laser.chosen("current_ma"), r"laser.*`current_ma` asked by a word"),
    ],
)
def test_a_choice_that_is_none_sends_nothing(connect, server, ask, message):
    instrument = connect()
    with pytest.raises(DeviceError, match=message):
        ask(instrument)
    assert server.heard == []


def test_an_answer_that_is_none_of_the_words_is_named(connect, laser):
    laser.mode = "QCW"
    with pytest.raises(DeviceError, match=r"laser.*'\"qcw\"', which is none of constant, pulsed"):
        connect().chosen("mode")


@pytest.mark.parametrize(
    ("sent", "answer"), [("CW", '"cw"'), ("1", "+1"), ("01", "1"), ("VOLT", "VOLT"), ("A B", "a b")]
)
def test_answers_are_compared_as_instruments_write_them(sent, answer):
    channel = ChoiceChannel(kind="choice", get="M?", set="M {value}", values={"x": sent, "y": "Z"})
    assert channel.place(answer) == 0.0


def test_a_field_that_is_not_there_is_no_answer():
    channel = NumberChannel(get="READ?", unit="V", field=3)
    assert parse_channel("1, 2, 3.5 ,4", channel) == 3.5
    with pytest.raises(ValueError, match="no part 3"):
        parse_channel("1,2", channel)


def test_an_error_register_is_reported_and_an_old_error_not_blamed_on_the_set(connect, laser):
    instrument = connect()
    laser.execute("NONSENSE")
    assert instrument.set("current_ma", 8.0) == 8.0
    laser.refused_a = 0.009
    with pytest.raises(InstrumentReported, match=r"laser.*CURR 0.009000.*\*ESR\? 16 \(of bits 60"):
        instrument.set("current_ma", 9.0)


@pytest.mark.parametrize(
    ("error_query", "answer", "expected"),
    [
        ({}, '0,"No error"', None),
        ({}, "+0,'No error'", None),
        ({}, "0", None),
        ({}, '-222,"Data out of range"', '-222,"Data out of range"'),
        ({}, "17", "17"),
        ({"mask": 60}, "0", None),
        ({"mask": 60}, "129", None),
        ({"mask": 60}, "49", "ERR? 48 (of bits 60)"),
        ({"empty": "NO ERROR"}, "0, NO ERROR", None),
        ({"empty": "NO ERROR"}, "115, RANGE", "115, RANGE"),
    ],
)
def test_what_an_error_queue_says(error_query, answer, expected):
    query = ErrorQuery.model_validate({"query": "ERR?", **error_query})
    assert parse_error(answer, query) == expected


@pytest.mark.parametrize("answer", ["OVLD", "9.9E37", "", "1.5"])
def test_what_is_no_error_number_is_no_answer(answer):
    with pytest.raises(ValueError, match="does not begin with an error number"):
        parse_error(answer, ErrorQuery(query="ERR?"))
