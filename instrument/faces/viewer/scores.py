"""The docked panel: what to read from across the room, and the score history under it."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from instrument.faces.viewer.buttons import Buttons
from instrument.faces.viewer.state import Readout, RunState, Score

BACKGROUND = "#262930"  # napari's dark theme
_TEXT = "#f0f1f2"
_FAINT = "#a9adb5"
_BEST = "#ffd866"
_FAILED = "#ff6b6b"
# Told apart by colour and by shape.
_PHASES = {
    "initial": ("#f0f1f2", "s"),
    "search": ("#56b4e9", "o"),
    "confirm": ("#e69f00", "d"),
}
_OTHER_PHASE = ("#cc79a7", "t")
_MARGIN_TRIALS = 0.7
_BEST_SIZE = 16


class ScorePanel(QWidget):
    """Readouts, the last notice, buttons and the history; `show_state` draws a run's state.

    Parameters
    ----------
    command
        Takes the words of the buttons.
    """

    def __init__(self, command: Callable[[str], None]) -> None:
        super().__init__()
        self.buttons = Buttons(command)
        self._readouts = [_label() for _ in range(3)]
        self._notice = _label()
        self._notice.setWordWrap(True)
        self._history = _History()
        line = QHBoxLayout()
        for readout in self._readouts:
            line.addWidget(readout)
        line.addWidget(self._notice, stretch=1)
        line.addWidget(self.buttons)
        line.setSpacing(36)
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 8, 16, 8)
        column.addLayout(line)
        column.addWidget(self._history.widget, stretch=1)
        self.setMinimumHeight(250)

    def show_state(self, state: RunState) -> None:
        """Draw everything anew; cheap, a campaign has hundreds of trials."""
        for label, readout in zip(self._readouts, state.readouts(), strict=True):
            label.setText(_readout_html(readout))
        self._notice.setText(_notice_html(state))
        self.buttons.show_state(state)
        self._history.show_state(state)


class _History:
    """Bits per pixel by trial, with standard errors."""

    def __init__(self) -> None:
        self.widget = pg.PlotWidget(background=BACKGROUND)
        plot: Any = self.widget.getPlotItem()  # pyqtgraph's stubs hide its methods
        plot.setLabel("left", "bits per pixel", color=_TEXT)
        plot.setLabel("bottom", "trial (bars: \N{PLUS-MINUS SIGN} 1 standard error)", color=_TEXT)
        plot.showGrid(x=False, y=True, alpha=0.25)
        for side in ("left", "bottom"):
            plot.getAxis(side).setTextPen(_TEXT)
            plot.getAxis(side).setStyle(maxTickLevel=0)
            plot.getAxis(side).enableAutoSIPrefix(False)  # 0.4 bits are not 400 of something
        plot.getAxis("left").setWidth(64)
        plot.setMenuEnabled(False)
        plot.hideButtons()
        self._legend = plot.addLegend(
            offset=(-8, -4), colCount=5, labelTextColor=_TEXT, brush=BACKGROUND + "c0"
        )
        self._plot = plot

    def show_state(self, state: RunState) -> None:
        self._plot.clear()
        last = max([state.trials - 1, *(score.trial for score in state.scores)])
        self._plot.setXRange(-_MARGIN_TRIALS, last + _MARGIN_TRIALS, padding=0)
        self._draw_best(state)
        for phase in dict.fromkeys(score.phase for score in state.scores):
            self._draw_phase(phase, [s for s in state.scores if s.phase == phase])
        self._draw_failed([s for s in state.scores if s.bits_per_pixel is None])

    def _draw_phase(self, phase: str, scores: list[Score]) -> None:
        points = [s for s in scores if s.bits_per_pixel is not None]
        if not points:
            return
        colour, symbol = _PHASES.get(phase, _OTHER_PHASE)
        trials = np.array([s.trial for s in points], dtype=float)
        bits = np.array([s.bits_per_pixel for s in points], dtype=float)
        height = 2 * np.array([s.standard_error for s in points])
        bars = pg.ErrorBarItem(x=trials, y=bits, height=height, beam=0.15, pen=pg.mkPen(colour))
        self._plot.addItem(bars)
        self._plot.plot(
            trials, bits, pen=None, symbol=symbol, symbolSize=7, symbolBrush=colour,
            symbolPen=None, name=phase,
        )  # fmt: skip

    def _draw_best(self, state: RunState) -> None:
        if state.best_trial is None or state.best_bits_per_pixel is None:
            return
        level = pg.InfiniteLine(
            state.best_bits_per_pixel, angle=0, pen=pg.mkPen(_BEST, style=Qt.PenStyle.DashLine)
        )
        self._plot.addItem(level)
        self._plot.plot(
            [state.best_trial], [state.best_bits_per_pixel], pen=None, symbol="o",
            symbolSize=_BEST_SIZE, symbolBrush=None, symbolPen=pg.mkPen(_BEST, width=2),
            name="best",
        )  # fmt: skip

    def _draw_failed(self, scores: list[Score]) -> None:
        """Mark failed trials by a line, for they have no height."""
        pen = pg.mkPen(_FAILED, style=Qt.PenStyle.DotLine)
        for score in scores:
            self._plot.addItem(pg.InfiniteLine(score.trial, angle=90, pen=pen))
        if scores:
            self._plot.plot([], [], pen=pen, name="failed")


def _label() -> QLabel:
    label = QLabel()
    label.setTextFormat(Qt.TextFormat.RichText)
    label.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
    return label


def _readout_html(readout: Readout) -> str:
    return (
        f'<div style="color:{_TEXT}; font-size:20pt">{html.escape(readout.value)}</div>'
        f'<div style="color:{_FAINT}; font-size:10pt">{html.escape(readout.caption)}</div>'
    )


def _notice_html(state: RunState) -> str:
    colour = _FAILED if state.status in {"failed", "aborted", "lost"} else _TEXT
    return f'<div style="color:{colour}; font-size:11pt">{html.escape(state.notice)}</div>'
