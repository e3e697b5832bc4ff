"""What the closed form misses in the dark: exact entropies, and an unbiased look-up function.

The only module that solves for it (reference/noise.md, section 4b). A pixel with mean `lambda`
delivers the count `y` with probability `P(y|lambda)`, an exact sum over Poisson electrons, Gaussian
read noise and rounding. Its entropy is `h(lambda)`, but `lambda` is never seen. So a function `g`
of the count is sought with

    sum_y P(y|lambda) g(y) = h(lambda)    for every lambda,

for then the mean of `g` over pixels is the mean of `h`, whatever the scene, and no prior on scenes
is needed. `g` is the closed form plus a cubic spline that ends at `TOP_E`, by ridge least squares:
the penalty is the variance of `g`, that is the noise of a score. Where read noise is small `h` is
not analytic at zero (like `-lambda log lambda`), and no such function is exact.

Largest bias, bits, over means of .03 to 1000 e- at gain 2.17, and standard deviation of `g`, bits
(benchmarks/conditional_entropy.py; a plug-in of the noisy count has .2 to .3 below 10 e-):

    read noise, e-    photons   .3      .5      1       1.4     3
    largest bias      .039      .018    .007    .0012   .0004   .0000
    deviation, 1 e-   2.4       3.7     2.9     1.2     .65     .25
    deviation, 10 e-  .53       1.4     .65     .24     .22     .17
    deviation, 30 e-  .13       .14     .13     .13     .13     .12

Everything is a function of electrons, because gain only adds `log2(gain)`, as long as a count is
small beside the read noise: then rounding is one more Gaussian of 1/12 ADU^2, and one family of
tables, by the noise of read-out and rounding together, serves every camera. Otherwise the lattice
of counts against electrons matters: a `Lattice` says which.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float64
from scipy.interpolate import BSpline, CubicSpline
from scipy.special import gammaln, ndtr, xlogy

from estimation.noise.closed_form import ROUNDING_VARIANCE, entropy_at_mean, entropy_at_noisy

TOP_E = 60.0
"""Where the closed form takes over, e-; further up where counts are coarser than shot noise."""

TOP_OF_COARSE_E = 24000.0
COARSE_UNTIL_ADU2 = 0.6
"""Shot-noise variance above which the lattice of counts no longer shows, ADU^2."""

ROOT_STEP = 0.05
ROOT_OF_ZERO = 0.03
"""Means are equidistant in `sqrt(mean + ROOT_OF_ZERO**2)`: a fifth of a shot-noise sigma."""

LEAST_MEAN_E = 5e-4
"""For the derivative at zero, which is infinite without read noise."""

CELLS_PER_SIGMA = 5.0
KNOT_STEP = 0.35
"""Of the spline, in standard deviations of shot and read noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ridge:
    """Bias against variance of `g`: the latter counts `variance` as much as the squared bias.

    `variance` is about one over the number of pixels that a score averages; `dark` is how much more
    bias weighs below 1 e-, where it is largest.
    """

    variance: float
    dark: float


WITH_READ_NOISE = Ridge(variance=4e-7, dark=10.0)
WITHOUT_READ_NOISE = Ridge(variance=2e-6, dark=0.0)
COARSE_ADU = 0.45
"""Noise of one electron and read-out, ADU, below which `h` swings within a count, and no function
of the count follows: there the ridge grows, for a large variance would buy nothing."""

NORMAL_FROM_E = 400.0
"""Mean above which Poisson electrons are summed as a skewed Gaussian."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lattice:
    """How counts lie against electrons, where that matters: `count = round(gain * e + phase)`.

    Parameters
    ----------
    gain
        ADU/e-.
    phases
        Fraction of the offset, ADU; several are averaged over (offset maps).
    low
        Count, relative to the whole part of the offset, at which the converter ends below; `None`
        where that is far away.
    """

    gain: float
    phases: tuple[float, ...] = (0.0,)
    low: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Look-up function and entropy of one read noise, both relative to the closed form.

    Attributes
    ----------
    noise_variance_e2
        What the closed form is to be given as the variance of read noise and rounding, e-^2.
    spline
        Correction of `g`, bits, of electrons; zero from its last knot on.
    constant
        Correction of `g` and `h` where the spline has ended, bits (a resolved comb of electrons).
    at_clip
        Electrons and correction, bits, of the count that is clipped below; `None` if none is.
    entropy
        Correction of `h`, bits, of `sqrt(mean + ROOT_OF_ZERO**2)`.
    """

    noise_variance_e2: float
    spline: BSpline
    constant: float
    at_clip: tuple[float, float] | None
    entropy: CubicSpline

    def correction(self, electrons: Float64[np.ndarray, " x"]) -> Float64[np.ndarray, " x"]:
        """Return what to add to the closed form `g`, bits; constant outside the knots."""
        first, last = self.spline.t[3], self.spline.t[-4]
        bits = self.spline(np.clip(electrons, first, last)) + self.constant
        if self.at_clip is not None:
            bits[np.isclose(electrons, self.at_clip[0], rtol=0.0, atol=1e-6)] = self.at_clip[1]
        return bits

    def entropy_correction(self, root: Float64[np.ndarray, " x"]) -> Float64[np.ndarray, " x"]:
        """Return what to add to the closed form `h`, bits; constant above the last mean."""
        return self.entropy(np.minimum(root, self.entropy.x[-1]))


@lru_cache(maxsize=512)
def smooth_table(noise_e: float) -> Table:
    """Return the table where counts are finer than the noise.

    Parameters
    ----------
    noise_e
        Root of the variance of read noise and rounding together, e- rms.
    """
    cell_e = noise_e / CELLS_PER_SIGMA
    # The fine cells of this sum have a rounding variance of their own.
    read_noise_e = float(np.sqrt(noise_e**2 - ROUNDING_VARIANCE * cell_e**2))
    return _solve(Lattice(gain=1.0 / cell_e), read_noise_e, noise_e**2, WITH_READ_NOISE)


@lru_cache(maxsize=512)
def lattice_table(read_noise_e: float, lattice: Lattice) -> Table:
    """Return the table of one camera whose counts are coarse, or clip, near the dark level."""
    rounding_e2 = ROUNDING_VARIANCE / lattice.gain**2
    spread_adu = lattice.gain * np.sqrt(0.5 + read_noise_e**2)
    # With offset maps a pixel sees one phase only, and swings around what is right for all.
    spread_adu *= 0.5 if len(lattice.phases) > 1 else 1.0
    ridge = replace(
        WITH_READ_NOISE,
        variance=WITH_READ_NOISE.variance * max(1.0, COARSE_ADU / spread_adu) ** 8,
    )
    return _solve(lattice, read_noise_e, read_noise_e**2 + rounding_e2, ridge)


@lru_cache(maxsize=1)
def poisson_table() -> Table:
    """Return the table of ideal photon counting: no read noise, and nothing is rounded."""
    return _solve(Lattice(gain=1.0), 0.0, 0.0, WITHOUT_READ_NOISE)


def count_probabilities(
    means_e: Float64[np.ndarray, " means"], read_noise_e: float, lattice: Lattice, phase: float
) -> tuple[Float64[np.ndarray, " cells"], Float64[np.ndarray, "cells means"]]:
    """Return all counts of a pixel, ADU above the whole part of the offset, and P(count|mean)."""
    gain, largest = lattice.gain, float(means_e.max())
    reach_e = 8.0 * np.sqrt(largest + read_noise_e**2)
    low = int(np.floor(phase - 7.0 * read_noise_e * gain)) - 1
    high = int(np.ceil(gain * (largest + reach_e + 10.0) + phase)) + 1
    low = low if lattice.low is None else max(low, lattice.low)
    counts = np.arange(low, high + 1)
    edges_e = (counts[1:] - 0.5 - phase) / gain
    below = np.empty((len(edges_e), len(means_e)))
    few = means_e <= NORMAL_FROM_E
    if few.any():
        most = means_e[few].max()
        electrons = np.arange(int(most + 10.0 * np.sqrt(most) + 20.0))
        log_poisson = xlogy(electrons[:, None], means_e[few]) - gammaln(electrons + 1.0)[:, None]
        distance = edges_e[:, None] - electrons
        if read_noise_e > 0.0:
            steps = ndtr(distance / read_noise_e)
        else:
            steps = (distance >= 0.0).astype(np.float64)
        below[:, few] = steps @ np.exp(log_poisson - means_e[few])
    if not few.all():
        mean = means_e[~few]
        sigma = np.sqrt(mean + read_noise_e**2)
        z = (edges_e[:, None] - mean) / sigma
        skewness = mean / sigma**3
        edgeworth = skewness / 6.0 * (z * z - 1.0) * np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
        below[:, ~few] = ndtr(z) - edgeworth
    ends = np.zeros((1, len(means_e)))
    probability = np.diff(np.concatenate([ends, below, 1.0 + ends]), axis=0)
    return counts, np.maximum(probability, 0.0)


def entropy_bits(probability: Float64[np.ndarray, "cells means"]) -> Float64[np.ndarray, " means"]:
    """Return the entropy of every column, bits."""
    return -xlogy(probability, probability).sum(axis=0) / np.log(2.0)


def _solve(lattice: Lattice, read_noise_e: float, noise_variance_e2: float, ridge: Ridge) -> Table:
    top_e = min(max(TOP_E, COARSE_UNTIL_ADU2 / lattice.gain**2), TOP_OF_COARSE_E)
    roots = np.arange(ROOT_OF_ZERO, np.sqrt(1.3 * top_e + 25.0), ROOT_STEP)
    means_e = np.square(roots) - ROOT_OF_ZERO**2
    means_e[0] = 0.0
    parts = [count_probabilities(means_e, read_noise_e, lattice, phase) for phase in lattice.phases]
    share = 1.0 / len(parts)
    electrons = np.concatenate([
        (counts - phase) / lattice.gain
        for (counts, _), phase in zip(parts, lattice.phases, strict=True)
    ])
    entropy = share * sum(entropy_bits(p) for _, p in parts) - np.log2(lattice.gain)
    probability = share * np.concatenate([p for _, p in parts])

    missing = entropy - entropy_at_mean(means_e, noise_variance_e2)
    constant = float(missing[-10:].mean())
    slope = 2.0 * ROOT_OF_ZERO * _slope_at_zero(lattice, read_noise_e, noise_variance_e2)
    scale_e = max(float(np.sqrt(noise_variance_e2)), 0.25)
    knots = _knots(-6.5 * scale_e, top_e, scale_e)
    dark = None
    if lattice.low is not None:
        dark = np.isclose(electrons, (lattice.low - lattice.phases[0]) / lattice.gain)
        dark = dark if dark.any() else None  # so little read noise never gets there
    basis = _basis(electrons, knots, dark)
    weights = _ridge(
        probability,
        basis,
        known=entropy_at_noisy(electrons, noise_variance_e2) + constant,
        target=entropy,
        means_e=means_e,
        ridge=ridge,
    )
    splines = len(knots) - 7
    at_clip = None
    if dark is not None:
        at_clip = (float(electrons[dark][0]), float(weights[splines]) + constant)
    ends: Any = ((1, slope), "not-a-knot")
    return Table(
        noise_variance_e2=noise_variance_e2,
        spline=BSpline(knots, np.append(weights[:splines], np.zeros(3)), 3),
        constant=constant,
        at_clip=at_clip,
        entropy=CubicSpline(roots, missing, bc_type=ends),
    )


def _slope_at_zero(lattice: Lattice, read_noise_e: float, noise_variance_e2: float) -> float:
    """Return the derivative of what is missing to the closed form, bits/e-, where it is dark."""
    means_e = np.array([0.0, LEAST_MEAN_E])
    missing = -entropy_at_mean(means_e, noise_variance_e2)
    for phase in lattice.phases:
        _, probability = count_probabilities(means_e, read_noise_e, lattice, phase)
        missing += entropy_bits(probability) / len(lattice.phases)
    return float(np.diff(missing)[0] / LEAST_MEAN_E)


def _knots(low_e: float, high_e: float, scale_e: float) -> Float64[np.ndarray, " knots"]:
    """Return knots `KNOT_STEP` noise deviations apart, three more at either end."""
    low, high = (
        np.sign(x) * 2.0 * (np.sqrt(abs(x) + scale_e**2) - scale_e) for x in (low_e, high_e)
    )
    steps = np.arange(low - 3.0 * KNOT_STEP, high + KNOT_STEP, KNOT_STEP)
    return np.sign(steps) * (np.square(0.5 * np.abs(steps) + scale_e) - scale_e**2)


def _basis(
    electrons: np.ndarray, knots: np.ndarray, dark: np.ndarray | None
) -> Float64[np.ndarray, "cells functions"]:
    """Return B-splines that end smoothly at the top, and one function for the clipped count."""
    inside = np.clip(electrons, knots[3], np.nextafter(knots[-4], -np.inf))
    basis = BSpline.design_matrix(inside, knots, 3).toarray()[:, :-3]
    basis[electrons >= knots[-4]] = 0.0
    if dark is None:
        return basis
    basis[dark] = 0.0
    return np.column_stack([basis, dark.astype(np.float64)])


def _ridge(
    probability: np.ndarray,
    basis: np.ndarray,
    *,
    known: np.ndarray,
    target: np.ndarray,
    means_e: np.ndarray,
    ridge: Ridge,
) -> Float64[np.ndarray, " functions"]:
    """Return weights of the basis: least squared bias plus the ridge times the variance of `g`.

    Bright means weigh more against variance, for there unbiasedness costs little of it.
    """
    on_bias = 1.0 + ridge.dark * np.exp(-means_e / 0.3)
    on_variance = 1.0 + np.square(np.minimum(means_e, 100.0))
    expected = probability.T @ basis
    known_expected = probability.T @ known
    weight = probability @ on_variance
    variance = basis.T @ (weight[:, None] * basis) - expected.T @ (on_variance[:, None] * expected)
    covariance = basis.T @ (weight * known) - expected.T @ (on_variance * known_expected)
    system = expected.T @ (on_bias[:, None] * expected) + ridge.variance * variance
    right = expected.T @ (on_bias * (target - known_expected)) - ridge.variance * covariance
    # Splines that no count reaches stay zero.
    system[np.diag_indices_from(system)] += 1e-12 * np.trace(system)
    return np.linalg.solve(system, right)
