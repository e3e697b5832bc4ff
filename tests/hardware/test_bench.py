"""On a real bench: `INFOLOOP_BENCH=bench.yaml pytest -m hardware`. Moves nothing."""

import os
from pathlib import Path

import pytest

from instrument.bench.connect import connect
from instrument.config import load_config

pytestmark = pytest.mark.hardware


@pytest.fixture(scope="module")
def bench():
    path = os.environ.get("INFOLOOP_BENCH")
    if path is None:
        pytest.skip("name your bench file in INFOLOOP_BENCH")
    with connect(load_config(Path(path))) as bench:
        yield bench


def test_every_light_is_off_once_connected(bench):
    assert not any(light.is_on() for light in bench.lights().values())


def test_every_device_says_what_it_is(bench):
    assert all(device.identity for device in bench.describe())


def test_the_present_setting_is_an_allowed_design(bench):
    bench.check(bench.space().start, space=bench.space())


def test_the_black_level_is_that_of_the_noise_model(bench, tmp_path):
    from instrument.campaign.scoring import load_noise

    dark = bench.camera.capture(4, timeout_s=10)
    noise = load_noise(bench.config, bench, tmp_path)
    tolerance = bench.config.safety.black_level_tolerance_adu
    assert dark.mean() == pytest.approx(noise.offset, abs=tolerance)
