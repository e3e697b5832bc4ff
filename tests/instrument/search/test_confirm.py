import math
from statistics import NormalDist

import numpy as np
import pytest

from instrument.design import Design
from instrument.search import Confirmation, Difference, Observation

START, ENGINE, RECOMMENDED = (Design({"focus": (float(z),)}) for z in (0, 1, 2))
CONTENDERS = {"start": START, "engine": ENGINE, "recommended": RECOMMENDED}


def tell_scores(confirmation, scores, *, error=0.1):
    """Tell one score a repeat, in the order asked for."""
    for trial, score in enumerate(scores):
        design = confirmation.ask(trial)
        confirmation.tell(
            Observation(trial=trial, design=design, score=score, standard_error=error, cost_s=1.0)
        )
    return confirmation


def test_rounds_run_forth_and_back():
    confirmation = Confirmation(CONTENDERS, repeats=3)
    asked = []
    for trial in range(confirmation.trials):
        asked.append(confirmation.ask(trial))
        confirmation.tell(
            Observation(trial=trial, design=asked[-1], score=0.0, standard_error=0.1, cost_s=1.0)
        )
    forth = [START, ENGINE, RECOMMENDED]
    assert asked == forth + forth[::-1] + forth
    assert confirmation.ask(9) is None


def test_the_highest_mean_gain_wins_with_the_error_of_paired_means():
    """Gains 0.3 and 0.5 in two rounds: mean 0.4, error sqrt(2) 0.1 a round, / sqrt(2) for two."""
    confirmation = Confirmation({"start": START, "engine": ENGINE}, repeats=2, sigma=2.0)
    decision = tell_scores(confirmation, [1.0, 1.3, 1.7, 1.2]).decide()
    assert (decision.winner, decision.design) == ("engine", ENGINE)
    assert (decision.gain.bits, decision.gain.standard_error) == pytest.approx((0.4, 0.1))
    assert decision.gain.sigmas == pytest.approx(4.0)
    assert (decision.score, decision.standard_error) == pytest.approx((1.5, 0.1 / math.sqrt(2)))
    assert decision.is_significant


def test_a_small_gain_wins_but_is_not_called_significant():
    confirmation = Confirmation({"start": START, "engine": ENGINE}, repeats=1, sigma=2.0)
    decision = tell_scores(confirmation, [1.0, 1.2]).decide()
    assert decision.winner == "engine"
    assert not decision.is_significant  # 0.2 / (0.1 sqrt(2)) = 1.4 standard errors


def test_the_incumbent_stays_when_nobody_is_better():
    decision = tell_scores(Confirmation(CONTENDERS, repeats=1), [1.0, 0.8, 0.9]).decide()
    assert (decision.winner, decision.runner_up) == ("start", "recommended")
    assert decision.gain == Difference(bits=0.0, standard_error=0.0)
    assert decision.lead.bits == pytest.approx(0.1)
    assert not decision.is_significant


def test_a_tie_goes_to_the_incumbent():
    assert (
        tell_scores(Confirmation(CONTENDERS, repeats=1), [1.0, 1.0, 1.0]).decide().winner == "start"
    )


def test_a_steady_drift_favours_nobody():
    """Drift 0.1 a trial over A B B A: means 0.15 and 0.15."""
    confirmation = Confirmation({"start": START, "engine": ENGINE}, repeats=2)
    decision = tell_scores(confirmation, [0.0, 0.1, 0.2, 0.3]).decide()
    assert abs(decision.gain.bits) < 1e-12


def test_a_failed_repeat_leaves_the_pairs_that_are_whole():
    """Rounds (1.0, failed) and (2.0, 2.5) backwards: only the second has a difference."""
    confirmation = Confirmation({"start": START, "engine": ENGINE}, repeats=2)
    decision = tell_scores(confirmation, [1.0, None, 2.5, 2.0]).decide()
    assert decision.gain.bits == pytest.approx(0.5)
    assert confirmation.ask(4) is None


def test_an_incumbent_that_always_fails_gives_way_without_a_gain():
    confirmation = Confirmation({"start": START, "engine": ENGINE}, repeats=2)
    decision = tell_scores(confirmation, [None, 1.0, 1.2, None]).decide()
    assert (decision.winner, decision.gain, decision.is_significant) == ("engine", None, False)


def test_without_a_score_there_is_no_decision():
    confirmation = tell_scores(Confirmation(CONTENDERS, repeats=1), [None, None, None])
    assert (confirmation.decide(), confirmation.best()) == (None, None)


def test_a_design_that_is_there_twice_is_measured_once():
    confirmation = Confirmation({"start": START, "engine": START, "recommended": ENGINE}, repeats=2)
    assert confirmation.trials == 4


def test_replayed_it_asks_and_decides_the_same():
    scores = [1.0, 1.3, 1.1, None, 1.2, 0.9, 1.0, 1.4, 1.2]
    whole = tell_scores(Confirmation(CONTENDERS, repeats=3), scores)
    half = tell_scores(Confirmation(CONTENDERS, repeats=3), scores[:4])
    fresh = tell_scores(Confirmation(CONTENDERS, repeats=3), scores[:4])
    assert fresh.ask(4) == half.ask(4)
    assert tell_scores(fresh, scores[4:]).decide() == whole.decide()


def test_other_designs_are_left_alone():
    confirmation = Confirmation(CONTENDERS, repeats=1)
    confirmation.tell(
        Observation(trial=0, design=ENGINE, score=9.0, standard_error=0.1, cost_s=1.0)
    )
    assert (confirmation.ask(0), confirmation.decide()) == (START, None)


def test_a_comparison_object_by_object_replaces_the_known_errors():
    confirmation = Confirmation(
        {"start": START, "engine": ENGINE},
        repeats=1,
        compare=lambda ours, theirs: Difference(
            bits=ours.score - theirs.score, standard_error=0.01
        ),
    )
    assert tell_scores(confirmation, [1.0, 1.1]).decide().gain.sigmas == pytest.approx(10.0)


@pytest.mark.parametrize(("contenders", "repeats"), [({}, 3), (CONTENDERS, 0)])
def test_an_empty_confirmation_is_refused(contenders, repeats):
    with pytest.raises(ValueError, match="1 needed"):
        Confirmation(contenders, repeats=repeats)


def test_decisions_are_wrong_and_significant_as_often_as_the_normal_law_says():
    """A gain of d standard errors is missed with probability Phi(-d), seen at 2 with Phi(d - 2)."""
    trials, true_gain, error, repeats = 4000, 0.1, 0.1, 3
    sigmas = true_gain / (error * math.sqrt(2 / repeats))
    rng = np.random.default_rng(8)
    outcomes = []
    for _ in range(trials):
        confirmation = Confirmation({"start": START, "engine": ENGINE}, repeats=repeats, sigma=2.0)
        noise = rng.normal(0.0, error, size=6)
        means = np.array([0.0, true_gain, true_gain, 0.0, 0.0, true_gain])
        decision = tell_scores(confirmation, list(means + noise), error=error).decide()
        outcomes.append((decision.winner == "start", decision.is_significant))
    wrong, significant = np.mean(outcomes, axis=0)
    normal = NormalDist()
    for seen, expected in ((wrong, normal.cdf(-sigmas)), (significant, normal.cdf(sigmas - 2))):
        assert seen == pytest.approx(
            expected, abs=5 * math.sqrt(expected * (1 - expected) / trials)
        )
