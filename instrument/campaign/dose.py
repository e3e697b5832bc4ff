"""The light dose on the sample: power times lit time over area, counted while the light is on.

    dose (mJ/cm2) = power (mW) x lit time (s) / (area (mm2) / 100)

The power is the light's own level; what the optics lose on the way is not taken off. The sample
as a whole gets all light of the run as though it fell on one place. An object gets the light that
was on while the stage was at it or on its way there, and that of every place closer than the
diameter of a disc of the area: no point of the sample got more. Light while the stage had not been
sent anywhere (a calibration) counts for every object.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from scipy.spatial.distance import cdist

from drivers import Position
from instrument.bench.bench import Bench
from instrument.bench.lit import LitTime
from instrument.campaign.ledger import Ledger
from instrument.campaign.pace import Pace
from instrument.config import DoseConfig, LightParameter, LightRole
from instrument.design import Design, DesignSpace
from instrument.grid import Positions

MW_PER_UNIT = {
    "W": 1e3,
    "mW": 1.0,
    "uW": 1e-3,
    "\N{MICRO SIGN}W": 1e-3,
    "\N{GREEK SMALL LETTER MU}W": 1e-3,
    "nW": 1e-6,
}
"""Units of power by name. A level in any other unit gives no dose."""

CM2_PER_MM2 = 1e-2
META = "dose"
Piece = Literal["trial", "self_check"]
_AT_ONCE = 256


def power_mw(level: float, unit: str) -> float | None:
    """Power of a light in mW, or None where the unit is not one of power."""
    factor = MW_PER_UNIT.get(unit.strip())
    return None if factor is None else level * factor


def dose_mj_cm2(energy_mj: float, area_mm2: float) -> float:
    """Energy over area."""
    return energy_mj / (area_mm2 * CM2_PER_MM2)


def spot_diameter_um(area_mm2: float) -> float:
    """Diameter of a disc of an area."""
    return 2e3 * math.sqrt(area_mm2 / math.pi)


@dataclass(frozen=True, slots=True)
class Dose:
    """Dose of the object that got most, and of the sample as a whole, mJ/cm2."""

    object_mj_cm2: float
    sample_mj_cm2: float

    def per(self, what: Literal["object", "sample"]) -> float:
        """Return the one that a limit is for."""
        return self.object_mj_cm2 if what == "object" else self.sample_mj_cm2


@dataclass(frozen=True, slots=True)
class Energy:
    """Light in mJ: `total`, by place of the sample, and what may have fallen on any of them."""

    total: float = 0.0
    anywhere: float = 0.0
    places: Mapping[Position, float] = field(default_factory=dict[Position, float])

    @classmethod
    def of(cls, lit: LitTime, units: Mapping[str, str]) -> Energy:
        """Return what the lights whose units are known powers gave."""
        total, anywhere = 0.0, 0.0
        places: dict[Position, float] = {}
        for (role, place), light in lit.sums().items():
            energy = power_mw(light.level_seconds, units.get(role, "")) or 0.0
            total += energy
            if place is None:
                anywhere += energy
            else:
                places[place] = places.get(place, 0.0) + energy
        return cls(total, anywhere, places)

    def __add__(self, other: Energy) -> Energy:
        """Return both together."""
        return self._with(other, 1.0)

    def __sub__(self, earlier: Energy) -> Energy:
        """Return what came since."""
        return self._with(earlier, -1.0)

    def _with(self, other: Energy, sign: float) -> Energy:
        places = dict(self.places)
        for place, energy in other.places.items():
            places[place] = places.get(place, 0.0) + sign * energy
        return Energy(
            self.total + sign * other.total, self.anywhere + sign * other.anywhere, places
        )

    def dose(self, area_mm2: float) -> Dose:
        """Return the doses on an illuminated area."""
        most = self.anywhere + _most(self.places, spot_diameter_um(area_mm2))
        return Dose(dose_mj_cm2(most, area_mm2), dose_mj_cm2(self.total, area_mm2))

    def as_plain(self) -> dict[str, Any]:
        """Return what JSON holds, in mJ and um."""
        places = [[*place, energy] for place, energy in self.places.items()]
        return {"total_mj": self.total, "anywhere_mj": self.anywhere, "places_um_mj": places}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Energy:
        """Return what `as_plain` wrote."""
        places = {(x, y): energy for x, y, energy in plain["places_um_mj"]}
        return cls(plain["total_mj"], plain["anywhere_mj"], places)


def _most(places: Mapping[Position, float], diameter_um: float) -> float:
    """Return the most that places closer together than the diameter got between them."""
    if not places:
        return 0.0
    where, energy = np.array(list(places)), np.array(list(places.values()))
    return max(
        float(np.max((cdist(where[i : i + _AT_ONCE], where) < diameter_um) @ energy))
        for i in range(0, len(where), _AT_ONCE)
    )


@dataclass(frozen=True, slots=True)
class LitPlan:
    """Seconds of light of a piece of work: all of it, and on the object that gets most."""

    sample_s: float
    object_s: float


def plan_of_light(
    pace: Pace, positions: Positions, *, repeats: int, area_mm2: float
) -> dict[Piece, LitPlan]:
    """Return how long the light is on for a batch and for a self-check, by the pace."""
    check_s = pace.repeats_s(repeats) if repeats else 0.0
    at_each = dict.fromkeys(positions, pace.object_lit_s)
    return {
        "trial": LitPlan(pace.lit_s, _most(at_each, spot_diameter_um(area_mm2))),
        "self_check": LitPlan(check_s, check_s),
    }


class LightDose:
    """Counts the light of a run and says when its limit would be exceeded.

    Recorded are what was given, and what the piece of work under way may give, so that a process
    killed in the middle counts it as given.

    Parameters
    ----------
    bench
        Whose lights are counted, from the start of this process on.
    planned
        By piece of work; counts until one was measured, in this session or an earlier one.
    recorded
        By earlier sessions of the run, if any.
    record
        Makes the present state durable.
    """

    def __init__(
        self,
        bench: Bench,
        *,
        planned: Mapping[Piece, LitPlan],
        recorded: Mapping[str, Any] | None,
        record: Callable[[Mapping[str, Any]], None],
    ):
        self._bench = bench
        self._make_durable = record
        self._units = units_of(bench)
        self._config: DoseConfig | None = bench.config.safety.dose if self._units else None
        self._planned = dict(planned)
        self._measured: dict[Piece, LitPlan] = {}
        self._before = Energy()
        if recorded is not None:
            under_way = recorded.get("under_way", {"total_mj": 0.0, "anywhere_mj": 0.0})
            self._before = Energy.from_plain(recorded) + Energy(
                under_way["total_mj"], under_way["anywhere_mj"]
            )
            for piece, (sample_s, object_s) in recorded.get("longest_s", {}).items():
                self._measured[piece] = LitPlan(sample_s, object_s)
        self._at_begin = self._at_mark = self._session()

    @classmethod
    def of(cls, bench: Bench, ledger: Ledger, *, planned: Mapping[Piece, LitPlan]) -> LightDose:
        """Count the light of the run that a ledger holds."""
        return cls(
            bench,
            planned=planned,
            recorded=ledger.meta().get(META),
            record=lambda state: ledger.set_meta(META, state),
        )

    def given(self) -> Dose | None:
        """Dose of the run so far; None where no area or no power is given."""
        if self._config is None:
            return None
        return (self._before + self._session()).dose(self._config.area_mm2)

    def expected(self, power: float, *, trials: int, checks: int, more_s: float) -> Dose:
        """Dose of the run at its end.

        Parameters
        ----------
        power
            Of all lights together, mW.
        trials, checks
            That are still to come.
        more_s
            Seconds of other light, which falls on every object.
        """
        trial, check = self._lit("trial"), self._lit("self_check")
        sample_s = trials * trial.sample_s + checks * check.sample_s + more_s
        object_s = trials * trial.object_s + checks * check.object_s + more_s
        coming = Energy(power * sample_s, power * object_s)
        area_mm2 = 1.0 if self._config is None else self._config.area_mm2
        return (self._before + self._session() + coming).dose(area_mm2)

    def why_not(self, piece: Piece, power: float, *, then: Piece | None = None) -> str | None:
        """Say why a piece of work (and one after it) would exceed the limit; None if it does not.

        Parameters
        ----------
        piece, then
            What is to come.
        power
            Of all lights together, mW: `highest_power_mw`.
        """
        config, given = self._config, self.given()
        if config is None or given is None:
            return None
        pieces: list[Piece] = [piece] if then is None else [piece, then]
        next_mj = sum(power * self._seconds(each, config.per) for each in pieces)
        coming = dose_mj_cm2(next_mj, config.area_mm2)
        whose = "the object that gets most" if config.per == "object" else "the sample"
        if given.per(config.per) + coming <= config.limit_mj_cm2:
            return None
        return (
            f"light dose: {whose} got {given.per(config.per):.4g} mJ/cm2, the next "
            f"{piece.replace('_', '-')} would add {coming:.3g} and safety.dose.limit_mj_cm2 is "
            f"{config.limit_mj_cm2:g}; for more trials lower the light's level or the exposure, "
            "or take a fresh sample and start a new run"
        )

    def begin(self, piece: Piece, power: float) -> None:
        """Record what a piece of work may give, before its light comes on."""
        if self._config is not None:
            self._at_begin = self._session()
            under_way = {
                "total_mj": power * self._seconds(piece, "sample"),
                "anywhere_mj": power * self._seconds(piece, "object"),
            }
            self._record({"under_way": under_way})

    def end(self, piece: Piece, power: float, *, share: float = 1.0) -> None:
        """Learn from a piece of work, or a share of one, how long the light is on at most."""
        if self._config is None or power <= 0 or share <= 0:
            return
        dose = (self._session() - self._at_begin).dose(self._config.area_mm2)
        area_cm2 = self._config.area_mm2 * CM2_PER_MM2
        longest = self._measured.get(piece, LitPlan(0.0, 0.0))
        self._measured[piece] = LitPlan(
            max(longest.sample_s, dose.sample_mj_cm2 * area_cm2 / power / share),
            max(longest.object_s, dose.object_mj_cm2 * area_cm2 / power / share),
        )

    def settle(self) -> None:
        """Record what was given; nothing is under way any more."""
        if self._config is not None:
            self._record({})

    def take(self) -> dict[str, float] | None:
        """Return the dose since the last call, and the run's so far, for the record of a batch."""
        if self._config is None:
            return None
        session = self._session()
        came = (session - self._at_mark).dose(self._config.area_mm2)
        run = (self._before + session).dose(self._config.area_mm2)
        self._at_mark = session
        return {
            "object_mj_cm2": came.object_mj_cm2,
            "sample_mj_cm2": came.sample_mj_cm2,
            "run_object_mj_cm2": run.object_mj_cm2,
            "run_sample_mj_cm2": run.sample_mj_cm2,
        }

    def _lit(self, piece: Piece) -> LitPlan:
        return self._measured.get(piece, self._planned[piece])

    def _session(self) -> Energy:
        return Energy.of(self._bench.lighting.lit_time, self._units)

    def _seconds(self, piece: Piece, per: Literal["object", "sample"]) -> float:
        lit = self._lit(piece)
        return lit.object_s if per == "object" else lit.sample_s

    def _record(self, more: Mapping[str, Any]) -> None:
        given = self._before + self._session()
        longest_s = {name: [each.sample_s, each.object_s] for name, each in self._measured.items()}
        self._make_durable({**given.as_plain(), "longest_s": longest_s, **more})


def units_of(bench: Bench) -> dict[str, str]:
    """Units of the lights whose level is a power, by role."""
    return {
        role: light.unit
        for role, light in bench.lights().items()
        if isinstance(bench.roles[role], LightRole) and light.unit.strip() in MW_PER_UNIT
    }


def highest_power_mw(bench: Bench, design: Design | None, space: DesignSpace) -> float:
    """Power of all lights together under a design, mW: of each the highest level of any shot."""
    levels = dict(bench.lighting.level)
    searched = {p.role for p in bench.config.design.values() if isinstance(p, LightParameter)}
    if design is not None and searched:
        settings = bench.check_values(design, space=space)
        for role in searched:
            levels[role] = max(float(setting[role]) for setting in settings)  # type: ignore[arg-type] - a level is a number
    return sum(power_mw(levels[role], unit) or 0.0 for role, unit in units_of(bench).items())
