"""The thread that owns a Micro-Manager core."""

from __future__ import annotations

from drivers.call_thread import CallThread


class CoreThread(CallThread):
    """Serialises calls into a core and bounds the wait for each."""

    def __init__(self, name: str):
        super().__init__(name, library="Micro-Manager", owned="the Micro-Manager core")
