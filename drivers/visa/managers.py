"""pyvisa's resource managers, shared by all sessions of a process and closed with the last."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyvisa import ResourceManager


class ResourceManagers:
    """One pyvisa ResourceManager a backend, closed with its last session.

    pyvisa itself keeps one a process, whoever asks for it, and closing it closes everybody's
    resources. So it is closed only if it was made here and nobody else has anything open.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users: dict[str, int] = {}
        self._managers: dict[str, ResourceManager] = {}
        self._is_ours: dict[str, bool] = {}

    def acquire(self, backend: str) -> ResourceManager:
        """Give the backend's manager and count its user."""
        import pyvisa  # device libraries are imported when a device opens
        from pyvisa.highlevel import open_visa_library

        with self._lock:
            if not self._users.get(backend):
                library = open_visa_library(backend)
                self._is_ours[backend] = library.resource_manager is None
                self._managers[backend] = pyvisa.ResourceManager(library)
            self._users[backend] = self._users.get(backend, 0) + 1
            return self._managers[backend]

    def release(self, backend: str) -> None:
        """Take back what `acquire` gave."""
        with self._lock:
            self._users[backend] -= 1
            if self._users[backend]:
                return
            manager = self._managers.pop(backend)
            if self._is_ours.pop(backend) and not manager.list_opened_resources():
                manager.close()


managers = ResourceManagers()
"""A process has one VISA library, so one count of its users."""
