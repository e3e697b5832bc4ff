"""docs/how-to/visa-declaration.md, "A channel as a parameter": its bench file connects and moves.

The delay generator and the laser are pyvisa-sim's, the camera and stages Micro-Manager's own.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from drivers import DeviceError
from drivers.conformance import Scope
from drivers.visa import VisaInstrument
from drivers.visa.session import VisaSession
from instrument.bench.conformance import check_bench
from instrument.bench.connect import ConnectError, connect
from instrument.bench.interlocks import InterlockTripped
from instrument.bench.timing import Stopwatch
from instrument.config import load_config
from instrument.design import Design
from instrument.faces.check import limits_table

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "how-to" / "visa-declaration.md").read_text(encoding="utf-8")
BENCH = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[2]
SIMULATIONS = ROOT / "tests" / "drivers" / "visa_simulations"
SOURCE_METER = {
    "visa": {"meter": "keithley_2400"},
    "roles": {
        "bias": {
            "device": "meter", "property": "voltage_v", "limits": [-5, 5], "unit": "V",
            "tolerance": 0.001,
        },
    },
    "design": {"bias": {"role": "bias", "bounds": [-4, 4], "start": 0}},
}  # fmt: skip
LASER = {
    "visa": {"laser": "thorlabs_itc4000"},
    "roles": {
        "light": {"device": "laser", "channel": "current_ma", "level": 20, "limits": [0, 150]},
        "temperature": {
            "device": "laser", "property": "setpoint_c", "limits": [20, 30], "unit": "degC",
            "tolerance": 0.005,
        },
    },
    "design": {"temperature": {"role": "temperature", "bounds": [21, 29]}},
}  # fmt: skip


def simulated(declaration: str) -> dict[str, str]:
    file = SIMULATIONS / f"{declaration}.yaml"
    (address,) = yaml.safe_load(file.read_text(encoding="utf-8"))["resources"]
    return {"declaration": declaration, "address": address, "backend": f"{file}@sim"}


def bench_file(folder: Path, *more: dict[str, dict]) -> Path:
    """The page's bench, simulated, with the other sections of democamera.yaml, and `more`."""
    raw = yaml.safe_load((ROOT / "configs" / "democamera.yaml").read_text(encoding="utf-8"))
    raw |= yaml.safe_load(BENCH)
    raw["bench"]["micromanager"]["config"] = str(ROOT / "configs" / "democamera.cfg")
    raw["bench"]["visa"]["delays"] |= simulated("srs_dg645")
    for addition in more:
        raw["bench"]["visa"] |= {n: simulated(d) for n, d in addition["visa"].items()}
        raw["bench"]["roles"] |= addition["roles"]
        raw["design"] |= addition["design"]
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


def applied(bench, **values: float):
    space = bench.space()
    design = Design(values={name: (value,) for name, value in values.items()})
    return bench.apply(design, space=space, stopwatch=Stopwatch()).read_back


def there(bench: Any, role: str) -> float:
    return bench.devices[role].read_back()


def test_the_bench_of_the_page_starts_where_its_settings_left_it(tmp_path, said):
    with connect(load_config(bench_file(tmp_path))) as bench:
        assert said == ["LAMP 1,4.00", "DLAY 3,0,0.000010000000"]
        gate, source = bench.space().parameters
        assert (gate.unit, gate.lower, gate.upper) == ("us", 2, 40)
        assert gate.start == pytest.approx((10.0,))
        assert (source.choices, source.start) == (("internal", "line"), (0.0,))


def test_a_design_moves_a_delay_and_a_trigger_and_reads_both_back(tmp_path, said):
    with connect(load_config(bench_file(tmp_path))) as bench:
        said.clear()
        read_back = applied(bench, gate=25.5, source=1.0)
        assert sorted(said) == ["DLAY 3,0,0.000025500000", "TSRC 6"]
        assert read_back == {"gate": pytest.approx(25.5), "trigger": 6.0}


def test_a_delay_that_does_not_arrive_stops_the_design(tmp_path, mocker):
    with connect(load_config(bench_file(tmp_path))) as bench:
        mocker.patch.object(bench.devices["gate"], "read_back", return_value=20.0)
        mocker.patch.object(bench.devices["gate"], "wait")
        with pytest.raises(DeviceError, match=r"delays\.b_delay_us \(role gate\): 25 us asked, 20"):
            applied(bench, gate=25.0, source=0.0)


def test_what_has_a_safe_value_goes_there_after_the_lights_and_what_has_none_stays(tmp_path, said):
    config = load_config(bench_file(tmp_path, SOURCE_METER, LASER))
    with connect(config) as bench:
        applied(bench, gate=25.0, source=1.0, bias=3.0, temperature=22.0)
        said.clear()
        bench.keep_design()
        assert bench.safe() == ()
        assert said == ["OUTP:STAT 0", "SOUR:CURR 0.00000", ":SOUR:VOLT 0.00000"]
        assert there(bench, "gate") == pytest.approx(25.0)
        assert there(bench, "temperature") == pytest.approx(22.0)


def test_an_instrument_may_be_a_light_and_have_a_parameter(tmp_path, said):
    with connect(load_config(bench_file(tmp_path, LASER))) as bench:
        assert said[:2] == ["OUTP:STAT 0", "SOUR:CURR 0.00000"]  # dark before anything is set
        with bench.illuminated(stopwatch=Stopwatch()):
            applied(bench, gate=25.0, source=1.0, temperature=22.0)
            assert bench.lights()["light"].read_back() == pytest.approx(20)
        assert said[-2:] == ["OUTP:STAT 0", "SOUR:CURR 0.00000"]


def test_an_interlock_reads_the_position_of_such_a_role(tmp_path):
    path = bench_file(tmp_path, LASER)
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    raw["bench"]["interlocks"] = [{"role": "temperature", "below": 29.5}]
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    with connect(load_config(path)) as bench:
        assert not bench.interlocks.are_behind_core
        bench.check_interlocks()
        temperature: Any = bench.devices["temperature"]
        temperature.start(29.8)
        with pytest.raises(InterlockTripped, match=r"temperature: 29\.8 degC, must be below 29\.5"):
            bench.check_interlocks()


def test_the_devices_of_the_page_pass_the_conformance_suite(tmp_path):
    with connect(load_config(bench_file(tmp_path, SOURCE_METER))) as bench:
        results = check_bench(bench, scope=Scope.MOVE)
        for role in ("gate", "trigger", "bias"):
            assert [each for each in results[role] if each.status == "failed"] == []


def test_check_shows_where_they_may_go_and_where_they_are_safe(tmp_path):
    with connect(load_config(bench_file(tmp_path, SOURCE_METER))) as bench:
        columns = [list(column.cells) for column in limits_table(bench).columns]
    rows = {row[0]: row[1:] for row in zip(*columns, strict=True)}
    assert rows["gate"] == ("1 to 50 us", "-", "stays")
    assert rows["bias"] == ("-5 to 5 V", "-", "0 V")
    assert rows["trigger"][0].startswith("0 internal, 1 rising")


@pytest.mark.parametrize(
    ("was", "now", "role", "sentence"),
    [
        ("b_delay_us:", "delay_of_b_us:", "gate", "channel `b_delay_us` asked"),
        (
            "limits: [0, 1000000]",
            "limits: [0, 30]",
            "gate",
            r"limits .*0 to 30 us allowed.*; narrow them",
        ),
        ("trigger:", "started_by:", "trigger", "channel `trigger` asked"),
    ],
)
def test_a_declaration_that_changed_since_is_told_when_the_bench_connects(
    tmp_path, was, now, role, sentence
):
    path = bench_file(tmp_path)
    config = load_config(path)
    declared = Path(config.bench.visa["delays"].declaration).read_text(encoding="utf-8")
    changed = tmp_path / "changed.yaml"
    changed.write_text(declared.replace(was, now), encoding="utf-8")
    visa = config.bench.visa["delays"].model_copy(
        update={"declaration": str(changed), "settings": {}}
    )
    bench = config.bench.model_copy(update={"visa": {"delays": visa}})
    with pytest.raises(ConnectError, match=rf"`bench\.roles\.{role}`: .*{sentence}"):
        connect(config.model_copy(update={"bench": bench}))


def test_a_bench_that_fails_to_connect_closes_its_instruments(tmp_path, mocker):
    close = mocker.spy(VisaInstrument, "close")
    mocker.patch(
        "instrument.bench.connect.open_visa_roles", side_effect=ConnectError(["it is not there"])
    )
    with pytest.raises(ConnectError, match="not there"):
        connect(load_config(bench_file(tmp_path)))
    close.assert_called_once()
