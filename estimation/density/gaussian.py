"""The full Gaussian: mean and covariance of patches, corrected exactly for few objects.

Model: the patch at position p of object k is Normal(mean_p, Sigma). The mean image over objects is
known structure (illumination, stray light), so it is removed per pixel; `Sigma` is pooled over the
`P` positions. With `n` objects and `d` values a patch, `T = sum (y - mean_p)(y - mean_p)^T` is, for
independent Gaussian rows, Wishart with `nu = (n - 1) P` degrees of freedom, so

    E ln det(T / nu) = ln det Sigma + sum_{i=0}^{d-1} digamma((nu - i) / 2) + d ln(2 / nu)

is known exactly (reference/information.md, 1.12), and with it the error of the plug-in entropy.

Patches of one object are alike, so fewer than `nu` are independent. How many is measured: leaving
one object out is a change of `T` of rank `P`, so the exact held-out score of every object costs the
eigenvalues of one small matrix; the gap between held-out and in-sample score has a known mean at
any `nu`, and the `nu` that explains the gap seen is the one the correction uses.

Where independent patches are too few for that, `shrunk_gaussian` scores under the same name.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import digamma

from estimation.density.fitted_gaussian import FittedGaussian
from estimation.density.protocol import DensityScore
from estimation.density.shrunk_gaussian import best_shrinkage, fit_shrunk, score_shrunk
from estimation.ensemble import Ensemble
from estimation.errors import TooFewObjects

ROWS_PER_VALUE = 1.25
"""Fewest independent patches for every patch value with which a covariance is fitted."""

BISECTIONS = 24
"""Steps that find the independent share to 1e-7."""


@dataclass(frozen=True, slots=True)
class FullGaussian:
    """All covariances of a patch are free; fewer patches than they need are shrunk."""

    @property
    def name(self) -> str:
        """The word under which estimates report it."""
        return "gaussian"

    def fit(self, ensemble: Ensemble) -> FittedGaussian:
        """Fit mean image and pooled covariance; raise `TooFewObjects` for too few patches."""
        if not _is_enough(ensemble, (ensemble.objects - 1) * ensemble.positions):
            return fit_shrunk(ensemble, best_shrinkage(ensemble))
        rows = ensemble.patches()
        mean = rows.mean(axis=0)
        scatter = _scatter(rows - mean)
        degrees = (ensemble.objects - 1) * ensemble.positions
        return FittedGaussian(mean, np.linalg.cholesky(scatter / degrees))

    def score(self, ensemble: Ensemble) -> DensityScore:
        """Return the corrected entropy bound; one Cholesky factor serves all patches and objects.

        Raises
        ------
        TooFewObjects
            If patches, or independent patches, are fewer than 1.25 for every patch value, and
            objects fewer than 12 or patches too large to be shrunk.
        """
        n, positions, d = ensemble.objects, ensemble.positions, ensemble.patch_values
        if not _is_enough(ensemble, (n - 2) * positions):
            return score_shrunk(ensemble, name=self.name)
        rows = ensemble.patches()
        rows -= rows.mean(axis=0)
        inverse_factor = _inverse_cholesky(_scatter(rows))
        log_det = -2.0 * float(np.log(np.diag(inverse_factor)).sum())
        # One product of all rows: a stack of matrices would be multiplied one object at a time.
        whitened = (rows.reshape(-1, d) @ inverse_factor.T).reshape(rows.shape)
        leverage = _eigenvalues_of_gram(whitened)
        in_sample = _in_sample_nats(leverage, log_det, n=n, positions=positions, d=d)
        held_out = _leave_one_out_nats(leverage, log_det, n=n, positions=positions, d=d)
        gap = float(held_out.mean() - in_sample.mean())
        share = independent_share(gap, n=n, positions=positions, d=d)
        if not _is_enough(ensemble, share * (n - 2) * positions):
            return score_shrunk(ensemble, name=self.name)
        degrees = (n - 1) * positions
        entropy = 0.5 * (
            np.log(2 * np.pi * np.e)
            + log_det / d
            - np.log(degrees)
            - wishart_log_det_bias(share * degrees, d)
        )
        # Between the scores of a fit that has seen the object and one that has not lies the one of
        # the true covariance: where on that line is known from the means.
        toward_held_out = (entropy - in_sample.mean()) / gap
        return DensityScore(
            name=self.name,
            per_object_nats=in_sample + toward_held_out * (held_out - in_sample),
            held_out_nats=float(held_out.mean()),
            precision=degrees * (inverse_factor.T @ inverse_factor),
            diagnostics={
                "degrees_of_freedom": float(degrees),
                "independent_share": share,
                "finite_sample_correction_bits": float(
                    -0.5 * wishart_log_det_bias(share * degrees, d) / np.log(2)
                ),
                "fit_gap_nats": gap,
            },
        )


def wishart_log_det_bias(degrees: float | int, d: int) -> float:
    """Return (E ln det(W / nu) - ln det Sigma) / d for W ~ Wishart(nu, Sigma), nats/value.

    Negative: the determinant of a sample covariance is too small.

    `degrees` need not be an integer.
    """
    half = 0.5 * (degrees - np.arange(d))
    return float(digamma(half).mean() + np.log(2.0 / degrees))


def expected_gap(share: float, *, n: int, positions: int, d: int) -> float:
    """Return the mean of (leave-one-object-out - in-sample) score, nats/value.

    For Gaussian rows of which `share` times `positions` are independent in each object.
    """
    seen, left = (n - 1) * positions * share, (n - 2) * positions * share
    quadratic = n / (n - 1) * left / (left - d - 1) - (n - 1) / n
    return 0.5 * (wishart_log_det_bias(left, d) - wishart_log_det_bias(seen, d) + quadratic)


def independent_share(gap: float, *, n: int, positions: int, d: int) -> float:
    """Return which share of an object's patches is independent: solves `expected_gap`."""
    lowest = (d + 2.0) / ((n - 2) * positions)

    def excess(share: float) -> float:
        return expected_gap(share, n=n, positions=positions, d=d) - gap

    if excess(1.0) >= 0.0:
        return 1.0
    if excess(lowest) <= 0.0:
        return lowest
    low, high = lowest, 1.0
    for _ in range(BISECTIONS):  # the gap falls monotonically with the share
        middle = 0.5 * (low + high)
        low, high = (middle, high) if excess(middle) > 0.0 else (low, middle)
    return 0.5 * (low + high)


def _scatter(rows: np.ndarray) -> np.ndarray:
    flat = rows.reshape(-1, rows.shape[-1])
    return flat.T @ flat


def _inverse_cholesky(scatter: np.ndarray) -> np.ndarray:
    """Inverse of the lower Cholesky factor; float64, because small eigenvalues carry the bits."""
    try:
        factor = np.linalg.cholesky(scatter)
    except np.linalg.LinAlgError as error:
        raise TooFewObjects(
            "the patches do not span all directions of a patch (some pixel is constant, or "
            "copies another); "
            "mark defective pixels in `defects`, use a smaller patch, or density='stationary'"
        ) from error
    return solve_triangular(factor, np.eye(len(factor)), lower=True, check_finite=False)


def _eigenvalues_of_gram(whitened: np.ndarray) -> np.ndarray:
    """Eigenvalues of W W^T of each object, (objects, min(positions, d)), without useless zeros."""
    if whitened.shape[1] <= whitened.shape[2]:
        gram = whitened @ whitened.transpose(0, 2, 1)
    else:
        gram = whitened.transpose(0, 2, 1) @ whitened
    return np.clip(np.linalg.eigvalsh(gram), 0.0, None)


def _in_sample_nats(
    leverage: np.ndarray, log_det: float, *, n: int, positions: int, d: int
) -> np.ndarray:
    degrees = (n - 1) * positions
    squared = degrees * leverage.sum(axis=1) / positions
    return 0.5 * (np.log(2 * np.pi) + log_det / d - np.log(degrees) + squared / d)


def _leave_one_out_nats(
    leverage: np.ndarray, log_det: float, *, n: int, positions: int, d: int
) -> np.ndarray:
    """Score each object by the fit to the others: T_without = T - n/(n-1) E^T E (Woodbury)."""
    degrees = (n - 2) * positions
    grow = n / (n - 1)
    # An object that alone spans some direction makes the others singular: its score is infinite.
    remaining = np.maximum(1.0 - grow * leverage, 1e-9)
    squared = degrees * grow**2 * (leverage / remaining).sum(axis=1) / positions
    log_det_without = log_det + np.log(remaining).sum(axis=1)
    return 0.5 * (np.log(2 * np.pi) + log_det_without / d - np.log(degrees) + squared / d)


def _is_enough(ensemble: Ensemble, independent_rows: float | int) -> bool:
    return independent_rows >= ROWS_PER_VALUE * ensemble.patch_values + 2
