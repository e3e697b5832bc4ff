"""What the window says about a run, without a window."""

import io

import numpy as np
import pytest

from instrument.faces.viewer.inbox import Inbox
from instrument.faces.viewer.layout import side_by_side
from instrument.faces.viewer.messages import Message, encode
from instrument.faces.viewer.state import RunState


def state_after(*messages: Message) -> RunState:
    state = RunState()
    for message in messages:
        state.take(message)
    return state


STARTED = Message(kind="started", fields={"run_dir": "runs/demo", "trials": 20, "done": 0})
TRIAL = Message(kind="trial", fields={"trial": 7, "phase": "confirm"})


def scored(trial: int, bits: float | None, why: str | None = None) -> Message:
    return Message(
        kind="scored",
        fields={
            "trial": trial,
            "phase": "search",
            "bits_per_pixel": bits,
            "standard_error": None if bits is None else 0.02,
            "best_trial": 4,
            "best_bits_per_pixel": 3.2,
            "why": why,
        },
    )


def test_readouts_give_trial_last_score_and_best_with_errors():
    state = state_after(STARTED, TRIAL, scored(4, 3.2), scored(6, 3.1))
    shown = [(readout.value, readout.caption) for readout in state.readouts()]
    assert shown == [
        ("Trial 7", "8 of 20, confirm"),
        ("3.100 \N{PLUS-MINUS SIGN} 0.020", "bits per pixel, trial 6"),
        ("3.200 \N{PLUS-MINUS SIGN} 0.020", "bits per pixel, best (trial 4)"),
    ]


def test_an_adaptive_trial_says_how_many_objects_were_enough():
    adaptive = scored(6, 3.1)
    adaptive.fields["objects"] = 12
    assert state_after(adaptive).readouts()[1].caption == "bits per pixel, trial 6, 12 objects"


def test_a_best_trial_from_before_a_resume_is_shown_without_an_error_nobody_knows():
    assert state_after(scored(6, 3.1)).readouts()[2].value == "3.200"


def test_before_the_first_trial_every_readout_is_a_dash():
    assert {readout.value for readout in RunState().readouts()} == {"\N{EN DASH}"}


def test_a_failed_trial_says_why():
    state = state_after(scored(6, None, why="too bright"))
    assert state.readouts()[1].value == "failed"
    assert state.notice == "Trial 6 failed: too bright"


@pytest.mark.parametrize(
    ("last", "status", "word"),
    [
        (
            Message(kind="ended", fields={"status": "finished", "text": "Best: 4."}),
            "finished",
            "4. ",
        ),
        (Message(kind="ended", fields={"status": "failed", "text": "No lamp"}), "failed", "lamp. "),
        (TRIAL, "lost", "resume"),
    ],
    ids=["finished", "failed", "killed"],
)
def test_the_end_of_the_stream_is_told_and_the_window_stays(last, status, word):
    state = state_after(STARTED, last)
    state.end()
    assert state.status == status
    assert word in state.notice
    assert "stays until you close it" in state.notice


def test_an_unknown_message_changes_nothing():
    state = state_after(STARTED, Message(kind="weather", fields={"text": "rain"}))
    assert vars(state) == vars(state_after(STARTED))


def read_whole(*messages: Message) -> tuple[list[Message], bool]:
    inbox = Inbox()
    inbox._read(io.BytesIO(b"".join(encode(message) for message in messages)))
    return inbox.take()


def frame(index: int) -> Message:
    pixels = np.full((2, 2), index, np.uint16)
    return Message(kind="frame", fields={"index": index}, arrays={"frame": pixels})


def test_of_frames_the_latest_is_kept_and_of_all_else_everything():
    messages, has_ended = read_whole(frame(0), STARTED, frame(1), TRIAL, frame(2))
    assert [message.kind for message in messages] == ["started", "trial", "frame"]
    assert messages[-1].fields == {"index": 2}
    assert has_ended


def test_images_lie_side_by_side_as_high_as_the_first():
    first, second, third = side_by_side([(100, 100), (50, 200), (200, 100)])
    assert (first.scale, first.left) == (1.0, 0.0)
    assert (second.scale, second.left) == (2.0, 108.0)  # 100 wide and a gap of 8
    assert (third.scale, third.left) == (0.5, 516.0)  # 108 + 2 * 200 + 8


def state_message(now, why=None):
    return Message(kind="state", fields={"now": now, "why": why})


def test_a_paused_run_says_that_it_is_dark_and_who_paused_it():
    state = state_after(STARTED, TRIAL, state_message("running"), state_message("paused", "Ctrl-C"))
    assert state.readouts()[0].caption == "8 of 20, paused"
    assert state.notice == "Paused, light off (Ctrl-C)"


def test_a_resumed_run_shows_its_phase_again():
    state = state_after(
        STARTED, TRIAL, state_message("running"), state_message("paused", "Ctrl-C"),
        state_message("running", "resumed"),
    )  # fmt: skip
    assert state.readouts()[0].caption == "8 of 20, confirm"
    assert state.notice == "Going on"


@pytest.mark.parametrize("now", ["connecting", "calibrating"])
def test_before_the_first_trial_the_window_says_what_is_done(now):
    assert state_after(state_message(now)).readouts()[0].caption == now
