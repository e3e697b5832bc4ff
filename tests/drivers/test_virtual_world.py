"""The shared physics of the virtual bench: its clock, its caches, its light, its truth."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from drivers.virtual import travel
from drivers.virtual.worlds import pupil as world_module
from drivers.virtual.worlds.pupil import PupilWorld
from instrument.bench.patterns import plain_response, zernike_modes

PIXEL_UM = 0.53  # wavelength / (4 NA)
POWER_MW = 10.0
LEVEL_RAD = 2 * math.pi / 256
ROUNDING_RAD = LEVEL_RAD / math.sqrt(12)  # rms of a phase rounded to 256 levels


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    for module in (world_module, travel):
        monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=clock))
    return clock


@pytest.fixture
def make_world(monkeypatch, clock):
    monkeypatch.setattr(world_module, "SAMPLE_SIDE", 256)

    def make(*, seed=0, power_mw=POWER_MW, **options) -> PupilWorld:
        options = {"sample": "texture", "fill": 0.02, "aberration_rms_rad": 1.0} | options
        return PupilWorld(seed=seed, optical_power_mw=lambda: power_mw, **options)

    return make


@pytest.fixture
def world(make_world) -> PupilWorld:
    return make_world()


def grey(level: int) -> np.ndarray:
    return np.full((64, 64), level, np.uint8)


def bumpy() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)


# ---- the modulator takes its time


def test_a_level_is_a_fraction_of_one_turn(world, clock):
    world.show(np.arange(64 * 64).reshape(64, 64).astype(np.uint8))
    clock.now_s += 1
    assert world.modulator_rad()[0, 3] == pytest.approx(3 * LEVEL_RAD)
    assert world.modulator_rad().max() == pytest.approx(2 * math.pi - LEVEL_RAD)


def test_the_modulator_is_not_settled_at_once(world, clock):
    world.show(grey(128))
    assert (world.modulator_rad() == 0).all()
    clock.now_s += 0.5 * world_module.SLM_SETTLE_S
    halfway = world.modulator_rad()[0, 0]
    assert halfway == pytest.approx(math.pi * (1 - math.exp(-2.5)))


def test_the_modulator_is_settled_after_its_time(world, clock):
    world.show(grey(128))
    clock.now_s += 0.999 * world_module.SLM_SETTLE_S
    assert (world.modulator_rad() != math.pi).all()
    clock.now_s += 0.002 * world_module.SLM_SETTLE_S
    assert (world.modulator_rad() == math.pi).all()


def test_an_interrupted_modulator_sets_off_from_where_it_is(world, clock):
    world.show(grey(128))
    clock.now_s += 0.2 * world_module.SLM_SETTLE_S
    before = world.modulator_rad()
    world.show(grey(0))
    np.testing.assert_array_equal(world.modulator_rad(), before)


def test_a_pattern_changed_after_showing_it_is_not_shown(world, clock):
    pattern = grey(128)
    world.show(pattern)
    pattern[:] = 0
    clock.now_s += 1
    assert (world.modulator_rad() == math.pi).all()


def test_the_camera_sees_the_modulator_settle(world, clock):
    flat = world.expected_electrons(0.01)
    world.show(bumpy())
    at_once = world.expected_electrons(0.01)
    clock.now_s += 0.5 * world_module.SLM_SETTLE_S
    halfway = world.expected_electrons(0.01)
    clock.now_s += world_module.SLM_SETTLE_S
    settled = world.expected_electrons(0.01)
    np.testing.assert_array_equal(at_once, flat)
    assert np.abs(halfway - flat).max() > 1
    assert np.abs(settled - halfway).max() > 0.1


# ---- stages take distance over speed


@pytest.mark.parametrize(
    ("target_um", "seconds"), [(50.0, 0.025), (-100.0, 0.05)], ids=["50 um", "-100 um"]
)
def test_focus_travels_at_its_speed(world, clock, target_um, seconds):
    world.z.move(target_um)
    assert world.z.position() == (0.0,)
    clock.now_s += 0.5 * seconds
    assert world.z.position() == pytest.approx((target_um / 2,))
    assert not world.z.is_done()
    clock.now_s += 0.4999 * seconds
    assert not world.z.is_done()
    clock.now_s += 0.0002 * seconds
    assert world.z.is_done()
    assert world.z.position() == (target_um,)


def test_both_axes_of_the_sample_arrive_together_after_the_longer_way(world, clock):
    world.xy.move(300.0, -400.0)
    clock.now_s += 0.01  # half of 400 um at 20 mm/s
    assert world.xy.position() == pytest.approx((150.0, -200.0))
    clock.now_s += 0.0101
    assert world.xy.is_done()
    assert world.xy.position() == (300.0, -400.0)


def test_a_stage_sent_elsewhere_on_its_way_turns_where_it_is(world, clock):
    world.z.move(100.0)
    clock.now_s += 0.025  # halfway
    world.z.move(0.0)
    assert world.z.position() == pytest.approx((50.0,))
    clock.now_s += 0.0251
    assert world.z.is_done()


def test_a_stage_sent_to_where_it_is_has_arrived(world):
    world.xy.move(0.0, 0.0)
    assert world.xy.is_done()


def test_the_camera_sees_the_focus_travel(world, clock):
    start = world.expected_electrons(0.01)
    world.z.move(20.0)
    np.testing.assert_array_equal(world.expected_electrons(0.01), start)
    clock.now_s += 0.005
    assert np.abs(world.expected_electrons(0.01) - start).max() > 1


# ---- what a stage position shows


@pytest.mark.parametrize("pixels", [(3, 0), (0, 5), (-40, 21)], ids=str)
def test_the_sample_stage_shifts_the_view_by_whole_pixels(world, clock, pixels):
    x, y = pixels
    before = world.expected_electrons(0.01)
    world.xy.move(x * PIXEL_UM, y * PIXEL_UM)
    clock.now_s += 1
    after = world.expected_electrons(0.01)
    rows, columns = slice(max(0, y), 128 + min(0, y)), slice(max(0, x), 128 + min(0, x))
    seen_before = slice(max(0, -y), 128 + min(0, -y)), slice(max(0, -x), 128 + min(0, -x))
    np.testing.assert_allclose(after[seen_before], before[rows, columns], rtol=1e-4)
    assert np.abs(after - before).max() > 1


def test_going_away_and_back_shows_the_same(world, clock):
    before = world.expected_electrons(0.01)
    for x_um, pattern in ((50.0, bumpy()), (0.0, grey(0))):
        world.xy.move(x_um, 0.0)
        world.z.move(x_um)
        world.show(pattern)
        clock.now_s += 1
        world.expected_electrons(0.01)
    np.testing.assert_array_equal(world.expected_electrons(0.01), before)


def test_the_field_cache_forgets_the_oldest(world, clock, monkeypatch):
    monkeypatch.setattr(world_module, "_CACHED_FIELDS", 3)
    for step in range(5):
        world.xy.move(step * PIXEL_UM, 0.0)
        clock.now_s += 1
        world.expected_electrons(0.01)
    assert [column for _, column in world._spectra] == [34, 35, 36]


# ---- light


def test_a_uniform_sample_gives_two_electrons_a_mw_and_ms(make_world, monkeypatch):
    monkeypatch.setattr(world_module, "sample_of", lambda *_, **__: np.ones((256, 256), np.float32))
    expected = make_world(power_mw=7.0).expected_electrons(0.02)
    background = 0.02 * 20
    np.testing.assert_allclose(expected, 2 * 7.0 * 20 + background, rtol=1e-5)


def test_five_percent_of_the_light_carries_no_object(make_world, monkeypatch):
    monkeypatch.setattr(
        world_module, "sample_of", lambda *_, **__: np.zeros((256, 256), np.float32)
    )
    expected = make_world(power_mw=10.0).expected_electrons(0.01)
    np.testing.assert_allclose(expected, 0.05 * 2 * 10.0 * 10 + 0.02 * 10, rtol=1e-6)


def test_with_the_light_off_only_background_is_left(make_world, mocker):
    image = mocker.patch.object(world_module, "_image", autospec=True)
    expected = make_world(power_mw=0.0).expected_electrons(0.05)
    np.testing.assert_allclose(expected, 0.02 * 50)
    image.assert_not_called()


def test_a_dark_frame_is_offset_background_and_dark_current(make_world):
    world = make_world(power_mw=0.0)
    frames = 200
    mean = np.mean([world.expose(0.1) for _ in range(frames)], axis=0)
    sensor = world.sensor
    electrons = sensor.responsivity * 0.02 * 100 + sensor.dark_e_per_s * 0.1
    variance = 2.17**2 * (electrons + sensor.read_noise_e**2) + 1 / 12
    deviation = (mean - sensor.offset_adu - 2.17 * electrons) / np.sqrt(variance / frames)
    assert np.abs(deviation).max() < 7  # of 16384 pixels; few photons have heavier tails
    assert deviation.mean() == pytest.approx(0, abs=5 / 128)


# ---- what is expected is computed once a state


@pytest.fixture
def computed(mocker):
    return SimpleNamespace(**{
        name: mocker.patch.object(world_module, f"_{name}", wraps=getattr(world_module, f"_{name}"))
        for name in ("transfer", "image", "spectrum")
    })


def counts(computed) -> tuple[int, int, int]:
    return (
        computed.transfer.call_count,
        computed.image.call_count,
        computed.spectrum.call_count,
    )


def test_repeated_frames_cost_only_their_noise(world, computed):
    frames = [world.expose(0.01) for _ in range(5)]
    assert counts(computed) == (1, 1, 1)
    assert not np.array_equal(frames[0], frames[1])


def test_another_exposure_or_power_computes_no_image(make_world, computed):
    power_mw = 5.0
    world = make_world()
    world._optical_power_mw = lambda: power_mw
    world.expose(0.01)
    power_mw = 6.0
    world.expose(0.02)
    assert counts(computed) == (1, 1, 1)


def test_a_stage_position_computes_an_image_but_no_transfer(world, clock, computed):
    for x_um in (0.0, 100.0, 0.0):
        world.xy.move(x_um, 0.0)
        clock.now_s += 1
        world.expose(0.01)
    assert counts(computed) == (1, 3, 2)


def test_a_pattern_or_a_focus_computes_a_transfer(world, clock, computed):
    world.expose(0.01)
    world.show(grey(3))
    clock.now_s += 1
    world.expose(0.01)
    world.z.move(2.0)
    clock.now_s += 1
    world.expose(0.01)
    assert counts(computed) == (3, 3, 1)


# ---- truth


@pytest.mark.parametrize("rms_rad", [0.0, 0.3, 1.0, 2.0])
def test_the_residual_of_a_flat_modulator_is_the_aberration(make_world, rms_rad):
    world = make_world(aberration_rms_rad=rms_rad)
    assert np.linalg.norm(world.twin.aberration_rad) == pytest.approx(rms_rad, rel=1e-6)
    assert world.residual_rad() == pytest.approx(rms_rad, rel=0.03)  # 64 pixels, see zernike


def test_the_conjugate_pattern_leaves_only_its_rounding(world):
    response = plain_response((64, 64))
    modes = zernike_modes(4, 15, response.plane)
    world.show(response.of_phase(modes.field(-np.asarray(world.twin.aberration_rad))))
    assert world.residual_rad() == pytest.approx(ROUNDING_RAD, rel=0.1)


def test_defocus_counts_as_residual(make_world):
    """Rms of pi NA^2 z rho^2 / wavelength over the disc: a factor of 1 / sqrt(12)."""
    world = make_world(aberration_rms_rad=0.0)
    world.z.move(-10.0)
    expected = math.pi * 0.25**2 * 10 / 0.53 / math.sqrt(12)
    assert world.residual_rad() == pytest.approx(expected, rel=0.005)


def test_the_residual_is_that_of_the_settled_state(world, clock):
    world.show(bumpy())
    world.z.move(30.0)
    at_once = world.residual_rad()
    clock.now_s += 1
    assert world.residual_rad() == at_once


# ---- seeds


def test_the_seed_fixes_everything(make_world):
    first, second = make_world(seed=5), make_world(seed=5)
    for _ in range(2):
        np.testing.assert_array_equal(first.expose(0.01), second.expose(0.01))


def test_another_seed_is_another_bench(make_world):
    first, second = make_world(seed=5), make_world(seed=6)
    assert not np.allclose(first.twin.aberration_rad, second.twin.aberration_rad)
    assert not np.allclose(first.sensor.offset_adu, second.sensor.offset_adu)
    assert not np.allclose(first._sample, second._sample)


def test_sample_and_sensor_do_not_depend_on_the_aberration(make_world):
    """So that the unaberrated bench, to which a run is compared, looks at the same objects."""
    aberrated, perfect = make_world(), make_world(aberration_rms_rad=0.0)
    np.testing.assert_array_equal(aberrated._sample, perfect._sample)
    np.testing.assert_array_equal(aberrated.sensor.offset_adu, perfect.sensor.offset_adu)


def test_the_noise_of_a_trial_depends_on_its_number_alone(make_world):
    """So that a resumed campaign sees what an unbroken one would."""
    world, other = make_world(), make_world()
    other.expose(0.01)  # a session that exposed something else before
    for each in (world, other):
        each.seed_noise(3, 1)
    np.testing.assert_array_equal(world.expose(0.01), other.expose(0.01))
    frames = []
    for trial, part in ((3, 1), (3, 0), (4, 1)):
        world.seed_noise(trial, part)
        frames.append(world.expose(0.01))
    assert np.any(frames[0] != frames[1])
    assert np.any(frames[0] != frames[2])
