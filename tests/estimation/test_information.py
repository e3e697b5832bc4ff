"""`estimate_information` against closed forms, symmetries and bad input."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

import numpy as np
import pytest

import estimation
from estimation import (
    CalibrationMismatch,
    EstimationError,
    GaussianNoise,
    InvalidMeasurements,
    NotFinite,
    PoissonNoise,
    SaturatedMeasurements,
    SensorNoise,
    TooFewObjects,
)
from estimation.ensemble import Ensemble

estimate_information = partial(estimation.estimate_information, density="auto-gaussian")

BOTH = pytest.mark.parametrize("density", ["gaussian", "stationary"])


@BOTH
def test_scalar_gaussian_at_snr_10(rng, density):
    values = np.sqrt(10) * rng.normal(size=(40000, 1, 1)) + rng.normal(size=(40000, 1, 1))
    estimate = estimate_information(values, GaussianNoise(1.0), density=density)
    assert estimate.bits_per_pixel == pytest.approx(
        1.72972, abs=min(0.015, 3 * estimate.standard_error)
    )


@BOTH
def test_first_order_autoregression(rng, density):
    values = rng.normal(size=(8000, 1, 64))
    for i in range(1, 64):
        values[..., i] = 0.9 * values[..., i - 1] + np.sqrt(1 - 0.81) * values[..., i]
    values = 10 * values + 5 * rng.normal(size=values.shape)
    estimate = estimate_information(values, GaussianNoise(5.0), density=density, patch=64)
    # closed form of issue 3; n 64, variance 100, rho .9, sigma 5
    assert estimate.bits_per_pixel == pytest.approx(
        0.579908, abs=min(0.01, 3 * estimate.standard_error)
    )


@BOTH
def test_separable_field_cut_from_large_frames(rng, make_field, density):
    values = make_field(rng, 48, 96, variance=400.0, length=4.0) + 5 * rng.normal(size=(48, 96, 96))
    estimate = estimate_information(values, GaussianNoise(5.0), density=density)
    # closed form of issue 3
    assert estimate.bits_per_pixel == pytest.approx(
        1.127713, abs=min(0.01, 3 * estimate.standard_error)
    )


def test_counts_of_a_sensor_with_maps_give_the_information_of_the_field(
    rng, make_field, field_bits
):
    shape = (64, 64)
    noise = SensorNoise(
        offset=rng.normal(100, 3, size=shape),
        read_noise=rng.lognormal(np.log(1.4), 0.3, size=shape),
        responsivity=rng.normal(1, 0.02, size=shape),
        dark_current=rng.uniform(0, 20, size=shape),
        exposure_ms=100.0,
    )
    mean_e = 1000 + make_field(rng, 64, 64, variance=400.0, length=4.0)
    estimate = estimate_information(noise.sample(mean_e, rng), noise, patch=8)
    # Shot noise of 1000 +- 20 e- is Gaussian with sigma^2 ~ 1000 + 1.4^2 + dark; half a per cent of
    # it changes from pixel to pixel, and information is about .26 bit.
    truth = field_bits(8, variance=400.0, length=4.0, sigma=np.sqrt(1000 + 1.4**2 * 1.2 + 1))
    assert estimate.bits_per_pixel == pytest.approx(truth, abs=3 * estimate.standard_error + 0.002)


def test_fixed_pattern_is_not_information(rng):
    shape = (32, 32)
    noise = SensorNoise(
        offset=rng.normal(100, 20, size=shape), responsivity=rng.normal(1, 0.1, size=shape)
    )
    counts = noise.sample(np.full((64, *shape), 200.0), rng)
    estimate = estimate_information(counts, noise, patch=8)
    assert estimate.bits_per_pixel == pytest.approx(0.0, abs=4 * estimate.standard_error + 0.002)


def test_known_means_give_the_same_conditional_entropy(rng):
    noise = SensorNoise()
    mean_e = rng.uniform(200, 400, size=(64, 16, 16))
    counts = noise.sample(mean_e, rng)
    known = estimate_information(counts, noise, patch=4, expected=mean_e)
    blind = estimate_information(counts, noise, patch=4)
    # Var of the entropy of one noisy pixel ~ 1/(4 mean) nats^2; the bias at 200 e- is below 1e-3
    tolerance = 4 * np.sqrt(1 / 800 / counts.size) / np.log(2) + 1e-3
    assert known.conditional_entropy == pytest.approx(blind.conditional_entropy, abs=tolerance)
    assert known.conditional_entropy != blind.conditional_entropy


def test_complex_noise_is_counted_per_complex_sample(rng):
    def draw(scale):
        return scale * (rng.normal(size=(8000, 1, 1)) + 1j * rng.normal(size=(8000, 1, 1)))

    estimate = estimate_information(draw(3.0) + draw(1.0), GaussianNoise(1.0))
    # two real channels of SNR 9: log2(1 + 9)
    assert estimate.bits_per_pixel == pytest.approx(np.log2(10), abs=3 * estimate.standard_error)
    assert estimate.conditional_entropy == pytest.approx(np.log2(2 * np.pi * np.e))
    assert estimate.bits_per_measurement == pytest.approx(estimate.bits_per_pixel)


def test_a_real_mean_of_complex_values_has_the_noise_of_both_parts(rng):
    mean = rng.normal(size=(64, 8, 8))
    values = GaussianNoise(1.0).sample(mean.astype(complex), rng)
    estimate = estimate_information(values, GaussianNoise(1.0), patch=2, expected=mean)
    assert estimate.conditional_entropy == pytest.approx(np.log2(2 * np.pi * np.e))


def test_complex_means_of_real_values_are_refused(rng):
    values = rng.normal(size=(64, 8, 8))
    with pytest.raises(InvalidMeasurements, match="expected is complex"):
        estimate_information(values, GaussianNoise(1.0), patch=2, expected=values + 0j)


@pytest.mark.parametrize("objects", [4, 8, 11])
def test_automatic_choice_with_few_objects_falls_back_to_the_gaussians(rng, objects):
    values = rng.normal(size=(objects, 16, 16))
    found = [
        estimation.estimate_information(values, GaussianNoise(0.5), patch=4, density=density)
        for density in ("auto", "auto-gaussian")
    ]
    assert found[0].density in {"gaussian", "stationary"}
    assert found[0].bits_per_pixel == found[1].bits_per_pixel


def test_a_second_shot_of_the_same_scene_halves_the_noise(rng):
    scene = 3 * rng.normal(size=(6000, 1, 1, 1))
    values = scene + rng.normal(size=(6000, 2, 1, 1))
    estimate = estimate_information(values, GaussianNoise(1.0))
    # I(X; two looks) = 1/2 log2(1 + 2 * 9), bits/measurement
    tolerance = 3 * 2 * estimate.standard_error
    assert estimate.bits_per_measurement == pytest.approx(0.5 * np.log2(19), abs=tolerance)


@pytest.mark.parametrize(
    ("shape", "patch", "used"),
    [
        ((200, 1, 1), 16, (1, 1)),
        ((60, 5, 9), 3, (3, 3)),
        ((60, 2, 3, 4), (1, 2), (1, 2)),
        ((40, 3, 40), 99, (3, 40)),
    ],
    ids=str,
)
def test_any_shape_scores_and_records_its_patch(rng, shape, patch, used):
    estimate = estimate_information(rng.normal(size=shape), GaussianNoise(0.5), patch=patch)
    assert estimate.patch == used
    assert estimate.per_object_bits.shape == (shape[0],)
    assert estimate.bits_per_pixel == pytest.approx(estimate.per_object_bits.mean())
    assert estimate.bits_per_measurement == pytest.approx(
        estimate.bits_per_pixel * np.prod(shape[1:])
    )


@BOTH
def test_objects_keep_their_order(rng, density):
    values = rng.normal(size=(40, 8, 8)) * np.linspace(1, 3, 40)[:, None, None]
    estimate = estimate_information(values, GaussianNoise(0.5), patch=4, density=density)
    # information grows with the object's contrast, which grows with its number
    assert np.corrcoef(estimate.per_object_bits, np.arange(40))[0, 1] > 0.8


def test_permuted_objects_give_permuted_contributions(rng):
    values = rng.normal(size=(40, 8, 8))
    order = rng.permutation(40)
    straight = estimate_information(values, GaussianNoise(0.5), patch=4, density="gaussian")
    permuted = estimate_information(values[order], GaussianNoise(0.5), patch=4, density="gaussian")
    np.testing.assert_allclose(
        permuted.per_object_bits, straight.per_object_bits[order], atol=1e-10
    )


def counts_of_field(rng, make_field, noise):
    return noise.sample(
        np.maximum(300 + make_field(rng, 40, 32, variance=900.0, length=3.0), 0), rng
    )


def test_same_seed_same_estimate_and_another_seed_within_rounding_noise(rng, make_field):
    counts = counts_of_field(rng, make_field, SensorNoise())
    first, again, other = (
        estimate_information(counts, SensorNoise(), patch=8, seed=s) for s in (3, 3, 4)
    )
    assert (first.bits_per_pixel, first.interval) == (again.bits_per_pixel, again.interval)
    # dequantisation adds 1/12 to a noise variance of 1400 ADU^2
    assert other.bits_per_pixel == pytest.approx(
        first.bits_per_pixel, abs=0.1 * first.standard_error
    )


def test_relabelled_offset_changes_nothing(rng, make_field):
    counts = counts_of_field(rng, make_field, SensorNoise())
    one = estimate_information(counts, SensorNoise(), patch=8)
    other = estimate_information(counts + np.uint16(40), SensorNoise(offset=140.0), patch=8)
    assert other.bits_per_pixel == pytest.approx(one.bits_per_pixel, abs=1e-9)


def test_relabelled_unit_changes_nothing(rng):
    values = rng.normal(size=(60, 8, 8))
    one = estimate_information(values, GaussianNoise(0.3), patch=4)
    other = estimate_information(1000 * values, GaussianNoise(300.0), patch=4)
    assert other.bits_per_pixel == pytest.approx(one.bits_per_pixel, abs=1e-6)  # float32 FFT


def test_pixel_permutation_changes_nothing_for_the_full_gaussian(rng, make_field):
    values = make_field(rng, 60, 8, variance=9.0, length=3.0) + rng.normal(size=(60, 8, 8))
    shuffled = values.reshape(60, -1)[:, rng.permutation(64)].reshape(60, 8, 8)
    bits = [
        estimate_information(v, GaussianNoise(1.0), patch=(2, 8), density="gaussian").bits_per_pixel
        for v in (values.reshape(60, 8, 8)[:, :2], values[:, :2][:, ::-1, ::-1])
    ]
    assert bits[0] == pytest.approx(bits[1], abs=1e-9)
    assert shuffled.shape == values.shape


@BOTH
def test_added_noise_lowers_information(rng, make_field, density):
    scene = make_field(rng, 60, 16, variance=9.0, length=3.0)
    clear = scene + rng.normal(size=scene.shape)
    noisy = clear + rng.normal(size=scene.shape)
    low = estimate_information(noisy, GaussianNoise(np.sqrt(2)), patch=4, density=density)
    high = estimate_information(clear, GaussianNoise(1.0), patch=4, density=density)
    assert high.bits_per_pixel - low.bits_per_pixel > 5 * high.standard_error


def test_binning_lowers_information(rng, make_field):
    scene = make_field(rng, 400, 8, variance=9.0, length=1.0)
    fine = scene + rng.normal(size=scene.shape)
    coarse = fine.reshape(400, 4, 2, 4, 2).sum(axis=(2, 4))
    many = estimate_information(fine, GaussianNoise(1.0), density="gaussian")
    few = estimate_information(coarse, GaussianNoise(2.0), density="gaussian")
    # data processing, with the standard error of bits per measurement
    margin = 5 * (64 * many.standard_error + 16 * few.standard_error)
    assert many.bits_per_measurement - few.bits_per_measurement > margin


def test_independent_tiles_add(rng):
    scale = np.array([1.0, 4.0])
    values = scale * rng.normal(size=(6000, 1, 2)) + rng.normal(size=(6000, 1, 2))
    both = estimate_information(values, GaussianNoise(1.0), density="gaussian").bits_per_measurement
    parts = sum(
        estimate_information(
            values[..., i : i + 1], GaussianNoise(1.0), density="gaussian"
        ).bits_per_pixel
        for i in (0, 1)
    )
    # sample correlation of independent tiles is ~ 1/sqrt(6000), its information ~ 1/6000 nats,
    # corrected
    assert both == pytest.approx(parts, abs=1e-3)


def test_information_of_pure_noise_is_zero_within_error(rng):
    estimate = estimate_information(rng.normal(size=(100, 16, 16)), GaussianNoise(1.0), patch=8)
    low, high = estimate.interval
    assert low - estimate.standard_error < 0 < high + estimate.standard_error


def test_standard_errors_are_the_scatter_of_fresh_batches(rng, make_field):
    def scene():
        return make_field(rng, 32, 32, variance=400.0, length=4.0)

    def score(values):
        noisy = values + 5 * rng.normal(size=values.shape)
        return estimate_information(noisy, GaussianNoise(5.0), patch=8, density="gaussian")

    fresh_objects = [score(scene()) for _ in range(60)]
    same = scene()
    fresh_frames = [score(same) for _ in range(60)]
    # a standard deviation from 60 draws is known to 9 %; 3 of these, and 5 % for linearising
    scatter = np.std([e.bits_per_pixel for e in fresh_objects], ddof=1)
    assert np.mean([e.standard_error for e in fresh_objects]) == pytest.approx(scatter, rel=0.33)
    frame_scatter = np.std([e.bits_per_pixel for e in fresh_frames], ddof=1)
    claimed = np.mean([e.frame_noise_standard_error for e in fresh_frames])
    assert claimed == pytest.approx(frame_scatter, rel=0.33)
    assert claimed < 0.8 * scatter


@pytest.mark.parametrize("objects", [8, 12, 18])
def test_error_by_frame_noise_holds_for_few_objects(rng, make_field, objects):
    """At 12 objects it was zero, as if such a score were exact."""
    scene = 400 * (1 + 0.15 * make_field(rng, objects, 32, variance=1.0, length=2.0))
    estimates = [
        estimate_information(rng.poisson(scene), PoissonNoise(), patch=8, density="gaussian")
        for _ in range(60)
    ]
    scatter = np.std([e.bits_per_pixel for e in estimates], ddof=1)
    claimed = np.mean([e.frame_noise_standard_error for e in estimates])
    assert claimed == pytest.approx(scatter, rel=0.33)


def test_interval_covers_the_closed_form(rng, make_field, field_bits):
    truth = field_bits(4, variance=400.0, length=4.0, sigma=5.0)
    covered = 0
    for _ in range(200):
        values = make_field(rng, 24, 16, variance=400.0, length=4.0) + 5 * rng.normal(
            size=(24, 16, 16)
        )
        low, high = estimate_information(
            values, GaussianNoise(5.0), patch=4, density="gaussian"
        ).interval
        covered += low <= truth <= high
    assert 180 <= covered <= 198  # 90 to 99 % of 200


def test_sparse_scenes_raise_the_flag_and_gaussian_fields_do_not(rng, make_field):
    beads = 300.0 * (rng.random((60, 32, 32)) < 0.02) + 20
    sparse = estimate_information(rng.poisson(beads), PoissonNoise(), patch=4)
    field = rng.poisson(300 + make_field(rng, 60, 32, variance=900.0, length=3.0))
    dense = estimate_information(field, PoissonNoise(), patch=4)
    assert sparse.diagnostics["is_misspecified"]
    assert not dense.diagnostics["is_misspecified"]


def test_auto_reports_the_lower_bound_of_the_two(rng):
    # stripes that stand still in the patch are not stationary: only the full Gaussian can know them
    scale = np.where(np.arange(8) % 4 == 0, 5.0, 0.5)
    values = scale * rng.normal(size=(100, 8, 8)) + 0.1 * rng.normal(size=(100, 8, 8))
    estimate = estimate_information(values, GaussianNoise(0.1), patch=4)
    bounds = estimate.diagnostics["entropy_bits"]
    assert estimate.density == "gaussian"
    assert bounds["gaussian"] < bounds["stationary"] - 0.5


def test_auto_uses_what_the_objects_suffice_for(rng):
    estimate = estimate_information(rng.normal(size=(8, 16, 16)), GaussianNoise(1.0))
    assert estimate.density == "stationary"
    assert estimate.diagnostics["is_undersampled"]
    # pure noise; measured over 12 seeds: mean -.009, scatter .025
    assert estimate.bits_per_pixel == pytest.approx(0.0, abs=0.1)


def test_a_patch_with_a_defective_pixel_is_left_out(rng):
    defects = np.zeros((16, 16), dtype=bool)
    defects[5, 6] = True
    counts = SensorNoise().sample(rng.uniform(100, 300, size=(60, 16, 16)), rng)
    spoilt = counts.copy()
    spoilt[:, 5, 6] = rng.integers(0, 4000, size=60)
    noise = SensorNoise(defects=defects)
    clean = estimate_information(counts, noise, patch=4)
    assert clean.diagnostics["patches_per_object"] == 15
    assert estimate_information(spoilt, noise, patch=4).bits_per_pixel == pytest.approx(
        clean.bits_per_pixel,
        abs=1e-6,  # float32 FFT sees the defective pixel as exactly zero
    )


class OneSigma:
    """The smallest density a user may bring: independent pixels of one variance."""

    name = "one-sigma"

    def __init__(self, variance: float = 0.0) -> None:
        self.variance = variance

    def fit(self, ensemble: Ensemble) -> OneSigma:
        return OneSigma(float(np.mean(np.square(ensemble.values))))

    def negative_log_likelihood(self, ensemble: Ensemble) -> np.ndarray:
        squared = np.square(ensemble.patches()).mean(axis=(1, 2))
        return 0.5 * (np.log(2 * np.pi * self.variance) + squared / self.variance)


def test_a_density_of_ones_own_is_cross_fitted(rng):
    values = 2 * rng.normal(size=(300, 4, 4)) + rng.normal(size=(300, 4, 4))
    estimate = estimate_information(values, GaussianNoise(1.0), density=OneSigma())
    assert estimate.density == "one-sigma"
    assert estimate.bits_per_pixel == pytest.approx(
        0.5 * np.log2(5), abs=4 * estimate.standard_error
    )
    assert estimate.frame_noise_standard_error is None


GOOD = np.random.default_rng(5).integers(200, 400, size=(40, 8, 8), dtype=np.uint16)
SATURATED = np.where(GOOD > 390, 4095, GOOD).astype(np.uint16)

BAD_INPUT = {
    "floats": (GOOD.astype(float), SensorNoise(), {}, InvalidMeasurements, "float64"),
    "negative": (GOOD.astype(int) - 300, PoissonNoise(), {}, InvalidMeasurements, "negative"),
    "saturated": (SATURATED, SensorNoise(), {}, SaturatedMeasurements, "saturated"),
    "constant": (np.full_like(GOOD, 300), SensorNoise(), {}, InvalidMeasurements, "shutter"),
    "repeated": (
        np.repeat(GOOD[:1], 40, axis=0),
        SensorNoise(),
        {},
        InvalidMeasurements,
        "very same frame",
    ),
    "one image": (GOOD[0], SensorNoise(), {}, InvalidMeasurements, r"\(8, 8\)"),
    "five axes": (GOOD[None, None], SensorNoise(), {}, InvalidMeasurements, "is due"),
    "empty": (GOOD[:, :0], SensorNoise(), {}, InvalidMeasurements, "no axis empty"),
    "few objects": (GOOD[:3], SensorNoise(), {}, TooFewObjects, "3 objects came"),
    "other maps": (GOOD, SensorNoise(gain=np.ones((9, 8))), {}, CalibrationMismatch, r"\(9, 8\)"),
    "nan": (np.where(GOOD > 398, np.nan, GOOD), GaussianNoise(1.0), {}, NotFinite, "NaN"),
    "patch": (GOOD, SensorNoise(), {"patch": 0}, InvalidMeasurements, "patch 0"),
    **{
        f"patch {patch}": (
            GOOD,
            SensorNoise(),
            {"patch": patch},
            InvalidMeasurements,
            "whole number",
        )
        for patch in (4.0, None, True, (4, 2.5), (4, 4, 4))
    },
    "seed": (GOOD, SensorNoise(), {"seed": -1}, EstimationError, "seed -1 came"),
    "broken seed": (GOOD, SensorNoise(), {"seed": 0.5}, EstimationError, "seed 0.5 came"),
    "density number": (GOOD, SensorNoise(), {"density": 3}, EstimationError, "density 3 came"),
    "no noise": (GOOD, None, {}, EstimationError, "noise None came"),
    "density": (GOOD, SensorNoise(), {"density": "gauss"}, EstimationError, "'gaussian'"),
    "confidence": (GOOD, SensorNoise(), {"confidence": 95}, EstimationError, "between 0 and 1"),
    "means": (
        GOOD,
        SensorNoise(),
        {"expected": GOOD[:, :4]},
        InvalidMeasurements,
        "expected has shape",
    ),
    "nan means": (
        GOOD,
        SensorNoise(),
        {"expected": GOOD * np.nan},
        NotFinite,
        "expected holds NaN",
    ),
    "dead pixels": (
        GOOD,
        SensorNoise(defects=np.ones((8, 8), dtype=bool)),
        {},
        CalibrationMismatch,
        "defective",
    ),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_refused_with_a_reason(case):
    frames, noise, options, error, match = BAD_INPUT[case]
    with pytest.raises(error, match=match):
        estimate_information(frames, noise, **options)


def test_importing_estimation_loads_no_jax():
    code = "import estimation, sys; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
