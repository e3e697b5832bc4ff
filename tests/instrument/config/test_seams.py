"""Roles, parameters and noise that other imaging domains need: what they mean, what is refused."""

import pytest

from instrument.config import (
    AngleParameter,
    ChoiceParameter,
    ConfigError,
    DiscParameter,
    ExposureParameter,
    NoiseOfCounts,
    NoiseOfThermalCamera,
    PropertyParameter,
    SuperpixelParameter,
    VirtualMicroManager,
    parse_config,
)
from tests.instrument.fakes import CONFIG, merged

SEAMS = merged(
    CONFIG,
    {
        "bench": {
            "roles": {
                "stations": {"device": "Stations"},
                "iris": {
                    "device": "Lens", "property": "FNumber", "limits": [1, 6], "unit": "1",
                    "tolerance": 0.01, "settle_ms": 0,
                },
                "angle": {"device": "Rotation", "limits_deg": [0, 180], "tolerance_deg": 0.1},
                "leds": {"device": "LEDs"},
                "mask": {"device": "Mask"},
            }
        },
        "design": {
            "array": {"role": "stations", "choices": "all"},
            "f_number": {"role": "iris", "bounds": [1, 6], "start": 2},
            "angle": {"role": "angle", "bounds_deg": [0, 180], "start_deg": 90, "per_shot": True},
            "integration": {"role": "camera", "bounds_ms": [0.05, 3], "start_ms": 0.5},
            "leds": {
                "role": "leds", "basis": "superpixel", "cells": [5, 5], "bounds_grey": [0, 255],
                "start_grey": 128, "per_shot": True,
            },
            "stop": {"role": "mask", "basis": "disc"},
        },
        "shots": 4,
        "shots_order": "shots_first",
    },
)  # fmt: skip


def parsed(tmp_path, changes):
    return parse_config(merged(SEAMS, changes), source="bench.yaml", folder=tmp_path)


def test_kinds_are_inferred_from_keys_and_from_what_is_searched(tmp_path):
    config = parsed(tmp_path, {})
    kinds = {name: role.kind for name, role in config.bench.roles.items()}
    assert kinds == {
        "camera": "camera", "slm": "slm", "sample": "xy_stage", "focus": "stage", "light": "light",
        "stations": "selector", "iris": "property", "angle": "rotation", "leds": "slm",
        "mask": "slm",
    }  # fmt: skip
    assert {name: type(p) for name, p in list(config.design.items())[2:]} == {
        "array": ChoiceParameter, "f_number": PropertyParameter, "angle": AngleParameter,
        "integration": ExposureParameter, "leds": SuperpixelParameter, "stop": DiscParameter,
    }  # fmt: skip
    assert (config.shots, config.shots_order) == (4, "shots_first")


@pytest.mark.parametrize(
    ("name", "role", "kind"),
    [
        ("table", {"device": "XY2", "limits_um": [[0, 1], [0, 1]]}, "xy_stage"),
        ("lift", {"device": "Z2", "limits_um": [0, 1]}, "stage"),
    ],
)
def test_stages_are_told_apart_by_their_limits(tmp_path, name, role, kind):
    assert parsed(tmp_path, {"bench": {"roles": {name: role}}}).bench.roles[name].kind == kind


def test_one_shot_objects_first_is_the_default(tmp_path):
    config = parse_config(CONFIG, source="bench.yaml", folder=tmp_path)
    assert (config.shots, config.shots_order) == (1, "objects_first")


def test_a_resolved_config_with_every_seam_is_read_back_the_same(tmp_path):
    leds = {"bounds_grey": [0, 255], "start_grey": 2, "choices": [0, 1, 2, 3], "tiles": [4, 4]}
    config = parsed(tmp_path, {"design": {"leds": leds}, "noise": {"residual_pattern": 5e-4}})
    again = parse_config(config.model_dump(mode="json"), source="run", folder=tmp_path)
    assert again == config


def test_noise_of_a_thermal_camera_and_of_counts(tmp_path):
    thermal = parsed(tmp_path, {"noise": {"residual_pattern": 5e-4}})
    assert isinstance(thermal.noise, NoiseOfThermalCamera)
    raw = {**SEAMS, "noise": {"sigma_adu": 16, "offset": 32768}}
    counts = parse_config(raw, source="bench.yaml", folder=tmp_path)
    assert counts.noise == NoiseOfCounts(sigma_adu=16, offset=32768)


def test_the_seed_of_a_virtual_bench_may_be_left_to_the_campaign(tmp_path):
    config = parsed(tmp_path, {})
    assert isinstance(config.bench.micromanager, VirtualMicroManager)
    assert config.bench.micromanager.seed is None
    given = parsed(tmp_path, {"bench": {"micromanager": {"seed": 7}}})
    assert given.bench.micromanager.seed == 7


REFUSED = {
    "unknown virtual bench": (
        {"bench": {"micromanager": {"virtual": "telescope"}}},
        "`bench.micromanager.virtual` = 'telescope' is no virtual bench; known: pupil_microscope",
    ),
    "unknown basis": (
        {"design": {"leds": {"basis": "wavelet"}}},
        "`design.leds.basis` = 'wavelet' is unknown; use zernike, superpixel, disc, raw, fourier "
        "or hadamard",
    ),
    "key of another basis": (
        {"design": {"stop": {"modes": [1, 2]}}},
        "`design.stop.modes` = [1, 2] is not a key here; known are basis, grey",
    ),
    "grey beyond 8 bit": ({"design": {"leds": {"bounds_grey": [0, 300]}}}, "less than or equal"),
    "a grey level that is no number": ({"design": {"leds": {"start_grey": "dark"}}}, "'dark'"),
    "greys reversed": ({"design": {"leds": {"bounds_grey": [9, 3]}}}, "must be below the second"),
    "phases and greys": (
        {"design": {"leds": {"bounds_rad": [0, 6]}}}, "bounds_rad makes phases of the cells; leave",
    ),
    "start phase of greys": (
        {"design": {"leds": {"start_rad": 1}}}, "start_rad is for phases: give bounds_rad",
    ),
    "start phase out of bounds": (
        {"design": {"leds": {"bounds_rad": [0, 6], "start_grey": None, "start_rad": 7}}},
        "`design.leds.start_rad` = 7 is outside its own bounds [0.0, 6.0]",
    ),
    "start grey out of bounds": (
        {"design": {"leds": {"bounds_grey": [0, 9], "start_grey": 99}}},
        "`design.leds.start_grey` = 99 is outside its own bounds [0, 9]",
    ),
    "choices and bounds": (
        {"design": {"leds": {"bounds_grey": [0, 9], "choices": [0, 1], "start_grey": 1}}},
        "choices and bounds_grey exclude each other",
    ),
    "start is no choice": (
        {"design": {"leds": {"choices": [0, 1]}}}, "start_grey 128 is none of choices",
    ),
    "one choice": ({"design": {"array": {"choices": [3]}}}, "a choice is among two or more"),
    "a choice twice": ({"design": {"array": {"choices": [3, 3]}}}, "there twice"),
    "start is no station": (
        {"design": {"array": {"choices": ["a", "b"], "start": "c"}}}, "start 'c' is none of",
    ),
    "angle beyond limits": (
        {"design": {"angle": {"bounds_deg": [0, 360]}}}, "0 to 180 deg; narrow the bounds",
    ),
    "angle in the wrong unit": (
        {"design": {"angle": {"bounds_rad": [0, 3]}}}, "write `bounds_deg`",
    ),
    "unit in an angle": (
        {"bench": {"roles": {"angle": {"limits_deg": ["0 deg", 180]}}}}, "write it in deg",
    ),
    "property beyond limits": (
        {"design": {"f_number": {"bounds": [1, 8]}}}, "1 to 6; narrow the bounds",
    ),
    "property without tolerance": (
        {"bench": {"roles": {"iris": {"tolerance": None}}}}, "`bench.roles.iris.tolerance`",
    ),
    "property of the camera": (
        {"bench": {"roles": {"iris": {"device": "Camera", "property": "Gain"}}}},
        "`bench.roles.iris.property` = 'Gain' is a property of the camera itself",
    ),
    "exposure of nothing": (
        {"design": {"integration": {"bounds_ms": [0, 3]}}}, "an exposure is above 0 ms",
    ),
    "start exposure": (
        {"design": {"integration": {"start_ms": 4}}},
        "`design.integration.start_ms` = 4 is outside",
    ),
    "exposures below the calibration": (
        {"noise": "camera"}, "set exposure_ms to 0.05",
    ),
    "an exposure a shot with a calibration": (
        {"noise": "camera", "design": {"integration": {"per_shot": True}}},
        "`design.integration.per_shot`: shots of different exposures have different dark",
    ),
    "a role set twice": (
        {"design": {"other": {"role": "slm", "basis": "disc"}}},
        "`design.other.role` = 'slm' is already set by `design.pupil`",
    ),
    "wrong role for choices": (
        {"design": {"array": {"role": "iris"}}}, "`design.array.choices` = 'all' is not a key here",
    ),
    "no shots": ({"shots": 0}, "`shots` = 0"),
    "unknown order": ({"shots_order": "random"}, "'objects_first' or 'shots_first'"),
    "noise below a count": ({"noise": {"sigma_adu": 0.5}}, "greater than or equal to 1"),
    "key of another noise": (
        {"noise": {"sigma_adu": 16}}, "`noise.gain` = 1.0 is not a key here; known are offset, sig",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "sentence"), REFUSED.values(), ids=REFUSED.keys())
def test_bad_input_is_one_clear_sentence(tmp_path, changes, sentence):
    raw = merged(SEAMS, changes)
    if raw["noise"] == "camera":
        raw["noise"] = {"calibrate": "quick"}
    with pytest.raises(ConfigError) as caught:
        parse_config(raw, source="bench.yaml", folder=tmp_path)
    assert sentence in str(caught.value)
    assert all("\n" not in problem for problem in caught.value.problems)


@pytest.mark.parametrize(
    "role",
    [
        {"kind": "stage", "device": "Z", "limits_um": [-500, 500]},
        {"device": "Z", "property": "Position", "limits": [-500, 500], "tolerance": 1},
        {"device": "Lens", "property": "FNumber", "limits": [1, 60], "tolerance": 1},
        {"device": "led", "channel": "power_mw", "level": 10, "limits": [0, 2000]},
    ],
)
def test_a_device_has_one_role_for_the_limits_of_one_say_nothing_to_another(tmp_path, role):
    with pytest.raises(ConfigError, match=r"`bench\.roles\.second\.\w+` = .* is already the role"):
        parsed(tmp_path, {"bench": {"roles": {"second": role}}})


def test_properties_of_one_device_may_have_a_role_each(tmp_path):
    role = {"device": "Lens", "property": "Focus", "limits": [0, 1], "tolerance": 0.1}
    assert parsed(tmp_path, {"bench": {"roles": {"second": role}}}).bench.roles["second"].device
