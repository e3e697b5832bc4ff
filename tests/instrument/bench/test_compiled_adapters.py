"""Every kind of role, and shots, on the C++ demo adapters that come with Micro-Manager."""

import io

import pytest
from rich.console import Console

from instrument.bench.acquisition import capture_batch
from instrument.bench.connect import ConnectError, connect
from instrument.bench.timing import Stopwatch
from instrument.config import parse_config
from instrument.design import Design
from instrument.faces.terminal import design_table, device_table
from tests.instrument.fakes import merged

SYSTEM = """Property,Core,Initialize,0
Device,Camera,DemoCamera,DCam
Device,XY,DemoCamera,DXYStage
Device,Wheel,DemoCamera,DWheel
Device,Rotation,DemoCamera,DStage
Device,Lens,DemoCamera,DCam
Property,Core,Initialize,1
Property,Core,Camera,Camera
Property,Camera,PixelType,16bit
Property,Camera,BitDepth,12
Property,Camera,Binning,8
Label,Wheel,2,green
"""  # a second demo camera's stripe width stands for a lens: any numeric property will do
RAW = {
    "bench": {
        "micromanager": {"config": "bench.cfg"},
        "roles": {
            "camera": {"device": "Camera", "exposure_ms": 2},
            "sample": {"device": "XY", "limits_um": [[-500, 500], [-500, 500]]},
            "stations": {"device": "Wheel"},
            "angle": {"device": "Rotation", "limits_deg": [0, 180]},
            "iris": {
                "device": "Lens", "property": "StripeWidth", "limits": [0.5, 4], "tolerance": 0.01,
            },
        },
    },
    "objects": {"stage_grid": {"count": 2, "spacing_um": 30}},
    "design": {
        "array": {"role": "stations", "choices": [0, "green", 5], "per_shot": True},
        "angle": {"role": "angle", "bounds_deg": [0, 90], "start_deg": 15},
        "width": {"role": "iris", "bounds": [1, 3], "start": 2},
        "integration": {"role": "camera", "bounds_ms": [1, 8], "start_ms": 3},
    },
    "shots": 2,
    "noise": {"gain": 0.01, "offset": 0, "read_noise": 30, "bit_depth": 12},
}  # fmt: skip


def parsed(tmp_path, changes=None):
    (tmp_path / "bench.cfg").write_text(SYSTEM)
    return parse_config(merged(RAW, changes or {}), source="bench.yaml", folder=tmp_path)


def test_a_design_is_on_the_devices_and_in_the_record(tmp_path):
    with connect(parsed(tmp_path)) as bench:
        space = bench.space()
        assert space.parameters[0].choices == ("State-0", "green", "State-5")
        design = Design({
            "array": (2.0, 1.0), "angle": (42.0,), "width": (1.25,), "integration": (4.0,),
        })  # fmt: skip
        applied = bench.apply(design, space=space, stopwatch=Stopwatch())
        assert applied.read_back == {
            "stations": 5.0, "angle": pytest.approx(42.0, abs=0.02), "iris": 1.25, "camera": 4.0,
        }  # fmt: skip
        batch = capture_batch(
            bench, ((0.0, 0.0), (30.0, 0.0)), stopwatch=Stopwatch(), on_frame=lambda _i, _f: None
        )
        assert batch.counts.shape == (2, 2, 64, 64)
        assert batch.exposure_ms == 4.0
        assert [shot["stations"] for shot in batch.read_back] == [[5.0, 5.0], [2.0, 2.0]]
        assert bench.devices["stations"].read_back() == 2


def test_check_prints_roles_and_parameters_with_their_limits(tmp_path):
    config = parsed(tmp_path)
    page = io.StringIO()
    console = Console(file=page, width=160)
    with connect(config) as bench:
        console.print(device_table(bench.describe(), config))
        console.print(design_table(bench.space()))
    for words in (
        "StripeWidth 0 to 10", "StripeWidth 0.5 to 4",
        "0 to 180 deg", "position 0 to 9", "State-0, green, State-5", "0 to 90 deg", "1 to 8 ms",
        "2: shot 1 choice to shot 2 choice", "15",
    ):  # fmt: skip
        assert words in page.getvalue(), words


REFUSED = {
    "limits wider than the property's": (
        {"bench": {"roles": {"iris": {"limits": [0.5, 40]}}}},
        r"`bench\.roles\.iris`: limits \[0\.5, 40\.0\]: Lens\.StripeWidth: 40 asked, .*narrow them",
    ),
    "no such property": (
        {"bench": {"roles": {"iris": {"property": "Iris"}}}},
        r"`bench\.roles\.iris`: Lens: no property 'Iris'; there is .*StripeWidth",
    ),
    "not a state device": (
        {"bench": {"roles": {"stations": {"device": "Rotation"}}}},
        r"is a StageDevice, not a State",
    ),
    "no such station": (
        {"design": {"array": {"choices": [0, 12]}}},
        r"design\.array: Wheel has no position 12",
    ),
    "exposures beyond the camera": (
        {"design": {"integration": {"bounds_ms": [1, 20000]}}},
        r"Camera: exposure 20000 ms asked, above 0 and 0 to 10000 ms allowed",
    ),
}


@pytest.mark.parametrize(("changes", "sentence"), REFUSED.values(), ids=REFUSED)
def test_what_the_devices_cannot_do_is_refused_when_connecting(tmp_path, changes, sentence):
    with pytest.raises(ConnectError, match=sentence):
        connect(parsed(tmp_path, changes))
