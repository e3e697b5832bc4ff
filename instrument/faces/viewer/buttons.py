"""Pause, Resume and Abort: enabled where the run can take them."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

from instrument.campaign.states import State
from instrument.faces.viewer.commands import ABORT, PAUSE, RESUME
from instrument.faces.viewer.state import RunState

_SURE_MS = 4000  # in which the second click on Abort counts: a slip must not end a night's run


class Buttons(QWidget):
    """Three buttons in a row.

    Parameters
    ----------
    command
        Takes `pause`, `resume` or `abort`.
    """

    def __init__(self, command: Callable[[str], None]):
        super().__init__()
        self._command = command
        self._is_sure = False
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        self._buttons = {word: QPushButton(word.capitalize()) for word in (PAUSE, RESUME, ABORT)}
        for word, button in self._buttons.items():
            button.setMinimumWidth(110)
            button.clicked.connect(lambda _checked=False, word=word: self.press(word))
            row.addWidget(button)

    def show_state(self, state: RunState) -> None:
        """Enable what the run can take now."""
        is_over = state.status is not None
        is_paused = state.state == State.PAUSED
        enabled = {PAUSE: not is_paused, RESUME: is_paused, ABORT: True}
        for word, button in self._buttons.items():
            button.setEnabled(enabled[word] and not is_over)

    def press(self, word: str) -> None:
        """Give the command of a button; Abort wants to be pressed twice."""
        if word == ABORT and not self._is_sure:
            self._be_sure(True)
            QTimer.singleShot(_SURE_MS, lambda: self._be_sure(False))
            return
        self._be_sure(False)
        self._command(word)

    def click(self, word: str) -> None:
        """Press a button as a person does, for tests; a disabled one does nothing."""
        self._buttons[word].click()

    def _be_sure(self, is_sure: bool) -> None:
        self._is_sure = is_sure
        self._buttons[ABORT].setText("Really abort?" if is_sure else ABORT.capitalize())
