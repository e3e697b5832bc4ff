"""A sensor to calibrate, written from its physics and independent of every estimator.

Photo-electrons and dark electrons are Poisson; charge leaks to the four neighbours (capacitance);
read noise is Gaussian with a tail of noisy pixels; the converter rounds and clips.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np


@dataclass
class SimulatedSensor:
    size: int = 256
    seed: int = 0
    gain: float = 2.17
    offset: float = 100.0
    offset_spread: float = 1.574
    bit_depth: int = 12
    prnu: float = 0.01
    read_median: float = 1.3
    coupling: float = 0.0
    dark_median: float = 0.5
    hot_share: float = 0.002
    full_well_adu: float | None = None
    telegraph: dict = field(default_factory=dict)  # (row, column): (amplitude in e-, probability)
    second_gain: tuple[float, int] | None = None  # (from this ADU on, step in ADU)
    rng: np.random.Generator = field(init=False)

    def __post_init__(self):
        maker = np.random.default_rng([self.seed, 1])
        shape = (self.size, self.size)
        self.offsets = self.offset + self.offset_spread * maker.standard_normal(shape)
        self.responsivity = 1 + self.prnu * maker.standard_normal(shape)
        self.read_noise = self.read_median * np.exp(0.08 * maker.standard_normal(shape))
        noisy = maker.random(shape) < 0.02
        self.read_noise[noisy] = np.minimum(
            self.read_median * (1 + maker.exponential(1.2, noisy.sum())), 9.0
        )
        self.dark_current = self.dark_median * np.exp(0.2 * maker.standard_normal(shape))
        hot = maker.random(shape) < self.hot_share
        self.dark_current[hot] = 5.0 + maker.exponential(30.0, hot.sum())
        self.rng = np.random.default_rng([self.seed, 2])

    def frames(
        self,
        count: int,
        *,
        mean_e: float = 0.0,
        exposure_s: float = 0.01,
        flicker: float = 0.0,
        drift: float = 0.0,
        shading: np.ndarray | float = 1.0,
        black_drift_adu: float = 0.0,
    ) -> Iterator[np.ndarray]:
        """Yield uint16 frames; `flicker` and `drift` are relative, rms and per frame."""
        for index in range(count):
            lamp = (1 + flicker * self.rng.standard_normal()) * (1 + drift * index)
            light_e = mean_e * lamp * self.responsivity * shading
            charge = self.rng.poisson(light_e + self.dark_current * exposure_s).astype(float)
            yield self._convert(self._leak(charge), black_drift_adu * index)

    def _leak(self, charge):
        if not self.coupling:
            return charge
        padded = np.pad(charge, 1, mode="edge")
        around = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
        return (1 - 4 * self.coupling) * charge + self.coupling * around

    def _convert(self, charge, black_adu):
        voltage = charge + self.read_noise * self.rng.standard_normal(charge.shape)
        for (row, column), (amplitude_e, probability) in self.telegraph.items():
            voltage[row, column] += amplitude_e * (self.rng.random() < probability)
        analogue = self.offsets + black_adu + self.gain * voltage
        if self.full_well_adu is not None:
            analogue = np.minimum(analogue, self.full_well_adu)
        counts = np.clip(np.rint(analogue), 0, 2**self.bit_depth - 1)
        if self.second_gain is not None:
            start, step = self.second_gain
            counts = np.where(
                counts < start, counts, start + step * np.rint((counts - start) / step)
            )
            counts = np.minimum(
                counts, 2**self.bit_depth - 1 - (2**self.bit_depth - 1 - start) % step
            )
        return counts.astype(np.uint16)
