"""Virtual sensors: what is expected in, raw counts out.

    counts = clip(round(offset + gain * (Poisson(responsivity * e + dark) + N(0, read))), 0, full)

The model of EMVA Standard 1288 release 4.0 with per-pixel maps; a thermal camera adds what
two-point correction leaves, `N(0, pattern * e)`, anew in every frame. A correlator has thermal
noise alone. Independent of `estimation` on purpose: the estimator is judged against it.
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
    residual_pattern
        What the correction of a thermal camera leaves, relative to the signal.
    """

    offset_adu: Float[np.ndarray, "height width"]
    read_noise_e: Float[np.ndarray, "height width"]
    responsivity: Float[np.ndarray, "height width"]
    dark_e_per_s: Float[np.ndarray, "height width"]
    gain_adu_per_e: float = GAIN_ADU_PER_E
    bit_depth: int = BIT_DEPTH
    residual_pattern: float = 0.0

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

    @classmethod
    def even(
        cls,
        shape: tuple[int, int],
        *,
        gain: float,
        offset: float,
        read_noise: float,
        bit_depth: int,
        residual_pattern: float = 0.0,
    ) -> VirtualSensor:
        """Return a sensor whose pixels are all alike, without dark current: a data sheet's.

        Gain in ADU/e-, offset in ADU, read noise in e- rms.
        """
        return cls(
            offset_adu=np.full(shape, offset),
            read_noise_e=np.full(shape, read_noise),
            responsivity=np.ones(shape),
            dark_e_per_s=np.zeros(shape),
            gain_adu_per_e=gain,
            bit_depth=bit_depth,
            residual_pattern=residual_pattern,
        )

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        height, width = self.offset_adu.shape
        return height, width

    @property
    def saturation_adu(self) -> int:
        """Largest count the converter gives."""
        return 2**self.bit_depth - 1

    def expose(
        self,
        expected: Float[np.ndarray, "height width"],
        *,
        exposure_s: float,
        rng: np.random.Generator,
    ) -> UInt16[np.ndarray, "height width"]:
        """Draw one frame of raw counts in ADU from expected photo-electrons a pixel."""
        mean_e = self.responsivity * expected + self.dark_e_per_s * exposure_s
        electrons = rng.poisson(mean_e) + self.read_noise_e * rng.standard_normal(mean_e.shape)
        if self.residual_pattern:
            drift = rng.standard_normal(mean_e.shape)
            electrons = electrons + self.residual_pattern * mean_e * drift
        counts = np.rint(self.offset_adu + self.gain_adu_per_e * electrons)
        return np.clip(counts, 0, self.saturation_adu).astype(np.uint16)


def noise_of(frames: np.random.Generator, *, trial: int, part: int) -> np.random.Generator:
    """Return a source of noise that depends on the bench's seed, the trial and its part alone.

    Not on how many frames were exposed before: a trial that is captured again after its process
    was killed shows the frames that it would have shown.

    Parameters
    ----------
    frames
        The bench's own source, fresh or not: only its seed matters.
    trial, part
        What is captured, each from 0.
    """
    seed = frames.bit_generator.seed_seq
    if not isinstance(seed, np.random.SeedSequence):
        raise TypeError(f"{type(seed).__name__}: the bench's noise must come from a SeedSequence")
    return np.random.default_rng(
        np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, trial, part))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Correlator:
    """The output of a radio correlator, digitised: thermal noise of one size, no photons.

        counts = clip(round(offset + sigma * (value + N(0, 1))), 0, full)

    Parameters
    ----------
    shape
        (height, width) of its output.
    sigma_adu
        Counts of one standard deviation of thermal noise, the unit of the values.
    offset_adu
        Count of the value zero.
    bit_depth
        Of the counts.
    """

    shape: tuple[int, int]
    sigma_adu: float
    offset_adu: float
    bit_depth: int = 16

    def expose(
        self,
        expected: Float[np.ndarray, "height width"],
        *,
        exposure_s: float,  # noqa: ARG002 - a scan lasts what it lasts
        rng: np.random.Generator,
    ) -> UInt16[np.ndarray, "height width"]:
        """Draw one output from expected values in standard deviations of thermal noise."""
        noisy = expected + rng.standard_normal(np.shape(expected))
        counts = np.rint(self.offset_adu + self.sigma_adu * noisy)
        return np.clip(counts, 0, 2**self.bit_depth - 1).astype(np.uint16)
