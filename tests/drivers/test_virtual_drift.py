"""A virtual bench that drifts: its clock, its lamp, its focus, and what its truth says of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from pydantic import ValidationError

from drivers.virtual.drift import Drift
from drivers.virtual.options import DriftOptions, PupilMicroscopeOptions
from drivers.virtual.worlds import pupil as world_module
from drivers.virtual.worlds.pupil import PupilWorld
from instrument.config import parse_config
from tests.instrument.fakes import CONFIG

BEGAN_AT = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)


def drift_after(hours: float, **options) -> Drift:
    return Drift(
        DriftOptions(began_at=BEGAN_AT, **options), clock=lambda: BEGAN_AT + timedelta(hours=hours)
    )


def world_after(hours: float, monkeypatch, **options) -> PupilWorld:
    monkeypatch.setattr(world_module, "SAMPLE_SIDE", 256)
    return PupilWorld(
        seed=0,
        sample="texture",
        fill=0.02,
        aberration_rms_rad=0.0,
        optical_power_mw=lambda: 10.0,
        drift=drift_after(hours, **options),
    )


def test_two_percent_an_hour_compound_over_the_night():
    assert drift_after(10.0, lamp_per_hour=-0.02).lamp_factor() == pytest.approx(0.98**10)


def test_a_fast_clock_makes_hours_of_seconds():
    drift = drift_after(100 / 3600, focus_um_per_hour=0.5, hours_per_second=0.1)
    assert drift.focus_um() == pytest.approx(5.0)  # 100 s are 10 h


def test_a_creep_that_settles_ends_after_rate_times_time_constant():
    drift = drift_after(100.0, focus_um_per_hour=0.5, focus_settles_h=3.0)
    assert drift.focus_um() == pytest.approx(1.5)


def test_a_clock_before_the_beginning_has_not_drifted_yet():
    assert drift_after(-5.0, lamp_per_hour=-0.02, focus_um_per_hour=1.0).lamp_factor() == 1.0


def test_a_dimmer_lamp_gives_fewer_electrons(monkeypatch):
    fresh = world_after(0.0, monkeypatch, lamp_per_hour=-0.02).expected_electrons(0.01)
    aged = world_after(10.0, monkeypatch, lamp_per_hour=-0.02).expected_electrons(0.01)
    room_e = world_module.BACKGROUND_E_PER_MS * 10
    np.testing.assert_allclose(aged - room_e, 0.98**10 * (fresh - room_e), rtol=1e-9)


def test_a_stage_that_follows_the_creep_sees_what_it_saw_before(monkeypatch):
    fresh = world_after(0.0, monkeypatch).expected_electrons(0.01)
    crept = world_after(10.0, monkeypatch, focus_um_per_hour=0.5)
    blurred = crept.expected_electrons(0.01)
    monkeypatch.setattr(crept, "z", world_module.Axes((world_module.Z_TRAVEL_UM,), speed_per_s=1e9))
    crept.z.move(-5.0)
    assert np.abs(blurred - fresh).max() > 1.0
    np.testing.assert_allclose(crept.expected_electrons(0.01), fresh, atol=1e-3)


def test_the_truth_knows_the_drift_and_what_would_be_without_it(monkeypatch):
    truth = world_after(10.0, monkeypatch, lamp_per_hour=-0.02, focus_um_per_hour=0.5).truth()
    assert truth["lamp_factor"] == pytest.approx(0.98**10)
    assert truth["focus_drift_um"] == pytest.approx(5.0)
    assert truth["undrifted_residual_rad"] == pytest.approx(0.0, abs=1e-6)
    # Defocus of 5 um: pi NA^2 z / wavelength times rho^2, whose rms over the pupil is 1 / sqrt 12.
    defocus_rad = np.pi * 0.25**2 * 5.0 / 0.53 / np.sqrt(12)
    assert truth["residual_rad"] == pytest.approx(defocus_rad, rel=0.02)


def test_a_bench_that_does_not_drift_says_nothing_of_drift(monkeypatch):
    world = world_after(0.0, monkeypatch)
    world._drift = None
    assert set(world.truth()) == {"residual_rad"}


def test_a_recorded_config_keeps_when_the_drift_began(tmp_path):
    bench = CONFIG["bench"] | {
        "micromanager": {"virtual": "pupil_microscope", "drift": {"lamp_per_hour": -0.02}}
    }
    config = parse_config(CONFIG | {"bench": bench}, source="test", folder=tmp_path)
    again = parse_config(config.model_dump(mode="json"), source="run", folder=tmp_path)
    assert isinstance(again.bench.micromanager, PupilMicroscopeOptions)
    assert again.bench.micromanager.drift == config.bench.micromanager.drift


@pytest.mark.parametrize(
    "options",
    [
        {"lamp_per_hour": -1.0},
        {"hours_per_second": 0},
        {"focus_settles_h": 0},
        {"began_at": "2026-11-23T20:00:00"},
        {"lamp": -0.02},
    ],
    ids=["a lamp that is gone", "a clock that stands", "no time", "no time zone", "misspelt"],
)
def test_options_that_mean_nothing_are_refused(options):
    with pytest.raises(ValidationError):
        DriftOptions(**options)
