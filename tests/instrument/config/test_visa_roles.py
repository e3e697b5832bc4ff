"""Roles that are channels of VISA instruments: what a file may ask, and what it is told."""

from __future__ import annotations

import pytest

from instrument.config import Config, ConfigError, parse_config
from tests.instrument.fakes import CONFIG, merged

GATE = {
    "device": "delays", "property": "b_delay_us", "limits": [1, 50], "unit": "us",
    "tolerance": 0.001,
}  # fmt: skip
SOURCE = {"device": "delays", "channel": "trigger"}
CHANGES = {
    "bench": {
        "visa": {
            "delays": {"declaration": "srs_dg645", "address": "TCPIP::10.0.0.9::5025::SOCKET"},
            "laser": {"declaration": "thorlabs_itc4000", "address": "GPIB0::9::INSTR"},
        },
        "roles": {"gate": GATE, "source": SOURCE},
    },
    "design": {
        "gate": {"role": "gate", "bounds": [2, 40]},
        "trigger": {"role": "source", "choices": ["internal", "line"]},
    },
}
LASER = {"kind": "light", "device": "laser", "channel": "current_ma", "level": 5, "limits": [0, 9]}
CURRENT = {
    "device": "laser", "property": "current_ma", "limits": [0, 9], "unit": "mA", "tolerance": 1,
}  # fmt: skip


def parsed(folder, *changes) -> Config:
    raw = merged(CONFIG, CHANGES)
    for change in changes:
        raw = merged(raw, change)
    return parse_config(raw, source="bench.yaml", folder=folder)


def with_roles(**roles: object) -> dict[str, object]:
    return {"bench": {"roles": roles}}


def with_gate(**keys: object) -> dict[str, object]:
    return with_roles(gate={**GATE, **keys})


def with_settings(**settings: object) -> dict[str, object]:
    return {"bench": {"visa": {"delays": {"settings": settings}}}}


def test_a_number_and_a_choice_are_roles_of_their_instrument(tmp_path):
    config = parsed(tmp_path)
    roles = config.bench.roles
    assert {n: roles[n].kind for n in ("gate", "source")} == {
        "gate": "property", "source": "selector",
    }  # fmt: skip
    assert {config.bench.block_of(roles[n]) for n in ("gate", "source")} == {"visa"}
    assert Config.model_validate_json(config.model_dump_json()) == config  # as a run records it


def test_several_channels_of_one_instrument_are_several_roles(tmp_path):
    other = {**GATE, "property": "d_delay_us"}
    setpoint = {
        "device": "laser", "property": "setpoint_c", "limits": [20, 30], "unit": "degC",
        "tolerance": 0.01,
    }  # fmt: skip
    parsed(tmp_path, with_roles(other=other, laser=LASER, temperature=setpoint))


def test_a_setting_may_say_where_a_role_begins(tmp_path):
    parsed(tmp_path, with_settings(b_delay_us=10, trigger="internal"))


@pytest.mark.parametrize("name", ["power", "lamp"])
def test_a_light_of_any_name_is_known_by_its_channel_and_level(tmp_path, name):
    laser = {key: value for key, value in LASER.items() if key != "kind"}
    assert parsed(tmp_path, with_roles(**{name: laser})).bench.roles[name].kind == "light"


def test_a_light_without_a_level_is_told_so(tmp_path):
    lamp = {"device": "laser", "channel": "current_ma", "limits": [0, 9]}
    with pytest.raises(ConfigError, match=r"`bench\.roles\.lamp\.level` is missing"):
        parsed(tmp_path, with_roles(lamp=lamp))


REFUSED = {
    "unknown channel": (
        with_gate(property="b_delay"),
        "`bench.roles.gate.property` = 'b_delay' is no channel of 'delays'; did you mean "
        "'b_delay_us'?",
    ),
    "unknown choice": (
        with_roles(source={**SOURCE, "channel": "triger"}),
        "`bench.roles.source.channel` = 'triger' is no channel of 'delays'; did you mean 'trigger'",
    ),
    "unknown instrument of a choice": (
        with_roles(source={**SOURCE, "device": "delay"}),
        "`bench.roles.source.device` = 'delay' is no instrument; did you mean 'delays'?",
    ),
    "unknown instrument of a number, without Micro-Manager": (
        {"bench": {"micromanager": None, "roles": {"gate": {**GATE, "device": "delay"}}}},
        "`bench.roles.gate.device` = 'delay' is none of bench.visa, drivers, displays or slmsuite",
    ),
    "a choice without its channel": (
        with_roles(source={"channel": None}),
        "`bench.roles.source.channel` is missing: delays is an instrument of bench.visa",
    ),
    "a wheel of Micro-Manager with a channel": (
        with_roles(source={"device": "Wheel", "channel": "trigger"}),
        "'Wheel' is no instrument; known: led, delays, laser, or leave channel out for a device of",
    ),
    "only read": (
        with_gate(device="laser", property="temperature_c", unit="degC"),
        "`bench.roles.gate.property` = 'temperature_c' of 'laser' is only read",
    ),
    "a switch as a number": (
        with_gate(device="laser", property="output"),
        "`bench.roles.gate.property` = 'output' is a switch of 'laser', not a number; set it once",
    ),
    "a choice as a number": (
        with_gate(device="laser", property="cooler"),
        "for a choice write {kind: selector, device: laser, channel: cooler}",
    ),
    "a number as a choice": (
        with_roles(source={**SOURCE, "channel": "c_delay_us"}),
        "`bench.roles.source.channel` = 'c_delay_us' is a number of 'delays' and has no positions",
    ),
    "wider limits": (
        with_gate(limits=[-1, 50]),
        "`bench.roles.gate.limits` = [-1.0, 50.0] is wider than the declaration of 'b_delay_us' "
        "allows, 0 to 1e+06 us; narrow",
    ),
    "another unit": (
        with_gate(unit="ns"),
        "`bench.roles.gate.unit` = 'ns', but 'b_delay_us' of 'delays' is in us; write unit: us",
    ),
    "a tolerance below half a step": (
        with_gate(property="cd_amplitude_v", unit="V", limits=[1, 50], tolerance=0.004),
        "`bench.roles.gate.tolerance` = 0.004, but 'cd_amplitude_v' goes in steps of 0.01 V",
    ),
    "a setting beyond the role's limits": (
        with_settings(b_delay_us=60),
        "`bench.visa.delays.settings.b_delay_us` = 60 is beyond `bench.roles.gate.limits` = [1.0",
    ),
    "two numbers of one channel": (
        with_roles(twice=GATE),
        "`bench.roles.twice.property` = 'b_delay_us' is already the role 'gate'; one role a chan",
    ),
    "two choices of one channel": (
        with_roles(twice={"kind": "selector", **SOURCE}),
        "`bench.roles.twice.channel` = 'trigger' is already the role 'source'; one role a channel",
    ),
    "the level of a light": (
        with_roles(laser=LASER, current=CURRENT),
        "`bench.roles.current.property` = 'current_ma' is what the role 'laser' switches, which "
        "alone keeps it dark",
    ),
    "the level of a light that comes after": (
        with_roles(current=CURRENT, laser=LASER),
        "design: {power: {role: laser, bounds: [LOW, HIGH]}}",
    ),
    "the switch of a light": (
        with_roles(
            laser=LASER, switch={"kind": "selector", "device": "laser", "channel": "output"}
        ),
        "`bench.roles.switch.channel` = 'output' is what the role 'laser' switches",
    ),
    "bounds beyond the role": (
        {"design": {"gate": {"bounds": [2, 60]}}},
        "`design.gate.bounds` = [2.0, 60.0] goes beyond the limits of its device, 1 to 50 us",
    ),
    "no such declaration": (
        {"bench": {"visa": {"delays": {"declaration": "srs_dg535"}}}},
        "`bench.visa.delays.declaration`: ",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "sentence"), REFUSED.values(), ids=REFUSED.keys())
def test_a_role_that_cannot_be_is_one_sentence_that_names_the_key(tmp_path, change, sentence):
    with pytest.raises(ConfigError) as caught:
        parsed(tmp_path, change)
    said = [problem for problem in caught.value.problems if sentence in problem]
    assert len(said) == 1, caught.value.problems
    assert "\n" not in said[0]


def test_a_channel_of_a_drivers_selector_is_refused(tmp_path):
    wheel = with_roles(wheel={"kind": "selector", "device": "disc", "channel": "trigger"})
    disc = {"bench": {"displays": {"disc": {"monitor": 1}}}}
    with pytest.raises(ConfigError, match=r"roles\.wheel\.channel` = 'trigger' is for VISA instr"):
        parsed(tmp_path, wheel, disc)


def test_a_declaration_that_is_missing_is_told_once_and_hides_no_other_problem(tmp_path):
    change = {"bench": {"visa": {"delays": {"declaration": "srs_dg535"}}}}
    twice = with_roles(twice=GATE)
    with pytest.raises(ConfigError) as caught:
        parsed(tmp_path, change, twice)
    assert len(caught.value.problems) == 2
