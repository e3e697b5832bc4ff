"""What passes between a display's two processes: a header of fixed size, then raw bytes.

One reply to each request, in their order, so that no answer can be taken for another's. Nothing
that is read can run code.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from typing import BinaryIO

_HEADER = struct.Struct("<4sIqqQ")
_MAGIC = b"ildp"
_LONGEST = 1 << 28  # bytes; an 8k monitor has 33 million pixels


class Kind(enum.IntEnum):
    """What a message is; the first two are requests."""

    SHOW = 1
    """Show these grey levels, row by row."""
    READ = 2
    """Send back the grey levels that are on the screen."""
    READY = 3
    """The window is open; what it says of itself, as JSON."""
    SHOWN = 4
    """The pattern is on; SHA-256 of the pixels as they were read from the screen's buffer."""
    PIXELS = 5
    """The grey levels that are on the screen, row by row."""
    REFUSED = 6
    """The request was not carried out; why, in UTF-8."""


class Garbled(Exception):  # noqa: N818 - the state of a stream
    """Bytes that are no message."""


@dataclass(frozen=True, slots=True)
class Message:
    """One request or reply.

    Parameters
    ----------
    kind
        What it is.
    content
        Raw bytes.
    swapped_ns, complete_ns
        Of `SHOWN`: when the pattern was handed to the screen, and when the screen had drawn all of
        it; `time.perf_counter_ns`, which all processes of a machine share.
    """

    kind: Kind
    content: bytes = b""
    swapped_ns: int = 0
    complete_ns: int = 0


def write_message(stream: BinaryIO, message: Message) -> None:
    """Write all of a message to an unbuffered stream; raises `OSError` where nobody reads."""
    header = _HEADER.pack(
        _MAGIC, message.kind, message.swapped_ns, message.complete_ns, len(message.content)
    )
    for part in (header, message.content):
        rest = memoryview(part)
        while rest:
            rest = rest[stream.write(rest) :]


def read_message(stream: BinaryIO) -> Message | None:
    """Return the next message, or None at the end of the stream.

    Raises
    ------
    Garbled
        What came is no message of ours.
    """
    header = _read_exactly(stream, _HEADER.size)
    if header is None:
        return None
    magic, kind, swapped_ns, complete_ns, length = _HEADER.unpack(header)
    if magic != _MAGIC or kind not in set(Kind) or length > _LONGEST:
        raise Garbled(f"{header[:16].hex(' ')} is no header")
    content = _read_exactly(stream, length)
    return None if content is None else Message(Kind(kind), content, swapped_ns, complete_ns)


def _read_exactly(stream: BinaryIO, count: int) -> bytes | None:
    """Return `count` bytes, or None if the stream ends before."""
    parts: list[bytes] = []
    while count:
        part = stream.read(count)
        if not part:
            return None
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
