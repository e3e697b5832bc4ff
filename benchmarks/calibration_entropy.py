"""H(Y|X) of scenes: calibrated noise against the exact entropy of a simulated sensor's pixels.

The exact entropy of one pixel is that of its counts: Poisson charge, Gaussian read noise, rounding;
summed over the counts, tabulated in mean and read noise, interpolated.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.interpolate import RegularGridInterpolator
from scipy.special import ndtr
from scipy.stats import poisson

MEANS_E = (1.0, 3.0, 10.0, 30.0, 100.0)
CONTRAST = 0.5
HIGHEST_E = 900.0


class ExactEntropy:
    """bits of one pixel of `gain`, at (mean electrons, read noise e- rms), by interpolation."""

    def __init__(self, gain: float) -> None:
        means = np.square(np.linspace(np.sqrt(1e-4), np.sqrt(HIGHEST_E), 160))
        noises = np.geomspace(0.8, 12.0, 28)
        table = np.asarray([_entropies(means, float(s), gain) for s in noises]).T
        self._interpolate = RegularGridInterpolator(
            (np.sqrt(means), np.log(noises)), table, method="cubic"
        )

    def __call__(self, mean_e: np.ndarray, read_noise_e: np.ndarray) -> np.ndarray:
        """Return bits, of the shape of the two arguments."""
        points = np.stack([np.sqrt(mean_e), np.log(read_noise_e)], axis=-1)
        return self._interpolate(points)


def _entropies(means: np.ndarray, read_noise_e: float, gain: float) -> np.ndarray:
    charge = np.arange(int(HIGHEST_E + 8 * np.sqrt(HIGHEST_E)))
    counts = np.arange(-int(8 * gain * read_noise_e) - 2, int(gain * charge[-1]) + 2)
    scale = gain * read_noise_e
    edges = (np.append(counts, counts[-1] + 1) - 0.5 - gain * charge[:, None]) / scale
    probability = poisson.pmf(charge, means[:, None]) @ np.diff(ndtr(edges), axis=1)
    logs = np.log2(np.where(probability > 0, probability, 1.0))
    return -np.sum(probability * logs, axis=1)


def scene_errors(sensor: Any, fit: Any, *, seed: int, frames: int = 8) -> list[dict[str, Any]]:
    """Return the error in bits/pixel of the calibrated H(Y|X) at each of `MEANS_E`.

    `error` is calibrated minus exact; `error_of_true_noise` the same with the sensor's true
    parameters, which is what the entropy formula itself is off by.
    """
    from estimation import SensorNoise

    exact, exposure_s = ExactEntropy(sensor.gain), 0.01
    dark_e = sensor.dark_current * exposure_s
    true = SensorNoise(
        gain=sensor.gain,
        offset=sensor.offsets + sensor.gain * dark_e,
        read_noise=sensor.read_noise,
        bit_depth=sensor.bit_depth,
        responsivity=sensor.responsivity,
        defects=fit.noise.defects,
    )
    good, rows = ~fit.noise.defects, []
    rng = np.random.default_rng([seed, 99])
    for mean_e in MEANS_E:
        spread = np.sqrt(np.log(1 + CONTRAST**2))
        scene = mean_e * np.exp(spread * rng.standard_normal(good.shape) - spread**2 / 2)
        scene = np.minimum(scene, 0.8 * HIGHEST_E)
        truth = float(exact(scene * sensor.responsivity + dark_e, sensor.read_noise)[good].mean())
        shots = np.stack(list(sensor.frames(frames, mean_e=1.0, shading=scene)))
        calibrated = fit.noise.conditional_entropy(shots)
        plain = true.conditional_entropy(shots)
        rows.append({
            "mean_e": mean_e,
            "exact_bits": truth,
            "error": float(calibrated.mean()) - truth,
            "error_of_true_noise": float(plain.mean()) - truth,
            "error_of_calibration": float((calibrated - plain).mean()),
            "sampling_se": float(calibrated.std(ddof=1) / np.sqrt(frames)),
        })
    return rows
