from pathlib import Path

import numpy as np
import pytest

from drivers import DeviceError
from estimation import CalibrationMismatch, SensorNoise
from instrument.bench.calibration import PROTOCOLS, Protocol, as_noise, calibrate, plan_steps
from instrument.bench.connect import connect
from instrument.campaign.calibrate import calibrate_bench
from instrument.campaign.scoring import load_noise
from instrument.config import NoiseCalibrate, load_config
from tests.instrument.fakes import make_bench, make_config

SHORT = Protocol(
    dark_frames=40, dark_exposures=(), dark_series_frames=0, levels=5, frames=8
)  # fmt: skip


def nothing(_done, _of, _what):
    pass


class FlatCamera:
    """Counts of a camera of gain 2 that sees 120 e- a mW, 1 ms and pixel, whatever is in view."""

    name, shape, bit_depth, exposure_limits_ms = "Camera", (32, 32), 12, (0.1, 1000.0)

    def __init__(self, camera):
        self.light, self.log, self.describe = camera.light, camera.log, camera.describe
        self.rng = np.random.default_rng(0)
        self.exposure_ms = 1.0

    def set_exposure_ms(self, exposure_ms):
        self.exposure_ms = exposure_ms
        return exposure_ms

    def capture(self, frames, *, timeout_s):
        self.log.calls.append((self.name, "capture", self.light.level))
        electrons = 120 * self.light.level * self.exposure_ms * np.ones((frames, *self.shape))
        noisy = self.rng.poisson(electrons) + 1.5 * self.rng.standard_normal(electrons.shape)
        return np.clip(np.rint(100 + 2 * noisy), 0, 4095).astype(np.uint16)

    def snap(self, *, timeout_s):
        return self.capture(1, timeout_s=timeout_s)[0]

    def make_safe(self):
        pass

    def close(self):
        pass


@pytest.fixture
def bench(tmp_path):
    bench = make_bench(make_config(tmp_path))
    bench.camera = bench.devices["camera"] = FlatCamera(bench.devices["camera"])
    return bench


def test_the_ladder_climbs_to_85_percent_of_saturation_and_no_further(bench):
    lit = [step for step in plan_steps(bench, SHORT) if step.light]
    assert [step.light for step in lit] == sorted(step.light for step in lit)
    top_adu = 100 + 2 * 120 * lit[-1].light
    # The quick look takes the 99.9th percentile, some 3 sigma of shot noise above the mean.
    assert 0.65 * 4095 < top_adu <= 0.85 * 4095


def test_a_light_that_is_too_weak_climbs_to_its_limit(bench):
    bench.camera.set_exposure_ms = lambda _ms: setattr(bench.camera, "exposure_ms", 0.01)
    assert plan_steps(bench, SHORT)[-1].light == 20.0


def test_gain_and_read_noise_come_back_with_honest_errors(bench):
    result = calibrate(bench, SHORT, state=None, on_level=nothing)
    assert abs(result.gain - 2) < 4 * result.gain_se < 0.1
    assert np.median(result.read_noise) == pytest.approx(1.5, rel=0.1)


def test_darks_are_taken_with_the_light_off_and_it_is_off_at_the_end(bench):
    calibrate(bench, SHORT, state=None, on_level=nothing)
    captures = [value for _, what, value in bench.log.calls if what == "capture"]
    assert captures.count(0.0) == 2  # the quick look's and the protocol's
    assert not bench.devices["light"].is_on()


def test_a_light_that_stays_on_between_levels_stops_the_calibration(bench):
    light = bench.devices["light"]
    light.make_safe = lambda: None
    with pytest.raises(DeviceError, match="light: still on"):
        calibrate(bench, SHORT, state=None, on_level=nothing)


def test_an_interrupted_calibration_goes_on_where_it_was(bench, tmp_path):
    state = tmp_path / "state.npz"

    def pull_the_plug(done, _of, _what):
        if done == 3:
            raise ConnectionError

    with pytest.raises(ConnectionError):
        calibrate(bench, SHORT, state=state, on_level=pull_the_plug)
    darks_before = sum(call[1:] == ("capture", 0.0) for call in bench.log.calls)
    bench.camera.rng = np.random.default_rng(0)  # the quick look finds the same top again
    result = calibrate(bench, SHORT, state=state, on_level=nothing)
    darks = sum(call[1:] == ("capture", 0.0) for call in bench.log.calls)
    assert darks - darks_before == 1  # the quick look's, not the 40 darks again
    assert result.gain == pytest.approx(2, rel=0.1)


def test_a_dark_camera_is_told_apart_from_a_calibrated_one(bench):
    bench.camera.capture = lambda frames, *, timeout_s: np.full((frames, 32, 32), 100, np.uint16)
    with pytest.raises(DeviceError, match=r"no light reaches the camera.*shutter"):
        calibrate(bench, SHORT, state=None, on_level=nothing)


def test_a_calibration_is_refused_at_another_exposure(bench, tmp_path):
    result = calibrate(bench, SHORT, state=None, on_level=nothing)
    as_noise(result, bench, SHORT).save(tmp_path / "noise.npz")
    config = bench.config.model_copy(update={"noise": NoiseCalibrate(calibrate="quick")})
    assert load_noise(config, bench, tmp_path).gain == pytest.approx(result.gain)
    bench.exposure_ms = 3.0
    with pytest.raises(CalibrationMismatch, match="exposure_ms"):
        load_noise(config, bench, tmp_path)


@pytest.fixture(scope="module")
def virtual(tmp_path_factory):
    """The virtual bench, calibrated through its own devices; and the sensor it was drawn with."""
    from drivers.virtual.bench import VirtualBench
    from drivers.virtual.options import PupilMicroscopeOptions

    config = load_config(Path("demo.yaml"), seed=1)
    output = tmp_path_factory.mktemp("calibration") / "camera.npz"
    done = calibrate_bench(config, output, protocol="quick", on_level=nothing)
    twin = VirtualBench(PupilMicroscopeOptions(seed=1))
    truth = twin.world.sensor
    twin.close()
    return done, truth, output


def test_the_virtual_bench_recovers_its_own_gain(virtual):
    done, truth, _ = virtual
    assert abs(done.result.gain - truth.gain_adu_per_e) < 4 * done.result.gain_se
    assert done.result.gain_se < 0.01 * truth.gain_adu_per_e


def test_the_virtual_bench_recovers_its_own_maps_within_the_stated_errors(virtual):
    done, truth, _ = virtual
    pull = (done.result.offset - truth.offset_adu) / done.result.offset_se
    # A rounded mean of 100 frames: nearly Gaussian pulls.
    assert 0.9 < pull.std() < 1.1
    relative = done.result.read_noise / truth.read_noise_e - 1
    assert np.median(np.abs(relative)) < 0.08  # 1 / sqrt(2 * 99), times 0.67 for a median


def test_a_calibration_file_is_keyed_by_its_camera(virtual):
    _, _, output = virtual
    key = SensorNoise.load(output).key
    assert key["camera"].endswith("VirtualCamera:Camera")
    assert key["exposure_ms_range"] == [10.0, 160.0]


def test_a_calibration_closes_its_bench(virtual):
    with connect(load_config(Path("demo.yaml"), seed=1)) as bench:
        assert not any(light.is_on() for light in bench.lights().values())
    assert set(PROTOCOLS) == {"quick", "full"}
