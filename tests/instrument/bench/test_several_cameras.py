"""Benches of several cameras: one is scored, chosen without doubt, the others are monitors."""

import numpy as np
import pytest

from instrument.bench.acquisition import capture_batch
from instrument.bench.connect import connect
from instrument.bench.timing import Stopwatch
from instrument.config import CameraRole, ConfigError, parse_config, scored_camera
from tests.instrument.fakes import merged

SYSTEM = """Property,Core,Initialize,0
Device,Left,DemoCamera,DCam
Device,Right,DemoCamera,DCam
Device,XY,DemoCamera,DXYStage
Device,Z,DemoCamera,DStage
Property,Core,Initialize,1
"""
RAW = {
    "bench": {
        "micromanager": {"config": "bench.cfg"},
        "roles": {
            "left": {
                "device": "Left", "exposure_ms": 1, "binning": 4, "pixel_type": "8bit",
            },
            "right": {
                "device": "Right", "exposure_ms": 2, "binning": 8, "pixel_type": "16bit",
                "properties": {"Mode": "Noise"}, "scored": True,
            },
            "sample": {"device": "XY", "limits_um": [[-500, 500], [-500, 500]]},
            "focus": {"device": "Z", "limits_um": [-50, 50]},
        },
    },
    "objects": {"stage_grid": {"count": 3, "spacing_um": 30}},
    "design": {"focus": {"role": "focus", "bounds_um": [-10, 10]}},
    "noise": {"gain": 0.01, "offset": 0, "read_noise": 30, "bit_depth": 16},
}  # fmt: skip


def parsed(tmp_path, changes=None):
    (tmp_path / "bench.cfg").write_text(SYSTEM)
    return parse_config(merged(RAW, changes or {}), source="bench.yaml", folder=tmp_path)


def test_the_scored_camera_gives_the_frames_and_the_others_are_in_the_record(tmp_path):
    with connect(parsed(tmp_path)) as bench:
        assert (bench.camera.name, bench.camera.shape) == ("Right", (64, 64))
        assert list(bench.monitors) == ["left"]
        space = bench.space()
        bench.apply(space.start, space=space, stopwatch=Stopwatch())
        positions = ((0.0, 0.0), (30.0, 0.0), (0.0, 30.0))
        left, seen = bench.monitors["left"], []
        really = left.snap

        def snap(*, timeout_s):
            seen.append(really(timeout_s=timeout_s))
            return seen[-1]

        left.snap = snap
        batch = capture_batch(bench, positions, stopwatch=Stopwatch(), on_frame=lambda _i, _f: None)
        assert batch.counts.shape == (3, 1, 64, 64)
        assert batch.exposure_ms == 2.0
        record = batch.record()["monitors"]["left"]
        assert record["mean_adu"] == [[round(float(f.mean()), 3)] for f in seen]
        assert record["saturated_fraction"] == np.mean([(f == 255).mean() for f in seen])
        assert [d.identity for d in bench.describe()[:2]] == ["DemoCamera/DCam"] * 2


def role(**keys):
    return CameraRole(device="Camera", exposure_ms=1, **keys)


@pytest.mark.parametrize(
    ("roles", "name"),
    [
        ({}, None),
        ({"a": role()}, "a"),
        ({"a": role(), "camera": role()}, "camera"),
        ({"a": role(scored=True), "camera": role()}, "a"),
        ({"a": role(), "b": role()}, None),
        ({"a": role(scored=True), "b": role(scored=True)}, None),
    ],
)
def test_which_camera_is_scored(roles, name):
    assert scored_camera(roles) == name


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"bench": {"roles": {"right": {"scored": False}}}},
         "the cameras left, right, and not one of them is the one that is scored; write `scored"),
        ({"bench": {"roles": {"left": {"scored": True}}}}, "not one of them is the one"),
        ({"bench": {"roles": {"right": {"device": "Left"}}}}, "is already the role 'left'"),
        ({"design": {"time": {"role": "left", "bounds_ms": [1, 2]}}},
         "`design.time.role` = 'left' is not the camera that is scored, 'right'"),
    ],
)  # fmt: skip
def test_a_file_that_does_not_say_which_is_refused(tmp_path, changes, sentence):
    with pytest.raises(ConfigError) as caught:
        parsed(tmp_path, changes)
    assert sentence in str(caught.value)
