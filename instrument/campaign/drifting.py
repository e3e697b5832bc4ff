"""A plan on a bench that drifts: a reference design in between, and what it says taken out.

Wraps `Plan` with the same ask and tell. Every so often it asks for a reference design, and, where a
parameter is followed, for a step to either side of it; from what these visits say
(`instrument.search.drift`) it hands the plan scores without the lamp's drift, and moves every
design to where the sample has crept. A design's numbers, and its score, thus mean the same all
night: those of the first visit. Told at once, corrections know the past only; before contenders
are chosen and decided on, all trials are corrected again with everything that is known by then.

What is proposed depends on what was told, its times included, and on nothing else: a replay of the
ledger moves designs by the same offsets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from instrument.campaign.plan import Plan, Proposal
from instrument.config import DriftConfig
from instrument.design import Design, DesignSpace
from instrument.search.confirm import Decision
from instrument.search.drift import DriftModel, Reading, Visit
from instrument.search.protocol import Observation, Wait

REFERENCE = "reference"
"""Phase of the trials of a visit."""
BETTER = 1.25
"""Factor by which a design must outscore the reference to take its place."""
MOST_REFERENCES = 4
"""Each change costs a visit to both."""
GAP = 10.0
"""A pause of as many times the usual time between trials is followed by a visit."""


def most_visiting(config: DriftConfig | None, trials: int) -> int:
    """Return the most trials that visits may add to so many of a plan."""
    if config is None:
        return 0
    changes = MOST_REFERENCES - 1 if config.reference == "best" else 0
    visits = 3 + trials // config.every + changes
    return visits * (1 + 2 * len(config.follow))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Point:
    """A design of a visit: the reference (`name` is None), or a parameter's step to one side."""

    reference: int
    design: Design
    name: str | None = None
    side: int = 0


@dataclass(slots=True, kw_only=True)
class _Visiting:
    """A visit under way: its points in order, and what was told of them."""

    points: tuple[_Point, ...]
    told: list[tuple[_Point, Design, Observation]] = field(
        default_factory=list[tuple[_Point, Design, Observation]]
    )

    @property
    def is_told(self) -> bool:
        return len(self.told) == len(self.points)


class Drifting:
    """`Plan`, with the drift measured and removed.

    Parameters
    ----------
    plan
        Of the campaign; told nothing but through this.
    space
        Its design space; designs are never moved beyond its bounds.
    config
        How often, and what is followed.
    """

    def __init__(self, plan: Plan, space: DesignSpace, config: DriftConfig):
        self._plan = plan
        self._plan.hindsight = self._in_hindsight
        self._config = config
        self._steps = {name: follow.size for name, follow in config.follow.items()}
        self._bounds = {
            p.name: p.component_bounds[0] for p in space.parameters if p.name in self._steps
        }
        self._units = {p.name: p.unit for p in space.parameters}
        self._model = DriftModel(tuple(self._steps))
        self._references: list[Design] = [space.start]
        self._visit: _Visiting | None = None
        self._outstanding: list[Proposal] = []
        self._raw: list[Observation] = []
        self._centres: list[Observation] = []  # one a visit of the model
        self._since = 0
        self._is_visited = False
        self._at_s: list[float] = []

    @property
    def contenders(self) -> Mapping[str, Design] | None:
        """What the confirmation repeats, once it is chosen."""
        return self._plan.contenders

    @property
    def trials(self) -> int:
        """Most trials this campaign can take, those of the reference included."""
        return self._plan.trials + most_visiting(self._config, self._plan.trials)

    def ask(self, pending: Sequence[Proposal] = ()) -> Proposal | Wait | None:
        """Return the next design, of the plan or of a visit, and where it is applied now.

        Parameters
        ----------
        pending
            Asked for and not told yet, oldest first.
        """
        proposal = self._ask(pending)
        is_new = isinstance(proposal, Proposal)
        self._outstanding = [*pending, proposal] if is_new else [*pending]
        return proposal

    def tell(self, observation: Observation) -> None:
        """Take the outcome of the oldest design asked for, with the time of its capture."""
        proposal = self._outstanding.pop(0)
        self._note_time(observation.at_s)
        if self._visit is not None and proposal.phase == REFERENCE:
            point = self._visit.points[len(self._visit.told)]
            self._visit.told.append((point, proposal.on_bench, observation))
            if self._visit.is_told:
                self._end_visit(self._visit)
                self._visit = None
            return
        index = len(self._raw)  # the plan counts its own trials
        self._raw.append(observation)
        self._since += 1
        self._plan.tell(replace(self._corrected([observation])[0], trial=index))

    def best_observed(self) -> Observation | None:
        """Return the trial with the highest score without drift, as it was told."""
        best = self._plan.best_observed()
        return None if best is None else replace(best, trial=self._raw[best.trial].trial)

    def decision(self) -> Decision | None:
        """Return what the repeats say so far, without drift; None before the confirmation."""
        return self._plan.decision()

    def note(self, score: float, standard_error: float, *, at_s: float) -> dict[str, Any]:
        """Return what belongs beside a raw score in the ledger: the score without drift, bits."""
        (corrected,) = self._model.correct([score], [standard_error], at_s=[at_s])
        return {
            "drift": {
                "correction_bits": corrected.bits,
                "standard_error": corrected.bits_standard_error,
                "corrected": corrected.score,
            }
        }

    def here(self, phase: str, design: Design) -> Proposal:
        """Return a design with where it stands on the bench now, by the last that was told."""
        if not self._steps:
            return Proposal(phase, design)
        values, offsets, clipped = dict(design.values), {}, []
        for name, (low, high) in self._bounds.items():
            (value,) = design.values[name]
            moved, _ = self._model.moved(name, self._now_s)
            applied = float(np.clip(value + moved, low, high))
            if applied != value + moved:
                clipped.append(
                    f"design.{name} should follow the drift to {value + moved:.4g} "
                    f"{self._units[name]}, beyond its bounds; it stays at {applied:.4g}"
                )
            values[name] = (applied,)
            offsets[name] = [applied - value]
        return Proposal(
            phase,
            design,
            applied=Design(values),
            plan={"offsets": offsets, **({"clipped": clipped} if clipped else {})},
            notice="; ".join(clipped) or None,
        )

    def history(self) -> list[dict[str, Any]]:
        """Return every visit with what is known now: raw score, correction (bits), offsets."""
        entries: list[dict[str, Any]] = []
        for visit, centre in zip(self._model.visits, self._centres, strict=True):
            assert centre.score is not None  # noqa: S101 - a visit has a centre with a score
            (corrected,) = self._model.correct(
                [centre.score], [centre.standard_error], at_s=[visit.at_s]
            )
            entries.append({
                "at_s": visit.at_s,
                "trial": centre.trial,
                "reference": visit.reference,
                "score": centre.score,
                "standard_error": centre.standard_error,
                "correction_bits": corrected.bits,
                "correction_standard_error": corrected.bits_standard_error,
                "offsets": {name: [self._model.moved(name, visit.at_s)[0]] for name in self._steps},
            })
        return entries

    def summary(self) -> str | None:
        """Say in a sentence what has drifted; None before the second visit."""
        if len(self._model.visits) < 2:
            return None
        (unit,) = self._model.correct([1.0], [0.0], at_s=[self._now_s])
        parts = [f"scores by {1 / unit.score - 1:+.1%} (standard error {unit.standard_error:.1%})"]
        for name in self._steps:
            moved, error = self._model.moved(name, self._now_s)
            parts.append(f"{name} by {moved:+.3g} {self._units[name]} ({error:.2g})")
        return f"drift since the first reference: {', '.join(parts)}; removed"

    @property
    def _now_s(self) -> float:
        """Time of the last that was told: what a replay knows too."""
        return self._at_s[-1] if self._at_s else 0.0

    # ---- when, and what, a visit is

    def _ask(self, pending: Sequence[Proposal]) -> Proposal | Wait | None:
        of_plan = [proposal for proposal in pending if proposal.phase != REFERENCE]
        if self._visit is None and self._is_due(of_plan):
            self._visit = self._new_visit(of_plan)
        if self._visit is not None:
            place = len(self._visit.told) + len(pending) - len(of_plan)
            if place < len(self._visit.points):
                return self._of_visit(self._visit.points[place])
            if self._plan.is_search_over(of_plan):
                return Wait.WAIT  # contenders are chosen by what the visit says, too
        proposal = self._plan.ask(of_plan)
        if proposal is None and self._since + len(of_plan) and self._visit is None:
            self._visit = self._new_visit(of_plan)  # the end: what was lost since the last one
            return self._of_visit(self._visit.points[0])
        if not isinstance(proposal, Proposal):
            return proposal
        return self.here(proposal.phase, proposal.design)

    def _is_due(self, of_plan: Sequence[Proposal]) -> bool:
        if not self._is_visited:
            return len(self._raw) + len(of_plan) > 0
        if self._since + len(of_plan) >= self._config.every:
            return True
        return self._since + len(of_plan) > 0 and self._plan.is_search_over(of_plan)

    def _new_visit(self, pending: Sequence[Proposal]) -> _Visiting:
        self._is_visited = True
        self._since = -len(pending)  # told after this, but captured before the visit
        points = self._points(len(self._references) - 1)
        better = self._better_reference()
        if better is not None:
            self._references.append(better)
            points += self._points(len(self._references) - 1)
        return _Visiting(points=points)

    def _better_reference(self) -> Design | None:
        """Return the best design so far where it outshines the reference, else None."""
        known = self._model.reference_score(len(self._references) - 1)
        full = len(self._references) == MOST_REFERENCES
        if self._config.reference != "best" or known is None or full:
            return None
        scored = [seen for seen in self._corrected(self._raw) if seen.score is not None]
        best = max(scored, key=lambda seen: seen.score or 0.0, default=None)
        if best is None or (best.score or 0.0) <= BETTER * known:
            return None
        return best.design

    def _points(self, reference: int) -> tuple[_Point, ...]:
        """Return the designs of a visit, in their order: side, centre, side, then further sides."""
        centre = self._with_room(self._references[reference])
        centre_point = _Point(reference=reference, design=centre)
        points: list[_Point] = []
        for name, step in self._steps.items():
            (value,) = centre.values[name]
            sides = [
                _Point(
                    reference=reference,
                    design=Design({**centre.values, name: (value + side * step,)}),
                    name=name,
                    side=side,
                )
                for side in (-1, 1)
            ]
            points += [sides[0], centre_point, sides[1]] if not points else sides
        return tuple(points) or (centre_point,)

    def _with_room(self, design: Design) -> Design:
        """Return a reference with room for its steps, also where it is applied now."""
        values = dict(design.values)
        for name, (low, high) in self._bounds.items():
            step = self._steps[name]
            moved, _ = self._model.moved(name, self._now_s)
            (value,) = design.values[name]
            inside = np.clip(value + moved, low + step, high - step) - moved
            values[name] = (float(np.clip(inside, low + step, high - step)),)
        return Design(values)

    def _of_visit(self, point: _Point) -> Proposal:
        proposal = self.here(REFERENCE, point.design)
        return replace(proposal, plan={**proposal.plan, "reference": point.reference})

    def _end_visit(self, visiting: _Visiting) -> None:
        """Give the model what the points of a visit came to, one visit a reference."""
        for reference in sorted({point.reference for point in visiting.points}):
            told = [each for each in visiting.told if each[0].reference == reference]
            visit = self._as_visit(reference, told)
            if visit is not None:
                self._centres.append(next(seen for p, _, seen in told if p.name is None))
                self._model.add(visit)

    def _as_visit(
        self, reference: int, told: Sequence[tuple[_Point, Design, Observation]]
    ) -> Visit | None:
        read = {
            (point.name, point.side): (applied, reading)
            for point, applied, seen in told
            if (reading := _reading(seen)) is not None
        }
        if (None, 0) not in read:
            return None  # without the reference itself its sides say nothing
        centre_design, centre = read[None, 0]
        centre_at = {name: centre_design.values[name][0] for name in self._steps}
        sides: dict[str, tuple[tuple[float, Reading], tuple[float, Reading]]] = {}
        for name, step in self._steps.items():
            pair = [
                (read[name, side][0].values[name][0], read[name, side][1])
                for side in (-1, 1)
                if (name, side) in read
            ]
            # A side that its bounds kept from the centre's by less than this shows no slope.
            apart = [(where - centre_at[name]) / step for where, _ in pair]
            if len(pair) == 2 and apart[0] < -0.25 and apart[1] > 0.25:
                sides[name] = (pair[0], pair[1])
        return Visit(reference=reference, centre=centre, centre_at=centre_at, sides=sides)

    # ---- scores without drift

    def _corrected(self, observations: Sequence[Observation]) -> list[Observation]:
        """Return observations with what is known now of the drift taken out."""
        scored = [seen for seen in observations if seen.score is not None]
        corrected = iter(
            self._model.correct(
                [seen.score or 0.0 for seen in scored],
                [seen.standard_error for seen in scored],
                at_s=[seen.at_s for seen in scored],
            )
        )
        return [
            seen
            if seen.score is None
            else replace(seen, score=(c := next(corrected)).score, standard_error=c.standard_error)
            for seen in observations
        ]

    def _in_hindsight(self, observations: Sequence[Observation]) -> Sequence[Observation]:
        """Return what the plan was told, corrected again by all visits so far."""
        raw = self._corrected([self._raw[seen.trial] for seen in observations])
        return [
            replace(ours, trial=seen.trial) for ours, seen in zip(raw, observations, strict=True)
        ]

    def _note_time(self, at_s: float) -> None:
        """Keep the time; after a pause much longer than usual a visit is due."""
        if len(self._at_s) > 3:
            usual_s = float(np.median(np.diff(self._at_s)))
            if usual_s > 0 and at_s - self._at_s[-1] > GAP * usual_s:
                self._since = self._config.every
        self._at_s.append(at_s)


def _reading(seen: Observation) -> Reading | None:
    if seen.score is None:
        return None
    return Reading.of_score(seen.score, seen.standard_error, at_s=seen.at_s)
