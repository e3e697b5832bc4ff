"""Opens devices that neither Micro-Manager nor VISA opens, by their names in the bench file."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from drivers import Device
from instrument.config import Config, DisplayConfig

Opener = Callable[[], Device]


def openers_beside_core(config: Config, undo: ExitStack) -> dict[str, Opener]:
    """Return what opens each device, by its key in the bench file; `undo` closes it."""

    def opening(name: str, display: DisplayConfig) -> Opener:
        def open_one() -> Device:
            device = _open_display(name, display)
            undo.callback(device.close)
            return device

        return open_one

    return {
        f"bench.displays.{name}": opening(name, display)
        for name, display in config.bench.displays.items()
    }


def _open_display(name: str, display: DisplayConfig) -> Device:
    from drivers.display import DisplaySLM

    shape = None if display.shape == "auto" else display.shape
    return DisplaySLM(display.monitor, name=name, shape=shape)
