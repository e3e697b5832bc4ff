"""Frames in, bits out: I(object; frames) = H(Y) - H(Y|X), with error bars.

`H(Y)` is bounded from above by a density of patches, `H(Y|X)` comes from the calibrated noise; the
encoder between object and sensor is deterministic, so their difference is the information that one
pixel (given its patch) carries about the object (reference/information.md, section 1). Both are in
one measure: integer ADU for counts, the units of the values for `GaussianNoise`.

All splits, error bars and comparisons are by object, because pixels and patches of one object are
not independent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from jaxtyping import Float64

from estimation.bootstrap import bootstrap_means, widened_quantiles
from estimation.decoder import LowerBound
from estimation.density import (
    AutoregressiveMixture,
    Density,
    DensityScore,
    FullGaussian,
    SelfScoring,
    StationaryGaussian,
    cross_fit,
    lowest,
)
from estimation.density.autoregressive import MIN_OBJECTS
from estimation.density.clipping import check_unclipped
from estimation.density.gaussian_checks import gaussian_diagnostics
from estimation.ensemble import Ensemble, as_measurements, cut_patches, prepare
from estimation.errors import (
    EstimationError,
    InvalidMeasurements,
    NotFinite,
    SaturatedMeasurements,
    TooFewObjects,
)
from estimation.estimate import InformationEstimate, capped
from estimation.noise import CalibratedNoise, NoiseModel

DensityName = Literal["auto", "auto-gaussian", "gaussian", "stationary", "autoregressive"]

GAUSSIANS = ("gaussian", "stationary")
AUTOMATIC = {"auto": ("autoregressive",), "auto-gaussian": GAUSSIANS}
"""What is tried; the Gaussians are members of the autoregressive family and are tried with it."""

MISSPECIFIED_KURTOSIS = 1.0
"""Excess kurtosis of decorrelated patches (0 for a Gaussian) above which the flag is raised."""

MAX_SATURATED_FRACTION = 0.01
"""Share of saturated values above which nobody chooses a density for the user."""

UNDERSAMPLED_GAP_NATS = 0.3
"""Gap between unseen and seen objects above which a score is not to be trusted.

Measured on smooth fields, stationary density, 16 x 16 patches, truth .282 bits/pixel: right within
.003 bit for frames of 64 x 64 and more, down to 8 objects (gap .14); .09 too high for 32 frames of
16 x 16 (gap .14, one patch an object); .35 too high for 8 of them (gap .56).
"""


def estimate_information(
    measurements: np.ndarray,
    noise: NoiseModel,
    *,
    density: DensityName | Density = "auto",
    patch: int | tuple[int, int] = 16,
    seed: int = 0,
    confidence: float = 0.95,
    expected: np.ndarray | None = None,
    object_entropy: float | None = None,
    lower_bound: LowerBound | None = None,
) -> InformationEstimate:
    """Estimate the information that measurements carry about their objects.

    A Gaussian density uses every object for the fit and for the score, and removes what that costs:
    exactly for independent Gaussian patches (Wishart), and to first order in one over the number of
    objects where patches of one object are alike. The number of degrees of freedom it used and the
    share of patches found independent are in `diagnostics`.

    Parameters
    ----------
    measurements
        (objects, height, width) or (objects, shots, height, width): raw counts, ADU, for discrete
        noise; real or complex values for `GaussianNoise`.
    noise
        The calibrated noise of these measurements.
    density
        `"gaussian"`, `"stationary"`, `"autoregressive"` (seconds to minutes, right where scenes are
        sparse, see `AutoregressiveMixture` for its settings), `"auto"` (all; with fewer than 12
        objects the two cheap ones), `"auto-gaussian"` (the two cheap ones), or your own `Density`.
        Of several, the lowest bound is reported, each half of the objects with the density chosen
        on the other half. Use one density for a campaign: an automatic one may choose differently
        for different designs.
    patch
        Pixels of a side, or (height, width); larger than the frame means the whole frame.
    seed
        Of dequantisation and bootstrap; the same seed gives the same estimate.
    confidence
        Of the interval, between 0 and 1.
    expected
        Mean photo-electrons of every value where known (a twin), in the shape of `measurements`;
        makes H(Y|X) exact instead of estimated from the noisy frames.
    object_entropy
        Entropy of the objects in view where known (synthetic objects), bits/measurement: no
        measurement says more, so it caps the bound.
    lower_bound
        Of `decoder_lower_bound`; kept with the estimate, and the two make its bracket.

    Returns
    -------
    InformationEstimate
        In bits per pixel and per measurement.

    Raises
    ------
    InvalidMeasurements, NotFinite, SaturatedMeasurements
        For frames that a working camera does not deliver, and for clipped counts unless the density
        is the autoregressive one, which knows their probability.
    CalibrationMismatch
        If the noise maps have another shape than the frames.
    TooFewObjects
        If no admitted density can be fitted.

    References
    ----------
    Pinkard et al., "Information-driven design of imaging systems", arXiv 2405.20559 (the
    estimator).

    Examples
    --------
    >>> import numpy as np
    >>> from estimation import GaussianNoise, estimate_information
    >>> rng = np.random.default_rng(0)
    >>> values = rng.normal(scale=10**0.5, size=(4000, 1, 1)) + rng.normal(size=(4000, 1, 1))
    >>> estimate = estimate_information(values, GaussianNoise(1.0), density="gaussian")
    >>> # log2(11) / 2 = 1.73
    >>> abs(estimate.bits_per_pixel - 1.73) < 3 * estimate.standard_error
    True
    """
    if not 0.0 < confidence < 1.0:
        raise EstimationError(f"confidence {confidence!r} came; a number between 0 and 1 is due")
    _check_choices(noise, density, seed)
    stack = as_measurements(measurements)
    seen = noise.check(stack)
    saturated = seen.get("saturated_fraction", 0.0)
    if saturated > MAX_SATURATED_FRACTION and isinstance(density, str) and density in AUTOMATIC:
        raise SaturatedMeasurements(
            f"{saturated:.1%} of the values are saturated, at most {MAX_SATURATED_FRACTION:.0%} "
            "may be: lower the exposure or the light; density='autoregressive' scores them all "
            "the same, and says so"
        )
    if np.array_equal(stack[1:], np.broadcast_to(stack[0], stack[1:].shape)):
        raise InvalidMeasurements(
            "all objects gave the very same frame, noise included; the camera repeats a buffer, "
            "or one "
            "file was stacked many times"
        )
    ensemble = prepare(stack, noise, patch=patch, seed=seed)
    affordable = _affordable(density, objects=ensemble.objects)
    chosen, bounds_bits = _best_score(_candidates(affordable, seed=seed), ensemble)
    noise_bits = _noise_bits(stack, noise, ensemble, expected)
    entropy_bits = chosen.per_object_nats * ensemble.reals_per_sample / np.log(2) + _log2_scale(
        noise, ensemble, stack.shape[-2:]
    )
    per_object = entropy_bits - noise_bits
    standard_error = float(np.std(per_object, ddof=1) / np.sqrt(len(per_object)))
    bits_per_pixel = float(per_object.mean())
    fit_gap_nats = chosen.diagnostics.get("fit_gap_nats", 0.0)
    means = bootstrap_means(per_object[None], seed=seed)[0]
    kurtosis, frame_noise_error = gaussian_diagnostics(chosen, ensemble, stack, noise)
    estimate = InformationEstimate(
        bits_per_pixel=bits_per_pixel,
        standard_error=standard_error,
        interval=widened_quantiles(
            means, bits_per_pixel, objects=len(per_object), confidence=confidence
        ),
        frame_noise_standard_error=frame_noise_error,
        bits_per_measurement=bits_per_pixel * float(np.prod(stack.shape[1:])),
        entropy=float(entropy_bits.mean()),
        conditional_entropy=float(noise_bits.mean()),
        density=chosen.name,
        patch=ensemble.patch,
        per_object_bits=per_object,
        confidence=confidence,
        diagnostics={
            **seen,
            **chosen.diagnostics,
            "is_saturated": saturated > MAX_SATURATED_FRACTION,
            "objects": ensemble.objects,
            "patches_per_object": ensemble.positions,
            "held_out_nats": chosen.held_out_nats,
            "entropy_bits": bounds_bits,
            "kurtosis": kurtosis,
            "is_undersampled": fit_gap_nats > UNDERSAMPLED_GAP_NATS,
            "is_misspecified": kurtosis is not None and kurtosis > MISSPECIFIED_KURTOSIS,
            **_gaussian_excess(chosen, ensemble, standard_error),
            "calibration_uncertainty_bits": _calibration_uncertainty(stack, noise),
        },
        lower_bound=lower_bound,
        fitted=chosen.fitted,
    )
    return (
        estimate
        if object_entropy is None
        else capped(estimate, object_entropy, values=int(np.prod(stack.shape[1:])))
    )


def _calibration_uncertainty(stack: np.ndarray, noise: NoiseModel) -> Mapping[str, float]:
    """Systematic error of the score by source, bits/pixel; empty where no error is known."""
    return noise.calibration_uncertainty(stack) if isinstance(noise, CalibratedNoise) else {}


def _check_choices(noise: NoiseModel, density: str | Density, seed: int) -> None:
    """Raise for what is no noise model, no density or no seed."""
    if not isinstance(noise, NoiseModel):
        raise EstimationError(
            f"noise {noise!r} came; SensorNoise, PoissonNoise, GaussianNoise or a NoiseModel of "
            "your own is due"
        )
    if not isinstance(density, str | Density):
        raise EstimationError(
            f"density {density!r} came; the name of one, or an object with `name` and `fit`, is due"
        )
    is_integer = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
    if not is_integer or seed < 0:
        raise EstimationError(f"seed {seed!r} came; an integer, 0 or more, is due")


def _affordable(density: str | Density, *, objects: int) -> str | Density:
    """Return what `density` means for so many objects: too few for a network leave Gaussians."""
    is_automatic = isinstance(density, str) and density == "auto"
    return "auto-gaussian" if is_automatic and objects < MIN_OBJECTS else density


def _candidates(density: str | Density, *, seed: int) -> list[Density]:
    if not isinstance(density, str):
        return [density]
    known: dict[str, Density] = {
        d.name: d for d in (FullGaussian(), StationaryGaussian(), AutoregressiveMixture(seed=seed))
    }
    if density not in known and density not in AUTOMATIC:
        raise EstimationError(
            f"density {density!r} came; {', '.join(map(repr, (*AUTOMATIC, *known)))} or a Density "
            "object is due"
        )
    return [known[name] for name in AUTOMATIC.get(density, (density,))]


def _best_score(
    candidates: list[Density], ensemble: Ensemble
) -> tuple[DensityScore, dict[str, float]]:
    """Return the score of the density with the lowest bound, and the bounds of all, bits/pixel.

    The bounds are compared free of fitting error, else the family with fewer parameters would win
    on small batches even where it is wrong.
    """
    scores: list[DensityScore] = []
    refusals: list[EstimationError] = []
    for density in candidates:
        try:
            if density.name in GAUSSIANS:
                check_unclipped(ensemble, density.name)
            is_own = isinstance(density, SelfScoring)
            scores.append(density.score(ensemble) if is_own else cross_fit(density, ensemble))
        except (TooFewObjects, SaturatedMeasurements) as refusal:  # another family may still do
            refusals.append(refusal)
    if not scores:
        raise refusals[0]
    per_sample = ensemble.reals_per_sample / np.log(2)
    return lowest(scores), {
        name: nats * per_sample for s in scores for name, nats in _bounds_nats(s).items()
    }


def _bounds_nats(score: DensityScore) -> Mapping[str, float]:
    """Bounds of a density and of the members of its family, nats per patch value."""
    return {**score.diagnostics.get("member_nats", {}), score.name: score.entropy_nats}


def _gaussian_excess(
    score: DensityScore, ensemble: Ensemble, standard_error: float
) -> dict[str, float | bool]:
    """Return by how much the best Gaussian lies above the network: if more than errors, wrong."""
    gaussians = score.diagnostics.get("member_nats")
    if not gaussians:
        return {}
    above_nats = min(gaussians.values()) - score.diagnostics["network_nats"]
    above_bits = above_nats * ensemble.reals_per_sample / np.log(2)
    return {
        "gaussian_excess_bits": above_bits,
        "is_gaussian_misspecified": above_bits > 3 * standard_error,
    }


def _log2_scale(noise: NoiseModel, ensemble: Ensemble, shape: tuple[int, int]) -> float:
    """Bits per pixel that the Jacobian of the fixed pattern puts back, over the pixels in use."""
    scale = noise.fixed_pattern(*shape).scale[None, None]
    return float(np.log2(cut_patches(scale, ensemble.origins, ensemble.patch)).mean())


def _noise_bits(
    stack: np.ndarray, noise: NoiseModel, ensemble: Ensemble, expected: np.ndarray | None
) -> Float64[np.ndarray, " objects"]:
    """H(Y|X) of each object over the pixels that the patches cover, bits/pixel."""
    if expected is None:
        bits = noise.entropy_map(stack)
    else:
        means = np.asarray(expected)
        means = means[:, None] if means.ndim == 3 else means
        if np.iscomplexobj(means) and not np.iscomplexobj(stack):
            raise InvalidMeasurements(
                "expected is complex, measurements are real; give the mean of the values measured"
            )
        if np.iscomplexobj(stack):  # both parts are noisy, whatever the type of their means
            means = means.astype(np.complex128)
        if means.shape != stack.shape:
            raise InvalidMeasurements(
                f"expected has shape {np.shape(expected)}, measurements {stack.shape}; give the "
                "mean "
                "electrons of every value measured"
            )
        if not np.all(np.isfinite(means)) or (noise.is_discrete and means.min() < 0):
            raise NotFinite(
                "expected holds NaN, infinity or a negative mean; mean electrons are due"
            )
        bits = np.asarray(noise.entropy_at(means), dtype=np.float64)
    return bits.mean(axis=(1, 2, 3), where=_covered(ensemble))


def _covered(ensemble: Ensemble) -> np.ndarray:
    """Mark the pixels that lie in some patch."""
    covered = np.zeros(ensemble.usable.shape, dtype=bool)
    rows, columns = ensemble.patch
    for row, column in ensemble.origins:
        covered[row : row + rows, column : column + columns] = True
    return covered
