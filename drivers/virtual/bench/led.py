"""The LED of the pupil microscope's bench: a server inside this process, or one elsewhere."""

from __future__ import annotations

import socket

from drivers.errors import ConnectionLost
from drivers.virtual.scpi_server import ScpiServer, VirtualLed


class LocalLed:
    """LED server inside this process."""

    def __init__(self) -> None:
        self._led = VirtualLed()
        self._server = ScpiServer(self._led)
        self.address = self._server.address

    def optical_power_mw(self) -> float:
        """Return the power that leaves the LED now."""
        return self._led.optical_power_mw()

    def close(self) -> None:
        """Stop the server."""
        self._server.close()


class RemoteLed:
    """Light of an LED server in another process; the photons travel over a socket of their own."""

    def __init__(self, where: str):
        host, port = where.rsplit(":", 1)
        self._where = where
        self.address = f"TCPIP::{host}::{port}::SOCKET"
        try:
            self._socket = socket.create_connection((host, int(port)), timeout=2.0)
        except OSError as error:
            raise ConnectionLost(
                f"virtual LED at {where}: nothing listens there ({error}); "
                "start it with `python -m drivers.virtual.scpi_server`"
            ) from error
        self._answers = self._socket.makefile("r", encoding="ascii", newline="\n")

    def optical_power_mw(self) -> float:
        """Return the power that leaves the LED now."""
        try:
            self._socket.sendall(b"SIM:OPT?\n")
            return float(self._answers.readline())
        except (OSError, ValueError) as error:
            raise ConnectionLost(
                f"virtual LED at {self._where}: no power came back ({error}); start it again"
            ) from error

    def close(self) -> None:
        """Let go of the other process."""
        self._answers.close()
        self._socket.close()
