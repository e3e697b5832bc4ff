"""docs/how-to/visa-declaration.md: its declaration works, its bench file connects, ramps and trips.

The laser and the power meter are pyvisa-sim's, the camera and stages Micro-Manager's own.
"""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest
import yaml

from drivers import DeviceError
from drivers.testing import FaultServer
from drivers.visa import VisaInstrument, VisaLight, load_declaration
from drivers.visa.session import VisaSession
from instrument.bench.connect import ConnectError, connect
from instrument.bench.interlocks import InterlockTripped
from instrument.bench.timing import Stopwatch
from instrument.bench.watchdog import Watchdog
from instrument.config import Config, ConfigError, find_declarations, load_config

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "how-to" / "visa-declaration.md").read_text(encoding="utf-8")
DECLARATION, BENCH, _PARAMETERS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
SIMULATIONS = ROOT / "tests" / "drivers" / "visa_simulations"
SIMULATED = {
    "laser": ("thorlabs_itc4000", "USB0::4883::32842::M00123456::0::INSTR"),
    "monitor": ("thorlabs_pm100", "USB0::4883::32888::P0004321::0::INSTR"),
}


class Ldx500:
    """The diode laser controller of the page, as its manual describes it."""

    def __init__(self) -> None:
        self.current_a, self.is_on, self.mode, self.settling = 0.0, "0", "CW", 0

    def execute(self, line: str) -> str | None:
        match line.split():
            case ["LAS:LDI", value]:
                self.current_a, self.settling = float(value), 2
            case ["LAS:OUT", state]:
                self.is_on = state
            case ["LAS:MODE", mode]:
                self.mode = mode
            case [question]:
                return self._answer(question) + "\r"
        return None

    def _answer(self, question: str) -> str:
        self.settling -= question == "LAS:COND?"
        return {
            "*IDN?": "ACME,LDX-500,0042,1.7",
            "LAS:LDI?": f"{self.current_a:.5f}",
            "LAS:OUT?": self.is_on,
            "LAS:MODE?": self.mode,
            "LAS:TEMP?": "25.00,24.98",
            "LAS:COND?": "33" if self.settling > 0 else "1",
            "ERR?": "0",
        }[question]


def test_the_declaration_of_the_page_does_what_the_page_says(tmp_path):
    (tmp_path / "instruments").mkdir()
    (tmp_path / "instruments" / "acme_ldx500.yaml").write_text(DECLARATION, encoding="utf-8")
    declared = load_declaration(find_declarations(tmp_path)["acme_ldx500"])
    laser = Ldx500()
    with (
        FaultServer(laser) as server,
        VisaInstrument.open(declared, server.address, name="laser") as instrument,
    ):
        assert instrument.read("temperature_c") == 24.98
        assert instrument.choose("mode", "pulsed") == "pulsed"
        light = VisaLight(instrument, level="current_ma", limits=(0, 150))
        light.start(12.0)
        light.wait(timeout_s=1)
        assert (laser.current_a, laser.is_on) == (0.012, "1")
        sets = [line for line in server.heard if line.startswith("LAS:LDI ")]
        assert sets == [f"LAS:LDI {a:.5f}" for a in (0, 0.005, 0.01, 0.012)]
    assert (laser.current_a, laser.is_on) == (0.0, "0")


def test_the_page_lists_every_shipped_declaration():
    listed = re.findall(r"^\| `(\w+)` \| .*\| .*\|$", PAGE, re.MULTILINE)
    assert sorted(set(listed) & find_declarations(Path("/none")).keys()) == sorted(
        find_declarations(Path("/none"))
    )


def bench_file(folder: Path, *, simulated: bool = True, **changes: object) -> Path:
    """The page's bench, with the other sections of democamera.yaml; keys as `laser.settings`."""
    raw = yaml.safe_load((ROOT / "configs" / "democamera.yaml").read_text(encoding="utf-8"))
    raw |= yaml.safe_load(BENCH)
    raw["bench"]["micromanager"]["config"] = str(ROOT / "configs" / "democamera.cfg")
    for name, (declaration, address) in SIMULATED.items() if simulated else ():
        raw["bench"]["visa"][name] |= {
            "address": address,
            "backend": f"{SIMULATIONS / declaration}.yaml@sim",
        }
    for name, settings in changes.items():
        raw["bench"]["visa"][name]["settings"] = settings
    path = folder / "bench.yaml"
    path.write_text(yaml.safe_dump(raw, sort_keys=False), encoding="utf-8")
    return path


@pytest.fixture
def said(mocker):
    """Every command that any session sends, without the questions."""
    lines: list[str] = []
    speak = VisaSession._speak

    def speak_and_note(session, text):
        if "?" not in text:
            lines.append(text)
        speak(session, text)

    mocker.patch.object(VisaSession, "_speak", speak_and_note)
    return lines


def test_the_bench_file_of_the_page_is_accepted(tmp_path):
    config = load_config(bench_file(tmp_path, simulated=False))
    assert Config.model_validate_json(config.model_dump_json()) == config  # as a run records it
    assert config.bench.visa["laser"].settings == {
        "setpoint_c": 25, "cooler": "running", "current_limit_ma": 160,
    }  # fmt: skip


def test_lights_go_dark_before_settings_and_both_are_read_back(tmp_path, said):
    with connect(load_config(bench_file(tmp_path))) as bench:
        assert said == [
            "OUTP:STAT 0", "SOUR:CURR 0.00000",
            "SOUR2:TEMP:SPO 25.000", "OUTP2:STAT 1", "SOUR:CURR:LIM:AMPL 0.16000",
            "SENS:CORR:WAV 640.0", "SENS:POW:RANG:AUTO 1",
        ]  # fmt: skip
        assert [device.kind for device in bench.describe()].count("light") == 1


def test_a_laser_is_ramped_while_frames_are_taken_and_dark_after(tmp_path, said):
    with connect(load_config(bench_file(tmp_path))) as bench:
        said.clear()
        with bench.illuminated(stopwatch=Stopwatch()):
            assert bench.lights()["light"].read_back() == pytest.approx(80)
        levels = [float(line.split()[1]) for line in said if line.startswith("SOUR:CURR ")]
        assert levels == pytest.approx([0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0])
        assert said[-2:] == ["OUTP:STAT 0", "SOUR:CURR 0.00000"]


def test_an_interlock_that_trips_on_the_way_up_ends_the_ramp_dark(tmp_path, said, mocker):
    with connect(load_config(bench_file(tmp_path))) as bench:
        said.clear()
        interlock, *_ = bench.interlocks

        def too_much_at_thirty() -> float:  # whoever reads, the loop or the patrol
            return 21.0 if "SOUR:CURR 0.03000" in said else 1.0

        mocker.patch.object(interlock.meter, "read", too_much_at_thirty)
        with (
            pytest.raises(InterlockTripped, match=r"monitor\.power_mw: 21 mW, must be below 20"),
            bench.illuminated(stopwatch=Stopwatch()),
        ):
            pytest.fail("the light came on")
        levels = [float(line.split()[1]) for line in said if line.startswith("SOUR:CURR ")]
        assert max(levels) == pytest.approx(0.03)
        assert said[-2:] == ["OUTP:STAT 0", "SOUR:CURR 0.00000"]


def test_every_step_of_a_ramp_is_a_sign_of_life_to_the_watchdog(tmp_path, mocker):
    with connect(load_config(bench_file(tmp_path))) as bench:
        report = mocker.spy(Watchdog, "report")
        with bench.illuminated(stopwatch=Stopwatch()):
            steps = [c for c in report.call_args_list if "of the ramp" in str(c)]
        assert len(steps) == 8


def test_who_puts_the_light_out_stops_a_ramp_at_its_next_step(tmp_path, said, mocker):
    with connect(load_config(bench_file(tmp_path))) as bench:
        said.clear()
        lighting, light = bench.lighting, bench.lights()["light"]
        interlock, *_ = bench.interlocks
        tripped = InterlockTripped("the patrol saw it", interlock)
        patrol = threading.Thread(target=lighting._put_out, args=(tripped,))
        steps, has_begun, make_safe = [], threading.Event(), light.make_safe

        def begin_to_make_safe():
            has_begun.set()
            make_safe()

        def put_out_at_the_third_step():
            steps.append(None)
            if len(steps) == 3:
                patrol.start()
                has_begun.wait(10)

        mocker.patch.object(light, "make_safe", begin_to_make_safe)
        light.guard_ramps(put_out_at_the_third_step)
        with (
            pytest.raises(DeviceError, match="made safe"),
            bench.illuminated(stopwatch=Stopwatch()),
        ):
            pytest.fail("the light came on")
        patrol.join(10)
        levels = [float(line.split()[1]) for line in said if line.startswith("SOUR:CURR ")]
        assert max(levels) <= 0.03
        assert said[-2:] == ["OUTP:STAT 0", "SOUR:CURR 0.00000"]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"current_ma": 10}, r"settings.current_ma`.*it is what the role 'light' switches"),
        ({"output": True}, r"settings.output`.*it is what the role 'light' switches"),
        ({"cooler": 1}, r"settings.cooler`.*1\.0 asked, but it is a choice; write a word"),
        ({"cooler": "on"}, r"settings.cooler`.*'on' asked, stopped, running declared"),
        ({"setpoint_c": "warm"}, r"settings.setpoint_c`.*a number; write a number"),
        ({"setpoint_c": True}, r"settings.setpoint_c`.*a number; write a number"),
        ({"setpoint_c": 80}, r"settings.setpoint_c`.*80 degC asked, 5 to 50 degC allowed"),
        ({"setpoint": 20}, r"settings.setpoint`.*did you mean `setpoint_c`"),
        ({"temperature_c": 20}, r"settings.temperature_c`.*only read"),
    ],
)
def test_a_setting_that_cannot_be_is_named_and_the_bench_left_dark(
    tmp_path, said, settings, sentence
):
    with pytest.raises(ConnectError, match=rf"`bench\.visa\.laser\.{sentence}"):
        connect(load_config(bench_file(tmp_path, laser=settings)))
    assert said[-2:] == ["OUTP:STAT 0", "SOUR:CURR 0.00000"]


@pytest.mark.parametrize("value", [[1, 2], None, float("inf"), {"a": 1}])
def test_what_is_no_setting_is_one_sentence(tmp_path, value):
    with pytest.raises(ConfigError, match=r"settings\.cooler` = .*a number, a word, or true"):
        load_config(bench_file(tmp_path, laser={"cooler": value}))
