"""What visits to a reference say of lamp and sample: closed forms on shapes that are known."""

import math

import numpy as np
import pytest

from instrument.search.drift import DriftModel, Reading, Visit

STEP_UM = 3.0


def shape(x_um, *, top_um=0.0, curvature=-0.01):
    """Logarithm of a reference's score."""
    return math.log(100.0) + curvature * (x_um - top_um) ** 2


def visit(
    at_s,
    *,
    log_lamp=0.0,
    crept_um=0.0,
    compensated_um=0.0,
    error=1e-4,
    reference=0,
    noise=None,
    **of,
):
    """Visit a bench whose shape has crept by `crept_um` and whose lamp gives exp(log_lamp)."""
    draw = noise or (lambda: 0.0)

    def read(offset_um):
        where_um = compensated_um + offset_um
        log_score = shape(where_um - crept_um, **of) + log_lamp + draw()
        return where_um, Reading(at_s=at_s, log_score=log_score, standard_error=error)

    centre_um, centre = read(0.0)
    return Visit(
        reference=reference,
        centre=centre,
        centre_at={"focus": centre_um},
        sides={"focus": (read(-STEP_UM), read(STEP_UM))},
    )


def model(*visits, follow=("focus",)):
    model = DriftModel(follow)
    for each in visits:
        model.add(each)
    return model


def test_before_any_visit_nothing_is_corrected():
    (corrected,) = DriftModel().correct([5.0], [0.5], at_s=[100.0])
    assert (corrected.score, corrected.standard_error, corrected.bits) == (5.0, 0.5, 0.0)


def test_a_dimmer_lamp_is_removed_in_proportion():
    times = range(0, 6)
    seen = model(*(visit(float(t), log_lamp=-0.02 * t) for t in times))
    (corrected,) = seen.correct([300.0], [1.0], at_s=[5.0])
    assert corrected.score == pytest.approx(300.0 * math.exp(0.1), rel=1e-3)
    assert corrected.bits == pytest.approx(corrected.score - 300.0)
    assert corrected.standard_error >= math.exp(0.1) * (1 - 1e-3)


@pytest.mark.parametrize("is_compensated", [True, False])
def test_the_top_is_followed_and_is_not_taken_for_the_lamp(is_compensated):
    seen = model(
        *(
            visit(
                float(t),
                log_lamp=-0.02 * t,
                crept_um=0.5 * t,
                compensated_um=0.5 * t if is_compensated else 0.0,
                top_um=1.0,
            )
            for t in range(6)
        )
    )
    assert seen.moved("focus", 5.0)[0] == pytest.approx(2.5, abs=0.02)
    (corrected,) = seen.correct([300.0], [1.0], at_s=[5.0])
    assert corrected.score == pytest.approx(300.0 * math.exp(0.1), rel=2e-3)


def test_the_movement_goes_on_after_the_last_visit():
    seen = model(*(visit(float(t), crept_um=0.5 * t) for t in range(6)))
    assert seen.moved("focus", 6.0)[0] == pytest.approx(3.0, abs=0.02)


def test_a_reference_without_a_top_moves_nothing():
    seen = model(*(visit(float(t), crept_um=0.5 * t, curvature=0.01) for t in range(6)))
    assert seen.moved("focus", 5.0) == (0.0, 0.0)


def test_a_top_within_the_noise_moves_nothing():
    rng = np.random.default_rng(0)
    seen = model(
        *(
            visit(float(t), error=0.1, curvature=-1e-3, noise=lambda: 0.1 * rng.standard_normal())
            for t in range(3)
        )
    )
    assert seen.moved("focus", 2.0) == (0.0, 0.0)


def test_another_reference_goes_on_where_the_first_was():
    first = [visit(float(t), log_lamp=-0.02 * t, crept_um=0.5 * t) for t in range(4)]
    second = [
        visit(
            float(t), log_lamp=-0.02 * t, crept_um=0.5 * t, reference=1, top_um=2.0, curvature=-0.02
        )
        for t in range(3, 7)
    ]
    seen = model(*first, *second)
    assert seen.moved("focus", 6.0)[0] == pytest.approx(3.0, abs=0.03)
    (corrected,) = seen.correct([300.0], [1.0], at_s=[6.0])
    assert corrected.score == pytest.approx(300.0 * math.exp(0.12), rel=2e-3)
    assert seen.reference_score(0) == pytest.approx(100.0, rel=2e-3)


def test_what_crept_before_there_was_a_top_is_counted_too():
    flat = [visit(float(t), crept_um=0.5 * t, curvature=0.001) for t in range(2)]
    clear = [visit(float(t), crept_um=0.5 * t, reference=1) for t in range(2, 7)]
    seen = model(*flat, *clear)
    assert seen.moved("focus", 0.0) == (0.0, pytest.approx(0.0, abs=0.1))
    assert seen.moved("focus", 6.0)[0] == pytest.approx(3.0, abs=0.05)


def test_unequal_steps_find_the_same_top():
    sides = {
        "focus": tuple(
            (x, Reading(at_s=0.0, log_score=shape(x, top_um=1.3), standard_error=1e-4))
            for x in (-1.0, 4.0)
        )
    }
    centre = Reading(at_s=0.0, log_score=shape(0.0, top_um=1.3), standard_error=1e-4)
    unequal = Visit(reference=0, centre=centre, centre_at={"focus": 0.0}, sides=sides)
    # At equal steps and another time, the top is 0.7 um further.
    seen = model(unequal, visit(1.0, top_um=2.0))
    assert seen.moved("focus", 1.0)[0] == pytest.approx(0.7, abs=0.01)


def test_errors_of_corrections_cover_the_truth():
    rng = np.random.default_rng(1)
    error, covered_lamp, covered_focus = 0.003, [], []
    for _ in range(100):
        seen = model(
            *(
                visit(
                    float(t),
                    log_lamp=-0.02 * t,
                    crept_um=0.5 * t,
                    compensated_um=0.4 * t,
                    error=error,
                    noise=lambda: error * rng.standard_normal(),
                )
                for t in range(8)
            )
        )
        (corrected,) = seen.correct([300.0], [1e-9], at_s=[7.0])
        truth = 300.0 * math.exp(0.14)
        covered_lamp.append(abs(corrected.score - truth) < 1.96 * corrected.standard_error)
        moved_um, uncertainty_um = seen.moved("focus", 7.0)
        covered_focus.append(abs(moved_um - 3.5) < 1.96 * uncertainty_um)
    # 100 independent nights: the standard error of the share is .022.
    assert np.mean(covered_lamp) > 0.95 - 4 * 0.022
    assert np.mean(covered_focus) > 0.95 - 4 * 0.022


@pytest.mark.parametrize("score", [0.0, -1.0, float("nan")])
def test_a_score_that_is_not_positive_is_no_reading(score):
    assert Reading.of_score(score, 0.1, at_s=0.0) is None
