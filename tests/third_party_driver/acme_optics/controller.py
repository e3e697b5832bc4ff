"""The controller that stages and LEDs hang on: here a simulated one, in this process.

A real package would open a serial port or load the maker's library in `connect`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from drivers import ConnectionLost

POLLS_OF_A_MOVE = 3


@dataclass
class Controller:
    """Answers one line with one line, as the real one does over its serial port."""

    port: str
    position_um: float = 0.0
    power_mw: float = 7.0  # as somebody left it
    heard: list[str] = field(default_factory=list)
    is_open: bool = True
    _polls_left: int = 0

    def ask(self, line: str) -> str:
        """Send a line and return the answer."""
        if not self.is_open:
            raise ConnectionLost(f"{self.port} is closed; open the device again")
        self.heard.append(line)
        word, _, value = line.partition(" ")
        match word:
            case "ID?":
                return "ACME Z100 no. 7"
            case "MOVE":
                self.position_um, self._polls_left = float(value), POLLS_OF_A_MOVE
                return "OK"
            case "BUSY?":
                self._polls_left = max(self._polls_left - 1, 0)
                return "1" if self._polls_left else "0"
            case "POS?":
                return f"{self.position_um:.4f}"
            case "LED":
                self.power_mw = float(value)
                return "OK"
            case "LED?":
                return f"{self.power_mw:.4f}"
            case _:
                return "WHAT?"

    def close(self) -> None:
        """Release the port."""
        self.is_open = False


SIMULATED: dict[str, Controller] = {}
"""Controllers by port, so that a test can look at what was asked of them."""


def connect(port: str) -> Controller:
    """Open a port; raise `ConnectionLost` if nothing is there."""
    if not port.startswith("sim:"):
        raise ConnectionLost(f"no such port: {port}; correct `port`, or check the cable")
    controller = SIMULATED.setdefault(port, Controller(port))
    controller.is_open = True
    return controller
