"""Opens devices that neither Micro-Manager nor VISA opens, by their names in the bench file."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING

from drivers import ConnectionLost, Device
from instrument.bench.opening import all_or_every_failure
from instrument.config import Config, DisplayConfig, SlmsuiteConfig

if TYPE_CHECKING:
    from drivers.slmsuite import SlmsuiteCamera, SlmsuiteSLM


def open_beside_core(config: Config, undo: ExitStack) -> dict[str, Device]:
    """Open displays and slmsuite's devices, by name; `undo` closes them.

    Raises
    ------
    ConnectError
        One line a device that could not be opened.
    """
    opened: dict[str, SlmsuiteSLM | SlmsuiteCamera] = {}

    def open_slmsuite(name: str, block: SlmsuiteConfig) -> Device:
        opened[name] = _open_slmsuite(name, block, opened)
        return _kept(opened[name], undo)

    return all_or_every_failure({
        **{
            f"bench.displays.{name}": lambda n=name, b=block: _kept(_open_display(n, b), undo)
            for name, block in config.bench.displays.items()
        },
        **{
            f"bench.slmsuite.{name}": lambda n=name, b=block: open_slmsuite(n, b)
            for name, block in config.bench.slmsuite.items()
        },
    })


def _kept(device: Device, undo: ExitStack) -> Device:
    undo.callback(device.close)
    return device


def _open_display(name: str, block: DisplayConfig) -> Device:
    from drivers.display import DisplaySLM

    return DisplaySLM(block.monitor, name=name, shape=block.shape)


def _open_slmsuite(
    name: str, block: SlmsuiteConfig, opened: Mapping[str, SlmsuiteSLM | SlmsuiteCamera]
) -> SlmsuiteSLM | SlmsuiteCamera:
    from drivers.slmsuite import construct

    for argument, wanted in block.devices.items():
        if wanted not in opened:
            raise ConnectionLost(f"{name}: its {argument} {wanted!r} could not be opened")
    devices = {argument: opened[wanted] for argument, wanted in block.devices.items()}
    return construct(name, block.driver, block.options, devices=devices)
