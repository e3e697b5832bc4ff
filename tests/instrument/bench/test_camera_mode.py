"""The mode of the camera: from the bench file to the device, the record and the noise's key."""

import io

import numpy as np
import pytest
from rich.console import Console

from estimation import CalibrationMismatch, SensorNoise
from instrument.bench.acquisition import capture_batch, check_batch
from instrument.bench.camera_mode import camera_key, temperature_c, temperature_key
from instrument.bench.connect import ConnectError, connect
from instrument.bench.timing import Stopwatch
from instrument.campaign.scoring import calibrated_temperatures_c, load_noise
from instrument.config import ConfigError, NoiseFile, parse_config
from instrument.faces.terminal import device_table
from tests.instrument.fakes import make_bench, make_config, merged

SYSTEM = """Property,Core,Initialize,0
Device,Camera,DemoCamera,DCam
Device,XY,DemoCamera,DXYStage
Device,Z,DemoCamera,DStage
Property,Core,Initialize,1
Property,Core,Camera,Camera
"""
RAW = {
    "bench": {
        "micromanager": {"config": "bench.cfg"},
        "roles": {
            "camera": {
                "device": "Camera",
                "exposure_ms": 2,
                "binning": 4,
                "pixel_type": "16bit",
                "properties": {"BitDepth": 12, "Gain": 2},
                "roi": [0, 0, 64, 32],
                "temperature": "CCDTemperature",
            },
            "sample": {"device": "XY", "limits_um": [[-500, 500], [-500, 500]]},
            "focus": {"device": "Z", "limits_um": [-50, 50]},
        },
    },
    "objects": {"stage_grid": {"count": 2, "spacing_um": 30}},
    "design": {"focus": {"role": "focus", "bounds_um": [-10, 10]}},
    "noise": {"gain": 0.01, "offset": 0, "read_noise": 30, "bit_depth": 12},
}


def parsed(tmp_path, camera=None):
    (tmp_path / "bench.cfg").write_text(SYSTEM)
    changes = {"bench": {"roles": {"camera": camera or {}}}}
    return parse_config(merged(RAW, changes), source="bench.yaml", folder=tmp_path)


def test_the_mode_is_on_the_camera_in_the_record_and_in_the_key(tmp_path):
    with connect(parsed(tmp_path)) as bench:
        assert (bench.camera.shape, bench.camera.bit_depth) == ((32, 64), 12)
        said = bench.describe()[0].properties
        assert (said["Gain"], said["ROI"], said["Binning"]) == ("2", "0, 0, 64, 32", "4")
        key = camera_key(bench)
        assert (key["property Gain"], key["property BitDepth"]) == ("2", "12")
        assert (key["roi"], key["binning"], key["pixel_type"]) == ("0, 0, 64, 32", "4", "16bit")
        assert key["property CameraID"] == "V1.0"
        space = bench.space()
        bench.apply(space.start, space=space, stopwatch=Stopwatch())
        batch = capture_batch(
            bench, ((0.0, 0.0), (30.0, 0.0)), stopwatch=Stopwatch(), on_frame=lambda _i, _f: None
        )
        assert batch.counts.shape == (2, 1, 32, 64)
        assert batch.record()["temperature_c"] == 0.0


@pytest.mark.parametrize(
    ("camera", "words"),
    [
        ({"properties": {"Gain": 3, "BitDepth": 12}}, "property Gain: calibrated for '2', .*'3'"),
        ({"roi": [1, 0, 64, 32]}, "roi: calibrated for '0, 0, 64, 32'"),
        ({"properties": {"BitDepth": 12, "Gain": 2, "CCDTemperature": -30}},
         r"temperature_c: calibrated for \[-2\.0, 2\.0\], the batch has -30\.0"),
        ({"temperature": None}, "temperature_c: .* the batch does not say"),
    ],
)  # fmt: skip
def test_noise_of_another_mode_is_refused(tmp_path, camera, words):
    with connect(parsed(tmp_path)) as bench:
        key = {**camera_key(bench), **temperature_key(bench)}
        exposure_ms = key.pop("exposure_ms")
    path = tmp_path / "camera.npz"
    SensorNoise(
        gain=0.5, offset=100.0, read_noise=2.0, bit_depth=12, exposure_ms=exposure_ms, key=key
    ).save(path)

    def with_noise(changes):
        return parsed(tmp_path, changes).model_copy(update={"noise": NoiseFile(file=path)})

    with connect(with_noise({})) as bench:
        assert calibrated_temperatures_c(load_noise(bench.config, bench, tmp_path)) == (-2.0, 2.0)
    with connect(with_noise(camera)) as bench, pytest.raises(CalibrationMismatch, match=words):
        load_noise(bench.config, bench, tmp_path)


@pytest.mark.parametrize(("warm_c", "is_refused"), [(1.0, False), (2.5, True), (None, False)])
def test_a_batch_of_a_sensor_of_another_temperature_is_refused(tmp_path, warm_c, is_refused):
    bench = make_bench(make_config(tmp_path))
    bench.camera.temperature_c = lambda: warm_c
    space = bench.space()
    bench.apply(space.start, space=space, stopwatch=Stopwatch())
    batch = capture_batch(bench, ((0.0, 0.0),), stopwatch=Stopwatch(), on_frame=lambda _i, _f: None)
    verdict = check_batch(batch, bench, expected_black_adu=100, temperatures_c=(-2.0, 2.0))
    assert batch.temperature_c == warm_c
    assert (verdict.refused is not None) is is_refused
    if verdict.refused:
        assert "the sensor is at 2.5 degC, its calibration is for -2 to 2 degC" in verdict.refused


def test_a_camera_without_a_thermometer_has_no_temperature(tmp_path):
    bench = make_bench(make_config(tmp_path))
    assert temperature_c(bench) is None
    assert temperature_key(bench) == {}


def test_a_mode_that_the_camera_refuses_ends_the_connection(tmp_path):
    with pytest.raises(ConnectError, match=r"`bench\.roles\.camera`: Camera\.Gain: 99 asked; the"):
        connect(parsed(tmp_path, {"properties": {"Gain": 99}}))


@pytest.mark.parametrize(
    ("camera", "sentence"),
    [
        ({"roi": [0, 0, 64]}, "a region is [x, y, width, height] in binned pixels, or full"),
        ({"roi": [0, 0, 0, 10]}, "a region is [x, y, width, height]"),
        ({"roi": [0, -1, 5, 10]}, "a region is [x, y, width, height]"),
        ({"roi": "middle"}, "a region is [x, y, width, height]"),
        ({"properties": {"Trigger": True}}, "put the word in quotes: 'On'"),
        ({"properties": {"Gain": [1, 2]}}, "a property is a number or a word"),
        ({"properties": {"Gain": float("nan")}}, "a property is a number or a word"),
        ({"properties": {"Exposure": 5}}, "Exposure has a key of its own: write `exposure_ms`"),
        ({"properties": {"Binning": 2}}, "Binning has a key of its own: write `binning`"),
        ({"binning": 0}, "`bench.roles.camera.binning` = 0"),
        ({"readout": "fast"}, "`bench.roles.camera.readout` = 'fast' is not a key here"),
    ],
)
def test_a_wrong_mode_in_the_file_is_one_sentence(tmp_path, camera, sentence):
    with pytest.raises(ConfigError) as caught:
        parsed(tmp_path, camera)
    assert sentence in str(caught.value)
    assert len(caught.value.problems) == 1


def test_check_shows_the_mode(tmp_path):
    console = Console(file=io.StringIO(), width=120)
    with connect(parsed(tmp_path)) as bench:
        console.print(device_table(bench.describe(), bench.config))
    shown = console.file.getvalue()
    assert all(said in shown for said in ("exposure 2 ms", "roi (0, 0, 64, 32)", "Gain 2"))


def test_a_whole_sensor_may_be_said_outright(tmp_path):
    assert parsed(tmp_path, {"roi": "full"}).bench.roles["camera"].roi is None
    with connect(parsed(tmp_path, {"roi": "full"})) as bench:
        assert bench.camera.shape == (128, 128)
        assert np.all(bench.camera.snap(timeout_s=20).shape == (128, 128))
