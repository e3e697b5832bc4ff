"""What goes through the pipe to the viewer: one JSON line, then the raw bytes of its arrays.

The only module that knows the format. The line holds `kind`, `fields` and `arrays`; each array is
announced by name, dtype and shape, and its bytes follow in the same order, C-contiguous. There is
nothing in it that could run code.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

_DTYPES = frozenset({"uint8", "uint16"})


class MessageError(ValueError):
    """What came through the pipe is not a message: the two ends are not of one version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One thing the viewer is told.

    Parameters
    ----------
    kind
        What it is about: `started`, `trial`, `frame`, `scored`, `state`, `notice`, `ended`.
    fields
        Plain values, by name.
    arrays
        Images, by name; uint8 or uint16.
    """

    kind: str
    fields: dict[str, Any] = field(default_factory=dict[str, Any])
    arrays: dict[str, NDArray[np.integer]] = field(default_factory=dict[str, NDArray[np.integer]])


def encode(message: Message) -> bytes:
    """Return the bytes of one message."""
    announced = [
        {"name": name, "dtype": array.dtype.name, "shape": array.shape}
        for name, array in message.arrays.items()
    ]
    header = {"kind": message.kind, "fields": message.fields, "arrays": announced}
    payload = (_native(array).tobytes() for array in message.arrays.values())
    return b"".join([json.dumps(header).encode("ascii"), b"\n", *payload])


def read_message(stream: BinaryIO) -> Message | None:
    """Return the next message of a buffered stream; None at its end, even inside a message.

    Raises
    ------
    MessageError
        If a header is not one that `encode` writes.
    """
    line = stream.readline()
    if not line.endswith(b"\n"):
        return None
    header = _header(line)
    arrays: dict[str, NDArray[np.integer]] = {}
    for announced in header["arrays"]:
        dtype, shape = _layout(announced)
        size = dtype.itemsize * math.prod(shape)
        content = stream.read(size)
        if len(content) < size:
            return None
        arrays[announced["name"]] = np.frombuffer(content, dtype).reshape(shape)
    return Message(kind=header["kind"], fields=header["fields"], arrays=arrays)


def _native(array: NDArray[np.integer]) -> NDArray[np.integer]:
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _header(line: bytes) -> dict[str, Any]:
    try:
        header = json.loads(line)
    except ValueError as error:
        raise MessageError(f"not a message header: {line[:80]!r}") from error
    if not isinstance(header, dict) or not {"kind", "fields", "arrays"} <= header.keys():
        raise MessageError(f"not a message header: {line[:80]!r}")
    return header


def _layout(announced: dict[str, Any]) -> tuple[np.dtype[np.integer], tuple[int, ...]]:
    if announced["dtype"] not in _DTYPES:
        raise MessageError(
            f"array {announced['name']}: dtype {announced['dtype']}, "
            f"one of {', '.join(sorted(_DTYPES))} expected"
        )
    shape = tuple(announced["shape"])
    if not all(isinstance(length, int) and length >= 0 for length in shape):
        raise MessageError(f"array {announced['name']}: shape {shape}")
    return np.dtype(announced["dtype"]), shape
