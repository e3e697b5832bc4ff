"""The virtual devices as the core sees them, the bench's light, and the options of a bench file."""

from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np
import pytest
from pydantic import ValidationError

from drivers.errors import ConnectionLost
from drivers.micromanager import MicroManager, MicroManagerCamera
from drivers.virtual import travel
from drivers.virtual.bench import VirtualBench
from drivers.virtual.options import PupilMicroscopeOptions
from drivers.virtual.scpi_server import ScpiServer, VirtualLed
from drivers.virtual.worlds import pupil as world_module

TIMEOUT_S = 20.0


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
def open_bench(monkeypatch):
    monkeypatch.setattr(world_module, "SAMPLE_SIDE", 256)
    opened = []

    def open_bench(**options) -> tuple[VirtualBench, MicroManager]:
        bench = VirtualBench(PupilMicroscopeOptions(**options))
        opened.append((bench, MicroManager(bench.core, timeout_s=TIMEOUT_S)))
        return opened[-1]

    yield open_bench
    for bench, manager in opened:
        manager.close()
        bench.close()
        bench.close()


@pytest.fixture
def core(open_bench):
    return open_bench()[0].core


# ---- devices


def test_the_core_reads_devices_of_all_four_kinds(core):
    assert set(core.getLoadedDevices()) == {"Camera", "SLM", "XY", "Z", "Core"}
    assert (core.getSLMHeight("SLM"), core.getSLMWidth("SLM")) == (64, 64)
    assert core.getProperty("Camera", "BitDepth") == 12


def test_a_frame_takes_as_long_as_its_exposure(open_bench):
    _, manager = open_bench()
    camera = MicroManagerCamera(manager, "Camera")
    camera.set_exposure_ms(30.0)
    camera.snap(timeout_s=TIMEOUT_S)
    started_s = time.perf_counter()
    camera.snap(timeout_s=TIMEOUT_S)
    assert time.perf_counter() - started_s >= 0.030


@pytest.mark.parametrize("exposure_ms", [0.0, -1.0, 1001.0, float("nan")], ids=str)
def test_the_virtual_camera_refuses_an_exposure_by_itself(core, exposure_ms):
    with pytest.raises(ValueError, match=r"allowed 0\.01 to 1000\.0 ms"):
        core.setExposure("Camera", exposure_ms)
    assert core.getExposure("Camera") == 10.0


@pytest.mark.parametrize("position_um", [100.1, -100.1, float("nan")], ids=str)
def test_the_virtual_stages_refuse_what_is_beyond_their_travel(core, position_um):
    with pytest.raises(ValueError, match=r"travel -100\.0 to 100\.0 um"):
        core.setPosition("Z", position_um)
    with pytest.raises(ValueError, match=r"travel -500\.0 to 500\.0 um"):
        core.setXYPosition("XY", 0.0, 5 * position_um)
    assert (core.getPosition("Z"), core.getXYPosition("XY")) == (0.0, (0.0, 0.0))


def test_devices_are_busy_while_they_travel(core, clock):
    core.setPosition("Z", 20.0)  # 10 ms
    core.setXYPosition("XY", 400.0, 0.0)  # 20 ms
    assert (core.deviceBusy("Z"), core.deviceBusy("XY")) == (True, True)
    clock.now_s += 0.015
    assert (core.deviceBusy("Z"), core.deviceBusy("XY")) == (False, True)
    clock.now_s += 0.006
    assert (core.deviceBusy("Z"), core.deviceBusy("XY")) == (False, False)
    assert (core.getPosition("Z"), core.getXYPosition("XY")) == (20.0, (400.0, 0.0))


def test_a_stopped_stage_stays_where_it_was_stopped(core, clock):
    core.setPosition("Z", 20.0)
    core.setXYPosition("XY", 400.0, 0.0)
    clock.now_s += 0.005
    core.stop("Z")
    core.stop("XY")
    clock.now_s += 1
    assert core.getPosition("Z") == pytest.approx(10.0)
    assert core.getXYPosition("XY") == pytest.approx((100.0, 0.0))


def test_stages_go_home(core, clock):
    core.setPosition("Z", 20.0)
    core.setXYPosition("XY", 400.0, 10.0)
    clock.now_s += 1
    core.home("Z")
    core.home("XY")
    clock.now_s += 1
    assert (core.getPosition("Z"), core.getXYPosition("XY")) == (0.0, (0.0, 0.0))


def test_the_origins_are_fixed(core):
    for refuse in (
        lambda: core.setOrigin("Z"),
        lambda: core.setOriginX("XY"),
        lambda: core.setOriginY("XY"),
    ):
        with pytest.raises(NotImplementedError, match="fixed origin"):
            refuse()


def test_a_pattern_is_shown_only_when_displayed(open_bench, clock):
    bench, _ = open_bench()
    pattern = np.full((64, 64), 128, np.uint8)
    bench.core.setSLMImage("SLM", pattern)
    clock.now_s += 1
    assert not bench.world.modulator_rad().any()
    bench.core.displaySLMImage("SLM")
    clock.now_s += 1
    assert (bench.world.modulator_rad() == np.pi).all()


def test_truth_is_the_residual_of_the_hidden_aberration(open_bench):
    bench, _ = open_bench(aberration_rms_rad=0.5)
    assert bench.truth() == {"residual_rad": pytest.approx(0.5, rel=0.03)}


# ---- light


def test_the_bench_knows_only_its_led(open_bench):
    bench, _ = open_bench()
    assert bench.address("led").startswith("TCPIP::127.0.0.1::")
    with pytest.raises(ConnectionLost, match="no instrument 'laser'; its only one is 'led'"):
        bench.address("laser")


def switch_on(led: VirtualLed, power_mw: float) -> None:
    led.execute(f"SOUR:POW {power_mw}")
    led.execute("OUTP ON")


def test_light_of_the_led_reaches_the_camera(open_bench):
    bench, _ = open_bench()
    dark = bench.world.expected_electrons(0.01)
    switch_on(bench._light._led, 5.0)
    lit = bench.world.expected_electrons(0.01)
    assert dark.max() == pytest.approx(0.2)
    assert lit.mean() == pytest.approx(2 * 5 * 10, rel=0.3)  # the field is not the whole sample


def test_light_of_an_led_in_another_process_reaches_the_camera(open_bench):
    led = VirtualLed()
    with ScpiServer(led) as server:
        where = ":".join(server.address.split("::")[1:3])
        remote, _ = open_bench(led=where)
        local, _ = open_bench()
        switch_on(led, 5.0)
        switch_on(local._light._led, 5.0)
        assert remote.address("led") == server.address
        np.testing.assert_array_equal(
            remote.world.expected_electrons(0.01), local.world.expected_electrons(0.01)
        )


def test_an_led_that_goes_away_is_a_lost_connection(open_bench):
    with ScpiServer(VirtualLed()) as server:
        where = ":".join(server.address.split("::")[1:3])
        _, manager = open_bench(led=where)
        camera = MicroManagerCamera(manager, "Camera")
        camera.snap(timeout_s=TIMEOUT_S)
    with pytest.raises(ConnectionLost, match=f"virtual LED at {where}: no power came back"):
        camera.snap(timeout_s=TIMEOUT_S)


def test_an_led_where_nothing_listens_is_named_with_the_remedy():
    with ScpiServer(VirtualLed()) as server:
        where = ":".join(server.address.split("::")[1:3])
    with pytest.raises(ConnectionLost, match=rf"{where}.*python -m drivers\.virtual\.scpi_server"):
        VirtualBench(PupilMicroscopeOptions(led=where))


# ---- options


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({"sed": 1}, "sed"),
        ({"seed": -1}, "seed"),
        ({"sample": "tissue"}, "sample"),
        ({"fill": 0.0}, "fill"),
        ({"fill": 1.0}, "fill"),
        ({"aberration_rms_rad": 3.1}, "aberration_rms_rad"),
        ({"aberration_rms_rad": -0.1}, "aberration_rms_rad"),
        ({"led": "nowhere"}, "led"),
    ],
    ids=str,
)
def test_options_of_a_bench_file_are_checked(options, place):
    with pytest.raises(ValidationError) as caught:
        PupilMicroscopeOptions(**options)
    assert [error["loc"] for error in caught.value.errors()] == [(place,)]
