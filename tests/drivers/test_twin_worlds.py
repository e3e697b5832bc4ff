"""Worlds of twins: what the camera sees is what the twin expects, through the sensor, at the site.

And what moves on each bench refuses what it cannot do.
"""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from drivers.errors import ConnectionLost, InstrumentReported, LimitViolation
from drivers.micromanager import (
    MicroManager,
    MicroManagerProperty,
    MicroManagerRotation,
    MicroManagerSelector,
    MicroManagerSLM,
)
from drivers.virtual import bench as bench_module
from drivers.virtual.bench import VirtualBench
from drivers.virtual.options import (
    ColourBench,
    InfraredBench,
    InterferometerBench,
    LenslessBench,
    PhaseBench,
    TomographyBench,
    VirtualBenchOptions,
)
from drivers.virtual.sensor import Correlator
from drivers.virtual.twins import Lensless, PhaseContrast
from drivers.virtual.worlds import lensless, phase
from drivers.virtual.worlds.factory import make_twin_world
from drivers.virtual.worlds.plate import Plate
from drivers.virtual.worlds.twin_world import TwinWorld, _look, side_by_side

OPTIONS = {
    "lensless": LenslessBench(sites=2),
    "colour": ColourBench(sites=2),
    "infrared": InfraredBench(sites=2),
    "tomography": TomographyBench(sites=2, slices=3),
    "phase": PhaseBench(sites=2),
    "interferometer": InterferometerBench(sites=2),
}
EXPOSURE_S = 3e-4  # short of filling the thermal camera's well
FRAMES = 400
TIMEOUT_S = 20.0


@pytest.fixture(scope="module")
def worlds() -> dict[str, TwinWorld]:
    return {name: make_twin_world(options) for name, options in OPTIONS.items()}


@pytest.fixture(params=OPTIONS)
def name(request) -> str:
    return request.param


@pytest.fixture
def world(worlds, name) -> TwinWorld:
    world = worlds[name]
    go(world, -50.0, -50.0)
    if name == "phase":
        world.show(np.full((15, 15), 255, np.uint8))
    return world


def go(world: TwinWorld, x_um: float, y_um: float) -> None:
    """Bring the sample there and wait until it is."""
    world.xy.move(x_um, y_um)
    while not world.xy.is_done():
        pass


def as_counts(world: TwinWorld, expected: np.ndarray) -> np.ndarray:
    if isinstance(world.sensor, Correlator):
        return world.sensor.offset_adu + world.sensor.sigma_adu * expected
    return world.sensor.offset_adu + world.sensor.gain_adu_per_e * expected


# ---- the camera sees what the twin expects


def test_the_mean_of_many_frames_is_what_the_twin_expects(world):
    expected = as_counts(world, world.expected(EXPOSURE_S))
    frames = np.array([world.expose(EXPOSURE_S) for _ in range(FRAMES)], float)
    error = frames.std(axis=0, ddof=1) / np.sqrt(FRAMES)
    z = (frames.mean(axis=0) - expected) / error
    assert frames.dtype == np.float64
    assert np.abs(z).max() < 5.5
    assert np.mean(z**2) == pytest.approx(1.0, abs=6 * np.sqrt(2 / z.size) + 0.05)


@pytest.mark.parametrize("site", [(0, -50.0, -50.0), (1, 50.0, -50.0), (2, -50.0, 50.0)], ids=str)
def test_each_site_of_the_plate_is_seen_where_it_lies(world, name, site):
    number, x_um, y_um = site
    go(world, x_um, y_um)
    objects = world.plate.objects
    seen = np.asarray(_look(world.twin, objects.reshape(-1, *objects.shape[2:])))
    seen = seen.reshape(len(objects), -1, *seen.shape[1:])[number]
    if name == "interferometer":
        chosen = world.twin.with_stations_chosen(world.choices[41].split("+"))
        seen = np.asarray(_look(chosen, objects[number]))
        frame = np.zeros(world.sensor.shape)
        frame[:, : seen.shape[-1]] = seen[0, :, 0]
        world.choose(41)
    elif name == "tomography":
        frame = seen[:, 0, 0] * EXPOSURE_S * 1e3
    elif name == "phase":
        frame = np.block([[seen[4 * r + c, 0] for c in range(4)] for r in range(4)])
        frame = frame * EXPOSURE_S * 1e3
    else:
        frame = seen[0, 0] * EXPOSURE_S * 1e3
    np.testing.assert_allclose(world.expected(EXPOSURE_S), frame, rtol=2e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["tomography", "lensless"])
def test_a_seed_fixes_the_frames_and_another_one_changes_the_objects(name):
    first, again, other = (
        make_twin_world(OPTIONS[name].model_copy(update={"seed": seed})) for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first.expose(EXPOSURE_S), again.expose(EXPOSURE_S))
    assert not np.array_equal(first.plate.objects, other.plate.objects)


def test_noise_is_drawn_anew_in_every_frame(world):
    assert not np.array_equal(world.expose(EXPOSURE_S), world.expose(EXPOSURE_S))


def test_the_sensor_is_deep_enough_for_what_it_sees(world):
    frame = world.expose(EXPOSURE_S)
    assert frame.dtype == np.uint16
    assert frame.shape == world.sensor.shape
    assert 0 < frame.min() < frame.max() < 2**world.sensor.bit_depth - 1


# ---- the plate


@pytest.mark.parametrize(
    ("across", "grid"), [(4, (-150.0, -50.0, 50.0, 150.0)), (3, (-100.0, 0.0, 100.0))], ids=str
)
def test_a_centred_grid_visits_every_site_once(across, grid):
    plate = Plate.of(np.zeros((across**2, 2, 2)), across=across)
    sites = [plate.site(x_um, y_um) for y_um in grid for x_um in grid]
    assert sites == list(range(across**2))


def test_a_plate_of_another_number_of_sites_is_refused():
    with pytest.raises(ValueError, match="5 sites, 2 x 2 needed"):
        Plate(np.zeros((5, 1, 2, 2)), 2)


def test_frames_of_a_site_lie_side_by_side_in_reading_order():
    frames = np.arange(6)[:, None, None] * np.ones((1, 2, 3))
    tiled = side_by_side(frames, sites=1, rows=2)
    assert tiled.shape == (1, 4, 9)
    np.testing.assert_array_equal(tiled[0, ::2, ::3], [[0, 1, 2], [3, 4, 5]])


# ---- what moves


def test_a_mask_shares_the_light_as_bright_as_its_cells_are(worlds):
    pattern = np.kron([[3, 0, 0], [0, 1, 0], [0, 0, 0]], np.ones((4, 4))).astype(np.uint8)
    worlds["lensless"].show(pattern)
    weights = np.asarray(worlds["lensless"].twin.values()["weights"])
    np.testing.assert_allclose(weights, [0.75, 0, 0, 0, 0.25, 0, 0, 0, 0], rtol=1e-6)
    assert isinstance(worlds["lensless"].twin, Lensless)


def test_a_mask_dark_all_over_shares_the_light_equally():
    np.testing.assert_allclose(
        lensless.shares_of(np.zeros((12, 12), np.uint8), (3, 3)), np.full(9, 1 / 9)
    )


def test_a_filter_that_does_not_exist_is_refused_and_nothing_changes(worlds):
    world = worlds["colour"]
    world.show(np.full((8, 8), 3, np.uint8))
    with pytest.raises(ValueError, match="filter 4 asked; there are 4, numbered from 0"):
        world.show(np.full((8, 8), 4, np.uint8))
    np.testing.assert_array_equal(np.asarray(world.twin.mask()).argmax(axis=-1), 3)


def test_without_a_lit_led_there_is_no_light(worlds):
    world = worlds["phase"]
    world.show(np.zeros((15, 15), np.uint8))
    assert world.truth() == {"mean_expected_per_ms": 0.0}
    assert not world.expected(EXPOSURE_S).any()
    corner = np.zeros((15, 15), np.uint8)
    corner[0, 0] = 255  # beyond the objective's aperture
    world.show(corner)
    assert not world.expected(EXPOSURE_S).any()


def test_in_equal_time_few_leds_give_little_light_and_at_equal_dose_as_much(worlds):
    one = np.zeros((15, 15), np.uint8)
    one[7, 7] = 255
    dose = make_twin_world(PhaseBench(sites=2, exposure="equal_dose"))
    for world in (worlds["phase"], dose):
        world.show(one)
    dim, bright = (w.truth()["mean_expected_per_ms"] for w in (worlds["phase"], dose))
    assert bright == pytest.approx(1000, rel=0.1)
    assert dim < bright / 100
    assert isinstance(dose.twin, PhaseContrast)


def test_the_focus_of_the_phase_bench_is_defocus_in_the_pupil(worlds):
    world = worlds["phase"]
    world.show(np.full((15, 15), 255, np.uint8))
    flat = world.expected(EXPOSURE_S)
    world.z.move(5.0)
    while not world.z.is_done():
        pass
    assert np.abs(world.expected(EXPOSURE_S) - flat).max() > 0.1
    assert float(world.twin.values()["defocus_rad"]) == pytest.approx(5 * phase.DEFOCUS_RAD_PER_UM)
    world.z.move(0.0)
    while not world.z.is_done():
        pass
    np.testing.assert_allclose(world.expected(EXPOSURE_S), flat)


def test_the_scanner_sees_from_where_the_rotation_stage_stands(worlds):
    world = worlds["tomography"]
    go(world, -50.0, -50.0)
    world.rotation.move(90.0)
    while not world.rotation.is_done():
        pass
    mass = world.plate.objects[0].sum(axis=(1, 2))
    photons = world.expected(1e-3)
    attenuation = -np.log(photons / 2500.0)
    np.testing.assert_allclose(attenuation.sum(axis=1), mass, rtol=1e-3)
    a_row = world.plate.objects[0].sum(axis=2)
    middle = (np.arange(34) - 16.5) @ attenuation.T / attenuation.sum(axis=1)
    expected_middle = (np.arange(24) - 11.5) @ a_row.T / a_row.sum(axis=1)
    np.testing.assert_allclose(middle, expected_middle, atol=1e-3)
    with pytest.raises(ValueError, match=r"position 181\.0 deg, travel 0\.0 to 180\.0 deg"):
        world.rotation.move(181.0)


def test_the_thermal_noise_of_a_correlator_has_the_size_it_says():
    sensor = Correlator(shape=(50, 200), sigma_adu=6.0, offset_adu=1000.0)
    frame = sensor.expose(np.full((50, 200), 10.0), exposure_s=1.0, rng=np.random.default_rng(0))
    assert frame.mean() == pytest.approx(1060, abs=0.3)
    assert frame.std() == pytest.approx(6.0, rel=0.03)


# ---- in the real core, through the adapters


@pytest.fixture
def open_manager():
    opened = []

    def open_manager(name: str) -> MicroManager:
        bench = VirtualBench(OPTIONS[name])
        manager = MicroManager(bench.core, timeout_s=TIMEOUT_S)
        opened.append((bench, manager))
        return manager

    yield open_manager
    for bench, manager in opened:
        manager.close()
        bench.close()


def moved(device, target):
    device.start(target)
    device.wait(timeout_s=TIMEOUT_S)
    return device.read_back()


def test_a_rotation_stage_turns_and_refuses_what_is_beyond_the_half_turn(open_manager):
    rotation = MicroManagerRotation(open_manager("tomography"), "Rotation")
    assert moved(rotation, 135.0) == pytest.approx(135.0)
    with pytest.raises(LimitViolation, match="Rotation"):
        rotation.start(180.5)
    assert rotation.read_back() == pytest.approx(135.0)


def test_a_lens_is_set_by_its_properties_within_their_limits(open_manager):
    f_number = MicroManagerProperty(open_manager("infrared"), "Lens", "FNumber")
    assert moved(f_number, 1.4) == pytest.approx(1.4)
    with pytest.raises(LimitViolation, match="FNumber"):
        f_number.start(0.9)
    assert f_number.read_back() == pytest.approx(1.4)


def test_the_core_refuses_a_lens_what_the_adapter_let_through(open_manager):
    core = open_manager("infrared").core
    with pytest.raises(Exception, match=r"3\.5"):
        core.setProperty("Lens", "Cubic", 3.5)
    assert float(core.getProperty("Lens", "Cubic")) == 0.0


def test_the_switch_has_every_choice_of_stations_by_name(open_manager):
    selector = MicroManagerSelector(open_manager("interferometer"), "Stations")
    assert len(selector.labels) == 70
    wanted = selector.labels.index("APEX+LMT+PV+SPT")
    assert moved(selector, wanted) == wanted
    with pytest.raises(LimitViolation, match="Stations"):
        selector.start(70)


def test_filters_that_do_not_exist_are_reported_by_the_bench(open_manager):
    filters = MicroManagerSLM(open_manager("colour"), "Filters")
    filters.start(np.full((8, 8), 3, np.uint8))
    with pytest.raises(InstrumentReported, match="filter 9 asked; there are 4"):
        filters.start(np.full((8, 8), 9, np.uint8))


def test_without_scikit_image_the_bench_says_what_to_install(monkeypatch):
    def missing(*_, **__):
        raise ModuleNotFoundError("No module named 'skimage'", name="skimage")

    monkeypatch.setattr(bench_module, "make_twin_world", missing)
    with pytest.raises(ConnectionLost, match=r"ColourBench: .* pip install 'infoloop\[photogr"):
        VirtualBench(OPTIONS["colour"])


def test_a_bench_without_instruments_says_so():
    bench = VirtualBench(OPTIONS["tomography"])
    try:
        with pytest.raises(ConnectionLost, match=r"no instrument 'led', nor any other"):
            bench.address("led")
    finally:
        bench.core.unloadAllDevices()
        bench.close()


def test_options_of_no_bench_are_refused():
    with pytest.raises(ValueError, match="VirtualBenchOptions: no virtual bench"):
        VirtualBench(VirtualBenchOptions())


@pytest.mark.parametrize(
    ("model", "options"),
    [
        (LenslessBench, {"cells": (0, 3)}),
        (LenslessBench, {"fill": 1.0}),
        (LenslessBench, {"electrons_per_ms": 0.0}),
        (TomographyBench, {"slices": 0}),
        (InterferometerBench, {"stations": 8}),
        (ColourBench, {"sites": 1}),
        (PhaseBench, {"exposure": "long"}),
    ],
    ids=str,
)
def test_options_out_of_range_are_refused(model, options):
    with pytest.raises(ValidationError):
        model(**options)


def test_the_noise_of_a_trial_depends_on_its_number_alone():
    world, other = (make_twin_world(OPTIONS["lensless"]) for _ in range(2))
    other.expose(EXPOSURE_S)  # a session that exposed something else before
    frames = []
    for trial, part in ((3, 1), (3, 0), (4, 1)):
        for each in (world, other):
            each.seed_noise(trial, part)
        frames.append(world.expose(EXPOSURE_S))
        np.testing.assert_array_equal(frames[-1], other.expose(EXPOSURE_S))
    assert np.any(frames[0] != frames[1])
    assert np.any(frames[0] != frames[2])
