"""Drift of lamp and sample, from repeated visits to a reference design, and its removal.

A visit measures the reference where it stands and, for every parameter that is followed, a step to
either side. In the logarithm of the scores

    log score(x, t) = shape(x - p(t)) + d(t),

d is what the lamp does to every design in proportion (measured on the virtual microscope: 10 % less
light costs a blurred design 3.9 % of its bits, a sharp one 3.5 %), p how far the sample has crept
along x, the focus say. The shape is that of the reference, near its top a parabola whose curvature
is common to all its visits; a visit's slope then says where the top has gone, and the score at one
and the same point of the shape is the lamp's part.

The reference may change: one near the optimum shows a shift of the focus several times as clearly
as the start does (docs/decisions/0017). Each has its own constants in the courses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from instrument.search.course import Course

CLEAR = 3.0
"""Standard errors by which a curvature must be below zero for the reference to have a top."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A scored capture of a reference.

    Parameters
    ----------
    at_s
        When, seconds since the campaign's first capture.
    log_score, standard_error
        Natural logarithm of the score, and the error of that.
    """

    at_s: float
    log_score: float
    standard_error: float

    @classmethod
    def of_score(cls, score: float, standard_error: float, *, at_s: float) -> Reading | None:
        """Return the reading of a score in bits; None if it is not positive: it has no logarithm.

        An error of exactly zero is taken for a rounded one.
        """
        if not score > 0:
            return None
        relative = max(standard_error / score, 1e-9)
        return cls(at_s=at_s, log_score=math.log(score), standard_error=relative)


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One visit to a reference.

    Parameters
    ----------
    reference
        Which reference, from 0.
    centre
        The reference itself.
    centre_at
        Where each followed parameter stood then, its compensation included, in its unit.
    sides
        By followed parameter, where it stood on either side, and what was read there. Only
        parameters of which both sides have a score.
    """

    reference: int
    centre: Reading
    centre_at: Mapping[str, float]
    sides: Mapping[str, tuple[tuple[float, Reading], tuple[float, Reading]]]

    @property
    def at_s(self) -> float:
        """Mean time of its readings, seconds."""
        return float(np.mean([reading.at_s for reading in self.readings]))

    @property
    def readings(self) -> tuple[Reading, ...]:
        """All readings, the centre first."""
        return (self.centre, *(reading for pair in self.sides.values() for _, reading in pair))


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """A score without the drift: what it would have been at the first visit, bits."""

    score: float
    standard_error: float
    bits: float
    """What the correction added."""
    bits_standard_error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parabola:
    """Log scores of a visit along one parameter: slope u + curvature u^2, u from the centre."""

    slope: float
    slope_error: float
    curvature: float
    curvature_error: float


class DriftModel:
    """What the visits so far say of the drift.

    Parameters
    ----------
    follow
        Names of the parameters whose coordinate drifts, as each visit measures them.
    """

    def __init__(self, follow: Sequence[str] = ()) -> None:
        self._follow = tuple(follow)
        self._visits: list[Visit] = []
        self._positions: dict[str, Course] = {}
        self._lamp: Course | None = None
        self._log_levels: Float[np.ndarray, " visits"] = np.zeros(0)

    @property
    def visits(self) -> tuple[Visit, ...]:
        """All visits, in the order in which they were added."""
        return tuple(self._visits)

    def add(self, visit: Visit) -> None:
        """Take another visit, and smooth all of them again."""
        self._visits.append(visit)
        curvatures: dict[str, Float[np.ndarray, " visits"]] = {}
        for name in self._follow:
            curvatures[name] = self._follow_one(name)
        self._lamp = self._follow_lamp(curvatures)

    def moved(self, name: str, at_s: float) -> tuple[float, float]:
        """Return how far a parameter's coordinate has moved since the first visit, and its error.

        In the parameter's unit, at any time; zero while nothing is known. Where the first visits
        showed no top, the course is continued backwards to them.
        """
        course = self._positions.get(name)
        if course is None:
            return 0.0, 0.0
        (now, then), (error, error_then) = course.at(np.array([at_s, self._visits[0].at_s]))
        return float(now - then), float(np.hypot(error, error_then))

    def correct(
        self,
        score: Sequence[float],
        standard_error: Sequence[float],
        *,
        at_s: Sequence[float],
    ) -> list[Corrected]:
        """Return scores (bits) as they would have been at the first visit, one a time given.

        The error of the correction is added to that of the score. It is largely common to trials
        of neighbouring times, so that their differences are better than their errors say.
        """
        raw, error, times = (np.asarray(a, np.float64) for a in (score, standard_error, at_s))
        if self._lamp is None:
            drift, uncertainty = np.zeros_like(times), np.zeros_like(times)
        else:
            drift, uncertainty = self._lamp.at(times)
        factor = np.exp(-drift)
        of_correction = np.abs(raw * factor) * uncertainty
        return [
            Corrected(
                score=float(s * f),
                standard_error=float(np.hypot(e * f, c)),
                bits=float(s * f - s),
                bits_standard_error=float(c),
            )
            for s, e, f, c in zip(raw, error, factor, of_correction, strict=True)
        ]

    def reference_score(self, reference: int) -> float | None:
        """Return the mean score of a reference without the drift, bits; None if never visited."""
        if self._lamp is None:
            return None
        drift, _ = self._lamp.at(self._times())
        levels = [
            level - past
            for visit, level, past in zip(self._visits, self._log_levels, drift, strict=True)
            if visit.reference == reference
        ]
        return math.exp(float(np.mean(levels))) if levels else None

    # ---- inside

    def _times(self) -> Float[np.ndarray, " visits"]:
        return np.array([visit.at_s for visit in self._visits])

    def _follow_one(self, name: str) -> Float[np.ndarray, " visits"]:
        """Fit the course of one parameter's top; return the curvature that holds in each visit."""
        curvature = np.zeros(len(self._visits))
        found: list[tuple[float, float, float, int]] = []
        for reference in sorted({visit.reference for visit in self._visits}):
            lines = {
                index: _parabola(visit, name)
                for index, visit in enumerate(self._visits)
                if visit.reference == reference and name in visit.sides
            }
            if not lines:
                continue
            common, error = _common_curvature(list(lines.values()))
            curvature[list(lines)] = common
            if common > -CLEAR * error:
                continue  # no top: this reference does not say where it is
            tops = {
                index: self._visits[index].centre_at[name] - line.slope / (2 * common)
                for index, line in lines.items()
            }
            first = tops[min(tops)]
            for index, line in lines.items():
                of_slope = line.slope_error / (2 * common)
                of_scale = (tops[index] - first) * error / common
                found.append((
                    self._visits[index].at_s,
                    tops[index],
                    math.hypot(of_slope, of_scale),
                    reference,
                ))
        if found:
            at_s, top, error, reference = (np.array(column) for column in zip(*found, strict=True))
            self._positions[name] = Course(at_s, top, error, reference)
        return curvature

    def _follow_lamp(self, curvatures: Mapping[str, Float[np.ndarray, " visits"]]) -> Course:
        """Fit the course of the score at one and the same point of each reference's shape."""
        levels, errors = [], []
        first_of: dict[int, int] = {}
        times = self._times()
        moves = {name: course.at(times) for name, course in self._positions.items()}
        for index, visit in enumerate(self._visits):
            first = first_of.setdefault(visit.reference, index)
            of_visit = {name: float(curvatures[name][index]) for name in self._follow}
            level, error = _level(visit, of_visit)
            for name, curvature in of_visit.items():
                if name not in visit.sides or name not in moves:
                    continue
                moved, uncertainty = moves[name]
                marked = self._visits[first].centre_at[name] + float(moved[index] - moved[first])
                marker = marked - visit.centre_at[name]
                slope = _parabola(visit, name).slope
                level += slope * marker + curvature * marker**2
                error = math.hypot(
                    error, (slope + 2 * curvature * marker) * float(uncertainty[index])
                )
            levels.append(level)
            errors.append(error)
        self._log_levels = np.array(levels)
        references = np.array([visit.reference for visit in self._visits])
        return Course(times, self._log_levels, np.array(errors), references)


def _parabola(visit: Visit, name: str) -> _Parabola:
    """Return the parabola through the three points of a parameter, with its errors."""
    (low, at_low), (high, at_high) = visit.sides[name]
    centre = visit.centre_at[name]
    readings = (at_low, visit.centre, at_high)
    score = np.array([reading.log_score for reading in readings])
    error = np.array([reading.standard_error for reading in readings])
    powers = np.array([[1.0, u, u**2] for u in (low - centre, 0.0, high - centre)])
    inverse = np.linalg.inv(powers)
    _, slope, curvature = inverse @ score
    _, slope_error, curvature_error = np.sqrt(inverse**2 @ error**2)
    return _Parabola(
        slope=float(slope),
        slope_error=float(slope_error),
        curvature=float(curvature),
        curvature_error=float(curvature_error),
    )


def _common_curvature(lines: Sequence[_Parabola]) -> tuple[float, float]:
    """Average the curvatures of one reference's visits by their errors; return mean and error."""
    weight = np.array([line.curvature_error**-2.0 for line in lines])
    curvature = np.array([line.curvature for line in lines])
    return float(weight @ curvature / weight.sum()), float(weight.sum() ** -0.5)


def _level(visit: Visit, curvatures: Mapping[str, float]) -> tuple[float, float]:
    """Log score at the centre, from all readings, with the curvatures given; and its error."""
    values = [visit.centre.log_score]
    errors = [visit.centre.standard_error]
    for name, pair in visit.sides.items():
        slope = _parabola(visit, name).slope
        for where, reading in pair:
            u = where - visit.centre_at[name]
            values.append(reading.log_score - slope * u - curvatures[name] * u**2)
            errors.append(reading.standard_error)
    # The slopes come from the same readings; at equal steps they cancel in the mean.
    return float(np.mean(values)), float(np.sqrt(np.sum(np.square(errors))) / len(errors))
