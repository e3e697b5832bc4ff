"""The viewer's window: a napari viewer, the score panel under it, and a clock that feeds both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import napari
from qtpy.QtCore import QTimer

from instrument.faces.viewer.canvas import Canvas
from instrument.faces.viewer.commands import Commander
from instrument.faces.viewer.inbox import Inbox
from instrument.faces.viewer.messages import Message
from instrument.faces.viewer.scores import ScorePanel
from instrument.faces.viewer.state import RunState

_PERIOD_MS = 50  # twenty pictures a second
_SIZE = (1280, 800)
_SETTLE_MS = 1000  # for layout and canvas to be drawn before a screenshot


def show(
    inbox: Inbox,
    commander: Commander,
    *,
    screenshot: Path | None = None,
    after: int | None = None,
    press: Sequence[str] = (),
) -> None:
    """Show what arrives in `inbox` until the window is closed, or the screenshot is saved."""
    window = Window(inbox, commander)
    if screenshot is not None:
        window.photograph(screenshot, after, press)
    napari.run()


class Window:
    """Twenty times a second, takes what came and shows it."""

    def __init__(self, inbox: Inbox, commander: Commander):
        self._inbox = inbox
        self._commander = commander
        self._state = RunState()
        self._n_messages = 0
        self._has_ended = False
        self._viewer = napari.Viewer(title="infoloop")
        self._viewer.theme = "dark"
        self._canvas = Canvas(self._viewer)
        self._panel = ScorePanel(commander.send)
        self._viewer.window.add_dock_widget(self._panel, name="run", area="bottom")
        self._viewer.window.resize(*_SIZE)
        self._panel.show_state(self._state)
        self._timer = _every(_PERIOD_MS, self._refresh)

    def photograph(self, file: Path, after: int | None, press: Sequence[str]) -> None:
        """Press buttons and save a picture after so many messages (None: all), then close."""

        def look() -> None:
            if self._has_ended or (after is not None and self._n_messages >= after):
                self._watch.stop()
                for word in press:
                    self._panel.buttons.click(word)
                QTimer.singleShot(_SETTLE_MS, lambda: self._save_and_close(file))

        self._watch = _every(_PERIOD_MS, look)

    def _refresh(self) -> None:
        messages, has_ended = self._inbox.take()
        for message in messages:
            self._show(message)
        if has_ended and not self._has_ended:
            self._has_ended = True
            self._state.end()
            self._commander.close()
        elif all(message.kind == "frame" for message in messages):
            return
        self._panel.show_state(self._state)
        self._viewer.title = " ".join(filter(None, ["infoloop", self._state.run_dir]))

    def _show(self, message: Message) -> None:
        self._n_messages += 1
        self._state.take(message)
        if message.kind == "frame":
            self._canvas.show_frame(message)
        elif message.kind == "trial":
            self._canvas.show_patterns(message)

    def _save_and_close(self, file: Path) -> None:
        self._viewer.window.screenshot(str(file), canvas_only=False)
        self._viewer.close()


def _every(period_ms: int, action: Any) -> QTimer:
    timer = QTimer()
    timer.timeout.connect(action)
    timer.start(period_ms)
    return timer
