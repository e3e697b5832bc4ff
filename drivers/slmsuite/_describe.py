"""What all of slmsuite's devices have in common for us: what they are, and how they say it."""

from __future__ import annotations

import importlib
from importlib import metadata
from typing import Any

from drivers.devices import DeviceDescription
from drivers.errors import ProtocolError


def require(raw: Any, module: str, base: str, name: str) -> None:
    """Raise `ProtocolError` unless it is an instance of one of slmsuite's base classes."""
    if not isinstance(raw, getattr(importlib.import_module(module), base)):
        raise ProtocolError(
            f"{name}: {type(raw).__module__}.{type(raw).__name__} is no {module}.{base}"
        )


def describe(
    raw: Any, name: str, kind: str, keys: tuple[str, ...], **limits: tuple[float, float] | None
) -> DeviceDescription:
    """Describe a device by its class and some of its attributes."""
    made_by = type(raw)
    return DeviceDescription(
        name=name,
        kind=kind,
        identity=f"{made_by.__module__}.{made_by.__qualname__} {raw.name}",
        limits={key: pair for key, pair in limits.items() if pair is not None},
        properties={
            "slmsuite": metadata.version("slmsuite"),
            **{key: str(getattr(raw, key)) for key in keys},
        },
    )
