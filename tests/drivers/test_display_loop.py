"""The conversation of a display's two processes, without a window."""

from __future__ import annotations

import hashlib
import io
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.display._messages import Garbled, Kind, Message, read_message, write_message
from drivers.display._screen import Monitor, ScreenFacts, Shown, WindowError, WindowLost
from drivers.display._serve import serve

SHAPE = (2, 3)
HEADER_LENGTH = 32
MONITOR = Monitor(index=1, name="LETO", shape=SHAPE, position=(1920, 0), refresh_hz=60)


class FakeScreen:
    """Keeps what it is shown; refuses a pattern that begins with 13, is lost at 99."""

    def __init__(self) -> None:
        self.shape = SHAPE
        self.pixels = np.zeros(SHAPE, np.uint8)
        self.shown: list[list[int]] = []
        self.is_closed_by_hand = False
        self.facts = ScreenFacts(
            monitor=MONITOR,
            frame_period_ms=16.7,
            swap_interval_ms=16.6,
            waits_for_retrace=True,
            gamma="straight",
            renderer="fake",
            window_system="fake",
        )
        self._event = threading.Event()

    def show(self, pattern):
        if pattern[0, 0] == 13:
            raise WindowError("covered by another window")
        if pattern[0, 0] == 99:
            raise WindowLost("unplugged")
        self.pixels = pattern.copy()
        self.shown.append(pattern.ravel().tolist())
        return Shown(swapped_ns=len(self.shown), complete_ns=10 * len(self.shown))

    def wait_for_events(self, timeout_s):
        if self.is_closed_by_hand:
            raise WindowLost("the window was closed by hand")
        self._event.wait(timeout_s)
        self._event.clear()

    def wake(self):
        self._event.set()


def pattern_of(first: int) -> bytes:
    return bytes([first, 1, 2, 3, 4, 5])


def conversation(screen: FakeScreen, *requests: Message) -> list[Message]:
    """Serve requests until their end and return the replies, the first being READY."""
    asked, replies, ended = io.BytesIO(), io.BytesIO(), []
    for request in requests:
        write_message(asked, request)
    asked.seek(0)
    serve(screen, asked, replies, at_end=lambda: ended.append(True))
    assert ended == [True]
    replies.seek(0)
    return list(iter(lambda: read_message(replies), None))


def test_the_first_word_is_what_the_window_found():
    (ready,) = conversation(FakeScreen())
    assert ready.kind is Kind.READY
    assert ScreenFacts.model_validate_json(ready.content).monitor == MONITOR


def test_every_request_is_answered_in_its_turn():
    screen = FakeScreen()
    requests = [
        Message(Kind.SHOW, pattern_of(7)),
        Message(Kind.READ),
        Message(Kind.SHOW, b"123456"),
    ]
    _, first, read, second = conversation(screen, *requests)
    assert first == Message(Kind.SHOWN, hashlib.sha256(pattern_of(7)).digest(), 1, 10)
    assert read == Message(Kind.PIXELS, pattern_of(7))
    assert second == Message(Kind.SHOWN, hashlib.sha256(b"123456").digest(), 2, 20)


def test_the_end_of_the_parent_turns_the_screen_black():
    screen = FakeScreen()
    conversation(screen, Message(Kind.SHOW, pattern_of(7)))
    assert screen.shown[-1] == [0] * 6


def test_a_parent_that_dies_in_the_middle_of_a_pattern_turns_the_screen_black():
    screen, asked = FakeScreen(), io.BytesIO()
    write_message(asked, Message(Kind.SHOW, pattern_of(7)))
    half = io.BytesIO(asked.getvalue()[:-3])
    serve(screen, half, io.BytesIO(), at_end=lambda: None)
    assert screen.shown == [[0] * 6]


def test_a_parent_that_no_longer_listens_turns_the_screen_black():
    class Deaf(io.BytesIO):
        def write(self, content, /):
            if bytes(content).startswith(hashlib.sha256(pattern_of(7)).digest()):
                raise BrokenPipeError
            return super().write(content)

    screen, asked = FakeScreen(), io.BytesIO()
    write_message(asked, Message(Kind.SHOW, pattern_of(7)))
    asked.seek(0)
    serve(screen, asked, Deaf(), at_end=lambda: None)
    assert screen.shown == [list(pattern_of(7)), [0] * 6]


def test_a_refused_pattern_is_answered_and_the_next_one_shown():
    screen = FakeScreen()
    requests = [Message(Kind.SHOW, pattern_of(13)), Message(Kind.SHOW, pattern_of(1))]
    _, refused, shown = conversation(screen, *requests)
    assert refused == Message(Kind.REFUSED, b"covered by another window")
    assert shown.kind is Kind.SHOWN


@pytest.mark.parametrize(
    "request_", [Message(Kind.SHOW, b"12345"), Message(Kind.SHOWN, pattern_of(1))], ids=str
)
def test_what_is_no_pattern_is_refused(request_):
    screen = FakeScreen()
    _, refused = conversation(screen, request_)
    assert refused.kind is Kind.REFUSED
    assert screen.shown == [[0] * 6]


def test_a_lost_monitor_ends_the_loop():
    with pytest.raises(WindowLost, match="unplugged"):
        conversation(FakeScreen(), Message(Kind.SHOW, pattern_of(99)))


def test_a_window_closed_by_hand_ends_the_loop():
    screen = FakeScreen()
    screen.is_closed_by_hand = True
    with pytest.raises(WindowLost, match="closed by hand"):
        conversation(screen)


# ---- messages


@given(st.sampled_from(Kind), st.binary(max_size=300), st.integers(0, 2**62), st.integers(0, 2**62))
def test_a_message_arrives_as_it_was_sent(kind, content, swapped_ns, complete_ns):
    stream = io.BytesIO()
    sent = Message(kind, content, swapped_ns, complete_ns)
    for _ in range(2):
        write_message(stream, sent)
    stream.seek(0)
    assert [read_message(stream) for _ in range(3)] == [sent, sent, None]


@given(st.binary(min_size=HEADER_LENGTH, max_size=100))
def test_bytes_of_another_kind_are_no_message(content):
    with pytest.raises(Garbled, match="48 54 54 50"):
        read_message(io.BytesIO(b"HTTP" + content))


@given(st.integers(0, HEADER_LENGTH + 5))
def test_a_message_cut_short_is_the_end(length):
    stream = io.BytesIO()
    write_message(stream, Message(Kind.SHOW, pattern_of(1)))
    assert read_message(io.BytesIO(stream.getvalue()[:length])) is None


def test_a_message_of_impossible_length_is_refused_before_memory_is_asked_for():
    stream = io.BytesIO()
    write_message(stream, Message(Kind.SHOW, b"x"))
    raw = bytearray(stream.getvalue()[:HEADER_LENGTH])
    raw[24:32] = (2**40).to_bytes(8, "little")
    with pytest.raises(Garbled):
        read_message(io.BytesIO(bytes(raw)))
