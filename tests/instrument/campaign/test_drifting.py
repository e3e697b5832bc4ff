"""A plan on a drifting bench: visits in their places, scores and designs without the drift."""

from dataclasses import replace

import numpy as np
import pytest

from instrument.campaign.drifting import REFERENCE, Drifting
from instrument.campaign.plan import Plan
from instrument.config import ConfigError
from instrument.search.protocol import Observation
from tests.instrument.fakes import CONFIG, make_bench, make_config

SECONDS_A_TRIAL = 1.0
ERROR_BITS = 0.3
TOP_RAD = (0.4, -0.3, 0.2)


def config_with(tmp_path, *, trials=60, engine="modal", drift=None, **sections):
    search = {"trials": trials, "confirm": {"repeats": 2}, "engine": engine}
    drift = {"every": 8, "follow": {"focus": {"step_um": 2}}} if drift is None else drift
    return make_config(tmp_path, search=search, drift=drift, **sections)


class DriftingBench:
    """Scores with a top at `top_rad` and 1 um, from which the bench creeps away."""

    def __init__(self, *, seed=0, lamp=-0.002, focus_um=-0.03, noise=ERROR_BITS, top_rad=TOP_RAD):
        self.rng = np.random.default_rng(seed)
        self.top_rad = top_rad
        self.lamp, self.focus_um, self.noise = lamp, focus_um, noise

    def log_score(self, design, focus_um):
        pupil = np.array(design.values["pupil"]) - self.top_rad
        return np.log(300.0) - 0.3 * pupil @ pupil - 0.01 * (focus_um - 1.0) ** 2

    def measure(self, number, proposal):
        (focus_um,) = proposal.on_bench.values["focus"]
        at_s = number * SECONDS_A_TRIAL
        log_score = self.log_score(proposal.design, focus_um - self.focus_um * at_s)
        return Observation(
            trial=number,
            design=proposal.design,
            score=float(np.exp(log_score + self.lamp * at_s))
            + self.noise * self.rng.standard_normal(),
            standard_error=ERROR_BITS,
            cost_s=SECONDS_A_TRIAL,
            at_s=at_s,
        )


def make_plan(config, *, is_removed=True):
    space = make_bench(config).space()
    plan = Plan(config, space)
    return Drifting(plan, space, config.drift) if is_removed else plan


def run(plan, bench, *, at_most=1000):
    """Return what was proposed and seen, in order."""
    done = []
    while len(done) < at_most and (proposal := plan.ask()) is not None:
        observation = bench.measure(len(done), proposal)
        plan.tell(observation)
        done.append((proposal, observation))
    return done


def phases(done):
    return [proposal.phase for proposal, _ in done]


def test_visits_come_at_the_start_in_between_before_the_confirmation_and_at_the_end(tmp_path):
    done = phases(run(make_plan(config_with(tmp_path)), DriftingBench()))
    assert done[:5] == ["initial", REFERENCE, REFERENCE, REFERENCE, "search"]
    assert done[-1] == REFERENCE
    assert done[done.index("confirm") - 1] == REFERENCE
    between = "".join("R" if phase == REFERENCE else "." for phase in done).split("R")
    assert max(len(run) for run in between) == 8


def test_no_more_trials_than_announced(tmp_path):
    for every in (2, 5, 50):
        config = config_with(tmp_path, drift={"every": every, "follow": {"focus": {"step_um": 2}}})
        plan = make_plan(config)
        assert len(run(plan, DriftingBench())) <= plan.trials


def test_the_plan_gets_as_many_trials_of_its_own_as_without_drift(tmp_path):
    config = config_with(tmp_path)
    still = DriftingBench(lamp=0.0, focus_um=0.0)
    with_visits = phases(run(make_plan(config), still))
    without = run(make_plan(config, is_removed=False), DriftingBench(lamp=0.0, focus_um=0.0))
    assert sum(phase != REFERENCE for phase in with_visits) == pytest.approx(len(without), abs=6)


@pytest.mark.parametrize("engine", ["cmaes", "sobol"])
def test_on_a_bench_that_stands_still_an_engine_asks_what_it_asks_without_visits(tmp_path, engine):
    config = config_with(tmp_path, engine=engine, drift={"every": 5})
    done = {}
    for is_removed in (True, False):
        still = DriftingBench(lamp=0.0, focus_um=0.0, noise=0.0)
        proposals = [p for p, _ in run(make_plan(config, is_removed=is_removed), still)]
        done[is_removed] = [p.design for p in proposals if p.phase in ("initial", "search")]
    assert done[True] == done[False]


def test_without_anything_to_follow_a_visit_is_one_trial_and_nothing_moves(tmp_path):
    config = config_with(tmp_path, drift={"every": 8})
    done = run(make_plan(config), DriftingBench())
    assert phases(done)[:3] == ["initial", REFERENCE, "search"]
    assert all(proposal.on_bench == proposal.design for proposal, _ in done)
    assert all("offsets" not in proposal.plan for proposal, _ in done)


def test_designs_move_with_the_bench(tmp_path):
    bench = DriftingBench()
    done = run(make_plan(config_with(tmp_path)), bench)
    late = [(p, seen) for p, seen in done[len(done) // 2 :]]
    moved_um = [p.on_bench.values["focus"][0] - p.design.values["focus"][0] for p, _ in late]
    true_um = [bench.focus_um * seen.at_s for _, seen in late]
    # Counted from when the reference first showed a top, which is within the first two visits.
    np.testing.assert_allclose(moved_um, true_um, atol=0.6)
    assert [p.plan["offsets"]["focus"][0] for p, _ in late] == pytest.approx(moved_um)


def test_scores_are_told_as_at_the_start(tmp_path):
    plan = make_plan(config_with(tmp_path))
    bench = DriftingBench(focus_um=0.0)
    done = run(plan, bench)
    for proposal, seen in done[len(done) // 2 :]:
        beside = plan.note(seen.score, seen.standard_error, at_s=seen.at_s)["drift"]
        (focus_um,) = proposal.design.values["focus"]
        undrifted = np.exp(bench.log_score(proposal.design, focus_um))
        expected_error = np.hypot(ERROR_BITS, beside["standard_error"])
        assert beside["corrected"] == pytest.approx(undrifted, abs=5 * expected_error)
        assert beside["corrected"] == pytest.approx(seen.score + beside["correction_bits"])


def test_with_removal_the_chosen_design_is_right_and_without_it_is_not(tmp_path):
    config = config_with(tmp_path)
    loss = {}
    for is_removed in (True, False):
        off = []
        for seed in range(4):
            bench = DriftingBench(seed=seed, focus_um=-0.06)
            plan = make_plan(config, is_removed=is_removed)
            done = run(plan, bench)
            design = plan.decision().design
            (focus_um,) = (plan.here("end", design).on_bench if is_removed else design).values[
                "focus"
            ]
            now_um = focus_um - bench.focus_um * done[-1][1].at_s
            off.append(np.log(300.0) - bench.log_score(design, now_um))
        loss[is_removed] = np.mean(off)
    assert loss[True] < 0.01
    assert loss[False] > 5 * loss[True]


def test_a_better_design_becomes_the_reference(tmp_path):
    config = config_with(tmp_path)
    far = (1.0, -0.8, 0.6)
    done = run(make_plan(config), DriftingBench(top_rad=far), at_most=40)
    start = make_bench(config).space().start
    references = {p.plan["reference"] for p, _ in done if p.phase == REFERENCE}
    assert references == set(range(len(references)))
    assert len(references) > 1
    stays = config_with(
        tmp_path, drift={"every": 8, "reference": "start", "follow": {"focus": {"step_um": 2}}}
    )
    done = run(make_plan(stays), DriftingBench(top_rad=far), at_most=40)
    pupils = {p.design.values["pupil"] for p, _ in done if p.phase == REFERENCE}
    assert pupils == {start.values["pupil"]}


@pytest.mark.parametrize("engine", ["modal", "tpe", "cmaes", "sobol"])
def test_a_replay_proposes_the_same_and_moves_it_by_the_same(tmp_path, engine):
    config = config_with(tmp_path, engine=engine)
    done = run(make_plan(config), DriftingBench())
    for stop in (2, 14, 40, len(done) - 1):
        plan = make_plan(config)
        for proposal, seen in done[:stop]:
            assert plan.ask() == proposal
            plan.tell(seen)
        assert plan.ask() == done[stop][0]
        assert plan.ask() == done[stop][0]  # asking changes nothing


def test_points_of_a_visit_may_be_asked_for_before_the_first_is_told(tmp_path):
    config, bench = config_with(tmp_path), DriftingBench()
    in_turn = [proposal for proposal, _ in run(make_plan(config), bench, at_most=4)]
    plan = make_plan(config)
    plan.ask()
    plan.tell(bench.measure(0, in_turn[0]))
    pending = []
    for _ in range(3):
        pending.append(plan.ask(pending))
    assert [p.design for p in pending] == [p.design for p in in_turn[1:4]]
    for number, proposal in enumerate(pending, start=1):
        plan.tell(bench.measure(number, proposal))
    assert [entry["trial"] for entry in plan.history()] == [2]
    assert plan.ask().phase == "search"


def test_a_reference_without_a_score_is_left_out(tmp_path):
    plan = make_plan(config_with(tmp_path))
    bench = DriftingBench()
    for number in range(40):
        proposal = plan.ask()
        seen = bench.measure(number, proposal)
        if number in (2, 13):  # the first centre, and a side
            seen = replace(seen, score=None, standard_error=0.0)
        plan.tell(seen)
    history = plan.history()
    assert 2 not in [entry["trial"] for entry in history]
    assert len(history) >= 2


def test_a_long_pause_is_followed_by_a_visit(tmp_path):
    plan = make_plan(config_with(tmp_path))
    bench = DriftingBench()
    run(plan, bench, at_most=6)
    proposal = plan.ask()
    assert proposal.phase == "search"
    plan.tell(replace(bench.measure(6, proposal), at_s=3600.0))
    assert plan.ask().phase == REFERENCE


def test_an_offset_beyond_the_bounds_is_cut_off_and_said(tmp_path):
    plan = make_plan(config_with(tmp_path))
    done = run(plan, DriftingBench(focus_um=0.2), at_most=60)
    for proposal, _ in done:
        assert -10.0 <= proposal.on_bench.values["focus"][0] <= 10.0
    cut = [p for p, _ in done if p.notice is not None]
    assert cut
    assert "design.focus should follow the drift to" in cut[-1].notice
    assert cut[-1].plan["clipped"]


def test_what_drifted_is_said_in_one_sentence(tmp_path):
    plan = make_plan(config_with(tmp_path))
    assert plan.summary() is None
    run(plan, DriftingBench())
    assert plan.summary().startswith("drift since")
    assert "focus by -" in plan.summary()


@pytest.mark.parametrize(
    ("follow", "message"),
    [
        ({"z": {"step_um": 2}}, "drift.follow.z` is no parameter; there is pupil, focus"),
        ({"pupil": {"step": 2}}, "neither a position, an angle nor a property"),
        ({"focus": {"step_deg": 2}}, "given as step_um"),
        ({"focus": {"step_um": 6}}, "at most a quarter"),
        ({"focus": {}}, "give one step"),
    ],
    ids=["unknown", "pattern", "unit", "too wide", "none"],
)
def test_what_cannot_be_followed_is_refused(tmp_path, follow, message):
    with pytest.raises(ConfigError, match=message):
        config_with(tmp_path, drift={"follow": follow})


def test_drift_is_not_measured_unless_asked_for(tmp_path):
    assert "drift" not in CONFIG
    assert make_config(tmp_path).drift is None
