"""The LED of `configs/instruments/led_driver.yaml`, as a light, a meter and a whole session."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers.devices import LightSource, Meter
from drivers.errors import (
    ConnectionLost,
    DeviceError,
    DeviceTimeout,
    LimitViolation,
)
from drivers.testing import Fault, FaultServer
from drivers.virtual.scpi_server import AMBIENT_C, VirtualLed
from drivers.visa import (
    DeclarationError,
    VisaInstrument,
    VisaLight,
    VisaMeter,
    load_declaration,
)

ROOT = Path(__file__).parents[2]
DECLARATION = ROOT / "configs" / "instruments" / "led_driver.yaml"


@pytest.fixture
def led():
    return VirtualLed(clock=lambda: 0.0)


@pytest.fixture
def server(led):
    with FaultServer(led) as server:
        yield server


@pytest.fixture
def instrument(server):
    with VisaInstrument.open(
        load_declaration(DECLARATION), server.address, name="led"
    ) as instrument:
        server.forget()
        yield instrument
        server.heal()


@pytest.fixture
def light(instrument):
    return VisaLight(instrument)


def commands(server: FaultServer) -> list[str]:
    """What the server heard, without the questions."""
    return [line for line in server.heard if "?" not in line]


def test_light_and_meter_keep_their_protocols(instrument, light):
    assert isinstance(light, LightSource)
    assert isinstance(VisaMeter(instrument, channel="temperature_c"), Meter)


def test_opening_asks_who_is_there_and_sends_no_command(server):
    with VisaInstrument.open(load_declaration(DECLARATION), server.address, name="led"):
        assert server.heard == ["*IDN?"]


def test_the_output_goes_on_only_after_the_level_was_verified(light, server, led):
    light.start(7.0)
    light.wait(timeout_s=1)
    assert commands(server) == ["SOUR:POW 7.000000", "OUTP ON"]
    assert server.heard.index("SOUR:POW?") < server.heard.index("OUTP ON")
    assert (light.read_back(), light.is_on(), led.optical_power_mw()) == (7.0, True, 7.0)


def test_a_level_that_does_not_verify_switches_nothing_on(light, server, led):
    server.inject(Fault.IGNORED, on="SOUR:POW ")
    with pytest.raises(DeviceError, match=r"led.*7 asked, 0 read back"):
        light.start(7.0)
    assert led.optical_power_mw() == 0.0
    assert "OUTP ON" not in server.heard


def test_a_change_of_level_does_not_touch_the_output(light, server):
    light.start(7.0)
    server.forget()
    light.start(8.0)
    assert commands(server) == ["SOUR:POW 8.000000"]


def test_off_comes_before_the_level(light, server, led):
    light.start(7.0)
    server.forget()
    light.make_safe()
    assert commands(server) == ["OUTP OFF", "SOUR:POW 0.000000"]
    assert server.heard[:2] == commands(server)  # before any question, for an instrument gone deaf
    assert (light.read_back(), light.is_on(), led.optical_power_mw()) == (0.0, False, 0.0)


def test_level_zero_is_off(light, server, led):
    light.start(7.0)
    server.forget()
    light.start(0.0)
    light.wait(timeout_s=1)
    assert commands(server) == ["OUTP OFF", "SOUR:POW 0.000000"]
    assert not light.is_on()


def test_the_safe_level_is_off_even_where_it_is_not_zero(instrument, led):
    light = VisaLight(instrument, limits=(2.0, 10.0), safe=1.0)
    light.start(5.0)
    light.start(1.0)
    light.wait(timeout_s=1)
    assert led.optical_power_mw() == 0.0
    assert light.read_back() == 1.0


def test_with_the_output_off_the_light_reads_as_safe_whatever_level_is_stored(light, led):
    led.execute("SOUR:POW 7")
    assert light.read_back() == 0.0
    assert not light.is_on()


def test_an_output_on_at_level_zero_is_not_on(light, led):
    led.execute("OUTP ON")
    assert not light.is_on()


def test_a_light_that_went_out_by_itself_never_arrives(light, led):
    light.start(7.0)
    led.execute("OUTP OFF")
    with pytest.raises(DeviceTimeout, match=r"led.*7 mW asked, 0 after"):
        light.wait(timeout_s=0.05)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(level=st.floats().filter(lambda level: not 0 <= level <= 20))
def test_a_level_outside_the_limits_is_refused_before_anything_is_sent(light, server, level):
    for refuse in (light.check, light.start):
        with pytest.raises(LimitViolation, match=r"led.*0 to 20 mW allowed"):
            refuse(level)
    assert server.heard == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.001, 20.001])
def test_the_declared_limits_hold_for_plain_sets_too(instrument, server, value):
    with pytest.raises(LimitViolation, match=r"led.*power_mw.*0 to 20 mW"):
        instrument.set("power_mw", value)
    assert server.heard == []


def test_a_bench_narrows_the_limits(instrument, server):
    light = VisaLight(instrument, limits=(1.0, 10.0))
    assert light.limits == (1.0, 10.0)
    assert light.describe().limits == {"power_mw": (1.0, 10.0)}
    server.forget()
    with pytest.raises(LimitViolation, match=r"led.*11 mW asked, 1 to 10 mW"):
        light.start(11.0)
    assert server.heard == []


def test_a_bench_cannot_widen_the_limits(instrument):
    with pytest.raises(LimitViolation, match=r"led.*\[0, 25\].*only narrow"):
        VisaLight(instrument, limits=(0.0, 25.0))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda led: VisaLight(led, level="powr_mw"), r"led.*did you mean `power_mw`"),
        (lambda led: VisaLight(led, level="temperature_c"), r"led.*`temperature_c`.*`set`"),
        (lambda led: VisaLight(led, output="power_mw"), r"led.*`power_mw`.*kind: switch"),
        (lambda led: VisaMeter(led, channel="output"), r"led.*`output`.*switch"),
        (lambda led: led.set("temperature_c", 20.0), r"led.*`temperature_c`.*only read"),
    ],
)
def test_a_channel_that_cannot_do_what_is_asked_is_named(instrument, build, message):
    with pytest.raises(DeclarationError, match=message):
        build(instrument)


def test_a_meter_reads_its_channel(instrument):
    meter = VisaMeter(instrument, channel="temperature_c")
    assert (meter.name, meter.unit, meter.read()) == ("led.temperature_c", "degC", AMBIENT_C)


def test_close_switches_off_and_twice_is_once(instrument, light, server, led):
    light.start(7.0)
    instrument.close()
    assert led.optical_power_mw() == 0.0
    server.forget()
    instrument.close()
    light.close()
    assert server.heard == []
    with pytest.raises(ConnectionLost, match=r"led.*closed"):
        light.read_back()


def test_an_exception_in_the_with_block_leaves_the_light_off(server, led):
    with (  # noqa: PT012 - the point is what the block leaves behind
        pytest.raises(RuntimeError, match="the experiment failed"),
        VisaInstrument.open(load_declaration(DECLARATION), server.address, name="led") as opened,
    ):
        VisaLight(opened).start(7.0)
        raise RuntimeError("the experiment failed")
    assert led.optical_power_mw() == 0.0


def test_threads_share_a_session_without_mixing_up_answers(instrument, light):
    light.start(7.0)
    wanted = {"power_mw": 7.0, "temperature_c": AMBIENT_C, "output": 1.0}
    wrong: list[tuple[str, float]] = []

    def ask(channel: str) -> None:
        for _ in range(50):
            got = instrument.read(channel)
            if got != wanted[channel]:
                wrong.append((channel, got))

    threads = [threading.Thread(target=ask, args=(channel,)) for channel in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", script, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_pyvisa_is_not_imported_before_an_instrument_opens():
    done = run("import sys, drivers.visa; print('pyvisa' in sys.modules)")
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_a_process_that_forgets_to_close_leaves_the_light_off_and_no_warning(server, led):
    done = run(
        "import sys\n"
        "from drivers.visa import VisaInstrument, VisaLight, load_declaration\n"
        "led = VisaInstrument.open(load_declaration(sys.argv[1]), sys.argv[2], name='led')\n"
        "light = VisaLight(led)\n"
        "light.start(7.0)\n"
        "print(light.is_on())\n",
        str(DECLARATION),
        server.address,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")
    assert led.optical_power_mw() == 0.0
    assert "OUTP OFF" in server.heard


def test_an_interface_that_is_no_socket_is_cleared_and_asked_again(tmp_path):
    """A message-based bus, simulated by pyvisa-sim: nothing to reconnect, so clear and identify."""
    bus = tmp_path / "bus.yaml"
    bus.write_text(
        """
spec: "1.1"
devices:
  led:
    eom: {GPIB INSTR: {q: "\\n", r: "\\n"}}
    error: ERROR
    dialogues:
      - {q: "*IDN?", r: "infoloop,virtual LED driver,0002,1.0"}
      - {q: "OUTP?", r: "maybe"}
      - {q: "OUTP OFF"}
      - {q: "MEAS:TEMP?", r: "31.5"}
resources: {"GPIB0::9::INSTR": {device: led}}
""",
        encoding="utf-8",
    )
    declaration = load_declaration(DECLARATION)
    only = {name: declaration.channels[name] for name in ("temperature_c", "output")}
    led = VisaInstrument.open(
        declaration.model_copy(update={"channels": only, "timeout_ms": 200.0}),
        "GPIB0::9::INSTR",
        name="led",
        backend=f"{bus}@sim",
    )
    with pytest.raises(DeviceError, match=r"led.*'maybe'"):
        led.read("output")
    assert led.read("temperature_c") == 31.5
    with pytest.raises(DeviceError, match=r"LIGHT MAY STILL BE ON.*led"):
        led.close()
