"""The progress bar says what the campaign does now."""

import io

import pytest
from rich.console import Console

from instrument.campaign.events import StateChanged
from instrument.campaign.states import State
from instrument.faces.terminal import ProgressBar

from . import events


@pytest.fixture
def bar():
    bar = ProgressBar(Console(file=io.StringIO(), force_terminal=False, width=100))
    yield bar
    bar.close()


def shown(bar):
    return bar._progress.tasks[0].description


def changed(now):
    return StateChanged(before=State.RUNNING, now=now, why=None)


@pytest.mark.parametrize(
    "state", [State.CONNECTING, State.CALIBRATING, State.PAUSED, State.SUSPENDED, State.ABORTED]
)
def test_the_bar_shows_the_state_in_place_of_the_phase(bar, state):
    for event in (events.STARTED, events.trial_started(0), changed(state)):
        bar(event)
    assert shown(bar) == state


def test_a_running_campaign_shows_its_phase_again(bar):
    for event in (
        events.STARTED, events.trial_started(0, "confirm"), changed(State.PAUSED),
        changed(State.RUNNING),
    ):  # fmt: skip
        bar(event)
    assert shown(bar) == "confirm"
