import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from drivers import DeviceError
from estimation import CalibrationMismatch, SensorNoise
from instrument.bench import calibration_plan
from instrument.bench.calibration import PROTOCOLS, Protocol, as_noise, calibrate
from instrument.bench.calibration_plan import make_plan
from instrument.bench.connect import connect
from instrument.bench.holding import PauseAsked
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

    name, shape, bit_depth, exposure_limits_ms = "Camera", (32, 32), 12, (0.01, 1000.0)
    sensitivity = 120

    def __init__(self, camera):
        self.light, self.log, self.describe = camera.light, camera.log, camera.describe
        self.rng = np.random.default_rng(0)
        self.exposure_ms = 1.0

    def set_exposure_ms(self, exposure_ms):
        self.exposure_ms = exposure_ms
        return exposure_ms

    def capture(self, frames, *, timeout_s):
        self.log.calls.append((self.name, "capture", self.light.level))
        self.log.calls.append((self.name, "frames", frames))
        electrons = (
            self.sensitivity * self.light.level * self.exposure_ms * np.ones((frames, *self.shape))
        )
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


def lit_steps(bench):
    return [step for step in make_plan(bench, SHORT).steps if step.light]


def test_the_ladder_climbs_to_85_percent_of_saturation_and_one_level_beyond(bench):
    *ladder, over = lit_steps(bench)
    assert [step.light for step in ladder] == sorted(step.light for step in ladder)
    assert len(ladder) == SHORT.levels
    top_adu = 100 + 2 * 120 * ladder[-1].light
    # The quick look takes the 99.9th percentile of four frames' mean, 1.5 sigma above it.
    assert 0.7 * 4095 < top_adu <= 0.85 * 4095
    assert 100 + 2 * 120 * over.light > 1.1 * 4095


def test_a_light_that_is_too_weak_climbs_to_its_limit_and_exposes_longer_once(bench):
    bench.camera.sensitivity = 48  # 20 mW and 1 ms give 960 e-, half of saturation
    *ladder, over = lit_steps(bench)
    assert {step.exposure_ms for step in ladder} == {1.0}
    assert ladder[-1].light == over.light == 20.0
    assert 100 + 2 * 48 * 20 * over.exposure_ms > 1.1 * 4095
    assert calibrate(bench, SHORT, state=None, on_level=nothing).saturation == 4095


def test_what_cannot_be_overexposed_is_said(bench):
    bench.camera.sensitivity = 48
    bench.camera.exposure_limits_ms = (0.01, 1.5)
    plan = make_plan(bench, SHORT)
    assert re.search(r"20 mW.*gives bright pixels [56]\d% of saturation", plan.not_overexposed)
    result = calibrate(bench, SHORT, state=None, on_level=nothing)
    (warning,) = (w for w in result.warnings if w.name == "saturation_not_reached")
    assert warning.sentence == plan.not_overexposed
    assert result.saturation is None


def test_an_overexposed_level_gives_saturation_and_dynamic_range(bench):
    result = calibrate(bench, SHORT, state=None, on_level=nothing)
    assert result.saturation == 4095
    # (4095 - 100) / 2 e- over sqrt(3^2 + 1/12) / 2 + 1/2 e-
    assert result.dynamic_range == pytest.approx(1997.5 / 2.007, rel=0.1)
    assert not result.warned("saturation_not_reached")
    assert result.warned("saturated_levels")


def test_a_first_look_that_saturates_is_taken_again_darker(bench):
    bench.camera.sensitivity = 120 * 50
    *ladder, over = lit_steps(bench)
    assert 100 + 2 * 6000 * ladder[-1].light <= 0.85 * 4095
    assert 100 + 2 * 6000 * over.light > 1.1 * 4095


def test_a_light_that_cannot_be_dimmed_is_climbed_by_exposure(bench):
    bench.devices["light"].limits = (5.0, 20.0)
    steps = lit_steps(bench)
    assert {step.light for step in steps} == {10.0}
    assert len({step.exposure_ms for step in steps}) == SHORT.levels + 1
    result = calibrate(bench, SHORT, state=None, on_level=nothing)
    assert abs(result.gain - 2) < 4 * result.gain_se < 0.1
    assert result.linearity_error < 0.01


def test_a_bench_without_a_light_to_switch_off_is_told_what_to_do(bench):
    bench.lighting.lights.clear()
    with pytest.raises(DeviceError, match=r"Camera \(role camera\).*add a role of kind light"):
        make_plan(bench, SHORT)


def test_long_levels_come_in_sequences_with_the_light_off_in_between(bench, monkeypatch):
    monkeypatch.setattr(calibration_plan, "BYTES_AT_ONCE", 2 * 32 * 32 * 3)
    step = calibration_plan.Step(1.0, 5.0, 10)
    light, frames = bench.devices["light"], calibration_plan.step_frames(bench, step)
    lit = [light.is_on() for _frame in frames]
    assert lit == [False] * 10
    counts = [value for _, what, value in bench.log.calls if what == "frames"]
    assert counts == [3, 3, 4]


def test_gain_and_read_noise_come_back_with_honest_errors(bench):
    result = calibrate(bench, SHORT, state=None, on_level=nothing)
    assert abs(result.gain - 2) < 4 * result.gain_se < 0.1
    assert np.median(result.read_noise) == pytest.approx(1.5, rel=0.1)


def test_darks_are_taken_with_the_light_off_and_it_is_off_at_the_end(bench):
    calibrate(bench, SHORT, state=None, on_level=nothing)
    captures = [value for _, what, value in bench.log.calls if what == "capture"]
    assert captures.count(0.0) == 2  # the quick look's and the protocol's
    assert min(captures) == 0.0 < max(captures)
    assert not bench.devices["light"].is_on()


def test_a_light_that_stays_on_between_levels_stops_the_calibration(bench):
    light = bench.devices["light"]
    light.make_safe = lambda: None
    with pytest.raises(DeviceError, match="light: still on"):
        calibrate(bench, SHORT, state=None, on_level=nothing)


class PulledPlugError(Exception):
    pass


def interrupt(bench, state, *, after):
    def pull_the_plug(done, _of, _what):
        if done == after:
            raise PulledPlugError

    with pytest.raises(PulledPlugError):
        calibrate(bench, SHORT, state=state, on_level=pull_the_plug)


def test_an_interrupted_calibration_goes_on_where_it_was(bench, tmp_path):
    state = tmp_path / "state.npz"
    interrupt(bench, state, after=3)
    before = len(bench.log.calls)
    told = []
    result = calibrate(bench, SHORT, state=state, on_level=lambda *step: told.append(step))
    captures = [call for call in bench.log.calls[before:] if call[1] == "capture"]
    assert len(captures) == SHORT.levels + 1 - 2  # no look, no darks, the levels that are left
    assert [done for done, _, _ in told] == list(range(1, SHORT.levels + 3))
    assert result.gain == pytest.approx(2, rel=0.1)


def test_a_paused_calibration_is_dark_and_goes_on_with_the_level_it_was_at(bench, tmp_path):
    state, was_lit, visits = tmp_path / "state.npz", [], iter(range(10**6))

    def checkpoint():
        if next(visits) == 3:  # before the plan, the darks, the first level, the second
            was_lit.append(bench.devices["light"].is_on())
            raise PauseAsked("Ctrl-C")

    with pytest.raises(PauseAsked):
        calibrate(bench, SHORT, state=state, on_level=nothing, checkpoint=checkpoint)
    before = len(bench.log.calls)
    result = calibrate(bench, SHORT, state=state, on_level=nothing, checkpoint=checkpoint)
    captures = [call for call in bench.log.calls[before:] if call[1] == "capture"]
    assert was_lit == [False]
    assert len(captures) == SHORT.levels + 1 - 1  # no look, no darks, the levels that are left
    assert result.gain == pytest.approx(2, rel=0.1)


def test_a_calibration_killed_while_it_saves_goes_on_from_the_level_before(
    bench, tmp_path, monkeypatch
):
    state = tmp_path / "state.npz"
    interrupt(bench, state, after=3)

    def dies_half_way(_sums, path):
        path.write_bytes(b"half a file")
        raise PulledPlugError

    with monkeypatch.context() as patched:
        patched.setattr("estimation.calibration.SensorCalibration.save", dies_half_way)
        with pytest.raises(PulledPlugError):
            calibrate(bench, SHORT, state=state, on_level=nothing)
    assert calibrate(bench, SHORT, state=state, on_level=nothing).gain == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize("change", ["exposure", "protocol"])
def test_a_calibration_does_not_go_on_with_another_cameras_frames(bench, tmp_path, change):
    state = tmp_path / "state.npz"
    interrupt(bench, state, after=3)
    protocol = SHORT
    if change == "exposure":
        bench.exposure.exposure_ms = 7.0
    else:
        protocol = replace(SHORT, frames=9)
    with pytest.raises(DeviceError, match=rf"interrupted calibration of another .*remove {state}"):
        calibrate(bench, protocol, state=state, on_level=nothing)


def test_the_sample_in_view_is_said_in_the_result(bench):
    result = calibrate(bench, SHORT, state=None, on_level=nothing)
    assert result.warned("sample_in_view")


def test_a_dark_camera_is_told_apart_from_a_calibrated_one(bench):
    bench.camera.capture = lambda frames, *, timeout_s: np.full((frames, 32, 32), 100, np.uint16)
    with pytest.raises(DeviceError, match=r"no light reaches the camera.*shutter"):
        calibrate(bench, SHORT, state=None, on_level=nothing)


def test_a_calibration_is_refused_at_another_exposure(bench, tmp_path):
    result = calibrate(bench, SHORT, state=None, on_level=nothing)
    as_noise(result, bench, SHORT).save(tmp_path / "noise.npz")
    config = bench.config.model_copy(update={"noise": NoiseCalibrate(calibrate="quick")})
    assert load_noise(config, bench, tmp_path).gain == pytest.approx(result.gain)
    bench.exposure.exposure_ms = 3.0
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
