"""Entropy of one pixel when shot noise, read noise and rounding merge into one Gaussian.

The only module that knows the closed form. With mean `lambda` e-, read noise `s` e-, gain `K`
ADU/e- and `v = lambda + s**2`, in the measure of integer ADU (reference/noise.md, sections 0 and
4b):

    h(lambda) = 1/2 log2(2 pi e (K**2 v + 1/12))           the variances add, never the entropies
    g(y)      = h(max(y, 0)) + log2(e)/(4 v) - log2(e) lambda**2 / (12 v**3)

`g` is `h` at the noisy pixel plus what Jensen's inequality and the skewness of Poisson counts take
away; without these two terms a dark design scores too high. Close to zero electrons the expansion
overshoots, so it fades in between -3 and +8 e-.

Remaining bias of `g`, bits/pixel, at K = 2.17 (exact sums over Poisson x Gaussian):

    mean, e-      0.1     0.3     1       2       3       5       10      20     >= 30
    s = 1.0      +.194   +.134   +.022   -.026   -.031   -.018   -.0015  .0000  .0000
    s = 1.4      +.154   +.120   +.045   -.002   -.015   -.013   -.0016  .0000  .0000
    s = 3.0      +.085   +.077   +.054   +.031   +.017   +.003   -.0010  .0000  .0000
"""

from __future__ import annotations

from typing import Any

import numpy as np

LOG2_E = float(np.log2(np.e))
ROUNDING_VARIANCE = 1.0 / 12.0
"""Variance of rounding to integers, ADU squared."""

FADE_FROM_E, FADE_TO_E = -3.0, 8.0
"""Noisy electrons over which the corrections fade in: smallest worst bias for s >= 1 e-."""


def gaussian_entropy_bits(variance: Any, *, array_module: Any = np) -> Any:
    """Return 1/2 log2(2 pi e variance), bits."""
    return 0.5 * array_module.log2(2.0 * np.pi * np.e * variance)


def entropy_from_noisy_electrons(
    electrons: np.ndarray,
    *,
    gain: np.ndarray | float,
    read_variance_e2: np.ndarray | float,
    rounding_variance: float = ROUNDING_VARIANCE,
) -> np.ndarray:
    """Return `g` of the module's docstring, bits in the measure of integer ADU.

    Parameters
    ----------
    electrons
        `(counts - offset) / gain`, e-; may be negative.
    gain
        ADU/e-, broadcastable.
    read_variance_e2
        Square of the read noise, e-^2, broadcastable.
    rounding_variance
        ADU^2; 0 for ideal photon counts, which are integers before they are rounded.
    """
    mean_e = np.maximum(electrons, 0.0)
    variance_e2 = mean_e + read_variance_e2
    variance_adu2 = np.square(gain) * variance_e2 + rounding_variance
    bits = gaussian_entropy_bits(np.maximum(variance_adu2, ROUNDING_VARIANCE))
    # Without read noise the expansion has no meaning at zero electrons: one electron is its floor.
    safe_e2 = np.maximum(variance_e2, 1.0)
    ramp = np.clip((electrons - FADE_FROM_E) / (FADE_TO_E - FADE_FROM_E), 0.0, 1.0)
    weight = ramp * ramp * (3.0 - 2.0 * ramp)
    ratio = mean_e / safe_e2
    return bits + weight * (LOG2_E / safe_e2) * (0.25 - ratio * ratio / 12.0)
