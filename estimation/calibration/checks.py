"""What makes frames unfit for calibration, or fit with a warning. One function, one trap."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from estimation.calibration.errors import AutomaticGain, CodesMissing, OffsetTooLow
from estimation.calibration.findings import CalibrationWarning, Finding
from estimation.calibration.moments import LevelMoments
from estimation.calibration.photon_transfer import Coupling, Line, Point

MAX_ZERO_FRACTION = 1e-3
NOTED_ZERO_FRACTION = 1e-5
LEAST_CODES = 12
"""Distinct counts below which steps between them say nothing."""

CODE_WINDOW = 128
BAND_SIGMAS = 6.0
LEAST_BAND_SHARE = 2e-3
"""Noise of rows or columns taken for real: so many standard errors, and so much of a pixel's
variance (.3 e- on 1.4 e- is .05)."""

LEAST_FOR_SLOPE = 3
LEAST_SLOPE = 0.5
"""Growth of log signal with log light: 1 is linear, .5 below any sensor that answers to light."""

DRIFT_RATIO = 0.5
"""Von Neumann ratio of the frame means below which a change is slow (1: no memory, 0: a ramp)."""


def check_zeros(darks: Sequence[LevelMoments]) -> list[CalibrationWarning]:
    """Refuse darks that are clipped at 0; pixels that always are 0 do not count."""
    zeros = samples = 0
    for dark in darks:
        always = int(np.count_nonzero(dark.mean == 0))
        zeros += dark.zeros - always * dark.frames
        samples += (dark.mean.size - always) * dark.frames
    fraction = zeros / samples if samples else 1.0
    if fraction > MAX_ZERO_FRACTION:
        raise OffsetTooLow(
            f"{fraction:.2%} of the dark counts are 0, {MAX_ZERO_FRACTION:.1%} may be: the black "
            "level is too low, and offset and read noise would both come out wrong. Raise the "
            "camera's offset (black level) until no dark count is 0, and take the frames again"
        )
    if fraction <= NOTED_ZERO_FRACTION:
        return []
    return [
        CalibrationWarning(
            Finding.NEAR_ZERO,
            f"{fraction:.4%} of the dark counts are 0; raise the camera's offset a little",
        )
    ]


def check_codes(codes: np.ndarray) -> float | None:
    """Return the count above which codes are missing (a second gain), None if none are.

    Raises
    ------
    CodesMissing
        If counts come in steps above 1 everywhere.
    """
    used = np.flatnonzero(codes)
    if used.size < LEAST_CODES:
        return None
    step = int(np.gcd.reduce(np.diff(used)))
    if step > 1:
        raise CodesMissing(
            f"counts come in steps of {step} ADU: the data is shifted to the left, which makes "
            f"every entropy wrong by {np.log2(step):.1f} bits a pixel. Divide the counts by {step} "
            "and give the camera's own bit_depth"
        )
    return _second_step(used)


def _second_step(used: np.ndarray) -> float | None:
    """Return where all higher codes come in steps above 1."""
    breakpoint_adu = None
    edges = np.arange(used[-1] + 1, 0, -CODE_WINDOW)
    for high in edges:
        inside = used[(used >= high - CODE_WINDOW) & (used < high)]
        if inside.size < 4:
            continue
        if np.gcd.reduce(np.diff(inside)) == 1:
            break
        breakpoint_adu = float(inside[0])
    if breakpoint_adu is None or np.count_nonzero(used >= breakpoint_adu) < LEAST_CODES:
        return None
    index = int(np.searchsorted(used, breakpoint_adu))
    while index and used[index] - used[index - 1] > 1:  # into the window that has both steps
        index -= 1
    return float(used[index])


def check_glitches(levels: Sequence[LevelMoments]) -> list[CalibrationWarning]:
    """Say how many frames were left out, and where."""
    hit = [level for level in levels if level.outliers or level.repeated]
    if not hit:
        return []
    outliers, repeated = (sum(getattr(lv, name) for lv in hit) for name in ("outliers", "repeated"))
    where = ", ".join(f"light {level.light} at {level.exposure_s:g} s" for level in hit)
    sentence = (
        f"{outliers} black, torn or flashed frames and {repeated} repeated ones are left out "
        f"({where}). Look for a late shutter, a full buffer, or a bad cable"
    )
    return [CalibrationWarning(Finding.GLITCH_FRAMES, sentence)]


def check_bands(dark: LevelMoments, gain: float) -> list[CalibrationWarning]:
    """Notice rows or columns that move as a whole in the dark, with how much."""
    if dark.bands is None:
        return []
    bands, own = dark.bands, float(np.median(dark.noise_variance()))
    kinds = (
        (Finding.ROW_NOISE, "rows", bands.row, bands.row_se),
        (Finding.COLUMN_NOISE, "columns", bands.column, bands.column_se),
    )
    return [
        CalibrationWarning(
            name,
            f"{lines} move as a whole from frame to frame by {np.sqrt(square) / gain:.2g} e- rms "
            f"({np.sqrt(square / own):.0%} of a pixel's noise): the noise of neighbours is not "
            "independent, and scores of dark scenes are too low by it. Try another readout mode",
        )
        for name, lines, square, error in kinds
        if square > max(BAND_SIGMAS * error, LEAST_BAND_SHARE * own)
    ]


def check_follows_light(levels: Sequence[LevelMoments], offset: np.ndarray) -> None:
    """Refuse levels of known light whose signal does not grow with it.

    Raises
    ------
    AutomaticGain
        If the signal falls where light grows, or grows less than its square root.
    """
    known = [level for level in levels if not isinstance(level.light, str)]
    doses = np.asarray([level.exposure_s * float(level.light) for level in known])
    signals = np.asarray([float(np.mean(level.mean - offset)) for level in known])
    if len(known) < LEAST_FOR_SLOPE or signals.min() <= 0 or doses.max() < 1.5 * doses.min():
        return
    order = np.argsort(doses)
    doses, signals = doses[order], signals[order]
    slope = float(np.polyfit(np.log(doses), np.log(signals), 1)[0])
    falls = signals[1:] < 0.95 * signals[:-1]
    if slope > LEAST_SLOPE and not (falls & (doses[1:] > 1.02 * doses[:-1])).any():
        return
    raise AutomaticGain(
        f"{doses[-1] / doses[0]:.3g} times the light gives {signals[-1] / signals[0]:.3g} times "
        f"the signal, {'falling in between' if falls.any() else 'which is no sensor'}: the camera "
        "changes gain or exposure by itself, or the levels' light is not what was said. Switch "
        "auto-gain and auto-exposure off, and take the frames again"
    )


def check_common(level: LevelMoments, *, signal: float, gain: float) -> list[CalibrationWarning]:
    """Notice what the frame mean does over time; `signal` is the level's mean above offset, ADU."""
    if level.variance is None or (signal <= 0 and not level.is_dark):
        return []
    noise = float(level.variance.mean()) / level.mean.size
    excess = level.common - noise
    # the variance of a frame mean is known to sqrt(2 / (n - 1)): 6 of them, one in 1e9 if Gaussian
    if excess < noise * (6 * np.sqrt(2 / (level.frames - 1)) + 40 / level.frames):
        return []
    pairs_known = level.pairs > 0 and level.frames > 3
    is_slow = pairs_known and level.step_common < DRIFT_RATIO * level.common
    rms = float(np.sqrt(excess))
    if level.is_dark:
        if rms**2 < 1e-3 * float(np.median(level.variance)):
            return []
        text = f"the mean of the darks at {level.exposure_s:g} s wanders by {rms:.2f} ADU rms"
        remedy = "; it is taken out of the read noise. Let the camera warm up"
        return [CalibrationWarning(Finding.DARK_DRIFT, text + remedy)]
    return _lit_change(level, rms / signal, rms**2 / (gain * signal), is_slow=is_slow)


def _lit_change(
    level: LevelMoments, relative: float, bias: float, *, is_slow: bool
) -> list[CalibrationWarning]:
    where = f"at light {level.light}, {level.exposure_s:g} s"
    found = []
    if bias > 0.002:
        name = Finding.LIGHT_DRIFT if is_slow else Finding.LAMP_FLICKER
        verb = "drifts" if is_slow else "flickers"
        sentence = (
            f"the light {verb} by {relative:.2%} rms {where}; that would have made the gain "
            f"{bias:.1%} too high there and is taken out. Let the lamp warm up, or stabilise it"
        )
        found.append(CalibrationWarning(name, sentence))
    if relative > 0.03:
        sentence = (
            f"the light changes by {relative:.1%} rms {where}: too much to be only taken out. "
            "Switch auto-exposure and auto-gain off, and wait for the lamp to be steady"
        )
        found.append(CalibrationWarning(Finding.LIGHT_UNSTABLE, sentence))
    return found


def drifts_by_pixel(level: LevelMoments, signal: np.ndarray | None) -> bool:
    """Return whether pixels drift on their own: successive differences below the variance."""
    if level.pairs < 4 or level.variance is None or not np.median(level.variance) > 0:
        return False
    full = level.noise_variance(signal)
    steps = level.with_steps().noise_variance(signal)
    # trimmed: a few telegraph pixels drift on their own, and are found elsewhere
    both = full + steps
    kept = both <= np.quantile(both, 0.99)
    excess = float(np.mean(full[kept] - steps[kept])) / float(full[kept].mean())
    error = np.sqrt(2.0 / (level.frames * full.size))
    return excess > max(6 * error, 0.005)


def check_fit(line: Line, points: Sequence[Point]) -> list[CalibrationWarning]:
    """Notice a curve that no line fits, and a gain that is not known well."""
    found = []
    large = np.abs(line.residuals) > np.maximum(5 * line.errors, 0.02)
    if large.any():
        names = ", ".join(p.label for p, is_large in zip(points, large, strict=True) if is_large)
        found.append(
            CalibrationWarning(
                Finding.MISFIT,
                f"the variance is up to {np.max(np.abs(line.residuals[large])):.1%} off the line "
                f"({names}): two gains, saturation, or light that is no shot noise (speckle, "
                "mains flicker). Look at the photon-transfer curve, and leave those levels out",
            )
        )
    if line.gain_se > 0.02 * line.gain:
        found.append(
            CalibrationWarning(
                Finding.GAIN_UNCERTAIN,
                f"the gain is known to {line.gain_se / line.gain:.1%} only; add levels, frames or "
                "pixels",
            )
        )
    return found


def check_coupling(coupling: Coupling | None) -> list[CalibrationWarning]:
    """Notice neighbour correlation; the gain has been corrected for it."""
    if coupling is None or not coupling.is_seen:
        return []
    return [
        CalibrationWarning(
            Finding.NEIGHBOUR_CORRELATION,
            f"the shot noise of neighbours is correlated by {coupling.correlation:.2%} (coupling "
            f"between pixels, or smoothing in the camera); the gain has been raised by "
            f"{coupling.factor - 1:.1%} for it. Switch denoising and binning in the camera off",
        )
    ]
