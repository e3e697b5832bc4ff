"""Commands from other threads and from signal handlers, and what the loop sees of them."""

import os
import signal
import threading

import pytest

from instrument.bench.holding import PauseAsked
from instrument.campaign.control import AbortAsked, Control
from instrument.campaign.states import IllegalTransition, State

LONG_S = 60.0


def running(changes=None):
    control = Control()
    control.enter(State.CONNECTING)
    control.enter(State.RUNNING)
    if changes is not None:
        control.on_change = lambda *change: changes.append(change)
    return control


def once_paused(control, command):
    """Give a command, from a thread of its own, as soon as the loop is paused."""

    def give():
        while control.state != State.PAUSED:
            gone.wait(0.001)
        command()

    gone = threading.Event()
    thread = threading.Thread(target=give, name="commander")
    thread.start()
    return thread


def test_nothing_asked_lets_the_loop_pass():
    assert running().checkpoint() is None


def test_a_pause_is_seen_at_the_next_checkpoint_and_says_who():
    control = running()
    assert control.pause("Ctrl-C").is_taken
    with pytest.raises(PauseAsked, match=r"Ctrl-C"):
        control.checkpoint()


def test_resume_from_another_thread_goes_back_to_what_was_done_before():
    changes = []
    control = running(changes)
    control.pause("viewer")
    thread = once_paused(control, control.resume)
    control.wait_while_paused(longest_s=LONG_S)
    thread.join()
    assert changes == [
        (State.RUNNING, State.PAUSED, "viewer"), (State.PAUSED, State.RUNNING, "resumed"),
    ]  # fmt: skip
    assert control.checkpoint() is None


def test_a_pause_taken_back_before_it_began_is_none():
    changes = []
    control = running(changes)
    control.pause("viewer")
    control.resume()
    control.wait_while_paused(longest_s=LONG_S)
    assert changes == []


def test_abort_ends_a_pause():
    control = running()
    control.pause("Ctrl-C")
    thread = once_paused(control, lambda: control.abort("Ctrl-C again"))
    with pytest.raises(AbortAsked, match="Ctrl-C again"):
        control.wait_while_paused(longest_s=LONG_S)
    thread.join()
    assert control.state == State.PAUSED


def test_abort_outranks_a_pause():
    control = running()
    control.pause("Ctrl-C")
    control.abort("SIGTERM")
    with pytest.raises(AbortAsked, match="SIGTERM"):
        control.checkpoint()


def test_a_pause_that_nobody_ends_ends_the_run_and_names_the_key():
    control = running()
    control.pause("Ctrl-C")
    with pytest.raises(AbortAsked, match=r"within 0\.01 s \(safety\.longest_pause_s\).*Ctrl-C"):
        control.wait_while_paused(longest_s=0.01)
    with pytest.raises(AbortAsked):
        control.checkpoint()


@pytest.mark.parametrize(("command", "expected"), [("pause", PauseAsked), ("abort", AbortAsked)])
def test_a_command_ends_a_wait(command, expected):
    control = running()
    timer = threading.Timer(0.02, getattr(control, command), ["viewer"])
    timer.start()
    with pytest.raises(expected, match="viewer"):
        control.wait(LONG_S)
    timer.join()


def test_a_wait_that_nobody_ends_returns():
    control = running()
    control.pause("viewer")
    control.resume()  # leaves wakes behind, which must not end it early or for ever
    assert control.wait(0.01) is None


def test_commands_are_idempotent_and_say_why_they_are_ignored():
    control = running()
    assert not control.resume().is_taken
    assert control.resume().text == "nothing to resume: the campaign is running"
    assert control.pause("a").is_taken
    assert control.pause("b").text == "nothing to pause: it was asked before (a)"
    assert control.resume().is_taken
    assert control.abort("c").is_taken
    for answer in (control.abort("d"), control.pause("e"), control.resume()):
        assert (answer.is_taken, answer.text) == (False, "too late: the campaign is ending (c)")


def test_a_suspended_campaign_says_what_it_waits_for():
    control = running()
    control.enter(State.SUSPENDED, "led.temperature_c")
    assert "until its interlock holds" in control.resume().text
    assert "the light is off already" in control.pause("viewer").text


@pytest.mark.parametrize("end", [State.FINISHED, State.ABORTED, State.FAILED])
def test_after_the_end_every_command_is_too_late(end):
    control = running()
    control.enter(end)
    for answer in (control.pause("a"), control.resume(), control.abort("b")):
        assert not answer.is_taken
        assert "too late" in answer.text


def test_an_illegal_change_of_state_raises_and_changes_nothing():
    changes = []
    control = Control(on_change=lambda *change: changes.append(change))
    with pytest.raises(IllegalTransition):
        control.enter(State.FINISHED)
    assert (control.state, changes) == (State.IDLE, [])


def test_the_present_state_again_is_no_change():
    changes = []
    control = running(changes)
    control.enter(State.RUNNING)
    assert changes == []


@pytest.mark.skipif(os.name == "nt", reason="os.kill ends the process there")
def test_commands_from_a_signal_handler_never_deadlock_the_thread_they_interrupt():
    """Signals rain on the loop's own thread while it waits, wakes and waits again."""
    control, rounds = running(), 300
    commands = (lambda: control.pause("signal"), control.resume)
    count = iter(range(10**9))
    before = signal.signal(signal.SIGINT, lambda *_: commands[next(count) % 2]())
    over = threading.Event()

    def rain():
        while not over.is_set():
            os.kill(os.getpid(), signal.SIGINT)
            over.wait(0.0002)

    thread = threading.Thread(target=rain, name="rain")
    thread.start()
    seen = 0
    try:
        for _ in range(rounds):
            try:
                control.wait(0.001)
            except PauseAsked:
                seen += 1
                control.wait_while_paused(longest_s=LONG_S)
    finally:
        over.set()
        thread.join()
        signal.signal(signal.SIGINT, before)
    assert seen > 0
    assert not control.is_abort_asked


def test_a_hundred_threads_command_and_the_last_word_is_the_abort():
    control = running()

    def fiddle():
        for _ in range(100):
            control.pause("thread")
            control.resume()

    threads = [threading.Thread(target=fiddle, name="fiddler") for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    control.abort("enough")
    with pytest.raises(AbortAsked, match="enough"):
        control.wait(LONG_S)
