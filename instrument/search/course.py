"""How a quantity drifts: a steady slope plus a random walk, from a few noisy measurements of it.

A lamp ages steadily and wanders beside that; so does a focus. The course d(t) is a Gaussian process
that starts at zero, with a slope of unknown size and a Brownian motion of unknown size. Measurements
may be of several references, each with a constant of its own (how good that design is), of which
nothing is assumed. How large slope and walk are is not fitted: with a handful of visits a fit says
zero as often as not, and then claims to be sure. Predictions are averaged over a grid of both,
weighted by how likely they make the measurements (C. E. Rasmussen and C. K. I. Williams, Gaussian
Processes for Machine Learning, 2006, sections 2.7 and 5.2).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import cho_solve, cholesky, solve_triangular

LONGEST = 200
"""Measurements that are told apart; neighbours among the oldest are averaged beyond that."""
NEGLIGIBLE = 1e-4
"""Weight, relative to the best, below which a size of slope and walk is left out."""

Times = Float[np.ndarray, " times"]
Values = Float[np.ndarray, " measurements"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Member:
    """The process with one size of slope and walk, after seeing the measurements."""

    slope_sd: float
    walk_sd: float
    weight: float
    factor: Float[np.ndarray, "measurements measurements"]
    residual: Values
    whitened_groups: Float[np.ndarray, "measurements groups"]
    group_factor: Float[np.ndarray, "groups groups"]


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
        at_s, value, error = (
            np.asarray(a, np.float64) for a in (at_s, value, standard_error)
        )
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
        self._members: tuple[_Member, ...] = ()
        if self._span_s > 0:
            self._times = (at_s - self._began_s) / self._span_s
            self._members = self._fit(value, error, group)

    def at(self, at_s: Times) -> tuple[Times, Times]:
        """Return the drift since the first measurement and its standard deviation.

        Before there are measurements at two times nothing is known of a drift: both are zero.
        """
        asked = (np.asarray(at_s, np.float64) - self._began_s) / (self._span_s or 1.0)
        if not self._members:
            return np.zeros_like(asked), np.zeros_like(asked)
        mean, square = np.zeros_like(asked), np.zeros_like(asked)
        for member in self._members:
            its_mean, its_variance = self._predict(member, asked)
            mean += member.weight * its_mean
            square += member.weight * (its_variance + its_mean**2)
        return mean, np.sqrt(np.maximum(square - mean**2, 0.0))

    def _fit(
        self, value: Values, error: Values, group: Int[np.ndarray, " measurements"]
    ) -> tuple[_Member, ...]:
        groups = (group[:, np.newaxis] == np.unique(group)).astype(np.float64)
        sizes = _sizes(value, error, groups)
        found = [
            self._member(value, error, groups, slope_sd, walk_sd)
            for slope_sd in sizes
            for walk_sd in sizes
        ]
        best = max(member.weight for member in found)
        shares = [float(np.exp(member.weight - best)) for member in found]
        total = sum(share for share in shares if share > NEGLIGIBLE)
        return tuple(
            replace(member, weight=share / total)
            for member, share in zip(found, shares, strict=True)
            if share > NEGLIGIBLE
        )

    def _member(
        self,
        value: Values,
        error: Values,
        groups: Float[np.ndarray, "measurements groups"],
        slope_sd: float,
        walk_sd: float,
    ) -> _Member:
        """Condition on the measurements; the weight is the logarithm of the restricted likelihood.

        Rasmussen and Williams, equations 2.41 to 2.45: constants with a flat prior.
        """
        covariance = _covariance(self._times, self._times, slope_sd, walk_sd) + np.diag(error**2)
        factor = cholesky(covariance, lower=True)
        whitened = solve_triangular(factor, value, lower=True)
        whitened_groups = solve_triangular(factor, groups, lower=True)
        group_factor = cholesky(whitened_groups.T @ whitened_groups, lower=True)
        constants = cho_solve((group_factor, True), whitened_groups.T @ whitened)
        residual = whitened - whitened_groups @ constants
        log_likelihood = -(
            np.sum(np.log(np.diag(factor)))
            + np.sum(np.log(np.diag(group_factor)))
            + 0.5 * residual @ residual
        )
        return _Member(
            slope_sd=slope_sd,
            walk_sd=walk_sd,
            weight=float(log_likelihood),
            factor=factor,
            residual=residual,
            whitened_groups=whitened_groups,
            group_factor=group_factor,
        )

    def _predict(self, member: _Member, asked: Times) -> tuple[Times, Times]:
        cross = _covariance(self._times, asked, member.slope_sd, member.walk_sd)
        whitened = solve_triangular(member.factor, cross, lower=True)
        of_constants = solve_triangular(
            member.group_factor, member.whitened_groups.T @ whitened, lower=True
        )
        prior = member.slope_sd**2 * asked**2 + member.walk_sd**2 * np.abs(asked)
        variance = prior - np.sum(whitened**2, axis=0) + np.sum(of_constants**2, axis=0)
        return whitened.T @ member.residual, np.maximum(variance, 0.0)


def _covariance(
    ours: Times, theirs: Times, slope_sd: float, walk_sd: float
) -> Float[np.ndarray, "ours theirs"]:
    """Slope and Brownian motion, both from zero at time zero, in both directions of time."""
    product = np.multiply.outer(ours, theirs)
    nearer = np.minimum.outer(np.abs(ours), np.abs(theirs))
    return slope_sd**2 * product + walk_sd**2 * np.where(product > 0, nearer, 0.0)


def _sizes(
    value: Values, error: Values, groups: Float[np.ndarray, "measurements groups"]
) -> list[float]:
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
