"""The virtual LED driver: its SCPI, its physics, and its life as a server and as a process."""

from __future__ import annotations

import contextlib
import math
import re
import signal
import socket
import subprocess
import sys
import threading
from datetime import datetime
from pathlib import Path

import pytest

from drivers.virtual.scpi_server import (
    AMBIENT_C,
    THERMAL_RESISTANCE_C_PER_MW,
    THERMAL_TIME_S,
    ScpiServer,
    VirtualLed,
)
from drivers.visa import VisaInstrument, VisaLight, load_declaration

ROOT = Path(__file__).parents[2]
DECLARATION = ROOT / "configs" / "instruments" / "led_driver.yaml"


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def led():
    return VirtualLed(clock=lambda: 0.0)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param(["*IDN?"], "infoloop,virtual LED driver,0001,1.0", id="identity"),
        pytest.param(["*OPC?"], "1", id="operation complete"),
        pytest.param(["SOUR:POW 3.5", "SOUR:POW?"], "3.500000", id="short form"),
        pytest.param(["source:power 3.5", ":Source:Pow:Lev?"], "3.500000", id="long form"),
        pytest.param(["SOUR:POW 1E1", "sour:pow?"], "10.000000", id="exponent"),
        pytest.param(["SOURC:POW 1", "SYST:ERR?"], '-113,"Undefined header"', id="between forms"),
        pytest.param(["SOUR:POW 20.001", "SOUR:POW?"], "0.000000", id="too much changes nothing"),
        pytest.param(["SOUR:POW 20.001", "SYST:ERR?"], '-222,"Data out of range"', id="too much"),
        pytest.param(["SOUR:POW -1", "SYST:ERR?"], '-222,"Data out of range"', id="negative"),
        pytest.param(["SOUR:POW nan", "SYST:ERR?"], '-222,"Data out of range"', id="NaN"),
        pytest.param(["SOUR:POW high", "SYST:ERR?"], '-104,"Data type error"', id="text"),
        pytest.param(["SOUR:POW", "SYST:ERR?"], '-109,"Missing parameter"', id="no power"),
        pytest.param(["OUTP", "SYST:ERR?"], '-109,"Missing parameter"', id="no state"),
        pytest.param(["OUTP maybe", "SYST:ERR?"], '-104,"Data type error"', id="no state of ours"),
        pytest.param(["NO:SUCH?", "system:error:next?"], '-113,"Undefined header"', id="unknown"),
        pytest.param(["NO:SUCH?", "*CLS", "SYST:ERR?"], '0,"No error"', id="cleared"),
        pytest.param(["A", "SOUR:POW", "SYST:ERR?"], '-113,"Undefined header"', id="oldest first"),
        pytest.param(["OUTP ON", "OUTP?"], "1", id="on"),
        pytest.param(["outp:stat 1", "OUTPUT?"], "1", id="one"),
        pytest.param(["OUTP ON", "OUTP off", "OUTP?"], "0", id="off"),
        pytest.param(["SOUR:POW 7", "SIM:OPT?"], "0.000000", id="dark while off"),
        pytest.param(["SOUR:POW 7", "OUTP ON", "SIM:OPT?"], "7.000000", id="light"),
        pytest.param(["SOUR:POW 7;OUTP ON;*RST", "SIM:OPT?;OUTP?"], "0.000000;0", id="reset"),
    ],
)
def test_scpi(led, lines, expected):
    answers = [led.execute(line) for line in lines]
    assert answers[-1] == expected
    assert answers[:-1] == [None] * (len(lines) - 1)


def test_a_full_error_queue_ends_in_overflow_and_runs_empty(led):
    for _ in range(20):
        led.execute("NO:SUCH")
    answers = [led.execute("SYST:ERR?") for _ in range(17)]
    assert answers == ['-113,"Undefined header"'] * 15 + ['-350,"Queue overflow"', '0,"No error"']


def test_the_led_heats_and_cools_as_a_first_order_system():
    clock = Clock()
    led = VirtualLed(clock=clock)
    led.execute("SOUR:POW 10;OUTP ON")
    clock.now_s = THERMAL_TIME_S
    rise_c = 10 * THERMAL_RESISTANCE_C_PER_MW * (1 - math.exp(-1))
    assert led.temperature_c() == pytest.approx(AMBIENT_C + rise_c)
    led.execute("OUTP OFF")
    clock.now_s = 3 * THERMAL_TIME_S
    assert led.temperature_c() == pytest.approx(AMBIENT_C + rise_c * math.exp(-2))


def ask(connection: socket.socket, question: str) -> str:
    connection.sendall(question.encode() + b"\n")
    with connection.makefile() as answers:
        return answers.readline().strip()


def test_a_client_that_dies_mid_command_disturbs_nobody(led):
    with (
        ScpiServer(led) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=5) as survivor,
    ):
        dying = socket.create_connection(("127.0.0.1", server.port), timeout=5)
        dying.sendall(b"*IDN?\nSOUR:P")
        dying.close()
        assert ask(survivor, "SOUR:POW?") == "0.000000"


def test_a_client_that_floods_is_dropped_and_disturbs_nobody(led):
    with (
        ScpiServer(led) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=5) as survivor,
        socket.create_connection(("127.0.0.1", server.port), timeout=5) as flooding,
    ):
        with contextlib.suppress(ConnectionError):  # dropped while it still talks
            flooding.sendall(b"x" * 10_000_000)
        with contextlib.suppress(ConnectionError):
            assert flooding.recv(1) == b""
        assert ask(survivor, "*OPC?") == "1"


def test_close_joins_the_thread_frees_the_port_and_twice_is_once(led):
    server = ScpiServer(led)
    port = server.port
    server.close()
    server.close()
    assert f"scpi-{port}" not in {thread.name for thread in threading.enumerate()}
    with ScpiServer(led, port=port) as again:
        assert again.port == port


def test_a_port_in_use_is_an_oserror_and_leaves_nothing_open(led, tmp_path):
    with ScpiServer(led) as server, pytest.raises(OSError, match=r"(?i)address|10048|10013"):
        ScpiServer(led, port=server.port, log_path=tmp_path / "commands.log")


@contextlib.contextmanager
def led_process(log: Path):
    strictly = [sys.executable, "-X", "dev", "-W", "error"]
    process = subprocess.Popen(
        [*strictly, "-m", "drivers.virtual.scpi_server", "--port", "0", "--log", str(log)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        listening = re.fullmatch(r"LISTENING 127\.0\.0\.1:(\d+)\n", process.stdout.readline())
        yield process, f"TCPIP::127.0.0.1::{listening[1]}::SOCKET"
    finally:
        process.kill()
        process.communicate()


LIGHT_ON_AND_WAIT = """
import sys
from drivers.visa import VisaInstrument, VisaLight, load_declaration
led = VisaInstrument.open(load_declaration(sys.argv[1]), sys.argv[2], name="led")
VisaLight(led).start(7.0)
print("ON", flush=True)
sys.stdin.read()
"""


def test_after_a_killed_client_the_light_goes_off_before_anything_else(tmp_path):
    log = tmp_path / "commands.log"
    with led_process(log) as (_, address):
        client = subprocess.Popen(
            [sys.executable, "-c", LIGHT_ON_AND_WAIT, str(DECLARATION), address],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert client.stdout.readline() == "ON\n"
        client.kill()
        client.communicate()
        before = len(log.read_text(encoding="utf-8").splitlines())

        with VisaInstrument.open(load_declaration(DECLARATION), address, name="led") as led:
            light = VisaLight(led)
            assert led._session.query("SIM:OPT?", float, _soon()) == 7.0  # the light stayed on
            before += 2  # identity and the question above
            light.make_safe()
            assert led._session.query("SIM:OPT?", float, _soon()) == 0.0
        rows = [line.split("\t") for line in log.read_text(encoding="utf-8").splitlines()]
        assert [command for _, _, command in rows[before : before + 2]] == [
            "OUTP OFF",
            "SOUR:POW 0.000000",
        ]
        stamps = [datetime.fromisoformat(stamp) for stamp, _, _ in rows]
        assert stamps == sorted(stamps)
        assert all(stamp.tzinfo is not None for stamp in stamps)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a process without a signal")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_process_cleanly_with_a_client_connected(tmp_path, number):
    with led_process(tmp_path / "commands.log") as (process, address):
        port = int(address.split("::")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            assert ask(client, "*OPC?") == "1"
            process.send_signal(number)
            _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")


def _soon():
    from drivers.visa.session import Deadline

    return Deadline(math.inf, answer_s=1.0)
