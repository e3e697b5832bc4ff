"""Entropy of one pixel when shot noise, read noise and rounding merge into one Gaussian.

The only module that knows the closed form. With mean `lambda` e-, gain `K` ADU/e-, and `s**2` the
variance of read noise and rounding together, e-^2, in the measure of integer ADU
(reference/noise.md, sections 0 and 4b), with `v = lambda + s**2`:

    h(lambda) = 1/2 log2(2 pi e K**2 v) - log2(e) lambda**2 / (12 v**3)
    g(x)      = the same at the noisy x = (y - offset) / K, plus log2(e) / (4 v)  (Jensen)

Variances add, never entropies. The second term of `h` is the skewness of Poisson counts; the one
that `g` adds is what Jensen's inequality takes away. Without them a dark design scores too high.

Above about 30 e-, and at any mean where `s` is above about 10 e-, both are right to 1e-4 bit. For
the rest there is `estimation.noise.table`. `v` has a smooth floor near `s**2 / 2`, so that both are
smooth at, and below, zero electrons.

A converter that clips at `top` counts takes entropy away: with `a = (top - 1/2 - mean) / sigma`, in
the normal approximation, and `P`, `Q` the shares below and at the top,

    h_clipped = P h - Q log2 Q - 1/2 log2(e) a phi(a)
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Float64
from scipy.special import ndtr, xlogy

LOG2_E = float(np.log2(np.e))
ROUNDING_VARIANCE = 1.0 / 12.0
"""Variance of rounding to integers, ADU squared."""

FAR_FROM_CLIPPING = 6.0
"""Noise standard deviations below the top where clipping no longer matters."""

_CLIP_STEP = 0.02
_CLIP_KNOT = 0.4
_CLIP_FROM = -1.0


def gaussian_entropy_bits(variance: Any, *, array_module: Any = np) -> Any:
    """Return 1/2 log2(2 pi e variance), bits."""
    return 0.5 * array_module.log2(2.0 * np.pi * np.e * variance)


def smooth_variance_e2(electrons: Any, noise_variance_e2: Any, *, array_module: Any = np) -> Any:
    """Return `electrons + noise_variance_e2`, e-^2, with a smooth floor near half the latter."""
    half = 0.5 * noise_variance_e2
    above = electrons + half
    return half + 0.5 * (above + array_module.sqrt(above * above + 1.0))


def entropy_at_mean(mean_e: Any, noise_variance_e2: Any, *, array_module: Any = np) -> Any:
    """Return `h - log2(gain)` of the module's docstring, bits, for a mean of 0 e- or more."""
    variance = smooth_variance_e2(mean_e, noise_variance_e2, array_module=array_module)
    ratio = mean_e / variance
    skewness = LOG2_E / 12.0 * ratio * ratio / variance
    return gaussian_entropy_bits(variance, array_module=array_module) - skewness


def entropy_at_noisy(electrons: np.ndarray, noise_variance_e2: Any) -> np.ndarray:
    """Return `g - log2(gain)` of the module's docstring, bits, in the precision of `electrons`."""
    variance = smooth_variance_e2(electrons, noise_variance_e2)
    ratio = np.maximum(electrons, 0.0)
    ratio /= variance
    ratio *= ratio
    ratio *= -LOG2_E / 12.0
    ratio += LOG2_E / 4.0
    ratio /= variance
    # The natural logarithm is the vectorised one for float32.
    bits = np.log(variance, out=variance)
    bits *= 0.5 * LOG2_E
    bits += 0.5 * float(np.log2(2.0 * np.pi * np.e))
    bits += ratio
    return bits


def calibration_slopes(
    electrons: np.ndarray, *, gain: Any, read_noise: Any, noise_variance_e2: Any
) -> dict[str, np.ndarray]:
    """Return d entropy / d parameter at fixed counts, bits per unit of the parameter.

    The gain's is at fixed read noise in ADU, because that is what dark frames measure. All are
    taken at the noisy count: a few per cent off from 10 e- on, up to a third in the dark.
    """
    variance = smooth_variance_e2(electrons, noise_variance_e2)
    return {
        "gain": 0.5 * LOG2_E * (1.0 - noise_variance_e2 / variance) / gain,
        "read_noise": LOG2_E * read_noise / variance,
        "offset": -0.5 * LOG2_E / (gain * variance),
    }


def clipped_entropy(bits: Any, room: Any, *, array_module: Any = np, normal_cdf: Any = ndtr) -> Any:
    """Return the entropy, bits, of a pixel whose converter ends `room` sigma above its mean."""
    # Beyond 8 sigma nothing changes but the risk of 0 log 0.
    room = array_module.clip(room, -8.0, 8.0)
    below, clipped = normal_cdf(room), normal_cdf(-room)
    density = array_module.exp(-0.5 * room * room) / float(np.sqrt(2.0 * np.pi))
    surprise = clipped * array_module.log2(clipped)
    return below * bits - surprise - 0.5 * LOG2_E * room * density


def censored_moments(
    room: Any, variance: Any, *, array_module: Any = np, normal_cdf: Any = ndtr
) -> tuple[Any, Any]:
    """Return mean and variance of max(room - error, 0) for a normal error of known `variance`.

    What is left to the top of the converter when `room` is what would be left on average.
    """
    sigma = array_module.sqrt(variance)
    # Beyond 8 sigma nothing is clipped, or all: squares of the room would only cost digits.
    near = array_module.clip(room / sigma, -8.0, 8.0)
    below = normal_cdf(near)
    density = array_module.exp(-0.5 * near * near) / float(np.sqrt(2.0 * np.pi))
    mean = near * below + density
    second = (near * near + 1.0) * below + near * density
    left_over = array_module.where(room > 8.0 * sigma, room - 8.0 * sigma, 0.0)
    return sigma * mean + left_over, variance * array_module.maximum(second - mean**2, 0.0)


def clipping_correction(room: np.ndarray) -> np.ndarray:
    """Return what to add to `g`, bits, for a count `room` sigma below the top; 0 at 6 and more.

    A count at the top itself gets 0 bits instead of `g`. Right within .01 bit for pixels saturated
    in up to seven of ten frames; there is no such function for pixels that always are.
    """
    table = _clipping_table()
    return np.interp(room, np.arange(len(table)) * _CLIP_STEP, table, right=0.0)


@cache
def _clipping_table() -> Float64[np.ndarray, " rooms"]:
    """Solve `E[correction(room - z)] = h_clipped - P h` over Gaussian `z`, by least squares."""
    means = np.arange(_CLIP_FROM, FAR_FROM_CLIPPING + 3.0, 0.05)
    rooms = np.arange(0.0, FAR_FROM_CLIPPING + _CLIP_STEP, _CLIP_STEP)
    knots = np.arange(0.0, FAR_FROM_CLIPPING + _CLIP_KNOT, _CLIP_KNOT)[:-1]
    hats = np.maximum(1.0 - np.abs(rooms[:, None] - knots) / _CLIP_KNOT, 0.0)
    # Edges between the rooms, so that the first cell begins at the top itself.
    edges = np.append(np.maximum(rooms - 0.5 * _CLIP_STEP, 0.0), rooms[-1] + 0.5 * _CLIP_STEP)
    mass = np.diff(ndtr(edges - means[:, None]), axis=1)
    clipped = ndtr(-means)
    density = np.exp(-0.5 * means**2) / np.sqrt(2.0 * np.pi)
    target = -xlogy(clipped, clipped) * LOG2_E - 0.5 * LOG2_E * means * density
    system = mass @ hats
    ridge = 1e-4 * np.diag(np.square(1.0 + np.square(knots)))
    weights = np.linalg.solve(system.T @ system + ridge, system.T @ target)
    return hats @ weights
