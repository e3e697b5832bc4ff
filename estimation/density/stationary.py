"""The stationary Gaussian process: covariance depends on the distance of two pixels only.

Covariances of all lags are measured on whole frames (zero-padded FFT; for several shots the cross
spectra too), divided by the number of pixel pairs at each lag, which is exact where defective
pixels are left out; the patch covariance is the block-Toeplitz matrix they make. Few parameters, so
few objects suffice and `cross_fit` corrects the rest.

Patches of more than `LARGEST_EXACT` values (whole frames) use the debiased Whittle density instead
(Sykulski et al., Biometrika 106, 2019): a Gaussian whose covariance is diagonal in Fourier space,
with the expected periodogram of the patch on the diagonal. It is a proper density, so it still
bounds the entropy; it costs one FFT.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import cast

import numpy as np
from jaxtyping import Complex64, Complex128, Float64
from scipy.fft import next_fast_len
from scipy.linalg import solve_triangular

from estimation.density import crossfit
from estimation.density.fitted_gaussian import gaussian_nats
from estimation.density.protocol import DensityScore, FittedDensity
from estimation.ensemble import Ensemble

LARGEST_EXACT = 1536
"""Patch values up to which the Toeplitz covariance is factored exactly (a second at the limit)."""

LARGEST_LAG = 32
"""Lags, in pixels, that the Whittle density keeps; it fades them out by a Parzen window."""

NOISE_FLOOR = 0.5
"""Smallest eigenvalue admitted, relative to the mean noise variance.

Noise alone makes no eigenvalue smaller than its smallest variance; lags measured on few frames may.
"""


@dataclass(frozen=True, slots=True)
class FittedToeplitz:
    """Normal(mean image, block-Toeplitz covariance) of patches."""

    mean_image: Float64[np.ndarray, "shots height width"]
    cholesky: Float64[np.ndarray, "patch_values patch_values"]

    def negative_log_likelihood(self, ensemble: Ensemble) -> Float64[np.ndarray, " objects"]:
        """Return nats per patch value of each object."""
        centred = ensemble.centred_on(self.mean_image)
        return gaussian_nats(centred.patches(), self.cholesky)


@dataclass(frozen=True, slots=True)
class FittedWhittle:
    """Normal(mean image, covariance diagonal in Fourier space but for the shots) of patches."""

    mean_image: Float64[np.ndarray, "shots height width"]
    spectrum: Complex128[np.ndarray, "rows columns shots shots"]

    def negative_log_likelihood(self, ensemble: Ensemble) -> Float64[np.ndarray, " objects"]:
        """Return nats per patch value of each object."""
        centred = ensemble.centred_on(self.mean_image)
        shots, (rows, columns) = centred.values.shape[1], centred.patch
        patches = centred.patches().reshape(centred.objects, -1, shots, rows, columns)
        waves = np.moveaxis(np.fft.fft2(patches, norm="ortho"), 2, -1)
        factor = np.linalg.cholesky(self.spectrum)
        whitened = np.linalg.solve(factor, waves[..., None])[..., 0]
        log_det = 2.0 * np.log(np.diagonal(factor, axis1=-2, axis2=-1).real).sum()
        squared = np.square(np.abs(whitened)).sum(axis=(-3, -2, -1)).mean(axis=1)
        return 0.5 * (np.log(2 * np.pi) + (log_det + squared) / centred.patch_values)


@dataclass(frozen=True, slots=True)
class StationaryGaussian:
    """Any image size, any number of shots; the cheapest density and the least flexible."""

    @property
    def name(self) -> str:
        """The word under which estimates report it."""
        return "stationary"

    def fit(self, ensemble: Ensemble) -> FittedDensity:
        """Measure all lags on whole frames and build the patch density."""
        mean_image = ensemble.values.mean(axis=0)
        sums = LagSums.of(object_waves(ensemble.centred_on(mean_image)))
        return _fit_to_sums(sums, mean_image, ensemble)

    def score(self, ensemble: Ensemble) -> DensityScore:
        """Return the cross-fitted entropy bound, with the precision of the patch where it is exact.

        Same result as `cross_fit`, but every frame is transformed once, not once a fold: the sums
        of a fold are taken away from the sums of all.
        """
        mean_image = ensemble.values.mean(axis=0)
        waves = object_waves(ensemble.centred_on(mean_image))
        all_sums = LagSums.of(waves)

        def fit_without_test(train: np.ndarray) -> FittedDensity:
            sums = all_sums.without(LagSums.of(np.delete(waves, train, axis=0)))
            return _fit_to_sums(sums, ensemble.values[train].mean(axis=0), ensemble)

        fitted = _fit_to_sums(all_sums, mean_image, ensemble)
        in_sample = fitted.negative_log_likelihood(ensemble)
        held_out = crossfit.held_out_by_folds(ensemble, fit_without_test)
        precision = None
        if isinstance(fitted, FittedToeplitz):
            factor = fitted.cholesky
            inverse = solve_triangular(factor, np.eye(len(factor)), lower=True, check_finite=False)
            precision = inverse.T @ inverse
        return crossfit.combine(self.name, in_sample, held_out, precision=precision)


@dataclass(frozen=True, slots=True)
class LagSums:
    """What the frames of some objects contribute to the covariance at all lags, in Fourier space.

    Attributes
    ----------
    power
        Sum over objects of conj(wave of shot s) x wave of shot t.
    wave
        Sum over objects of the waves, for the mean to be removed.
    objects
        How many.
    """

    power: Complex64[np.ndarray, "shots shots row_waves column_waves"]
    wave: Complex64[np.ndarray, "shots row_waves column_waves"]
    objects: int

    @classmethod
    def of(cls, waves: Complex64[np.ndarray, "objects shots row_waves column_waves"]) -> LagSums:
        """Return the sums over the given objects."""
        power = np.einsum("osyx,otyx->styx", waves.conj(), waves)
        return cls(power, waves.sum(axis=0), len(waves))

    def without(self, other: LagSums) -> LagSums:
        """Return the sums of the objects that are not in `other`."""
        return LagSums(
            self.power - other.power, self.wave - other.wave, self.objects - other.objects
        )

    def covariance_spectrum(self) -> Complex64[np.ndarray, "shots shots row_waves column_waves"]:
        """Return the unbiased cross spectra around the mean of these objects."""
        mean_part = self.wave[:, None].conj() * self.wave[None] / self.objects
        return (self.power - mean_part) / (self.objects - 1)


def object_waves(
    centred: Ensemble,
) -> Complex64[np.ndarray, "objects shots row_waves column_waves"]:
    """Return the Fourier transform of every frame, zero-padded so that no lag wraps around.

    float32 is enough here: the mean is gone, and lags enter relative to the variance.
    """
    frames = np.where(centred.usable, centred.values, 0.0).astype(np.float32)
    return np.fft.rfft2(frames, _padded_shape(centred))


def covariance_by_lag(
    sums: LagSums, ensemble: Ensemble
) -> Float64[np.ndarray, "shots shots row_lags column_lags"]:
    """Return the mean product of pixels at every lag within a patch.

    Entry [s, t, dy, dx] is the covariance of shot s at (y, x) with shot t at (y + dy, x + dx);
    negative lags lie at the end of the axes, as an FFT has them.
    """
    shape = _padded_shape(ensemble)
    window = np.fft.rfft2(ensemble.usable.astype(np.float64), shape)
    pairs = np.rint(np.fft.irfft2(np.abs(window) ** 2, shape))
    products = np.fft.irfft2(sums.covariance_spectrum().astype(np.complex128), shape)
    rows, columns = (_lag_index(*sizes) for sizes in zip(ensemble.patch, shape, strict=True))
    at = (rows[:, None], columns[None, :])
    return products[:, :, *at] / np.maximum(pairs[at], 1.0)


def _fit_to_sums(sums: LagSums, mean_image: np.ndarray, ensemble: Ensemble) -> FittedDensity:
    lags = covariance_by_lag(sums, ensemble)
    floor = NOISE_FLOOR * float(ensemble.noise_variance.mean(where=ensemble.usable))
    if ensemble.patch_values <= LARGEST_EXACT:
        return FittedToeplitz(mean_image, toeplitz_cholesky(lags, ensemble.patch, floor=floor))
    return FittedWhittle(mean_image, expected_periodogram(lags, ensemble.patch, floor=floor))


def _padded_shape(ensemble: Ensemble) -> tuple[int, int]:
    sizes = zip(ensemble.usable.shape, ensemble.patch, strict=True)
    rows, columns = (cast(int, next_fast_len(whole + part - 1, real=True)) for whole, part in sizes)
    return rows, columns


def toeplitz_cholesky(
    lags: Float64[np.ndarray, "shots shots row_lags column_lags"],
    patch: tuple[int, int],
    *,
    floor: float,
) -> Float64[np.ndarray, "patch_values patch_values"]:
    """Return the Cholesky factor of the patch covariance; eigenvalues below `floor` are raised."""
    shots, (rows, columns) = lags.shape[0], patch
    shot, row, column = (i.ravel() for i in np.indices((shots, rows, columns)))
    covariance = lags[shot[:, None], shot, row - row[:, None], column - column[:, None]]
    covariance = 0.5 * (covariance + covariance.T)
    try:
        np.linalg.cholesky(
            covariance - floor * np.eye(len(covariance))
        )  # a cheap test of the floor
    except np.linalg.LinAlgError:
        eigenvalues, vectors = np.linalg.eigh(covariance)
        covariance = (vectors * np.maximum(eigenvalues, floor)) @ vectors.T
    return np.linalg.cholesky(covariance)


def expected_periodogram(
    lags: Float64[np.ndarray, "shots shots row_lags column_lags"],
    patch: tuple[int, int],
    *,
    floor: float,
) -> Complex128[np.ndarray, "rows columns shots shots"]:
    """Return the spectrum that a patch of this size shows on average, window effects included."""
    rows, columns = patch
    tapered = lags * np.outer(_taper(rows), _taper(columns))
    # A lag and its wrap-around fall on the same Fourier phase, so both are added.
    wrapped = np.zeros((*lags.shape[:2], rows, columns))
    # Further lags have faded to zero; a frame has millions of them.
    reach = (min(rows - 1, LARGEST_LAG), min(columns - 1, LARGEST_LAG))
    for row, column in itertools.product(*(range(-far, far + 1) for far in reach)):
        wrapped[:, :, row % rows, column % columns] += tapered[:, :, row, column]
    spectrum = np.moveaxis(np.fft.fft2(wrapped).conj(), (0, 1), (2, 3))
    spectrum = 0.5 * (spectrum + np.swapaxes(spectrum.conj(), -1, -2))
    eigenvalues, vectors = np.linalg.eigh(spectrum)
    raised = np.maximum(eigenvalues, floor)[..., None, :]
    return (vectors * raised) @ np.swapaxes(vectors.conj(), -1, -2)


def _taper(size: int) -> np.ndarray:
    """Triangle of the patch times a Parzen window, for lags 0 .. size-1, -(size-1) .. -1."""
    lag = np.abs(np.concatenate([np.arange(size), np.arange(-size + 1, 0)]))
    u = np.minimum(lag / (LARGEST_LAG + 1.0), 1.0)
    parzen = np.where(u <= 0.5, 1 - 6 * u**2 + 6 * u**3, 2 * (1 - u) ** 3)
    return (1.0 - lag / size) * parzen


def _lag_index(size: int, padded: int) -> np.ndarray:
    """Positions of lags 0 .. size-1, -(size-1) .. -1 on a circular axis of length `padded`."""
    return np.concatenate([np.arange(size), np.arange(padded - size + 1, padded)])
