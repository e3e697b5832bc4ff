"""What a bench file says of a modulator reaches the device, on the virtual bench."""

import numpy as np
import pytest

from instrument.bench.connect import ConnectError, connect
from instrument.bench.timing import Stopwatch
from instrument.config import parse_config
from tests.instrument.fakes import CONFIG, merged

CELLS = {"role": "slm", "basis": "superpixel", "cells": [1, 2]}
PHASES = {"role": "slm", "basis": "superpixel", "cells": [1, 2], "bounds_rad": [0, 6]}


@pytest.fixture(autouse=True)
def _small_sample(monkeypatch):
    monkeypatch.setattr("drivers.virtual.worlds.pupil.SAMPLE_SIDE", 256)


def config_of(tmp_path, pupil, **slm):
    raw = merged(CONFIG, {"bench": {"roles": {"slm": slm}}})
    return parse_config({**raw, "design": {"pupil": pupil}}, source="t", folder=tmp_path)


def show(bench, *components):
    space = bench.space()
    design = space.from_vector(components)
    return bench.apply(design, space=space, stopwatch=Stopwatch()).patterns["slm"]


def test_an_inverted_mirror_device_is_all_off_when_made_safe(tmp_path):
    config = config_of(tmp_path, CELLS, on_value=0, off_value=255, display_ms=20)
    with connect(config) as bench:
        sent = show(bench, 255, 0)
        np.testing.assert_array_equal(sent[0, [0, -1]], [0, 255])
        np.testing.assert_array_equal(bench.slm("slm").read_back(), sent)
        bench.safe()
        assert (bench.slm("slm").read_back() == 255).all()


def test_a_measured_table_is_what_the_modulator_is_sent(tmp_path):
    (tmp_path / "lut.csv").write_text("0,0\n200,6.4\n")
    with connect(config_of(tmp_path, PHASES, lut="lut.csv")) as bench:
        np.testing.assert_array_equal(show(bench, 0, 3.2)[0, [0, -1]], [0, 100])


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (None, "lut.csv: cannot be read"),
        ("0,0\n200,nan\n", "lut.csv: the phase of grey level 200 is none"),
        ("0,0\n200,5\n", "`design`: the bounds allow phases from 0 to 6 rad"),
    ],
)
def test_a_table_that_cannot_serve_is_said_when_the_bench_connects(tmp_path, table, sentence):
    if table is not None:
        (tmp_path / "lut.csv").write_text(table)
    with pytest.raises(ConnectError, match=sentence) as caught:
        connect(config_of(tmp_path, PHASES, lut="lut.csv"))
    assert str(caught.value).startswith(("`bench.roles.slm.lut`", "`design`"))
