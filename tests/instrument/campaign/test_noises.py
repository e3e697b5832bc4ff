"""Noise of a bench file: what scores stand on, against closed forms."""

import numpy as np
import pytest

from estimation import (
    CalibrationMismatch,
    InfraredNoise,
    InvalidCalibration,
    InvalidMeasurements,
    NoiseModel,
    SaturatedMeasurements,
    SensorNoise,
)
from instrument.campaign import trial
from instrument.campaign.control import Control
from instrument.campaign.count_noise import GaussianCounts
from instrument.campaign.engine import Campaign
from instrument.campaign.events import EventBus
from instrument.campaign.ledger import Ledger
from instrument.campaign.scoring import (
    check_calibratable,
    expected_black_adu,
    load_noise,
    noise_at,
    score_batch,
)
from instrument.campaign.self_check import check_noise
from instrument.config import parse_config
from tests.instrument.fakes import make_bench, make_config

SIGMA_ADU, SIGNAL_ADU, OFFSET = 16.0, 48.0, 32768
COUNTS = GaussianCounts(sigma_adu=SIGMA_ADU, offset=OFFSET, bit_depth=16)


def config_with(tmp_path, noise, **changes):
    raw = make_config(tmp_path, **changes).model_dump(mode="json")
    return parse_config({**raw, "noise": noise}, source="test", folder=tmp_path)


def correlator(*, objects=400, shots=1, sigma=SIGMA_ADU, signal=SIGNAL_ADU, seed=0):
    """Independent Gaussian values with independent Gaussian noise, rounded to counts."""
    rng = np.random.default_rng(seed)
    shape = (objects, shots, 8, 8)
    values = OFFSET + rng.normal(scale=signal, size=shape) + rng.normal(scale=sigma, size=shape)
    return np.rint(values).astype(np.uint16)


@pytest.mark.parametrize("shots", [1, 3])
def test_counts_with_gaussian_noise_score_their_closed_form(tmp_path, shots):
    """A Gaussian channel: 1/2 log2(1 + S/N) bits a value, 1.661 for 3:1 in amplitude."""
    config = config_with(tmp_path, {"sigma_adu": SIGMA_ADU, "offset": OFFSET})
    score = score_batch(correlator(shots=shots), COUNTS, config, density="gaussian")
    truth = 0.5 * np.log2(1 + (SIGNAL_ADU / SIGMA_ADU) ** 2)
    assert score.estimate.bits_per_pixel == pytest.approx(
        truth, abs=4 * score.estimate.standard_error
    )
    assert score.estimate.standard_error < 0.01
    assert score.objective == pytest.approx(score.estimate.bits_per_pixel * shots * 64)


def test_rounding_is_no_information_at_the_least_sigma(tmp_path):
    config = config_with(tmp_path, {"sigma_adu": 1.0, "offset": OFFSET})
    noise = GaussianCounts(sigma_adu=1.0, offset=OFFSET, bit_depth=16)
    score = score_batch(correlator(sigma=1.0, signal=3.0), noise, config, density="gaussian")
    rounded = 0.5 * np.log2((9 + 1 + 1 / 12) / (1 + 1 / 12))
    assert score.estimate.bits_per_pixel == pytest.approx(
        rounded, abs=4 * score.estimate.standard_error
    )


def test_noise_of_counts_is_a_noise_model_of_the_file(tmp_path):
    config = config_with(tmp_path, {"sigma_adu": SIGMA_ADU, "offset": OFFSET})
    noise = load_noise(config, make_bench(config), tmp_path)
    assert isinstance(noise, NoiseModel)
    assert noise == GaussianCounts(sigma_adu=SIGMA_ADU, offset=OFFSET, bit_depth=12)
    assert expected_black_adu(noise) == OFFSET


@pytest.mark.parametrize("end", [0, 65535])
def test_counts_clipped_at_either_end_are_refused(tmp_path, end):
    config = config_with(tmp_path, {"sigma_adu": SIGMA_ADU, "offset": OFFSET})
    counts = correlator(objects=40)
    counts[:, :, 0, 0] = end
    with pytest.raises(SaturatedMeasurements, match="move their offset"):
        score_batch(counts, COUNTS, config, density="gaussian")


def test_counts_beyond_the_bit_depth_or_no_counts_are_refused():
    noise = GaussianCounts(sigma_adu=4.0, offset=100, bit_depth=12)
    with pytest.raises(InvalidMeasurements, match="12 bits end at 4095"):
        noise.check(correlator(objects=2))
    with pytest.raises(InvalidMeasurements, match="integers are due"):
        noise.check(np.ones((2, 1, 4, 4)))
    with pytest.raises(InvalidCalibration, match="below, rounding hides the noise"):
        GaussianCounts(sigma_adu=0.5, offset=100, bit_depth=12)


def test_a_thermal_camera_scores_its_closed_form(tmp_path):
    """At 1e6 e- a pattern of 5e-4 adds 2.5e5 e-^2 to the 1e6 of shot noise."""
    numbers = {"gain": 0.01, "offset": 1000, "read_noise": 300, "residual_pattern": 5e-4}
    config = config_with(tmp_path, numbers)
    noise = load_noise(config, make_bench(config), tmp_path)
    assert noise == InfraredNoise(**numbers)
    assert expected_black_adu(noise) == 1000
    rng = np.random.default_rng(1)
    signal_e = 2000.0
    scene = 1e6 + rng.normal(scale=signal_e, size=(400, 1, 8, 8))
    score = score_batch(noise.sample(scene, rng), noise, config, density="gaussian")
    noise_e2 = 1e6 + 300**2 + (5e-4 * 1e6) ** 2 + 1 / 12 / 0.01**2
    truth = 0.5 * np.log2(1 + signal_e**2 / noise_e2)
    assert score.estimate.bits_per_pixel == pytest.approx(
        truth, abs=4 * score.estimate.standard_error
    )


# ---- the self-check


def checked(config, noise, counts, monkeypatch):
    bench = make_bench(config)

    def capture(*_args, on_frame, **_keywords):
        on_frame(0.01)
        return counts

    monkeypatch.setattr("instrument.campaign.self_check.capture_repeats", capture)
    space = bench.space()
    return check_noise(
        bench, noise, space.start, (0.0, 0.0), space=space, when="start", trials=0
    ), bench  # fmt: skip


@pytest.mark.parametrize(("actual", "is_alarm"), [(SIGMA_ADU, False), (1.1 * SIGMA_ADU, True)])
def test_the_self_check_knows_the_noise_of_counts(tmp_path, monkeypatch, actual, is_alarm):
    config = config_with(tmp_path, {"sigma_adu": SIGMA_ADU, "offset": OFFSET})
    rng = np.random.default_rng(2)
    scene = OFFSET + rng.normal(scale=300, size=(128, 128))
    frames = np.rint(scene + rng.normal(scale=actual, size=(8, 128, 128))).astype(np.uint16)
    record, _ = checked(config, COUNTS, frames, monkeypatch)
    assert (record["is_alarm"], record["is_conclusive"]) == (is_alarm, True)
    assert record["calibrated_bits"] == pytest.approx(
        0.5 * np.log2(2 * np.pi * np.e * (SIGMA_ADU**2 + 1 / 12))
    )


def test_a_thermal_pattern_is_not_checked_on_repeats_and_nothing_moves(tmp_path, monkeypatch):
    config = config_with(
        tmp_path, {"gain": 0.01, "offset": 0, "read_noise": 300, "residual_pattern": 5e-4}
    )
    noise = load_noise(config, make_bench(config), tmp_path)
    record, bench = checked(config, noise, None, monkeypatch)
    assert "not checked" in record["text"]
    assert bench.log.calls == []


# ---- exposures

INTEGRATION = {"integration": {"role": "camera", "bounds_ms": [1.0, 8.0]}}


def calibrated(tmp_path, **keywords):
    path = tmp_path / "camera.npz"
    SensorNoise(
        gain=1.0, offset=100.0, read_noise=1.0, bit_depth=12, dark_current=1000.0, exposure_ms=1.0,
        **keywords,
    ).save(path)  # fmt: skip
    return {"file": str(path)}


def test_noise_is_of_the_exposure_of_the_trial(tmp_path):
    config = config_with(tmp_path, calibrated(tmp_path), design=INTEGRATION)
    noise = load_noise(config, make_bench(config), tmp_path)
    assert expected_black_adu(noise_at(noise, 1.0)) == pytest.approx(101.0)
    assert expected_black_adu(noise_at(noise, 8.0)) == pytest.approx(108.0)
    assert noise_at(noise, 1.0) is noise  # its tables are kept
    numbers = SensorNoise(gain=1.0, offset=100.0, read_noise=1.0, bit_depth=12)
    assert noise_at(numbers, 8.0) is numbers


@pytest.mark.parametrize(("longest_ms", "is_allowed"), [(8.0, True), (7.9, False)])
def test_a_calibration_must_cover_every_exposure_of_the_design(tmp_path, longest_ms, is_allowed):
    keyed = calibrated(tmp_path, key={"exposure_ms_range": [1.0, longest_ms]})
    config = config_with(tmp_path, keyed, design=INTEGRATION)
    bench = make_bench(config)
    if is_allowed:
        assert load_noise(config, bench, tmp_path).exposure_ms == 1.0
    else:
        with pytest.raises(CalibrationMismatch, match=r"exposure_ms: calibrated for \[1.0, 7.9\]"):
            load_noise(config, bench, tmp_path)


def test_a_calibration_that_could_not_cover_them_is_not_begun(tmp_path):
    config = config_with(tmp_path, {"calibrate": "quick"}, design=INTEGRATION)
    check_calibratable(config, longest_factor=8.0)
    with pytest.raises(CalibrationMismatch, match="up to 4 ms; lower the bound"):
        check_calibratable(config, longest_factor=4.0)


def test_a_campaign_scores_every_trial_at_its_own_exposure(tmp_path, mocker):
    config = config_with(
        tmp_path, calibrated(tmp_path), design=INTEGRATION, search={"engine": "sobol"},
        safety={"self_check_repeats": 0, "black_level_tolerance_adu": 50},
    )  # fmt: skip
    used = mocker.spy(trial, "score_batch")
    with Ledger.create(tmp_path / "run", {}) as ledger:
        bus = EventBus()
        Campaign(make_bench(config), ledger, bus, control=Control()).run()
        rows = ledger.trials()
    exposures_ms = [row.record["exposure_ms"] for row in rows]
    assert exposures_ms == [row.design.values["integration"][0] for row in rows]
    assert len(set(exposures_ms)) > 3
    assert [call.args[1].exposure_ms for call in used.call_args_list] == exposures_ms
    assert [row.record["read_back"][0]["camera"] for row in rows] == [[e] for e in exposures_ms]


def test_a_captured_trial_is_scored_at_its_own_exposure_after_a_kill(tmp_path, mocker):
    config = config_with(
        tmp_path, calibrated(tmp_path), safety={"self_check_repeats": 0},
        design={"integration": {**INTEGRATION["integration"], "start_ms": 5.0}},
    )  # fmt: skip
    with Ledger.create(tmp_path / "run", {}) as ledger:
        kill = mocker.patch.object(ledger, "score", side_effect=KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            Campaign(make_bench(config), ledger, EventBus(), control=Control()).run()
        mocker.stop(kill)
        assert [row.state for row in ledger.trials()] == ["captured"]
        used = mocker.spy(trial, "score_batch")
        bench = make_bench(config)
        apply = mocker.patch.object(bench, "apply", side_effect=KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            Campaign(bench, ledger, EventBus(), control=Control()).run()
    assert used.call_args.args[1].exposure_ms == 5.0
    assert apply.call_count == 1  # of the second trial: the first was not exposed again
