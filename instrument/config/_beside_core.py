"""Devices that neither Micro-Manager nor VISA opens: `bench.displays`, and who may use them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import PlainValidator

from instrument.config._section import Section

if TYPE_CHECKING:
    from instrument.config._model import Config


def _number_or_name(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        raise ValueError("give the number of a monitor (0 is the primary one) or its name")
    if isinstance(value, int) and value < 0:
        raise ValueError("monitors are counted from 0, the primary one")
    return value


def _auto_or_shape(value: object) -> object:
    if value == "auto":
        return value
    sides = tuple(value) if isinstance(value, list | tuple) else ()
    if len(sides) != 2 or not all(type(side) is int and side > 0 for side in sides):
        raise ValueError("write [height, width] in pixels, or auto for what the monitor has")
    return sides


class DisplayConfig(Section):
    """A modulator or micromirror device that is a monitor to the computer.

    `monitor` is its number, 0 being the primary one, or its name (`infoloop devices` lists both).
    `shape` is the [height, width] it must have; with `auto` it has what the system has set.
    """

    monitor: Annotated[int | str, PlainValidator(_number_or_name)]
    shape: Annotated[Literal["auto"] | tuple[int, int], PlainValidator(_auto_or_shape)] = "auto"


def problems_beside_core(config: Config) -> Iterator[str]:
    """One sentence for every name used twice, and every role that a display cannot have."""
    bench = config.bench
    for name in bench.displays.keys() & bench.visa.keys():
        yield f"`bench.displays.{name}` is also an instrument of bench.visa; rename one of them"
    first_on: dict[int | str, str] = {}
    for name, display in bench.displays.items():
        earlier = first_on.setdefault(display.monitor, name)
        if earlier != name:
            yield (
                f"`bench.displays.{name}.monitor` = {display.monitor!r} is already that of "
                f"{earlier!r}; one display a monitor"
            )
    for name, role in bench.roles.items():
        if role.device in bench.displays and role.kind not in {"slm", "light"}:
            yield (
                f"`bench.roles.{name}.device` = {role.device!r} is a display and can only have a "
                f"role of kind slm, not {role.kind}"
            )
