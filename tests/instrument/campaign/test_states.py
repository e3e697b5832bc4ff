import itertools

import pytest

from instrument.campaign.states import NEXT, IllegalTransition, State, check_transition


def test_a_campaign_may_go_the_whole_way_with_a_pause_and_a_suspension():
    way = [
        State.IDLE, State.CONNECTING, State.CALIBRATING, State.RUNNING, State.PAUSED,
        State.RUNNING, State.SUSPENDED, State.PAUSED, State.SUSPENDED, State.RUNNING,
        State.CONNECTING, State.RUNNING, State.FINISHED,
    ]  # fmt: skip
    for before, now in itertools.pairwise(way):
        check_transition(before, now)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (State.IDLE, State.FINISHED),
        (State.IDLE, State.PAUSED),
        (State.CONNECTING, State.FINISHED),
        (State.PAUSED, State.FINISHED),
        (State.SUSPENDED, State.FINISHED),
        (State.FINISHED, State.RUNNING),
        (State.ABORTED, State.CONNECTING),
        (State.FAILED, State.PAUSED),
    ],
)
def test_what_may_not_follow_is_refused_and_says_what_may(before, now):
    with pytest.raises(IllegalTransition, match=f"is {before} cannot be {now} next"):
        check_transition(before, now)


def test_whatever_has_begun_can_be_aborted_and_can_fail():
    for state in State:
        if not state.has_ended:
            assert {State.ABORTED, State.FAILED} <= NEXT[state]


def test_only_the_three_ends_have_ended():
    assert {s for s in State if s.has_ended} == {State.FINISHED, State.ABORTED, State.FAILED}
