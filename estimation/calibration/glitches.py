"""Frames that are none: black, torn, flashed, or sent twice. They are left out before they count.

A frame is an outlier if the mean of any of its bands of rows lies far beyond what the other frames
of the same call do: 20 robust standard deviations and 2 %, which no lamp's flicker reaches that is
there all the time. It is repeated if a band equals the frame before to the last count (a torn frame
holds a part of its predecessor), unless that is usual there: in saturation, or without any noise.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from estimation.calibration.sums import sampled

BANDS = 16
LEAST_PIXELS = 256
"""Bands of rows a frame is looked at in, and pixels that one has at least."""

LEAST_FRAMES = 5
"""Frames of one call below which none can be told to be an outlier."""

REMEMBERED = 32
OUTLIER_SIGMAS = 20.0
OUTLIER_SHARE = 0.02
USUALLY_EQUAL = 0.5


@dataclass
class GlitchFilter:
    """Judges the frames of one call of `SensorCalibration.add`, in order."""

    shape: tuple[int, int]
    _means: list[np.ndarray] = field(default_factory=list)
    _steps: list[np.ndarray] = field(default_factory=list)
    _equal: list[np.ndarray] = field(default_factory=list)
    _before: np.ndarray | None = None

    def judge(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return which `frames` (frames, pixels) are outliers, and which are repeated; bool."""
        seen = [self._look(frame) for frame in frames]
        self._means = [*self._means, *(means for means, _, _ in seen)]
        self._steps = [*self._steps, *(steps for _, steps, _ in seen if steps is not None)]
        outliers = self._outliers(len(seen))
        repeated = self._repeated([shares for _, _, shares in seen])
        kept = ~(outliers | repeated)
        fresh = [means for (means, _, _), good in zip(seen, kept, strict=True) if good]
        self._means = [*self._means[: -len(seen)], *fresh][-REMEMBERED:]
        self._steps = self._steps[-REMEMBERED:]
        return outliers & ~repeated, repeated

    def _look(self, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
        """Return each band's mean, mean square step and share of equal pixels."""
        rows = sampled(frame.reshape(self.shape)).reshape(-1, self.shape[1])
        n_bands = int(np.clip(rows.size // LEAST_PIXELS, 1, min(BANDS, len(rows))))
        starts = np.linspace(0, len(rows), n_bands, endpoint=False).astype(int)
        pixels = np.diff([*starts, len(rows)]) * self.shape[1]

        def mean(values: np.ndarray) -> np.ndarray:
            return np.add.reduceat(values.sum(axis=1, dtype=np.float64), starts) / pixels

        before, self._before = self._before, rows.copy()
        if before is None:
            return mean(rows), None, None
        step = rows.astype(np.float32) - before
        equal = mean(step == 0) if rows.size >= LEAST_PIXELS else None
        return mean(rows), mean(step**2) / (2 * pixels), equal

    def _repeated(self, shares: list[np.ndarray | None]) -> np.ndarray:
        """Return which frames have a band of nothing but counts of the frame before."""
        known = [one for one in shares if one is not None]
        self._equal = [*self._equal, *known][-REMEMBERED:]
        if not known:
            return np.zeros(len(shares), bool)
        unusual = np.median(self._equal, axis=0) <= USUALLY_EQUAL
        return np.asarray([
            one is not None and bool(np.any((one == 1) & unusual)) for one in shares
        ])

    def _outliers(self, last: int) -> np.ndarray:
        """Return which of the `last` frames are far from the others remembered."""
        means = np.asarray(self._means)
        if len(means) < LEAST_FRAMES:
            return np.zeros(last, bool)
        middle = np.median(means, axis=0)
        away = np.abs(means - middle)
        # a few frames may agree by chance; never below what pixel noise makes of a mean
        least = np.sqrt(np.median(self._steps, axis=0))
        scale = np.maximum(1.4826 * np.median(away, axis=0), least)
        far = (away > OUTLIER_SIGMAS * scale) & (away > OUTLIER_SHARE * middle)
        return np.any(far, axis=1)[-last:]
