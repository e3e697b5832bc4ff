"""Designs that are choices: what a space lets through, and which engine searches it how."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instrument.design import Design, DesignError, DesignSpace, Parameter
from instrument.search import EngineError, Observation, choose_engine, make_engine
from instrument.search.recommend import recommend


def choice(name="array", choices=("a", "b", "c"), components=1):
    return Parameter(
        name=name, unit="choice", lower=0.0, upper=len(choices) - 1.0, choices=tuple(choices),
        labels=tuple(f"component {i}" for i in range(components)), start=(1.0,) * components,
    )  # fmt: skip


def quantity(name="focus"):
    return Parameter(
        name=name, unit="um", lower=-5.0, upper=5.0, labels=("position",), start=(0.0,)
    )


CHOICES = DesignSpace((choice(components=2), choice("lamp", ("red", "blue"))))
MIXED = DesignSpace((choice(), quantity()))


def score(design):
    """Highest at array (2, 0) under lamp 1, without an order in the indices."""
    array, lamp = design.values["array"], design.values["lamp"]
    return {(2.0, 0.0): 3.0, (0.0, 2.0): 2.0}.get(array, 1.0) + (lamp == (1.0,))


def run(engine, *, of=score, most=60):
    observations = []
    while len(observations) < most and (design := engine.ask(len(observations))) is not None:
        observations.append(
            Observation(
                trial=len(observations), design=design, score=of(design), standard_error=0.1,
                cost_s=1.0,
            )
        )  # fmt: skip
        engine.tell(observations[-1])
    return observations


# ---- the space


def test_a_space_of_choices_knows_its_combinations():
    assert CHOICES.combinations == 3 * 3 * 2
    assert MIXED.combinations is None
    np.testing.assert_array_equal(MIXED.is_categorical, [True, False])


@pytest.mark.parametrize("value", [0.5, -1.0, 3.0, float("nan"), float("inf")])
def test_a_choice_is_a_whole_number_within_its_choices(value):
    with pytest.raises(DesignError, match=r"design\.array: component 0 = "):
        MIXED.check(Design({"array": (value,), "focus": (0.0,)}))


BAD_PARAMETERS = {
    "one choice": ({"choices": ("a",), "upper": 0.0}, "a is no choice"),
    "bounds of its own": ({"lower": 1.0}, "whole numbers 0 to 2"),
    "modal": ({"modal": True}, "without modes"),
    "start between two": ({"start": (0.5,)}, "chooses among a, b, c by a whole number"),
}


@pytest.mark.parametrize(("changes", "sentence"), BAD_PARAMETERS.values(), ids=BAD_PARAMETERS)
def test_a_parameter_that_is_no_choice_is_refused(changes, sentence):
    with pytest.raises(DesignError, match=sentence):
        dataclasses.replace(choice(), **changes)


def test_components_may_have_bounds_of_their_own():
    disc = Parameter(
        name="stop", unit="1", lower=-1.0, upper=1.5, labels=("y", "radius"), start=(0.0, 0.5),
        bounds=((-1.0, 1.0), (0.0, 1.5)),
    )  # fmt: skip
    space = DesignSpace((disc,))
    np.testing.assert_array_equal(space.lower, [-1.0, 0.0])
    np.testing.assert_array_equal(space.upper, [1.0, 1.5])
    space.check(Design({"stop": (0.0, 1.5)}))
    with pytest.raises(DesignError, match=r"y = 1\.2, allowed -1 to 1"):
        space.check(Design({"stop": (1.2, 0.5)}))
    with pytest.raises(DesignError, match="1 bounds"):
        dataclasses.replace(disc, bounds=((-1.0, 1.0),))


@settings(deadline=None, derandomize=True)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=2))
def test_every_point_of_the_unit_box_is_a_design(unit):
    MIXED.check(MIXED.from_unit(unit))


def test_choices_share_the_unit_box_evenly():
    shares = np.linspace(0.005, 0.995, 100)
    chosen = [MIXED.from_unit([share, 0.5]).values["array"][0] for share in shares]
    assert [chosen.count(index) for index in (0.0, 1.0, 2.0)] == [33, 34, 33]
    assert MIXED.from_unit([1.0, 1.0]) == Design({"array": (2.0,), "focus": (5.0,)})


# ---- engines


def test_exhaustive_tries_every_combination_once_and_starts_at_the_start():
    observations = run(make_engine("exhaustive", CHOICES, seed=3, budget=30))
    asked = [tuple(CHOICES.to_vector(o.design)) for o in observations]
    assert observations[0].design == CHOICES.start
    assert sorted(asked) == sorted(itertools.product(range(3), range(3), range(2)))


def test_exhaustive_is_shuffled_by_the_seed():
    orders = [
        [o.design.to_json() for o in run(make_engine("exhaustive", CHOICES, seed=s, budget=18))]
        for s in (1, 1, 2)
    ]
    assert orders[0] == orders[1] != orders[2]
    assert orders[0][1:] != sorted(orders[0][1:])


def test_exhaustive_finds_the_best_and_does_not_ask_again_for_what_failed():
    engine = make_engine("exhaustive", CHOICES, seed=3, budget=18)
    observations = run(engine, of=lambda d: None if d.values["array"][0] == 1 else score(d))
    assert len(observations) == 18
    assert engine.best() == Design({"array": (2.0, 0.0), "lamp": (1.0,)})


@pytest.mark.parametrize(("name", "space"), [("exhaustive", CHOICES), ("tpe", CHOICES)])
def test_resumed_at_any_trial_it_proposes_the_same(name, space):
    unbroken = run(make_engine(name, space, seed=5, budget=18))
    for done in range(len(unbroken)):
        again = make_engine(name, space, seed=5, budget=18)
        for observation in unbroken[:done]:
            again.tell(observation)
        assert [again.ask(done), again.ask(done)] == [unbroken[done].design] * 2


@pytest.mark.parametrize("name", ["tpe", "sobol", "random"])
def test_engines_for_mixed_spaces_stay_within_them(name):
    designs = [o.design for o in run(
        make_engine(name, MIXED, seed=1, budget=40), of=lambda d: float(d.values["array"][0] == 2)
    )]  # fmt: skip
    assert len(designs) == 40
    for design in designs:
        MIXED.check(design)
    assert {design.values["array"] for design in designs} == {(0.0,), (1.0,), (2.0,)}


def test_tpe_learns_which_choice_is_best():
    """Random search picks the best of three a third of the time: 20 of 60; 5 sigma is 38."""

    def bowl(design):
        station, focus_um = design.values["array"][0], design.values["focus"][0]
        return {0.0: 1.0, 1.0: 0.0, 2.0: 2.0}[station] - 0.1 * (focus_um - 3.0) ** 2

    observations = run(make_engine("tpe", MIXED, seed=1, budget=70), of=bowl, most=70)
    late = [o.design.values["array"][0] for o in observations[10:]]
    assert late.count(2.0) > 38


@pytest.mark.parametrize(
    ("space", "budget", "expected"),
    [(CHOICES, 18, "exhaustive"), (CHOICES, 17, "tpe"), (MIXED, 100, "tpe")],
)
def test_auto_tries_all_choices_where_the_budget_allows(space, budget, expected):
    assert choose_engine(space, budget=budget) == expected


def test_many_choices_are_for_tpe_not_cmaes():
    assert choose_engine(DesignSpace((choice(components=25),)), budget=1000) == "tpe"


@pytest.mark.parametrize(
    ("name", "space", "budget", "sentence"),
    [
        ("cmaes", MIXED, 30, r"cmaes steps through quantities, and design\.array is a choice"),
        ("modal", MIXED, 30, r"modal steps through quantities"),
        ("exhaustive", MIXED, 30, r"design\.focus is a quantity"),
        ("exhaustive", CHOICES, 17, r"18 combinations and 17 trials"),
    ],
)
def test_an_engine_that_cannot_serve_says_so(name, space, budget, sentence):
    with pytest.raises(EngineError, match=sentence):
        make_engine(name, space, seed=0, budget=budget)


def test_no_regression_is_drawn_between_choices():
    observations = run(make_engine("exhaustive", CHOICES, seed=3, budget=18))
    assert recommend(CHOICES, observations, seed=0) is None
