"""A normal density of patches whose parameters are known: its likelihood, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy.linalg import solve_triangular

from estimation.ensemble import Ensemble


@dataclass(frozen=True, slots=True)
class FittedGaussian:
    """Normal(mean of the position, covariance) of patches."""

    mean: Float64[np.ndarray, "positions patch_values"]
    cholesky: Float64[np.ndarray, "patch_values patch_values"]

    def negative_log_likelihood(self, ensemble: Ensemble) -> Float64[np.ndarray, " objects"]:
        """Return nats per patch value of each object."""
        return gaussian_nats(ensemble.patches() - self.mean, self.cholesky)


def gaussian_nats(
    residuals: Float64[np.ndarray, "objects positions patch_values"],
    cholesky: Float64[np.ndarray, "patch_values patch_values"],
) -> Float64[np.ndarray, " objects"]:
    """Return the Gaussian negative log-likelihood, nats per value, mean over positions."""
    objects, positions, d = residuals.shape
    whitened = solve_triangular(
        cholesky, residuals.reshape(-1, d).T, lower=True, check_finite=False
    )
    squared = np.square(whitened).sum(axis=0).reshape(objects, positions).mean(axis=1)
    log_det = 2.0 * np.log(np.diag(cholesky)).sum()
    return 0.5 * (np.log(2 * np.pi) + (log_det + squared) / d)
