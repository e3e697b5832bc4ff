"""From exact sums to the moments of one level, free of what all pixels do together.

The common part (lamp flicker, lamp drift, black-level wander) is y_it = o_i + a_t x_i + e_it. With
Vc the variance over frames of the frame mean, the sample variance of pixel i is too large by
(Vc - <v>/P) (x_i/<x>)^2, which is taken out; for darks by (Vc - <v>/P) alike in every pixel. On two
frames this is the pair difference of EMVA 1288; on more it keeps all N - 1 degrees of freedom.
The same holds for successive differences, which slow changes of single pixels do not reach.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from estimation.calibration.sums import LevelSums, sampled_counts

LEAST_LINES = 8
"""Rows and columns below which their noise is not asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bands:
    """Variance over frames of what a row, and a column, does as a whole, ADU^2.

    Above what the pixels' own noise makes of a mean; `row_se` and `column_se` are its errors where
    there is nothing else. 3-D noise: frames x rows x columns, analysis of variance.
    """

    row: float
    row_se: float
    column: float
    column_se: float


@dataclass(frozen=True, kw_only=True)
class LevelMoments:
    """Moments of one level; maps are float64 (height, width), ADU and ADU^2.

    Attributes
    ----------
    exposure_s, light
        Key of the level; `light` 0 is dark.
    variance, step_variance
        Sample variance over frames, and half the mean square of successive differences.
    common, step_common
        The same two of the frame mean, ADU^2 (numbers).
    neighbours
        Covariances of successive differences / 2 at `sums.LAGS`, ADU^2, None without pairs.
    outliers, repeated
        Frames that were left out.
    bands
        Noise of rows and columns, None without pairs.
    skew, kurtosis
        Third central moment, and fourth cumulant, ADU^3, ADU^4; darks only.
    """

    exposure_s: float
    light: float | str
    frames: int
    pairs: int
    mean: np.ndarray
    variance: np.ndarray | None
    step_variance: np.ndarray | None
    common: float
    step_common: float
    neighbours: np.ndarray | None
    neighbour_pairs: float
    zeros: int
    tops: int
    outliers: int = 0
    repeated: int = 0
    bands: Bands | None = None
    skew: np.ndarray | None = None
    kurtosis: np.ndarray | None = None
    uses_steps: bool = False

    @property
    def is_dark(self) -> bool:
        """Whether the light was off."""
        return self.light == 0.0

    @property
    def freedom(self) -> float:
        """Degrees of freedom of the variance; successive differences keep 2/3 of them."""
        if self.uses_steps:
            return self.pairs * (1.0 if self.pairs < 2 else 2 / 3)
        return self.frames - 1.0

    def noise_variance(self, signal: np.ndarray | None = None) -> np.ndarray:
        """Return the temporal variance without the common part, ADU^2.

        Parameters
        ----------
        signal
            Mean above the offset, ADU, (height, width): scales the common part; None for darks.
        """
        variance = self.step_variance if self.uses_steps else self.variance
        common = self.step_common if self.uses_steps else self.common
        assert variance is not None  # noqa: S101 - callers ask levels of two frames only
        excess = common - float(variance.mean()) / variance.size
        if signal is None or not np.mean(signal) > 0:
            return variance - excess
        return variance - excess * np.square(signal / signal.mean())

    def with_steps(self) -> LevelMoments:
        """Return the level read through successive differences."""
        return replace(self, uses_steps=True)


def read_moments(sums: LevelSums, *, exposure_s: float, light: float | str) -> LevelMoments:
    """Return the moments of a level's sums."""
    n, pairs, pixels = sums.frames, sums.pairs, sums.pixels
    middle, rest = np.divmod(sums.maps["y1"], np.uint64(n))
    central = central_sums(sums, middle)
    first = rest.astype(np.float64) / n
    mean = middle.astype(np.float64) + first
    second = central[0] / n - first**2
    spread = sums.total2 * n - sums.total**2  # exact: Python integers
    higher = _higher(central, first, second, n)
    return LevelMoments(
        exposure_s=exposure_s,
        light=light,
        frames=n,
        pairs=pairs,
        mean=mean.reshape(sums.shape),
        variance=(second * n / (n - 1)).reshape(sums.shape) if n > 1 else None,
        step_variance=(sums.maps["d2"] / (2.0 * pairs)).reshape(sums.shape) if pairs else None,
        common=spread / (n * (n - 1)) / pixels**2 if n > 1 else 0.0,
        step_common=sums.step2 / (2 * pairs) / pixels**2 if pairs else 0.0,
        neighbours=_neighbours(sums) if pairs else None,
        neighbour_pairs=float(pairs * sampled_counts(sums.shape)[0]),
        zeros=sums.zeros,
        tops=sums.tops,
        outliers=sums.outliers,
        repeated=sums.repeated,
        bands=_bands(sums) if pairs else None,
        skew=None if higher is None else higher[0].reshape(sums.shape),
        kurtosis=None if higher is None else higher[1].reshape(sums.shape),
    )


def central_sums(sums: LevelSums, middle: np.ndarray) -> list[np.ndarray]:
    """Return sum((y - m)^k) for k = 2 (3 and 4 if kept), exact, float64 (pixels,)."""
    n, m = np.uint64(sums.frames), middle
    y1, y2 = sums.maps["y1"], sums.maps["y2"]
    found = [y2 - 2 * m * y1 + n * m * m]
    if sums.higher:
        y3, y4, m2 = sums.maps["y3"], sums.maps["y4"], m * m
        found.append(y3 - 3 * m * y2 + 3 * m2 * y1 - n * m2 * m)
        found.append(y4 - 4 * m * y3 + 6 * m2 * y2 - 4 * m2 * m * y1 + n * m2 * m2)
    return [one.view(np.int64).astype(np.float64) for one in found]


def _higher(
    central: list[np.ndarray], shift: np.ndarray, second: np.ndarray, n: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Move the central sums from the integer middle to the mean: third moment, fourth cumulant."""
    if len(central) < 3:
        return None
    q2, q3, q4 = (one / n for one in central)
    third = q3 - 3 * shift * q2 + 2 * shift**3
    fourth = q4 - 4 * shift * q3 + 6 * shift**2 * q2 - 3 * shift**4
    return third, fourth - 3 * second**2


def _neighbours(sums: LevelSums) -> np.ndarray:
    counts = sampled_counts(sums.shape)
    common = sums.sampled_step2 / (sums.pairs * counts[0] ** 2)
    products = [p / (sums.pairs * c) for p, c in zip(sums.lag_products, counts, strict=True)]
    return (np.asarray(products) - common) / 2


def _bands(sums: LevelSums) -> Bands | None:
    """Split the mean square of successive differences into rows, columns and pixels."""
    pixels = sampled_counts(sums.shape)[0]
    width = sums.shape[1]
    rows = pixels // width
    if min(rows, width) < LEAST_LINES:
        return None
    # half a squared step is a variance; mean over pixels, of row means, column means, frame mean
    pixel = sums.lag_products[0] / (2 * sums.pairs * pixels)
    row = sums.row_step2 / (2 * sums.pairs * rows * width**2)
    column = sums.column_step2 / (2 * sums.pairs * width * rows**2)
    frame = sums.sampled_step2 / (2 * sums.pairs * pixels**2)
    free = (1 - 1 / rows) * (1 - 1 / width)
    own = (pixel - row - column + frame) / free
    # overlapping differences share frames: 3/2 of the variance of independent ones
    known = np.sqrt(3 / sums.pairs)
    return Bands(
        row=(row - frame) / (1 - 1 / rows) - own / width,
        row_se=own / width * known / np.sqrt(rows),
        column=(column - frame) / (1 - 1 / width) - own / rows,
        column_se=own / rows * known / np.sqrt(width),
    )
