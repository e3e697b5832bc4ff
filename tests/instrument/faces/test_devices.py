"""`infoloop devices`: who is there, what it may be, and lines that a bench file takes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from drivers.discovery import VisaResource
from drivers.testing import FaultServer
from drivers.visa import load_declaration
from instrument.config import ConfigError, find_declarations, parse_config
from instrument.faces.cli import app
from instrument.faces.devices import describe, match, starter

CONFIGS = Path(__file__).parents[3] / "configs"
LASER = VisaResource("USB0::1::INSTR", "THORLABS,ITC4020,M1,1.8.0")
METER = VisaResource("USB0::2::INSTR", "Thorlabs,PM400,P1,1.0")
STRANGER = VisaResource("USB0::3::INSTR", "ACME,LASER,7,1.0")
SILENT = VisaResource("ASRL3::INSTR", None, "no answer to *IDN?: timeout")


@pytest.fixture(scope="module")
def declarations():
    return {name: load_declaration(path) for name, path in find_declarations(Path()).items()}


def test_each_is_found_its_declaration_by_its_identity(declarations):
    found = match([LASER, METER, STRANGER, SILENT, METER], declarations)
    assert [(one.label, one.declaration) for one in found] == [
        ("thorlabs_itc4000", "thorlabs_itc4000"),
        ("thorlabs_pm100", "thorlabs_pm100"),
        ("instrument", None),
        ("instrument_2", None),
        ("thorlabs_pm100_2", "thorlabs_pm100"),
    ]


def test_its_description_names_role_and_limits_or_what_to_do(declarations):
    text = describe(match([LASER, METER, STRANGER, SILENT], declarations))
    assert "a light by current_ma or a meter by temperature_c" in text
    assert "current_ma: 0 to 1000 mA" in text
    assert "thorlabs_pm100; a meter by power_mw" in text
    assert "ACME,LASER,7,1.0\n    no declaration recognises it; write one" in text
    assert "ASRL3::INSTR  (no answer to *IDN?: timeout)" in text


@pytest.mark.parametrize("backend", ["@py", "@ivi"])
def test_the_starter_is_taken_by_a_bench_file(declarations, backend):
    text = starter(match([LASER, METER, STRANGER, SILENT], declarations), backend=backend)
    block = yaml.safe_load(text)["bench"]["visa"]
    raw = yaml.safe_load((CONFIGS / "democamera.yaml").read_text(encoding="utf-8"))
    raw["bench"]["visa"] = block
    config = parse_config(raw, source="starter", folder=CONFIGS)
    assert config.bench.visa["thorlabs_itc4000"].address == "USB0::1::INSTR"
    assert {visa.backend for visa in config.bench.visa.values()} == {backend}


def test_its_commented_roles_are_taken_once_uncommented(declarations):
    text = starter(match([LASER, METER], declarations), backend="@py")
    spoken = (
        text
        .replace("\n  #   ", "\n    ")
        .replace("\n  # ", "\n  ")
        .replace("below: ...", "below: 40")
    )
    bench = yaml.safe_load(spoken)["bench"]
    raw = yaml.safe_load((CONFIGS / "democamera.yaml").read_text(encoding="utf-8"))
    raw["bench"]["visa"] = bench["visa"]
    raw["bench"]["interlocks"] = bench["interlocks"]
    raw["bench"]["roles"] |= bench["roles"]
    config = parse_config(raw, source="starter", folder=CONFIGS)
    assert config.bench.roles["thorlabs_itc4000"].kind == "light"
    assert [interlock.channel for interlock in config.bench.interlocks] == [
        "thorlabs_itc4000.temperature_c",
        "thorlabs_itc4000.interlock_open",
        "thorlabs_pm100.power_mw",
    ]


def test_without_a_declaration_there_is_no_starter(declarations):
    assert starter(match([STRANGER, SILENT], declarations), backend="@py") == ""


def test_declarations_beside_the_bench_file_win_over_shipped_ones(tmp_path):
    (tmp_path / "instruments").mkdir()
    own = tmp_path / "instruments" / "led_driver.yaml"
    own.write_text("identify: own")
    found = find_declarations(tmp_path)
    assert found["led_driver"] == own
    assert found["thorlabs_pm100"] == CONFIGS / "instruments" / "thorlabs_pm100.yaml"


def test_a_declaration_is_found_by_name_and_by_path(tmp_path):
    raw = yaml.safe_load((CONFIGS / "democamera.yaml").read_text(encoding="utf-8"))
    raw["bench"]["visa"] = {
        "shipped": {"declaration": "srs_dg645", "address": "TCPIP::1::5025::SOCKET"},
        "own": {"declaration": "mine.yaml", "address": "TCPIP::2::5025::SOCKET"},
    }
    (tmp_path / "mine.yaml").write_text("identify: mine")
    visa = parse_config(raw, source="bench.yaml", folder=tmp_path).bench.visa
    assert visa["shipped"].declaration == str(CONFIGS / "instruments" / "srs_dg645.yaml")
    assert visa["own"].declaration == str(tmp_path / "mine.yaml")
    raw["bench"]["visa"]["own"]["adress"] = "typo"
    with pytest.raises(ConfigError, match="adress"):
        parse_config(raw, source="bench.yaml", folder=tmp_path)


def test_the_command_names_an_instrument_on_a_socket():
    with FaultServer() as server:
        done = CliRunner().invoke(app, ["devices", "--address", server.address])
        assert set(server.heard) == {"*IDN?"}
    assert done.exit_code == 0
    assert f'led_driver: {{declaration: led_driver, address: "{server.address}"}}' in done.output
    assert "DemoCamera" in done.output
