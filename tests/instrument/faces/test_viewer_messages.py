"""The pipe's format: what is written is read, and nothing else is accepted."""

import io

import numpy as np
import pytest

from instrument.faces.viewer.messages import Message, MessageError, encode, read_message

FRAME = np.arange(6, dtype=np.uint16).reshape(2, 3) * 10_000
PATTERN = np.array([[0, 255]], dtype=np.uint8)
WHOLE = encode(Message(kind="frame", fields={"trial": 3}, arrays={"frame": FRAME}))


def test_two_messages_are_read_back_in_order():
    sent = [
        Message(kind="trial", fields={"trial": 3}, arrays={"slm": PATTERN, "dmd": PATTERN.T}),
        Message(kind="notice", fields={"text": "4 \N{MICRO SIGN}m\n\N{RIGHTWARDS ARROW} moved"}),
    ]
    stream = io.BytesIO(b"".join(encode(message) for message in sent))
    first, second = read_message(stream), read_message(stream)
    assert (first.kind, first.fields, list(first.arrays)) == ("trial", {"trial": 3}, ["slm", "dmd"])
    np.testing.assert_array_equal(first.arrays["slm"], PATTERN)
    np.testing.assert_array_equal(first.arrays["dmd"], PATTERN.T)
    assert second == sent[1]
    assert read_message(stream) is None


@pytest.mark.parametrize(
    "frame",
    [FRAME, FRAME.T, FRAME[:, ::2], FRAME.astype(">u2"), np.zeros((0, 3), np.uint16)],
    ids=["contiguous", "transposed", "strided", "big-endian", "empty"],
)
def test_a_frame_keeps_its_counts_and_dtype(frame):
    stream = io.BytesIO(encode(Message(kind="frame", arrays={"frame": frame})))
    read = read_message(stream).arrays["frame"]
    assert read.dtype == np.uint16
    np.testing.assert_array_equal(read, frame)


@pytest.mark.parametrize("length", range(len(WHOLE)))
def test_a_stream_cut_anywhere_has_ended(length):
    assert read_message(io.BytesIO(WHOLE[:length])) is None


@pytest.mark.parametrize(
    "line",
    [
        b"what is this\n",
        b"[1, 2]\n",
        b'{"kind": "frame"}\n',
        b'{"kind": "a", "fields": {}, "arrays": [{"name": "f", "dtype": "O", "shape": [1]}]}\n',
        b'{"kind": "", "fields": {}, "arrays": [{"name": "", "dtype": "uint8", "shape": [-1]}]}\n',
    ],
    ids=["text", "no-object", "incomplete", "object-dtype", "negative-size"],
)
def test_what_is_no_message_is_refused(line):
    with pytest.raises(MessageError):
        read_message(io.BytesIO(line))
