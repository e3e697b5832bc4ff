"""How a quantity drifts: a steady slope plus a random walk, from a few noisy measurements of it.

A lamp ages steadily and wanders beside that; so does a focus. The course d(t) is a Gaussian
process that starts at zero, with a slope of unknown size and a Brownian motion of unknown size.
Measurements may be of several references, each with a constant of its own (how good that design
is), of which nothing is assumed. How large slope and walk are is not fitted: one size from a
handful of visits would leave its own uncertainty out of the stated errors. Predictions are averaged
over a grid of both, weighted by how likely they make the measurements (C. E. Rasmussen and C. K. I.
Williams, Gaussian Processes for Machine Learning, 2006, sections 2.7 and 5.2).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

LONGEST = 200
"""Measurements that are told apart; neighbours among the oldest are averaged beyond that."""
NEGLIGIBLE = 1e-4
"""Weight, relative to the best, below which a size of slope and walk is left out."""

Times = Float[np.ndarray, " times"]
Values = Float[np.ndarray, " measurements"]
Groups = Float[np.ndarray, "measurements groups"]


class Course:
    """Drift since the first measurement, at any time before, between or after them.

    Parameters
    ----------
    at_s
        Times of the measurements, seconds.
    value, standard_error
        What was measured, and its known standard error, in one unit.
    group
        Which reference was measured, from 0; each has an unknown constant of its own.

    Raises
    ------
    ValueError
        Without measurements, or with one that has no positive standard error or is not finite.
    """

    def __init__(
        self,
        at_s: Values,
        value: Values,
        standard_error: Values,
        group: Int[np.ndarray, " measurements"],
    ) -> None:
        at_s, value, error = (np.asarray(a, np.float64) for a in (at_s, value, standard_error))
        if not len(at_s):
            raise ValueError("a drift cannot be followed without a measurement")
        if not np.all(np.isfinite(at_s) & np.isfinite(value) & (error > 0) & np.isfinite(error)):
            raise ValueError("a drift needs finite measurements with positive standard errors")
        order = np.argsort(at_s, kind="stable")
        at_s, value, error, group = _thinned(
            at_s[order], value[order], error[order], np.asarray(group)[order]
        )
        self._began_s = float(at_s[0])
        self._span_s = float(at_s[-1] - at_s[0])
        self._is_known = self._span_s > 0
        if self._is_known:
            self._times = (at_s - self._began_s) / self._span_s
            self._fit(value, error, (group[:, np.newaxis] == np.unique(group)).astype(np.float64))

    def at(self, at_s: Times) -> tuple[Times, Times]:
        """Return the drift since the first measurement and its standard deviation.

        Before there are measurements at two times nothing is known of a drift: both are zero.
        """
        if not self._is_known:
            return np.zeros(len(at_s)), np.zeros(len(at_s))
        asked = (np.asarray(at_s, np.float64) - self._began_s) / self._span_s
        cross = self._covariance(self._times, asked)
        whitened = self._whitening @ cross
        of_constants = self._constants_whitening @ (self._groups.swapaxes(1, 2) @ whitened)
        prior = self._slopes[:, 0] ** 2 * asked**2 + self._walks[:, 0] ** 2 * np.abs(asked)
        variance = prior - np.sum(whitened**2, axis=1) + np.sum(of_constants**2, axis=1)
        means = np.einsum("kn,knt->kt", self._residual, whitened)
        mean = self._weights @ means
        square = self._weights @ (np.maximum(variance, 0.0) + means**2)
        return mean, np.sqrt(np.maximum(square - mean**2, 0.0))

    def _fit(self, value: Values, error: Values, groups: Groups) -> None:
        """Condition on the measurements with every size of slope and walk, and weigh these.

        Rasmussen and Williams, equations 2.41 to 2.45: constants with a flat prior. The weight is
        the restricted likelihood.
        """
        sizes = _sizes(value, error, groups)
        slopes, walks = np.meshgrid(sizes, sizes, indexing="ij")
        self._slopes, self._walks = slopes.reshape(-1, 1, 1), walks.reshape(-1, 1, 1)
        factor = np.linalg.cholesky(self._covariance(self._times, self._times) + np.diag(error**2))
        self._whitening = np.linalg.inv(factor)
        self._groups = self._whitening @ groups
        of_groups = np.linalg.cholesky(self._groups.swapaxes(1, 2) @ self._groups)
        self._constants_whitening = np.linalg.inv(of_groups)
        whitened = self._whitening @ value
        basis = self._groups @ self._constants_whitening.swapaxes(1, 2)  # orthonormal columns
        constants = np.einsum("kng,kn->kg", basis, whitened)
        self._residual = whitened - np.einsum("kng,kg->kn", basis, constants)
        log_likelihood = -(
            _log_diagonal(factor)
            + _log_diagonal(of_groups)
            + 0.5 * np.sum(self._residual**2, axis=1)
        )
        weights = np.exp(log_likelihood - log_likelihood.max())
        self._keep(weights > NEGLIGIBLE)
        weights = weights[weights > NEGLIGIBLE]
        self._weights = weights / weights.sum()

    def _keep(self, chosen: Bool[np.ndarray, " sizes"]) -> None:
        """Forget the sizes that are out of the question."""
        self._slopes, self._walks = self._slopes[chosen], self._walks[chosen]
        self._whitening, self._groups = self._whitening[chosen], self._groups[chosen]
        self._constants_whitening = self._constants_whitening[chosen]
        self._residual = self._residual[chosen]

    def _covariance(self, ours: Times, theirs: Times) -> Float[np.ndarray, "sizes ours theirs"]:
        """Slope and Brownian motion, both from zero at time zero, in both directions of time."""
        product = np.multiply.outer(ours, theirs)
        nearer = np.minimum.outer(np.abs(ours), np.abs(theirs))
        return self._slopes**2 * product + self._walks**2 * np.where(product > 0, nearer, 0.0)


def _log_diagonal(factors: Float[np.ndarray, "sizes n n"]) -> Float[np.ndarray, " sizes"]:
    """Half the logarithm of the determinants whose Cholesky factors are given."""
    return np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)


def _sizes(value: Values, error: Values, groups: Groups) -> list[float]:
    """Return sizes of a drift over the whole time: none, and quadrupled from half an error on."""
    smallest = 0.5 * float(np.median(error))
    spread = max(float(np.ptp(value[column > 0])) for column in groups.T)
    steps = 2 + int(np.ceil(np.log2(max(4.0, 2 * spread / smallest)) / 2))
    return [0.0, *(smallest * 4.0**k for k in range(steps))]


def _thinned(
    at_s: Values, value: Values, error: Values, group: Int[np.ndarray, " measurements"]
) -> tuple[Values, Values, Values, Int[np.ndarray, " measurements"]]:
    """Average neighbours among the oldest half until few enough are left: the cost is cubic."""
    while len(at_s) > LONGEST:
        older = len(at_s) // 2
        # The first stays as it is: drift is counted from it.
        merged = [(float(at_s[0]), float(value[0]), float(error[0]), int(group[0]))]
        index = 1
        while index < len(at_s):
            pair = index + 1 < older and group[index] == group[index + 1]
            both = slice(index, index + (2 if pair else 1))
            weight = error[both] ** -2.0
            total = float(weight.sum())
            merged.append((
                float(weight @ at_s[both] / total),
                float(weight @ value[both] / total),
                total**-0.5,
                int(group[index]),
            ))
            index = both.stop
        if len(merged) == len(at_s):
            break
        columns = [np.array(column) for column in zip(*merged, strict=True)]
        at_s, value, error, group = columns[0], columns[1], columns[2], columns[3]
    return at_s, value, error, group
