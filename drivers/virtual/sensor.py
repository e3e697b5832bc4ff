"""The virtual sCMOS sensor: expected photo-electrons in, raw counts out.

    counts = clip(round(offset + gain * (Poisson(responsivity * e + dark) + N(0, read))), 0, full)

The model of EMVA Standard 1288 release 4.0 with per-pixel maps. Independent of `estimation` on
purpose: the estimator is judged against it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt16

GAIN_ADU_PER_E = 2.17
BIT_DEPTH = 12
_MEDIAN_READ_NOISE_E = 1.3
_NOISY_FRACTION = 0.02
_MAX_READ_NOISE_E = 9.5


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualSensor:
    """Maps of one sensor, drawn once from a seed.

    Parameters
    ----------
    offset_adu, read_noise_e, responsivity, dark_e_per_s
        Maps of shape (height, width): ADU, e- rms, relative to 1, e-/s.
    gain_adu_per_e, bit_depth
        One number for the whole sensor.
    """

    offset_adu: Float[np.ndarray, "height width"]
    read_noise_e: Float[np.ndarray, "height width"]
    responsivity: Float[np.ndarray, "height width"]
    dark_e_per_s: Float[np.ndarray, "height width"]
    gain_adu_per_e: float = GAIN_ADU_PER_E
    bit_depth: int = BIT_DEPTH

    @classmethod
    def draw(cls, height: int, width: int, *, rng: np.random.Generator) -> VirtualSensor:
        """Draw a sensor with an sCMOS tail of noisy pixels and a few hot ones."""
        shape = (height, width)
        read = _MEDIAN_READ_NOISE_E * np.exp(rng.normal(0, 0.12, shape))
        noisy = rng.random(shape) < _NOISY_FRACTION
        read[noisy] = rng.uniform(2.5, _MAX_READ_NOISE_E, int(noisy.sum()))
        dark = rng.gamma(4.0, 0.125, shape)
        hot = rng.random(shape) < 1e-3
        dark[hot] = rng.uniform(10, 200, int(hot.sum()))
        return cls(
            offset_adu=100 + rng.normal(0, 1.57, shape),
            read_noise_e=read,
            responsivity=1 + rng.normal(0, 0.01, shape),
            dark_e_per_s=dark,
        )

    @property
    def saturation_adu(self) -> int:
        """Largest count the converter gives."""
        return 2**self.bit_depth - 1

    def expose(
        self,
        expected_e: Float[np.ndarray, "height width"],
        *,
        exposure_s: float,
        rng: np.random.Generator,
    ) -> UInt16[np.ndarray, "height width"]:
        """Draw one frame of raw counts in ADU from expected photo-electrons a pixel."""
        mean_e = self.responsivity * expected_e + self.dark_e_per_s * exposure_s
        electrons = rng.poisson(mean_e) + self.read_noise_e * rng.standard_normal(mean_e.shape)
        counts = np.rint(self.offset_adu + self.gain_adu_per_e * electrons)
        return np.clip(counts, 0, self.saturation_adu).astype(np.uint16)
