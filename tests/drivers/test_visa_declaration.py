"""Instrument declarations: what a YAML file may say, and what is said of one that may not."""

from __future__ import annotations

import contextlib
import copy
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers.visa import DeclarationError, InstrumentDeclaration, load_declaration

INSTRUMENTS = Path(__file__).parents[2] / "configs" / "instruments"

GOOD = {
    "identify": "^ACME,LED4",
    "error_query": "SYST:ERR?",
    "channels": {
        "power_mw": {
            "get": "SOUR:POW?",
            "set": "SOUR:POW {value:.3f}",
            "unit": "mW",
            "limits": [0, 20],
            "safe": 0,
            "tolerance": 0.01,
        },
        "output": {"kind": "switch", "get": "OUTP?", "turn_on": "OUTP 1", "turn_off": "OUTP 0"},
        "current_ma": {
            "get": "SOUR:CURR?",
            "set": "SOUR:CURR {value:.6f}",
            "unit": "mA",
            "scale": 0.001,
            "limits": [0, 500],
            "safe": 0,
            "step": 0.5,
            "slew": {"step": 5, "interval_ms": 20},
            "ready": {"query": "*OPC?", "answer": "1", "within_ms": 500},
        },
        "mode": {
            "kind": "choice",
            "get": "MODE?",
            "set": "MODE {value}",
            "values": {"constant": "CW", "pulsed": "PULS"},
            "safe": "constant",
        },
    },
}

POWER = ("channels", "power_mw")
OUTPUT = ("channels", "output")
CURRENT = ("channels", "current_ma")
MODE = ("channels", "mode")
MISSING = object()

WRONG = [
    # place of the value, the value, what the sentence must say
    pytest.param((), [1, 2], r"holds \[1, 2\].*`identify:`", id="a list"),
    pytest.param((), None, r"holds None.*`identify:`", id="empty"),
    pytest.param(("identify",), MISSING, "`identify` is missing", id="no identify"),
    pytest.param(("identify",), "(", r"`identify` = '\('.*regular expression", id="no regex"),
    pytest.param(("identify",), ".*", "accepts any answer; name maker", id="identifies anything"),
    pytest.param(("channels",), {}, "`channels` = {}.*at least 1", id="no channels"),
    pytest.param(("timout_ms",), 5, "`timout_ms` = 5.*did you mean `timeout_ms`", id="misspelt"),
    pytest.param(("timeout_ms",), 0, "`timeout_ms` = 0.*greater than 0", id="zero timeout"),
    pytest.param(("timeout_ms",), True, "`timeout_ms` = True.*valid number", id="bool for number"),
    pytest.param(("timeout_ms",), ".inf", "`timeout_ms` = '.inf'", id="text for number"),
    pytest.param(("timeout_ms",), float("inf"), "`timeout_ms` = inf.*finite", id="endless"),
    pytest.param(("read_termination",), r"\n", "double quotes", id="single-quoted newline"),
    pytest.param(("read_termination",), "\n\n", "comes once", id="ambiguous termination"),
    pytest.param((*POWER, "unit"), MISSING, "`channels.power_mw.unit` is missing", id="no unit"),
    pytest.param((*POWER, "limit"), [0, 1], "power_mw.limit`.*did you mean `limits`", id="limit"),
    pytest.param((*POWER, "limits"), MISSING, "power_mw`.*needs `limits", id="no limits"),
    pytest.param((*POWER, "limits"), [20, 0], "20 is not below 0", id="limits upside down"),
    pytest.param((*POWER, "limits"), [0], "power_mw.limits", id="half of the limits"),
    pytest.param((*POWER, "limits"), [0, "20 mW"], "limits.1` = '20 mW'", id="a unit in a number"),
    pytest.param((*POWER, "limits"), [0, float("nan")], "limits.1` = nan.*finite", id="NaN limit"),
    pytest.param((*POWER, "safe"), 21, r"`safe` 21 is outside `limits` \[0, 20\]", id="unsafe"),
    pytest.param((*POWER, "tolerance"), -1, "tolerance` = -1.*greater", id="negative tolerance"),
    pytest.param((*POWER, "set"), "SOUR:POW", "`{value}` once", id="set without value"),
    pytest.param((*POWER, "set"), "P {value:d}", "`{value}` once", id="integer format"),
    pytest.param((*POWER, "set"), "P {value.real}", "`{value}` once", id="attribute in format"),
    pytest.param((*POWER, "set"), "P {value", "`{value}` once", id="open brace"),
    pytest.param((*POWER, "set"), "P {value}\n*RST", "one line", id="two commands"),
    pytest.param((*POWER, "set"), MISSING, "`limits` needs `set`", id="limits of a reading"),
    pytest.param((*POWER, "get"), "", "one line of printable ASCII", id="empty command"),
    pytest.param((*POWER, "get"), "Ω?", "one line of printable ASCII", id="not ASCII"),
    pytest.param(("channels", "Power"), {}, "small letters", id="capital channel"),
    pytest.param(("channels", "x"), 5, "`channels.x` = 5", id="number for a channel"),
    pytest.param((*OUTPUT, "kind"), "button", "`channels.output.kind`.*kind: switch", id="kind"),
    pytest.param((*OUTPUT, "kind"), ["switch"], "channels.output.kind", id="list for a kind"),
    pytest.param((*OUTPUT, True), "OUTP 1", "turn_on and turn_off", id="YAML's on"),
    pytest.param((*POWER, "set"), "P {value:.1f}", "loses digits", id="format too short"),
    pytest.param((*POWER, "limits"), [0, 19.9996], "rounds the limit 19.9996 to 20", id="beyond"),
    pytest.param((*POWER, "set"), "P {value:.3%}", "not written as a number", id="percent"),
    pytest.param((*POWER, "tolerance"), MISSING, "`tolerance` or `step`", id="no tolerance"),
    pytest.param((*CURRENT, "safe"), MISSING, "`slew` needs `safe`", id="slew, no safe"),
    pytest.param((*CURRENT, "scale"), 0, "current_ma.scale` = 0.*greater", id="scale zero"),
    pytest.param((*CURRENT, "field"), 0, "current_ma.field` = 0.*greater", id="field zero"),
    pytest.param((*CURRENT, "step"), 0.3, "500 is no multiple of `step` 0.3", id="off the grid"),
    pytest.param((*CURRENT, "step"), 10, "steps of 5, less than the `step` 10", id="slew too fine"),
    pytest.param((*CURRENT, "slew"), 10, "takes 50 s, `slew` allows 30", id="ramp too long"),
    pytest.param((*CURRENT, "slew"), -10, "slew.step` = -0.5.*greater", id="negative rate"),
    pytest.param((*CURRENT, "slew", "stepp"), 1, "did you mean `step`", id="misspelt in slew"),
    pytest.param((*CURRENT, "ready", "answer"), MISSING, "`answer`, '1' say, or", id="no sign"),
    pytest.param((*CURRENT, "ready", "mask"), 4, "`answer`, '1' say, or", id="two signs"),
    pytest.param((*CURRENT, "ready", "within"), 4, "did you mean `within_ms`", id="in ready"),
    pytest.param(
        (*CURRENT, "ready"),
        {"query": "STB?", "within_ms": 9, "mask": 4, "equals": 3},
        "`equals` 3 has bits that `mask` 4 leaves out",
        id="bits outside",
    ),
    pytest.param((*MODE, "values"), {"only": "CW"}, "mode.values`.*at least 2", id="one word"),
    pytest.param((*MODE, "values", "Fast"), "F", "mode.values", id="capital word"),
    pytest.param((*MODE, "values", "flat"), "cw", "same for two words", id="words alike"),
    pytest.param((*MODE, "safe"), "off", "`safe` 'off' is none of `values`", id="unknown word"),
    pytest.param((*MODE, "set"), "MODE {value:.3f}", "`{value}` once", id="number for a word"),
    pytest.param(("error_query",), {"query": ""}, "error_query.query", id="empty error query"),
    pytest.param(
        ("error_query",),
        {"query": "ERR?", "mask": 4, "empty": "NO ERROR"},
        "`mask` or `empty`, not both",
        id="two error signs",
    ),
    pytest.param((*OUTPUT, "turn_off"), MISSING, "output.turn_off` is missing", id="never off"),
]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("declarations") / "laser.yaml"


def changed(place: tuple, value: object) -> object:
    """`GOOD` with one value replaced, or removed."""
    if not place:
        return value
    content = copy.deepcopy(GOOD)
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    if value is MISSING:
        del inner[place[-1]]
    return content


@pytest.mark.parametrize(("place", "value", "message"), WRONG)
def test_a_wrong_declaration_is_refused_with_file_key_and_remedy(path, place, value, message):
    path.write_text(yaml.safe_dump(changed(place, value)), encoding="utf-8")
    with pytest.raises(DeclarationError, match=f"laser.yaml: .*{message}"):
        load_declaration(path)


def test_the_declaration_that_all_wrong_ones_are_made_from_is_right(path):
    path.write_text(yaml.safe_dump(GOOD), encoding="utf-8")
    assert load_declaration(path).channels["power_mw"].limits == (0, 20)


def test_a_slew_may_be_a_rate_per_second(path):
    path.write_text(yaml.safe_dump(changed((*CURRENT, "slew"), 100)), encoding="utf-8")
    slew = load_declaration(path).channels["current_ma"].slew
    assert slew.step / (slew.interval_ms / 1000) == pytest.approx(100)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"identify: [", "laser.yaml: is not YAML", id="YAML syntax"),
        pytest.param(b"identify: \xff\xfe", "laser.yaml: is not YAML", id="not UTF-8"),
        pytest.param(b"identify: 2024-99-99", "laser.yaml: is not YAML", id="impossible date"),
        pytest.param(b"[" * 5000, "laser.yaml: is not YAML", id="nested without end"),
        pytest.param(b"a: !!python/object/apply:os.getcwd []", "is not YAML", id="code"),
    ],
)
def test_what_is_no_yaml_is_refused(path, content, message):
    path.write_bytes(content)
    with pytest.raises(DeclarationError, match=message):
        load_declaration(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DeclarationError, match=r"none\.yaml: there is no such"):
        load_declaration(tmp_path / "none.yaml")


def test_a_folder_is_no_declaration(tmp_path):
    with pytest.raises(DeclarationError, match="cannot be read"):
        load_declaration(tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    content=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.booleans(), inner),
        max_leaves=10,
    ),
    place=st.sampled_from([
        (),
        ("identify",),
        ("channels",),
        POWER,
        (*POWER, "limits"),
        (*POWER, "set"),
        OUTPUT,
        CURRENT,
        (*CURRENT, "slew"),
        (*CURRENT, "ready"),
        MODE,
        (*MODE, "values"),
        ("error_query",),
    ]),
)
def test_garbage_is_a_declaration_error_or_a_declaration(path, content, place):
    path.write_text(yaml.safe_dump(changed(place, content)), encoding="utf-8")
    with contextlib.suppress(DeclarationError):
        assert isinstance(load_declaration(path), InstrumentDeclaration)


@pytest.mark.parametrize("shipped", sorted(INSTRUMENTS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_declaration_loads_and_opens_with_a_comment(shipped):
    assert load_declaration(shipped).channels
    assert shipped.read_text(encoding="utf-8").startswith("# ")
