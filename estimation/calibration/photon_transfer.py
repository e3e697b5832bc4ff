"""Gain from the photon-transfer curve: variance = K (mean - offset) + dark variance.

Dark levels are points of the same line, so their error is shared as it should be. Weights are those
of the model variance, never of the sample's (Gaussian-moment Fisher information, reference/noise.md
section 3): var(V) = (2 v^2 / freedom + K^3 x / frames) / pixels, v = K x + c.

Coupling between pixels moves shot noise from the variance into covariances with neighbours; their
sum over 3 x 3 is what the pixel would have had alone, so K grows by sum / variance. That correction
costs twice the scatter and is therefore made only when the correlation is seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from estimation.calibration.errors import GainNotFound
from estimation.calibration.moments import LevelMoments
from estimation.calibration.sums import lag_means, sampled

ITERATIONS = 4
LEAST_VARIANCE = 1e-6
"""ADU^2; below any camera's."""

CORRELATION_SIGMAS = 5.0
LEAST_CORRELATION = 0.001
LEAST_PIXELS = 400
"""Neighbour correlation taken for real: this many standard errors, at least this much, and in
frames of so many pixels: below that the errors are not what theory says."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One level on the curve: averages over usable pixels, ADU and ADU^2."""

    label: str
    is_dark: bool
    signal: float
    signal_spread2: float
    variance: float
    freedom: float
    frames: int
    pixels: int


@dataclass(frozen=True, kw_only=True)
class Line:
    """The fitted curve; `residuals` are relative, `errors` their standard errors."""

    gain: float
    gain_se: float
    dark_variance: float
    residuals: np.ndarray
    errors: np.ndarray


def make_point(level: LevelMoments, *, offset: np.ndarray, good: np.ndarray) -> Point:
    """Return the level's averages over the `good` pixels."""
    signal_map = level.mean - offset
    noise = level.noise_variance(None if level.is_dark else signal_map)
    signal = signal_map[good]
    name = "dark" if level.is_dark else f"light {level.light}"
    return Point(
        label=f"{name} at {level.exposure_s:g} s",
        is_dark=level.is_dark,
        signal=float(signal.mean()),
        signal_spread2=float(signal.var()),
        variance=float(noise[good].mean()),
        freedom=level.freedom,
        frames=level.frames,
        pixels=int(np.count_nonzero(good)),
    )


def fit_line(points: Sequence[Point], *, dark_spread2: float = 0.0) -> Line:
    """Fit gain and dark variance; `dark_spread2` is the spread of dark variance over pixels."""
    x = np.asarray([p.signal for p in points])
    y = np.asarray([p.variance for p in points])
    _check_points(points)
    lit = x > 0.5 * x.max()
    gain = float(np.mean(y[lit]) - np.min(y)) / float(np.mean(x[lit]))
    constant = float(np.min(y))
    errors2, spread = np.ones_like(x), 1.0
    for _ in range(ITERATIONS):
        errors2 = _errors2(points, max(gain, 1e-12), constant, dark_spread2)
        weights = 1.0 / errors2
        centre = weights @ x / weights.sum()
        spread = weights @ (x - centre) ** 2
        gain = float(weights @ ((x - centre) * y) / spread)
        constant = float(weights @ (y - gain * x) / weights.sum())
    model = np.maximum(gain * x + constant, LEAST_VARIANCE)
    return Line(
        gain=gain,
        gain_se=float(1.0 / np.sqrt(spread)),
        dark_variance=constant,
        residuals=(y - model) / model,
        errors=np.sqrt(errors2) / model,
    )


def _check_points(points: Sequence[Point]) -> None:
    """Refuse what no line can be fitted to."""
    darkest = max(p.signal for p in points if p.is_dark)
    brightest = max(points, key=lambda p: p.signal)
    if brightest.is_dark or brightest.signal <= max(darkest, 0.0):
        raise GainNotFound(
            f"no lit level is brighter than the darks ({brightest.label} is the brightest); check "
            "that light=0.0 stands for the darks, and that the light reaches the camera"
        )
    if max(p.variance for p in points) < LEAST_VARIANCE:
        raise GainNotFound(
            "the frames of every level are alike to the last count: they are copies, or averaged; "
            "add raw frames, each exposed anew"
        )


def _errors2(
    points: Sequence[Point], gain: float, constant: float, dark_spread2: float
) -> np.ndarray:
    found = []
    for p in points:
        shot = gain * max(p.signal, 0.0)
        square = (shot + max(constant, 1.0 / 12.0)) ** 2 + gain**2 * p.signal_spread2 + dark_spread2
        found.append((2 * square / p.freedom + gain**2 * shot / p.frames) / p.pixels)
    return np.asarray(found)


@dataclass(frozen=True, kw_only=True)
class Coupling:
    """Neighbour correlation of the shot noise, and the factor it asks of the gain."""

    correlation: float
    correlation_se: float
    factor: float
    factor_se: float

    @property
    def is_seen(self) -> bool:
        """Whether the correlation is beyond doubt and beyond `LEAST_CORRELATION`."""
        sure = abs(self.correlation) > CORRELATION_SIGMAS * self.correlation_se
        return sure and abs(self.correlation) > LEAST_CORRELATION


def find_coupling(
    levels: Sequence[LevelMoments], darks: Sequence[LevelMoments], *, offset: np.ndarray
) -> Coupling | None:
    """Return the coupling of the lit `levels`, None without frames that follow each other."""
    dark = _average([d for d in darks if d.neighbours is not None])
    shot, weights, errors2 = [], [], []
    for level in levels:
        if level.neighbours is None or dark is None or offset.size < LEAST_PIXELS:
            continue
        # overlapping differences share frames: their products' variances grow by 3/2
        fewer = 1.0 if level.pairs == 1 else 1.5
        shot.append(level.neighbours - _flicker_on_shading(level, offset) - dark)
        weights.append(shot[-1][0] * level.neighbour_pairs / fewer / level.neighbours[0] ** 2)
        errors2.append(level.neighbours[0] ** 2 / level.neighbour_pairs * fewer)
    if not shot:
        return None
    w = np.asarray(weights)
    total = w @ np.asarray(shot)
    across, down, *diagonals = (float(t) for t in total[1:] / total[0])
    scatter = float(np.sqrt(w**2 @ np.asarray(errors2)) / total[0])  # of the correlation at one lag
    lags = 4
    if max(abs(d) for d in diagonals) < CORRELATION_SIGMAS * scatter:
        # leaks to the four nearest make 2 a^2 on the diagonal: predicted better than measured
        diagonals, lags = [across * down / 2] * 2, 2
    return Coupling(
        correlation=(across + down) / 2,
        correlation_se=scatter / np.sqrt(2),
        factor=1 + 2 * (across + down + sum(diagonals)),
        factor_se=2 * np.sqrt(lags) * scatter,
    )


def _flicker_on_shading(level: LevelMoments, offset: np.ndarray) -> np.ndarray:
    """Return what a flickering lamp on an uneven field adds to the covariances, ADU^2."""
    assert level.step_variance is not None  # noqa: S101 - levels with pairs only
    signal = level.mean - offset
    noise = float(level.step_variance.mean()) / signal.size
    relative2 = (level.step_common - noise) / float(signal.mean()) ** 2
    return relative2 * (lag_means(signal) - float(sampled(signal).mean()) ** 2)


def _average(levels: Sequence[LevelMoments]) -> np.ndarray | None:
    if not levels:
        return None
    weights = np.asarray([level.neighbour_pairs for level in levels])
    stack = np.asarray([level.neighbours for level in levels])
    return np.asarray(weights @ stack / weights.sum())
