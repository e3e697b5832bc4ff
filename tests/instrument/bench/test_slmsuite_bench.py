"""slmsuite's simulated pair on a bench: named in the file, driven by a design, captured."""

import numpy as np
import pytest

from drivers import ConnectionLost
from drivers.slmsuite import construct
from instrument.bench.acquisition import capture_batch
from instrument.bench.connect import ConnectError, connect
from instrument.bench.timing import Stopwatch
from instrument.config import ConfigError, parse_config
from tests.instrument.config.test_wrong_types import WRONG, refused_or_taken, with_value
from tests.instrument.fakes import CONFIG, merged

SIMULATED = "slmsuite.hardware"
PAIR = {
    "bench": {
        "slmsuite": {
            "modulator": {
                "driver": f"{SIMULATED}.slms.simulated.SimulatedSLM",
                "options": {"resolution": [48, 32], "settle_time_s": 0},
            },
            "eye": {
                "driver": f"{SIMULATED}.cameras.simulated.SimulatedCamera",
                "options": {"bitdepth": 12, "gain": 1e5, "exposure_bounds_s": [1e-4, 1]},
                "devices": {"slm": "modulator"},
            },
        },
        "roles": {"camera": {"device": "eye"}, "slm": {"device": "modulator"}},
    },
    "objects": {"stage_grid": {"count": 3}},
    "design": {
        "pupil": {
            "role": "slm", "basis": "superpixel", "cells": [2, 3], "bounds_grey": [0, 255],
            "start_grey": 0,
        }
    },
}  # fmt: skip


@pytest.fixture
def slmsuite():
    """Skip where slmsuite, or a library of the system that it needs, is missing."""
    try:
        construct(
            "probe", f"{SIMULATED}.slms.simulated.SimulatedSLM", {"resolution": [8, 8]}
        ).close()
    except ConnectionLost as reason:
        pytest.skip(str(reason))


def raw_of(changes=None):
    raw = merged({**CONFIG, "design": {"focus": CONFIG["design"]["focus"]}}, PAIR)
    return merged(raw, changes or {})


def parsed(tmp_path, changes=None):
    return parse_config(raw_of(changes), source="bench.yaml", folder=tmp_path)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"slmsuite": {"eye": {"driver": "os.system"}}}, "`bench.slmsuite.eye.driver` = 'os.sys"),
        (
            {"slmsuite": {"eye": {"devices": {"slm": "eye"}}}},
            "`bench.slmsuite.eye.devices.slm` = 'eye' is no device above it .* there is modulator",
        ),
        (
            {"slmsuite": {"eye": {"options": {"slm": 1}}}},
            "`bench.slmsuite.eye.devices.slm` = 'modulator' is also in its options",
        ),
        (
            {"slmsuite": {"led": PAIR["bench"]["slmsuite"]["modulator"]}},
            "`bench.slmsuite.led` is also in bench.visa",
        ),
        (
            {"roles": {"focus": {"device": "eye"}}},
            "`bench.roles.focus.device` = 'eye' is of slmsuite and can only have a role of",
        ),
        (
            {"roles": {"camera": {"device": "modulator"}}},
            "'modulator' is of slmsuite and can only have a role of kind slm, not camera",
        ),
    ],
)
def test_a_device_that_cannot_be_is_one_sentence(tmp_path, changes, sentence):
    with pytest.raises(ConfigError, match=sentence):
        parsed(tmp_path, {"bench": changes})


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
@pytest.mark.parametrize("key", [None, "driver", "options", "devices"])
def test_any_wrong_value_gets_a_sentence_or_is_taken(key, wrong):
    path = ("bench", "slmsuite", "eye", key) if key else ("bench", "slmsuite", "eye")
    for sentence in refused_or_taken(with_value(raw_of(), path, wrong), parse_config):
        assert sentence.startswith("`bench"), sentence
        assert "\n" not in sentence


def capture(bench, design):
    stopwatch = Stopwatch()
    bench.apply(design, space=bench.space(), stopwatch=stopwatch)
    positions = ((0.0, 0.0), (10.0, 0.0))
    return capture_batch(
        bench, positions, stopwatch=stopwatch, on_frame=lambda _index, _frame: None
    ).counts


def test_a_batch_is_captured_of_the_pattern_of_a_design(slmsuite, tmp_path):
    with connect(parsed(tmp_path)) as bench:
        space = bench.space()
        flat = capture(bench, space.from_unit(np.zeros(space.dimension)))
        bent = capture(bench, space.from_unit(np.linspace(0, 0.5, space.dimension)))
    assert flat.dtype == np.uint16
    assert flat.shape == (2, 1, 32, 48)
    # A flat pupil sends all light into one pixel, a bent one does not.
    assert flat[0].max() == flat[0].sum() > 0
    assert bent[0].max() < bent[0].sum()


def test_devices_that_do_not_open_are_all_named(slmsuite, tmp_path):
    wrong = {"modulator": {"options": {"bitdepth": 10}}}
    with pytest.raises(ConnectError) as caught:
        connect(parsed(tmp_path, {"bench": {"slmsuite": wrong}}))
    first, second = caught.value.failures
    assert first.startswith("`bench.slmsuite.modulator`: modulator: SimulatedSLM has 10 bits")
    assert second == "`bench.slmsuite.eye`: eye: its slm 'modulator' could not be opened"
