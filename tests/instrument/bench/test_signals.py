"""Ctrl-C may be a wish; SIGTERM, and what a handler does not take, end the block."""

import signal

import pytest

from instrument.bench.safety import Interrupted, signals_raise, signals_wait
from instrument.bench.timing import Stopwatch
from tests.instrument.fakes import make_bench, make_config


def test_a_ctrl_c_that_is_taken_interrupts_nothing():
    taken = []
    with signals_raise(lambda: taken.append("Ctrl-C") or True):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    assert taken == ["Ctrl-C", "Ctrl-C"]


def test_a_ctrl_c_that_is_not_taken_raises():
    with pytest.raises(Interrupted, match="SIGINT"), signals_raise(lambda: False):
        signal.raise_signal(signal.SIGINT)


def test_sigterm_raises_whatever_ctrl_c_does():
    with pytest.raises(Interrupted, match="SIGTERM"), signals_raise(lambda: True):
        signal.raise_signal(signal.SIGTERM)


def test_a_ctrl_c_before_a_sigterm_does_not_swallow_it_while_the_bench_is_made_safe():
    reached = []

    def both():
        with signals_wait():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)
            reached.append("safe")
        reached.append("beyond")

    with pytest.raises(Interrupted, match="SIGTERM"), signals_raise(lambda: True):
        both()
    assert reached == ["safe"]


def test_every_ctrl_c_held_back_is_delivered():
    taken = []
    with signals_raise(lambda: taken.append("Ctrl-C") or True):
        with signals_wait():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            assert taken == []
        assert len(taken) == 2


def test_the_handlers_of_before_come_back():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with signals_raise(lambda: True):
        pass
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_that_python_drops_is_raised_at_the_next_exposure(tmp_path):
    """In a finaliser an exception is printed and forgotten; the run must end all the same."""

    class Finalised:
        def __del__(self):
            signal.raise_signal(signal.SIGTERM)

    bench = make_bench(make_config(tmp_path))
    with signals_raise():
        Finalised()  # collected at once
        with pytest.raises(Interrupted, match="SIGTERM"):
            bench.expose(stopwatch=Stopwatch())
    assert bench.expose(stopwatch=Stopwatch()).size  # forgotten with the block
